/** Loudness over time: of what a page plays, and of samples that repeat; and how alike the two are. */

/** Length of a stretch over which loudness is measured, in seconds. */
const STRETCH = 0.05;

/**
 * Records what a media element's voice track carries.
 * @param {import('playwright-core').Page} page
 * @param {string} selector
 * @param {number} seconds
 * @returns {Promise<number[]>} the loudness (root mean square) of each stretch
 */
export function loudnessHeard(page, selector, seconds) {
  return page.evaluate(
    async ({ selector, seconds, stretch }) => {
      const video = /** @type {HTMLVideoElement} */ (document.querySelector(selector));
      const track = /** @type {MediaStream} */ (video.srcObject).getAudioTracks()[0];
      const recorder = new MediaRecorder(new MediaStream([track]), { mimeType: 'audio/webm;codecs=opus' });
      /** @type {Blob[]} */
      const parts = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      const stopped = new Promise((done) => (recorder.onstop = done));
      recorder.start();
      setTimeout(() => recorder.stop(), seconds * 1000);
      await stopped;
      const audio = new AudioContext();
      try {
        const sound = await audio.decodeAudioData(await new Blob(parts).arrayBuffer());
        const [samples, length] = [sound.getChannelData(0), Math.round(sound.sampleRate * stretch)];
        const levels = [];
        for (let start = 0; start + length <= samples.length; start += length) {
          levels.push(Math.sqrt(samples.subarray(start, start + length).reduce((sum, x) => sum + x * x, 0) / length));
        }
        return levels;
      } finally {
        await audio.close();
      }
    },
    { selector, seconds, stretch: STRETCH },
  );
}

/**
 * How alike the loudness heard and that of a repeated recording are, at the shift where they fit best: 1 for the same
 * ups and downs, about 0 for any others.
 * @param {number[]} heard
 * @param {{ rate: number, samples: Int16Array }} repeated
 */
export function likeness(heard, { rate, samples }) {
  // Sums of squares up to each sample, so that any stretch costs two look-ups.
  const sums = new Float64Array(samples.length + 1);
  samples.forEach((sample, i) => (sums[i + 1] = sums[i] + (sample / 32768) ** 2));
  const until = (/** @type {number} */ at) =>
    Math.floor(at / samples.length) * sums[samples.length] + sums[at % samples.length];
  const length = Math.round(rate * STRETCH);
  let best = -1;
  for (let shift = 0; shift < samples.length; shift += Math.round(rate / 100)) {
    const expected = heard.map((_, i) => {
      const at = shift + Math.round(i * STRETCH * rate);
      return Math.sqrt((until(at + length) - until(at)) / length);
    });
    best = Math.max(best, correlation(heard, expected));
  }
  return best;
}

/**
 * Pearson's coefficient.
 * @param {number[]} a
 * @param {number[]} b as long
 */
function correlation(a, b) {
  const mean = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [both, squareA, squareB] = [0, 0, 0];
  a.forEach((value, i) => {
    both += (value - meanA) * (b[i] - meanB);
    squareA += (value - meanA) ** 2;
    squareB += (b[i] - meanB) ** 2;
  });
  return squareA > 0 && squareB > 0 ? both / Math.sqrt(squareA * squareB) : 0;
}
