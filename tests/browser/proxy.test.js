/** The page behind nginx: as the documentation has it, and with the mistakes that people make. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, online, openPage, picture, reaches, startBrowser } from './harness/browser.js';
import { deviceConfiguration, eventually, freePort, serverConfiguration, startCallbox, workspace } from './harness/callbox.js';
import { readStamps } from './harness/media.js';
import { documented, startNginx } from './harness/nginx.js';

const files = workspace();
const { map, lines } = documented();
/** The documented lines, without one of them or with another in its place. */
const changed = (/** @type {string} */ header, /** @type {string} */ instead = '') =>
  lines.map((line) => (line.startsWith(`proxy_set_header ${header} `) ? instead : line));

/** @type {import('playwright-core').Browser} */
let browser;
before(async () => {
  browser = await startBrowser({ hosts: 'MAP door.example 127.0.0.1' });
});
afterEach(() => closePages(browser));
after(async () => {
  await browser.close();
  files.remove();
});

/** Sends the proxy to the server of this port. @param {string[]} lines @param {number} port */
const to = (lines, port) => lines.map((line) => line.replace(/127\.0\.0\.1:8080/, `127.0.0.1:${port}`));

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

test('a proxy that gets one thing wrong: the page says what, and so does the log', async () => {
  const own = workspace();
  const port = await freePort();
  const configuration = serverConfiguration(own.path, port).replace('[state]', 'names = ["door.localhost"]\n[access]\nmode = "open"\n[state]');
  const server = await startCallbox('server', own.path, configuration, { page: `http://127.0.0.1:${port}/` });
  const proxy = await startNginx(own.path, map, {
    right: to(lines, port),
    noHost: to(changed('Host'), port),
    hostWithoutPort: to(changed('Host', 'proxy_set_header Host $host;'), port),
    noUpgrade: to(changed('Upgrade'), port),
    oldHttp: to(lines.filter((line) => !line.startsWith('proxy_http_version')), port),
  });
  /** @type {[string, string, RegExp, string][]} */
  const mistakes = [
    ['noHost', '127.0.0.1', /Host header has to reach the server .*“127\.0\.0\.1” has to stand in \[server\] names/, 'badOrigin'],
    ['hostWithoutPort', '127.0.0.1', /Host header has to reach the server/, 'badOrigin'],
    ['noUpgrade', '127.0.0.1', /pass on Upgrade and Connection, by HTTP\/1\.1/, 'notAWebSocket'],
    ['oldHttp', '127.0.0.1', /pass on Upgrade and Connection, by HTTP\/1\.1/, 'notAWebSocket'],
    ['right', 'door.example', /does not go by the name “door\.example:\d+”.*\[server\] names/, 'badHost'],
  ];
  const at = (/** @type {string} */ name, /** @type {string} */ host) => proxy.urls[name].replace('127.0.0.1', host);
  try {
    await online(await openPage(browser, proxy.urls.right, 'anna'));
    for (const [name, host, words, code] of mistakes) {
      const page = await openPage(browser, at(name, host), '');
      await page.fill('#name', name);
      await page.press('#name', 'Enter');
      await eventually(`${name} is told`, async () => words.test((await page.textContent('#banner')) ?? ''));
      await eventually(`${code} is logged`, async () => server.output().includes(`code=${code}`));
      await page.context().close();
    }
    await online(await openPage(browser, at('noHost', 'door.localhost'), 'carl'));
    // A page that is there already, whose server goes away behind the proxy.
    const ben = await openPage(browser, proxy.urls.right, 'ben');
    await server.stop();
    await eventually('the missing server is told', async () => /does not reach the server/.test((await ben.textContent('#banner')) ?? ''));
  } finally {
    await proxy.stop();
    await server.stop();
    own.remove();
  }
});
