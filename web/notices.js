/** What the page tells the person: notices that can be dismissed, the banner, and words for screen readers only. */

import { copy, element, within } from './page.js';
import { text } from './text.js';

/** How long a notice stays that asks nothing of the person, in milliseconds. */
const PASSING = 12_000;
/** Most notices at once; the oldest makes room. */
const MOST = 3;

/**
 * Shows a notice. One with the same code takes the place of an earlier one.
 * @param {string} code stable name of what happened
 * @param {string} words
 * @param {{ stays?: boolean }} [options] `stays`: until dismissed, since the person has something to do
 */
export function notify(code, words, { stays = false } = {}) {
  dismiss(code);
  const shelf = element('notices');
  const notice = copy('notice-template');
  notice.dataset.notice = code;
  within(notice, 'p').textContent = words;
  const close = within(notice, 'button');
  close.setAttribute('aria-label', text.dismiss);
  close.onclick = () => notice.remove();
  shelf.append(notice);
  while (shelf.children.length > MOST) shelf.firstElementChild?.remove();
  if (!stays) setTimeout(() => notice.remove(), PASSING);
}

/**
 * Takes back what is no longer true.
 * @param {string} code of one notice, or what the codes of several begin with
 */
export function dismiss(code) {
  for (const notice of element('notices').querySelectorAll(`[data-notice^="${CSS.escape(code)}"]`)) notice.remove();
}

/**
 * Shows or hides the line across the page that tells of the connection to the server.
 * @param {string | null} words
 */
export function showBanner(words) {
  const banner = element('banner');
  if (banner.textContent !== (words ?? '')) banner.textContent = words;
  banner.hidden = !words;
}

/** @type {number | undefined} */
let flashing;

/**
 * Lets the tab's title tell something, which is all that is seen of a page in the background; null: no more.
 * @param {string | null} words
 */
export function flash(words) {
  clearInterval(flashing);
  document.title = text.title;
  if (words === null) return;
  const titles = [words, text.title];
  let turn = 0;
  const next = () => (document.title = titles[turn++ % 2] ?? text.title);
  next();
  flashing = setInterval(next, 1000);
}

/**
 * Says something to people who do not see the page.
 * @param {string} words
 */
export function speak(words) {
  element('spoken').textContent = words;
}
