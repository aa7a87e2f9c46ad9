/** A household as people live in it: the first owner, invitations, guests, and access that ends. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, online, picture, reaches, screenshot, startBrowser } from './harness/browser.js';
import { deviceConfiguration, eventually, freePort, startCallbox, workspace } from './harness/callbox.js';

const PHONE = { width: 360, height: 740 };
/** How soon an end of access is seen on the page, in milliseconds: 2 s for the connection, and what a busy machine adds. */
const SOON = 20_000;

/** @type {import('playwright-core').Browser} */
let browser;
const files = workspace();
const port = await freePort();
const home = `http://127.0.0.1:${port}/`;
/** @type {Awaited<ReturnType<typeof startCallbox>>} */
let callbox;
let firstLink = '';

before(async () => {
  browser = await startBrowser();
  const configuration = deviceConfiguration(files.path, port, { more: '[access]\nmode = "invited"\n' });
  callbox = await startCallbox('run', files.path, configuration, { page: home });
  firstLink = await eventually('the first owner’s link is printed', async () => /http\S+#invite=\S+/.exec(callbox.output())?.[0] ?? '');
});
afterEach(() => closePages(browser));
after(async () => {
  await browser.close();
  await callbox.stop();
  files.remove();
});

/**
 * @param {string} url
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
async function visit(url, options = {}) {
  const context = await browser.newContext({ viewport: PHONE, ...options });
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** A link for somebody, from the shell. @param {...string} words */
async function invite(...words) {
  return JSON.parse(await callbox.command('invite', '--json', '--url', home, ...words)).link;
}

const sees = (page, userId) => page.waitForSelector(`[data-peer="${userId}"]`);
const gate = async (page, words = /./) => {
  await page.waitForSelector('#gate:not([hidden])');
  await page.waitForFunction((source) => new RegExp(source).test(document.getElementById('gate')?.textContent ?? ''), words.source, { timeout: SOON });
};
const calls = async (page, userId) => {
  await page.click(`[data-peer="${userId}"] button`);
  await reaches(page, 'connected');
  await picture(page, userId);
};

test('a stranger sees that an invitation is needed, and nothing else', async () => {
  const page = await visit(home);
  await gate(page, /You need an invitation/);
  await screenshot(page, 'gate-phone');
  assert.doesNotMatch((await page.textContent('body')) ?? '', /Front door/);
  const heard = await page.evaluate(async (address) => {
    const socket = new WebSocket(address);
    const heard = /** @type {string[]} */ ([]);
    socket.onmessage = ({ data }) => heard.push(data);
    await new Promise((open) => (socket.onopen = open));
    socket.send(JSON.stringify({ type: 'join', userId: 'stranger' }));
    socket.send(JSON.stringify({ type: 'offer', userId: 'stranger', targetId: 'door', offer: { type: 'offer', sdp: 'v=0' } }));
    await new Promise((later) => setTimeout(later, 500));
    return heard.map((text) => JSON.parse(text));
  }, home.replace('http', 'ws') + 'ws');
  assert.deepEqual(heard.map(({ type, code }) => [type, code]), [['error', 'unauthorized'], ['error', 'notJoined']]);
});

test('the first owner comes in with the printed link, which works once, and calls', async (t) => {
  const opened = performance.now();
  const page = await visit(firstLink);
  await online(page);
  assert.equal(page.url(), home, 'the secret is out of the address');
  await sees(page, 'door');
  const listed = performance.now();
  await calls(page, 'door');
  // Steps that a person takes: opening the link, and pressing Call. docs/quickstart.md has these figures.
  t.diagnostic(`link opened -> listed ${Math.round(listed - opened)} ms; Call pressed -> picture ${Math.round(performance.now() - listed)} ms`);
  await page.click('#leave');
  await reaches(page, 'idle');
  await page.reload();
  await sees(page, 'door');
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie?.httpOnly, cookie?.sameSite, cookie?.name], [true, 'Strict', 'callbox']);

  const late = await visit(firstLink);
  await gate(late, /used already/);
});

test('an owner invites with a code, and the invited one calls', async () => {
  const owner = await visit(await invite('--name', 'Olga', '--role', 'owner'));
  await online(owner);
  await owner.click('#me');
  await owner.click('#account-household');
  await owner.waitForSelector('[data-person="Olga"]');
  await owner.click('#household-invite');
  await owner.fill('#invited', 'Anna');
  await screenshot(owner, 'invite-phone');
  await owner.click('#invite-form .primary');
  await owner.waitForSelector('#invite-qr path[d^="M"]');
  await screenshot(owner, 'invitation-phone');
  const link = await owner.inputValue('#invite-link');
  await owner.click('#invite-done');
  await owner.waitForSelector('[data-person="Anna"]');
  await screenshot(owner, 'household-phone');

  const anna = await visit(link);
  await sees(anna, 'door');
  assert.equal(await anna.textContent('#my-name'), 'Anna');
  await calls(anna, 'door');
  // The same link, from the chat it came in, once more.
  await anna.goto('about:blank');
  await anna.goto(link);
  await sees(anna, 'door');

  // Another browser of the same person's is there beside it.
  const second = await visit(await invite('--name', 'Anna'));
  await sees(second, 'door');
  await Promise.all([second, anna].map((page) => page.waitForSelector('#connection[data-state="online"]')));
});

test('whoever is removed is out within seconds, in a call too', async () => {
  const mae = await visit(await invite('--name', 'Mae'));
  await sees(mae, 'door');
  await calls(mae, 'door');
  await eventually('the device has a call', async () => (await callbox.status()).calls.length === 1);
  await callbox.command('revoke', 'Mae');
  await gate(mae, /Your access has ended/);
  await eventually('the device has none', async () => (await callbox.status()).calls.length === 0);
  await mae.reload();
  await gate(mae, /You need an invitation/);
});

test('a guest comes in time only, and sees their device only', async () => {
  const [hour, day] = [3_600_000, 86_400_000];
  const iso = (/** @type {number} */ ahead) => new Date(Date.now() + ahead).toISOString();
  const early = await visit(await invite('--name', 'Early', '--role', 'guest', '--from', iso(hour), '--until', iso(day)));
  await gate(early, /counts from/);
  const there = await visit(await invite('--name', 'Gast', '--role', 'guest', '--devices', 'door', '--for', '1h'));
  await sees(there, 'door');
  assert.equal(await there.locator('#people-group').isVisible(), false, 'people are not for guests');
  await calls(there, 'door');
  const elsewhere = await visit(await invite('--name', 'Other', '--role', 'guest', '--devices', 'cellar', '--for', '1h'));
  await online(elsewhere);
  await elsewhere.fill('#target', 'door');
  await elsewhere.press('#target', 'Enter');
  await elsewhere.waitForSelector('[data-notice="ended.unknownTarget"]');
});

test('who may only be called may not call', async () => {
  const page = await visit(await invite('--name', 'Bell', '--role', 'guest', '--rights', 'ring', '--devices', 'door'));
  await sees(page, 'door');
  assert.equal(await page.isDisabled('[data-peer="door"] button'), true, 'there is nothing to press');
  assert.match((await page.textContent('[data-peer="door"]')) ?? '', /Calls you/);
  await screenshot(page, 'ring-only-phone');
  assert.equal(await page.isHidden('#dial'), true, 'nor anybody to dial');
});

test('who may only look is asked for no microphone', async () => {
  const page = await visit(await invite('--name', 'Looker', '--role', 'guest', '--rights', 'view', '--devices', 'door'));
  await page.evaluate(() => {
    const media = navigator.mediaDevices;
    media.getUserMedia = () => Promise.reject(new Error('nobody asked for this'));
  });
  await sees(page, 'door');
  await calls(page, 'door');
  assert.equal(await page.isHidden('#microphone'), true);
  assert.match((await page.textContent('.tile .extra')) ?? '', /not speak/);
  assert.equal(await page.locator('.notice').count(), 0);
  await screenshot(page, 'look-only-phone');
});

test('who may only speak is told why nothing is seen', async () => {
  const page = await visit(await invite('--name', 'Speaker', '--role', 'guest', '--rights', 'talk', '--devices', 'door'));
  await sees(page, 'door');
  await page.click('[data-peer="door"] button');
  await reaches(page, 'connected');
  assert.match((await page.textContent('.tile .extra')) ?? '', /one way/);
  await screenshot(page, 'speak-only-phone');
});

test('a microphone that is open for one goes to nobody else', async () => {
  const page = await visit(await invite('--name', 'Both', '--role', 'member', '--rights', 'view', '--devices', 'door'));
  const tom = await visit(await invite('--name', 'Tom'));
  await sees(page, 'tom');
  await page.click('[data-peer="tom"] button');
  await reaches(tom, 'incoming');
  await tom.click('#answer');
  await reaches(page, 'connected');
  await page.waitForSelector('#microphone[data-on="on"]');
  await page.click('#to-lobby');
  await page.click('[data-peer="door"] button');
  await picture(page, 'door');
  const sent = await page.evaluate(async () => {
    /** @type {Record<string, boolean>} */
    const sent = {};
    for (const call of /** @type {any} */ (window).callbox.calls()) {
      const sources = [...(await call.stats()).values()].filter(({ type, kind }) => type === 'media-source' && kind === 'audio');
      sent[call.peer] = sources.length > 0;
    }
    return sent;
  });
  assert.deepEqual(sent, { tom: true, door: false });
});

test('a browser signs itself out', async () => {
  const page = await visit(await invite('--name', 'Zoe'));
  await online(page);
  await page.click('#me');
  await screenshot(page, 'account-phone');
  await page.click('#account-leave');
  await gate(page);
  assert.deepEqual(await page.context().cookies(), []);
  assert.doesNotMatch(await callbox.command('people'), /Zoe[^]*Chrome[^]*as zoe/);
});

test('the log and the status tell no secret', async () => {
  const secrets = [firstLink, await invite('--name', 'Secret')].map((link) => link.split('#invite=')[1].split('&')[0]);
  const log = callbox.output().replace(firstLink, '');
  const status = JSON.stringify(await callbox.status()) + (await callbox.command('people', '--json'));
  for (const secret of secrets) assert.ok(!log.includes(secret) && !status.includes(secret));
});
