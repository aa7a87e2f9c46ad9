/** Choosing a name, seeing who is online, and calling somebody. */

import { hasH264 } from './codecs.js';
import { copy, element, showAvatar, within } from './page.js';
import { cleanId } from './protocol.js';
import { callPeer, callsYou, hints, inCall, joinedAs, knownAs, text } from './text.js';

/** Sorts names as people do. It is costly to make, and with thousands online each name is compared often. */
const collator = new Intl.Collator();

/**
 * @typedef {object} LobbyEvents
 * @property {(name: string) => void} onName the person chose a name
 * @property {(peer: import('./protocol.js').Peer) => void} onCall
 * @property {(peer: import('./protocol.js').Peer) => boolean} mayCall
 * @property {() => boolean} mayCallSomebody
 * @property {(userId: string) => void} onDial the person typed an ID
 */

export class Lobby {
  /** Who is online, by ID. @type {Map<string, import('./protocol.js').Peer>} */
  #peers = new Map();
  /** With whom there is a call. @type {string[]} */
  #engaged = [];
  /** Whether the server tells who is online. */
  #listing = false;
  /** Whether what has changed is shown with the next picture of the page. */
  #due = false;
  #events;

  /** @param {LobbyEvents} events */
  constructor(events) {
    this.#events = events;
    const [name, target] = [/** @type {HTMLInputElement} */ (element('name')), /** @type {HTMLInputElement} */ (element('target'))];
    element('join').onsubmit = (event) => {
      event.preventDefault();
      const chosen = cleanId(name.value);
      element('name-error').textContent = chosen ? '' : hints.noName;
      if (chosen) events.onName(chosen);
      else name.focus();
    };
    element('dial').onsubmit = (event) => {
      event.preventDefault();
      const typed = cleanId(target.value);
      this.showDialError(typed ? '' : hints.noId);
      if (typed) events.onDial(typed);
    };
    target.oninput = () => this.showDialError('');
    if (!isSecureContext) {
      element('insecure').textContent = hints.insecure;
      element('insecure').hidden = false;
    }
    this.#showAbilities();
    // Firefox gets its H.264 some time after its first start.
    for (const event of ['focus', 'pointerdown']) addEventListener(event, () => this.#showAbilities());
  }

  /**
   * Asks for a name.
   * @param {string} suggestion
   * @param {string} [problem] why the last one did not do
   */
  askName(suggestion, problem = '') {
    const name = /** @type {HTMLInputElement} */ (element('name'));
    name.value = suggestion;
    element('name-error').textContent = problem;
    document.documentElement.dataset.view = 'welcome';
    element('welcome').hidden = false;
    element('lobby').hidden = element('me').hidden = true;
    name.focus();
    name.select();
  }

  /**
   * @param {string} name our own
   * @param {{ known: boolean, keyless: boolean }} us whether the household gave it to us, and whether we lack a key of its
   */
  show(name, { known, keyless }) {
    if (document.documentElement.dataset.view !== 'stage') document.documentElement.dataset.view = 'lobby';
    element('welcome').hidden = true;
    element('lobby').hidden = element('me').hidden = false;
    element('my-name').textContent = name;
    element('me').setAttribute('aria-label', known ? knownAs(name) : joinedAs(name));
    element('me').dataset.known = String(known);
    element('no-key').textContent = hints.noKey;
    element('no-key').hidden = !keyless;
    element('dial').hidden = !this.#events.mayCallSomebody();
    this.#render();
  }

  /** Shows nothing of who is here. */
  hide() {
    this.setPeers(null);
    element('welcome').hidden = element('lobby').hidden = element('me').hidden = true;
  }

  /** The devices that are on line. */
  devices() {
    return [...this.#peers.values()].filter((peer) => peer.kind === 'device');
  }

  /** @param {string} words */
  showDialError(words) {
    element('target-error').textContent = words;
    element('target').setAttribute('aria-invalid', String(words !== ''));
    if (words) element('target').focus();
  }

  /** @param {string} userId */
  known(userId) {
    return this.#peers.get(userId);
  }

  /**
   * Takes the server's list of who is online; null from a server that tells nothing.
   * @param {import('./protocol.js').Peer[] | null} peers
   */
  setPeers(peers) {
    this.#listing = peers !== null;
    this.#peers = new Map(peers?.map((peer) => [peer.userId, peer]));
    this.#render();
  }

  /**
   * Takes what has changed since.
   * @param {import('./protocol.js').Peer[]} online who came, or has another name or kind
   * @param {string[]} offline who went
   */
  setPresence(online, offline) {
    for (const userId of offline) this.#peers.delete(userId);
    for (const peer of online) this.#peers.set(peer.userId, peer);
    // Many may come in one moment, and a page in the background shows nothing.
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      if (this.#due) this.#render();
    });
  }

  /**
   * Marks those with whom there is a call.
   * @param {string[]} userIds
   */
  setEngaged(userIds) {
    if (userIds.join('\n') === this.#engaged.join('\n')) return;
    this.#engaged = userIds;
    this.#render();
  }

  /** Says before the call that a device's picture cannot be shown. */
  #showAbilities() {
    element('no-h264').textContent = hints.noH264;
    element('no-h264').hidden = hasH264();
  }

  #render() {
    this.#due = false;
    const peers = [...this.#peers.values()].sort((a, b) => collator.compare(a.name, b.name));
    this.#renderGroup('device', peers.filter((peer) => peer.kind === 'device'));
    this.#renderGroup('people', peers.filter((peer) => peer.kind !== 'device'));
    element('nobody').hidden = peers.length > 0;
    element('nobody-text').textContent = this.#listing ? text.empty : text.unlisted;
    element('nobody-hint').textContent = this.#listing ? text.emptyHint : text.unlistedHint;
  }

  /**
   * Brings a list up to date without touching the rows that stay, so that nobody loses the focus.
   * @param {'device' | 'people'} group
   * @param {import('./protocol.js').Peer[]} peers
   */
  #renderGroup(group, peers) {
    const list = element(group === 'device' ? 'devices' : 'people');
    const children = /** @type {HTMLElement[]} */ ([...list.children]);
    const rows = new Map(children.map((row) => [row.dataset.peer, row]));
    let place = list.firstElementChild;
    for (const peer of peers) {
      let row = rows.get(peer.userId);
      rows.delete(peer.userId);
      const same = row && within(row, '.name').textContent === peer.name && row.dataset.calls === String(this.#events.mayCall(peer));
      if (!row || !same) {
        row?.remove();
        if (row === place) place = list.children[peers.indexOf(peer)] ?? null;
        row = this.#row(peer);
      }
      if (row === place) place = place.nextElementSibling;
      else list.insertBefore(row, place);
      const engaged = this.#engaged.includes(peer.userId);
      within(row, 'button').toggleAttribute('data-engaged', engaged);
      within(row, '.id').textContent = engaged ? inCall : row.dataset.calls === 'false' ? callsYou : peer.name === peer.userId ? '' : peer.userId;
    }
    for (const gone of rows.values()) gone.remove();
    element(`${group}-group`).hidden = peers.length === 0;
  }

  /** @param {import('./protocol.js').Peer} peer */
  #row(peer) {
    const row = copy('peer-template');
    row.dataset.peer = peer.userId;
    row.dataset.kind = peer.kind;
    const button = within(row, 'button');
    const calls = this.#events.mayCall(peer);
    row.dataset.calls = String(calls);
    /** @type {HTMLButtonElement} */ (button).disabled = !calls;
    within(row, '.go').hidden = !calls;
    if (calls) button.setAttribute('aria-label', callPeer(peer));
    button.onclick = () => this.#events.onCall(peer);
    showAvatar(within(row, '.avatar'), peer);
    within(row, '.name').textContent = peer.name;
    return row;
  }
}
