/** Calls whose two sides know each other by their keys, and what happens when somebody sits in between. */

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import WebSocket from 'ws';
import { closePages, notice, online, picture, reaches, screenshot, startBrowser } from './harness/browser.js';
import { deviceConfiguration, eventually, freePort, startCallbox, workspace } from './harness/callbox.js';

/** @type {import('playwright-core').Browser} */
let browser;
const files = workspace();
const port = await freePort();
const home = `http://127.0.0.1:${port}/`;
/** @type {Awaited<ReturnType<typeof startCallbox>>} */
let callbox;

before(async () => {
  browser = await startBrowser();
  const configuration = deviceConfiguration(files.path, port, { more: '[access]\nmode = "invited"\n' });
  callbox = await startCallbox('run', files.path, configuration, { page: home });
});
afterEach(() => closePages(browser));
after(async () => {
  await browser.close();
  await callbox.stop();
  files.remove();
});

/**
 * Somebody's page, who was just invited.
 * @param {string} name
 * @param {(message: any, toServer: boolean) => any} [meddle] what somebody between page and server makes of each message
 * @param {string} [role]
 */
async function come(name, meddle, role = 'member') {
  const link = JSON.parse(await callbox.command('invite', '--json', '--url', home, '--name', name, '--role', role)).link;
  const context = await browser.newContext({ viewport: { width: 390, height: 780 } });
  if (meddle) {
    await context.routeWebSocket(/\/ws$/, (page) => {
      const server = page.connectToServer();
      const pass = (/** @type {string | Buffer} */ text, /** @type {boolean} */ toServer) =>
        JSON.stringify(meddle(JSON.parse(String(text)), toServer));
      page.onMessage((text) => server.send(pass(text, true)));
      server.onMessage((text) => page.send(pass(text, false)));
    });
  }
  const page = await context.newPage();
  await page.goto(link);
  await online(page);
  return page;
}

/** @param {import('playwright-core').Page} page @param {string} peer */
const isVerified = (page, peer) => page.waitForSelector(`.tile[data-peer="${peer}"] .trust[data-verified="true"]`);

/** @param {import('playwright-core').Page} page @param {string} peer */
const call = (page, peer) => page.click(`[data-peer="${peer}"] button`);

test('a call with a device of the household is verified, on both sides', async () => {
  const page = await come('Anna');
  await call(page, 'door');
  await picture(page, 'door');
  await isVerified(page, 'door');
  assert.equal((await callbox.status()).calls[0].verified, true);
  await screenshot(page, 'verified-phone');
  await page.click('.tile .trust');
  assert.match(await notice(page, 'trust'), /knows the key of/);
  // Another path for the same call needs no check anew.
  await page.evaluate(() => /** @type {any} */ (window).callbox.calls()[0].stats());
  await page.click('#leave');
  await reaches(page, 'idle');
});

test('a device that calls shows who it is before it is heard', async () => {
  const page = await come('Ben');
  const ring = callbox.command('call', 'ben');
  await reaches(page, 'incoming');
  await page.click('#answer');
  await picture(page, 'door');
  await isVerified(page, 'door');
  await ring;
  await eventually('the device knows, too', async () => (await callbox.status()).calls[0]?.verified === true);
  await page.click('#leave');
  await reaches(page, 'idle');
});

test('two people know each other', async () => {
  const [mae, tom] = [await come('Mae'), await come('Tom')];
  await mae.waitForSelector('[data-peer="tom"]');
  await call(mae, 'tom');
  await reaches(tom, 'incoming');
  await tom.click('#answer-camera');
  await Promise.all([isVerified(mae, 'tom'), isVerified(tom, 'mae')]);
  await picture(mae, 'tom');
});

/** Another connection's fingerprint in a description. @param {{ sdp: string }} description */
const forge = (description) => {
  description.sdp = description.sdp.replace(/(a=fingerprint:sha-256 )\S+/g, `$1${Array(32).fill('AB').join(':')}`);
};

for (const [how, meddle] of /** @type {[string, (message: any, toServer: boolean) => void][]} */ ([
  ['puts a connection of their own into the answer', (message) => message.type === 'answer' && forge(message.answer)],
  ['puts one into the offer', (message, toServer) => toServer && message.type === 'offer' && forge(message.offer)],
  ['takes away what the device says of itself', (message) => message.type === 'answer' && delete message.identity],
  ['gives it out for another', (message) => message.type === 'answer' && (message.identity.key = `ed25519:${'A'.repeat(43)}`)],
])) {
  test(`nobody overlooks somebody in between who ${how}`, async () => {
    const page = await come(`Eve ${how.length}`, (message, toServer) => {
      meddle(message, toServer);
      return message;
    });
    await call(page, 'door');
    await page.waitForSelector('#alarm[open]');
    assert.equal(await page.getAttribute('#alarm', 'role'), 'alertdialog');
    assert.match((await page.textContent('#alarm-text')) ?? '', /listen in/);
    await screenshot(page, 'alarm-phone');
    const alarm = await page.locator('#alarm').boundingBox();
    assert.deepEqual([alarm?.width, alarm?.height], [390, 780], 'it covers the page');
    assert.equal(await page.locator('.tile').count(), 0);
    await page.click('#alarm-close');
    await eventually('the device has no call', async () => (await callbox.status()).calls.length === 0);
    const { media } = await callbox.status();
    assert.equal(media.video, null, 'no camera was opened');
  });
}

test('a browser that lost its key makes another, and knows nobody by the household any more', async () => {
  const page = await come('Forgetful');
  await page.evaluate(() => new Promise((done) => (indexedDB.deleteDatabase('callbox').onsuccess = done)));
  await Promise.all([page, await page.context().newPage()].map(async (each) => {
    await each.goto(home);
    await each.waitForFunction(() => Boolean(document.querySelector('[data-peer="door"]')));
  }));
  await page.reload();
  await online(page);
  assert.equal(await page.isHidden('#no-key'), true);
  await call(page, 'door');
  await picture(page, 'door');
  assert.equal((await callbox.status()).calls[0].verified, true, 'the device knows who calls');
  await page.waitForSelector('.tile[data-peer="door"] .trust[data-verified="false"]');
  await page.click('.tile .trust');
  assert.match(await notice(page, 'trust'), /takes an invitation/);
  await page.click('#leave');
  await reaches(page, 'idle');
});

test('a browser that has no keys is told what helps, before the call and after', async () => {
  const page = await come('Keyless');
  await page.addInitScript(() => Object.defineProperty(crypto, 'subtle', { value: undefined }));
  await page.reload();
  await online(page);
  assert.match(await page.innerText('#no-key'), /has no key/);
  await call(page, 'door');
  assert.match(await notice(page, 'ended.unidentified'), /new invitation/);
});

test('owners hear of a device that would like to be theirs', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64url');
  const socket = new WebSocket(`${home.replace('http', 'ws')}ws`);
  const asked = new Promise((heard) => socket.on('upgrade', ({ headers }) => heard(headers['callbox-challenge'])));
  const answered = new Promise((heard) => socket.on('message', heard));
  await new Promise((opened) => socket.on('open', opened));
  const challenge = await asked;
  const signature = sign(null, Buffer.from(`callbox join 1\n${new URL(home).host}\ndoor\n${challenge}\n`), privateKey).toString('base64url');
  const credential = { key: `ed25519:${key}`, signature };
  socket.send(JSON.stringify({ type: 'join', userId: 'door', kind: 'device', credential }));
  const said = JSON.parse(String(await answered));
  assert.deepEqual([said.code, /does not know a device/.test(said.message)], ['unauthorized', true]);
  socket.close();

  const owner = await come('Olga', undefined, 'owner');
  await owner.click('#me');
  await owner.click('#account-household');
  await owner.waitForSelector('#household-devices:not(:empty)');
  assert.match((await owner.textContent('#household-devices')) ?? '', /wanted to be “door”, once/);
  await screenshot(owner, 'impostor-phone');
});

test('whoever is said to be a person has to show who they are all the same', async () => {
  const asPerson = (/** @type {any[]} */ peers) => peers?.forEach((peer) => (peer.kind = 'person'));
  const page = await come('Victim', (message, toServer) => {
    if (toServer) return message;
    asPerson(message.peers ?? message.online);
    if (message.type === 'answer') delete message.identity;
    return message;
  });
  await call(page, 'door');
  assert.match(await notice(page, 'ended.unshown'), /does not show who they are/);
  assert.equal(await page.locator('.tile').count(), 0);
});
