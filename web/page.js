/** What the parts of the page share: finding elements, filling in the fixed texts, avatars. */

import { language, text } from './text.js';

/**
 * The element of this ID, which index.html has.
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return /** @type {T} */ (/** @type {unknown} */ (found));
}

/**
 * The first element inside `parent` that matches.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} parent
 * @param {string} selector
 * @returns {T}
 */
export function within(parent, selector) {
  const found = parent.querySelector(selector);
  if (!found) throw new Error(`nothing matches ${selector}`);
  return /** @type {T} */ (found);
}

/**
 * A copy of a template's only element.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function copy(id) {
  const template = /** @type {HTMLTemplateElement} */ (element(id));
  return /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
}

/** Fills in the fixed texts. */
export function fillTexts() {
  document.documentElement.lang = language;
  document.title = text.title;
  /** @param {string | undefined} key */
  const say = (key) => text[/** @type {keyof typeof text} */ (key)];
  for (const each of all('[data-text]')) each.textContent = say(each.dataset.text);
  for (const each of all('[data-label]')) each.setAttribute('aria-label', say(each.dataset.label));
  for (const each of all('[data-placeholder]')) each.setAttribute('placeholder', say(each.dataset.placeholder));
}

/**
 * Makes an element show who somebody is: a device's symbol or a person's initial, in a colour of their own.
 * @param {Element} avatar
 * @param {import('./protocol.js').Peer} peer
 */
export function showAvatar(avatar, peer) {
  avatar.setAttribute('aria-hidden', 'true');
  let sum = 0;
  for (const character of peer.userId) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  avatar.classList.add(peer.kind === 'device' ? 'device' : `tint-${sum % 6}`);
  if (peer.kind === 'device') avatar.replaceChildren(symbol('i-device'));
  else avatar.textContent = ([...peer.name][0] ?? '?').toLocaleUpperCase();
}

/**
 * Sets which symbol an icon shows.
 * @param {Element} parent
 * @param {string} id
 */
export function setIcon(parent, id) {
  within(parent, 'use').setAttribute('href', `#${id}`);
}

/** @param {string} id */
function symbol(id) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  svg.setAttribute('class', 'icon');
  use.setAttribute('href', `#${id}`);
  svg.append(use);
  return svg;
}

/**
 * @param {string} selector
 * @returns {NodeListOf<HTMLElement>}
 */
function all(selector) {
  return document.querySelectorAll(selector);
}
