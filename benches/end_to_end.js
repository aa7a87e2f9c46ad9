/**
 * The whole way, measured from outside: a real device process with synthetic camera, microphone and speaker, and
 * headless Chromium as its callers, on loopback. Prints a table; docs/performance.md says how to read it.
 *
 *   node benches/end_to_end.js [connections]      (the device is CALLBOX_BIN, default target/release/callbox)
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { dial, openPage, reaches, startBrowser } from '../tests/browser/harness/browser.js';
import { watch } from './end_to_end/watch.js';
import { startWebrtcbin } from './end_to_end/webrtcbin.js';

const BINARY = process.env.CALLBOX_BIN ?? fileURLToPath(new URL('../target/release/callbox', import.meta.url));
const CONNECTIONS = Math.min(Number(process.argv[2] ?? 10), 100);
/** Pictures looked at in each connection; the first ones are left out of the figures, as the call settles in. */
const PICTURES = 60;
const SETTLING = 15;
/** What a person takes at least to see the page and press: until then the page is busy with itself. */
const PAUSE = 1_000;
/** How long processor time is counted. */
const WINDOW = 8_000;
const SIZES = /** @type {const} */ ([[640, 480], [1280, 720]]);
const VIEWERS = [1, 4];

const folder = mkdtempSync(join(tmpdir(), 'callbox-bench-'));
const browser = await startBrowser();
try {
  console.log(`# ${CONNECTIONS} fresh connections each; medians; times in ms\n`);
  console.log('## From start of the process to registered\n');
  console.log(`p50 ${format(median(await startTimes()))} ms\n`);
  for (const size of SIZES) await measure(size);
  await beside();
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}

/** @param {readonly [number, number]} size */
async function measure([width, height]) {
  console.log(`## ${width}x${height}, 30 pictures a second, sound on\n`);
  const port = await freePort();
  const device = start(['run'], { listen: port, width, height });
  try {
    await until('the page is served', () => fetch(`http://127.0.0.1:${port}/healthz`).then((r) => r.ok));
    const url = `http://127.0.0.1:${port}/`;
    const idle = memory(device.pid);
    const before = processorTime(device.pid);
    await sleep(2000);
    const resting = total(processorTime(device.pid)) - total(before);
    console.log(`idle: ${idle.toFixed(1)} MB, ${((resting / 2000) * 100).toFixed(2)} % of a core\n`);
    await delays(url);
    await fresh(url, (n) => `bench-${n}`);
    console.log('| viewers | memory MB | % of a core | by thread |\n|---|---|---|---|');
    for (const viewers of VIEWERS) await load(url, device.pid, viewers);
    console.log('');
  } finally {
    device.kill('SIGTERM');
    await device.ended;
  }
}

/** @param {string} url */
async function delays(url) {
  /** @type {{ first: number[], received: number[], receivedLate: number[], seen: number[], seenLate: number[] }} */
  const figures = { first: [], received: [], receivedLate: [], seen: [], seenLate: [] };
  const page = await openPage(browser, url, 'bench', { init: watch, argument: PICTURES });
  for (let n = 0; n < CONNECTIONS; n++) {
    await page.evaluate(() => void (/** @type {any} */ (window).watched = { pictures: [] }));
    await dial(page, 'bench-device');
    await page.waitForFunction((count) => /** @type {any} */ (window).watched.pictures.length >= count, PICTURES, {
      timeout: 20_000,
    });
    const watched = await page.evaluate(() => /** @type {any} */ (window).watched);
    const pictures = watched.pictures.slice(SETTLING);
    const received = pictures.map((/** @type {any} */ p) => p.received - p.drawn).filter(Number.isFinite);
    const seen = pictures.map((/** @type {any} */ p) => p.seen - p.drawn);
    figures.first.push(watched.first - watched.pressed);
    figures.received.push(quantile(received, 0.5));
    figures.receivedLate.push(quantile(received, 0.95));
    figures.seen.push(quantile(seen, 0.5));
    figures.seenLate.push(quantile(seen, 0.95));
    await page.click('#leave');
    await reaches(page, 'idle');
    await sleep(300);
  }
  await page.context().close();
  console.log('| | p50 | p95 |\n|---|---|---|');
  console.log(`| pressed -> first picture | ${format(median(figures.first))} | ${format(quantile(figures.first, 0.95))} |`);
  console.log(`| drawn -> last packet received | ${format(median(figures.received))} | ${format(median(figures.receivedLate))} |`);
  console.log(`| drawn -> seen | ${format(median(figures.seen))} | ${format(median(figures.seenLate))} |\n`);
}

/** The same fresh pages with GStreamer's webrtcbin in the device's place. */
async function beside() {
  const webrtcbin = await startWebrtcbin();
  if (typeof webrtcbin === 'string') return console.log(`webrtcbin is not measured: ${webrtcbin}`);
  console.log('## webrtcbin, 1280x720, 30 pictures a second\n');
  try {
    await fresh(webrtcbin.url, () => '');
  } finally {
    await webrtcbin.end();
  }
}

/**
 * What a person waits who opens the page and presses once: a new page each time, whose script has never called.
 * @param {string} url
 * @param {(n: number) => string} name under which to join
 */
async function fresh(url, name) {
  /** @type {Record<string, number[]>} */
  const steps = { pressed: [], answer: [], path: [], connected: [], first: [], microphone: [] };
  for (let n = 0; n < CONNECTIONS; n++) {
    const page = await openPage(browser, url, name(n), { init: watch, argument: 1 });
    await sleep(PAUSE);
    await dial(page, 'bench-device');
    await page.waitForFunction(() => /** @type {any} */ (window).watched.first !== undefined, undefined, { timeout: 20_000 });
    const watched = await page.evaluate(() => /** @type {any} */ (window).watched);
    for (const step of Object.keys(steps)) steps[step].push(watched[step] - watched.offer);
    await page.context().close();
    await sleep(300);
  }
  console.log('| fresh page, from setLocalDescription of the offer | p50 | p95 |\n|---|---|---|');
  const names = {
    pressed: 'pressed (before it)',
    answer: 'the answer is here',
    path: 'ICE',
    connected: 'DTLS',
    first: '**first picture**',
    microphone: 'microphone open',
  };
  for (const [step, name] of Object.entries(names)) {
    const known = steps[step].filter(Number.isFinite);
    console.log(`| ${name} | ${format(median(known))} | ${format(quantile(known, 0.95))} |`);
  }
  console.log('');
}

/**
 * @param {string} url
 * @param {number} pid
 * @param {number} viewers
 */
async function load(url, pid, viewers) {
  const pages = [];
  for (let n = 0; n < viewers; n++) {
    const page = await openPage(browser, url, `bench-${n}`);
    await dial(page, 'bench-device');
    await reaches(page, 'connected');
    pages.push(page);
  }
  await sleep(2000);
  const before = processorTime(pid);
  await sleep(WINDOW);
  const after = processorTime(pid);
  const threads = Object.keys(after)
    .map((name) => [name, ((after[name] - (before[name] ?? 0)) / WINDOW) * 100])
    .filter(([, share]) => Number(share) >= 0.1)
    .sort((a, b) => Number(b[1]) - Number(a[1]))
    .map(([name, share]) => `${name} ${Number(share).toFixed(1)}`);
  const share = ((total(after) - total(before)) / WINDOW) * 100;
  console.log(`| ${viewers} | ${memory(pid).toFixed(1)} | ${share.toFixed(1)} | ${threads.join(', ')} |`);
  for (const page of pages) await page.context().close();
  await sleep(1500);
}

/** From starting a device to the moment its server tells others that it is there. */
async function startTimes() {
  const { WebSocket } = await import('../tests/browser/node_modules/ws/wrapper.mjs');
  const port = await freePort();
  const server = start(['server'], { listen: port });
  const times = [];
  try {
    await until('the server is up', () => fetch(`http://127.0.0.1:${port}/healthz`).then((r) => r.ok));
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await new Promise((opened) => socket.once('open', opened));
    socket.send(JSON.stringify({ type: 'join', userId: 'bench' }));
    for (let n = 0; n < CONNECTIONS; n++) {
      const online = new Promise((seen) => {
        socket.on('message', (/** @type {Buffer} */ data) => {
          const message = JSON.parse(String(data));
          if (message.type === 'presence' && message.online) seen(performance.now());
        });
      });
      const began = performance.now();
      const device = start(['run'], { url: `ws://127.0.0.1:${port}/ws` });
      times.push((await online) - began);
      socket.removeAllListeners('message');
      device.kill('SIGTERM');
      await device.ended;
    }
    socket.close();
  } finally {
    server.kill('SIGTERM');
    await server.ended;
  }
  return times;
}

/**
 * @param {string[]} command
 * @param {{ listen?: number, url?: string, width?: number, height?: number }} options
 */
function start(command, { listen, url, width = 1280, height = 720 }) {
  const config = join(folder, `${command[0]}-${performance.now()}.toml`);
  writeFileSync(
    config,
    `device = { id = "bench-device" }
     ${url ? `signaling = { url = "${url}" }` : ''}
     ${listen ? `server = { listen = "127.0.0.1:${listen}" }` : ''}
     camera = { source = "synthetic", width = ${width}, height = ${height}, fps = 30 }
     microphone = { source = "synthetic" }
     speaker = { sink = "synthetic" }
     ice = { bind = ["127.0.0.1"], mdns = false }
     control = { socket = "${folder}/callbox.sock" }
     state = { dir = "${folder}" }`,
  );
  const child = spawn(BINARY, [...command, '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (/** @type {Buffer} */ text) => (log = (log + text).slice(-4000)));
  const ended = new Promise((done) => {
    child.once('exit', (code) => {
      if (code) console.error(`${command.join(' ')} ended with ${code}:\n${log}`);
      done(code);
    });
  });
  return Object.assign(child, { pid: /** @type {number} */ (child.pid), ended });
}

/**
 * Milliseconds of processor time by thread name.
 * @param {number} pid
 * @returns {Record<string, number>}
 */
function processorTime(pid) {
  /** @type {Record<string, number>} */
  const times = {};
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // Fields 14 and 15 of proc(5), in ticks of 10 ms.
    times[name] = (times[name] ?? 0) + (Number(fields[11]) + Number(fields[12])) * 10;
  }
  return times;
}

/** @param {Record<string, number>} times */
function total(times) {
  return Object.values(times).reduce((sum, time) => sum + time, 0);
}

/** Resident memory in MB. @param {number} pid */
function memory(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;
}

/** @param {number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** @param {number[]} values */
function median(values) {
  return quantile(values, 0.5);
}

/** @param {number} value */
function format(value) {
  return value.toFixed(1);
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, '127.0.0.1', () => ready(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await new Promise((closed) => server.close(closed));
  return port;
}

/** @param {string} what @param {() => Promise<boolean>} check */
async function until(what, check) {
  for (let tries = 0; tries < 500; tries++) {
    if (await check().catch(() => false)) return;
    await sleep(20);
  }
  throw new Error(`never: ${what}`);
}
