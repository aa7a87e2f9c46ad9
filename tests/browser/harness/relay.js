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
 * Starts the relay.
 * @param {{ port?: number, host?: string, answer?: (message: any, socket: import('ws').WebSocket, relay: any) => boolean | void }} [options]
 *   `answer` sees each message first; it returns true when it has dealt with it
 */
export async function startRelay({ port = 0, host = '127.0.0.1', answer } = {}) {
  /** @type {Map<string, import('ws').WebSocket>} */
  const clients = new Map();
  /** Every message that came, in order. @type {any[]} */
  const seen = [];

  const http = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://x').pathname);
    const file = path === '/' ? 'index.html' : path.slice(1);
    try {
      const body = await readFile(join(WEB, file));
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'text/plain', 'content-security-policy': POLICY });
      response.end(body);
    } catch {
      response.writeHead(404).end('not found');
    }
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
    async close() {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      http.closeAllConnections();
      await new Promise((done) => http.close(done));
    },
  };

  const sockets = new WebSocketServer({ server: http, path: '/ws', maxPayload: 64 * 1024 });
  sockets.on('connection', (socket) => {
    let userId = '';
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString());
      seen.push(message);
      if (answer?.(message, socket, relay)) return;
      if (message.type === 'join') {
        userId = message.userId;
        clients.set(userId, socket);
      } else if (FORWARDED.has(message.type) && message.targetId) {
        clients.get(message.targetId)?.send(data.toString());
      }
    });
    socket.on('close', () => clients.get(userId) === socket && clients.delete(userId));
  });

  await new Promise((ready) => http.listen(port, host, ready));
  relay.port = /** @type {import('node:net').AddressInfo} */ (http.address()).port;
  relay.url = `http://${host}:${relay.port}/`;
  return relay;
}
