/** Tables of text. */

import { el } from './dom.js';

/**
 * Return a table that scrolls sideways where it is too wide, also with the keyboard.
 * @param {{label: string, titles: string[], rows: string[][], numbers?: number[]}} facts the columns in `numbers` are
 *   aligned to the right
 */
export function textTable({ label, titles, rows, numbers = [] }) {
  const align = (/** @type {number} */ at) => (numbers.includes(at) ? 'number' : '');
  const head = el('tr', {}, ...titles.map((text, at) => el('th', { text, scope: 'col', class: align(at) })));
  const body = rows.map((row) => el('tr', {}, ...row.map((text, at) => el('td', { text, class: align(at) }))));
  const table = el('table', { class: 'table' }, el('thead', {}, head), el('tbody', {}, ...body));
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label }, table);
}
