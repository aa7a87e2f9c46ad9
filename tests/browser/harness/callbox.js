/** The program under test: starting it with a configuration of the test's own, asking it, stopping it. */

import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The binary: CALLBOX_BIN, else what `cargo build` made. */
export const BINARY = process.env.CALLBOX_BIN ?? fileURLToPath(new URL('../../../target/debug/callbox', import.meta.url));

/** How long the program may take to start and to stop, in milliseconds. */
const PATIENCE = 20_000;

/** A TCP port that is free now. @returns {Promise<number>} */
export async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, '127.0.0.1', () => ready(null)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await new Promise((done) => server.close(done));
  return port;
}

/** A directory for one test's files. `remove` deletes it. */
export function workspace() {
  const path = mkdtempSync(join(tmpdir(), 'callbox-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/**
 * A device that needs no hardware, with its own server on `port`, on loopback only.
 * @param {string} directory where it keeps its files; the speaker writes heard.wav there
 * @param {number} port
 * @param {{ id?: string, name?: string, width?: number, height?: number, fps?: number, signaling?: string, calls?: string, microphone?: string, camera?: string, speaker?: string,
 *   policy?: 'all' | 'relay', server?: string, more?: string }} [options]
 */
export function deviceConfiguration(directory, port, options = {}) {
  const { id = 'door', name = 'Front door', width = 640, height = 480, fps = 30, signaling, calls = 'auto' } = options;
  return `
[device]
id = ${JSON.stringify(id)}
name = ${JSON.stringify(name)}
${signaling ? `[signaling]\nurl = ${JSON.stringify(signaling)}` : ''}
[server]
listen = "127.0.0.1:${port}"
${options.server ?? ''}
[camera]
source = ${JSON.stringify(options.camera ?? 'synthetic')}
width = ${width}
height = ${height}
fps = ${fps}
[microphone]
source = ${JSON.stringify(options.microphone ?? 'synthetic')}
[speaker]
sink = ${JSON.stringify(options.speaker ?? `file:${join(directory, 'heard.wav')}`)}
[ice]
bind = ["127.0.0.1"]
mdns = false
policy = "${options.policy ?? 'all'}"
[calls]
answer = "${calls}"
[control]
socket = ${JSON.stringify(join(directory, 'callbox.sock'))}
[state]
dir = ${JSON.stringify(directory)}
${options.more ?? ''}`;
}

/** A signaling server alone. @param {string} directory @param {number} port */
export function serverConfiguration(directory, port) {
  return `[server]\nlisten = "127.0.0.1:${port}"\n[state]\ndir = ${JSON.stringify(directory)}\n`;
}

/**
 * Starts the program and waits until its page, or with `page: null` its control socket, answers.
 * @param {'run' | 'server'} command
 * @param {string} directory
 * @param {string} configuration TOML
 * @param {{ page?: string | null, environment?: Record<string, string> }} [options] `page`: the address to wait for;
 *   `environment`: variables beside the test's own
 */
export async function startCallbox(command, directory, configuration, { page = null, environment = {} } = {}) {
  const file = join(directory, `${command}.toml`);
  writeFileSync(file, configuration);
  const child = spawn(BINARY, [command, '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  /** @type {string[]} */
  const lines = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => lines.push(String(text)));
  /** @type {Promise<number | null>} */
  const ended = new Promise((done) => child.on('exit', (code) => done(code)));
  child.on('error', (error) => lines.push(String(error)));
  // A test file that is ended for hanging leaves nothing behind.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  ended.then(() => process.off('exit', kill));

  const program = {
    output: () => lines.join(''),
    pid: child.pid ?? 0,
    ended,
    /**
     * Runs another command of the program against this one.
     * @param {...string} words
     */
    async command(...words) {
      const { stdout } = await promisify(execFile)(BINARY, [...words, '--config', file], { timeout: PATIENCE });
      return stdout;
    },
    /** @returns {Promise<any>} */
    status: async () => JSON.parse(await program.command('status', '--json')),
    /** Asks it to end, as systemd does, and returns its exit code. */
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
      const code = await ended;
      clearTimeout(late);
      return code;
    },
  };

  const answers = async () => {
    if (page === null) return existsSync(join(directory, 'callbox.sock'));
    return fetch(new URL('healthz', page)).then((reply) => reply.ok, () => false);
  };
  for (const start = Date.now(); !(await answers()); ) {
    const over = await Promise.race([ended, new Promise((later) => setTimeout(() => later('running'), 50))]);
    if (over !== 'running' || Date.now() - start > PATIENCE) {
      child.kill('SIGKILL');
      throw new Error(`callbox ${command} did not start:\n${program.output()}`);
    }
  }
  return program;
}

/**
 * Waits until `probe` returns something true, and returns that.
 * @template T
 * @param {string} what for the message when it never does
 * @param {() => Promise<T>} probe
 */
export async function eventually(what, probe, patience = PATIENCE) {
  for (const start = Date.now(); ; ) {
    const result = await probe();
    if (result) return result;
    if (Date.now() - start > patience) throw new Error(`it did not come to this: ${what}`);
    await new Promise((later) => setTimeout(later, 100));
  }
}

/** What tests read from `callbox status --json`, in one place. */
export const read = {
  /** How often an encoder was set up since the first of the present calls. */
  encoderStarts: (/** @type {any} */ status) => status.media.video?.encoderStarts ?? 0,
  /** @returns {{ user: string, direction: string, state: string }[]} */
  calls: (/** @type {any} */ status) => status.calls,
  /** The open camera, microphone and speaker in words. @returns {string[]} */
  devices: ({ media }) => [media.video?.camera, media.microphone?.device, media.speaker?.device],
  /** Whether anything is captured. */
  capturing: (/** @type {any} */ status) => status.media.video !== null,
  registered: (/** @type {any} */ status) => status.signaling.registration.state === 'registered',
};
