/** Somebody at the door: every phone rings, whoever looks is not heard, the first who answers has the visitor. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, notice, online, reaches, screenshot, startBrowser } from './harness/browser.js';
import { deviceConfiguration, eventually, freePort, startCallbox, workspace } from './harness/callbox.js';

const PHONE = { width: 390, height: 780 };

/** @type {import('playwright-core').Browser} */
let browser;
const files = workspace();
const port = await freePort();
const home = `http://127.0.0.1:${port}/`;
/** @type {Awaited<ReturnType<typeof startCallbox>>} */
let callbox;

const BELLS = `[access]
mode = "invited"
[[button]]
name = "Front"
[[button]]
name = "Flat 2"
rings = "second floor"
[[group]]
name = "second floor"
people = ["Zoe"]
[[rings]]
buttons = "Flat 2"
after_seconds = 2
people = ["Ben"]
`;

before(async () => {
  browser = await startBrowser();
  callbox = await startCallbox('run', files.path, deviceConfiguration(files.path, port, { more: BELLS }), { page: home });
});
afterEach(async () => {
  await closePages(browser);
  await callbox.command('ring', '--cancel').catch(() => {});
});
after(async () => {
  await browser.close();
  await callbox.stop();
  files.remove();
});

/**
 * Somebody's phone.
 * @param {string} name
 * @param {...string} more of `callbox invite`
 */
async function phone(name, ...more) {
  const link = JSON.parse(await callbox.command('invite', '--json', '--url', home, '--name', name, ...more)).link;
  const page = await (await browser.newContext({ viewport: PHONE })).newPage();
  await page.goto(link);
  await online(page);
  await page.waitForSelector('[data-peer="door"]');
  return page;
}

/** @param {import('playwright-core').Page} page */
const rings = (page) => page.waitForSelector('#visitor[open]');
/** @param {import('playwright-core').Page} page */
const isQuiet = (page) => page.waitForSelector('#visitor:not([open])', { state: 'attached' });
/** @param {import('playwright-core').Page} page */
const seesVisitor = (page) => page.waitForSelector('#visitor[data-picture="on"]');
const visits = async () => (await callbox.status()).visits;
/** Whether the page's microphone goes anywhere. @param {import('playwright-core').Page} page */
const speaks = (page) =>
  page.evaluate(async () => {
    const [call] = /** @type {any} */ (window).callbox.calls();
    const all = call ? [...(await call.stats()).values()] : [];
    return all.some(({ type, kind }) => type === 'media-source' && kind === 'audio');
  });

test('three phones ring and see who is there, the first who answers talks, and the others hear who it was', async (t) => {
  const [anna, ben, zoe] = await Promise.all([phone('Anna'), phone('Ben'), phone('Zoe')]);
  const pressed = performance.now();
  await callbox.command('ring', 'Front');
  await Promise.all([anna, ben, zoe].map(rings));
  t.diagnostic(`command -> three phones ring: ${Math.round(performance.now() - pressed)} ms`);
  await Promise.all([anna, ben, zoe].map(seesVisitor));
  assert.equal(await anna.textContent('#visitor-title'), 'Somebody is at Front door');
  assert.equal(await anna.textContent('#visitor-bell'), 'Front');
  await screenshot(anna, 'visitor-phone');
  assert.deepEqual(await Promise.all([anna, ben, zoe].map(speaks)), [false, false, false], 'whoever looks is silent');
  const [visit] = await visits();
  assert.deepEqual([visit.state, visit.phones], ['ringing', 3], 'looking is no answer');

  await ben.click('#visitor-answer');
  await reaches(ben, 'connected');
  await Promise.all([anna, zoe].map(isQuiet));
  assert.match(await notice(anna, 'visit.door'), /Ben answered at Front door/);
  await eventually('Ben’s voice goes out', () => speaks(ben));
  await eventually('the lookers have gone', async () => (await callbox.status()).calls.length === 1);
  assert.equal((await visits())[0].by, 'Ben');
  await ben.click('#leave');
  await reaches(ben, 'idle');
  await eventually('the visit is over', async () => (await visits()).length === 0);
  assert.match(callbox.output(), /Ben has talked to them/);
});

test('who declines is rung no more, and the others are', async () => {
  const [anna, ben] = await Promise.all([phone('Anna'), phone('Ben')]);
  await callbox.command('ring', 'Front');
  await Promise.all([anna, ben].map(rings));
  await anna.keyboard.press('Escape');
  await isQuiet(anna);
  await eventually('Anna looks no more', async () => (await callbox.status()).calls.every((/** @type {any} */ call) => !call.user.startsWith('anna')));
  assert.equal(await ben.isVisible('#visitor'), true);
  await ben.click('#visitor-decline');
  await eventually('everybody has declined', async () => (await visits()).length === 0);
  assert.match(callbox.output(), /nobody wants to come/);
});

test('a bell rings whom it is for, and others later', async () => {
  const [ben, zoe, anna] = await Promise.all([phone('Ben'), phone('Zoe'), phone('Anna')]);
  await callbox.command('ring', 'flat 2');
  await rings(zoe);
  assert.equal(await ben.isVisible('#visitor'), false);
  await rings(ben);
  assert.equal(await anna.isVisible('#visitor'), false);
  await callbox.command('ring', '--cancel');
  await Promise.all([ben, zoe].map(isQuiet));
  assert.match(await notice(ben, 'visit.door'), /rings no more/);
});

test('who comes on line while it rings is rung, and so is who comes back', async () => {
  await callbox.command('ring', 'Front');
  const anna = await phone('Anna');
  await rings(anna);
  await anna.reload();
  await rings(anna);
  await anna.click('#visitor-answer');
  await reaches(anna, 'connected');
});

test('a guest who may only look sees who is there and cannot answer, and who may not be rung is not', async () => {
  const [looker, stranger] = await Promise.all([
    phone('Looker', '--role', 'guest', '--rights', 'view,ring', '--devices', 'door'),
    phone('Guest', '--role', 'guest', '--rights', 'view,talk', '--devices', 'door'),
  ]);
  await callbox.command('ring', 'Front');
  await seesVisitor(looker);
  assert.equal(await looker.isHidden('#visitor-answer'), true);
  assert.match((await looker.textContent('#visitor-hint')) ?? '', /may not speak/);
  await screenshot(looker, 'visitor-look-only-phone');
  assert.equal(await stranger.isVisible('#visitor'), false);
});

test('a phone that answers and dies lets the others ring on', async () => {
  const [anna, ben] = await Promise.all([phone('Anna'), phone('Ben', '--rights', 'talk,ring')]);
  await callbox.command('ring', 'Front');
  await Promise.all([anna, ben].map(rings));
  // Ben's phone says that it answers, and its connection never comes.
  await ben.evaluate(() => {
    RTCPeerConnection.prototype.setRemoteDescription = () => new Promise(() => {});
  });
  await ben.click('#visitor-answer');
  assert.match(await notice(anna, 'visit.door'), /Ben answered/);
  await rings(anna);
  assert.match(callbox.output(), /did not get through/);
  await anna.click('#visitor-answer');
  await reaches(anna, 'connected');
});

test('a phone that hears nothing more of the door stops ringing', async () => {
  const anna = await phone('Anna');
  await callbox.command('ring', 'Front');
  await seesVisitor(anna);
  await anna.context().setOffline(true);
  await anna.evaluate(() => (WebSocket.prototype.send = () => {}));
  await isQuiet(anna);
});

test('a bell that nobody knows is named, with those there are', async () => {
  await assert.rejects(callbox.command('ring', 'Cellar'), /there is no bell .*Cellar.*; there is .*Front.*Flat 2/s);
  await assert.rejects(callbox.command('ring', '--cancel'), /no bell rings/);
});
