/** For owners: who is invited, with which browsers; taking access back. */

import { household as ask, Refused, rename, revoke } from './access.js';
import { copy, element, showAvatar, within } from './page.js';
import { allowed, household, roles, time, until } from './text.js';

export class Household {
  #dialog = /** @type {HTMLDialogElement} */ (element('household'));
  #onInvite;

  /** @param {(name: string) => void} onInvite somebody is to be invited; of that name, where one is given */
  constructor(onInvite) {
    this.#onInvite = onInvite;
    element('household-close').onclick = () => this.#dialog.close();
    element('household-invite').onclick = () => onInvite('');
  }

  async open() {
    if (!this.#dialog.open) this.#dialog.showModal();
    await this.refresh();
  }

  /** Shows nobody any more. */
  close() {
    this.#dialog.close();
    element('household-people').replaceChildren();
  }

  /** Shows what is, if it is looked at. */
  async refresh() {
    if (this.#dialog.open) await this.#attempt(async () => {});
  }

  /**
   * Changes something, then shows what is.
   * @param {() => Promise<unknown>} change
   */
  async #attempt(change) {
    let problem = '';
    try {
      await change();
    } catch (error) {
      problem = error instanceof Refused && error.message ? error.message : household.failed;
    }
    try {
      const { people, devices } = await ask();
      element('household-people').replaceChildren(...people.map((person) => this.#person(person)));
      // Only those are worth a word that somebody else would like to be.
      const troubled = devices.flatMap(({ userId, refused }) => (refused ? [household.impostor(userId, time(refused.last), refused.count)] : []));
      element('household-devices').textContent = troubled.join(' ');
    } catch {
      problem ||= household.failed;
    }
    element('household-error').textContent = problem;
  }

  /** @param {import('./access.js').Person} person */
  #person(person) {
    const row = copy('person-template');
    row.dataset.person = person.name;
    showAvatar(within(row, '.avatar'), { userId: person.name, name: person.name, kind: 'person' });
    within(row, '.name').textContent = person.name;
    const what = [person.program ? household.program : roles[person.role], allowed(person.role, person.rights)];
    if (person.from !== null && person.from * 1000 > Date.now()) what.push(household.from(time(person.from)));
    if (person.until !== null) what.push(until(time(person.until)));
    within(row, '.id').textContent = what.join(' · ');

    const list = within(row, '.sessions');
    for (const session of person.sessions) {
      const seen = session.own ? household.own : session.online ? household.online : household.seen(time(session.lastSeen));
      list.append(this.#line(session.label, seen, household.removeBrowser(session.label, person.name), session.id));
    }
    for (const invitation of person.invitations.filter((each) => each.usesLeft > 0)) {
      const words = invitation.expires === null ? '' : until(time(invitation.expires));
      list.append(this.#line(household.invitation, words, household.withdraw(person.name), invitation.id));
    }

    const [again, name, remove] = [within(row, '.again'), within(row, '.rename'), within(row, '.remove')];
    again.hidden = person.program;
    again.textContent = household.another;
    again.setAttribute('aria-label', household.anotherOf(person.name));
    /** @type {HTMLButtonElement} */ (again).onclick = () => this.#onInvite(person.name);
    name.textContent = household.rename;
    name.setAttribute('aria-label', household.renameOne(person.name));
    /** @type {HTMLButtonElement} */ (name).onclick = () => {
      const wanted = prompt(household.newName(person.name), person.name)?.trim();
      if (wanted && wanted !== person.name) void this.#attempt(() => rename(person.name, wanted));
    };
    remove.textContent = household.remove;
    remove.setAttribute('aria-label', household.removeOne(person.name));
    /** @type {HTMLButtonElement} */ (remove).onclick = () => {
      if (confirm(household.sure(person.name))) void this.#attempt(() => revoke(person.name));
    };
    return row;
  }

  /**
   * @param {string} what
   * @param {string} when
   * @param {string} action what the button beside it does
   * @param {string} id
   */
  #line(what, when, action, id) {
    const line = copy('session-template');
    line.dataset.id = id;
    within(line, '.what').textContent = what;
    within(line, '.when').textContent = when;
    const button = /** @type {HTMLButtonElement} */ (within(line, 'button'));
    button.setAttribute('aria-label', action);
    button.title = action;
    button.onclick = () => void this.#attempt(() => revoke(id));
    return line;
  }
}
