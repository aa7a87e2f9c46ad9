/** The same call through a TURN relay, coturn's, with the credentials from the device's configuration. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { closePages, notice, openPage, picture, reaches, startBrowser } from './harness/browser.js';
import { deviceConfiguration, eventually, freePort, startCallbox, workspace } from './harness/callbox.js';
import { keepConnections, waysOfMedia } from './harness/connections.js';
import { hearPitch, readStamps } from './harness/media.js';
import { startTurn, TURN_SECRET, TURN_USER } from './harness/turn.js';

const files = workspace();

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof startTurn>>} */
let turn;

before(async () => {
  [browser, turn] = await Promise.all([startBrowser(), startTurn(files.path)]);
});
afterEach(() => closePages(browser));
after(async () => {
  await browser.close();
  await turn.stop();
  files.remove();
});

/**
 * Starts a device that knows the relay, and runs `use` with it and its page's address.
 * @param {{ policy?: 'all' | 'relay', secret?: string, inFile?: boolean }} options `inFile`: the secret is in a file
 * @param {(device: Awaited<ReturnType<typeof startCallbox>>, url: string) => Promise<void>} use
 */
async function withDevice({ policy = 'all', secret = TURN_SECRET, inFile = false }, use) {
  const own = workspace();
  const secretFile = join(own.path, 'turn.secret');
  if (inFile) writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
  const credential = inFile ? `credential_file = "turn.secret"` : `credential = ${JSON.stringify(secret)}`;
  const more = `[[ice.servers]]
urls = [${JSON.stringify(turn.url)}]
username = "${TURN_USER}"
${credential}`;
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/`;
  const configuration = deviceConfiguration(own.path, port, { policy, more });
  const device = await startCallbox('run', own.path, configuration, { page: url });
  try {
    await use(device, url);
  } finally {
    const code = await device.stop();
    own.remove();
    assert.equal(code, 0, device.output());
  }
}

/**
 * Opens the page and presses Call.
 * @param {string} url
 * @param {RTCIceTransportPolicy} [policy] what the browser is held to
 */
async function press(url, policy) {
  const anna = await openPage(browser, url, 'anna', { init: keepConnections, argument: { policy } });
  await anna.click('#devices [data-peer="door"] button');
  return anna;
}

/** @param {import('playwright-core').Page} page */
async function seesAndHears(page) {
  await reaches(page, 'connected');
  const stamps = await readStamps(page, await picture(page, 'door'), 15);
  assert.ok(stamps[14].counter !== stamps[0].counter, 'the picture moves');
  assert.ok(stamps[14].drawn > stamps[0].drawn && Math.abs(stamps[14].seen - stamps[14].drawn) < 5_000, 'it is live');
  await hearPitch(page, '.tile video', { pitch: 440 });
}

/** Which way the device says its only call goes. */
const devicePair = async (device) => (await device.status()).calls[0].stats.peer.pair;

/**
 * What is at this end, or at the other, of all the ways that media comes to the page.
 * @param {import('playwright-core').Page} page
 * @param {'local' | 'remote'} end
 */
async function endsOfMedia(page, end) {
  const ways = await waysOfMedia(page);
  return [...new Set(ways.map((way) => way[end]))];
}

test('a device that is held to the relay', () =>
  withDevice({ policy: 'relay' }, async (device, url) => {
    const anna = await press(url);
    await seesAndHears(anna);
    const pair = await devicePair(device);
    assert.equal(pair.local, 'relay');
    assert.ok(pair.bytesReceived > 0 && pair.bytesSent > 0, JSON.stringify(pair));
    assert.deepEqual(await endsOfMedia(anna, 'remote'), ['relay']);
    assert.match(turn.output(), /ALLOCATE processed, success/);
  }));

test('a browser that is held to the relay, which it learns from the device', () =>
  withDevice({ inFile: true }, async (_device, url) => {
    const anna = await press(url, 'relay');
    await seesAndHears(anna);
    assert.deepEqual(await endsOfMedia(anna, 'local'), ['relay']);
  }));

test('both are held to the relay', () =>
  withDevice({ policy: 'relay', inFile: true }, async (device, url) => {
    const anna = await press(url, 'relay');
    await seesAndHears(anna);
    assert.deepEqual(await endsOfMedia(anna, 'local'), ['relay']);
    assert.equal((await devicePair(device)).local, 'relay');
  }));

test('wrong credentials: the page says that there is no connection, the device why', () =>
  withDevice({ policy: 'relay', secret: 'wrong' }, async (device, url) => {
    const anna = await press(url);
    // Both sides give up after 20 seconds at the latest.
    await anna.waitForSelector('[data-notice]', { timeout: 40_000 });
    assert.match(await notice(anna, 'ended.failed'), /^No connection to Front door could be made\./);
    await reaches(anna, 'idle');
    await eventually('the device is idle', async () => (await device.status()).calls.length === 0);
    const line = device.output().split('\n').find((each) => each.includes('TURN') && each.includes('credential'));
    assert.ok(line, device.output());
    assert.ok(line.includes(turn.url) && !line.includes('wrong'), line);
  }));
