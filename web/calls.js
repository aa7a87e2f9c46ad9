/**
 * All calls of this page: who belongs to which message, and what happens when two calls want the same place.
 */

import { Call } from './call.js';
import { makeReady } from './connection.js';
import { freshCallId, sessionOf, sortsBefore, videoDirection } from './protocol.js';

/** Most calls at once; a further caller hears "busy". */
const MAX_CALLS = 8;
/** How long after a call has begun the next one is prepared, in milliseconds: not in its way. */
const PREPARE_AFTER = 5_000;

/**
 * @typedef {object} CallsContext
 * @property {() => string} userId our own
 * @property {(message: Record<string, unknown>) => boolean} send
 * @property {() => { microphone: MediaStreamTrack | null, camera: MediaStreamTrack | null, muted: boolean }} media
 * @property {(userId: string) => import('./protocol.js').Peer | undefined} known who is online, where the server tells
 * @property {(call: Call) => void} onChange
 * @property {(call: Call, reason: import('./call.js').EndReason, ours: boolean) => void} onEnd
 */

export class Calls {
  /** @type {Map<string, Call>} By the peer's ID: there is one call with each at most. */
  #calls = new Map();
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  /** For the next call of a device. @type {import('./connection.js').Ready | null} */
  #ready = null;
  #context;

  /** @param {CallsContext} context */
  constructor(context) {
    this.#context = context;
    addEventListener('pagehide', () => this.endAll('hangup'));
  }

  /** @returns {Call[]} in the order they began */
  all() {
    return [...this.#calls.values()];
  }

  /**
   * Makes a connection ready for the next call of a device: whoever rings at a door is not to wait.
   * @param {RTCIceServer[]} iceServers
   */
  prepare(iceServers) {
    this.#iceServers = iceServers;
    this.#ready?.pc.close();
    this.#ready = makeReady(this.#configuration(), 'device');
  }

  /**
   * Calls somebody; a call that is already there stays.
   * @param {import('./protocol.js').Peer} peer
   */
  start(peer) {
    if (this.#calls.has(peer.userId) || this.#calls.size >= MAX_CALLS) return;
    const ready = (peer.kind === 'device' && this.#ready) || makeReady(this.#configuration(), peer.kind);
    this.#begin(peer, freshCallId(), ready);
    if (ready !== this.#ready) return;
    this.#ready = null;
    setTimeout(() => this.prepare(this.#iceServers), PREPARE_AFTER);
  }

  /** @param {import('./protocol.js').Message} message */
  handle(message) {
    if (message.type === 'offer') return this.#offered(message);
    const other = message.type === 'error' ? (message.targetId ?? message.userId) : 'userId' in message && message.userId;
    const call = other ? this.#calls.get(other) : undefined;
    if (!call) return;
    // A message of an earlier call with the same peer. Basic clients write no call ID.
    const callId = 'callId' in message ? message.callId : undefined;
    if (callId !== undefined && call.callId !== undefined && callId !== call.callId) return;
    call.handle(message);
  }

  /** Signaling is back. */
  resume() {
    for (const call of this.all()) call.resume();
  }

  /** The microphone or the camera changed. */
  useMedia() {
    for (const call of this.all()) if (call.state !== 'incoming') call.useMedia();
  }

  /** @param {import('./protocol.js').Reason} reason */
  endAll(reason) {
    for (const call of this.all()) call.end(call.state === 'incoming' ? 'declined' : reason);
  }

  /** @param {import('./protocol.js').Offer} message */
  #offered({ userId, callId, offer }) {
    const standing = this.#calls.get(userId);
    const peer = this.#context.known(userId) ?? { userId, name: userId, kind: kindOf(offer.sdp) };
    let accepted = false;
    if (standing) {
      const session = sessionOf(offer.sdp);
      if (session !== null && session === standing.session) {
        return standing.handle({ type: 'offer', userId, callId, offer });
      }
      if (standing.state === 'calling' || standing.state === 'ringing') {
        // Both called at the same moment. Each side drops one call, the same one: a device yields to a person,
        // otherwise the offer of the smaller ID stands.
        if (peer.kind === 'device' || sortsBefore(this.#context.userId(), userId)) return;
        accepted = true;
      }
      standing.drop('replaced');
    }
    if (this.#calls.size >= MAX_CALLS) {
      this.#context.send({ type: 'leave', targetId: userId, callId, reason: 'busy' });
      return;
    }
    const call = this.#begin(peer, callId);
    call.ring(offer.sdp);
    if (accepted) call.accept();
    this.#context.onChange(call);
  }

  /**
   * @param {import('./protocol.js').Peer} peer
   * @param {string | undefined} callId
   * @param {import('./connection.js').Ready} [ready] for a call of our own
   */
  #begin(peer, callId, ready) {
    /** @type {import('./call.js').CallContext} */
    const context = {
      send: this.#context.send,
      media: this.#context.media,
      configuration: this.#configuration(),
      onChange: this.#context.onChange,
      onEnd: (call, reason, ours) => {
        if (this.#calls.get(call.peer.userId) === call) this.#calls.delete(call.peer.userId);
        this.#context.onEnd(call, reason, ours);
      },
    };
    const call = new Call(context, peer, callId, ready);
    this.#calls.set(peer.userId, call);
    if (ready) this.#context.onChange(call);
    return call;
  }

  /** @returns {RTCConfiguration} */
  #configuration() {
    return { iceServers: this.#iceServers, bundlePolicy: 'max-bundle' };
  }
}

/**
 * What kind of peer writes such an offer, where no server tells: one that takes no picture is a device.
 * @param {string} sdp
 * @returns {import('./protocol.js').Kind}
 */
function kindOf(sdp) {
  return videoDirection(sdp) === 'sendonly' ? 'device' : 'person';
}
