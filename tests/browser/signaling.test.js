/** The page and its server: connections that die without a word, what is lost and said again, and who may say what. */

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { closePages, dial, notice, online, openPage, picture, reaches, startBrowser } from './harness/browser.js';
import { eventually } from './harness/callbox.js';
import { moves } from './harness/media.js';
import { startRelay } from './harness/relay.js';

const DOOR = { userId: 'door', name: 'Front door', kind: 'device' };
const BEN = { userId: 'ben', name: 'Ben', kind: 'person' };

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof startRelay>>[]} */
const relays = [];

before(async () => {
  browser = await startBrowser();
});
afterEach(async () => {
  await closePages(browser);
  await Promise.all(relays.splice(0).map((relay) => relay.close()));
});
after(() => browser.close());

/** A relay of the test's own. @param {Parameters<typeof startRelay>[0]} [options] */
async function relayWith(options) {
  const relay = await startRelay(options);
  relays.push(relay);
  return relay;
}

/** What Callbox's server says by itself: who is online, and that it lives. @param {any[]} peers @param {any[]} iceServers */
const serverWith = (peers = [], iceServers = []) => (message, socket) => {
  const say = (reply) => socket.send(JSON.stringify(reply));
  if (message.type === 'join') say({ type: 'joined', userId: message.userId, version: 1, peers, iceServers });
  if (message.type === 'ping') say({ type: 'pong', nonce: message.nonce });
};

const joins = (relay, userId) => relay.seen.filter((message) => message.type === 'join' && message.userId === userId).length;
const sent = (relay, type, userId) => relay.seen.filter((message) => message.type === type && message.userId === userId);
const joinsAgain = (relay, userId) => eventually(`${userId} has joined again`, async () => relay.clients.has(userId));

/** Opens the page with a clock that the test can move, and joins. */
async function openWithClock(relay, name, wait = 0) {
  const page = await openPage(browser, relay.url, '');
  await page.clock.install();
  await page.fill('#name', name);
  await page.press('#name', 'Enter');
  if (wait) {
    await joinsAgain(relay, name);
    await page.clock.runFor(wait);
  }
  await online(page);
  return page;
}

const wakes = {
  'that the page came on line': (page) => page.evaluate(() => window.dispatchEvent(new Event('online'))),
  'that the page is looked at again': async (page) => {
    await page.clock.runFor(4_000);
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  },
  'that time has passed': (page) => page.clock.runFor(15_000),
};
for (const [what, wake] of Object.entries(wakes)) {
  test(`a connection that died without a word is replaced: ${what}`, async () => {
    const relay = await relayWith({ answer: serverWith([DOOR]) });
    const anna = await openWithClock(relay, 'anna');
    await anna.waitForSelector('[data-peer="door"]');
    relay.forget('anna');
    await wake(anna);
    assert.equal(await anna.getAttribute('#connection', 'data-state'), 'online', 'nothing has shown it yet');
    await anna.clock.runFor(5_000);
    await joinsAgain(relay, 'anna');
    await online(anna);
    assert.equal(joins(relay, 'anna'), 2);
  });
}

test('an attempt that began without a network is begun again with one', async () => {
  const relay = await relayWith({ answer: serverWith() });
  const anna = await openWithClock(relay, 'anna');
  // What is sent into no network is answered by nothing, and nothing tells of it.
  await anna.evaluate(() => {
    const Real = WebSocket;
    /** @type {any} */ (window).attempts = 0;
    /** @type {any} */ (window).WebSocket = class extends EventTarget {
      static CONNECTING = 0;
      static OPEN = 1;
      readyState = 0;
      constructor() {
        super();
        /** @type {any} */ (window).attempts++;
      }
      close() {}
    };
    /** @type {any} */ (window).restore = () => (window.WebSocket = Real);
  });
  relay.clients.get('anna')?.terminate();
  await anna.waitForSelector('#connection[data-state="reconnecting"]');
  await anna.clock.runFor(1_000);
  assert.equal(await anna.evaluate(() => /** @type {any} */ (window).attempts), 1);
  await anna.evaluate(() => {
    /** @type {any} */ (window).restore();
    document.dispatchEvent(new Event('visibilitychange'));
  });
  assert.equal(await anna.getAttribute('#connection', 'data-state'), 'reconnecting', 'a look at the page is no reason');
  const before = Date.now();
  await anna.evaluate(() => window.dispatchEvent(new Event('online')));
  await online(anna);
  assert.ok(Date.now() - before < 8_000, 'the attempt without a network was not waited for');
});

test('a connection that lives is kept, however often the page is looked at', async () => {
  const relay = await relayWith({ answer: serverWith() });
  const anna = await openWithClock(relay, 'anna');
  for (let i = 0; i < 5; i++) {
    await anna.clock.runFor(4_000);
    await anna.evaluate(() => {
      document.dispatchEvent(new Event('visibilitychange'));
      window.dispatchEvent(new Event('online'));
    });
    // The answer is in the page before its time moves on.
    await anna.evaluate(() => new Promise((later) => requestAnimationFrame(later)));
    await eventually('the ping was answered', async () => relay.clients.has('anna'));
    relay.send('anna', { type: 'presence', online: true, peer: { userId: `guest-${i}` } });
    await anna.waitForSelector(`[data-peer="guest-${i}"]`);
  }
  assert.equal(joins(relay, 'anna'), 1);
});

test('a relay that answers no pings is not relied on after long silence, and is not bothered before', async () => {
  const relay = await relayWith();
  const anna = await openWithClock(relay, 'anna', 2_000);
  const look = () => anna.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await anna.clock.runFor(20_000);
  await look();
  assert.equal(await anna.getAttribute('#connection', 'data-state'), 'online');
  assert.equal(joins(relay, 'anna'), 1);
  relay.forget('anna');
  await anna.clock.runFor(20_000);
  await look();
  await joinsAgain(relay, 'anna');
  // What is known of this relay is not waited for again.
  await online(anna);
  assert.equal(joins(relay, 'anna'), 2);
});

for (const [what, answer, silence] of /** @type {const} */ ([
  ['a server that answers pings', serverWith(), 0],
  ['a relay that answers none', undefined, 31_000],
])) {
  test(`a call into a dead connection arrives by the next one: ${what}`, async () => {
    const relay = await relayWith({ answer });
    const ben = await openPage(browser, relay.url, 'ben');
    const anna = await openWithClock(relay, 'anna', answer ? 0 : 2_000);
    relay.forget('anna');
    await anna.clock.runFor(silence || 4_000);
    await dial(anna, 'ben');
    if (answer) {
      await reaches(anna, 'calling');
      await anna.clock.runFor(5_000);
    }
    await reaches(ben, 'incoming');
    await ben.click('#answer-camera');
    await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
    await moves(anna, await picture(anna, 'ben'));
    assert.deepEqual(sent(relay, 'offer', 'anna').length, 1, 'the first one went nowhere');
  });
}

test('an answer into a dead connection arrives by the next one', async () => {
  const relay = await relayWith({ answer: serverWith() });
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  relay.forget('ben');
  await ben.click('#answer-camera');
  await reaches(ben, 'connecting');
  await ben.evaluate(() => window.dispatchEvent(new Event('online')));
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  assert.equal(sent(relay, 'answer', 'ben').length, 1, 'the first one went nowhere');
  // What arrived is not said again.
  await anna.evaluate(() => window.dispatchEvent(new Event('online')));
  relay.clients.get('anna')?.close();
  await eventually('anna has joined again', async () => joins(relay, 'anna') === 2);
  await online(anna);
  assert.equal(sent(relay, 'offer', 'anna').length, 1);
});

test('an offer that arrives when its callee comes back rings then', async () => {
  let gone = false;
  const relay = await relayWith({
    answer(message, socket) {
      serverWith()(message, socket);
      // Ben's connection is gone, and the server has not found out.
      return gone && message.targetId === 'ben';
    },
  });
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
  gone = true;
  await dial(anna, 'ben');
  await eventually('the offer is lost', async () => sent(relay, 'offer', 'anna').length === 1);
  gone = false;
  relay.send('anna', { type: 'presence', online: true, peer: BEN });
  await reaches(ben, 'incoming');
  await ben.click('#answer');
  await reaches(anna, 'connected');
});

for (const rings of [true, false]) {
  test(`a call that ${rings ? 'rings' : 'has gone out'} outlives the server, whoever is back first`, async () => {
    let gone = false;
    const relay = await relayWith({
      answer(message, socket) {
        serverWith()(message, socket);
        if (!gone || message.targetId !== 'ben') return false;
        const { type: inReplyTo, targetId, callId } = message;
        socket.send(JSON.stringify({ type: 'error', code: 'unknownTarget', message: '', inReplyTo, targetId, callId }));
        return true;
      },
    });
    const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
    await dial(anna, 'ben');
    await reaches(ben, 'incoming');
    const [{ callId }] = sent(relay, 'offer', 'anna');
    if (rings) relay.send('anna', { type: 'ringing', userId: 'ben', targetId: 'anna', callId });
    await reaches(anna, rings ? 'ringing' : 'calling');
    gone = true;
    relay.clients.get('anna')?.close();
    await eventually('the offer came again', async () => sent(relay, 'offer', 'anna').length === 2);
    await online(anna);
    gone = false;
    relay.send('anna', { type: 'peers', online: [BEN], offline: [] });
    await eventually('the offer came once more', async () => sent(relay, 'offer', 'anna').length === 3);
    await ben.click('#answer');
    await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
    assert.equal(sent(relay, 'leave', 'anna').length, 0);
  });
}

test('a call of somebody who is not there is given up with a goodbye', async () => {
  const relay = await relayWith({
    answer(message, socket) {
      serverWith()(message, socket);
      const { type: inReplyTo, targetId, callId } = message;
      if (targetId) socket.send(JSON.stringify({ type: 'error', code: 'unknownTarget', message: '', inReplyTo, targetId, callId }));
    },
  });
  const anna = await openPage(browser, relay.url, 'anna');
  await dial(anna, 'ben');
  assert.match(await notice(anna, 'ended.unknownTarget'), /Nobody is online under the ID “ben”/);
  await eventually('the goodbye came', async () => sent(relay, 'leave', 'anna').length === 1);
});

test('a caller who is gone before the answer is told to be, and not blamed on the networks in between', async () => {
  let gone = false;
  const relay = await relayWith({
    answer(message, socket) {
      serverWith()(message, socket);
      const { type: inReplyTo, targetId, callId } = message;
      if (gone && targetId) socket.send(JSON.stringify({ type: 'error', code: 'unknownTarget', message: '', inReplyTo, targetId, callId }));
      return gone;
    },
  });
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openWithClock(relay, 'ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  gone = true;
  await anna.context().close();
  await ben.click('#answer');
  await eventually('ben has answered', async () => sent(relay, 'answer', 'ben').length === 1);
  await reaches(ben, 'connecting');
  // What is taken after the refusal shows that it was read.
  relay.send('ben', { type: 'peers', online: [DOOR], offline: [] });
  await ben.waitForSelector('[data-peer="door"]', { state: 'attached' });
  await ben.clock.runFor(20_000);
  assert.match(await notice(ben, 'ended.gone'), /anna is no longer there\. Call back, or wait/);
});

test('what comes twice is taken once', async () => {
  const relay = await relayWith({
    answer(message, _socket, relay) {
      if (message.targetId) relay.send(message.targetId, message);
    },
  });
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  const [offer] = sent(relay, 'offer', 'anna');
  relay.send('ben', offer);
  await eventually('the answer is given again', async () => sent(relay, 'answer', 'ben').length > 1);
  assert.equal(new Set(sent(relay, 'answer', 'ben').map((message) => message.answer.sdp)).size, 1);
  await moves(anna, await picture(anna, 'ben'));
  assert.equal(await ben.locator('.tile').count(), 1);
  assert.equal(relay.seen.filter((message) => message.type === 'error').length, 0);
});

test('an offer of a call that was declined rings no more', async () => {
  const relay = await relayWith();
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#decline');
  await reaches(anna, 'idle');
  const [offer] = sent(relay, 'offer', 'anna');
  relay.send('ben', offer);
  await eventually('it is declined again', async () => sent(relay, 'leave', 'ben').length === 2);
  assert.deepEqual(sent(relay, 'leave', 'ben').map(({ reason, callId }) => [reason, callId === offer.callId]), [
    ['declined', true],
    ['declined', true],
  ]);
  await reaches(ben, 'idle');
});

test('a call ID that comes again is a new call once the old one can ring no more', async () => {
  const relay = await relayWith({ answer: serverWith() });
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openWithClock(relay, 'ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await anna.click('#leave');
  await reaches(ben, 'idle');
  const [offer] = sent(relay, 'offer', 'anna');
  relay.send('ben', offer);
  relay.send('ben', { type: 'peers', online: [DOOR], offline: [] });
  await ben.waitForSelector('[data-peer="door"]');
  await reaches(ben, 'idle');
  await ben.clock.fastForward(60_000);
  await online(ben);
  relay.send('ben', offer);
  await reaches(ben, 'incoming');
  await ben.click('#decline');
  relay.send('ben', offer);
  await eventually('it is declined again', async () => sent(relay, 'leave', 'ben').length === 2);
});

test('an answer to a call that was given up brings its goodbye again', async () => {
  const relay = await relayWith();
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await anna.click('#leave');
  await reaches(ben, 'idle');
  const [{ callId }] = sent(relay, 'offer', 'anna');
  // As if the first goodbye had been lost, and ben had answered.
  relay.send('anna', { type: 'answer', userId: 'ben', targetId: 'anna', callId, answer: { type: 'answer', sdp: 'v=0' } });
  await eventually('it is said again', async () => sent(relay, 'leave', 'anna').length === 2);
  assert.deepEqual(sent(relay, 'leave', 'anna').map((message) => [message.callId, message.reason]), [[callId, 'hangup'], [callId, 'hangup']]);
});

test('an offer of an earlier version comes late and changes nothing', async () => {
  const relay = await relayWith();
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await reaches(anna, 'connected');
  const [offer] = sent(relay, 'offer', 'anna');
  const late = offer.offer.sdp.replace(/^(o=\S+ \S+) \d+/m, '$1 1');
  assert.notEqual(late, offer.offer.sdp);
  relay.send('ben', { ...offer, offer: { type: 'offer', sdp: late } });
  // The same offer again is answered, which shows that the late one was read and was not.
  relay.send('ben', offer);
  await eventually('the answer is given again', async () => sent(relay, 'answer', 'ben').length === 2);
  assert.equal(new Set(sent(relay, 'answer', 'ben').map((message) => message.answer.sdp)).size, 1);
  await moves(anna, await picture(anna, 'ben'));
});

test('a goodbye waits for the server', async () => {
  const relay = await relayWith();
  const { port } = relay;
  const anna = await openPage(browser, relay.url, 'anna');
  await dial(anna, 'ben');
  await reaches(anna, 'calling');
  await relay.close();
  await anna.waitForSelector('#banner');
  await anna.click('#leave');
  relays.splice(0);
  const next = await relayWith({ port });
  await eventually('the goodbye came', async () => sent(next, 'leave', 'anna')[0]?.targetId === 'ben');
});

test('a relay that forwards in binary frames carries a call', async () => {
  const relay = await relayWith({ binary: true });
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  await moves(anna, await picture(anna, 'ben'));
});

test('what cannot be read is counted, and said once', async () => {
  const relay = await relayWith({ answer: serverWith() });
  const anna = await openPage(browser, relay.url, 'anna');
  const socket = relay.clients.get('anna');
  socket?.send(Buffer.from([0xff, 0xfe]), { binary: true });
  socket?.send('no JSON');
  socket?.send('{"type":"offer","userId":"ben"}');
  // Of a later version, or a peer's forgery: that is no frame that cannot be read.
  socket?.send('{"type":"dance"}');
  relay.send('anna', { type: 'presence', online: true, peer: BEN });
  await anna.waitForSelector('[data-peer="ben"]');
  assert.equal(await anna.evaluate(() => /** @type {any} */ (window).callbox.dropped()), 3);
  assert.deepEqual(anna.faults.filter((line) => line.includes('cannot be read')).length, 1);
});

test('no peer can end the registration, or speak for the server', async () => {
  const evil = { userId: 'evil', name: 'Front door', kind: 'device' };
  const forged = [
    { type: 'error', code: 'idTaken', inReplyTo: 'join', message: '', userId: 'ben', targetId: 'anna' },
    { type: 'error', code: 'serverFull', inReplyTo: 'join', message: '', userId: 'ben', targetId: 'anna' },
    { type: 'error', code: 'idTaken', inReplyTo: 'join', message: '', targetId: 'anna' },
    { type: 'error', code: 'serverFull', inReplyTo: 'join', message: '', targetId: 'anna' },
    { type: 'error', code: 'idTaken', inReplyTo: 'join', message: '', targetId: ['anna'] },
    { type: 'error', code: 'idTaken', inReplyTo: 'join', message: '', targetId: 'another' },
    { type: 'error', code: 'serverFull', inReplyTo: 'join', message: '' },
    { type: 'joined', userId: 'anna', peers: [evil], iceServers: [], targetId: 'anna' },
    { type: 'presence', peer: evil, online: true, targetId: 'anna' },
    { type: 'peers', online: [evil], offline: ['ben'], targetId: 'anna' },
    // Without an address, as a server's would be: too late, since `joined` comes first or not at all.
    { type: 'joined', userId: 'anna', peers: [evil], iceServers: [] },
  ];
  for (const answer of [serverWith([BEN]), undefined]) {
    const relay = await relayWith({ answer });
    const anna = await openPage(browser, relay.url, 'anna');
    // A peer's message comes first where no server answers.
    relay.send('anna', { type: 'candidate', userId: 'ben', targetId: 'anna', candidate: null });
    for (const message of forged) relay.send('anna', message);
    if (!answer) relay.send('anna', { type: 'presence', peer: evil, online: true });
    // What is taken after them shows that they were all read.
    relay.send('anna', { type: 'leave', userId: 'ben', targetId: 'anna' });
    const carl = await openPage(browser, relay.url, 'carl');
    await dial(carl, 'anna');
    await reaches(anna, 'incoming');
    assert.equal(await anna.locator('[data-peer="evil"]').count(), 0);
    assert.equal(await anna.locator('#people [data-peer="ben"]').count(), answer ? 1 : 0);
    assert.equal(joins(relay, 'anna'), 1);
    assert.equal(await anna.getAttribute('#connection', 'data-state'), 'online');
    await closePages(browser);
  }
});

test('lists of who came and went change the list', async () => {
  const relay = await relayWith({ answer: serverWith([DOOR, BEN]) });
  const anna = await openPage(browser, relay.url, 'anna');
  assert.deepEqual(relay.seen.find((message) => message.type === 'join').accepts, ['peers']);
  const online = Array.from({ length: 200 }, (_, i) => ({ userId: `guest-${i}`, name: `Guest ${i}`, kind: 'person' }));
  relay.send('anna', { type: 'peers', online: [...online, { ...DOOR, name: 'Back door' }], offline: ['ben'] });
  await anna.waitForSelector('#people [data-peer="guest-199"]');
  assert.equal(await anna.locator('#people li').count(), 200);
  assert.equal(await anna.locator('[data-peer="ben"]').count(), 0);
  assert.equal(await anna.textContent('[data-peer="door"] .name'), 'Back door');
  relay.send('anna', { type: 'peers', online: [], offline: online.map((peer) => peer.userId) });
  await anna.waitForSelector('#people-group', { state: 'hidden' });
});

test('changes that come in one moment are shown at once', async () => {
  const relay = await relayWith({ answer: serverWith([DOOR]) });
  const anna = await openPage(browser, relay.url, 'anna');
  await anna.evaluate(() => {
    const page = /** @type {any} */ (window);
    page.sorted = 0;
    const real = Array.prototype.sort;
    Array.prototype.sort = function (...rest) {
      if (this[0]?.userId) page.sorted++;
      return real.apply(this, rest);
    };
    page.next = [];
    page.requestAnimationFrame = (/** @type {any} */ run) => page.next.push(run);
  });
  for (let i = 0; i < 50; i++) relay.send('anna', { type: 'presence', online: true, peer: { userId: `guest-${i}` } });
  // What is taken after them shows that they were all read.
  relay.send('anna', { type: 'offer', userId: 'ben', targetId: 'anna', callId: 'c1', offer: { type: 'offer', sdp: 'v=0' } });
  await eventually('they were read', async () => sent(relay, 'ringing', 'anna').length === 1);
  const sorted = await anna.evaluate(() => {
    const page = /** @type {any} */ (window);
    const before = page.sorted;
    for (const run of page.next) run();
    return [before, page.sorted];
  });
  assert.deepEqual(sorted, [0, 1]);
  assert.equal(await anna.locator('#people li').count(), 50);
});

test('names are shown without what nobody sees', async () => {
  const relay = await relayWith({ answer: serverWith([{ userId: 'gate', name: '\u202eroo\u200bd', kind: 'device' }, { userId: 'do\u200bor', name: 'Door' }]) });
  const anna = await openPage(browser, relay.url, 'anna');
  assert.equal(await anna.textContent('[data-peer="gate"] .name'), 'rood');
  assert.equal(await anna.locator('.peer').count(), 1, 'an ID that looks like another one is nobody’s');
});

test('an ICE server that the browser refuses costs itself alone', async () => {
  const servers = [{ urls: ['stun:<host>'] }, { urls: ['stun:127.0.0.1:9', 'turn:"relay"'], username: 'u', credential: 'c' }];
  const relay = await relayWith({ answer: serverWith([DOOR], servers) });
  const anna = await openPage(browser, relay.url, 'anna', {
    init: () => {
      const Real = RTCPeerConnection;
      window.RTCPeerConnection = class extends Real {
        constructor(/** @type {any[]} */ ...rest) {
          super(...rest);
          /** @type {any} */ (window).latest = this;
        }
      };
    },
  });
  const words = await notice(anna, 'iceServers');
  assert.match(words, /“stun:<host>”, “turn:"relay"”/);
  await anna.click('[data-peer="door"] button');
  await eventually('the call goes out', async () => sent(relay, 'offer', 'anna').length === 1);
  const used = await anna.evaluate(() => /** @type {any} */ (window).latest.getConfiguration().iceServers.map((server) => server.urls));
  assert.deepEqual(used, [['stun:127.0.0.1:9']]);
  assert.deepEqual(anna.faults, []);
});

test('the page says why it is refused: a login in front that has forgotten the person', async () => {
  const relay = await relayWith({ answer: serverWith() });
  let signedIn = true;
  const elsewhere = { location: 'https://login.example.org/', connection: 'close' };
  const proxy = http.createServer(({ method, url, headers }, response) => {
    if (!signedIn) return response.writeHead(302, elsewhere).end();
    http.get({ port: relay.port, method, path: url, headers }, (reply) => {
      response.writeHead(reply.statusCode ?? 500, reply.headers);
      reply.pipe(response);
    });
  });
  proxy.on('upgrade', (_request, socket) => socket.end(`HTTP/1.1 302 Found\r\nlocation: ${elsewhere.location}\r\nconnection: close\r\n\r\n`));
  await new Promise((ready) => proxy.listen(0, '127.0.0.1', () => ready(null)));
  try {
    const { port } = /** @type {import('node:net').AddressInfo} */ (proxy.address());
    const anna = await openPage(browser, `http://127.0.0.1:${port}/`, '');
    signedIn = false;
    await anna.fill('#name', 'anna');
    await anna.press('#name', 'Enter');
    await anna.waitForSelector('#banner:has-text("a login perhaps, answers instead of Callbox")');
  } finally {
    proxy.close();
    proxy.closeAllConnections();
  }
});

/** @type {[string, import('./harness/relay.js').Refusal, RegExp][]} */
const refusals = [
  ['a name that the server does not go by', { status: 403, code: 'badHost' }, /does not go by the name “127\.0\.0\.1:\d+”.*\[server\] names/],
  ['an address that a proxy changed', { status: 403, code: 'badOrigin' }, /Host header.*reverse proxy/],
  ['a server without a free place', { status: 503, code: 'serverFull' }, /server is full/],
  ['a WebSocket that became a plain request', { status: 426, code: 'notAWebSocket' }, /Upgrade and Connection.*reverse proxy/],
  ['a proxy without its server', { status: 502, code: '' }, /proxy.*does not reach/],
  ['a server of another kind', { status: 404, code: '' }, /Something other than Callbox/],
];
for (const [what, refusal, words] of refusals) {
  test(`the page says why it is refused: ${what}`, async () => {
    /** @type {import('./harness/relay.js').Refusal | null} */
    let now = refusal;
    const relay = await relayWith({ answer: serverWith(), refuse: () => now });
    const anna = await openPage(browser, relay.url, '');
    await anna.fill('#name', 'anna');
    await anna.press('#name', 'Enter');
    await eventually('the reason is told', async () => words.test((await anna.textContent('#banner')) ?? ''));
    now = null;
    await online(anna);
    assert.ok(await anna.isHidden('#banner'));
  });
}
