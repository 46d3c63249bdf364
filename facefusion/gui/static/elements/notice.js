/** Short messages in the corner of the page, which screen readers announce. */

import { ApiError, isAbort } from '../api.js';
import { el } from './dom.js';
import { asSentence } from './format.js';
import { icon } from './icon.js';

const NOTE_MS = 5000;

/** @returns {{notes: HTMLElement, errors: HTMLElement}} */
function places() {
  let corner = document.querySelector('.notices');
  if (!corner) {
    corner = el('div', { class: 'notices' }, el('div', { role: 'status' }), el('div', { role: 'alert' }));
    document.body.append(corner);
  }
  const [notes, errors] = /** @type {HTMLElement[]} */ ([...corner.children]);
  // A modal dialog hides the rest of the page, so the messages follow it.
  (document.querySelector('dialog[open]') ?? document.body).append(corner);
  return { notes: /** @type {HTMLElement} */ (notes), errors: /** @type {HTMLElement} */ (errors) };
}

/**
 * Return the parts of an error as elements: message, cause and hint.
 * @param {unknown} error
 * @returns {HTMLElement}
 */
export function errorBody(error) {
  const record =
    error instanceof ApiError
      ? error.record
      : { message: error instanceof Error ? error.message : String(error), cause: '', hint: '' };
  return el(
    'div',
    { class: 'error-body' },
    el('p', { class: 'error-message', text: sentence(record.message) }),
    record.cause ? el('p', { text: sentence(record.cause) }) : null,
    record.hint ? el('p', { class: 'error-hint', text: sentence(record.hint) }) : null,
  );
}

/**
 * Return an error as a box to show in place.
 * @param {unknown} error
 */
export const errorBox = (error) => el('div', { class: 'message bad', role: 'alert' }, icon('error'), errorBody(error));

/**
 * Show an error until it is closed. Stopped requests are no errors.
 * @param {unknown} error
 */
export function showError(error) {
  if (isAbort(error)) return;
  if (!(error instanceof ApiError)) console.error(error);
  const { errors } = places();
  const box = notice('bad', 'error', errorBody(error));
  const text = box.textContent;
  for (const earlier of [...errors.children]) if (earlier.textContent === text) earlier.remove();
  errors.append(box);
}

/**
 * Show a note for some seconds.
 * @param {string} text
 * @param {{href: string, text: string}} [link]
 */
export function showNote(text, link) {
  const body = el('p', {}, text, link ? ' ' : null, link ? el('a', { href: link.href, text: link.text }) : null);
  const box = notice('good', 'check', body);
  const { notes } = places();
  notes.append(box);
  let timer = setTimeout(() => box.remove(), NOTE_MS);
  box.addEventListener('pointerenter', () => clearTimeout(timer));
  box.addEventListener('focusin', () => clearTimeout(timer));
  box.addEventListener('pointerleave', () => (timer = setTimeout(() => box.remove(), NOTE_MS)));
}

/**
 * @param {string} tone
 * @param {string} picture
 * @param {HTMLElement} body
 */
function notice(tone, picture, body) {
  const box = el('div', { class: `message ${tone}` }, icon(picture), body);
  const close = el('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close the message' }, icon('close'));
  close.addEventListener('click', () => box.remove());
  box.append(close);
  return box;
}

/** @param {string} text */
function sentence(text) {
  const first = asSentence(text);
  return /[.!?:]$/.test(first) ? first : `${first}.`;
}
