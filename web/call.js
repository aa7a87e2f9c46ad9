/**
 * One call with one peer: its state, its time-outs, what flows in it, and its end. Knows nothing of other calls and
 * nothing of the page. The offer never waits for a microphone or a camera: tracks are put into the senders when they
 * come.
 */

import { Channel } from './channel.js';
import { Exchange, PROOF_TIMEOUT } from './exchange.js';
import { Negotiation } from './negotiation.js';
import { CONNECT_TIMEOUT, RECOVERY_TIMEOUT, RING_TIMEOUT, videoDirection } from './protocol.js';

/** How long a connection may be disturbed before the page looks for another path, in milliseconds. */
const RESTART_AFTER = 3_000;
/** How long the page waits before it says again what the server dropped because too much came, in milliseconds. */
const RATE_LIMITED_WAIT = 1_500;
/** How long a goodbye may take to leave before the connection is closed, in milliseconds. */
const GOODBYE_TIME = 200;

/**
 * `calling`: our offer is under way. `ringing`: the other side rings. `incoming`: we ring. `connecting`: both said yes.
 * `connected`: media flows. `reconnecting`: it did, and the path broke. `ended`: over.
 * @typedef {'calling' | 'ringing' | 'incoming' | 'connecting' | 'connected' | 'reconnecting' | 'ended'} CallState
 *
 * Why a call ended: what the sides tell each other, and what only we see.
 * @typedef {import('./protocol.js').Reason | 'unknownTarget' | 'forbidden' | 'gone' | 'lost' | 'badOffer' | 'unidentified' | 'unshown'} EndReason
 *
 * @typedef {object} CallContext What a call needs from its surroundings.
 * @property {(message: Record<string, unknown>) => boolean} send
 * @property {(peer: import('./protocol.js').Peer) => { microphone: MediaStreamTrack | null, camera: MediaStreamTrack | null, muted: boolean }} media what goes to somebody
 * @property {string} me our own ID
 * @property {import('./identity.js').Identity | null} identity what we can show of ourselves
 * @property {RTCConfiguration} configuration
 * @property {(call: Call) => void} onChange
 * @property {(call: Call, reason: EndReason, ours: boolean) => void} onEnd `ours`: this side ended it
 */

export class Call {
  /** @type {CallState} */
  state;
  /** @type {import('./protocol.js').Peer} */
  peer;
  /** What the other side sends; tracks come and go. */
  stream = new MediaStream();
  /** What the other side tells of its devices: `null` until it does. @type {{ microphone: boolean, camera: boolean } | null} */
  remote = null;
  /** When media began to flow, by `performance.now()`. @type {number | null} */
  since = null;
  /** @type {string | undefined} Basic clients know no call IDs. */
  callId;
  outgoing;
  /** Because of which visit we call. @type {{ id: string, does: 'looks' | 'answers' } | null} */
  visit;

  #context;
  #exchange;
  /** What the other side sends, until we know who that is. @type {MediaStreamTrack[]} */
  #held = [];
  /** @type {number | undefined} Ends a call whose caller does not show who they are. */
  #unproved;
  #pc;
  #local;
  #negotiation;
  #channel;
  /** @type {RTCRtpTransceiver | undefined} */
  #audio;
  /** @type {RTCRtpTransceiver | undefined} */
  #video;
  #videoOffered = true;
  /** Whether the other side is known to exist: it rang, or our offer had gone out before the connection was made again. */
  #known = false;
  /** Whether the other side was off line when we last sent something, and nothing has come from it since. */
  #gone = false;
  /** @type {number | undefined} Ends a call that rings or connects for too long. */
  #deadline;
  /** @type {number | undefined} */
  #restart;

  /**
   * @param {CallContext} context
   * @param {import('./protocol.js').Peer} peer
   * @param {string | undefined} callId
   * @param {import('./connection.js').Ready} [ready] what our own call goes out on; without it the peer calls
   * @param {Call['visit']} [visit]
   */
  constructor(context, peer, callId, ready, visit = null) {
    this.#context = context;
    this.peer = peer;
    this.visit = visit;
    this.outgoing = ready !== undefined;
    this.callId = callId;
    this.state = ready ? 'calling' : 'incoming';
    this.#pc = ready?.pc ?? new RTCPeerConnection(context.configuration);
    this.#local = ready?.local ?? new MediaStream();
    this.#exchange = new Exchange({ identity: context.identity, me: context.me, peer: () => this.peer, callId });
    this.#negotiation = new Negotiation(this.#pc, {
      send: (message) => this.#send(message),
      introduce: () => this.#exchange.introduce(),
      hear: async (sdp, shown) => this.#trust(await this.#exchange.hear(sdp, shown)),
      sign: (sdp) => this.#sign(sdp),
      check: async (ours, sdp, shown) => {
        const sound = this.#trust(await this.#exchange.check(ours, sdp, shown));
        if (sound) this.#prove();
        return sound;
      },
      unhear: () => {
        this.#exchange.unhear();
        this.#trust('sound');
      },
      onAnsweredAgain: () => this.#prove(),
      onAnswer: () => this.#answered(),
      onNegotiated: () => {
        this.useMedia();
        context.onChange(this);
      },
      onFailure: (error) => {
        console.warn('callbox: the call cannot go on:', error);
        this.#giveUp('badOffer');
      },
    });
    this.#channel = new Channel({
      onOpen: () => this.useMedia(),
      onGoodbye: (reason) => this.#finish(reason, false),
      onMedia: (devices) => {
        this.remote = devices;
        context.onChange(this);
      },
    });
    this.#listen();
    this.#within(RING_TIMEOUT + (ready ? 0 : CONNECT_TIMEOUT), 'noAnswer');
    if (!ready) return;
    this.#audio = ready.audio;
    this.#video = ready.video;
    this.#channel.take(ready.channel);
    this.#negotiation.begin(ready);
    this.useMedia();
  }

  /** Whether we only look who is there: nothing of ours is sent. */
  get looks() {
    return this.visit?.does === 'looks';
  }

  /** Who has looked talks. */
  speakUp() {
    if (!this.visit) return;
    this.visit = { ...this.visit, does: 'answers' };
    this.useMedia();
    this.#context.onChange(this);
  }

  /** Whether the other side would show our picture. A device has no screen; who is not known yet may have one. */
  get takesVideo() {
    if (this.state === 'incoming') return this.#videoOffered;
    const direction = this.#video?.currentDirection ?? this.#video?.direction;
    return direction === 'sendrecv' || direction === 'sendonly';
  }

  /** Whether the other side's description told that it takes no picture, or is known to. */
  get declinedVideo() {
    return !this.takesVideo && (this.peer.kind === 'device' || this.since !== null);
  }

  /** Whether both sides agreed on sound only, though a picture was asked for. */
  get withoutPicture() {
    if (this.since === null || !this.#video) return false;
    const direction = this.#video.currentDirection;
    return direction !== 'sendrecv' && direction !== 'recvonly';
  }

  /** The peer's session, to tell a renegotiation from another call. */
  get session() {
    return this.#negotiation.session;
  }

  /**
   * Takes the peer's offer and rings; nothing is sent to the peer but that it rings.
   * @param {string} sdp
   * @param {import('./protocol.js').Shown} [shown]
   */
  ring(sdp, shown) {
    const direction = videoDirection(sdp);
    this.#videoOffered = direction === 'sendrecv' || direction === 'recvonly';
    this.#negotiation.hear(sdp, shown);
    this.#send({ type: 'ringing' });
  }

  /** Says yes to the peer's offer. */
  accept() {
    if (this.state !== 'incoming') return;
    this.#setState('connecting');
    this.#within(CONNECT_TIMEOUT, 'failed');
    this.#negotiation.answer(() => {
      for (const transceiver of this.#pc.getTransceivers()) {
        const audio = transceiver.receiver.track.kind === 'audio';
        if (audio ? this.#audio : this.#video) continue;
        if (audio) this.#audio = transceiver;
        else this.#video = transceiver;
        transceiver.direction = 'sendrecv';
        transceiver.sender.setStreams(this.#local);
      }
      this.useMedia();
    });
  }

  /** Puts the microphone and camera of now into the call, and tells the other side what to expect. */
  useMedia() {
    const { microphone, camera, muted } = this.#context.media(this.peer);
    const { trusted } = this.#exchange;
    void this.#audio?.sender.replaceTrack(trusted && !this.looks ? microphone : null).catch(ignore);
    void this.#video?.sender.replaceTrack(trusted && this.takesVideo ? camera : null).catch(ignore);
    this.#channel.tell({ type: 'media', microphone: microphone !== null && !muted && !this.looks, camera: camera !== null && this.takesVideo });
  }

  /**
   * Takes a message that belongs to this call: the peer's, or the server's about what we sent to the peer.
   * @param {import('./protocol.js').PeerMessage | import('./protocol.js').Refusal} message
   */
  handle(message) {
    if (message.type !== 'refusal') this.#gone = false;
    switch (message.type) {
      case 'ringing':
        this.#known = true;
        if (this.state === 'calling') this.#setState('ringing');
        break;
      case 'answer':
        this.#negotiation.takeAnswer(message.answer, message.identity);
        break;
      case 'proof':
        this.#negotiation.inTurn(async () => void this.#trust(await this.#exchange.proved(message.signature)));
        break;
      case 'candidate':
        this.#negotiation.takeCandidate(message.candidate);
        break;
      case 'offer': {
        const rings = this.state === 'incoming';
        if (rings) this.#send({ type: 'ringing' });
        this.#negotiation.renegotiate(message.offer.sdp, message.identity, { first: this.outgoing, rings: () => this.state === 'incoming' });
        break;
      }
      case 'leave':
        // A relay may tell everybody that somebody left signaling; a call that stands lives by its media.
        if (message.toUs || this.since === null) this.#finish(message.reason, false);
        break;
      case 'complaint':
        this.#refusedByPeer(message);
        break;
      case 'refusal':
        this.#refusedByServer(message);
        break;
    }
  }

  /** Signaling is back, on this side or on the other: says again what may be lost, looks for a path where there is none. */
  resume() {
    this.#known = true;
    if (this.state === 'incoming') this.#send({ type: 'ringing' });
    this.#negotiation.repeat();
    this.#prove();
    if (this.state === 'reconnecting') this.#restartNow();
  }

  /**
   * Ends the call and tells the peer, over signaling and directly.
   * @param {import('./protocol.js').Reason} reason
   */
  end(reason) {
    if (this.state === 'ended') return;
    this.#channel.tell({ type: 'goodbye', reason });
    this.#send({ type: 'leave', reason });
    this.#finish(reason, true);
  }

  /**
   * Ends the call without a word to the peer, who knows or has begun another one.
   * @param {EndReason} reason
   */
  drop(reason) {
    this.#finish(reason, true);
  }

  stats() {
    return this.#pc.getStats();
  }

  #listen() {
    const pc = this.#pc;
    pc.onconnectionstatechange = () => this.#connectionChanged();
    pc.ondatachannel = ({ channel }) => this.#channel.take(channel);
    pc.ontrack = ({ track, receiver }) => {
      // What the browser holds back beyond the network's jitter is delay that a conversation feels.
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
      this.#held.push(track);
      this.#trust('sound');
    };
  }

  /** Whether the other side is known to be who it says. */
  get verified() {
    return this.#exchange.verified;
  }

  /**
   * Lets media flow as far as we know with whom, or ends the call.
   * @param {import('./exchange.js').Verdict} verdict
   */
  #trust(verdict) {
    if (this.state === 'ended') return false;
    if (verdict !== 'sound') {
      console.error(`callbox: the call with ${this.peer.userId} ended: who is at its other end is ${verdict}`);
      this.#send({ type: 'leave', reason: 'unverified' });
      // A device of the household always shows who it is; a person may have come without a key.
      const harmless = verdict === 'unshown' && this.peer.kind !== 'device';
      this.#finish(harmless ? 'unshown' : 'unverified', false);
      return false;
    }
    if (this.#exchange.trusted) {
      clearTimeout(this.#unproved);
      for (const track of this.#held.splice(0)) this.stream.addTrack(track);
    } else {
      for (const track of this.stream.getTracks()) {
        this.stream.removeTrack(track);
        this.#held.push(track);
      }
      this.#awaitProof();
    }
    this.useMedia();
    this.#context.onChange(this);
    return true;
  }

  /** @param {string} sdp of our answer */
  async #sign(sdp) {
    return this.#exchange.sign(sdp);
  }

  /** A connection that is up and not trusted is given up in time. That may be the network's doing. */
  #awaitProof() {
    clearTimeout(this.#unproved);
    if (this.since !== null) this.#unproved = setTimeout(() => this.#giveUp('failed'), PROOF_TIMEOUT);
  }

  #prove() {
    const signature = this.#exchange.proof;
    if (signature !== null) this.#send({ type: 'proof', signature });
  }

  #answered() {
    if (this.state !== 'calling' && this.state !== 'ringing') return;
    this.#setState('connecting');
    this.#within(CONNECT_TIMEOUT, 'failed');
  }

  #connectionChanged() {
    if (this.state === 'ended') return;
    switch (this.#pc.connectionState) {
      case 'connected':
        clearTimeout(this.#deadline);
        clearTimeout(this.#restart);
        this.#negotiation.settle();
        this.since ??= performance.now();
        if (!this.#exchange.trusted) this.#awaitProof();
        this.#setState('connected');
        break;
      case 'disconnected':
        if (this.state !== 'connected') break;
        this.#setState('reconnecting');
        this.#within(RECOVERY_TIMEOUT, 'lost');
        this.#restart = setTimeout(() => this.#restartNow(), RESTART_AFTER);
        break;
      case 'failed':
        if (this.since === null) return this.#giveUp('failed');
        if (this.state === 'connected') this.#within(RECOVERY_TIMEOUT, 'lost');
        this.#setState('reconnecting');
        this.#restartNow();
        break;
      case 'closed':
        this.#giveUp('lost');
        break;
    }
  }

  /** Looks for another path. One side does so: the page towards a device, otherwise who began the call. */
  #restartNow() {
    clearTimeout(this.#restart);
    if (!this.outgoing && this.peer.kind !== 'device') return;
    this.#negotiation.restart(() => this.state === 'reconnecting');
  }

  /** @param {import('./protocol.js').Refusal} refusal */
  #refusedByServer({ code, inReplyTo }) {
    const waiting = this.state === 'calling' || this.state === 'ringing';
    if (code === 'unknownTarget') {
      // Who was there before has only lost its signaling for a while: the offer is said again when they are back.
      if (waiting && !this.#known) this.#giveUp('unknownTarget');
      this.#gone = true;
    } else if (code === 'forbidden') {
      // A call that the other side began goes on as it is.
      if (waiting) this.#giveUp('forbidden');
    } else if (code === 'rateLimited') {
      const described = inReplyTo === 'offer' || inReplyTo === 'answer';
      if (inReplyTo === 'proof') setTimeout(() => this.state !== 'ended' && this.#prove(), RATE_LIMITED_WAIT);
      if (described) setTimeout(() => this.state !== 'ended' && this.#negotiation.repeat(), RATE_LIMITED_WAIT);
    } else if (code === 'badField' && waiting) {
      this.#giveUp('badOffer');
    }
  }

  /** @param {import('./protocol.js').Complaint} complaint */
  #refusedByPeer({ code, inReplyTo }) {
    // Who shows nothing is told so; what is shown and wrong is another matter.
    if (code === 'unverified' && this.since === null) return this.#finish(this.#context.identity?.vouch ? 'unverified' : 'unidentified', false);
    // A candidate is one path of several, and an answer that came twice is no harm.
    if (code !== 'badSdp' || inReplyTo === 'candidate') return;
    // What was agreed on before goes on.
    if (this.since !== null) this.#negotiation.withdraw();
    else if (this.state !== 'incoming') this.#giveUp('badOffer');
  }

  /**
   * Ends a call that cannot go on.
   * @param {EndReason} reason
   */
  #giveUp(reason) {
    if (this.state === 'ended') return;
    this.#send({ type: 'leave', reason: reason === 'noAnswer' ? 'noAnswer' : 'failed' });
    // No network in between is to blame where there is nobody at its other end.
    const left = reason === 'failed' && this.#gone && this.since === null;
    this.#finish(left ? 'gone' : reason, false);
  }

  /**
   * @param {EndReason} reason
   * @param {boolean} ours
   */
  #finish(reason, ours) {
    if (this.state === 'ended') return;
    clearTimeout(this.#deadline);
    clearTimeout(this.#restart);
    clearTimeout(this.#unproved);
    this.#held = [];
    const pc = this.#pc;
    pc.onconnectionstatechange = pc.ondatachannel = pc.ontrack = null;
    this.#negotiation.end();
    this.#channel.release();
    for (const sender of pc.getSenders()) void sender.replaceTrack(null).catch(ignore);
    if (ours && this.#channel.isOpen) setTimeout(() => pc.close(), GOODBYE_TIME);
    else pc.close();
    this.#setState('ended');
    this.#context.onEnd(this, reason, ours);
  }

  /**
   * @param {number} time
   * @param {EndReason} reason
   */
  #within(time, reason) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#giveUp(reason), time);
  }

  /** @param {Record<string, unknown>} message */
  #send(message) {
    const visit = message.type === 'offer' && this.visit ? { visit: this.visit } : {};
    return this.#context.send({ ...message, ...visit, targetId: this.peer.userId, callId: this.callId });
  }

  /** @param {CallState} state */
  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.#context.onChange(this);
  }
}

/** For what may fail because the connection was closed meanwhile. */
function ignore() {}
