/** Pages with Callbox's own signaling server. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, dial, notice, online, openPage, picture, reaches, screenshot, startBrowser } from './harness/browser.js';
import { freePort, serverConfiguration, startCallbox, workspace } from './harness/callbox.js';
import { moves } from './harness/media.js';

const files = workspace();
const port = await freePort();
const url = `http://127.0.0.1:${port}/`;
const start = () => startCallbox('server', files.path, serverConfiguration(files.path, port), { page: url });

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof start>>} */
let server;

before(async () => {
  [browser, server] = await Promise.all([startBrowser(), start()]);
});
afterEach(async () => {
  await closePages(browser);
});
after(async () => {
  await browser.close();
  await server.stop();
  files.remove();
});

/** @param {string} name */
const open = (name) => openPage(browser, url, name);

test('people see each other come and go, and a press calls with both cameras', async () => {
  const anna = await open('anna');
  await anna.waitForSelector('#nobody-text:has-text("Nobody else is here")');
  const ben = await open('ben');
  await ben.waitForSelector('#people [data-peer="anna"]');
  await anna.click('#people [data-peer="ben"] button');
  await reaches(anna, 'ringing');
  await ben.click('#answer-camera');
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  await moves(anna, await picture(anna, 'ben'));
  await moves(ben, await picture(ben, 'anna'));
  await screenshot(anna, 'server-call');
  await ben.click('#leave');
  await Promise.all([reaches(anna, 'idle'), reaches(ben, 'idle')]);
  await ben.close();
  await anna.waitForSelector('#people [data-peer="ben"]', { state: 'detached' });
  assert.deepEqual(anna.faults, []);
});

test('an unknown ID is told at once', async () => {
  const anna = await open('anna');
  await dial(anna, 'nobody');
  assert.match(await notice(anna, 'ended.unknownTarget'), /Nobody is online under the ID “nobody”/);
  await reaches(anna, 'idle');
});

test('a second window under the same name asks for another one, and the first stays', async () => {
  const anna = await open('anna');
  const other = await openPage(browser, url, '');
  await other.fill('#name', 'anna');
  await other.press('#name', 'Enter');
  await other.waitForSelector('#name-error:has-text("in use")');
  await online(anna);
  await other.fill('#name', 'anne');
  await other.press('#name', 'Enter');
  await online(other);
  await anna.waitForSelector('#people [data-peer="anne"]');
});

test('a page that is loaded again gets its name back', async () => {
  const anna = await open('anna');
  await anna.reload();
  await online(anna);
  assert.equal(await anna.textContent('#my-name'), 'anna');
});

test('calls go on while the server restarts, and everybody joins again', async () => {
  const [anna, ben] = [await open('anna'), await open('ben')];
  await anna.click('[data-peer="ben"] button');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  const video = await picture(anna, 'ben');
  await server.stop();
  await anna.waitForSelector('#banner:has-text("Your call goes on")');
  server = await start();
  await Promise.all([online(anna), online(ben)]);
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  await moves(anna, video);
  await anna.waitForSelector('#people [data-peer="ben"]');
});
