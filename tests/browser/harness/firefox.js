/**
 * Firefox for the tests, driven over WebDriver BiDi: the second browser, and the one that may be without H.264. It has
 * OpenH264 as a plug-in only, which the tests build themselves (`tests/gmp`) and lend it or not.
 */

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

/** How long Firefox may take for anything. It starts slowly on a busy machine. */
const PATIENCE = 60_000;

/** What the fake microphone plays, in Hz. */
export const TONE = 1000;

const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.audio.fake_frequency': TONE,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.autoplay.block-webaudio': false,
  // Media on loopback only, under addresses that need no multicast DNS.
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.force_interface': 'lo',
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // No plug-in from elsewhere, and whatever else Firefox would like to fetch ends at a closed port.
  'media.gmp-manager.updateEnabled': false,
  'media.gmp-provider.enabled': false,
  'network.proxy.type': 1,
  'network.proxy.http': '127.0.0.1',
  'network.proxy.http_port': 9,
  'network.proxy.ssl': '127.0.0.1',
  'network.proxy.ssl_port': 9,
  'network.proxy.no_proxies_on': '127.0.0.1, localhost',
};

/**
 * @param {{ plugin?: string }} [options] `plugin`: the library of the OpenH264 plug-in; without one there is no H.264
 */
export async function startFirefox({ plugin } = {}) {
  const home = mkdtempSync(join(tmpdir(), 'callbox-firefox-'));
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr',
    headless: true,
    timeout: 2 * PATIENCE,
    extraPrefsFirefox: PREFERENCES,
    env: {
      ...process.env,
      HOME: home,
      MOZ_CRASHREPORTER_DISABLE: '1',
      ...(plugin ? { MOZ_GMP_PATH: layOut(home, plugin) } : {}),
    },
  });
  return {
    /**
     * Opens the page and joins.
     * @param {string} url
     * @param {string} name
     */
    async open(url, name) {
      const page = await browser.newPage();
      page.setDefaultTimeout(PATIENCE);
      /** @type {string[]} */
      const crashes = [];
      page.on('pageerror', (error) => crashes.push(String(error)));
      await page.goto(url);
      await page.type('#name', name);
      await page.keyboard.press('Enter');
      await page.waitForSelector('#connection[data-state="online"]');
      return Object.assign(page, { crashes });
    },
    async close() {
      await browser.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/**
 * Waits until the page is in this state.
 * @param {import('puppeteer-core').Page} page
 * @param {string} state
 */
export async function reaches(page, state) {
  try {
    await page.waitForSelector(`html[data-state="${state}"]`);
  } catch (error) {
    const now = await page.evaluate(() => `${document.documentElement.dataset.state}: ${document.body.innerText}`);
    throw new Error(`the page did not get to "${state}" but is ${now}`, { cause: error });
  }
}

/**
 * The words of the first element, once it is visible and has some.
 * @param {import('puppeteer-core').Page} page
 * @param {string} selector
 */
export async function words(page, selector) {
  const handle = await page.waitForFunction(
    (selector) => {
      const each = /** @type {HTMLElement | null} */ (document.querySelector(selector));
      return each?.checkVisibility() && each.innerText.trim();
    },
    {},
    selector,
  );
  return String(await handle.jsonValue());
}

/**
 * Records what a media element plays until it is no silence, and returns its pitch in Hz. (An AudioContext, by which
 * the tests in Chromium listen, does not start in Firefox where there is no sound card.)
 * @param {import('puppeteer-core').Page} page
 * @param {string} selector
 * @returns {Promise<number>}
 */
export function hearPitch(page, selector) {
  return page.evaluate(async (selector) => {
    const video = /** @type {HTMLVideoElement} */ (document.querySelector(selector));
    const sound = new MediaStream(/** @type {MediaStream} */ (video.srcObject).getAudioTracks());
    for (let tries = 0; tries < 20; tries++) {
      const recorder = new MediaRecorder(sound);
      /** @type {Blob[]} */
      const parts = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      const stopped = new Promise((done) => (recorder.onstop = done));
      recorder.start();
      await new Promise((later) => setTimeout(later, 1000));
      recorder.stop();
      await stopped;
      const whole = await new Blob(parts).arrayBuffer();
      const samples = (await new OfflineAudioContext(1, 1, 48_000).decodeAudioData(whole)).getChannelData(0);
      // The middle half: a recording begins and ends anywhere.
      const middle = samples.subarray(samples.length / 4, (samples.length * 3) / 4);
      if (!middle.some((sample) => Math.abs(sample) > 0.05)) continue;
      const rises = [];
      for (let i = 1; i < middle.length; i++) if (middle[i - 1] < 0 && middle[i] >= 0) rises.push(i);
      return ((rises.length - 1) * 48_000) / (rises[rises.length - 1] - rises[0]);
    }
    throw new Error('no sound was heard');
  }, selector);
}

/** Puts the plug-in where Firefox looks for it, by names it insists on, and returns that folder. */
function layOut(/** @type {string} */ home, /** @type {string} */ plugin) {
  const folder = join(home, 'gmp-gmpopenh264', '1.0');
  mkdirSync(folder, { recursive: true });
  copyFileSync(plugin, join(folder, 'libgmpopenh264.so'));
  writeFileSync(
    join(folder, 'gmpopenh264.info'),
    'Name: gmpopenh264\nDescription: OpenH264 for tests\nVersion: 1.0\nAPIs: encode-video[h264], decode-video[h264]\n',
  );
  return folder;
}
