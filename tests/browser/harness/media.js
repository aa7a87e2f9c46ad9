/** Measuring what a page sees and hears, and what a device has written into a WAV file. */

import { readFileSync } from 'node:fs';

/**
 * Reads the stamps of the next pictures that a video element shows: 64 blocks side by side in the top 32/720 of the
 * picture, most significant bit first, 16 bits of frame counter and 48 bits of Unix time in units of 100 microseconds.
 * @param {import('playwright-core').Page} page
 * @param {string} selector
 * @param {number} count
 * @returns {Promise<{ counter: number, drawn: number, seen: number, width: number, height: number }[]>} times in
 *   milliseconds of Unix time
 */
export function readStamps(page, selector, count) {
  return page.evaluate(
    ([selector, count]) =>
      new Promise((resolve, reject) => {
        const video = /** @type {HTMLVideoElement} */ (document.querySelector(/** @type {string} */ (selector)));
        const canvas = document.createElement('canvas');
        const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
        /** @type {any[]} */
        const stamps = [];
        const limit = setTimeout(() => reject(new Error(`only ${stamps.length} pictures came`)), 20_000);
        const next = () => {
          const seen = performance.timeOrigin + performance.now();
          const { videoWidth: width, videoHeight: height } = video;
          const strip = Math.max(2, Math.round((height * 32) / 720));
          canvas.width = width;
          canvas.height = strip;
          context.drawImage(video, 0, 0, width, strip, 0, 0, width, strip);
          const row = context.getImageData(0, Math.floor(strip / 2), width, 1).data;
          let bits = 0n;
          for (let i = 0; i < 64; i++) {
            const x = Math.floor(((i + 0.5) * width) / 64) * 4;
            bits = (bits << 1n) | BigInt(row[x + 1] > 125 ? 1 : 0);
          }
          stamps.push({
            counter: Number(bits >> 48n),
            drawn: Number(bits & 0xffff_ffff_ffffn) / 10,
            seen,
            width,
            height,
          });
          if (stamps.length < /** @type {number} */ (count)) return video.requestVideoFrameCallback(next);
          clearTimeout(limit);
          resolve(stamps);
        };
        video.requestVideoFrameCallback(next);
      }),
    /** @type {[string, number]} */ ([selector, count]),
  );
}

/**
 * How many pictures a second a video element shows, over the next `count` of them.
 * @param {import('playwright-core').Page} page
 * @param {string} selector
 * @param {number} [count]
 */
export async function frameRate(page, selector, count = 20) {
  const stamps = await readStamps(page, selector, count);
  return ((count - 1) * 1000) / (stamps[count - 1].seen - stamps[0].seen);
}

/**
 * Waits until a video element has shown some further pictures. How fast they come is the machine's affair.
 * @param {import('playwright-core').Page} page
 * @param {string} selector
 */
export async function moves(page, selector) {
  await readStamps(page, selector, 20);
}

/** How far from the pitch that is meant one may be, in Hz. */
const NEAR = 8;

/**
 * Listens to what a media element plays until the same pitch stands out several times in a row, and returns it in Hz. A
 * browser that is short of time stretches what it plays, so that another pitch than the one that is meant may come first.
 * @param {import('playwright-core').Page} page
 * @param {string} selector
 * @param {{ pitch?: number, patience?: number }} [wanted] in Hz, any where it is left out; how long to listen, in milliseconds
 * @returns {Promise<number>}
 */
export function hearPitch(page, selector, { pitch = 0, patience = 15_000 } = {}) {
  return page.evaluate(
    async ({ selector, pitch, patience, near }) => {
      const video = /** @type {HTMLVideoElement} */ (document.querySelector(selector));
      const audio = new AudioContext();
      await audio.resume();
      const analyser = audio.createAnalyser();
      analyser.fftSize = 16384;
      analyser.smoothingTimeConstant = 0;
      const track = /** @type {MediaStream} */ (video.srcObject).getAudioTracks()[0];
      audio.createMediaStreamSource(new MediaStream([track])).connect(analyser);
      const levels = new Float32Array(analyser.frequencyBinCount);
      // Below 100 Hz there is hum and the microphone's own filter, no tone of ours.
      const lowest = Math.ceil((100 * analyser.fftSize) / audio.sampleRate);
      const deadline = performance.now() + patience;
      let heard = 0;
      try {
        for (let last = 0, times = 0; performance.now() < deadline; ) {
          await new Promise((later) => setTimeout(later, 50));
          analyser.getFloatFrequencyData(levels);
          let peak = lowest;
          for (let bin = lowest; bin < levels.length; bin++) if (levels[bin] > levels[peak]) peak = bin;
          times = levels[peak] > -60 && Math.abs(peak - last) <= 1 ? times + 1 : 0;
          last = peak;
          if (times < 4) continue;
          heard = (peak * audio.sampleRate) / analyser.fftSize;
          if (pitch === 0 || Math.abs(heard - pitch) < near) return heard;
        }
        throw new Error(heard === 0 ? 'no tone was heard' : `no tone of ${pitch} Hz was heard, but one of ${heard} Hz`);
      } finally {
        await audio.close();
      }
    },
    { selector, pitch, patience, near: NEAR },
  );
}

/**
 * Reads a WAV file of 16-bit samples, also one that is still being written.
 * @param {string} path
 * @returns {{ rate: number, channels: number, samples: Int16Array }} the first channel's samples
 */
export function readWav(path) {
  const file = readFileSync(path);
  let [rate, channels, bits] = [0, 0, 0];
  for (let at = 12; at + 8 <= file.length; ) {
    const [name, size] = [file.toString('latin1', at, at + 4), file.readUInt32LE(at + 4)];
    if (name === 'fmt ') {
      channels = file.readUInt16LE(at + 10);
      rate = file.readUInt32LE(at + 12);
      bits = file.readUInt16LE(at + 22);
    }
    if (name === 'data') {
      if (bits !== 16) throw new Error(`${path} has ${bits} bits a sample`);
      const frames = Math.floor(Math.min(size, file.length - at - 8) / (2 * channels));
      const samples = Int16Array.from({ length: frames }, (_, i) => file.readInt16LE(at + 8 + i * 2 * channels));
      return { rate, channels, samples };
    }
    at += 8 + size + (size & 1);
  }
  throw new Error(`${path} has no samples`);
}

/**
 * How strong one pitch is in each stretch of samples: Goertzel's algorithm.
 * @param {{ rate: number, samples: Int16Array }} sound
 * @param {number} pitch in Hz
 * @param {number} [stretch] in seconds
 * @returns {{ at: number, share: number, level: number }[]} `share` of the stretch's whole energy that the pitch has,
 *   0 to 1; `level` the root mean square of the stretch, 0 to 1
 */
export function pitchOverTime({ rate, samples }, pitch, stretch = 0.05) {
  const length = Math.round(rate * stretch);
  const factor = 2 * Math.cos((2 * Math.PI * pitch) / rate);
  const result = [];
  for (let start = 0; start + length <= samples.length; start += length) {
    let [a, b, energy] = [0, 0, 0];
    for (let i = start; i < start + length; i++) {
      const sample = samples[i] / 32768;
      energy += sample * sample;
      [a, b] = [sample + factor * a - b, a];
    }
    const power = (2 * (a * a + b * b - factor * a * b)) / length;
    result.push({ at: start / rate, share: energy > 1e-9 ? power / energy : 0, level: Math.sqrt(energy / length) });
  }
  return result;
}

/**
 * When the beeps of Chromium's fake microphone are heard: 20 ms of 400 Hz, twice a second.
 * @param {{ rate: number, samples: Int16Array }} sound
 * @returns {number[]} in seconds
 */
export function beeps(sound) {
  /** @type {number[]} */
  const times = [];
  for (const { at, share, level } of pitchOverTime(sound, 400, 0.01)) {
    // One beep fills several stretches.
    if (share > 0.5 && level > 0.01 && at - (times[times.length - 1] ?? -1) > 0.1) times.push(at);
  }
  return times;
}
