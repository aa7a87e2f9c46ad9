// One guest machine, one appliance in it that was told nothing but "auto", one browser outside. The tests are steps of
// one story and run in this order; the first that fails ends it.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { dial, online, openPage, picture, reaches, screenshot, startBrowser } from '../browser/harness/browser.js';
import { frameRate, hearPitch, pitchOverTime, readWav } from '../browser/harness/media.js';
import { ADDRESS, Machine } from './machine.mjs';

const OUT = fileURLToPath(new URL('../../target/hardware', import.meta.url));
const PAGE = `https://${ADDRESS}:8443/`;
const LOG = '/tmp/callbox.log';
const LOG_MJPEG = '/tmp/callbox.log.mjpeg';
/** As in guest/callbox.toml: what an emulated processor can encode beside everything else. */
const WIDTH = 320;
const HEIGHT = 180;
const FPS = 10;
/** What is played into the guest's microphone, in Hz. */
const TONE = 1000;
/** What Chromium's fake microphone beeps, twice a second, in Hz. */
const BEEP = 400;
/** Of ten in five seconds; what an overloaded guest tears apart does not count as a beep. */
const LEAST_BEEPS = 4;

/** What vivid shows without being asked: eight bars at 75 % (ITU-R BT.471), left to right, as red, green, blue. */
const BARS = [[191, 191, 191], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191], [0, 0, 0]];
/** H.264 at a few hundred kbit/s and 4:2:0 leave flat colours within a few steps; a wrong colour matrix is far beyond. */
const COLOUR_TOLERANCE = 24;

/** @type {Machine} */
let guest;
/** @type {import('playwright-core').Browser} */
let browser;
let page;
let video;
let failed = false;

/** A step of the story. */
function step(name, run) {
  test(name, { timeout: 120_000 }, async (t) => {
    if (failed) return t.skip('an earlier step failed');
    failed = true;
    await run(t);
    failed = false;
  });
}

before(async () => {
  guest = await Machine.boot(OUT);
  browser = await startBrowser();
});

after(async () => {
  if (guest) {
    writeFileSync(`${OUT}/callbox.log`, await guest.run(`cat ${LOG}*`).catch((error) => `${error}`));
    await guest.stop();
  }
  if (failed && page) await screenshot(page, 'hardware-failed').catch(() => {});
  await browser?.close();
  if (failed) console.log(`look at ${OUT}/callbox.log and ${OUT}/console.log, and at target/screenshots/hardware-failed.png`);
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
  await guest.start(`exec speaker-test -D hw:Loopback,1,0 -c 1 -r 48000 -F S16_LE -t sine -f ${TONE}`, '/tmp/tone.log');
  page = await openPage(browser, PAGE, 'visitor');
  await dial(page, 'guest');
  await reaches(page, 'connected');
  video = await picture(page, 'guest');
  await moves(t);
  assert.equal(await page.$eval(video, (video) => `${video.videoWidth}x${video.videoHeight}`), `${WIDTH}x${HEIGHT}`);
  const seen = await bars();
  assert.ok(areBars(seen), `not vivid's bars: ${JSON.stringify(seen)}`);
  await screenshot(page, 'hardware');
});

step('the browser hears the tone that is played into the guest\'s microphone', async (t) => {
  const pitch = await hearPitch(page, video);
  t.diagnostic(`${pitch.toFixed(0)} Hz`);
  assert.ok(Math.abs(pitch - TONE) < 10, `${pitch} Hz`);
});

step('the browser\'s voice comes out of the guest\'s speaker', (t) => hearsBeeps(t));

step('the camera unplugged: the call goes on with a picture that says so; plugged in again, it is back', async (t) => {
  await unplug('vivid', 'vivid.0');
  await changes(async () => !areBars(await bars()), 10_000);
  await screenshot(page, 'hardware-no-camera');
  assert.ok((await frameRate(page, video, 3)) > 0.5, 'pictures still come');
  assert.ok(Math.abs((await hearPitch(page, video)) - TONE) < 10, 'the sound goes on');
  await reaches(page, 'connected');
  await plugIn('vivid', 'vivid.0');
  const back = await changes(async () => areBars(await bars()), 8_000);
  t.diagnostic(`the picture is back after ${(back / 1000).toFixed(1)} s`);
  await moves(t);
});

step('the sound card unplugged: the picture goes on; plugged in again, both directions are back', async (t) => {
  await unplug('snd_aloop', 'snd_aloop.0');
  await moves(t);
  await plugIn('snd_aloop', 'snd_aloop.0');
  const since = Date.now();
  await guest.start(`exec speaker-test -D hw:Loopback,1,0 -c 1 -r 48000 -F S16_LE -t sine -f ${TONE}`, '/tmp/tone.log');
  assert.ok(Math.abs((await hearPitch(page, video)) - TONE) < 10, 'the tone is back');
  t.diagnostic(`the tone is back after ${((Date.now() - since) / 1000).toFixed(1)} s`);
  await hearsBeeps(t);
});

step('after hanging up, the devices are closed', async () => {
  await page.click('#leave');
  await reaches(page, 'idle');
  await guest.until(OPEN_DEVICES, (text) => text.trim() === '', 5_000);
});

step('a webcam that speaks only MJPEG: red left, blue right, broken pictures passed over', async (t) => {
  await stopCallbox(LOG);
  await guest.start('exec mjpeg-camera', '/tmp/mjpeg.log');
  await guest.until('v4l2-ctl -d /dev/video9 --list-formats', (text) => text.includes('MJPG'));
  await startCallbox(LOG_MJPEG, 'CALLBOX_CAMERA__SOURCE=/dev/video9');
  await online(page);
  await dial(page, 'guest');
  await reaches(page, 'connected');
  video = await picture(page, 'guest');
  await moves(t, 1, 30);
  const [left, right] = await colours([[0.25, 0.7], [0.75, 0.7]]);
  assert.ok(near(left, [200, 20, 20]) && near(right, [20, 20, 200]), JSON.stringify({ left, right }));
  await screenshot(page, 'hardware-mjpeg');
});

step('told to end, callbox says goodbye and ends', async () => {
  await stopCallbox(LOG_MJPEG);
  await reaches(page, 'idle');
  assert.deepEqual(page.faults, []);
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

/** Takes a device away from under its driver, as pulling its plug does, and puts it back. */
const unplug = (driver, device) => guest.run(`echo ${device} > /sys/bus/platform/drivers/${driver}/unbind`);
const plugIn = (driver, device) => guest.run(`echo ${device} > /sys/bus/platform/drivers/${driver}/bind`);

/** Waits until `wanted` holds; returns how many milliseconds that took. */
async function changes(wanted, timeout) {
  const started = Date.now();
  while (!(await wanted())) {
    assert.ok(Date.now() - started < timeout, `nothing changed within ${timeout / 1000} s`);
    await sleep(100);
  }
  return Date.now() - started;
}

/** The colours at points of the picture, given as shares of its width and height. */
function colours(points) {
  return page.evaluate(([selector, points]) => {
    const video = document.querySelector(selector);
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    return points.map(([x, y]) =>
      [...context.getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data].slice(0, 3));
  }, [video, points]);
}

/** The colours in the middle of the eight bars, below the text that vivid writes over them. */
const bars = () => colours(BARS.map((_, bar) => [(bar + 0.5) / BARS.length, 0.9]));
const near = (seen, wanted) => seen.every((value, i) => Math.abs(value - wanted[i]) <= COLOUR_TOLERANCE);
const areBars = (seen) => seen.every((colour, bar) => near(colour, BARS[bar]));

/** An emulated processor on a busy machine may not keep up for a while. */
const CHANCES = 3;

/** Expects pictures at a rate of the camera's. */
async function moves(t, least = FPS * 0.6, most = FPS * 1.25) {
  let rate = 0;
  for (let chance = 0; chance < CHANCES && (rate < least || rate > most); chance++) {
    rate = await frameRate(page, video, 20);
    t.diagnostic(`${rate.toFixed(1)} pictures a second`);
  }
  assert.ok(rate >= least && rate <= most, `${rate} pictures a second`);
}

/** Expects the beeps of Chromium's fake microphone in 5 s of what comes out of the guest's speaker. */
async function hearsBeeps(t) {
  let beeps = [];
  for (let chance = 0; chance < CHANCES && beeps.length < LEAST_BEEPS; chance++) {
    await guest.run('timeout 20 arecord -q -D plughw:Loopback,1,0 -f S16_LE -r 48000 -c 1 -d 5 /tmp/speaker.wav', 30_000);
    const path = `${OUT}/speaker.wav`;
    writeFileSync(path, Buffer.from(await guest.run('base64 /tmp/speaker.wav', 30_000), 'base64'));
    const loud = pitchOverTime(readWav(path), BEEP, 0.02).filter(({ level, share }) => level > 0.02 && share > 0.3);
    beeps = loud.map(({ at }) => at).filter((at, i, all) => i === 0 || at - all[i - 1] > 0.2);
    t.diagnostic(`beeps at ${beeps.map((at) => at.toFixed(2)).join(', ')} s`);
  }
  assert.ok(beeps.length >= LEAST_BEEPS, `${beeps.length} beeps of ten in 5 s`);
}
