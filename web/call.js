/**
 * One call with one peer: the peer connection, its signaling, its time-outs, and its end. Knows nothing of other calls
 * and nothing of the page. The offer never waits for a microphone or a camera: tracks are put into the senders when
 * they come.
 */

import { asReason, CONNECT_TIMEOUT, MAX_CANDIDATES, RING_TIMEOUT, sessionOf, videoDirection } from './protocol.js';

/** How long a connection may be disturbed before the page looks for another path, in milliseconds. */
const RESTART_AFTER = 3_000;
/** How long a goodbye may take to leave before the connection is closed, in milliseconds. */
const GOODBYE_TIME = 200;

/**
 * `calling`: our offer is under way. `ringing`: the other side rings. `incoming`: we ring. `connecting`: both said yes.
 * `connected`: media flows. `reconnecting`: it did, and the path broke. `ended`: over.
 * @typedef {'calling' | 'ringing' | 'incoming' | 'connecting' | 'connected' | 'reconnecting' | 'ended'} CallState
 *
 * Why a call ended: what the sides tell each other, and what only we see.
 * @typedef {import('./protocol.js').Reason | 'unknownTarget' | 'lost' | 'badOffer'} EndReason
 *
 * @typedef {object} CallContext What a call needs from its surroundings.
 * @property {(message: Record<string, unknown>) => boolean} send
 * @property {() => { microphone: MediaStreamTrack | null, camera: MediaStreamTrack | null, muted: boolean }} media
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

  #context;
  #pc;
  #local;
  /** @type {RTCRtpTransceiver | undefined} */
  #audio;
  /** @type {RTCRtpTransceiver | undefined} */
  #video;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** Signaling is worked off in order, one step at a time. */
  #steps = Promise.resolve();
  /** @type {(RTCIceCandidateInit | null)[]} Those that came before the description they belong to. */
  #early = [];
  #candidates = 0;
  #videoOffered = true;
  /** A description that could not be sent because signaling was down. @type {Record<string, unknown> | null} */
  #unsent = null;
  /** @type {number | undefined} Ends a call that rings or connects for too long. */
  #deadline;
  /** @type {number | undefined} */
  #restart;

  /**
   * @param {CallContext} context
   * @param {import('./protocol.js').Peer} peer
   * @param {string | undefined} callId
   * @param {import('./connection.js').Ready} [ready] what our own call goes out on; without it the peer calls
   */
  constructor(context, peer, callId, ready) {
    this.#context = context;
    this.peer = peer;
    this.outgoing = ready !== undefined;
    this.callId = callId;
    this.state = ready ? 'calling' : 'incoming';
    this.#pc = ready?.pc ?? new RTCPeerConnection(context.configuration);
    this.#local = ready?.local ?? new MediaStream();
    this.#listen();
    this.#within(RING_TIMEOUT + (ready ? 0 : CONNECT_TIMEOUT), 'noAnswer');
    if (ready) this.#start(ready);
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

  /** The peer's session, to tell a renegotiation from another call. */
  get session() {
    return sessionOf(this.#pc.remoteDescription?.sdp ?? '');
  }

  /**
   * Takes the peer's offer and rings; nothing is sent to the peer but that it rings.
   * @param {string} sdp
   */
  ring(sdp) {
    const direction = videoDirection(sdp);
    this.#videoOffered = direction === 'sendrecv' || direction === 'recvonly';
    this.#step(async () => {
      await this.#pc.setRemoteDescription({ type: 'offer', sdp });
      await this.#addEarly();
    });
    this.#send({ type: 'ringing' });
  }

  /** Says yes to the peer's offer. */
  accept() {
    if (this.state !== 'incoming') return;
    this.#setState('connecting');
    this.#within(CONNECT_TIMEOUT, 'failed');
    this.#step(async () => {
      for (const transceiver of this.#pc.getTransceivers()) {
        const audio = transceiver.receiver.track.kind === 'audio';
        if (audio ? this.#audio : this.#video) continue;
        if (audio) this.#audio = transceiver;
        else this.#video = transceiver;
        transceiver.direction = 'sendrecv';
        transceiver.sender.setStreams(this.#local);
      }
      this.useMedia();
      await this.#answer();
    });
  }

  /** Puts the microphone and camera of now into the call, and tells the other side what to expect. */
  useMedia() {
    const { microphone, camera, muted } = this.#context.media();
    void this.#audio?.sender.replaceTrack(microphone).catch(ignore);
    void this.#video?.sender.replaceTrack(this.takesVideo ? camera : null).catch(ignore);
    this.#tell({ type: 'media', microphone: microphone !== null && !muted, camera: camera !== null && this.takesVideo });
  }

  /**
   * Takes a message of the peer that belongs to this call.
   * @param {import('./protocol.js').Message} message
   */
  handle(message) {
    switch (message.type) {
      case 'ringing':
        if (this.state === 'calling') this.#setState('ringing');
        break;
      case 'answer':
        this.#step(() => this.#takeAnswer(message.answer));
        break;
      case 'candidate':
        this.#step(() => this.#takeCandidate(message.candidate));
        break;
      case 'offer':
        this.#step(() => this.#takeRenegotiation(message.offer.sdp));
        break;
      case 'leave':
        this.#finish(message.reason, false);
        break;
      case 'error':
        this.#refused(message.code);
        break;
    }
  }

  /** Signaling is back: sends what could not be sent, looks for a path where there is none. */
  resume() {
    const unsent = this.#unsent;
    this.#unsent = null;
    if (unsent) this.#send(unsent);
    else if (this.state === 'reconnecting') this.#restartNow();
  }

  /**
   * Ends the call and tells the peer, over signaling and directly.
   * @param {import('./protocol.js').Reason} reason
   */
  end(reason) {
    if (this.state === 'ended') return;
    this.#tell({ type: 'goodbye', reason });
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
    pc.onicecandidate = ({ candidate }) => this.#send({ type: 'candidate', candidate: candidate && candidate.toJSON() });
    pc.onconnectionstatechange = () => this.#connectionChanged();
    pc.ondatachannel = ({ channel }) => channel.label === 'callbox' && this.#openChannel(channel);
    pc.ontrack = ({ track, receiver }) => {
      // What the browser holds back beyond the network's jitter is delay that a conversation feels.
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
      this.stream.addTrack(track);
      this.#context.onChange(this);
    };
  }

  /** @param {import('./connection.js').Ready} ready */
  #start({ audio, video, channel, offer, written }) {
    this.#audio = audio;
    this.#video = video;
    this.#openChannel(channel);
    const sent = written && this.#offer(written);
    this.#step(async () => sent ?? this.#offer(await offer));
    this.useMedia();
  }

  /**
   * Sends the offer at once: the other side can begin with its answer while this side still takes its own words in.
   * @param {RTCSessionDescriptionInit} offer
   */
  #offer(offer) {
    this.#candidates = 0;
    this.#describe({ type: 'offer', offer: plain(offer) });
    return this.#pc.setLocalDescription(offer);
  }

  async #answer() {
    await this.#pc.setLocalDescription();
    this.#describe({ type: 'answer', answer: plain(this.#pc.localDescription) });
    this.#context.onChange(this);
  }

  /** @param {Record<string, unknown>} description */
  #describe(description) {
    this.#unsent = this.#send(description) ? null : description;
  }

  /** @param {RTCSessionDescriptionInit} answer */
  async #takeAnswer(answer) {
    // An answer to no offer of ours, or a second one, changes nothing.
    if (this.#pc.signalingState !== 'have-local-offer' && this.#pc.signalingState !== 'have-remote-pranswer') return;
    if (this.state === 'calling' || this.state === 'ringing') {
      this.#setState('connecting');
      this.#within(CONNECT_TIMEOUT, 'failed');
    }
    await this.#pc.setRemoteDescription(answer);
    await this.#addEarly();
    this.useMedia();
    this.#context.onChange(this);
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  async #takeCandidate(candidate) {
    if (++this.#candidates > MAX_CANDIDATES) return;
    if (!this.#pc.remoteDescription) this.#early.push(candidate);
    // A candidate that cannot be used is one path less, not the end of the call.
    else await this.#pc.addIceCandidate(candidate ?? undefined).catch(ignore);
  }

  async #addEarly() {
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.#pc.addIceCandidate(candidate ?? undefined).catch(ignore);
  }

  /** @param {string} sdp */
  async #takeRenegotiation(sdp) {
    // Where both renegotiate at once, the side that began the call goes first.
    if (this.#pc.signalingState !== 'stable' && this.outgoing) return;
    this.#candidates = 0;
    await this.#pc.setRemoteDescription({ type: 'offer', sdp });
    await this.#addEarly();
    if (this.state !== 'incoming') await this.#answer();
  }

  #connectionChanged() {
    if (this.state === 'ended') return;
    switch (this.#pc.connectionState) {
      case 'connected':
        clearTimeout(this.#deadline);
        clearTimeout(this.#restart);
        this.since ??= performance.now();
        this.#setState('connected');
        break;
      case 'disconnected':
        if (this.state !== 'connected') break;
        this.#setState('reconnecting');
        this.#within(CONNECT_TIMEOUT, 'lost');
        this.#restart = setTimeout(() => this.#restartNow(), RESTART_AFTER);
        break;
      case 'failed':
        if (this.since === null) return this.#giveUp('failed');
        if (this.state === 'connected') this.#within(CONNECT_TIMEOUT, 'lost');
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
    this.#step(async () => {
      if (this.state === 'reconnecting' && this.#pc.signalingState === 'stable') await this.#offer(await this.#pc.createOffer({ iceRestart: true }));
    });
  }

  /** @param {RTCDataChannel} channel */
  #openChannel(channel) {
    this.#channel = channel;
    channel.onopen = () => {
      this.useMedia();
      // Who closes the connection without a word is gone as well. (A peer without data channels never opens this one.)
      channel.onclose = () => this.#finish('hangup', false);
    };
    channel.onmessage = ({ data }) => {
      let message;
      try {
        message = JSON.parse(data);
      } catch {
        return;
      }
      if (message?.type === 'goodbye') this.#finish(asReason(message.reason), false);
      if (message?.type === 'media') {
        this.remote = { microphone: message.microphone === true, camera: message.camera === true };
        this.#context.onChange(this);
      }
    };
  }

  /** @param {string} code */
  #refused(code) {
    const waiting = this.state === 'calling' || this.state === 'ringing';
    if (code === 'unknownTarget') {
      // In a call that stands, the other side has only lost its signaling for a while.
      if (waiting) this.#finish('unknownTarget', false);
    } else if (code === 'badSdp' || (code === 'badField' && waiting)) {
      this.#giveUp('badOffer');
    }
  }

  /**
   * Ends a call that cannot go on.
   * @param {EndReason} reason
   */
  #giveUp(reason) {
    if (this.state === 'ended') return;
    this.#send({ type: 'leave', reason: reason === 'noAnswer' ? 'noAnswer' : 'failed' });
    this.#finish(reason, false);
  }

  /**
   * @param {EndReason} reason
   * @param {boolean} ours
   */
  #finish(reason, ours) {
    if (this.state === 'ended') return;
    clearTimeout(this.#deadline);
    clearTimeout(this.#restart);
    const pc = this.#pc;
    pc.onicecandidate = pc.onconnectionstatechange = pc.ondatachannel = pc.ontrack = null;
    if (this.#channel) this.#channel.onopen = this.#channel.onclose = this.#channel.onmessage = null;
    for (const sender of pc.getSenders()) void sender.replaceTrack(null).catch(ignore);
    if (ours && this.#channel?.readyState === 'open') setTimeout(() => pc.close(), GOODBYE_TIME);
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

  /** @param {() => Promise<void>} step */
  #step(step) {
    this.#steps = this.#steps.then(async () => {
      if (this.state === 'ended') return;
      try {
        await step();
      } catch (error) {
        console.warn('callbox: the call cannot go on:', error);
        this.#giveUp('badOffer');
      }
    });
  }

  /** @param {Record<string, unknown>} message */
  #send(message) {
    return this.#context.send({ ...message, targetId: this.peer.userId, callId: this.callId });
  }

  /** @param {Record<string, unknown>} message */
  #tell(message) {
    if (this.#channel?.readyState === 'open') this.#channel.send(JSON.stringify(message));
  }

  /** @param {CallState} state */
  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.#context.onChange(this);
  }
}

/** @param {RTCSessionDescriptionInit | null} description */
function plain(description) {
  return { type: description?.type, sdp: description?.sdp };
}

/** For what may fail because the connection was closed meanwhile. */
function ignore() {}
