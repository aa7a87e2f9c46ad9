/** Calls between pages, through a relay that only forwards: what works here works through any relay. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, dial, notice, online, openPage, picture, reaches, screenshot, startBrowser } from './harness/browser.js';
import { hearPitch, moves } from './harness/media.js';
import { startRelay } from './harness/relay.js';

/** @type {import('playwright-core').Browser} */
let browser;
let relay = await startRelay();

before(async () => {
  browser = await startBrowser();
});
afterEach(async () => {
  await closePages(browser);
  relay.seen.length = 0;
});
after(async () => {
  await browser.close();
  await relay.close();
});

/** @param {string} name */
const open = (name, options = {}) => openPage(browser, relay.url, name, options);

/** Two pages in a call: anna has called ben, who shows himself. */
async function inCall() {
  const [anna, ben] = [await open('anna'), await open('ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  return { anna, ben };
}

test('two pages see and hear each other, and hanging up returns both to idle', async () => {
  const { anna, ben } = await inCall();
  // Ben was called by an ID that no list has, so anna shows herself only when she wants to.
  await anna.click('#camera');
  for (const [page, peer] of /** @type {const} */ ([[anna, 'ben'], [ben, 'anna']])) {
    const video = await picture(page, peer);
    await moves(page, video);
    // Chromium's fake microphone beeps at 400 Hz.
    await hearPitch(page, video, { pitch: 400 });
  }
  await screenshot(anna, 'two-pages');
  await anna.click('#leave');
  await Promise.all([reaches(anna, 'idle'), reaches(ben, 'idle')]);
  assert.match(await notice(ben, 'ended.hangup'), /anna hung up/);
  assert.deepEqual([...anna.faults, ...ben.faults], []);
  assert.ok(relay.seen.every((message) => message.userId === 'anna' || message.userId === 'ben'), 'each says who it is');
});

test('nothing is opened before a call, and everything is closed after it', async () => {
  const anna = await open('anna', {
    init: () => {
      const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      /** @type {any} */ (window).tracks = [];
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await real(wanted);
        /** @type {any} */ (window).tracks.push(...stream.getTracks());
        return stream;
      };
    },
  });
  const states = () => anna.evaluate(() => /** @type {any} */ (window).tracks.map((track) => track.readyState));
  assert.deepEqual(await states(), []);
  await dial(anna, 'ben');
  await anna.waitForSelector('#microphone[data-on="on"]');
  assert.deepEqual(await states(), ['live']);
  await anna.click('#camera');
  await anna.waitForSelector('#camera[data-on="on"]');
  await anna.click('#camera');
  await anna.waitForSelector('#camera[data-on="off"]');
  assert.deepEqual(await states(), ['live', 'ended'], 'a camera that is off is closed');
  await anna.click('#leave');
  await reaches(anna, 'idle');
  assert.deepEqual(await states(), ['ended', 'ended']);
});

test('the callee declines', async () => {
  const [anna, ben] = [await open('anna'), await open('ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#decline');
  await Promise.all([reaches(anna, 'idle'), reaches(ben, 'idle')]);
  assert.match(await notice(anna, 'ended.declined'), /ben declined/);
  assert.equal(await ben.locator('.notice').count(), 0, 'who declined needs not be told');
});

test('the caller gives up, and the callee is told of the missed call', async () => {
  const [anna, ben] = [await open('anna'), await open('ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await anna.click('#leave');
  await Promise.all([reaches(anna, 'idle'), reaches(ben, 'idle')]);
  assert.match(await notice(ben, 'ended.hangup'), /missed a call from anna/);
});

test('nobody answers', async () => {
  const anna = await open('');
  await anna.clock.install();
  await anna.fill('#name', 'anna');
  await anna.press('#name', 'Enter');
  await anna.clock.runFor(3_000);
  await online(anna);
  await dial(anna, 'nobody');
  await reaches(anna, 'calling');
  await anna.clock.runFor(59_000);
  await reaches(anna, 'calling');
  await anna.clock.runFor(2_000);
  await reaches(anna, 'idle');
  assert.match(await notice(anna, 'ended.noAnswer'), /nobody does not answer/);
  assert.equal(relay.seen.find((message) => message.type === 'leave')?.reason, 'noAnswer');
});

test('muting silences, and the other side is told', async () => {
  const { anna, ben } = await inCall();
  const video = '.tile[data-peer="anna"] video';
  await hearPitch(ben, video);
  await anna.click('#microphone');
  await anna.waitForSelector('#microphone[data-on="off"]');
  await ben.waitForSelector('.tile .extra:has-text("Microphone off")');
  await assert.rejects(hearPitch(ben, video, { patience: 2_000 }), /no tone/);
  await anna.click('#microphone');
  await hearPitch(ben, video);
});

test('turning the camera off shows who it is instead of a frozen picture', async () => {
  const { anna, ben } = await inCall();
  await picture(anna, 'ben');
  await ben.click('#camera');
  await anna.waitForSelector('.tile[data-peer="ben"][data-camera="off"] .waiting');
  await ben.click('#camera');
  await anna.waitForSelector('.tile[data-peer="ben"][data-camera="on"] video');
  await moves(anna, '.tile[data-peer="ben"] video');
});

test('two who call each other at the same moment end in one call', async () => {
  const [anna, ben] = [await open('anna'), await open('ben')];
  await Promise.all([anna.fill('#target', 'ben'), ben.fill('#target', 'anna')]);
  // Both offers are under way before either arrives.
  const press = () => /** @type {HTMLFormElement} */ (document.querySelector('#dial')).requestSubmit();
  await Promise.all([anna.evaluate(press), ben.evaluate(press)]);
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  const callOf = (page) => page.evaluate(() => /** @type {any} */ (window).callbox.calls().map((call) => call.callId));
  const [left, right] = [await callOf(anna), await callOf(ben)];
  assert.equal(left.length, 1);
  assert.deepEqual(left, right);
});

test('a page talks with two others at once', async () => {
  const { anna } = await inCall();
  const carl = await open('carl');
  await dial(carl, 'anna');
  await reaches(anna, 'incoming');
  await anna.click('#answer-camera');
  await reaches(carl, 'connected');
  await anna.waitForSelector('.tiles[data-count="2"]');
  await picture(anna, 'ben');
  await picture(carl, 'anna');
  await screenshot(anna, 'two-calls');
  await anna.click('.tile[data-peer="carl"] .drop');
  await reaches(carl, 'idle');
  await anna.waitForSelector('.tiles[data-count="1"]');
  await moves(anna, '.tile[data-peer="ben"] video');
});

test('closing the page ends the call on the other side', async () => {
  const { anna, ben } = await inCall();
  await ben.close();
  await reaches(anna, 'idle');
});

test('a call goes on without signaling, and the page joins again by itself', async () => {
  const { anna, ben } = await inCall();
  const { port } = relay;
  await relay.close();
  await anna.waitForSelector('#banner:has-text("Your call goes on")');
  await moves(anna, await picture(anna, 'ben'));
  await screenshot(anna, 'reconnecting');
  relay = await startRelay({ port });
  await Promise.all([online(anna), online(ben)]);
  assert.ok(await anna.isHidden('#banner'));
  await reaches(anna, 'connected');
  // Hanging up says so over signaling as well, which the relay can only forward when ben has joined again.
  await anna.click('#leave');
  await Promise.all([reaches(anna, 'idle'), reaches(ben, 'idle')]);
});

test('a hang-up reaches the other side without signaling', async () => {
  const { anna, ben } = await inCall();
  const { port } = relay;
  await relay.close();
  await anna.waitForSelector('#banner');
  await anna.click('#leave');
  await Promise.all([reaches(anna, 'idle'), reaches(ben, 'idle')]);
  assert.match(await notice(ben, 'ended.hangup'), /anna hung up/);
  relay = await startRelay({ port });
});

test('a broken path is replaced within the same call', async () => {
  const anna = await open('anna', {
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
  const ben = await open('ben');
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click('#answer-camera');
  await reaches(anna, 'connected');
  const offers = () => relay.seen.filter((message) => message.type === 'offer');
  assert.equal(offers().length, 1);
  await anna.evaluate(() => {
    const pc = /** @type {any} */ (window).latest;
    let state = 'disconnected';
    Object.defineProperty(pc, 'connectionState', { get: () => state, configurable: true });
    pc.dispatchEvent(new Event('connectionstatechange'));
    // The new path is there when ben's answer is.
    pc.addEventListener('signalingstatechange', () => {
      if (pc.signalingState !== 'stable') return;
      state = 'connected';
      pc.dispatchEvent(new Event('connectionstatechange'));
    });
  });
  await reaches(anna, 'reconnecting');
  await reaches(anna, 'connected');
  const [first, second] = offers();
  assert.equal(second.callId, first.callId);
  const fragment = (message) => /a=ice-ufrag:(\S+)/.exec(message.offer.sdp)?.[1];
  assert.notEqual(fragment(second), fragment(first));
  await moves(anna, await picture(anna, 'ben'));
  assert.equal(await ben.getAttribute('html', 'data-state'), 'connected', 'ben is not rung again');
});

test('garbage disturbs neither the page nor its call', async () => {
  const { anna, ben } = await inCall();
  const call = relay.seen.find((message) => message.type === 'offer');
  const from = { userId: 'ben', targetId: 'anna' };
  for (const message of [
    7, [], {}, { type: 'dance', ...from }, { type: 'offer', ...from }, { type: 'answer', ...from, answer: { type: 'answer', sdp: 'x' } },
    { type: 'answer', ...from, callId: call.callId, answer: { type: 'answer', sdp: '' } },
    { type: 'candidate', ...from, callId: call.callId, candidate: { candidate: 'candidate:garbage', sdpMid: '0' } },
    { type: 'candidate', ...from, candidate: { candidate: 'x' } },
    { type: 'leave', ...from, callId: 'another' }, { type: 'leave', userId: 'stranger', targetId: 'anna' },
    { type: 'candidate', userId: 'stranger', targetId: 'anna', candidate: null },
    { type: 'error', code: 'rateLimited', message: 'slow down' },
    { type: 'error', code: 'unknownTarget', targetId: 'ben', inReplyTo: 'candidate', message: 'ben reconnects' },
  ]) relay.send('anna', message);
  relay.clients.get('anna')?.send('no JSON');
  relay.clients.get('anna')?.send(Buffer.from([1, 2, 3]), { binary: true });
  await moves(anna, await picture(anna, 'ben'));
  await reaches(anna, 'connected');
  // An offer nobody can use rings nowhere for long, and its sender is told.
  relay.send('anna', { type: 'offer', userId: 'stranger', targetId: 'anna', offer: { type: 'offer', sdp: 'v=0' } });
  await notice(anna, 'ended.badOffer');
  assert.ok(relay.seen.some((message) => message.type === 'leave' && message.targetId === 'stranger'));
  await reaches(ben, 'connected');
});

test('a caller that knows only the five basic messages is answered, and may come back with a new offer', async () => {
  const ben = await open('ben');
  const basic = await open('');
  // A page of its own making: no call IDs, no data channel, all candidates within the offer.
  const callAgain = async () => {
    await basic.evaluate(async (url) => {
      const socket = new WebSocket(url);
      await new Promise((done) => (socket.onopen = done));
      const say = (message) => socket.send(JSON.stringify({ userId: 'basic', targetId: 'ben', ...message }));
      say({ type: 'join' });
      const pc = new RTCPeerConnection();
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      for (const track of stream.getTracks()) pc.addTrack(track, stream);
      await pc.setLocalDescription();
      await new Promise((done) => (pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done(null)));
      socket.onmessage = async ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === 'answer') await pc.setRemoteDescription(message.answer);
        if (message.type === 'candidate') await pc.addIceCandidate(message.candidate ?? undefined).catch(() => {});
      };
      say({ type: 'offer', offer: { type: 'offer', sdp: pc.localDescription?.sdp } });
    }, `${relay.url.replace('http', 'ws')}ws`);
    await reaches(ben, 'incoming');
    await ben.click('#answer');
    await reaches(ben, 'connected');
    await moves(ben, await picture(ben, 'basic'));
  };
  await callAgain();
  await callAgain();
  assert.equal(await ben.locator('.tile').count(), 1, 'the newer call took the place of the older');
  relay.send('ben', { type: 'leave', userId: 'basic', targetId: 'ben' });
  await reaches(ben, 'idle');
});
