/** The device and Firefox: without H.264, which is said before the call and in it, and with it. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { deviceConfiguration, eventually, freePort, read, startCallbox, workspace } from './harness/callbox.js';
import { TONE, hearPitch, reaches, startFirefox, words } from './harness/firefox.js';
import { pitchOverTime, readStamps, readWav } from './harness/media.js';

const PLUGIN =
  process.env.GMP_OPENH264 ?? fileURLToPath(new URL('../../target/debug/libgmpopenh264.so', import.meta.url));
const files = workspace();
const port = await freePort();
const url = `http://127.0.0.1:${port}/`;

/** @type {Awaited<ReturnType<typeof startCallbox>>} */
let device;
before(async () => {
  assert.ok(existsSync(PLUGIN), `${PLUGIN} is built by: cargo build --package callbox-test-gmp`);
  device = await startCallbox('run', files.path, deviceConfiguration(files.path, port), { page: url });
});
afterEach(() => eventually('the device is idle', async () => read.calls(await device.status()).length === 0));
after(async () => {
  const code = await device.stop();
  files.remove();
  assert.equal(code, 0, device.output());
});

/**
 * A test with a Firefox of its own, whose page is open and on line.
 * @param {string} what
 * @param {{ plugin?: string }} options
 * @param {(page: import('puppeteer-core').Page) => Promise<void>} run
 */
const inFirefox = (what, options, run) => test(what, async (t) => {
  const from = device.output().length;
  const firefox = await startFirefox(options);
  try {
    const page = await firefox.open(url, 'fiona');
    await run(page);
    assert.deepEqual(page.crashes, []);
  } catch (error) {
    for (const line of device.output().slice(from).split('\n')) t.diagnostic(line);
    throw error;
  } finally {
    await firefox.close();
  }
});

/** @param {import('puppeteer-core').Page} page */
async function call(page) {
  await page.click('#devices [data-peer="door"] button');
  await reaches(page, 'connected');
}

/** Whether the device plays what Firefox's microphone hears. */
const isHeard = () =>
  eventually('the tone is in heard.wav', async () => {
    const file = join(files.path, 'heard.wav');
    if (!existsSync(file)) return false;
    const tone = pitchOverTime(readWav(file), TONE).filter(({ share, level }) => share > 0.5 && level > 0.01);
    return tone.length >= 20;
  });

inFirefox('without H.264 the page says so before the call and in it, and both hear each other', {}, async (page) => {
  assert.match(await words(page, '#no-h264'), /lacks H\.264.*Firefox.*OpenH264/s);
  await call(page);
  assert.match(await words(page, '.tile[data-peer="door"] .extra'), /Sound only.*lacks H\.264/s);
  const pitch = await hearPitch(page, '.tile[data-peer="door"] video');
  assert.ok(Math.abs(pitch - 440) < 6, `${pitch} Hz`);
  await isHeard();
  assert.match(await device.command('status'), /sound only: the browser has no H\.264/);
  assert.equal((device.output().match(/sound only/g) ?? []).length, 1, 'the log says it once');
  assert.equal(await page.$('.tile[data-peer="door"][data-picture="on"]'), null);
});

inFirefox('with H.264 the picture moves, and nothing is said to be missing', { plugin: PLUGIN }, async (page) => {
  await call(page);
  await page.waitForSelector('.tile[data-peer="door"][data-picture="on"]');
  const stamps = await readStamps(page, '.tile[data-peer="door"] video', 30);
  const [first, last] = [stamps[0], stamps[stamps.length - 1]];
  assert.deepEqual([first.width, first.height], [640, 480]);
  const frames = (last.counter - first.counter + 65536) % 65536;
  const rate = (frames * 1000) / (last.drawn - first.drawn);
  assert.ok(Math.abs(rate - 30) < 2, `${rate} pictures a second`);
  assert.doesNotMatch(await page.evaluate(() => document.body.innerText), /H\.264/);
});
