/** Chromium for the tests: starting it, opening the page under a name, and the presses a person would make. */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const SCREENSHOTS = fileURLToPath(new URL('../../../target/screenshots/', import.meta.url));

/** How long a test waits for what should happen at once, on a busy machine. */
export const PATIENCE = 20_000;

/**
 * @param {{ devices?: boolean, permission?: boolean, hosts?: string, home?: string }} [options] `devices`: whether
 *   Chromium has a fake microphone and camera; `permission`: whether it hands them out without a question; `hosts`: its
 *   own rules for host names; `home`: a home directory of its own
 */
export function startBrowser({ devices = true, permission = true, hosts, home } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
    headless: true,
    env: { ...process.env, ...(home ? { HOME: home } : {}) },
    args: [
      '--no-sandbox',
      '--no-first-run',
      '--allow-loopback-in-peer-connection',
      '--autoplay-policy=no-user-gesture-required',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-quic',
      '--disable-sync',
      ...(devices ? ['--use-fake-device-for-media-stream'] : []),
      ...(permission ? ['--use-fake-ui-for-media-stream'] : []),
      ...(hosts ? [`--host-resolver-rules=${hosts}`] : []),
    ],
  });
}

/** Errors that no code of the page caught, in any page since `closePages` ran last. @type {string[]} */
const crashes = [];

/**
 * Closes what a test has opened, and fails where the page's own code did.
 * @param {import('playwright-core').Browser} browser
 */
export async function closePages(browser) {
  await Promise.all(browser.contexts().map((context) => context.close()));
  assert.deepEqual(crashes.splice(0), []);
}

/** What Chromium complains about by itself, which is no fault of the page. */
const AMBIENT = /favicon|net::ERR_|WebSocket connection to/;

/**
 * Opens the page in a context of its own (its own storage, so its own name) and joins.
 * @param {import('playwright-core').Browser} browser
 * @param {string} url
 * @param {string} name
 * @param {import('playwright-core').BrowserContextOptions & { init?: (argument: any) => void, argument?: any }} [options]
 *   `init` runs in the page with `argument` before the page's own code
 * @returns {Promise<import('playwright-core').Page & { faults: string[] }>}
 */
export async function openPage(browser, url, name, { init, argument, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ignoreHTTPSErrors: true, ...options });
  if (init) await context.addInitScript(init, argument);
  const page = /** @type {any} */ (await context.newPage());
  page.setDefaultTimeout(PATIENCE);
  page.faults = [];
  page.on('pageerror', (error) => {
    crashes.push(String(error));
    page.faults.push(String(error));
  });
  page.on('console', (line) => {
    // A relay that only forwards knows nothing of invitations, and a stranger is none to the server.
    if (line.location().url.endsWith('/api/me') || !['error', 'warning'].includes(line.type())) return;
    if (!AMBIENT.test(line.text())) page.faults.push(line.text());
  });
  await page.goto(url);
  if (name) {
    await page.fill('#name', name);
    await page.press('#name', 'Enter');
    await online(page);
  }
  return page;
}

/** @param {import('playwright-core').Page} page */
export const online = (page) => page.waitForSelector('#connection[data-state="online"]');

/**
 * Waits until the page as a whole is in this state: idle, calling, ringing, incoming, connecting, connected, ...
 * @param {import('playwright-core').Page} page
 * @param {string} state
 */
export async function reaches(page, state) {
  try {
    await page.waitForSelector(`html[data-state="${state}"]`, { state: 'attached' });
  } catch (error) {
    const now = await page.evaluate(() => ({
      state: document.documentElement.dataset.state,
      notices: [...document.querySelectorAll('.notice')].map((notice) => notice.textContent),
    }));
    throw new Error(`the page did not get to "${state}" but is ${JSON.stringify(now)}`, { cause: error });
  }
}

/**
 * Calls somebody by typing the ID.
 * @param {import('playwright-core').Page} page
 * @param {string} userId
 */
export async function dial(page, userId) {
  await page.fill('#target', userId);
  await page.press('#target', 'Enter');
}

/**
 * Waits for a notice and returns its words.
 * @param {import('playwright-core').Page} page
 * @param {string} code
 */
export async function notice(page, code) {
  const words = await page.textContent(`[data-notice="${code}"] p`);
  assert.ok(words, `the notice ${code} has words`);
  return words;
}

/**
 * The selector of the picture of a peer, once there is one.
 * @param {import('playwright-core').Page} page
 * @param {string} userId
 */
export async function picture(page, userId) {
  const tile = `.tile[data-peer="${userId}"]`;
  await page.waitForSelector(`${tile}[data-picture="on"]`);
  return `${tile} video`;
}

/**
 * @param {import('playwright-core').Page} page
 * @param {string} name
 */
export async function screenshot(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png`, animations: 'disabled' });
}
