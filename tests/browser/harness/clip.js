/**
 * A video clip that tells where it is: four colours, and below them a white block that moves one place to the right with
 * each picture. Writing it as Y4M, and reading it back from what a page shows.
 */

import { writeFileSync } from 'node:fs';

/** Pictures in the clip, and places for the block. */
export const PICTURES = 20;
export const CLIP = { width: 320, height: 240, fps: 15 };
/** From left to right, as Y'CbCr (BT.601, limited range). */
const COLOURS = /** @type {const} */ ({ red: [81, 90, 240], green: [145, 54, 34], blue: [41, 240, 110], yellow: [210, 16, 146] });
/** What `watchClip` says of each quarter of the picture's width. */
export const SHOWN = Object.keys(COLOURS);

/** @param {string} path */
export function writeClip(path) {
  const { width, height, fps } = CLIP;
  const parts = [Buffer.from(`YUV4MPEG2 W${width} H${height} F${fps}:1 Ip A1:1 C420jpeg\n`)];
  const colours = Object.values(COLOURS);
  for (let picture = 0; picture < PICTURES; picture++) {
    parts.push(Buffer.from('FRAME\n'));
    for (const plane of [0, 1, 2]) {
      const scale = plane === 0 ? 1 : 2;
      const [columns, rows] = [width / scale, height / scale];
      const samples = Buffer.alloc(columns * rows);
      for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++) {
          const place = Math.floor((x * PICTURES) / columns);
          const colour = colours[Math.floor((x * colours.length) / columns)];
          const below = y >= (rows * 3) / 4;
          samples[y * columns + x] = below ? [place === picture ? 235 : 16, 128, 128][plane] : colour[plane];
        }
      }
      parts.push(samples);
    }
  }
  writeFileSync(path, Buffer.concat(parts));
}

/**
 * Reads the next pictures that a video element shows of the clip.
 * @param {import('playwright-core').Page} page
 * @param {string} selector
 * @param {number} count
 * @returns {Promise<{ place: number, seen: number, colours: string[], width: number, height: number }[]>} `place`: where
 *   the block is, from 0; `seen`: in milliseconds
 */
export function watchClip(page, selector, count) {
  return page.evaluate(
    ({ selector, count, places }) =>
      new Promise((resolve, reject) => {
        const video = /** @type {HTMLVideoElement} */ (document.querySelector(selector));
        const canvas = document.createElement('canvas');
        const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
        /** @type {any[]} */
        const pictures = [];
        const limit = setTimeout(() => reject(new Error(`only ${pictures.length} pictures came`)), 20_000);
        const name = ([red, green, blue]) => {
          const on = [red, green, blue].map((level) => (level > 128 ? 1 : 0)).join('');
          return { 100: 'red', '010': 'green', '001': 'blue', 110: 'yellow' }[on] ?? `rgb(${red}, ${green}, ${blue})`;
        };
        const next = (/** @type {number} */ seen) => {
          const { videoWidth: width, videoHeight: height } = video;
          [canvas.width, canvas.height] = [width, height];
          context.drawImage(video, 0, 0);
          const at = (/** @type {number} */ x, /** @type {number} */ y) =>
            [...context.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data].slice(0, 3);
          const levels = Array.from({ length: places }, (_, i) => at((i + 0.5) / places, 7 / 8)[1]);
          const colours = [1, 3, 5, 7].map((eighth) => name(at(eighth / 8, 3 / 8)));
          pictures.push({ place: levels.indexOf(Math.max(...levels)), seen, colours, width, height });
          if (pictures.length < count) return video.requestVideoFrameCallback(next);
          clearTimeout(limit);
          resolve(pictures);
        };
        video.requestVideoFrameCallback(next);
      }),
    { selector, count, places: PICTURES },
  );
}
