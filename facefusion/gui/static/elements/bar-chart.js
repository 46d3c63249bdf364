/** A chart of horizontal bars as SVG; its numbers belong into a table beside it. */

import { el } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
const ROW = 38;
const BAR_TOP = 20;

/** @typedef {{name: string, value: number, before?: number | null}} Bar */

/**
 * Return a chart. With a value of `before`, a thin bar of an earlier measurement is below the other.
 * @param {{title: string, unit: string, bars: Bar[]}} facts
 * @returns {HTMLElement}
 */
export function barChart({ title, unit, bars }) {
  const most = Math.max(...bars.flatMap(({ value, before }) => [value, before ?? 0]), 1e-9);
  const names = bars.map(({ name, value }) => `${name} ${valueText(value)}`);
  const svg = node('svg', { class: 'chart', width: '100%', height: bars.length * ROW, role: 'img', 'aria-label': `${title}, ${unit}: ${names.join(', ')}` });
  bars.forEach(({ name, value, before }, at) => {
    const top = at * ROW;
    const label = node('text', { x: 0, y: top + 14 });
    label.textContent = name;
    const number = node('text', { x: '100%', y: top + 14, 'text-anchor': 'end', class: 'chart-value' });
    number.textContent = typeof before === 'number' ? `${valueText(before)} → ${valueText(value)}` : valueText(value);
    const width = (/** @type {number} */ of) => `${Math.max(0.2, (of / most) * 100).toFixed(2)}%`;
    svg.append(label, number, node('rect', { x: 0, y: top + BAR_TOP, width: '100%', height: 9, rx: 3, class: 'chart-track' }));
    svg.append(node('rect', { x: 0, y: top + BAR_TOP, width: width(value), height: 9, rx: 3, class: 'chart-bar' }));
    if (typeof before === 'number') {
      svg.append(node('rect', { x: 0, y: top + BAR_TOP + 10, width: width(before), height: 4, rx: 2, class: 'chart-before' }));
    }
  });
  return el('figure', {}, el('figcaption', { class: 'muted small-text', text: `${title} (${unit})` }), svg);
}

/** @param {number} value */
const valueText = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

/**
 * @param {string} tag
 * @param {Record<string, string | number>} facts
 */
function node(tag, facts) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(facts)) made.setAttribute(name, String(value));
  return made;
}
