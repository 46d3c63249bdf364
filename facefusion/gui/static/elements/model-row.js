/** A model as a row of the table, which is updated in place. */

import { el } from './dom.js';
import { asWords, formatBytes } from './format.js';
import { icon } from './icon.js';
import { recordBox } from './record-box.js';

/** @typedef {import('../types.js').ErrorRecord} ErrorRecord */

/**
 * @typedef {{id: string, task: string, summary?: string, licence: string, commercial: boolean, size: number | null,
 *   state: 'present' | 'missing' | 'damaged' | 'fetching', vendor: string, year: number | null, source: string}} Model
 * @typedef {{done: number, total: number | null}} Fetching
 */

/** @type {Record<string, string>} */
const TONES = { present: 'good', missing: '', damaged: 'bad', fetching: 'info' };

export class ModelRow {
  /**
   * @param {Model} model
   * @param {{fetch: (id: string) => void, verify: (id: string) => void}} actions
   */
  constructor(model, actions) {
    this.id = model.id;
    this.state = el('span', { class: 'badge' });
    this.bar = el('progress', { max: 1, hidden: true, 'aria-label': `Progress of ${model.id}` });
    this.amount = el('span', { class: 'muted small-text' });
    this.problem = el('div', { class: 'model-problem' });
    this.fetch = el('button', { type: 'button', class: 'button small', 'aria-label': `Fetch ${model.id}` }, icon('download'), 'Fetch');
    this.verify = el('button', { type: 'button', class: 'button small quiet', 'aria-label': `Verify ${model.id}` }, icon('shield'), 'Verify');
    this.fetch.addEventListener('click', () => actions.fetch(model.id));
    this.verify.addEventListener('click', () => actions.verify(model.id));
    const maker = [model.vendor, model.year].filter(Boolean).join(', ');
    this.element = el(
      'tr',
      {},
      el('th', { scope: 'row' }, el('span', { class: 'model-id', text: model.id }), model.summary ? el('span', { class: 'muted small-text', text: model.summary }) : null),
      el('td', { text: asWords(model.task), 'data-title': 'Task' }),
      el('td', { 'data-title': 'Licence' }, `${model.licence} `, use(model.commercial)),
      el('td', { class: 'number', 'data-title': 'Size', text: model.size ? formatBytes(model.size) : 'unknown' }),
      el('td', { 'data-title': 'Source', class: 'model-source' }, maker ? el('span', { text: maker }) : null, el('span', { class: 'muted small-text', text: sourceText(model.source) })),
      el('td', { 'data-title': 'State', class: 'model-state' }, el('div', { class: 'row' }, this.state, this.amount), this.bar, this.problem),
      el('td', { class: 'model-actions' }, this.fetch, this.verify),
    );
  }

  /**
   * @param {Model} model
   * @param {{isOffline: boolean, fetching?: Fetching | undefined, problem?: ErrorRecord | undefined, isVerified?: boolean | undefined}} facts
   */
  show(model, { isOffline, fetching, problem, isVerified }) {
    const state = fetching ? 'fetching' : model.state;
    this.state.className = `badge ${TONES[state] ?? ''}`;
    this.state.textContent = isVerified && state === 'present' ? 'present, verified' : state;
    this.bar.hidden = !fetching;
    if (fetching?.total) this.bar.value = fetching.done / fetching.total;
    else this.bar.removeAttribute('value');
    this.amount.textContent = fetching?.total ? `${formatBytes(fetching.done)} of ${formatBytes(fetching.total)}` : '';
    this.problem.replaceChildren(...(problem ? [recordBox(problem)] : []));
    this.problem.hidden = !problem;
    this.fetch.hidden = state === 'present' || state === 'fetching';
    this.fetch.disabled = isOffline;
    this.verify.hidden = state === 'missing' || state === 'fetching';
  }
}

/** @param {boolean} isCommercial */
function use(isCommercial) {
  return el('span', { class: `badge ${isCommercial ? 'good' : 'warn'}`, text: isCommercial ? 'commercial use' : 'not for commercial use' });
}

/** Return the host of an address, or the name of a package. @param {string} source */
function sourceText(source) {
  try {
    return new URL(source).host;
  } catch {
    return source ?? '';
  }
}
