// Boots the guest that guest.sh builds: with hardware virtualisation where that works, emulated where not.

import { accessSync, constants } from 'node:fs';
import { Machine } from '../machine.mjs';

/** What a kernel on working hardware virtualisation needs, at the most, to say its first words. */
const FIRST_WORDS_MS = 8_000;
/** How long the guest may take to open its control channel; software emulation on a busy machine is slow. */
const BOOT_MS = 90_000;

/**
 * Boots from `directory` (vmlinuz, initrd).
 * @param {string} directory
 */
export async function boot(directory) {
  const chosen = process.env.HARDWARE_ACCEL;
  for (const accelerator of chosen ? [chosen] : kvmIsOpen() ? ['kvm', 'tcg'] : ['tcg']) {
    const machine = new Machine(directory, 'qemu-system-x86_64', [
      '-machine', 'q35', '-accel', accelerator, '-cpu', accelerator === 'kvm' ? 'host' : 'Westmere',
      '-smp', '1', '-m', '768', '-kernel', `${directory}/vmlinuz`, '-initrd', `${directory}/initrd`,
      '-append', 'console=ttyS0 panic=-1',
    ]);
    const silent = (waited) =>
      accelerator === 'kvm' && waited > FIRST_WORDS_MS && !machine.consoleText().includes('Linux version');
    if (await machine.answers(BOOT_MS, silent)) return Object.assign(machine, { accelerator });
    await machine.stop();
    console.log(`guest: it does not boot with ${accelerator}`);
  }
  throw new Error(`the guest machine does not boot; see ${directory}/console.log`);
}

function kvmIsOpen() {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
