/** A plain sentence for each thing that can go wrong, and calls that go on with what there is. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, dial, notice, online, openPage, picture, reaches, screenshot, startBrowser } from './harness/browser.js';
import { moves } from './harness/media.js';
import { startRelay } from './harness/relay.js';

/** @type {import('playwright-core').Browser} */
let browser;
/** What Callbox's server would say to a message; set by each test that needs it. @type {(message: any) => any[]} */
let replies = () => [];
const relay = await startRelay({
  answer(message, socket) {
    for (const reply of replies(message)) socket.send(JSON.stringify(reply));
  },
});

before(async () => {
  browser = await startBrowser();
});
afterEach(async () => {
  await closePages(browser);
  replies = () => [];
  relay.seen.length = 0;
});
after(async () => {
  await browser.close();
  await relay.close();
});

const DOOR = { userId: 'door', name: 'Front door', kind: 'device' };
const BEN = { userId: 'ben', name: 'ben', kind: 'person' };
const joined = (...peers) => (message) =>
  message.type === 'join' ? [{ type: 'joined', userId: message.userId, version: 1, peers, iceServers: [] }] : [];

/** Opens the page where `getUserMedia` fails as given for each of its devices. */
const openFailing = (name, failures) =>
  openPage(browser, relay.url, name, {
    argument: failures,
    init: (failures) => {
      const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted = {}) => {
        const error = (wanted.audio && failures.audio) || (wanted.video && failures.video);
        if (error) throw new DOMException(error.message ?? '', error.name);
        return real(wanted);
      };
    },
  });

/** @type {[string, string, RegExp][]} */
const microphones = [
  ['NotAllowedError', 'microphone.denied', /may not use the microphone.*beside the address/],
  ['NotFoundError', 'microphone.missing', /no microphone was found/],
  ['NotReadableError', 'microphone.busy', /Another program may be using it/],
];
for (const [error, code, words] of microphones) {
  test(`a call goes on listening when the microphone fails with ${error}`, async () => {
    replies = joined(BEN);
    const anna = await openFailing('anna', { audio: { name: error } });
    const ben = await openPage(browser, relay.url, 'ben');
    await anna.click('[data-peer="ben"] button');
    assert.match(await notice(anna, code), words);
    await reaches(ben, 'incoming');
    await ben.click('#answer-camera');
    await reaches(anna, 'connected');
    await moves(anna, await picture(anna, 'ben'));
    await picture(ben, 'anna');
    assert.equal(await anna.getAttribute('#microphone', 'data-on'), 'none');
    await ben.waitForSelector('.tile .extra:has-text("Microphone off")');
    await screenshot(anna, code);
  });
}

test('a busy camera costs the picture, not the voice', async () => {
  replies = joined(BEN);
  const anna = await openFailing('anna', { video: { name: 'NotReadableError' } });
  await anna.click('[data-peer="ben"] button');
  assert.match(await notice(anna, 'camera.busy'), /close that program/);
  await anna.waitForSelector('#microphone[data-on="on"]');
});

test('a system that keeps the microphone from the browser is named', async () => {
  const anna = await openFailing('anna', { audio: { name: 'NotAllowedError', message: 'Permission denied by system' } });
  await dial(anna, 'ben');
  assert.match(await notice(anna, 'microphone.deniedBySystem'), /privacy settings/);
});

test('a browser without devices, and one without permission, can still call and watch', async () => {
  replies = joined(BEN);
  const ben = await openPage(browser, relay.url, 'ben');
  for (const [options, problem] of /** @type {const} */ ([[{ devices: false }, 'missing'], [{ permission: false }, 'denied']])) {
    const other = await startBrowser(options);
    try {
      const anna = await openPage(other, relay.url, 'anna');
      await anna.click('[data-peer="ben"] button');
      await notice(anna, `microphone.${problem}`);
      await notice(anna, `camera.${problem}`);
      await reaches(ben, 'incoming');
      await ben.click('#answer-camera');
      await reaches(anna, 'connected');
      await moves(anna, await picture(anna, 'ben'));
      await anna.click('#leave');
      await reaches(ben, 'idle');
    } finally {
      await other.close();
    }
  }
});

test('a page without encryption says what is missing, and how to get it', async () => {
  const other = await startBrowser({ hosts: 'MAP intercom.test 127.0.0.1' });
  try {
    const anna = await openPage(other, `http://intercom.test:${relay.port}/`, 'anna');
    assert.match((await anna.textContent('#insecure')) ?? '', /https/);
    await dial(anna, 'ben');
    assert.match(await notice(anna, 'microphone.insecure'), /secure pages only/);
    await reaches(anna, 'calling');
    assert.deepEqual(anna.faults, []);
  } finally {
    await other.close();
  }
});

test('sound that the browser holds back waits for a touch', async () => {
  const ben = await openPage(browser, relay.url, 'ben');
  const anna = await openPage(browser, relay.url, 'anna', {
    // The driver's own doings count as touches, so the browser's rule is played here.
    init: () => {
      const real = HTMLMediaElement.prototype.play;
      HTMLMediaElement.prototype.play = function () {
        const touched = window.event?.type === 'click' || this.id === 'self';
        return touched || this.muted ? real.call(this) : Promise.reject(new DOMException('', 'NotAllowedError'));
      };
    },
  });
  await dial(ben, 'anna');
  await reaches(anna, 'incoming');
  await anna.click('#answer');
  await reaches(anna, 'connected');
  await ben.click('#camera');
  const video = await picture(anna, 'ben');
  const muted = () => anna.$eval(video, (element) => /** @type {HTMLVideoElement} */ (element).muted);
  assert.equal(await muted(), true);
  await moves(anna, video);
  await anna.click('.tile .hear');
  assert.equal(await muted(), false);
  assert.ok(await anna.isHidden('.tile .hear'));
});

test('the list follows who comes and goes, and a press calls', async () => {
  replies = joined(DOOR, BEN);
  const anna = await openPage(browser, relay.url, 'anna');
  assert.equal(await anna.locator('#devices [data-peer="door"]').count(), 1);
  assert.equal(await anna.locator('#people [data-peer="ben"]').count(), 1);
  await anna.focus('[data-peer="ben"] button');
  relay.send('anna', { type: 'presence', online: true, peer: { userId: 'abe', name: 'Abe', kind: 'person' } });
  await anna.waitForSelector('#people li:first-child[data-peer="abe"]');
  assert.ok(await anna.$eval('[data-peer="ben"] button', (button) => button === document.activeElement), 'the focus stays');
  await screenshot(anna, 'list');
  relay.send('anna', { type: 'presence', online: false, peer: DOOR });
  await anna.waitForSelector('#device-group', { state: 'hidden' });
  relay.send('anna', { type: 'presence', online: true, peer: DOOR });
  await anna.click('[data-peer="door"] button');
  await anna.waitForSelector('.tile .extra:has-text("This device has no screen, so your camera is not sent.")');
  await anna.waitForSelector('#microphone[data-on="on"]');
  assert.equal(await anna.getAttribute('#camera', 'data-on'), 'none');
  const { sdp } = relay.seen.find((message) => message.type === 'offer').offer;
  assert.match(sdp.split(/^m=/m).find((part) => part.startsWith('video')), /a=recvonly/);
});

/** @type {[string, any, string, RegExp][]} */
const refusals = [
  ['an unknown ID', { type: 'error', code: 'unknownTarget', targetId: 'door', message: '' }, 'ended.unknownTarget', /Nobody is online under the ID “door”/],
  ['a busy device', { type: 'leave', userId: 'door', targetId: 'anna', reason: 'busy' }, 'ended.busy', /door is busy/],
  ['an offer that cannot be used', { type: 'error', userId: 'door', targetId: 'anna', code: 'badSdp', message: '' }, 'ended.badOffer', /do not understand each other/],
  ['a failed connection', { type: 'leave', userId: 'door', targetId: 'anna', reason: 'failed' }, 'ended.failed', /No connection to door/],
];
for (const [what, reply, code, words] of refusals) {
  test(`${what} is told in words`, async () => {
    replies = (message) =>
      message.type === 'offer'
        ? [{ ...reply, inReplyTo: 'offer', callId: message.callId }]
        : joined()(message);
    const anna = await openPage(browser, relay.url, 'anna');
    assert.match((await anna.textContent('#nobody')) ?? '', /Nobody else is here/);
    await dial(anna, 'door');
    assert.match(await notice(anna, code), words);
    await reaches(anna, 'idle');
  });
}

test('a name that is taken asks for another one', async () => {
  replies = (message) =>
    message.userId === 'anna' ? [{ type: 'error', code: 'idTaken', inReplyTo: 'join', message: '' }] : joined()(message);
  const anna = await openPage(browser, relay.url, '');
  await anna.fill('#name', 'anna');
  await anna.press('#name', 'Enter');
  await anna.waitForSelector('#name-error:has-text("in use")');
  await screenshot(anna, 'name-taken');
  await anna.fill('#name', 'anne');
  await anna.press('#name', 'Enter');
  await online(anna);
  assert.equal(await anna.textContent('#my-name'), 'anne');
});

test('a name that the server does not accept is told, and never taken for one that is on line', async () => {
  replies = (message) =>
    message.userId === 'anna' ? [{ type: 'error', code: 'badField', inReplyTo: 'join', message: 'userId: too odd' }] : joined()(message);
  const anna = await openPage(browser, relay.url, '');
  await anna.fill('#name', 'anna');
  await anna.press('#name', 'Enter');
  await anna.waitForSelector('#name-error:has-text("does not accept this name")');
  assert.equal(await anna.getAttribute('#connection', 'data-state'), 'stopped');
  assert.match(anna.faults.join(), /badField: userId: too odd/);
  await anna.fill('#name', 'anne');
  await anna.press('#name', 'Enter');
  await online(anna);
});

test('a name that another window takes over is not fought for', async () => {
  const anna = await openPage(browser, relay.url, 'anna');
  const before = relay.seen.length;
  relay.clients.get('anna')?.close(4000);
  await anna.waitForSelector('#name-error:has-text("another window")');
  assert.equal(await anna.getAttribute('#connection', 'data-state'), 'stopped');
  assert.equal(relay.seen.length, before);
});

test('a full server is told, and tried again', async () => {
  let full = true;
  replies = (message) => (full ? [{ type: 'error', code: 'serverFull', inReplyTo: 'join', message: '' }] : joined()(message));
  const anna = await openPage(browser, relay.url, '');
  await anna.fill('#name', 'anna');
  await anna.press('#name', 'Enter');
  await anna.waitForSelector('#banner:has-text("server is full")');
  full = false;
  await online(anna);
  assert.ok(await anna.isHidden('#banner'));
});

test('calling oneself, or nobody, is no call', async () => {
  const anna = await openPage(browser, relay.url, 'anna');
  await dial(anna, '  ');
  assert.match((await anna.textContent('#target-error')) ?? '', /Type the ID/);
  await dial(anna, 'anna');
  assert.match((await anna.textContent('#target-error')) ?? '', /your own ID/);
  assert.ok(relay.seen.every((message) => message.type === 'join'));
});
