/** The page for everybody: by keyboard, by screen reader, on a small screen, in the light and in the dark. */

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { closePages, notice, online, openPage, reaches, screenshot, startBrowser } from './harness/browser.js';
import { startRelay } from './harness/relay.js';

const PHONE = { width: 360, height: 640 };
const PEERS = [
  { userId: 'door', name: 'Front door', kind: 'device' },
  { userId: 'ben', name: 'Ben, whose name is a good deal longer than any phone is wide', kind: 'person' },
];

/** @type {import('playwright-core').Browser} */
let browser;
const relay = await startRelay({
  answer(message, socket) {
    if (message.type !== 'join') return;
    const peers = PEERS.filter((peer) => peer.userId !== message.userId);
    socket.send(JSON.stringify({ type: 'joined', userId: message.userId, version: 1, peers, iceServers: [] }));
  },
});

before(async () => {
  browser = await startBrowser();
});
afterEach(() => closePages(browser));
after(async () => {
  await browser.close();
  await relay.close();
});

/**
 * What somebody could not read, name or hit on the page as it is now.
 * @param {import('playwright-core').Page} page
 * @returns {Promise<string[]>}
 */
function obstacles(page) {
  return page.evaluate(() => {
    const found = [];
    const visible = (/** @type {Element} */ each) => each.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const what = (/** @type {Element} */ each) => `${each.tagName.toLowerCase()}#${each.id}.${each.classList} "${each.textContent?.trim().slice(0, 30)}"`;

    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth > clientWidth) found.push(`the page is ${scrollWidth} wide, the screen ${clientWidth}`);

    for (const each of document.querySelectorAll('button, input')) {
      if (!visible(each)) continue;
      const labels = [.../** @type {HTMLInputElement} */ (each).labels ?? []].map((label) => label.textContent);
      const name = each.getAttribute('aria-label') || labels.join('') || each.textContent?.trim();
      if (!name) found.push(`without a name: ${what(each)}`);
      const { width, height } = each.getBoundingClientRect();
      if (width < 44 || height < 44) found.push(`${width} x ${height}: ${what(each)}`);
    }

    /** @returns {number[]} red, green, blue, alpha */
    const channels = (/** @type {string} */ color) => {
      const [r = 0, g = 0, b = 0, a = 1] = color.match(/[\d.]+/g)?.map(Number) ?? [];
      return [r, g, b, a];
    };
    const luminance = (/** @type {number[]} */ color) => {
      const [r = 0, g = 0, b = 0] = color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const each = texts.currentNode.parentElement;
      // A button that cannot be pressed may be faint; a caption lies on a picture, with a shade behind it.
      if (!each || !texts.currentNode.textContent?.trim() || !visible(each) || each.closest(':disabled, .spoken, .caption, noscript')) continue;
      /** @type {Element | null} */
      let behind = each;
      while (behind && (channels(getComputedStyle(behind).backgroundColor)[3] ?? 0) < 1) behind = behind.parentElement;
      const [ink, paper] = [getComputedStyle(each).color, behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)'];
      const [a, b] = [luminance(channels(ink)), luminance(channels(paper))];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) found.push(`contrast ${contrast.toFixed(1)}, ${ink} on ${paper}: ${what(each)}`);
    }
    return found;
  });
}

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  test(`everything can be read, named and hit on a phone in the ${colorScheme}`, async () => {
    const look = { viewport: PHONE, colorScheme };
    const anna = await openPage(browser, relay.url, '', look);
    const check = async (/** @type {import('playwright-core').Page} */ page, /** @type {string} */ state) => {
      await screenshot(page, `${state}-${colorScheme}`);
      assert.deepEqual(await obstacles(page), [], state);
    };
    await anna.press('#name', 'Enter');
    await check(anna, 'welcome');
    await anna.fill('#name', 'anna');
    await anna.press('#name', 'Enter');
    await online(anna);
    await check(anna, 'lobby');
    await anna.press('#target', 'Enter');
    await check(anna, 'lobby-error');

    const ben = await openPage(browser, relay.url, 'ben', look);
    await anna.click('[data-peer="ben"] button');
    await reaches(ben, 'incoming');
    await check(ben, 'incoming');
    await ben.click('#answer-camera');
    await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
    await check(anna, 'call');
    await anna.click('#to-lobby');
    await check(anna, 'lobby-in-call');
    await anna.click('#to-stage');
    await anna.click('#leave');
    await notice(ben, 'ended.hangup');
    await check(ben, 'notice');
  });
}

test('a call can be made, answered and ended with the keyboard alone', async () => {
  const [anna, ben] = [await openPage(browser, relay.url, ''), await openPage(browser, relay.url, 'ben')];
  // The name has the focus from the start.
  await anna.keyboard.type('anna');
  await anna.keyboard.press('Enter');
  await online(anna);
  const focused = () => anna.evaluate(() => document.activeElement?.closest('[data-peer]')?.getAttribute('data-peer'));
  for (let i = 0; (await focused()) !== 'ben'; i++) {
    assert.ok(i < 10, 'ben is within reach of the tab key');
    await anna.keyboard.press('Tab');
  }
  await anna.keyboard.press('Enter');
  await reaches(ben, 'incoming');
  // The ringing screen has the focus on "Answer".
  await ben.keyboard.press('Enter');
  await Promise.all([reaches(anna, 'connected'), reaches(ben, 'connected')]);
  await anna.keyboard.press('Enter');
  await Promise.all([reaches(anna, 'idle'), reaches(ben, 'idle')]);
  assert.equal(await focused(), 'ben', 'the focus is back where it was');

  await anna.keyboard.press('Enter');
  await reaches(ben, 'incoming');
  await ben.keyboard.press('Escape');
  await notice(anna, 'ended.declined');
});

test('what happens is spoken', async () => {
  const [anna, ben] = [await openPage(browser, relay.url, 'anna'), await openPage(browser, relay.url, 'ben')];
  await anna.click('[data-peer="ben"] button');
  await ben.waitForSelector('#spoken:has-text("anna is calling")', { state: 'attached' });
  // It alternates with the page's own, so that somebody notices.
  await ben.waitForFunction(() => document.title === 'anna is calling');
  await ben.click('#answer');
  await ben.waitForSelector('#spoken:has-text("anna: Connected")', { state: 'attached' });
  assert.equal(await ben.title(), 'Callbox');
  const roles = await ben.$$eval('#spoken, #banner, #notices', (all) => all.map((each) => each.role ?? each.ariaLive));
  assert.deepEqual(roles, ['status', 'assertive', 'status']);
});
