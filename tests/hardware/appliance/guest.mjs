// Boots the arm64 guest from a card that guest.sh writes. The image on it is unchanged: the control channel comes as a
// systemd credential on the kernel's command line.

import { readFileSync } from 'node:fs';
import { Machine } from '../machine.mjs';

/** How long an emulated guest may take to answer on a busy machine. */
const BOOT_MS = 600_000;

/** One camera with a webcam's single input, and no radio, television or HDMI beside it; one sound card. */
const DEVICES = 'modules_load=vivid,snd-aloop vivid.n_devs=1 vivid.num_inputs=1 vivid.input_types=0 vivid.node_types=0x1';

/** A file beside this one in base64, without its comments: the command line may have 2048 characters. */
const encoded = (name) =>
  Buffer.from(readFileSync(new URL(name, import.meta.url), 'utf8').replaceAll(/^ *#.*\n/gm, '')).toString('base64');

/**
 * Boots from a card in `directory`; what an earlier boot wrote to it is there.
 * @param {string} directory
 * @param {{ card?: string, devices?: boolean, cable?: boolean, clock?: string }} [options] `devices`: whether camera and
 *   sound card are there from the start; `cable`: whether the network is; `clock`: what the battery-less clock says
 */
export async function boot(directory, { card = 'card.img', devices = true, cable = true, clock = 'utc' } = {}) {
  const machine = new Machine(directory, 'qemu-system-aarch64', [
    '-machine', 'virt', '-cpu', 'cortex-a72', '-smp', '2', '-m', '1024', '-accel', 'tcg,thread=multi', '-rtc', `base=${clock}`,
    '-drive', `file=${directory}/${card},format=raw,if=none,id=card`, '-device', 'virtio-blk-pci,drive=card',
    '-kernel', `${directory}/vmlinuz`, '-initrd', `${directory}/initrd.img`,
    '-append', [
      'console=ttyAMA0 panic=-1 audit=0 quiet loglevel=4',
      devices ? DEVICES : '',
      `systemd.set_credential_binary=agent:${encoded('../agent')}`,
      `systemd.set_credential_binary=systemd.extra-unit.agent.service:${encoded('agent.service')}`,
      'systemd.wants=agent.service',
    ].join(' '),
  ]);
  if (!cable) await machine.cable(false);
  if (await machine.answers(BOOT_MS)) return machine;
  await machine.stop();
  throw new Error(`the guest machine does not boot; see ${machine.console}`);
}
