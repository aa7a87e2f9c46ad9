/**
 * The connection to the signaling server: joins under a name, comes back by itself with full-jitter backoff, joins
 * again. Works with Callbox's server and with any relay that only forwards: it waits a moment for `joined`, then goes on.
 */

import { Heartbeat } from './heartbeat.js';
import { ACCEPTS, CLOSE, parse } from './protocol.js';
import { askWhy } from './refusal.js';

/** How long to wait for `joined` before taking the server for a plain relay, in milliseconds. */
const JOINED_WAIT = 2_000;
/** How long a connection attempt may take, in milliseconds. */
const OPEN_TIMEOUT = 10_000;
/** Reconnection delays are drawn from 0 to BASE * 2^attempt, at most MAX; in milliseconds. */
const BACKOFF_BASE = 500;
const BACKOFF_MAX = 15_000;
/** How often a name that was ours before the connection broke is claimed again before giving it up. */
const CLAIMS = 3;

/**
 * `stopped`: not joined, and not trying. `connecting`: the first attempt. `online`: messages pass.
 * `reconnecting`: the connection broke or could not be made, the next attempt follows by itself.
 * @typedef {'stopped' | 'connecting' | 'online' | 'reconnecting'} SignalingState
 *
 * Why joining ended: `idTaken`, another client holds the name; `replaced`, another client took it over from us;
 * `notAccepted`, the server does not take what we join with. What we showed counts for nothing (`uninvited`), counts no
 * longer (`ended`), or for something else now (`changed`).
 * @typedef {'idTaken' | 'replaced' | 'notAccepted' | 'uninvited' | 'ended' | 'changed'} Refused
 *
 * @typedef {object} SignalingEvents
 * @property {(state: SignalingState, trouble: import('./refusal.js').Trouble | null) => void} onState `trouble`: what
 *   keeps us from the server, where that is known
 * @property {(message: import('./protocol.js').Message) => void} onMessage
 * @property {(why: Refused) => void} onRefused joining has ended
 */

export class Signaling {
  /** @type {SignalingState} */
  state = 'stopped';
  /** Our own ID while joined or joining. */
  userId = '';
  /** Whether the server answered `join`: it lists who is online and tells when somebody is not. */
  listing = false;

  /** How many frames could not be read since the connection was made. */
  dropped = 0;

  /** @type {WebSocket | null} */
  #socket = null;
  #attempt = 0;
  #claims = 0;
  #wasOnline = false;
  /** Whether `joined` may still come: it is the first thing a server says to `join`, and later it is not the server's. */
  #expectsJoined = false;
  /** Whether the server of last time did not answer `join`, so that there is nothing to wait for. */
  #plain = false;
  /** @type {import('./refusal.js').Trouble | null} */
  #trouble = null;
  /** Why the last attempt was refused: some reasons are believed the second time. @type {import('./refusal.js').Trouble | null} */
  #suspicion = null;
  /** @type {number | undefined} The next thing that happens by itself: an attempt, its end, or going on without `joined`. */
  #timer;
  #heartbeat = new Heartbeat((nonce) => this.#tell({ type: 'ping', nonce }), () => this.#again());
  #url;
  #events;

  /**
   * @param {string} url
   * @param {SignalingEvents} events
   */
  constructor(url, events) {
    this.#url = url;
    this.#events = events;
    addEventListener('online', () => this.#wake(true));
    document.addEventListener('resume', () => this.#wake(true));
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#wake(false));
    addEventListener('pageshow', () => this.#wake(false));
  }

  /**
   * Joins as `userId`, leaving what was joined before.
   * @param {string} userId a clean ID
   */
  join(userId) {
    this.leave();
    this.userId = userId;
    this.#attempt = this.#claims = 0;
    this.#wasOnline = false;
    this.#setState('connecting');
    this.#connect();
  }

  /** Tells the server goodbye and stops. */
  leave() {
    this.send({ type: 'leave' });
    this.#drop();
    this.#setState('stopped');
  }

  /**
   * Sends a message under our own name.
   * @param {Record<string, unknown>} message
   * @returns {boolean} false when there is no connection; true does not mean that it arrives
   */
  send(message) {
    return this.state === 'online' && this.#tell(message);
  }

  /** Something that matters is about to be sent: a connection that died in silence is found out and replaced. */
  check() {
    this.#heartbeat.check();
  }

  /** @param {boolean} doubtful the network may be another one */
  #wake(doubtful) {
    const socket = this.#socket;
    // An attempt that began on a network that went away learns that late, or never.
    const lost = socket === null ? this.state === 'reconnecting' : doubtful && socket.readyState === WebSocket.CONNECTING;
    if (lost) this.#connect();
    else this.#heartbeat.check(doubtful);
  }

  #connect() {
    this.#drop();
    const socket = new WebSocket(this.#url);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#broke(), OPEN_TIMEOUT);
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#expectsJoined = true;
      this.#suspicion = null;
      this.#tell({ type: 'join', kind: 'person', accepts: ACCEPTS });
      this.#heartbeat.start();
      if (this.#plain) this.#online();
      else this.#waitForJoined(JOINED_WAIT);
    };
    socket.onmessage = ({ data }) => {
      const message = parse(data, this.userId);
      this.#heartbeat.heard(message?.type === 'pong');
      if (message) this.#receive(message);
      else if (message === null) this.#unreadable();
    };
    socket.onclose = (event) => {
      if (event.code === CLOSE.REPLACED) return this.#refused('replaced');
      if (event.code === CLOSE.UNAUTHORIZED) return this.#refused('uninvited');
      if (event.code === CLOSE.ACCESS_ENDED) return this.#refused('ended');
      if (event.code === CLOSE.RIGHTS_CHANGED) return this.#refused('changed');
      if (event.code === CLOSE.TRY_LATER) this.#trouble = 'full';
      else if (!opened) void this.#ask();
      this.#broke();
    };
  }

  /** @param {import('./protocol.js').Message} message */
  #receive(message) {
    const first = this.#expectsJoined;
    switch (message.type) {
      case 'pong':
        // A server that answers pings answers `join` as well; it may be finding out whether the name is free.
        this.#plain = false;
        if (this.state !== 'online') this.#waitForJoined(OPEN_TIMEOUT);
        return;
      case 'joined':
        if (!first) return;
        this.listing = true;
        this.#plain = false;
        this.#claims = 0;
        break;
      case 'presence':
      case 'peers':
        if (!this.listing) return;
        break;
      case 'refusal':
        // Once we have joined nobody refuses that any more, but somebody may pretend to.
        if (message.inReplyTo === 'join' && this.state !== 'online') return this.#joinFailed(message);
        break;
    }
    this.#expectsJoined = false;
    // A message from a peer proves that the relay knows us, `joined` or not.
    if (message.type !== 'refusal' && this.state !== 'online') this.#online();
    this.#events.onMessage(message);
  }

  /**
   * This connection is over.
   * @param {import('./protocol.js').Refusal} refusal
   */
  #joinFailed({ code, message }) {
    switch (code) {
      case 'idTaken':
        // The server may not have noticed yet that our earlier connection is gone.
        if (!this.#wasOnline || ++this.#claims >= CLAIMS) this.#refused('idTaken');
        else this.#broke();
        break;
      case 'serverFull':
        this.#trouble = 'full';
        this.#broke();
        break;
      case 'rateLimited':
        this.#broke();
        break;
      case 'unauthorized':
        this.#refused('uninvited');
        break;
      default:
        console.warn(`callbox: the server does not let this page join: ${code}: ${message}`);
        this.#refused('notAccepted');
    }
  }

  #unreadable() {
    if (this.dropped++ > 0) return;
    console.warn('callbox: a frame from the server cannot be read and was dropped; further ones are counted in callbox.dropped()');
  }

  /** @param {number} time */
  #waitForJoined(time) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#unanswered(), time);
  }

  /** Nothing came for our `join`: a relay that only forwards. */
  #unanswered() {
    this.#plain = true;
    this.#claims = 0;
    this.#online();
  }

  #online() {
    clearTimeout(this.#timer);
    this.#attempt = 0;
    this.#wasOnline = true;
    this.#trouble = null;
    this.#setState('online');
  }

  /** The connection is dead and does not know it: there is no reason to wait before the next one. */
  #again() {
    this.#drop();
    this.#setState('reconnecting');
    this.#connect();
  }

  #broke() {
    this.#drop();
    const delay = Math.random() * Math.min(BACKOFF_MAX, BACKOFF_BASE * 2 ** this.#attempt++);
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#setState('reconnecting');
  }

  /** Finds out why the connection could not be made. */
  async #ask() {
    const why = await askWhy(this.#url);
    if (this.state !== 'reconnecting') return;
    if (why === 'uninvited') return this.#refused(why);
    // A server that has just come back answers the question, but was not there for the connection.
    const sure = why !== 'notAWebSocket' || this.#suspicion === why;
    this.#suspicion = why;
    if (!sure || this.#trouble === why) return;
    this.#trouble = why;
    this.#setState('reconnecting');
  }

  /** @param {Refused} why */
  #refused(why) {
    this.#drop();
    this.#setState('stopped');
    this.#events.onRefused(why);
  }

  /** Lets go of the socket without hearing from it again. */
  #drop() {
    clearTimeout(this.#timer);
    this.#heartbeat.stop();
    this.listing = this.#expectsJoined = false;
    this.dropped = 0;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** @param {Record<string, unknown>} message */
  #tell(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ ...message, userId: this.userId }));
    return true;
  }

  /** @param {SignalingState} state */
  #setState(state) {
    if (state === this.state && state !== 'reconnecting') return;
    this.state = state;
    this.#events.onState(state, this.#trouble);
  }
}
