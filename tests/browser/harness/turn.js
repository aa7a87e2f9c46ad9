/** A TURN relay for the tests: coturn on loopback, with ports, a user and files of the test's own. */

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const TURN_USER = 'callbox';
export const TURN_SECRET = 'a "long" secret #1';

/** How long the relay may take to start, in milliseconds. */
const PATIENCE = 20_000;
/** Where relayed connections get their ports: above those that the kernel hands out by itself. */
const RELAYED = { first: 61_100, last: 61_299 };

/**
 * Starts coturn and waits until it answers.
 * @param {string} directory for its files
 */
export async function startTurn(directory) {
  const port = await freeUdpPort();
  const [file, log] = [join(directory, 'turnserver.conf'), join(directory, 'turnserver.log')];
  const configuration = [
    'listening-ip=127.0.0.1',
    'relay-ip=127.0.0.1',
    `listening-port=${port}`,
    `min-port=${RELAYED.first}`,
    `max-port=${RELAYED.last}`,
    'allow-loopback-peers',
    'lt-cred-mech',
    'realm=callbox.test',
    `user=${TURN_USER}:${TURN_SECRET}`,
    'no-cli',
    'no-tcp',
    'no-tls',
    'no-dtls',
    `userdb=${join(directory, 'turnserver.db')}`,
    `pidfile=${join(directory, 'turnserver.pid')}`,
    `log-file=${log}`,
    'simple-log',
    'verbose',
  ];
  writeFileSync(file, `${configuration.join('\n')}\n`);
  const child = spawn('turnserver', ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'], cwd: directory });
  let errors = '';
  child.stderr.on('data', (text) => (errors += text));
  /** @type {Promise<void>} */
  const ended = new Promise((done) => {
    child.on('exit', () => done());
    child.on('error', (error) => {
      errors += error;
      done();
    });
  });

  const relay = {
    url: `turn:127.0.0.1:${port}`,
    /** What it has logged. */
    output: () => readFileSync(log, 'utf8'),
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(late);
    },
  };

  for (const start = Date.now(); !(await answers(port)); ) {
    const over = child.exitCode !== null || child.pid === undefined;
    if (over || Date.now() - start > PATIENCE) {
      await relay.stop();
      throw new Error(`turnserver did not start: ${errors}`);
    }
  }
  return relay;
}

/** A UDP port that is free now. @returns {Promise<number>} */
async function freeUdpPort() {
  const socket = createSocket('udp4');
  await new Promise((ready) => socket.bind(0, '127.0.0.1', () => ready(null)));
  const { port } = socket.address();
  await new Promise((done) => socket.close(() => done(null)));
  return port;
}

/**
 * Sends a STUN binding request (RFC 8489) and tells whether anything comes back.
 * @param {number} port
 * @returns {Promise<boolean>}
 */
async function answers(port) {
  const request = Buffer.from('000100002112a442' + '0123456789abcdef01234567', 'hex');
  const socket = createSocket('udp4');
  try {
    return await new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), 200);
      const done = (/** @type {boolean} */ answered) => {
        clearTimeout(late);
        resolve(answered);
      };
      socket.on('message', () => done(true));
      socket.on('error', () => {});
      socket.send(request, port, '127.0.0.1');
    });
  } finally {
    socket.close();
  }
}
