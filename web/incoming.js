/** The screen that rings: who calls, and whether to answer. */

import { flash } from './notices.js';
import { element, showAvatar } from './page.js';
import { incomingFrom, states } from './text.js';

/**
 * @typedef {object} IncomingEvents
 * @property {(call: import('./call.js').Call, camera: boolean) => void} onAnswer
 * @property {(call: import('./call.js').Call) => void} onDecline
 */

export class Incoming {
  /** @type {import('./call.js').Call | null} */
  #call = null;

  /** @param {IncomingEvents} events */
  constructor(events) {
    element('answer').onclick = () => this.#call && events.onAnswer(this.#call, false);
    element('answer-camera').onclick = () => this.#call && events.onAnswer(this.#call, true);
    element('decline').onclick = () => this.#call && events.onDecline(this.#call);
    element('incoming').oncancel = (event) => {
      event.preventDefault();
      if (this.#call) events.onDecline(this.#call);
    };
  }

  /**
   * Shows this call; null hides the screen.
   * @param {import('./call.js').Call | null} call
   */
  show(call) {
    if (call === this.#call) return;
    this.#call = call;
    const dialog = /** @type {HTMLDialogElement} */ (element('incoming'));
    flash(null);
    if (!call) return dialog.close();

    const { peer } = call;
    dialog.dataset.peer = peer.userId;
    const avatar = element('incoming-avatar');
    avatar.className = 'avatar large';
    showAvatar(avatar, peer);
    element('incoming-name').textContent = peer.name;
    element('incoming-state').textContent = states.incoming;
    element('answer-camera').hidden = !call.takesVideo;
    if (!dialog.open) dialog.showModal();
    element('answer').focus();

    flash(incomingFrom(peer.name));
  }
}
