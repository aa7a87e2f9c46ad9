// The appliance as a program, told nothing but "auto", in a guest that is only a kernel, busybox and the binary; one
// browser outside.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startBrowser } from '../../browser/harness/browser.js';
import { Caller, FPS, HEIGHT, PLAY_TONE, WIDTH, near, plugIn, unplug, until } from '../caller.mjs';
import { ADDRESS } from '../machine.mjs';
import { failed, step } from '../story.mjs';
import { boot } from './guest.mjs';

const OUT = fileURLToPath(new URL('../../../target/hardware/devices', import.meta.url));
const SPEAKER = `${OUT}/speaker.wav`;
const PAGE = `https://${ADDRESS}:8443/`;
const LOG = '/tmp/callbox.log';
const LOG_MJPEG = '/tmp/callbox.log.mjpeg';

/** @type {import('../machine.mjs').Machine} */
let guest;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Caller} */
let caller;

before(async () => {
  guest = await boot(OUT);
  browser = await startBrowser();
});

after(async () => {
  if (guest) {
    writeFileSync(`${OUT}/callbox.log`, await guest.run(`cat ${LOG}*`).catch((error) => `${error}`));
    await guest.stop();
  }
  if (failed) await caller?.screenshot('devices-failed').catch(() => {});
  await browser?.close();
  if (failed) console.log(`look at ${OUT}/callbox.log and ${OUT}/console.log, and at target/screenshots/devices-failed.png`);
});

step('callbox devices lists the camera with its formats and the sound card', async (t) => {
  t.diagnostic(`the guest runs with ${guest.accelerator}`);
  const devices = JSON.parse(await guest.run('callbox devices --json'));
  const camera = devices.cameras.find((camera) => camera.path === '/dev/video0');
  assert.match(camera.name, /vivid/);
  const yuyv = camera.formats.find((format) => format.fourcc === 'YUYV');
  const size = yuyv.sizes.find((size) => size.width === WIDTH && size.height === HEIGHT);
  assert.ok(size.fps.some((fps) => Math.abs(fps - FPS) < 0.1), JSON.stringify(size));
  for (const direction of ['capture', 'playback']) {
    assert.ok(devices[direction].some((device) => /Loopback/.test(`${device.pcm} ${device.name}`)), JSON.stringify(devices));
  }
  assert.match(await guest.run('callbox devices'), /vivid[^]*320x180[^]*Loopback/);
});

step('callbox run takes the camera and the sound card by itself, and opens neither before a call', async () => {
  const log = await startCallbox(LOG);
  assert.match(log, /camera: auto takes .*\/dev\/video0/);
  assert.match(log, /microphone: auto takes .*Loopback/);
  assert.match(log, /speaker: auto takes .*Loopback/);
  assert.equal((await guest.run(OPEN_DEVICES)).trim(), '');
});

step('its page is served with a certificate for its address, signed by its own authority', async () => {
  const ca = await guest.run('cat /var/lib/callbox/tls/ca.pem');
  const response = await new Promise((resolve, reject) => get(PAGE, { ca, agent: false }, resolve).on('error', reject));
  response.destroy();
  assert.equal(response.statusCode, 200);
});

step('the browser sees the colour bars at the chosen rate', async (t) => {
  await guest.start(PLAY_TONE, '/tmp/tone.log');
  caller = await Caller.open(browser, PAGE, 'guest');
  await caller.call();
  await caller.seesMotion(t);
  assert.equal(await caller.size(), `${WIDTH}x${HEIGHT}`);
  await caller.expectBars();
  await caller.screenshot('devices');
});

step('the browser hears the tone that is played into the guest\'s microphone', () => caller.hearsTone());

step('the browser\'s voice comes out of the guest\'s speaker', (t) => caller.isHeard(t, guest, SPEAKER));

step('the camera unplugged: the call goes on with a picture that says so; plugged in again, it is back', async (t) => {
  await unplug(guest, 'vivid', 'vivid.0');
  await until(async () => !(await caller.seesBars()), 10_000);
  await caller.screenshot('devices-no-camera');
  assert.ok((await caller.rate(3)) > 0.5, 'pictures still come');
  await caller.hearsTone();
  await caller.reaches('connected');
  await plugIn(guest, 'vivid', 'vivid.0');
  const back = await until(() => caller.seesBars(), 8_000);
  t.diagnostic(`the picture is back after ${(back / 1000).toFixed(1)} s`);
  await caller.seesMotion(t);
});

step('the sound card unplugged: the picture goes on; plugged in again, both directions are back', async (t) => {
  await unplug(guest, 'snd_aloop', 'snd_aloop.0');
  await caller.seesMotion(t);
  await plugIn(guest, 'snd_aloop', 'snd_aloop.0');
  const since = Date.now();
  await guest.start(PLAY_TONE, '/tmp/tone.log');
  await caller.hearsTone();
  t.diagnostic(`the tone is back after ${((Date.now() - since) / 1000).toFixed(1)} s`);
  await caller.isHeard(t, guest, SPEAKER);
});

step('after hanging up, the devices are closed', async () => {
  await caller.hangUp();
  await guest.until(OPEN_DEVICES, (text) => text.trim() === '', 5_000);
});

step('a webcam that speaks only MJPEG: red left, blue right, broken pictures passed over', async (t) => {
  await stopCallbox(LOG);
  await guest.start('exec mjpeg-camera', '/tmp/mjpeg.log');
  await guest.until('v4l2-ctl -d /dev/video9 --list-formats', (text) => text.includes('MJPG'));
  await startCallbox(LOG_MJPEG, 'CALLBOX_CAMERA__SOURCE=/dev/video9');
  await caller.call();
  await caller.seesMotion(t, 1, 30);
  const [left, right] = await caller.colours([[0.25, 0.7], [0.75, 0.7]]);
  assert.ok(near(left, [200, 20, 20]) && near(right, [20, 20, 200]), JSON.stringify({ left, right }));
  await caller.screenshot('devices-mjpeg');
});

step('told to end, callbox says goodbye and ends', async () => {
  await stopCallbox(LOG_MJPEG);
  await caller.reaches('idle');
  assert.deepEqual(caller.page.faults, []);
});

/** Lists what callbox has open of the camera and the sound card. */
const OPEN_DEVICES = 'ls -l /proc/$(pidof callbox)/fd | grep -oE "/dev/(video|snd/pcm).*" || true';

/** Starts the appliance and waits until it can be called; returns what it said. */
async function startCallbox(log, environment = '') {
  await guest.start(`${environment} callbox run --config /etc/callbox.toml; echo ended with $?`, log);
  return guest.until(`cat ${log}`, (text) => text.includes('registered at the signaling server'));
}

async function stopCallbox(log) {
  await guest.run('kill -TERM $(pidof callbox)');
  await guest.until(`tail -n 1 ${log}`, (text) => text.includes('ended with 0'), 10_000);
}
