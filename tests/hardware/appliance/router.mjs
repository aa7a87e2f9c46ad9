// What a router at home does for the guest: hands out its address (DHCP) and tells the time (SNTP, RFC 4330). Nothing leads
// anywhere from there.

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { ADDRESS, ROUTER } from '../machine.mjs';

/** From 1900, where NTP starts to count, to 1970. */
const NTP_TO_UNIX_S = 2_208_988_800;

/** Serves on tap0, with files of its own in `directory`, until the returned function is called. */
export function startRouter(directory) {
  const config = `${directory}/udhcpd.conf`;
  writeFileSync(config, [
    `start ${ADDRESS}`, `end ${ADDRESS}`, 'max_leases 1', 'interface tap0', 'option subnet 255.255.255.0',
    `option ntpsrv ${ROUTER}`, `lease_file ${directory}/udhcpd.leases`, `pidfile ${directory}/udhcpd.pid`, '',
  ].join('\n'));
  const addresses = spawn('busybox', ['udhcpd', '-f', config], { stdio: 'ignore' });
  const time = createSocket('udp4');
  time.on('message', (question, from) => time.send(timeReply(question), from.port, from.address));
  time.bind(123, ROUTER);
  return () => {
    addresses.kill();
    time.close();
  };
}

function timeReply(question) {
  const reply = Buffer.alloc(48);
  const now = Date.now() / 1000 + NTP_TO_UNIX_S;
  // No leap second, version 4, a server; one step away from a clock that can be trusted.
  reply.writeUInt8(0b00_100_100, 0);
  reply.writeUInt8(1, 1);
  reply.write('LOCL', 12, 'latin1');
  question.copy(reply, 24, 40, 48);
  for (const at of [16, 32, 40]) {
    reply.writeUInt32BE(Math.floor(now), at);
    reply.writeUInt32BE(Math.floor((now % 1) * 2 ** 32), at + 4);
  }
  return reply;
}
