// A person outside the guest, in headless Chromium: calls it, and says what comes of its picture and sound. Knows what
// vivid draws, and what Chromium's fake microphone says.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { dial, online, openPage, picture, reaches, screenshot } from '../browser/harness/browser.js';
import { frameRate, hearPitch, pitchOverTime, readWav } from '../browser/harness/media.js';

/** As the guests' configurations have it: what an emulated processor can encode beside everything else. */
export const WIDTH = 320;
export const HEIGHT = 180;
export const FPS = 10;
/** What is played into the guest's microphone, in Hz. */
export const TONE = 1000;
/** What Chromium's fake microphone beeps, twice a second, in Hz. */
const BEEP = 400;
/** Of ten in five seconds; what an overloaded guest tears apart does not count as a beep. */
const LEAST_BEEPS = 4;

/** What vivid shows without being asked: eight bars at 75 % (ITU-R BT.471), left to right, as red, green, blue. */
const BARS = [[191, 191, 191], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191], [0, 0, 0]];
/** H.264 at a few hundred kbit/s and 4:2:0 leave flat colours within a few steps; a wrong colour matrix is far beyond. */
const COLOUR_TOLERANCE = 24;
/** An emulated processor on a busy machine may not keep up for a while. */
const CHANCES = 3;

/** Plays the tone into the guest's microphone. */
export const PLAY_TONE = `exec speaker-test -D hw:Loopback,1,0 -c 1 -r 48000 -F S16_LE -t sine -f ${TONE}`;

export class Caller {
  /** Opens the page of the device called `device`. */
  static async open(browser, url, device) {
    return new Caller(await openPage(browser, url, 'visitor'), device);
  }

  constructor(page, device) {
    this.page = page;
    this.device = device;
  }

  /** Calls the device, which is there or comes back by itself; returns once its picture is there. */
  async call() {
    await online(this.page);
    await dial(this.page, this.device);
    await reaches(this.page, 'connected');
    this.video = await picture(this.page, this.device);
  }

  async hangUp() {
    await this.page.click('#leave');
    await reaches(this.page, 'idle');
  }

  reaches(state) {
    return reaches(this.page, state);
  }

  screenshot(name) {
    return screenshot(this.page, name);
  }

  /** The picture's size in pixels, "320x180". */
  size() {
    return this.page.$eval(this.video, (video) => `${video.videoWidth}x${video.videoHeight}`);
  }

  /** Pictures a second, over `count` of them. */
  rate(count) {
    return frameRate(this.page, this.video, count);
  }

  /** Expects pictures at a rate of the camera's. */
  async seesMotion(t, least = FPS * 0.6, most = FPS * 1.25) {
    let rate = 0;
    for (let chance = 0; chance < CHANCES && (rate < least || rate > most); chance++) {
      rate = await this.rate(20);
      t.diagnostic(`${rate.toFixed(1)} pictures a second`);
    }
    assert.ok(rate >= least && rate <= most, `${rate} pictures a second`);
  }

  /** Whether the picture is vivid's bars. */
  async seesBars() {
    const seen = await this.#bars();
    return seen.every((colour, bar) => near(colour, BARS[bar]));
  }

  async expectBars() {
    assert.ok(await this.seesBars(), `not vivid's bars: ${JSON.stringify(await this.#bars())}`);
  }

  /** Expects the tone that is played into the guest's microphone, `within` so many Hz. */
  async hearsTone(within = 10) {
    const pitch = await hearPitch(this.page, this.video);
    assert.ok(Math.abs(pitch - TONE) < within, `${pitch} Hz`);
  }

  /** Expects `least` beeps of Chromium's fake microphone in 5 s of what comes out of the guest's speaker. */
  async isHeard(t, guest, path, least = LEAST_BEEPS) {
    let beeps = [];
    for (let chance = 0; chance < CHANCES && beeps.length < least; chance++) {
      await guest.run('timeout 60 arecord -q -D plughw:Loopback,1,0 -f S16_LE -r 48000 -c 1 -d 5 /tmp/speaker.wav', 90_000);
      writeFileSync(path, Buffer.from(await guest.run('base64 /tmp/speaker.wav', 90_000), 'base64'));
      const loud = pitchOverTime(readWav(path), BEEP, 0.02).filter(({ level, share }) => level > 0.02 && share > 0.3);
      beeps = loud.map(({ at }) => at).filter((at, i, all) => i === 0 || at - all[i - 1] > 0.2);
      t.diagnostic(`beeps at ${beeps.map((at) => at.toFixed(2)).join(', ')} s`);
    }
    assert.ok(beeps.length >= least, `${beeps.length} beeps of ten in 5 s`);
  }

  /** The colours at points of the picture, given as shares of its width and height. */
  colours(points) {
    return this.page.evaluate(([selector, points]) => {
      const video = document.querySelector(selector);
      const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
      const context = canvas.getContext('2d', { willReadFrequently: true });
      context.drawImage(video, 0, 0);
      return points.map(([x, y]) =>
        [...context.getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data].slice(0, 3));
    }, [this.video, points]);
  }

  /** In the middle of the eight bars, below the text that vivid writes over them. */
  #bars() {
    return this.colours(BARS.map((_, bar) => [(bar + 0.5) / BARS.length, 0.9]));
  }
}

export const near = (seen, wanted) => seen.every((value, i) => Math.abs(value - wanted[i]) <= COLOUR_TOLERANCE);

/** Takes a device away from under its driver, as pulling its plug does, and puts it back. */
export const unplug = (guest, driver, device) => guest.run(`echo ${device} > /sys/bus/platform/drivers/${driver}/unbind`);
export const plugIn = (guest, driver, device) => guest.run(`echo ${device} > /sys/bus/platform/drivers/${driver}/bind`);

/** Waits until `wanted` holds; returns how many milliseconds that took. */
export async function until(wanted, timeout) {
  const started = Date.now();
  while (!(await wanted())) {
    assert.ok(Date.now() - started < timeout, `nothing changed within ${timeout / 1000} s`);
    await sleep(100);
  }
  return Date.now() - started;
}
