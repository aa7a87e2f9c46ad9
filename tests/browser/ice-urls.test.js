/** What `callbox check` takes as an address of a STUN or TURN server, held against the browser that will be handed it. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startBrowser } from './harness/browser.js';
import { BINARY, workspace } from './harness/callbox.js';

/** Both take these. */
const GOOD = [
  'stun:stun.example.org', 'STUN:a', 'stun:a.', 'stun:my_nas.lan:3478', 'stun:xn--huschen-5wa.example', 'stun:192.0.2.1',
  'stun:[2001:db8::1]', 'stun:[::1]:1', 'stun:a:65535', 'turn:a', 'Turn:a:3478', 'turn:a?transport=udp',
  'turn:a:443?transport=tcp', 'turn:[2001:db8::1]:3478?transport=tcp', 'turns:a', 'turns:a:443?transport=tcp',
];

/** On these the browser throws, and with it the page's connection. */
const THROWN_AT = [
  '', 'a', 'a:3478', 'http:a', 'stun', 'stun:', 'stun:<host>', 'stun:<host>:3478', 'stun:"a"', 'turn:"a":3478', '“stun:a”',
  'stun:${HOST}', 'stun:{a}', 'stun:a b', 'stun: a', 'stun:a\\b', 'stun:a|b', 'stun:a^b', 'stun:`a`', 'stun:a/b', 'stun://a',
  'stun:a#b', 'turn:u@a', 'turn:u:p@a', 'stun:a:', 'stun:a:0', 'stun:a:65536', 'stun:a:+5', 'stun:a:-1', 'stun:a:x', 'stun:a: 1',
  'stun:a:3478x', 'stun:a:b:c', 'stun:::1', 'stun:[::1', 'stun:[::1]:', 'stun:a?', 'stun:a?transport=udp', 'turn:a?',
  'turn:a?transport=', 'turn:a?Transport=udp', 'turn:a?transport=sctp', 'turn:a?transport=udp&x=1', 'turn:a?x=1',
];

/** Chromium takes these in, and no call would be better for it; other browsers throw. */
const NO_USE = [
  ' stun:a', 'stun:a ', 'stun:a\n', 'stun:ä', 'stun:a..b', 'stun:.a', 'stun:a,b', 'stun:$HOST', "stun:'a'", 'stun:a%20b',
  'stun:256.1.1.1', 'stun:1.2.3', 'stun:[zz]', 'stun:[1.2.3.4]', 'stun:[::1]x', 'stun:[fe80::1%25eth0]',
  'turn:a?transport=udp?transport=tcp', `stun:${'a'.repeat(300)}`,
];

/** @type {import('playwright-core').Browser} */
let browser;
before(async () => {
  browser = await startBrowser({ devices: false });
});
after(() => browser.close());

/** Every address with what a server of its kind needs beside it. @param {string} url */
const server = (url) => (/^\W*turns?:/i.test(url) ? { urls: [url], username: 'u', credential: 'c' } : { urls: [url] });

/**
 * The addresses on which an RTCPeerConnection throws.
 * @param {string[]} urls
 */
async function thrownAt(urls) {
  const page = await browser.newPage();
  const thrown = await page.evaluate((servers) => servers.filter((entry) => {
    try {
      new RTCPeerConnection({ iceServers: [entry] }).close();
      return false;
    } catch {
      return true;
    }
  }), urls.map(server));
  await page.close();
  return thrown.flatMap((entry) => entry.urls);
}

/**
 * The addresses that `callbox check` refuses, each by a line on its place and key.
 * @param {string[]} urls
 */
function refused(urls) {
  const files = workspace();
  const path = join(files.path, 'callbox.toml');
  try {
    return urls.filter((url) => {
      const { urls: list, username, credential } = server(url);
      const secret = username ? `username = "${username}"\ncredential = "${credential}"\n` : '';
      writeFileSync(path, `[[ice.servers]]\nurls = ${JSON.stringify(list)}\n${secret}`);
      try {
        execFileSync(BINARY, ['check', '--config', path], { encoding: 'utf8', stdio: 'pipe' });
        return false;
      } catch (error) {
        const { status, stderr } = /** @type {{ status: number, stderr: string }} */ (error);
        assert.equal(status, 2, stderr);
        assert.ok(stderr.includes(`${path}:2: ice.servers.urls`), `${url}: ${stderr}`);
        return true;
      }
    });
  } finally {
    files.remove();
  }
}

test('what `check` takes a browser takes, and what a browser throws at `check` refuses', async () => {
  const all = [...GOOD, ...THROWN_AT, ...NO_USE];
  assert.deepEqual(await thrownAt(all), THROWN_AT);
  assert.deepEqual(refused(all), [...THROWN_AT, ...NO_USE]);
});

test('the longest user name of a TURN server', async () => {
  const page = await browser.newPage();
  const taken = await page.evaluate(() => [509, 510].filter((bytes) => {
    try {
      new RTCPeerConnection({ iceServers: [{ urls: 'turn:a', username: 'u'.repeat(bytes), credential: 'c' }] }).close();
      return true;
    } catch {
      return false;
    }
  }));
  assert.deepEqual(taken, [509]);
});
