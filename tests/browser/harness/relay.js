/**
 * A server that is no Callbox server: it hands out the page, and forwards `offer`, `answer`, `candidate` and `leave` to
 * whom they are for. It answers nothing and ignores every other message. What works here works through any relay.
 */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';

const WEB = fileURLToPath(new URL('../../../web/', import.meta.url));
const FORWARDED = new Set(['offer', 'answer', 'candidate', 'leave']);
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};
/** As strict as the real server's: what the page does, it can do there. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'";

/**
 * What the server has against a connection: the HTTP status of the refused WebSocket, and the code that a plain request
 * gets as JSON.
 * @typedef {{ status: number, code: string }} Refusal
 */

/**
 * Starts the relay.
 * @param {{ port?: number, host?: string, binary?: boolean, refuse?: (request: import('node:http').IncomingMessage) => Refusal | null,
 *   answer?: (message: any, socket: import('ws').WebSocket, relay: any) => boolean | void }} [options]
 *   `binary`: forwards the bytes as they came, in binary frames; `refuse`: what the server has against a request;
 *   `answer` sees each message first and returns true when it has dealt with it
 */
export async function startRelay({ port = 0, host = '127.0.0.1', binary = false, refuse = () => null, answer } = {}) {
  /** @type {Map<string, import('ws').WebSocket>} */
  const clients = new Map();
  /** Every message that came, in order, but for pings, which come by the clock. @type {any[]} */
  const seen = [];
  /** Connections that are dead without a word. @type {Set<import('ws').WebSocket>} */
  const dead = new Set();

  const http = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://x').pathname);
    if (path === '/ws') {
      const { status, code } = refuse(request) ?? { status: 426, code: 'notAWebSocket' };
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { code, message: code } }));
      return;
    }
    const file = path === '/' ? 'index.html' : path.slice(1);
    try {
      const body = await readFile(join(WEB, file));
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'text/plain', 'content-security-policy': POLICY });
      response.end(body);
    } catch {
      response.writeHead(404).end('not found');
    }
  });
  http.on('upgrade', (request, socket, head) => {
    const refusal = refuse(request);
    if (!refusal) return sockets.handleUpgrade(request, socket, head, (client) => sockets.emit('connection', client));
    socket.end(`HTTP/1.1 ${refusal.status} Refused\r\nconnection: close\r\n\r\n`);
  });

  const relay = {
    url: '',
    port: 0,
    seen,
    clients,
    /** Sends a message of the test's own making. */
    send(userId, message) {
      clients.get(userId)?.send(JSON.stringify(message));
    },
    /** Forgets a connection without closing it, as a router does: what either end sends from now on is lost. */
    forget(userId) {
      const socket = clients.get(userId);
      if (!socket) throw new Error(`${userId} is not here`);
      dead.add(socket);
      clients.delete(userId);
    },
    async close() {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      http.closeAllConnections();
      await new Promise((done) => http.close(done));
    },
  };

  const sockets = new WebSocketServer({ noServer: true, maxPayload: 64 * 1024 });
  sockets.on('connection', (socket) => {
    let userId = '';
    socket.on('message', (data) => {
      if (dead.has(socket)) return;
      const message = JSON.parse(data.toString());
      if (message.type !== 'ping') seen.push(message);
      if (message.type === 'join') {
        userId = message.userId;
        clients.set(userId, socket);
      }
      if (answer?.(message, socket, relay)) return;
      if (FORWARDED.has(message.type) && message.targetId) {
        clients.get(message.targetId)?.send(binary ? data : data.toString(), { binary });
      }
    });
    socket.on('close', () => clients.get(userId) === socket && clients.delete(userId));
  });

  await new Promise((ready) => http.listen(port, host, ready));
  relay.port = /** @type {import('node:net').AddressInfo} */ (http.address()).port;
  relay.url = `http://${host}:${relay.port}/`;
  return relay;
}
