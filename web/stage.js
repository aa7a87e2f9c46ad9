/** The calls on the page: a tile for each, our own picture, and the buttons. */

import { hasH264 } from './codecs.js';
import { copy, element, setIcon, showAvatar, within } from './page.js';
import { buttons, hangUpOn, hints, pictureOf, states, text, trust } from './text.js';

/**
 * @typedef {object} StageEvents
 * @property {() => void} onMicrophone
 * @property {() => void} onCamera
 * @property {() => void} onSwitchCamera
 * @property {() => void} onLeave
 * @property {(call: import('./call.js').Call) => void} onHangUp one call of several
 * @property {(call: import('./call.js').Call) => void} onTrust somebody wants to know what the mark means
 * @property {(right: import('./access.js').Right, peer: import('./protocol.js').Peer) => boolean} may
 */

export class Stage {
  /** @type {Map<import('./call.js').Call, HTMLElement>} */
  #tiles = new Map();
  /** What had the focus before the calls came to the front. @type {Element | null} */
  #before = null;
  #events;

  /** @param {StageEvents} events */
  constructor(events) {
    this.#events = events;
    element('microphone').onclick = events.onMicrophone;
    element('camera').onclick = events.onCamera;
    element('switch').onclick = events.onSwitchCamera;
    element('leave').onclick = events.onLeave;
    element('to-lobby').onclick = () => {
      this.#view('lobby');
      element('to-stage').focus();
    };
    element('to-stage').onclick = () => this.open();
    setInterval(() => this.#tick(), 1000);
  }

  /** Brings the calls to the front, where there is room for either them or the lobby. */
  open() {
    if (!element('stage').contains(document.activeElement)) this.#before = document.activeElement;
    this.#view('stage');
    element('leave').focus({ preventScroll: true });
  }

  /**
   * Shows these calls.
   * @param {import('./call.js').Call[]} calls
   */
  show(calls) {
    for (const [call, tile] of this.#tiles) {
      if (calls.includes(call)) continue;
      /** @type {HTMLVideoElement} */ (within(tile, 'video')).srcObject = null;
      tile.remove();
      this.#tiles.delete(call);
    }
    const before = this.#tiles.size;
    for (const call of calls) {
      const tile = this.#tiles.get(call) ?? this.#add(call);
      this.#update(tile, call);
    }
    const count = this.#tiles.size;
    element('tiles').dataset.count = String(count);
    element('stage').hidden = element('to-stage').hidden = count === 0;
    within(element('leave'), '.word').textContent = count > 1 ? text.hangUpAll : text.hangUp;
    if (count > before) this.open();
    if (count === 0 && document.documentElement.dataset.view === 'stage') {
      this.#view('lobby');
      if (this.#before instanceof HTMLElement) this.#before.focus({ preventScroll: true });
    }
  }

  /**
   * Shows the state of our own devices.
   * @param {import('./media.js').Media} media
   * @param {{ talks: boolean, camera: boolean }} useful whether anybody in a call may hear us, and would see our picture
   */
  showMedia(media, { talks, camera: cameraUseful }) {
    element('microphone').hidden = !talks;
    const microphone = media.microphone ? (media.muted ? 'off' : 'on') : 'none';
    const camera = !cameraUseful ? 'none' : media.camera ? 'on' : 'off';
    setButton('microphone', microphone, microphone === 'on' ? 'i-mic' : 'i-mic-off', buttons.microphone[microphone]);
    setButton('camera', camera, camera === 'on' ? 'i-camera' : 'i-camera-off', buttons.camera[camera]);
    /** @type {HTMLButtonElement} */ (element('camera')).disabled = !cameraUseful;
    element('switch').hidden = !media.camera || media.cameras < 2;

    const self = /** @type {HTMLVideoElement} */ (element('self'));
    self.hidden = !media.camera;
    self.classList.toggle('mirrored', media.mirrored);
    const shown = /** @type {MediaStream | null} */ (self.srcObject)?.getVideoTracks()[0] ?? null;
    if (shown !== media.camera) self.srcObject = media.camera && new MediaStream([media.camera]);
  }

  /** @param {import('./call.js').Call} call */
  #add(call) {
    const tile = copy('tile-template');
    const video = /** @type {HTMLVideoElement} */ (within(tile, 'video'));
    tile.dataset.peer = call.peer.userId;
    tile.dataset.kind = call.peer.kind;
    tile.dataset.picture = 'off';
    tile.setAttribute('aria-label', pictureOf(call.peer.name));
    showAvatar(within(tile, '.avatar'), call.peer);
    within(tile, '.name').textContent = call.peer.name;

    video.srcObject = call.stream;
    const hear = within(tile, '.hear');
    within(hear, 'span').textContent = text.tapToHear;
    const play = () => void video.play().catch((error) => {
      if (error.name !== 'NotAllowedError' || video.muted) return;
      // Picture without sound is allowed; the sound waits for a touch.
      video.muted = true;
      hear.hidden = false;
      play();
    });
    hear.onclick = () => {
      video.muted = false;
      hear.hidden = true;
      play();
    };
    video.onloadedmetadata = play;
    video.onresize = () => {
      tile.dataset.picture = video.videoWidth > 0 ? 'on' : 'off';
    };
    play();

    const enlarge = within(tile, '.enlarge');
    enlarge.setAttribute('aria-label', text.enlarge);
    enlarge.title = text.enlarge;
    enlarge.hidden = !document.fullscreenEnabled;
    enlarge.onclick = () => void (document.fullscreenElement ? document.exitFullscreen() : tile.requestFullscreen()).catch(() => {});
    const drop = within(tile, '.drop');
    drop.setAttribute('aria-label', hangUpOn(call.peer.name));
    drop.title = hangUpOn(call.peer.name);
    drop.onclick = () => this.#events.onHangUp(call);

    within(tile, '.trust').onclick = () => this.#events.onTrust(call);
    element('tiles').append(tile);
    this.#tiles.set(call, tile);
    return tile;
  }

  /**
   * @param {HTMLElement} tile
   * @param {import('./call.js').Call} call
   */
  #update(tile, call) {
    tile.dataset.state = call.state;
    tile.dataset.camera = call.remote?.camera === false ? 'off' : 'on';
    within(tile, '.doing').textContent = call.state === 'connected' ? duration(call) : states[call.state];
    const mark = within(tile, '.trust');
    mark.hidden = call.state !== 'connected' && call.state !== 'reconnecting';
    mark.dataset.verified = String(call.verified);
    setIcon(mark, call.verified ? 'i-verified' : 'i-unverified');
    within(mark, '.word').textContent = call.verified ? trust.is : trust.isNot;
    const extra = [];
    if (call.state === 'connected' && call.remote?.microphone === false) extra.push(hints.remoteMuted);
    if (call.state === 'connected' && call.remote?.camera === false && call.peer.kind !== 'device') extra.push(hints.cameraOff);
    const [sees, talks] = [this.#events.may('view', call.peer), this.#events.may('talk', call.peer)];
    if (!sees) extra.push(hints.mayTalkOnly(call.peer.name));
    else if (call.withoutPicture) extra.push(hasH264() ? hints.noPicture(call.peer.name) : hints.soundOnly(call.peer.name));
    if (!talks) extra.push(hints.mayNotTalk(call.peer.name));
    if (call.declinedVideo) extra.push(call.peer.kind === 'device' ? hints.noScreen : hints.takesNoVideo(call.peer.name));
    within(tile, '.extra').textContent = extra.join(' · ');
  }

  #tick() {
    for (const [call, tile] of this.#tiles) {
      if (call.state === 'connected') within(tile, '.doing').textContent = duration(call);
    }
  }

  /** @param {'lobby' | 'stage'} view */
  #view(view) {
    document.documentElement.dataset.view = view;
  }
}

/**
 * @param {string} id
 * @param {'on' | 'off' | 'none'} on
 * @param {string} icon
 * @param {string} words
 */
function setButton(id, on, icon, words) {
  const button = element(id);
  button.dataset.on = on;
  setIcon(button, icon);
  within(button, '.word').textContent = words;
}

/** @param {import('./call.js').Call} call */
function duration(call) {
  const seconds = Math.floor((performance.now() - (call.since ?? performance.now())) / 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
