/** What a page offers and agrees to: offers prepared beforehand, two at the same moment, and changes within a call. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, dial, notice, online, openPage, picture, reaches, startBrowser } from './harness/browser.js';
import { eventually } from './harness/callbox.js';
import { watchConnections } from './harness/connections.js';
import { hearPitch, moves } from './harness/media.js';
import { startRelay } from './harness/relay.js';


const DOOR = { userId: 'door', name: 'Front door', kind: 'device' };

/** @type {import('playwright-core').Browser} */
let browser;
/** What the relay does with a message before it forwards it. @type {(message: any, relay: any) => boolean | void} */
let between = () => {};
/** The ICE servers that the relay hands out beside a device; none: it does not answer `join`. @type {any[] | null} */
let servers = null;
const relay = await startRelay({
  answer(message, socket, relay) {
    if (servers && message.type === 'join') {
      socket.send(JSON.stringify({ type: 'joined', userId: message.userId, version: 1, peers: [DOOR], iceServers: servers }));
    }
    if (message.type === 'ping') socket.send(JSON.stringify({ type: 'pong', nonce: message.nonce }));
    return between(message, relay);
  },
});

before(async () => {
  browser = await startBrowser();
});
afterEach(async () => {
  await closePages(browser);
  between = () => {};
  servers = null;
  relay.seen.length = 0;
});
after(async () => {
  await browser.close();
  await relay.close();
});

const sent = (type, userId) => relay.seen.filter((message) => message.type === type && message.userId === userId);

const open = (name, { without = false, only = false, ...options } = {}) =>
  openPage(browser, relay.url, name, { init: watchConnections, argument: { without, only }, ...options });

/** Calls the device that is only a row in the list, and returns the offer. */
async function pressDoor(page) {
  await page.click('[data-peer="door"] button');
  await eventually('the offer is sent', async () => sent('offer', 'anna').length > 0);
  return sent('offer', 'anna')[0].offer.sdp;
}

/** How often offers were prepared and written again: the connections that were closed unused. */
const discarded = (page) =>
  page.evaluate(() => /** @type {any} */ (window).made.filter((pc) => pc.signalingState === 'closed').length);

test('an offer that was prepared is sent as it is', async () => {
  servers = [];
  const anna = await open('anna');
  assert.match(await pressDoor(anna), /^a=rtpmap:\d+ H264\//m);
  assert.equal(sent('offer', 'anna')[0].kind, 'person');
});

test('an offer that was prepared before the browser had H.264 is written again', async () => {
  servers = [];
  const anna = await open('anna', { without: true });
  assert.match((await anna.textContent('#no-h264')) ?? '', /lacks H\.264.*OpenH264 plug-in.*Chrome, Edge or Safari/);
  assert.ok(await anna.isVisible('#no-h264'));
  await anna.evaluate(() => (/** @type {any} */ (window).without = false));
  assert.match(await pressDoor(anna), /^a=rtpmap:\d+ H264\//m);
  assert.ok(await anna.isHidden('#no-h264'), 'nor is it said any longer');
});

test('a browser that has H.264 says nothing about it', async () => {
  servers = [];
  const anna = await open('anna');
  assert.ok(await anna.isHidden('#no-h264'));
});

/** @type {[string, (page: import('playwright-core').Page) => Promise<any>][]} */
const changes = [
  ['the person allowed the microphone', async (page) => {
    await page.context().grantPermissions(['microphone', 'camera']);
    await eventually('the page has heard of it', () => page.evaluate(() => /** @type {any} */ (window).asked.every((status) => status.state === 'granted')));
  }],
  ['ten minutes have passed', (page) => page.clock.fastForward(10 * 60_000)],
  ['the server names others', async (page) => {
    servers = [{ urls: ['stun:127.0.0.1:9'] }];
    relay.clients.get('anna')?.close();
    await eventually('anna has joined again', async () => sent('join', 'anna').length === 2);
    await online(page);
  }],
];
for (const [what, change] of changes) {
  test(`an offer that was prepared is written again when ${what}`, async () => {
    // This browser asks the person, whose answer the test gives.
    const asking = await startBrowser({ permission: false });
    try {
      servers = [];
      const anna = await openPage(asking, relay.url, '', { init: watchConnections, argument: { without: false } });
      await anna.clock.install();
      await anna.evaluate(async () => {
        const page = /** @type {any} */ (window);
        page.asked = await Promise.all(['microphone', 'camera'].map((name) => navigator.permissions.query({ name })));
      });
      await anna.fill('#name', 'anna');
      await anna.press('#name', 'Enter');
      await online(anna);
      const before = await discarded(anna);
      await change(anna);
      await eventually('it is written again', async () => {
        await anna.clock.runFor(1_000);
        return (await discarded(anna)) > before;
      });
      const after = await discarded(anna);
      await pressDoor(anna);
      assert.equal(await discarded(anna), after, 'what was written again is what is sent');
    } finally {
      await asking.close();
    }
  });
}

test('a call of two people needs no H.264', async () => {
  const anna = await open('anna', { without: true });
  const ben = await open('ben');
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await reaches(anna, 'connected');
  await moves(anna, await picture(anna, 'ben'));
  assert.doesNotMatch((await anna.textContent('.tile .extra')) ?? '', /Sound only/);
});

test('who is called with H.264 alone, and lacks it, hears and is told why there is no picture', async () => {
  const anna = await open('anna', { without: true });
  const ben = await open('ben', { only: true });
  await dial(ben, 'anna');
  await reaches(anna, 'incoming');
  await anna.click('#answer');
  await reaches(anna, 'connected');
  await anna.waitForSelector('.tile .extra:has-text("Sound only: this browser lacks H.264, which the picture of ben needs.")');
  await hearPitch(anna, '.tile video', { pitch: 400 });
});

test('who gets no picture from a browser that could show it is told so', async () => {
  // The browser lists H.264 only after the call was agreed on without.
  const anna = await open('anna', { without: true });
  const ben = await open('ben', { only: true });
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await reaches(anna, 'connected');
  await anna.evaluate(() => (/** @type {any} */ (window).without = false));
  await anna.click('#microphone');
  await anna.waitForSelector('.tile .extra:has-text("Sound only: ben sends this browser no picture.")');
});

/** A page that only writes an offer, as a client of another kind would. */
async function foreignOffer() {
  const page = await open('');
  const sdp = await page.evaluate(async () => {
    const pc = new RTCPeerConnection();
    pc.addTransceiver('audio');
    pc.addTransceiver('video');
    return (await pc.createOffer()).sdp;
  });
  return { type: 'offer', sdp };
}

for (const [kind, peer, stands] of /** @type {const} */ ([
  ['device', 'abe', true],
  ['person', 'abe', false],
  [undefined, 'abe', false],
  ['person', 'zoe', true],
  [undefined, 'zoe', true],
])) {
  test(`at the same moment, towards ${peer} who is ${kind ?? 'of no kind'}, the own call ${stands ? 'stands' : 'yields'}`, async () => {
    const offer = await foreignOffer();
    const may = await open('may');
    await dial(may, peer);
    await eventually('the own offer is out', async () => sent('offer', 'may').length === 1);
    relay.send('may', { type: 'offer', userId: peer, targetId: 'may', callId: 'theirs', kind, offer });
    if (stands) {
      // What follows the offer shows that it was read.
      relay.send('may', { type: 'ringing', userId: peer, targetId: 'may', callId: sent('offer', 'may')[0].callId });
      await reaches(may, 'ringing');
    } else {
      // Who dialled is not rung, but answers.
      await eventually('theirs is answered', async () => sent('answer', 'may')[0]?.callId === 'theirs');
      assert.equal(sent('ringing', 'may').length, 1);
      await reaches(may, 'connecting');
      assert.equal(await may.locator('.tile').count(), 1);
      // Who answers the one that was given up has not heard of it.
      const { callId } = sent('offer', 'may')[0];
      relay.send('may', { type: 'ringing', userId: peer, targetId: 'may', callId });
      await eventually('it is told', async () => sent('leave', 'may').some((message) => message.callId === callId && message.reason === 'replaced'));
    }
  });
}

/** Two pages in a call: anna has called ben. */
async function inCall() {
  const [anna, ben] = [await open('anna'), await open('ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  await picture(anna, 'ben');
  return { anna, ben, callId: sent('offer', 'anna')[0].callId };
}

test('a new call of the same person takes the place of the old one, which is told so', async () => {
  const offer = await foreignOffer();
  const { ben, callId } = await inCall();
  const calls = (callId) => relay.send('ben', { type: 'offer', userId: 'anna', targetId: 'ben', callId, kind: 'person', offer });
  calls('another');
  await eventually('ben rings', async () => sent('ringing', 'ben').some((message) => message.callId === 'another'));
  assert.deepEqual(sent('leave', 'ben').map(({ targetId, callId, reason }) => [targetId, callId, reason]), [['anna', callId, 'replaced']]);
  await reaches(ben, 'incoming');
  // Who writes no call IDs would take it for the end of the new call.
  offer.sdp = offer.sdp.replace(/^o=- \d+/m, 'o=- 4711');
  calls(undefined);
  await eventually('ben rings', async () => sent('ringing', 'ben').some((message) => message.callId === undefined));
  assert.equal(sent('leave', 'ben').length, 1);
});

test('one call too many hears "busy", also when the word is lost', async () => {
  const offer = await foreignOffer();
  const ben = await open('ben');
  const calls = (n) => relay.send('ben', { type: 'offer', userId: `p${n}`, targetId: 'ben', callId: `c${n}`, kind: 'person', offer });
  for (let n = 1; n <= 9; n++) calls(n);
  const refused = (times) => eventually(`it was said ${times} times`, async () => sent('leave', 'ben').length === times);
  await refused(1);
  relay.clients.get('ben')?.close();
  await refused(2);
  // A place is free by then, but the call is over.
  relay.send('ben', { type: 'leave', userId: 'p1', targetId: 'ben', callId: 'c1', reason: 'hangup' });
  calls(9);
  await refused(3);
  for (const { targetId, callId, reason } of sent('leave', 'ben')) assert.deepEqual([targetId, callId, reason], ['p9', 'c9', 'busy']);
  await online(ben);
});

/** Lets the page believe that its path broke, until `restore`. */
const breakPath = (page) =>
  page.evaluate(() => {
    const pc = /** @type {any} */ (window).made.find((each) => each.signalingState !== 'closed' && each.currentRemoteDescription);
    /** @type {any} */ (window).pc = pc;
    const change = (/** @type {string} */ state) => {
      Object.defineProperty(pc, 'connectionState', { get: () => state, configurable: true });
      pc.dispatchEvent(new Event('connectionstatechange'));
    };
    /** @type {any} */ (window).restore = () => change('connected');
    change('disconnected');
  });

test('a renegotiation that the other side refuses leaves the call as it was, and open to the next one', async () => {
  const { anna, ben, callId } = await inCall();
  between = (message, relay) => {
    if (message.type !== 'offer' || message.userId !== 'anna') return false;
    relay.send('anna', { type: 'error', code: 'badSdp', message: 'no', inReplyTo: 'offer', userId: 'ben', targetId: 'anna', callId });
    return true;
  };
  await breakPath(anna);
  await eventually('it was offered', async () => sent('offer', 'anna').length === 2);
  await anna.waitForFunction(() => /** @type {any} */ (window).pc.signalingState === 'stable');
  await anna.evaluate(() => /** @type {any} */ (window).restore());
  await reaches(anna, 'connected');
  between = () => {};
  // Ben, who did not begin the call, negotiates now.
  const offer = await ben.evaluate(async () => {
    const pc = /** @type {any} */ (window).made.find((each) => each.signalingState !== 'closed' && each.currentRemoteDescription);
    const offer = await pc.createOffer();
    return { type: offer.type, sdp: offer.sdp };
  });
  relay.send('anna', { type: 'offer', userId: 'ben', targetId: 'anna', callId, offer });
  await eventually('anna answers it', async () => sent('answer', 'anna').length === 1);
  await moves(anna, '.tile video');
});

test('another peer’s error does not touch the call', async () => {
  const { anna, callId } = await inCall();
  for (const error of [
    { userId: 'carl', callId }, { userId: 'ben', callId: 'another' }, { userId: 'ben', callId, inReplyTo: 'candidate' },
  ]) {
    relay.send('anna', { type: 'error', code: 'badSdp', message: '', inReplyTo: 'offer', targetId: 'anna', ...error });
  }
  await moves(anna, '.tile video');
  await reaches(anna, 'connected');
});

test('a renegotiation that cannot be used is refused, and the call goes on', async () => {
  const { anna, ben, callId } = await inCall();
  relay.send('ben', { type: 'offer', userId: 'anna', targetId: 'ben', callId, offer: { type: 'offer', sdp: 'v=0' } });
  await eventually('ben refuses it', async () => sent('error', 'ben').length === 1);
  const [error] = sent('error', 'ben');
  assert.deepEqual([error.code, error.targetId, error.callId, error.inReplyTo], ['badSdp', 'anna', callId, 'offer']);
  await moves(anna, '.tile video');
  await reaches(ben, 'connected');
});

test('the same call ID is the same call, whatever session its offer names', async () => {
  const { anna, ben } = await inCall();
  between = (message) => {
    if (message.type !== 'offer') return false;
    message.offer.sdp = message.offer.sdp.replace(/^o=- \d+/m, 'o=- 4711');
    relay.send(message.targetId, message);
    return true;
  };
  await breakPath(anna);
  await eventually('ben answers', async () => sent('answer', 'ben').length === 2);
  await anna.evaluate(() => /** @type {any} */ (window).restore());
  await moves(anna, '.tile video');
  assert.equal(await ben.getAttribute('html', 'data-state'), 'connected', 'ben is not rung again');
  assert.equal(sent('ringing', 'ben').length, 1);
});

test('a path that broke has half a minute to come back', async () => {
  const { anna } = await inCall();
  await anna.clock.install();
  await breakPath(anna);
  await anna.clock.fastForward(29_000);
  await reaches(anna, 'reconnecting');
  await anna.clock.fastForward(2_000);
  assert.match(await notice(anna, 'ended.lost'), /connection to ben is lost/);
});

test('a call that breaks after a good talk is not blamed on the networks in between', async () => {
  const { anna, callId } = await inCall();
  relay.send('anna', { type: 'leave', userId: 'ben', targetId: 'anna', callId, reason: 'failed' });
  const words = await notice(anna, 'ended.failed');
  assert.match(words, /broke/);
  assert.doesNotMatch(words, /TURN|no picture or sound/);
});

test('candidates are taken in the forms that other clients write', async () => {
  let changed = 0;
  const forms = [
    { sdpMid: null }, { sdpMid: null, sdpMLineIndex: undefined }, { sdpMid: 'audio', sdpMLineIndex: undefined },
  ];
  between = (message, relay) => {
    if (message.type !== 'candidate' || !message.candidate?.candidate) return false;
    relay.send(message.targetId, { ...message, candidate: { ...message.candidate, ...forms[changed++ % forms.length] } });
    return true;
  };
  // The description keeps what was taken; the statistics forget a candidate together with its last pair.
  const taken = (page) => page.evaluate(() =>
    /** @type {any} */ (window).made.find((each) => each.signalingState !== 'closed' && each.currentRemoteDescription)
      .currentRemoteDescription.sdp);
  const place = (message) => message.candidate?.candidate.match(/ udp \d+ (\S+ \d+ typ)/)?.[1];
  const { anna, ben } = await inCall();
  await eventually('each took the other’s', async () => {
    const all = [['ben', anna], ['anna', ben]].map(async ([from, page]) => {
      const description = await taken(page);
      return sent('candidate', from).map(place).filter(Boolean).every((each) => description.includes(each));
    });
    return changed >= 2 && (await Promise.all(all)).every(Boolean);
  });
});
