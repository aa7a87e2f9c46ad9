/** What a stranger sees: that an invitation is needed, and nothing else. */

import { invitationIn, redeem, Refused, takeInvitation, whoAmI } from './access.js';
import { makeKeys } from './identity.js';
import { element } from './page.js';
import { gate, text } from './text.js';

export class Gate {
  #onEnter;

  /** @param {(standing: import('./access.js').Standing | null) => void} onEnter whoever is let in; null: everybody is */
  constructor(onEnter) {
    this.#onEnter = onEnter;
    const link = /** @type {HTMLInputElement} */ (element('invitation'));
    element('enter').onsubmit = (event) => {
      event.preventDefault();
      const invitation = invitationIn(link.value) ?? { secret: link.value.trim(), site: null };
      if (invitation.secret) void this.#show(invitation);
      else link.focus();
    };
    // A link that is opened while the page is there only changes what stands behind the `#`.
    addEventListener('hashchange', () => {
      const invitation = takeInvitation();
      if (invitation !== null) void this.#show(invitation);
    });
  }

  /** Finds out who we are, with the invitation in the address where there is one. */
  async open() {
    const invitation = takeInvitation();
    if (invitation !== null) return this.#show(invitation);
    try {
      this.#enter(await whoAmI());
    } catch (error) {
      this.shut(error instanceof Refused ? error : null);
    }
  }

  /**
   * Nobody comes in, or not any more.
   * @param {Refused | null} why
   */
  shut(why) {
    document.documentElement.dataset.view = 'gate';
    element('gate').hidden = false;
    element('me').hidden = true;
    element('gate-error').textContent = why && why.code !== 'unauthorized' ? gate.refused(why) : '';
    element('gate-title').focus();
  }

  /** @param {import('./access.js').InvitationLink} invitation */
  async #show({ secret, site }) {
    element('gate-error').textContent = text.entering;
    try {
      // Somebody who is in is not to become another because of a link that somebody sent.
      const known = await whoAmI().catch(() => null);
      if (known && !confirm(gate.instead(known.name))) return this.#enter(known);
      const keys = await makeKeys(site);
      const undo = await keys?.keep().catch((error) => console.warn('callbox: this browser keeps no keys:', error));
      const standing = await redeem(secret, undo ? keys?.key : undefined).catch(async (error) => {
        await undo?.();
        throw error;
      });
      this.#enter(standing);
    } catch (error) {
      // Whoever is in already opens the link again, from the chat it came in.
      const standing = await whoAmI().catch(() => undefined);
      if (standing !== undefined) return this.#enter(standing);
      this.shut(error instanceof Refused ? error : null);
    }
  }

  /** @param {import('./access.js').Standing | null} standing */
  #enter(standing) {
    element('gate').hidden = true;
    element('gate-error').textContent = '';
    /** @type {HTMLInputElement} */ (element('invitation')).value = '';
    this.#onEnter(standing);
  }
}
