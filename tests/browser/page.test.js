/** Calls between two pages, through a relay that only forwards. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { dial, notice, online, openPage, picture, reaches, screenshot, startBrowser } from './harness/browser.js';
import { frameRate, hearPitch } from './harness/media.js';
import { startRelay } from './harness/relay.js';

/** @type {import('playwright-core').Browser} */
let browser;
let relay = await startRelay();

before(async () => {
  browser = await startBrowser();
});
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
});
after(async () => {
  await browser.close();
  await relay.close();
});

const open = (name, options) => openPage(browser, relay.url, name, options);

/** Two pages in a call: anna has called ben. */
async function inCall(camera = true) {
  const [anna, ben] = [await open('anna'), await open('ben')];
  await dial(anna, 'ben');
  await reaches(ben, 'incoming');
  await ben.click(camera ? '#answer-camera' : '#answer');
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  return { anna, ben };
}

test('two pages see and hear each other, and hanging up returns both to idle', async () => {
  const { anna, ben } = await inCall();
  // Ben was called by an ID that no list has, so anna shows herself only when she wants to.
  await anna.click('#camera');
  for (const [page, peer] of [[anna, 'ben'], [ben, 'anna']]) {
    const video = await picture(page, peer);
    assert.ok((await frameRate(page, video)) > 10, `${peer} moves`);
    assert.ok((await hearPitch(page, video)) > 100, `${peer} is heard`);
  }
  await screenshot(anna, 'two-pages');
  await anna.click('#leave');
  await Promise.all([reaches(anna, 'idle'), reaches(ben, 'idle')]);
  assert.match(await notice(ben, 'ended.hangup'), /anna hung up/);
  assert.deepEqual([...anna.faults, ...ben.faults], []);
});
