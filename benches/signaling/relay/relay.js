/**
 * The plain relay that Callbox is measured against: as little as a relay can do, with the package that most of them use.
 * A `join` registers its ID, whatever names a `targetId` goes there as it came, and a closed connection is forgotten.
 *
 *   node relay.js [port]      prints the port it listens on
 */

import { WebSocketServer } from 'ws';

/** @type {Map<string, import('ws').WebSocket>} */
const members = new Map();

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2] ?? 0), maxPayload: 64 * 1024 });

server.on('listening', () => {
  console.log(/** @type {import('node:net').AddressInfo} */ (server.address()).port);
});

server.on('connection', (socket) => {
  let userId;
  socket.on('message', (data) => {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message.type === 'join') {
      userId = message.userId;
      members.set(userId, socket);
    } else if (message.targetId) {
      members.get(message.targetId)?.send(data, { binary: false });
    }
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    if (members.get(userId) === socket) members.delete(userId);
  });
});
