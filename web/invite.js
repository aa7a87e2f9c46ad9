/** Inviting somebody: who, as what, for how long; then the code to show, and the link to send. */

import { invite, Refused } from './access.js';
import { element, within } from './page.js';
import { household, rightNames, roles } from './text.js';

/** @type {import('./access.js').Role[]} */
const ROLES = ['member', 'guest', 'owner'];
/** Those that an owner may give a guest. @type {import('./access.js').Right[]} */
const RIGHTS = ['view', 'talk', 'ring', 'open'];
/** What a guest usually may. @type {import('./access.js').Right[]} */
const USUAL = ['view', 'talk'];

export class Inviting {
  #dialog = /** @type {HTMLDialogElement} */ (element('inviting'));
  #form = /** @type {HTMLFormElement} */ (element('invite-form'));
  #devices;
  #onInvited;
  /** Whether somebody known gets another browser in, so that nothing about them changes. */
  #known = false;

  /**
   * @param {object} surroundings
   * @param {() => import('./protocol.js').Peer[]} surroundings.devices those that are on line
   * @param {() => void} surroundings.onInvited
   */
  constructor({ devices, onInvited }) {
    this.#devices = devices;
    this.#onInvited = onInvited;
    const role = this.#field('role');
    role.replaceChildren(...ROLES.map((each) => new Option(roles[each], each)));
    role.onchange = () => this.#showGuest();
    this.#choices('invite-rights', RIGHTS.map((right) => [right, rightNames[right], USUAL.includes(right)]));
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      void this.#send();
    };
    for (const id of ['inviting-close', 'invite-done']) element(id).onclick = () => this.close();
    element('invite-copy').onclick = () => void this.#copy();
    element('invite-share').hidden = !navigator.share;
    element('invite-share').onclick = () => void navigator.share({ title: document.title, url: this.#link }).catch(() => {});
  }

  /** @param {string} name of somebody known, or none */
  open(name) {
    this.#form.reset();
    this.#known = name !== '';
    this.#field('invited').value = name;
    this.#field('invited').readOnly = this.#known;
    element('invite-as').hidden = this.#known;
    element('invite-error').textContent = '';
    this.#choices('invite-devices', this.#devices().map((device) => [device.userId, device.name, false]));
    this.#showGuest();
    this.#form.hidden = false;
    element('invite-code').hidden = true;
    this.#dialog.showModal();
    if (!this.#known) this.#field('invited').focus();
    else void this.#send();
  }

  /** Shows no link any more. */
  close() {
    this.#dialog.close();
    /** @type {HTMLInputElement} */ (element('invite-link')).value = '';
    within(element('invite-qr'), 'path').removeAttribute('d');
  }

  get #link() {
    return /** @type {HTMLInputElement} */ (element('invite-link')).value;
  }

  #showGuest() {
    element('invite-guest').hidden = this.#field('role').value !== 'guest';
  }

  async #send() {
    const name = this.#field('invited').value.trim();
    if (!name) return this.#field('invited').focus();
    try {
      this.#show(await invite(this.#known ? { name } : { name, ...this.#wanted() }));
      this.#onInvited();
    } catch (error) {
      element('invite-error').textContent = error instanceof Refused && error.message ? error.message : household.failed;
    }
  }

  #wanted() {
    const role = this.#field('role').value;
    if (role !== 'guest') return { role };
    const [from, until] = [seconds(this.#field('from').value), seconds(this.#field('until').value)];
    const devices = this.#chosen('invite-devices');
    return { role, rights: this.#chosen('invite-rights'), from, until, ...(devices.length > 0 ? { devices } : {}) };
  }

  /** @param {import('./access.js').Invited} invited */
  #show({ name, link, qr }) {
    this.#form.hidden = true;
    element('invite-code').hidden = false;
    element('invite-for').textContent = household.showTo(name);
    /** @type {HTMLInputElement} */ (element('invite-link')).value = link;
    const code = element('invite-qr');
    code.toggleAttribute('hidden', qr === null);
    if (qr) {
      code.setAttribute('viewBox', `0 0 ${qr.width} ${qr.width}`);
      code.setAttribute('aria-label', household.codeFor(name));
      within(code, 'path').setAttribute('d', qr.path);
    }
    element('invite-copied').textContent = '';
    element('invite-done').focus();
  }

  async #copy() {
    const field = /** @type {HTMLInputElement} */ (element('invite-link'));
    field.select();
    const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
    element('invite-copied').textContent = copied ? household.copied : household.copyYourself;
  }

  /**
   * Boxes to tick.
   * @param {string} id
   * @param {[string, string, boolean][]} choices value, words, and whether it is ticked
   */
  #choices(id, choices) {
    const boxes = choices.map(([value, words, ticked]) => {
      const label = document.createElement('label');
      const box = document.createElement('input');
      box.type = 'checkbox';
      box.value = value;
      box.defaultChecked = ticked;
      label.append(box, words);
      return label;
    });
    within(element(id), '.boxes').replaceChildren(...boxes);
    element(id).hidden = boxes.length === 0;
  }

  /** @param {string} id */
  #chosen(id) {
    const boxes = /** @type {NodeListOf<HTMLInputElement>} */ (element(id).querySelectorAll('input:checked'));
    return [...boxes].map((box) => box.value);
  }

  /**
   * @param {string} name
   * @returns {any}
   */
  #field(name) {
    return this.#form.elements.namedItem(name);
  }
}

/** @param {string} local as an `input` of type `datetime-local` has it */
function seconds(local) {
  const time = new Date(local).getTime();
  return Number.isNaN(time) ? null : Math.floor(time / 1000);
}
