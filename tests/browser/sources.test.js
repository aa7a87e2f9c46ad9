/** Calls of a device whose picture and sound come from files, and whose sound goes through ALSA. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { closePages, openPage, picture, reaches, startBrowser } from './harness/browser.js';
import { deviceConfiguration, eventually, freePort, read, startCallbox, workspace } from './harness/callbox.js';
import { CLIP, PICTURES, SHOWN, watchClip, writeClip } from './harness/clip.js';
import { likeness, loudnessHeard } from './harness/loudness.js';
import { beeps, hearPitch, readWav } from './harness/media.js';

/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  browser = await startBrowser();
});
afterEach(() => closePages(browser));
after(() => browser.close());

/**
 * Starts a device with these sources, calls it, and runs `use` with the page, the device and its directory.
 * @param {(directory: string) => { environment?: Record<string, string> } & Parameters<typeof deviceConfiguration>[2]} prepare
 * @param {(page: import('playwright-core').Page, device: Awaited<ReturnType<typeof startCallbox>>, directory: string) => Promise<void>} use
 */
async function call(prepare, use) {
  const files = workspace();
  const { environment, ...options } = prepare(files.path);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/`;
  const configuration = deviceConfiguration(files.path, port, options);
  const device = await startCallbox('run', files.path, configuration, { page: url, environment });
  try {
    const anna = await openPage(browser, url, 'anna');
    await anna.click('#devices [data-peer="door"] button');
    await reaches(anna, 'connected');
    await use(anna, device, files.path);
  } finally {
    const code = await device.stop();
    files.remove();
    assert.equal(code, 0, device.output());
  }
}

/** 48 kHz, 16 bits, mono, without a header. @param {string} path @param {number} pitch in Hz @param {number} seconds */
function writeTone(path, pitch, seconds) {
  const samples = Int16Array.from({ length: 48_000 * seconds }, (_, i) => 8_000 * Math.sin((2 * Math.PI * pitch * i) / 48_000));
  writeFileSync(path, Buffer.from(samples.buffer));
}

test('a clip and speech from files are seen and heard, over and over', () =>
  call(
    (directory) => {
      const [clip, speech] = [join(directory, 'clip.y4m'), join(directory, 'speech.wav')];
      writeClip(clip);
      execFileSync('espeak-ng', ['-w', speech, 'Good evening. Who is there, please?'], { timeout: 20_000 });
      return { camera: `file:${clip}`, microphone: `file:${speech}` };
    },
    async (anna, device, directory) => {
      const pictures = await watchClip(anna, await picture(anna, 'door'), 3 * PICTURES);
      assert.deepEqual([pictures[0].width, pictures[0].height], [CLIP.width, CLIP.height]);
      for (const { colours } of pictures) assert.deepEqual(colours, SHOWN);
      // Two rounds and more: each place is seen but for what a busy machine drops, and the block moves on.
      const places = new Set(pictures.map(({ place }) => place));
      assert.ok(places.size >= PICTURES - 4, `seen at ${[...places]}`);
      const steps = pictures.slice(1).map(({ place }, i) => (place - pictures[i].place + PICTURES) % PICTURES);
      const moved = steps.reduce((sum, step) => sum + step, 0);
      const rate = (moved * 1000) / (pictures[pictures.length - 1].seen - pictures[0].seen);
      assert.ok(Math.abs(rate - CLIP.fps) < 2, `${rate} pictures a second: ${steps}`);

      const speech = readWav(join(directory, 'speech.wav'));
      assert.equal(speech.rate, 22_050);
      const seconds = (2 * speech.samples.length) / speech.rate;
      // A machine with too much to do stretches and cuts what it plays; nothing else ever comes to sound like this.
      await eventually('the speech is heard', async () => {
        const heard = await loudnessHeard(anna, '.tile video', seconds);
        return heard.length >= (0.8 * seconds) / 0.05 && likeness(heard, speech) > 0.7;
      }, 60_000);
      assert.match(read.devices(await device.status()).join(), /clip\.y4m.*speech\.wav/);
    },
  ));

test('sound goes through ALSA, both ways', () =>
  call(
    (directory) => {
      const at = (/** @type {string} */ name) => JSON.stringify(join(directory, name));
      writeTone(join(directory, 'ear.raw'), 620, 60);
      const devices = `</usr/share/alsa/alsa.conf>
pcm.silence { type null }
pcm.ear { type file slave.pcm silence file "/dev/null" infile ${at('ear.raw')} format raw }
pcm.mouth { type file slave.pcm silence file ${at('mouth.wav')} format wav }
`;
      const configuration = join(directory, 'asound.conf');
      writeFileSync(configuration, devices);
      return { microphone: 'alsa:ear', speaker: 'alsa:mouth', environment: { ALSA_CONFIG_PATH: configuration } };
    },
    async (anna, device, directory) => {
      await hearPitch(anna, '.tile video', { pitch: 620 });
      const file = join(directory, 'mouth.wav');
      const seconds = (/** @type {number} */ count) => count * 48_000 * 2;
      await eventually('some seconds were played', async () => existsSync(file) && statSync(file).size > seconds(5));
      assert.match(read.devices(await device.status()).join(), /ear.*mouth/);
      // alsa-lib writes the file's length when it is closed.
      await anna.click('#leave');
      const sound = await eventually('the speaker is closed', async () => {
        const wav = readWav(file);
        return wav.samples.length > 0 && wav;
      });
      assert.equal(sound.rate, 48_000);
      const heard = beeps(sound);
      assert.ok(heard.length >= 5, `beeps at ${heard}`);
      const gaps = heard.slice(1).map((at, i) => at - heard[i]).sort((a, b) => a - b);
      assert.ok(Math.abs(gaps[gaps.length >> 1] - 0.5) < 0.03, `beeps at ${heard}`);
    },
  ));
