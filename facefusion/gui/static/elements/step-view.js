/** A step of a job: what it does, with which settings, and how it went. */

import { address } from '../api.js';
import { el } from './dom.js';
import { asWords, fileName, formatSeconds } from './format.js';
import { icon } from './icon.js';
import { reportView } from './job-report.js';
import { recordBox } from './record-box.js';

/** @typedef {import('../types.js').Option} Option */
/** @typedef {Record<string, any>} Step */

/** Settings that the head of a step shows already. */
const SHOWN_ABOVE = new Set(['processors', 'source_paths', 'target_path', 'output_path']);
const THUMB_WIDTH = 240;

/**
 * Return a step as a card.
 * @param {Step} step
 * @param {number} index
 * @param {Map<string, Option>} options by key, for the defaults; may be empty
 */
export function stepView(step, index, options) {
  const { args, status, seconds, error, report } = step;
  const state = el('span', { class: `badge ${toneOf(status)}`, text: status });
  const time = seconds ? el('span', { class: 'muted', text: formatSeconds(seconds) }) : null;
  return el(
    'li',
    { class: 'card stack step' },
    el('div', { class: 'row between' }, el('h3', { text: `Step ${index + 1}` }), el('div', { class: 'row' }, time, state)),
    chain(args.processors ?? []),
    files(args),
    error ? recordBox(error) : null,
    report ? reportView(report) : null,
    settings(args, options),
  );
}

/** @param {string} status */
function toneOf(status) {
  const tones = { completed: 'good', failed: 'bad', started: 'info', queued: 'info' };
  return tones[/** @type {keyof typeof tones} */ (status)] ?? '';
}

/** @param {string[]} processors */
function chain(processors) {
  const items = processors.map((name) => el('li', { class: 'badge', text: asWords(name) }));
  return el('ol', { class: 'row chain', 'aria-label': 'Processors, in order' }, ...items);
}

/** @param {Record<string, any>} args */
function files(args) {
  const sources = (args.source_paths ?? []).map((/** @type {string} */ path) => file('Source', path));
  const target = args.target_path ? [file('Target', args.target_path)] : [];
  const output = args.output_path ? [file('Output', args.output_path, false)] : [];
  return el('ul', { class: 'step-files' }, ...sources, ...target, ...output);
}

/**
 * @param {string} role
 * @param {string} path
 * @param {boolean} [hasPicture]
 */
function file(role, path, hasPicture = true) {
  const image = el('img', { alt: '', loading: 'lazy', width: 64, height: 44 });
  image.addEventListener('error', () => (image.hidden = true));
  if (hasPicture) image.src = address('media/frame', { path, number: 0, width: THUMB_WIDTH, optional: 1 });
  else image.hidden = true;
  return el(
    'li',
    {},
    el('div', { class: 'job-thumb' }, icon(hasPicture ? 'image' : 'folder'), image),
    el('div', { class: 'job-words' }, el('span', { class: 'muted small-text', text: role }), el('span', { text: fileName(path), title: path })),
  );
}

/**
 * @param {Record<string, any>} args
 * @param {Map<string, Option>} options
 */
function settings(args, options) {
  const all = Object.entries(args).filter(([key]) => !SHOWN_ABOVE.has(key));
  const changed = all.filter(([key, value]) => {
    const option = options.get(key);
    return option ? !isSame(value, option.default) : isSet(value);
  });
  const [text, rows] = options.size > 0 ? [`${changed.length} settings differ from the defaults`, changed] : ['Settings', all];
  return el(
    'details',
    { class: 'settings' },
    el('summary', { text }),
    table(rows),
    rows === all || all.length === changed.length
      ? null
      : el('details', {}, el('summary', { text: `All ${all.length} settings` }), table(all)),
  );
}

/** @param {[string, any][]} rows */
function table(rows) {
  if (rows.length === 0) return el('p', { class: 'muted', text: 'Every setting has its default.' });
  const items = rows.map(([key, value]) => el('div', {}, el('dt', { text: asWords(key) }), el('dd', { text: valueText(value) })));
  return el('dl', { class: 'facts' }, ...items);
}

/** Return a value of an option as text. @param {any} value */
export function valueText(value) {
  if (!isSet(value)) return 'not set';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** @param {any} value */
const isSet = (value) => value !== null && value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0);

/**
 * @param {any} one
 * @param {any} other
 */
const isSame = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null) || (!isSet(one) && !isSet(other));
