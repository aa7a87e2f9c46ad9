// Setting up without a computer: a card as it was written, a camera that sees the code of `callbox provision`. vivid's HDMI
// input is connected to its own output, where the test shows the code; snd-aloop hears what the board has to say.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { startBrowser } from '../../browser/harness/browser.js';
import { readWav } from '../../browser/harness/media.js';
import { Caller } from '../caller.mjs';
import { ADDRESS } from '../machine.mjs';
import { failed, step } from '../story.mjs';
import { boot } from './guest.mjs';
import { startRouter } from './router.mjs';

const OUT = fileURLToPath(new URL('../../../target/hardware/appliance', import.meta.url));
const PATIENCE = 120_000;
/** vivid's second node, beside the camera. */
const OUTPUT = '/dev/video1';
/** What the scan asks a camera for. */
const WIDTH = 800;
const HEIGHT = 600;
/** Luma of limited range (ITU-R BT.709). */
const WHITE = 235;
const BLACK = 16;
/** A sample this loud is no silence. */
const HEARD = 600;

/** @type {import('../machine.mjs').Machine} */
let guest;
/** @type {import('playwright-core').Browser} */
let browser;
/** Ends it. @type {() => void} */
let stopRouter;

before(async () => {
  stopRouter = startRouter(OUT);
  guest = await boot(OUT, { card: 'fresh.img', devices: false });
}, { timeout: 900_000 });

after(async () => {
  const journal = await guest?.run('journalctl --boot --no-pager --output=short-monotonic', PATIENCE).catch((error) => `${error}`);
  writeFileSync(`${OUT}/journal-setup.log`, journal ?? 'there was no guest');
  await guest?.stop();
  await browser?.close();
  stopRouter?.();
  if (failed) console.log(`look at ${OUT}/journal-setup.log`);
});

step('a card as it was written looks for a code, and says that there is no camera yet', async () => {
  await guest.until(LOG, (text) => text.includes('no camera is plugged in'), PATIENCE);
});

step('with a camera it ticks, and goes on looking while there is no code', async () => {
  await guest.run(`modprobe snd-aloop
    modprobe vivid n_devs=1 num_inputs=1 input_types=3 num_outputs=1 output_types=1 node_types=0x101`, PATIENCE);
  await guest.until(LOG, (text) => text.includes(`${WIDTH}x${HEIGHT}`), PATIENCE);
  assert.ok((await loudest()) > HEARD, 'it ticks');
  assert.equal((await guest.run('systemctl is-active callbox-board-scan')).trim(), 'active');
});

step('a code of `callbox provision` in front of it sets the board up', async (t) => {
  const code = await guest.run('callbox provision --id hall --name "Upper hall"');
  const frame = gzipSync(draw(modules(code))).toString('base64');
  await guest.run(`echo '${frame}' | base64 -d | gzip -d > /tmp/code.yuv
    v4l2-ctl -d ${OUTPUT} --set-fmt-video-out=width=${WIDTH},height=${HEIGHT},pixelformat=YU12`);
  await guest.start(`exec v4l2-ctl -d ${OUTPUT} --stream-out-mmap --stream-from=/tmp/code.yuv --stream-loop`);
  const since = Date.now();
  // No text of vivid's over it, and the plug into the socket.
  await guest.run('v4l2-ctl -d /dev/video0 -c osd_text_mode=2 -c hdmi_000_0_is_connected_to=2');
  await guest.until('cat /boot/firmware/callbox.toml', (text) => text.includes('id = "hall"'), PATIENCE);
  t.diagnostic(`taken ${((Date.now() - since) / 1000).toFixed(1)} s after it was shown`);
  await guest.until('cat /boot/firmware/callbox-report.txt', (text) => /all is well[^]*Upper hall \(hall\)/.test(text), PATIENCE);
  assert.match(await guest.run('cat /boot/firmware/callbox.toml'), /name = "Upper hall"/);
  assert.equal((await guest.run('hostname')).trim(), 'hall');
  await guest.until('findmnt -no OPTIONS /boot/firmware', (text) => /\bro\b/.test(text), PATIENCE);
});

step('it is an intercom of that name', async () => {
  await guest.until('callbox status --json || true', (text) => /"state": *"registered"/.test(text), PATIENCE);
  browser = await startBrowser();
  const caller = await Caller.open(browser, `https://${ADDRESS}:8443/`, 'hall');
  caller.page.setDefaultTimeout(PATIENCE);
  await caller.call();
  await caller.hangUp();
  assert.equal(await guest.run('systemctl list-units --failed --plain --no-legend'), '');
});

const LOG = 'journalctl -b -u callbox-board-scan --no-pager -o cat';

/** The highest sample of what comes out of the guest's speaker in six seconds, of 32767. */
async function loudest() {
  await guest.run('timeout 60 arecord -q -D plughw:Loopback,1,0 -f S16_LE -r 48000 -c 1 -d 6 /tmp/speaker.wav', PATIENCE);
  const path = `${OUT}/chime.wav`;
  writeFileSync(path, Buffer.from(await guest.run('base64 /tmp/speaker.wav', PATIENCE), 'base64'));
  return readWav(path).samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
}

/** The dark modules of a code, as the terminal shows it: half blocks, two modules high. */
function modules(terminal) {
  const lines = terminal.replace(/\x1b\[[\d;]*m/g, '').split('\n').filter((line) => /^[█▀▄ ]+$/.test(line));
  const rows = lines.flatMap((line) => [[...line].map((c) => '█▀'.includes(c)), [...line].map((c) => '█▄'.includes(c))]);
  return rows.slice(0, rows[0].length);
}

/** A picture of it as planar 4:2:0, in the middle and as large as fits. */
function draw(rows) {
  const side = Math.floor(HEIGHT / rows.length);
  const [left, top] = [WIDTH, HEIGHT].map((size) => Math.floor((size - side * rows.length) / 2));
  const frame = Buffer.alloc(WIDTH * HEIGHT * 3 / 2, 128).fill(WHITE, 0, WIDTH * HEIGHT);
  rows.forEach((row, y) => row.forEach((dark, x) => {
    for (let line = 0; dark && line < side; line++) {
      const at = (top + y * side + line) * WIDTH + left + x * side;
      frame.fill(BLACK, at, at + side);
    }
  }));
  return frame;
}
