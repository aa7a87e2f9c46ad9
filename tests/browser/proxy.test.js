/** The page behind nginx: as the documentation has it, and with the mistakes that people make. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, online, openPage, picture, reaches, startBrowser } from './harness/browser.js';
import { deviceConfiguration, eventually, freePort, startCallbox, workspace } from './harness/callbox.js';
import { readStamps } from './harness/media.js';
import { documented, startNginx } from './harness/nginx.js';
import { startRelay } from './harness/relay.js';

const files = workspace();
const { map, lines } = documented();
/** The documented lines, without one of them or with another in its place. */
const changed = (/** @type {string} */ header, /** @type {string} */ instead = '') =>
  lines.map((line) => (line.startsWith(`proxy_set_header ${header} `) ? instead : line));

/** @type {import('playwright-core').Browser} */
let browser;
before(async () => {
  browser = await startBrowser();
});
afterEach(() => closePages(browser));
after(async () => {
  await browser.close();
  files.remove();
});

/** Sends the proxy to the server of this port. @param {string[]} lines @param {number} port */
const to = (lines, port) => lines.map((line) => line.replace(/127\.0\.0\.1:8080/, `127.0.0.1:${port}`));

/** The name and port that a request names as its page's address, where it does. */
const pageOf = (request) => {
  const named = request.headers.origin ?? request.headers.referer;
  return named === undefined ? undefined : new URL(named).host;
};

test('the documented configuration brings the page, and a call', async () => {
  const own = workspace();
  const port = await freePort();
  const device = await startCallbox('run', own.path, deviceConfiguration(own.path, port), { page: `http://127.0.0.1:${port}/` });
  const proxy = await startNginx(own.path, map, { right: to(lines, port) });
  try {
    const anna = await openPage(browser, proxy.urls.right, 'anna');
    await anna.click('#devices [data-peer="door"] button');
    await reaches(anna, 'connected');
    const stamps = await readStamps(anna, await picture(anna, 'door'), 10);
    assert.ok(stamps[9].counter !== stamps[0].counter);
    assert.deepEqual(anna.faults, []);
  } finally {
    await proxy.stop();
    await device.stop();
    own.remove();
  }
});

test('a proxy that gets one thing wrong: the page says what', async () => {
  const relay = await startRelay({
    // As Callbox's server judges: the page's address has to be the one that the request came to.
    refuse: (request) => (pageOf(request) === request.headers.host ? null : { status: 403, code: 'badOrigin' }),
  });
  const own = workspace();
  const proxy = await startNginx(own.path, map, {
    right: to(lines, relay.port),
    noHost: to(changed('Host'), relay.port),
    hostWithoutPort: to(changed('Host', 'proxy_set_header Host $host;'), relay.port),
    noUpgrade: to(changed('Upgrade'), relay.port),
  });
  /** @type {[string, RegExp][]} */
  const mistakes = [
    ['noHost', /Host header has to reach the server/],
    ['hostWithoutPort', /Host header has to reach the server/],
    ['noUpgrade', /pass on Upgrade and Connection/],
  ];
  try {
    await online(await openPage(browser, proxy.urls.right, 'anna'));
    for (const [name, words] of mistakes) {
      const anna = await openPage(browser, proxy.urls[name], '');
      await anna.fill('#name', 'anna');
      await anna.press('#name', 'Enter');
      await eventually(`${name} is told`, async () => words.test((await anna.textContent('#banner')) ?? ''));
    }
    // A page that is there already, whose server goes away behind the proxy.
    const ben = await openPage(browser, proxy.urls.right, 'ben');
    await relay.close();
    await eventually('the missing server is told', async () => /does not reach the server/.test((await ben.textContent('#banner')) ?? ''));
  } finally {
    await proxy.stop();
    await relay.close();
    own.remove();
  }
});
