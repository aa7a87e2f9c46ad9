/**
 * A connection that is ready to call: its offer is written before anybody presses Call, so that pressing only sends it.
 * Until then it holds no device, opens no socket and gathers no address.
 */

import { makeChannel } from './channel.js';
import { abilities, hasH264 } from './codecs.js';

/** An offer older than this is written again, in milliseconds: what else has changed meanwhile, the page is not told. */
const MAX_AGE = 10 * 60_000;

/**
 * @typedef {object} Ready
 * @property {RTCPeerConnection} pc
 * @property {MediaStream} local groups our tracks for the other side, so that lips and voice stay together
 * @property {RTCRtpTransceiver} audio
 * @property {RTCRtpTransceiver} video
 * @property {RTCDataChannel} channel
 * @property {Promise<RTCSessionDescriptionInit>} offer
 * @property {RTCSessionDescriptionInit | null} written the offer, once it is
 */

/**
 * @param {RTCConfiguration} configuration
 * @param {import('./protocol.js').Kind} kind a device has no screen, so it is offered no picture
 * @returns {Ready}
 */
export function makeReady(configuration, kind) {
  const pc = new RTCPeerConnection(configuration);
  const local = new MediaStream();
  const audio = pc.addTransceiver('audio', { direction: 'sendrecv', streams: [local] });
  const video = pc.addTransceiver('video', { direction: kind === 'device' ? 'recvonly' : 'sendrecv', streams: [local] });
  const channel = makeChannel(pc);
  /** @type {Ready} */
  const ready = { pc, local, audio, video, channel, offer: pc.createOffer(), written: null };
  // Whoever takes it sees a failure as well.
  ready.offer.then((offer) => (ready.written = offer), () => {});
  return ready;
}

/** Keeps one connection ready for the next call of a device. What it says must still be true when it is taken. */
export class Prepared {
  /** @type {{ ready: Ready, for: string, at: number } | null} */
  #kept = null;
  /** What the person allowed, by device: a browser shows or hides its addresses with it. @type {Map<string, string>} */
  #permissions = new Map();

  constructor() {
    for (const name of /** @type {PermissionName[]} */ (['microphone', 'camera'])) void this.#follow(name);
  }

  /**
   * Writes an offer, unless the one that is there will do.
   * @param {RTCConfiguration} configuration
   */
  prepare(configuration) {
    const wanted = this.#circumstances(configuration);
    if (this.#isGood(wanted)) return;
    this.#discard();
    this.#kept = { ready: makeReady(configuration, 'device'), for: wanted, at: Date.now() };
  }

  /**
   * Hands out what is ready, or makes it now where what was prepared is no longer true.
   * @param {RTCConfiguration} configuration
   * @returns {Ready}
   */
  take(configuration) {
    const written = this.#kept?.ready.written?.sdp;
    // Some browsers list H.264 before they offer it.
    if (written && hasH264() && !/^a=rtpmap:\d+ H264\//im.test(written)) this.#discard();
    this.prepare(configuration);
    const ready = /** @type {{ ready: Ready }} */ (this.#kept).ready;
    this.#kept = null;
    return ready;
  }

  #discard() {
    this.#kept?.ready.pc.close();
    this.#kept = null;
  }

  /** @param {string} wanted */
  #isGood(wanted) {
    if (this.#kept?.for !== wanted || this.#kept.ready.pc.connectionState === 'closed') return false;
    const age = Date.now() - this.#kept.at;
    return age >= 0 && age < MAX_AGE;
  }

  /**
   * All that an offer depends on.
   * @param {RTCConfiguration} configuration
   */
  #circumstances(configuration) {
    return JSON.stringify([configuration, abilities(), ...[...this.#permissions].sort()]);
  }

  /** @param {PermissionName} name */
  async #follow(name) {
    try {
      const status = await navigator.permissions.query({ name });
      const note = () => this.#permissions.set(name, status.state);
      note();
      status.onchange = note;
    } catch {
      // A browser that does not tell has its offers grow old.
    }
  }
}
