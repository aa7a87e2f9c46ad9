/** GStreamer's webrtcbin beside Callbox, where it is installed. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('webrtcbin.py', import.meta.url));

/** @returns {Promise<{ url: string, end: () => Promise<void> } | string>} a string says why there is none */
export async function startWebrtcbin() {
  // Debian's own Python is the one that has the bindings.
  const child = spawn('/usr/bin/python3', [PROGRAM], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (/** @type {Buffer} */ text) => (complaint = (complaint + text).slice(-2000)));
  const ended = once(child, 'exit').catch((error) => (complaint = String(error)));
  const port = await Promise.race([once(child.stdout, 'data'), ended.then(() => undefined)]);
  if (!port) return complaint.trim().split('\n').at(-1) ?? 'it ended at once';
  const end = async () => {
    child.stdin.end();
    await ended;
  };
  return { url: `http://127.0.0.1:${Number(port)}/`, end };
}
