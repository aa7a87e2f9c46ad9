// A guest machine as an object: starts it, runs scripts in it, ends it. The control channel is a virtio serial port that
// `agent` serves in the guest, so it works without a network.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The guest's address on tap0, which `network` makes. */
export const ADDRESS = '10.77.0.2';
/** The host's. */
export const ROUTER = '10.77.0.1';

export class Machine {
  #process;
  #channel;
  #waiting = new Map();
  #number = 0;

  /**
   * Starts `program`, a QEMU, with `options`; the guest's serial console is written to console.log in `directory`.
   * @param {string} directory
   * @param {string} program
   * @param {string[]} options
   */
  constructor(directory, program, options) {
    this.console = join(directory, 'console.log');
    rmSync(this.console, { force: true });
    // The path of a socket may not be long.
    this.sockets = mkdtempSync(join(tmpdir(), 'guest-'));
    this.#process = spawn(program, [
      '-nodefaults', '-no-reboot', '-display', 'none', '-serial', `file:${this.console}`,
      '-netdev', 'tap,id=outside,ifname=tap0,script=no,downscript=no', '-device', 'virtio-net-pci,netdev=outside,id=cable,romfile=',
      '-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci',
      '-chardev', `socket,id=agent,path=${this.sockets}/agent,server=on,wait=off`,
      '-device', 'virtserialport,chardev=agent,name=agent',
      '-qmp', `unix:${this.sockets}/qmp,server=on,wait=off`,
      ...options,
    ], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.complaints = '';
    this.#process.stderr.on('data', (text) => { this.complaints += text; });
    this.ended = new Promise((resolve) => {
      this.#process.once('error', (error) => { this.complaints += error.message; resolve(undefined); });
      this.#process.once('exit', resolve);
    });
    this.ended.then(() => {
      this.dead = true;
      rmSync(this.sockets, { recursive: true, force: true });
    });
  }

  /** What the guest said on its serial console so far. */
  consoleText() {
    try {
      return readFileSync(this.console, 'latin1');
    } catch {
      return '';
    }
  }

  /**
   * Waits until the guest answers: true. False once it ended, after `patience` ms, or when `hopeless` says so.
   * @param {number} patience
   * @param {(waited: number) => boolean} [hopeless]
   */
  async answers(patience, hopeless = () => false) {
    const started = Date.now();
    let answered = false;
    this.#connect().then(() => this.run('true', patience)).then(() => { answered = true; }, () => {});
    while (!answered) {
      const waited = Date.now() - started;
      if (this.dead || waited > patience || hopeless(waited)) {
        if (this.complaints) console.log(this.complaints.trim());
        return false;
      }
      await sleep(100);
    }
    return true;
  }

  /** Runs a shell script in the guest; what it prints comes back. Throws when it fails or takes too long. */
  async run(script, timeout = 90_000) {
    const number = `${++this.#number}`;
    let timer;
    const [status, output] = await new Promise((resolve, reject) => {
      this.#waiting.set(number, resolve);
      timer = setTimeout(
        () => reject(new Error(`no answer from the guest within ${timeout / 1000} s to: ${script}`)), timeout);
      this.#channel.write(`${number} ${Buffer.from(script).toString('base64')}\n`);
    }).finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(number);
    });
    if (status !== '0') throw new Error(`in the guest: ${script}\nstatus ${status}: ${output}`);
    return output;
  }

  /** Starts a shell script in the guest and lets it run; its output goes to `log` there. */
  async start(script, log = '/dev/null') {
    await this.run(`setsid sh -c '${script.replaceAll("'", `'\\''`)}' > ${log} 2>&1 < /dev/null &`);
  }

  /** Asks `script` again and again until `wanted(output)`; throws after `timeout`, with the last output. */
  async until(script, wanted, timeout = 20_000) {
    const deadline = Date.now() + timeout;
    for (;;) {
      const output = await this.run(script).catch((error) => error.message);
      if (wanted(output)) return output;
      if (Date.now() > deadline) throw new Error(`not within ${timeout / 1000} s in the guest: ${script}\nlast: ${output}`);
      await sleep(200);
    }
  }

  /** Puts the network cable in, or pulls it out. */
  async cable(plugged) {
    const socket = await open(`${this.sockets}/qmp`);
    for (const command of [
      { execute: 'qmp_capabilities' },
      { execute: 'set_link', arguments: { name: 'cable', up: plugged } },
    ]) socket.write(`${JSON.stringify(command)}\n`);
    let answers = '';
    for await (const part of socket) {
      answers += part;
      if (answers.includes('"error"')) throw new Error(answers);
      if (answers.split('"return"').length === 3) break;
    }
    socket.destroy();
  }

  /** Ends the guest as pulling its plug does. */
  async stop() {
    this.#process.kill('SIGKILL');
    await this.ended;
  }

  async #connect() {
    this.#channel = await open(`${this.sockets}/agent`);
    this.#channel.setEncoding('utf8');
    this.#channel.on('error', () => {});
    let text = '';
    this.#channel.on('data', (part) => {
      text += part;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        const [number, status, output] = line.split(' ');
        this.#waiting.get(number)?.([status, Buffer.from(output ?? '', 'base64').toString()]);
      }
    });
  }
}

/** QEMU makes its sockets a moment after it has started. */
async function open(path) {
  for (let tries = 0; ; tries++) {
    const socket = connect(path);
    const opened = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (opened) return socket;
    if (tries === 100) throw new Error(`QEMU opens no ${path}`);
    await sleep(100);
  }
}
