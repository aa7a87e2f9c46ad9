// The guest machine as an object: boots it, runs scripts in it, ends it. Wants to be in the network namespace that
// run.sh makes, where tap0 leads to the guest and to nowhere else.

import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** The guest's address on tap0; guest/start gives it to its network card. */
export const ADDRESS = '10.77.0.2';

/** What a kernel on working hardware virtualisation needs, at the most, to say its first words. */
const FIRST_WORDS_MS = 8_000;
/** How long the guest may take to open its control channel; software emulation on a busy machine is slow. */
const BOOT_MS = 90_000;

export class Machine {
  #process;

  /** Boots from `directory` (vmlinuz, initrd); the serial console is written to console.log there. */
  static async boot(directory) {
    const chosen = process.env.HARDWARE_ACCEL;
    const accelerators = chosen ? [chosen] : kvmIsOpen() ? ['kvm', 'tcg'] : ['tcg'];
    for (const accelerator of accelerators) {
      const machine = new Machine(directory, accelerator);
      if (await machine.#boots()) return machine;
      await machine.stop();
      console.log(`guest: it does not boot with ${accelerator}`);
    }
    throw new Error(`the guest machine does not boot; see ${directory}/console.log`);
  }

  constructor(directory, accelerator) {
    this.console = `${directory}/console.log`;
    this.accelerator = accelerator;
    rmSync(this.console, { force: true });
    this.#process = spawn('qemu-system-x86_64', [
      '-machine', 'q35', '-accel', accelerator, '-cpu', accelerator === 'kvm' ? 'host' : 'Westmere',
      '-smp', '1', '-m', '768', '-nodefaults', '-no-reboot', '-display', 'none',
      '-kernel', `${directory}/vmlinuz`, '-initrd', `${directory}/initrd`, '-append', 'console=ttyS0 panic=-1',
      '-serial', `file:${this.console}`,
      '-netdev', 'tap,id=outside,ifname=tap0,script=no,downscript=no', '-device', 'virtio-net-pci,netdev=outside',
      '-device', 'virtio-rng-pci',
    ], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.complaints = '';
    this.#process.stderr.on('data', (text) => { this.complaints += text; });
    this.ended = new Promise((resolve) => {
      this.#process.once('error', (error) => { this.complaints += error.message; resolve(); });
      this.#process.once('exit', resolve);
    });
    this.ended.then(() => { this.dead = true; });
  }

  /** What the guest said on its serial console so far. */
  consoleText() {
    try {
      return readFileSync(this.console, 'latin1');
    } catch {
      return '';
    }
  }

  async #boots() {
    const started = Date.now();
    for (;;) {
      if (this.dead) {
        if (this.complaints) console.log(this.complaints.trim());
        return false;
      }
      const text = this.consoleText();
      const waited = Date.now() - started;
      if (text.includes('guest ready') && await this.run('true', 5_000).then(() => true, () => false)) return true;
      const stuck = this.accelerator === 'kvm' && !text.includes('Linux version');
      if (waited > (stuck ? FIRST_WORDS_MS : BOOT_MS)) return false;
      await sleep(100);
    }
  }

  /** Runs a shell script in the guest; what it prints comes back. Throws when it fails or takes too long. */
  async run(script, timeout = 20_000) {
    const text = await post(`http://${ADDRESS}/cgi-bin/shell`, script, timeout);
    const [, output, status] = text.match(/^([^]*)status (\d+)\n$/) ?? [null, text, 'unknown'];
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

  async stop() {
    this.#process.kill('SIGKILL');
    await this.ended;
  }
}

function kvmIsOpen() {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function post(url, body, timeout) {
  return new Promise((resolve, reject) => {
    const exchange = request(url, { method: 'POST', headers: { 'Content-Length': Buffer.byteLength(body) } }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => { text += part; });
      response.on('end', () => resolve(text));
    });
    exchange.setTimeout(timeout, () => exchange.destroy(new Error(`no answer from the guest within ${timeout / 1000} s to: ${body}`)));
    exchange.on('error', reject);
    exchange.end(body);
  });
}
