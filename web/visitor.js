/** The screen for somebody at a door: who is there, live and silent, and whether to answer. */

import { flash } from './notices.js';
import { element, showAvatar } from './page.js';
import { visitor } from './text.js';

/**
 * @typedef {object} VisitorEvents
 * @property {(ring: import('./visits.js').Ring) => void} onAnswer
 * @property {(ring: import('./visits.js').Ring) => void} onDecline
 */

export class Visitor {
  /** @type {import('./visits.js').Ring | null} */
  #ring = null;
  #dialog = /** @type {HTMLDialogElement} */ (element('visitor'));
  #video = /** @type {HTMLVideoElement} */ (element('visitor-picture'));

  /** @param {VisitorEvents} events */
  constructor(events) {
    element('visitor-answer').onclick = () => this.#ring && events.onAnswer(this.#ring);
    element('visitor-decline').onclick = () => this.#ring && events.onDecline(this.#ring);
    this.#dialog.oncancel = (event) => {
      event.preventDefault();
      if (this.#ring) events.onDecline(this.#ring);
    };
    this.#video.onresize = () => (this.#dialog.dataset.picture = this.#video.videoWidth > 0 ? 'on' : 'off');
  }

  /**
   * Shows this visit; null hides the screen.
   * @param {import('./visits.js').Ring | null} ring
   * @param {{ looks: MediaStream | null, talks: boolean, sees: boolean }} how what we see of it, and what we may do
   */
  show(ring, { looks, talks, sees }) {
    if (this.#video.srcObject !== looks) this.#video.srcObject = looks;
    if (ring === this.#ring) return;
    this.#ring = ring;
    flash(ring && visitor.at(ring.device.name));
    if (!ring) return this.#dialog.close();
    this.#dialog.dataset.peer = ring.device.userId;
    this.#dialog.dataset.picture = 'off';
    const avatar = element('visitor-avatar');
    avatar.className = 'avatar large';
    showAvatar(avatar, ring.device);
    element('visitor-title').textContent = visitor.at(ring.device.name);
    element('visitor-bell').textContent = ring.bell === ring.device.name ? '' : ring.bell;
    element('visitor-hint').textContent = talks ? (sees ? visitor.silent : '') : visitor.mayNotTalk;
    element('visitor-answer').hidden = !talks;
    if (!this.#dialog.open) this.#dialog.showModal();
    element(talks ? 'visitor-answer' : 'visitor-decline').focus();
  }
}
