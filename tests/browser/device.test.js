/** The device with its own server, and browsers that call it: picture, sound both ways, several viewers, hang-ups. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test as register } from 'node:test';
import { closePages, dial, notice, online, openPage, picture, reaches, screenshot, startBrowser } from './harness/browser.js';
import {
  deviceConfiguration, eventually, freePort, read, serverConfiguration, startCallbox, workspace,
} from './harness/callbox.js';
import { watchConnections } from './harness/connections.js';
import { beeps, hearPitch, readStamps, readWav } from './harness/media.js';
import { startRelay } from './harness/relay.js';

const FPS = 30;
const files = workspace();
const port = await freePort();
const url = `http://127.0.0.1:${port}/`;

/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof startCallbox>>} */
let device;

before(async () => {
  [browser, device] = await Promise.all([
    startBrowser(),
    startCallbox('run', files.path, deviceConfiguration(files.path, port, { fps: FPS }), { page: url }),
  ]);
});
afterEach(async () => {
  await closePages(browser);
  await idle(device);
});
after(async () => {
  await browser.close();
  const code = await device.stop();
  files.remove();
  assert.equal(code, 0, device.output());
});

/** A test that shows what the device said, where it fails. @param {string} name @param {() => Promise<void>} run */
const test = (name, run) => register(name, async (t) => {
  const from = device.output().length;
  await run().catch((error) => {
    for (const line of device.output().slice(from).split('\n')) t.diagnostic(line);
    throw error;
  });
});

/** @param {string} name */
const open = (name) => openPage(browser, url, name);

/** Opens a page and calls the device by pressing it. @param {string} name */
async function call(name) {
  const page = await open(name);
  await page.click('#devices [data-peer="door"] button');
  await reaches(page, 'connected');
  return page;
}

/** Waits until the device is in no call and captures nothing. */
const idle = (program) =>
  eventually('the device is idle', async () => {
    const status = await program.status();
    return read.calls(status).length === 0 && !read.capturing(status);
  });

test('the picture advances at the camera’s rate, and the page says that the device has no screen', async () => {
  const anna = await call('anna');
  const video = await picture(anna, 'door');
  const stamps = await readStamps(anna, video, 3 * FPS);
  const [first, last] = [stamps[0], stamps[stamps.length - 1]];
  const frames = (last.counter - first.counter + 65536) % 65536;
  const rate = (frames * 1000) / (last.drawn - first.drawn);
  assert.ok(Math.abs(rate - FPS) < 1.5, `${rate} frames a second`);
  for (let i = 1; i < stamps.length; i++) {
    const step = (stamps[i].counter - stamps[i - 1].counter + 65536) % 65536;
    assert.ok(step < FPS, `frame ${stamps[i].counter} follows ${stamps[i - 1].counter}`);
  }
  const delays = stamps.map((stamp) => stamp.seen - stamp.drawn).sort((a, b) => a - b);
  assert.ok(delays[delays.length >> 1] < 500, `half of the frames are seen within ${delays[delays.length >> 1]} ms`);
  assert.match((await anna.textContent('.tile .extra')) ?? '', /This device has no screen/);
  await screenshot(anna, 'device');
  assert.deepEqual(anna.faults, []);
});

test('a browser without H.264 hears the device, and says why it shows nothing', async () => {
  const anna = await openPage(browser, url, 'anna', { init: watchConnections, argument: { without: true } });
  assert.ok(await anna.isVisible('#no-h264'));
  await anna.click('#devices [data-peer="door"] button');
  await reaches(anna, 'connected');
  await anna.waitForSelector('.tile .extra:has-text("Sound only: this browser lacks H.264")');
  assert.match((await anna.textContent('.tile .extra')) ?? '', /Hang up and call from Chrome, Edge or Safari/);
  await hearPitch(anna, '.tile video', { pitch: 440 });
  assert.equal(await anna.getAttribute('.tile', 'data-picture'), 'off');
});

test('the device’s tone is heard at its pitch', async () => {
  const anna = await call('anna');
  await hearPitch(anna, '.tile video', { pitch: 440 });
});

test('the browser’s microphone arrives in the device’s speaker', async () => {
  const anna = await call('anna');
  await eventually('beeps are in heard.wav', async () => {
    if (!existsSync(join(files.path, 'heard.wav'))) return false;
    const sound = readWav(join(files.path, 'heard.wav'));
    assert.equal(sound.rate, 48_000);
    return beeps(sound).length >= 4;
  });
  await anna.click('#leave');
});

test('three more viewers join without a second encode', async () => {
  const pages = [await call('anna')];
  await picture(pages[0], 'door');
  for (const name of ['ben', 'carl', 'dora']) pages.push(await call(name));
  for (const page of pages) {
    const stamps = await readStamps(page, await picture(page, 'door'), 10);
    assert.ok(stamps[9].counter !== stamps[0].counter);
  }
  const status = await device.status();
  assert.equal(read.calls(status).length, 4);
  assert.equal(read.encoderStarts(status), 1);
});

test('a call outlives the section that carried its transport', async () => {
  const page = await openPage(browser, url, '');
  await page.evaluate(async (url) => {
    const socket = new WebSocket(url);
    await new Promise((opened) => (socket.onopen = opened));
    socket.send(JSON.stringify({ type: 'join', userId: 'foreign' }));
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.addTransceiver('video', { direction: 'recvonly' });
    const say = (/** @type {any} */ message) => socket.send(JSON.stringify({ targetId: 'door', callId: 'c', ...message }));
    pc.onicecandidate = ({ candidate }) => say({ type: 'candidate', candidate });
    socket.onmessage = async ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === 'answer') await pc.setRemoteDescription(message.answer);
      if (message.type === 'candidate') await pc.addIceCandidate(message.candidate).catch(() => {});
    };
    const offer = async () => {
      await pc.setLocalDescription();
      say({ type: 'offer', offer: pc.localDescription });
    };
    Object.assign(window, { pc, offer });
    await offer();
  }, `${url.replace('http', 'ws')}ws`);
  const pictures = () =>
    page.evaluate(async () => {
      const report = [...(await /** @type {any} */ (window).pc.getStats()).values()];
      return report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video')?.framesDecoded ?? 0;
    });
  await eventually('pictures come', async () => (await pictures()) > 10);
  // Chromium closes DTLS there, and begins anew in the next section.
  await page.evaluate(async () => {
    const { pc, offer } = /** @type {any} */ (window);
    pc.getTransceivers()[0].stop();
    await offer();
    await new Promise((answered) => (pc.onsignalingstatechange = () => pc.signalingState === 'stable' && answered(null)));
  });
  const before = await pictures();
  await eventually('pictures go on', async () => (await pictures()) > before + 30);
  // The end of the new transport is that of the call.
  await page.evaluate(() => /** @type {any} */ (window).pc.close());
  await idle(device);
});

test('hanging up on either side returns both to idle', async () => {
  const anna = await call('anna');
  await anna.click('#leave');
  await reaches(anna, 'idle');
  await idle(device);

  await anna.click('[data-peer="door"] button');
  await reaches(anna, 'connected');
  await device.command('hangup');
  await reaches(anna, 'idle');
  assert.match(await notice(anna, 'ended.hangup'), /Front door hung up/);
  await idle(device);
});

test('closing the page frees the device', async () => {
  const anna = await call('anna');
  await anna.close();
  await idle(device);
});

test('the device calls a person and is answered', async () => {
  const anna = await open('anna');
  await device.command('call', 'anna');
  await reaches(anna, 'incoming');
  assert.equal(await anna.textContent('#incoming-name'), 'Front door');
  assert.ok(await anna.isHidden('#answer-camera'), 'a device without a screen needs no camera');
  await screenshot(anna, 'device-calls');
  await anna.click('#answer');
  await reaches(anna, 'connected');
  const stamps = await readStamps(anna, await picture(anna, 'door'), 10);
  assert.ok(stamps[9].counter !== stamps[0].counter);
  await hearPitch(anna, '.tile video');
  assert.equal(read.calls(await device.status())[0].user, 'anna');
});

test('the person declines the device’s call', async () => {
  const anna = await open('anna');
  await device.command('call', 'anna');
  await reaches(anna, 'incoming');
  await anna.click('#decline');
  await reaches(anna, 'idle');
  await idle(device);
});

test('a call outlives a restart of the signaling server', async () => {
  const [own, serverFiles, serverPort] = [workspace(), workspace(), await freePort()];
  const page = `http://127.0.0.1:${serverPort}/`;
  const startServer = () =>
    startCallbox('server', serverFiles.path, serverConfiguration(serverFiles.path, serverPort), { page });
  let server = await startServer();
  const configuration = deviceConfiguration(own.path, await freePort(), {
    id: 'gate', signaling: `ws://127.0.0.1:${serverPort}/ws`,
  });
  const gate = await startCallbox('run', own.path, configuration);
  try {
    const anna = await openPage(browser, page, 'anna');
    await anna.click('#devices [data-peer="gate"] button');
    await reaches(anna, 'connected');
    const video = await picture(anna, 'gate');
    await server.stop();
    await anna.waitForSelector('#banner:has-text("Your call goes on")');
    server = await startServer();
    await online(anna);
    await anna.waitForSelector('#devices [data-peer="gate"]');
    await reaches(anna, 'connected');
    const stamps = await readStamps(anna, video, 10);
    assert.ok(stamps[9].counter !== stamps[0].counter);
    await anna.click('#leave');
    await idle(gate);
  } finally {
    await gate.stop();
    await server.stop();
    own.remove();
    serverFiles.remove();
  }
});

test('the device is called, and calls, through a relay that only forwards', async () => {
  const own = workspace();
  const relay = await startRelay();
  const configuration = deviceConfiguration(own.path, await freePort(), {
    id: 'gate', signaling: `ws://127.0.0.1:${relay.port}/ws`,
  });
  const gate = await startCallbox('run', own.path, configuration);
  try {
    await eventually('the device has joined', async () => relay.clients.has('gate'));
    const anna = await openPage(browser, relay.url, 'anna');
    await dial(anna, 'gate');
    await reaches(anna, 'connected');
    const stamps = await readStamps(anna, await picture(anna, 'gate'), 10);
    assert.ok(stamps[9].counter !== stamps[0].counter);
    await anna.waitForSelector('.tile .extra:has-text("takes no picture")');
    await anna.click('#leave');
    await idle(gate);

    await gate.command('call', 'anna');
    await reaches(anna, 'incoming');
    await anna.click('#answer');
    await reaches(anna, 'connected');
    await hearPitch(anna, '.tile video');
    await gate.command('hangup');
    await reaches(anna, 'idle');
  } finally {
    await gate.stop();
    await relay.close();
    own.remove();
  }
});
