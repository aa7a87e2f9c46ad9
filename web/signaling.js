/**
 * The connection to the signaling server: joins under a name, comes back by itself with full-jitter backoff, joins
 * again. Works with Callbox's server and with any relay that only forwards: it waits a moment for `joined`, then goes on.
 */

import { CLOSE, parse } from './protocol.js';

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
 * Why joining ended: `idTaken`, another client holds the name; `replaced`, another client took it over from us.
 * @typedef {'idTaken' | 'replaced'} Refused
 *
 * @typedef {object} SignalingEvents
 * @property {(state: SignalingState, full: boolean) => void} onState `full`: the server takes no more connections now
 * @property {(message: import('./protocol.js').Message) => void} onMessage
 * @property {(why: Refused) => void} onRefused joining has ended; the person should choose another name
 */

export class Signaling {
  /** @type {SignalingState} */
  state = 'stopped';
  /** Our own ID while joined or joining. */
  userId = '';
  /** Whether the server answered `join`: it lists who is online and tells when somebody is not. */
  listing = false;

  /** @type {WebSocket | null} */
  #socket = null;
  #attempt = 0;
  #claims = 0;
  #wasOnline = false;
  #full = false;
  /** @type {number | undefined} The next thing that happens by itself: an attempt, its end, or going on without `joined`. */
  #timer;
  #url;
  #events;

  /**
   * @param {string} url
   * @param {SignalingEvents} events
   */
  constructor(url, events) {
    this.#url = url;
    this.#events = events;
    const hurry = () => {
      if (this.state === 'reconnecting' && this.#socket === null) this.#connect();
    };
    addEventListener('online', hurry);
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && hurry());
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
   * @returns {boolean} false when there is no connection
   */
  send(message) {
    if (this.state !== 'online' || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ ...message, userId: this.userId }));
    return true;
  }

  #connect() {
    this.#drop();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#broke(), OPEN_TIMEOUT);
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: 'join', userId: this.userId, kind: 'person' }));
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#online(), JOINED_WAIT);
    };
    socket.onmessage = (event) => {
      const message = parse(event.data);
      if (message) this.#receive(message);
    };
    socket.onclose = (event) => {
      if (event.code === CLOSE.REPLACED) return this.#refused('replaced');
      if (event.code === CLOSE.TRY_LATER) this.#full = true;
      this.#broke();
    };
  }

  /** @param {import('./protocol.js').Message} message */
  #receive(message) {
    if (message.type === 'error' && message.inReplyTo === 'join') {
      if (message.code === 'idTaken') {
        // The server may not have noticed yet that our earlier connection is gone.
        if (!this.#wasOnline || ++this.#claims >= CLAIMS) return this.#refused('idTaken');
        return this.#broke();
      }
      if (message.code === 'serverFull') {
        this.#full = true;
        return this.#broke();
      }
    }
    if (message.type === 'joined') this.listing = true;
    // A message from a peer proves that the relay knows us, `joined` or not.
    if (message.type !== 'error' && this.state !== 'online') this.#online();
    this.#events.onMessage(message);
  }

  #online() {
    clearTimeout(this.#timer);
    this.#attempt = this.#claims = 0;
    this.#wasOnline = true;
    this.#full = false;
    this.#setState('online');
  }

  #broke() {
    this.#drop();
    const delay = Math.random() * Math.min(BACKOFF_MAX, BACKOFF_BASE * 2 ** this.#attempt++);
    this.#timer = setTimeout(() => this.#connect(), delay);
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
    this.listing = false;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** @param {SignalingState} state */
  #setState(state) {
    if (state === this.state && state !== 'reconnecting') return;
    this.state = state;
    this.#events.onState(state, this.#full);
  }
}
