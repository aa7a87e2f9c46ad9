/**
 * The descriptions and candidates of one call, in order. Signaling may lose what was handed to it, so what the other
 * side may not have is said again when signaling is back; and what comes again is taken once.
 */

import { CONNECT_TIMEOUT, isOlder, MAX_CANDIDATES, sessionOf } from './protocol.js';

/** How long what needs no answer is repeated, in milliseconds. Later, who waits for an answer has repeated the offer. */
const REPEAT_FOR = 60_000;

/**
 * @typedef {object} NegotiationEvents
 * @property {(message: Record<string, unknown>) => boolean} send
 * @property {() => import('./protocol.js').Shown | undefined} introduce what goes with our offers
 * @property {(sdp: string, shown?: import('./protocol.js').Shown) => Promise<boolean>} hear an offer is about to be taken;
 *   false: it is not to be
 * @property {() => void} unhear it could not be taken
 * @property {(sdp: string) => Promise<import('./protocol.js').Shown | undefined>} sign what goes with our answer
 * @property {(ours: string, sdp: string, shown?: import('./protocol.js').Shown) => Promise<boolean>} check an answer is
 *   about to be taken; false: it is not to be
 * @property {() => void} onAnsweredAgain the other side says its answer again: it may not have what we said to it
 * @property {() => void} onAnswer an answer to our offer has come
 * @property {() => void} onNegotiated both sides agree on something new
 * @property {(error: unknown) => void} onFailure the first descriptions do not fit each other
 *
 * @typedef {object} Said What we said last, as it went out.
 * @property {Record<string, unknown>} description
 * @property {(RTCIceCandidateInit | null)[]} candidates
 * @property {boolean} waits for an answer
 * @property {number} at by `performance.now()`
 */

export class Negotiation {
  #pc;
  #events;
  /** Signaling is worked off in order, one step at a time. */
  #steps = Promise.resolve();
  #ended = false;
  /** @type {(RTCIceCandidateInit | null)[]} Those that came before the description they belong to. */
  #early = [];
  /** Those of the other side that were taken, as text. @type {Set<string>} */
  #candidates = new Set();
  /** Null once the other side is known to have it. @type {Said | null} */
  #said = null;
  /** The offer that came last, to know it again. */
  #offered = '';
  /** Our answer to it, which is given again. @type {Said | null} */
  #reply = null;
  /** The answer that came last, to know it again. */
  #answered = '';
  /** @type {number | undefined} Gives up an offer within a call that nobody answers. */
  #unanswered;

  /**
   * @param {RTCPeerConnection} pc
   * @param {NegotiationEvents} events
   */
  constructor(pc, events) {
    this.#pc = pc;
    this.#events = events;
    pc.onicecandidate = ({ candidate }) => this.#found(candidate && candidate.toJSON());
  }

  /** The peer's session, which tells a renegotiation from another call where there are no call IDs. */
  get session() {
    return sessionOf(this.#pc.remoteDescription?.sdp ?? this.#offered);
  }

  /**
   * Sends the first offer: at once if it is written. The other side can begin with its answer while this side still
   * takes its own words in.
   * @param {import('./connection.js').Ready} ready
   */
  begin({ offer, written }) {
    const sent = written && this.#offer(written);
    this.#step(async () => sent ?? this.#offer(await offer));
  }

  /** Offers another path for a call that stands. @param {() => boolean} wanted asked when it is this offer's turn */
  restart(wanted) {
    this.#step(async () => {
      if (!wanted() || this.#pc.signalingState !== 'stable') return;
      await this.#offer(await this.#pc.createOffer({ iceRestart: true }));
    });
  }

  /**
   * Takes the peer's offer without an answer; `answer` gives it.
   * @param {string} sdp
   * @param {import('./protocol.js').Shown} [shown]
   */
  hear(sdp, shown) {
    this.#offered = sdp;
    this.#step(async () => {
      if (!(await this.#events.hear(sdp, shown)) || this.#ended) return;
      await this.#pc.setRemoteDescription({ type: 'offer', sdp });
      await this.#addEarly();
    });
  }

  /** @param {() => void} prepare runs before the answer is written */
  answer(prepare) {
    this.#step(async () => {
      prepare();
      await this.#answer();
    });
  }

  /**
   * Takes a later offer of the same call. One that is known is answered as before.
   * @param {string} sdp
   * @param {import('./protocol.js').Shown | undefined} shown
   * @param {{ first: boolean, rings: () => boolean }} side `first`: we began the call; `rings`: whether nobody has
   *   answered here yet, asked when it is this offer's turn
   */
  renegotiate(sdp, shown, { first, rings }) {
    this.#step(async () => {
      if (sdp === this.#offered) {
        if (this.#reply) this.#repeat(this.#reply);
        return;
      }
      if (isOlder(sdp, this.#offered)) return;
      // Where both renegotiate at once, the side that began the call goes first.
      if (this.#pc.signalingState !== 'stable' && first) return;
      if (!(await this.#events.hear(sdp, shown)) || this.#ended) return;
      let heard = false;
      try {
        await this.#pc.setRemoteDescription({ type: 'offer', sdp });
        heard = true;
        this.#candidates.clear();
        this.#offered = sdp;
        await this.#addEarly();
        if (!rings()) await this.#answer();
      } catch (error) {
        if (heard && !rings()) await this.#back('have-remote-offer');
        this.#events.unhear();
        this.#complain('offer', error);
      }
    });
  }

  /**
   * @param {RTCSessionDescriptionInit} answer
   * @param {import('./protocol.js').Shown} [shown]
   */
  takeAnswer(answer, shown) {
    this.#step(async () => {
      // An answer to no offer of ours, or the same one again, changes nothing.
      const state = this.#pc.signalingState;
      if (answer.sdp === this.#answered) return this.#events.onAnsweredAgain();
      if (state !== 'have-local-offer' && state !== 'have-remote-pranswer') return;
      this.#events.onAnswer();
      if (!(await this.#events.check(this.#pc.localDescription?.sdp ?? '', answer.sdp ?? '', shown)) || this.#ended) return;
      try {
        await this.#pc.setRemoteDescription(answer);
      } catch (error) {
        if (!this.#pc.currentRemoteDescription) throw error;
        await this.#withdraw();
        return this.#complain('answer', error);
      }
      if (answer.type === 'answer') {
        clearTimeout(this.#unanswered);
        this.#answered = answer.sdp ?? '';
        if (this.#said) Object.assign(this.#said, { waits: false, at: performance.now() });
      }
      await this.#addEarly();
      this.#events.onNegotiated();
    });
  }

  /** Does something between two descriptions. @param {() => Promise<void>} step */
  inTurn(step) {
    this.#step(step);
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  takeCandidate(candidate) {
    this.#step(async () => {
      const text = JSON.stringify(candidate);
      if (this.#candidates.has(text) || this.#candidates.size >= MAX_CANDIDATES) return;
      this.#candidates.add(text);
      if (this.#pc.remoteDescription) await this.#add(candidate);
      else this.#early.push(candidate);
    });
  }

  /** Media flows: the other side has what it needs. */
  settle() {
    if (!this.#said?.waits) this.#said = null;
  }

  /** Says again what the other side may not have. */
  repeat() {
    const said = this.#said;
    if (said && (said.waits || performance.now() - said.at < REPEAT_FOR)) this.#repeat(said);
  }

  /** Takes back an offer within a call: the other side does not want it, and the call goes on as it was. */
  withdraw() {
    this.#step(() => this.#withdraw());
  }

  end() {
    this.#ended = true;
    clearTimeout(this.#unanswered);
    this.#pc.onicecandidate = null;
  }

  /** @param {RTCSessionDescriptionInit} offer */
  #offer(offer) {
    this.#candidates.clear();
    if (this.#pc.currentRemoteDescription) {
      clearTimeout(this.#unanswered);
      this.#unanswered = setTimeout(() => this.withdraw(), CONNECT_TIMEOUT);
    }
    // Of two who call each other at once, the person's call stands.
    this.#say({ type: 'offer', kind: 'person', offer: plain(offer), identity: this.#events.introduce() }, true);
    return this.#pc.setLocalDescription(offer);
  }

  async #answer() {
    const answer = await this.#pc.createAnswer();
    // Before candidates are found, which belong behind the answer.
    const identity = await this.#events.sign(answer.sdp ?? '');
    if (this.#ended) return;
    await this.#pc.setLocalDescription(answer);
    this.#reply = this.#say({ type: 'answer', answer: plain(this.#pc.localDescription), identity }, false);
    this.#events.onNegotiated();
  }

  /**
   * @param {Record<string, unknown>} description
   * @param {boolean} waits
   */
  #say(description, waits) {
    this.#said = { description, candidates: [], waits, at: performance.now() };
    this.#events.send(description);
    return this.#said;
  }

  /** @param {RTCIceCandidateInit | null} candidate of ours */
  #found(candidate) {
    if (this.#said && this.#said.candidates.length < MAX_CANDIDATES) this.#said.candidates.push(candidate);
    this.#events.send({ type: 'candidate', candidate });
  }

  /** @param {Said} said */
  #repeat(said) {
    const answered = said !== this.#reply && !said.waits;
    if (!answered) this.#events.send(said.description);
    for (const candidate of said.candidates) this.#events.send({ type: 'candidate', candidate });
  }

  async #withdraw() {
    if (!this.#pc.currentRemoteDescription) return;
    clearTimeout(this.#unanswered);
    if (this.#said?.waits) this.#said = null;
    await this.#back('have-local-offer');
  }

  /**
   * Goes back to what both agreed on, if this is what came between.
   * @param {RTCSignalingState} from
   */
  async #back(from) {
    if (this.#pc.signalingState !== from) return;
    const rollback = /** @type {const} */ ({ type: 'rollback' });
    await (from === 'have-local-offer' ? this.#pc.setLocalDescription(rollback) : this.#pc.setRemoteDescription(rollback));
  }

  /**
   * @param {'offer' | 'answer'} inReplyTo
   * @param {unknown} error
   */
  #complain(inReplyTo, error) {
    console.warn(`callbox: an ${inReplyTo} within a call was not accepted:`, error);
    this.#events.send({ type: 'error', code: 'badSdp', message: String(error), inReplyTo });
  }

  async #addEarly() {
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.#add(candidate);
  }

  /**
   * A candidate that cannot be used is one path less, not the end of the call.
   * @param {RTCIceCandidateInit | null} candidate
   */
  async #add(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate ?? undefined);
    } catch {
      // Some name sections otherwise in candidates than in descriptions; everything is bundled.
      if (candidate?.sdpMid) await this.#pc.addIceCandidate({ ...candidate, sdpMid: null, sdpMLineIndex: 0 }).catch(() => {});
    }
  }

  /** @param {() => Promise<void>} step */
  #step(step) {
    this.#steps = this.#steps.then(async () => {
      if (this.#ended) return;
      try {
        await step();
      } catch (error) {
        if (!this.#ended) this.#events.onFailure(error);
      }
    });
  }
}

/** @param {RTCSessionDescriptionInit | null} description */
function plain(description) {
  return { type: description?.type, sdp: description?.sdp };
}
