// A disk over NBD whose power can be cut. Like a memory card it has a cache that forgets: what was written since the last
// flush is kept or lost sector by sector, in any combination, when the power goes.

import { createServer } from "node:net";

const SECTOR = 512;
const CLISERV = Buffer.from("IHAVEOPT");
const HAS_FLAGS_AND_FLUSH = 0b101;
const [FIXED_NEWSTYLE, NO_ZEROES] = [1, 2];
const [OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO] = [1, 2, 6, 7];
const [REP_ACK, REP_INFO, REP_ERR_UNSUP] = [1, 3, 0x80000001];
const [READ, WRITE, DISCONNECT, FLUSH] = [0, 1, 2, 3];
const EINVAL = 22;

export class Disk {
  /** @param {Buffer} contents what is on the disk at first */
  constructor(name, contents) {
    this.name = name;
    this.lasting = contents;
    this.seen = Buffer.from(contents);
    /** Writes since the last flush. @type {{offset: number, data: Buffer}[]} */
    this.cache = [];
    this.flushes = 0;
    this.written = 0;
    this.lost = 0;
    this.sockets = new Set();
  }

  /** Serves it at a Unix socket. */
  async listen(path) {
    this.server = createServer((socket) => {
      this.sockets.add(socket);
      const done = () => this.sockets.delete(socket);
      socket.on("error", done).on("close", done);
      serve(this, socket).catch(() => socket.destroy());
    });
    await new Promise((resolve) => this.server.listen(path, resolve));
  }

  close() {
    this.server.close();
  }

  read(offset, length) {
    return this.seen.subarray(offset, offset + length);
  }

  write(offset, data) {
    data.copy(this.seen, offset);
    this.cache.push({ offset, data: Buffer.from(data) });
    this.written += data.length;
  }

  flush() {
    for (const { offset, data } of this.cache) data.copy(this.lasting, offset);
    this.cache = [];
    this.flushes += 1;
  }

  /** The power goes. `random` decides about each sector that no flush has covered. */
  cut(random) {
    for (const socket of this.sockets) socket.destroy();
    // What was under way in the sockets is lost, whatever arrives there later.
    this.sockets.clear();
    // Everything, nothing, or some of it: a card may have been idle for long, or be slow.
    const kept = [0, 0.5, 1][Math.floor(random() * 3)];
    for (const { offset, data } of this.cache) {
      for (let at = 0; at < data.length; at += SECTOR) {
        if (random() < kept) data.copy(this.lasting, offset + at, at, at + SECTOR);
        else this.lost += 1;
      }
    }
    this.replace(this.lasting);
  }

  /** Other contents, while nobody uses it. */
  replace(contents) {
    this.lasting = contents;
    this.seen = Buffer.from(contents);
    this.cache = [];
  }
}

/** Speaks NBD's newstyle handshake and simple replies; the protocol document is nbd's doc/proto.md. */
async function serve(disk, socket) {
  const take = reader(socket);
  socket.write(Buffer.concat([Buffer.from("NBDMAGIC"), CLISERV, u16(FIXED_NEWSTYLE | NO_ZEROES)]));
  await take(4);
  for (let negotiating = true; negotiating; ) {
    const header = await take(16);
    const option = header.readUInt32BE(8);
    await take(header.readUInt32BE(12));
    const reply = (type, data = Buffer.alloc(0)) =>
      socket.write(Buffer.concat([Buffer.from("0003e889045565a9", "hex"), u32(option), u32(type), u32(data.length), data]));
    const facts = Buffer.concat([u64(disk.seen.length), u16(HAS_FLAGS_AND_FLUSH)]);
    if (option === OPT_GO || option === OPT_INFO) {
      reply(REP_INFO, Buffer.concat([u16(0), facts]));
      reply(REP_ACK);
      negotiating = option !== OPT_GO;
    } else if (option === OPT_EXPORT_NAME) {
      socket.write(facts);
      negotiating = false;
    } else if (option === OPT_ABORT) {
      reply(REP_ACK);
      socket.end();
      return;
    } else {
      reply(REP_ERR_UNSUP);
    }
  }
  for (;;) {
    const request = await take(28);
    const [type, offset, length] = [request.readUInt16BE(6), Number(request.readBigUInt64BE(16)), request.readUInt32BE(24)];
    const answer = (error, data = Buffer.alloc(0)) =>
      socket.write(Buffer.concat([u32(0x67446698), u32(error), request.subarray(8, 16), data]));
    if (type === DISCONNECT) return void socket.end();
    const data = type === WRITE ? await take(length) : undefined;
    if (!disk.sockets.has(socket)) return;
    if (offset + length > disk.seen.length) answer(EINVAL);
    else if (type === READ) answer(0, disk.read(offset, length));
    else if (type === WRITE) answer(0, void disk.write(offset, data));
    else if (type === FLUSH) answer(0, void disk.flush());
    else answer(EINVAL);
  }
}

/** A function that resolves to the next `length` bytes of a socket. */
function reader(socket) {
  let chunks = [];
  let have = 0;
  let wake = () => {};
  let ended = false;
  socket.on("data", (chunk) => (chunks.push(chunk), (have += chunk.length), wake()));
  socket.on("close", () => ((ended = true), wake()));
  return async (length) => {
    while (have < length) {
      if (ended) throw new Error("closed");
      await new Promise((resolve) => (wake = resolve));
    }
    const all = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    chunks = have > length ? [all.subarray(length)] : [];
    have -= length;
    return all.subarray(0, length);
  };
}

function u16(value) {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16BE(value);
  return buffer;
}

function u32(value) {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}

function u64(value) {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(BigInt(value));
  return buffer;
}
