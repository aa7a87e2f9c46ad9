/** What nobody is to overlook: the other side of a call was not who it said. */

import { element } from './page.js';
import { trust } from './text.js';

export class Alarm {
  #dialog = /** @type {HTMLDialogElement} */ (element('alarm'));

  constructor() {
    element('alarm-close').onclick = () => this.#dialog.close();
    // It takes a decision to have it away.
    this.#dialog.oncancel = (event) => event.preventDefault();
  }

  /** @param {string} name whom the call was said to be with */
  open(name) {
    element('alarm-text').textContent = trust.alarm(name);
    if (!this.#dialog.open) this.#dialog.showModal();
  }
}
