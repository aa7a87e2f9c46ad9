/** Calls over HTTPS: with the certificate authority that Callbox makes, and with certificates that people bring. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { closePages, openPage, picture, reaches, startBrowser } from './harness/browser.js';
import { deviceConfiguration, eventually, freePort, read, startCallbox, workspace } from './harness/callbox.js';
import { makeSelfSigned, makeSigned, trustIn } from './harness/certificates.js';
import { hearPitch, readStamps } from './harness/media.js';

/**
 * Starts a device whose server speaks TLS, waits until it has registered there, and runs `use`.
 * @param {string} directory
 * @param {string} tls more of [server], and [server.tls]
 * @param {(device: Awaited<ReturnType<typeof startCallbox>>, port: number) => Promise<void>} use
 */
async function withDevice(directory, tls, use) {
  const port = await freePort();
  const device = await startCallbox('run', directory, deviceConfiguration(directory, port, { server: tls }));
  try {
    await eventually(
      'the device is registered at its own server',
      async () => {
        const status = await device.status();
        assert.match(status.signaling.url, /^wss:/);
        return read.registered(status);
      },
    ).catch((error) => assert.fail(`${error}\n${device.output()}`));
    await use(device, port);
  } finally {
    assert.equal(await device.stop(), 0, device.output());
  }
}

/** The lines for certificates that people bring. @param {{ cert: string, key: string }} files */
const files = ({ cert, key }) => `[server.tls]
mode = "files"
cert_file = ${JSON.stringify(cert)}
key_file = ${JSON.stringify(key)}`;

/** @param {import('playwright-core').Page} page */
async function callsTheDoor(page) {
  await page.click('#devices [data-peer="door"] button');
  await reaches(page, 'connected');
  const stamps = await readStamps(page, await picture(page, 'door'), 10);
  assert.ok(stamps[9].counter !== stamps[0].counter, 'the picture moves');
  await hearPitch(page, '.tile video', { pitch: 440 });
}

/**
 * Asks whether the server is well, as a client that believes only `ca`.
 * @param {number} port
 * @param {string} ca PEM
 * @param {string} servername
 * @returns {Promise<number | undefined>} the status
 */
function ask(port, ca, servername) {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/healthz', ca, servername, agent: false, timeout: 20_000 };
    const asked = request(options, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer')));
    asked.on('error', reject);
    asked.end();
  });
}

test('a browser that trusts the device’s authority calls over HTTPS', async () => {
  const [own, home, httpPort] = [workspace(), workspace(), await freePort()];
  const server = `http_listen = "127.0.0.1:${httpPort}"\n[server.tls]\nmode = "auto"`;
  try {
    await withDevice(own.path, server, async (device, port) => {
      // What is printed, what the landing page says, and what it hands out is one and the same authority.
      const [, printed] = device.output().match(/certificate authority:\s+((?:[0-9A-F]{2}:){31}[0-9A-F]{2})\s/) ?? [];
      assert.ok(printed, device.output());
      assert.ok(device.output().includes(`https://127.0.0.1:${port}/`), device.output());
      const landing = `http://127.0.0.1:${httpPort}/`;
      assert.ok(device.output().includes(landing), device.output());
      assert.ok((await (await fetch(landing)).text()).includes(printed));
      const pem = await (await fetch(`${landing}ca.pem`)).text();
      const authority = new X509Certificate(pem);
      assert.equal(authority.fingerprint256, printed);
      assert.ok(authority.ca);
      assert.equal(readFileSync(join(own.path, 'tls', 'ca.crt'), 'utf8'), pem);
      for (const file of ['ca.pem', 'server.pem']) {
        assert.match(readFileSync(join(own.path, 'tls', file), 'utf8'), /PRIVATE KEY/);
        assert.equal(statSync(join(own.path, 'tls', file)).mode & 0o777, 0o600, file);
      }
      assert.equal(await ask(port, pem, 'localhost'), 200);

      trustIn(home.path, join(own.path, 'tls', 'ca.crt'));
      const browser = await startBrowser({ home: home.path });
      try {
        const anna = await openPage(browser, `https://127.0.0.1:${port}/`, 'anna', { ignoreHTTPSErrors: false });
        await callsTheDoor(anna);
        assert.deepEqual(anna.faults, []);
        await closePages(browser);
      } finally {
        await browser.close();
      }
    });
  } finally {
    own.remove();
    home.remove();
  }
});

test('a browser that was not told to trust the authority does not open the page', async () => {
  const [own, home, httpPort] = [workspace(), workspace(), await freePort()];
  const server = `http_listen = "127.0.0.1:${httpPort}"\n[server.tls]\nmode = "auto"`;
  try {
    await withDevice(own.path, server, async (_device, port) => {
      const browser = await startBrowser({ home: home.path });
      try {
        const opened = openPage(browser, `https://127.0.0.1:${port}/`, 'anna', { ignoreHTTPSErrors: false });
        await assert.rejects(opened, /ERR_CERT_AUTHORITY_INVALID/);
      } finally {
        await browser.close();
      }
    });
  } finally {
    own.remove();
    home.remove();
  }
});

test('a certificate that openssl signs with its own key', async () => {
  const own = workspace();
  const browser = await startBrowser();
  try {
    const pair = makeSelfSigned(own.path, 'door');
    await withDevice(own.path, files(pair), async (device, port) => {
      assert.doesNotMatch(device.output(), /certificate authority/);
      // A person who knows the certificate goes past the browser's warning.
      const anna = await openPage(browser, `https://127.0.0.1:${port}/`, 'anna');
      await callsTheDoor(anna);
      await closePages(browser);
    });
  } finally {
    await browser.close();
    own.remove();
  }
});

test('a certificate that a private authority has signed, for another name than the device uses', async () => {
  const own = workspace();
  try {
    const { authority, ...pair } = makeSigned(own.path, 'door');
    await withDevice(own.path, files(pair), async (_device, port) => {
      assert.equal(await ask(port, readFileSync(authority, 'utf8'), 'door.test'), 200);
    });
  } finally {
    own.remove();
  }
});

test('certificate files that are missing, garbage or of different pairs are named', async () => {
  const own = workspace();
  try {
    const [door, gate] = ['door', 'gate'].map((name) => makeSelfSigned(own.path, name));
    const garbage = join(own.path, 'garbage.pem');
    writeFileSync(garbage, 'garbage\n');
    const absent = join(own.path, 'absent.pem');
    for (const [pair, words] of /** @type {const} */ ([
      [{ cert: absent, key: door.key }, /server\.tls\.cert_file.*absent\.pem/],
      [{ cert: door.cert, key: absent }, /server\.tls\.key_file.*absent\.pem/],
      [{ cert: garbage, key: door.key }, /garbage\.pem holds no certificate .*cert_file/],
      [{ cert: door.cert, key: garbage }, /garbage\.pem holds no private key .*key_file/],
      [{ cert: door.cert, key: gate.key }, /gate\.key cannot be used with .*door\.pem/],
    ])) {
      const configuration = deviceConfiguration(own.path, await freePort(), { server: files(pair) });
      await assert.rejects(startCallbox('run', own.path, configuration), words);
    }
  } finally {
    own.remove();
  }
});
