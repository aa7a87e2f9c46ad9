/**
 * All calls of this page: who belongs to which message, and what happens when two calls want the same place.
 */

import { Call } from './call.js';
import { makeReady, Prepared } from './connection.js';
import { freshCallId, RING_TIMEOUT, sessionOf, sortsBefore, videoDirection } from './protocol.js';

/** Most calls at once; a further caller hears "busy". */
const MAX_CALLS = 8;
/** How long after a call has begun the next one is prepared, in milliseconds: not in its way. */
const PREPARE_AFTER = 5_000;
/** How often it is looked at whether what was prepared still holds, in milliseconds. */
const REVIEW = 10_000;
/** Most ended calls that are remembered, so that their offers ring no more; the oldest is forgotten. */
const MAX_ENDED = 32;
/** Most goodbyes that are said again; the oldest is dropped, and its call ends by time. */
const MAX_FAREWELLS = 8;

/**
 * @typedef {object} CallsContext
 * @property {() => string} userId our own
 * @property {() => import('./identity.js').Identity | null} identity what we can show of ourselves
 * @property {(message: Record<string, unknown>) => boolean} send
 * @property {(peer: import('./protocol.js').Peer) => { microphone: MediaStreamTrack | null, camera: MediaStreamTrack | null, muted: boolean }} media what goes to somebody
 * @property {(userId: string) => import('./protocol.js').Peer | undefined} known who is online, where the server tells
 * @property {(call: Call) => void} onChange
 * @property {(call: Call, reason: import('./call.js').EndReason, ours: boolean) => void} onEnd
 */

export class Calls {
  /** @type {Map<string, Call>} By the peer's ID: there is one call with each at most. */
  #calls = new Map();
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  /** Whether the next call of a device is to be prepared: not while one has just begun. */
  #prepares = false;
  #prepared = new Prepared();
  /**
   * Calls that have ended, by peer and call ID: our goodbye, null where the peer ended it, and when. After the time that a
   * call may ring nothing of them comes any more, and what has such an ID is a new call.
   * @type {Map<string, { farewell: Record<string, unknown> | null, at: number }>}
   */
  #ended = new Map();
  /** The latest goodbyes, which may be lost. @type {{ message: Record<string, unknown>, at: number }[]} */
  #farewells = [];
  #context;

  /** @param {CallsContext} context */
  constructor(context) {
    this.#context = context;
    addEventListener('pagehide', () => this.endAll('hangup'));
    setInterval(() => this.#prepare(), REVIEW);
  }

  /** The call with somebody. @param {string} userId */
  with(userId) {
    return this.#calls.get(userId);
  }

  /** @returns {Call[]} in the order they began */
  all() {
    return [...this.#calls.values()];
  }

  /**
   * Takes the ICE servers of calls to come, and makes a connection ready for the next call of a device: whoever rings
   * at a door is not to wait.
   * @param {RTCIceServer[]} iceServers that the browser takes
   */
  useServers(iceServers) {
    this.#iceServers = iceServers;
    this.#prepares = true;
    this.#prepare();
  }

  /**
   * Calls somebody; a call that is already there stays.
   * @param {import('./protocol.js').Peer} peer
   * @param {Call['visit']} [visit] because of which we call
   */
  start(peer, visit = null) {
    if (this.#calls.has(peer.userId) || this.#calls.size >= MAX_CALLS) return;
    const prepared = peer.kind === 'device' && this.#prepares;
    const ready = prepared ? this.#prepared.take(this.#configuration()) : makeReady(this.#configuration(), peer.kind);
    this.#begin(peer, freshCallId(), ready, visit);
    if (!prepared) return;
    this.#prepares = false;
    setTimeout(() => this.useServers(this.#iceServers), PREPARE_AFTER);
  }

  /** @param {import('./protocol.js').PeerMessage | import('./protocol.js').Refusal} message */
  handle(message) {
    if (message.type === 'offer') return this.#offered(message);
    // The server refuses what we sent to somebody; a peer speaks for itself.
    const other = message.type === 'refusal' ? message.targetId : message.userId;
    const call = other === undefined ? undefined : this.#calls.get(other);
    if ((message.type === 'answer' || message.type === 'ringing') && this.#isOver(message)) return;
    // What names another call belongs to an earlier one with the same peer.
    if (call && (equalIds(call.callId, message.callId) ?? true)) call.handle(message);
  }

  /** Signaling is back. */
  resume() {
    this.#farewells = this.#farewells.filter(isRecent);
    for (const { message } of this.#farewells) this.#context.send(message);
    for (const call of this.all()) call.resume();
  }

  /**
   * Somebody has come on line, or come back: what was sent meanwhile did not arrive.
   * @param {string} userId
   */
  peerIsBack(userId) {
    this.#calls.get(userId)?.resume();
  }

  /** The microphone or the camera changed. */
  useMedia() {
    for (const call of this.all()) if (call.state !== 'incoming') call.useMedia();
  }

  /** @param {import('./protocol.js').Reason} reason */
  endAll(reason) {
    for (const call of this.all()) call.end(call.state === 'incoming' ? 'declined' : reason);
  }

  /**
   * Whether a message is of a call that has ended here. Who has not heard of it is told again.
   * @param {import('./protocol.js').Offer | import('./protocol.js').Answer | import('./protocol.js').Ringing} message
   */
  #isOver({ userId, callId }) {
    const ended = callId === undefined ? undefined : this.#ended.get(nameOf(userId, callId));
    if (!ended || !isRecent(ended)) return false;
    if (ended.farewell) this.#context.send(ended.farewell);
    return true;
  }

  /** @param {import('./protocol.js').Offer} message */
  #offered(message) {
    if (this.#isOver(message)) return;
    const { userId, callId, kind, offer, identity } = message;
    const standing = this.#calls.get(userId);
    const known = this.#context.known(userId);
    const peer = known ?? { userId, name: userId, kind: kind ?? kindOf(offer.sdp) };
    let accepted = false;
    if (standing) {
      // Call IDs decide; where a side has none, the session does.
      const session = sessionOf(offer.sdp);
      if (equalIds(standing.callId, callId) ?? (session !== null && session === standing.session)) {
        return standing.handle(message);
      }
      if (standing.state === 'calling' || standing.state === 'ringing') {
        // Both called at the same moment. Each side drops one call, the same one: a device yields to a person,
        // otherwise the offer of the smaller ID stands. Who drops the own call has dialled, and needs no bell. Whose
        // offer stands says it again: the other side may have it no longer.
        const device = (kind ?? known?.kind) === 'device';
        if (device || sortsBefore(this.#context.userId(), userId)) return standing.resume();
        accepted = true;
      }
      // Without two different call IDs the other side would take a `leave` for its new call.
      if (!accepted && equalIds(standing.callId, callId) === false) standing.end('replaced');
      else standing.drop('replaced');
    }
    if (this.#calls.size >= MAX_CALLS) {
      this.#send({ type: 'leave', targetId: userId, callId, reason: 'busy' });
      return this.#remember(userId, callId, null);
    }
    const call = this.#begin(peer, callId);
    call.ring(offer.sdp, identity);
    if (accepted) call.accept();
    this.#context.onChange(call);
  }

  /**
   * @param {import('./protocol.js').Peer} peer
   * @param {string | undefined} callId
   * @param {import('./connection.js').Ready} [ready] for a call of our own
   * @param {Call['visit']} [visit]
   */
  #begin(peer, callId, ready, visit) {
    /** @type {import('./call.js').CallContext} */
    const context = {
      send: (message) => this.#send(message),
      media: this.#context.media,
      me: this.#context.userId(),
      identity: this.#context.identity(),
      configuration: this.#configuration(),
      onChange: this.#context.onChange,
      onEnd: (call, reason, ours) => {
        if (this.#calls.get(call.peer.userId) === call) this.#calls.delete(call.peer.userId);
        // Who has yielded says so when asked.
        this.#remember(call.peer.userId, call.callId, ours && reason === 'replaced' ? reason : null);
        this.#context.onEnd(call, reason, ours);
      },
    };
    const call = new Call(context, peer, callId, ready, visit);
    this.#calls.set(peer.userId, call);
    if (ready) this.#context.onChange(call);
    return call;
  }

  /** Writes an offer for the next call of a device, where there is none that still holds. */
  #prepare() {
    if (this.#prepares) this.#prepared.prepare(this.#configuration());
  }

  /**
   * Sends, and keeps a goodbye: if it is lost, the other side rings on.
   * @param {Record<string, unknown>} message
   */
  #send(message) {
    if (message.type === 'leave' && message.callId !== undefined) {
      this.#farewells.push({ message, at: Date.now() });
      if (this.#farewells.length > MAX_FAREWELLS) this.#farewells.shift();
    }
    return this.#context.send(message);
  }

  /**
   * A call has ended.
   * @param {string} targetId
   * @param {string | undefined} callId
   * @param {import('./protocol.js').Reason | null} reason of ours that was not said
   */
  #remember(targetId, callId, reason) {
    if (callId === undefined) return;
    const said = this.#farewells.filter(isRecent).find(({ message }) => message.callId === callId && message.targetId === targetId);
    const name = nameOf(targetId, callId);
    const farewell = said?.message ?? (reason && { type: 'leave', targetId, callId, reason });
    this.#ended.delete(name);
    this.#ended.set(name, { farewell, at: Date.now() });
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= MAX_ENDED) break;
      this.#ended.delete(oldest);
    }
  }

  /** @returns {RTCConfiguration} */
  #configuration() {
    return { iceServers: this.#iceServers, bundlePolicy: 'max-bundle' };
  }
}

/**
 * Whether two call IDs name the same call; undefined where a side, a basic client, has none.
 * @param {string | undefined} ours
 * @param {string | undefined} theirs
 */
function equalIds(ours, theirs) {
  return ours === undefined || theirs === undefined ? undefined : ours === theirs;
}

/** Whether something of this time may still be heard of. @param {{ at: number }} past */
const isRecent = ({ at }) => Date.now() - at < RING_TIMEOUT;

/**
 * @param {string} userId
 * @param {string} callId
 */
const nameOf = (userId, callId) => `${userId}\n${callId}`;

/**
 * What kind of peer writes such an offer, where nobody tells: one that takes no picture is a device.
 * @param {string} sdp
 * @returns {import('./protocol.js').Kind}
 */
function kindOf(sdp) {
  return videoDirection(sdp) === 'sendonly' ? 'device' : 'person';
}
