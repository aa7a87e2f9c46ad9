/** Who we are here: what we may do, leaving for good, and the way to the household for its owners. */

import { leave } from './access.js';
import { element } from './page.js';
import { allowed, roles, time, until } from './text.js';

export class Account {
  /** @type {import('./access.js').Standing | null} */
  #standing = null;
  #dialog = /** @type {HTMLDialogElement} */ (element('account'));

  /** @param {{ onLeft: () => void, onHousehold: () => void }} events */
  constructor(events) {
    element('account-close').onclick = () => this.#dialog.close();
    element('account-household').onclick = () => {
      this.#dialog.close();
      events.onHousehold();
    };
    element('account-leave').onclick = async () => {
      await leave().catch(() => {});
      this.#dialog.close();
      events.onLeft();
    };
  }

  /** @param {import('./access.js').Standing | null} standing null where people only choose a name */
  use(standing) {
    this.#standing = standing;
  }

  get standing() {
    return this.#standing;
  }

  close() {
    this.#dialog.close();
  }

  open() {
    const standing = this.#standing;
    if (!standing) return;
    element('account-name').textContent = standing.name;
    element('account-role').textContent = roles[standing.role];
    element('account-rights').textContent = allowed(standing.role, standing.rights);
    element('account-until').textContent = standing.until === null ? '' : until(time(standing.until));
    element('account-household').hidden = standing.role !== 'owner';
    this.#dialog.showModal();
  }
}
