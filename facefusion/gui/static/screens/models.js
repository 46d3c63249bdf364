/** The models: licence, state and source; fetch and verify. */

import { request } from '../api.js';
import { on } from '../events.js';
import { el } from '../elements/dom.js';
import { asWords, counted, formatBytes } from '../elements/format.js';
import { icon } from '../elements/icon.js';
import { ModelRow } from '../elements/model-row.js';
import { errorBox, showError, showNote } from '../elements/notice.js';

/** @typedef {import('../elements/model-row.js').Model} Model */
/** @typedef {import('../elements/model-row.js').Fetching} Fetching */

/** @type {Record<string, {text: string, test: (model: Model) => boolean}>} */
const FILTERS = {
  all: { text: 'All models', test: () => true },
  present: { text: 'On this machine', test: (model) => model.state === 'present' },
  missing: { text: 'Not on this machine', test: (model) => model.state === 'missing' },
  damaged: { text: 'Damaged', test: (model) => model.state === 'damaged' },
  commercial: { text: 'For commercial use', test: (model) => model.commercial },
};
const COLUMNS = ['Model', 'Task', 'Licence', 'Size', 'Source', 'State'];

class ModelsScreen extends HTMLElement {
  constructor() {
    super();
    /** @type {Map<string, Model>} */
    this.models = new Map();
    /** @type {Map<string, ModelRow>} */
    this.rows = new Map();
    /** @type {Map<string, Fetching>} */
    this.fetching = new Map();
    /** @type {Map<string, import('../types.js').ErrorRecord>} */
    this.problems = new Map();
    /** @type {Set<string>} models whose files were compared with their digests since the page was opened */
    this.verified = new Set();
    this.isOffline = false;
    this.search = el('input', { type: 'search', placeholder: 'Search by name, licence or maker', 'aria-label': 'Search models' });
    this.task = el('select', { 'aria-label': 'Task' }, el('option', { value: '', text: 'All tasks' }));
    const filters = Object.entries(FILTERS).map(([value, { text }]) => el('option', { value, text }));
    this.filter = el('select', { 'aria-label': 'Models shown' }, ...filters);
    this.count = el('p', { class: 'muted', role: 'status' });
    this.offline = el('div', { class: 'message warn', hidden: true }, icon('warn'), offlineText());
    this.body = el('tbody');
    this.none = el('div', { class: 'empty', hidden: true }, icon('search'), el('p', { text: 'No model fits. Clear the search, or choose other filters.' }));
    this.all = el('button', { type: 'button', class: 'button' }, icon('shield'), 'Verify all');
  }

  connectedCallback() {
    if (this.firstChild) return;
    this.className = 'screen';
    const intro = el('p', { text: 'The networks that the processors use. A missing model is fetched when a job first needs it, or here.' });
    const head = el('tr', {}, ...COLUMNS.map((text) => el('th', { text, scope: 'col', class: text === 'Size' ? 'number' : '' })), el('th', { scope: 'col' }, el('span', { class: 'unseen', text: 'Actions' })));
    this.append(
      el('header', {}, el('div', {}, el('h1', { text: 'Models' }), intro), this.all),
      this.offline,
      el('div', { class: 'model-filters' }, this.search, this.task, this.filter, this.count),
      el('div', { class: 'card model-table' }, el('table', { class: 'table' }, el('thead', {}, head), this.body), this.none),
    );
    this.search.addEventListener('input', () => this.refilter());
    this.task.addEventListener('change', () => this.refilter());
    this.filter.addEventListener('change', () => this.refilter());
    this.all.addEventListener('click', () => this.verify());
    on('model', (event) => this.hear(event));
  }

  opened() {
    this.load();
  }

  async load() {
    try {
      const { models, offline } = await request('GET', 'models');
      this.show(models, Boolean(offline));
    } catch (error) {
      this.count.replaceChildren(errorBox(error));
    }
  }

  /**
   * @param {Model[]} models
   * @param {boolean} isOffline
   */
  show(models, isOffline) {
    this.isOffline = isOffline;
    this.offline.hidden = !isOffline;
    this.models = new Map(models.map((model) => [model.id, model]));
    const tasks = [...new Set(models.map((model) => model.task))].sort();
    if (this.task.options.length !== tasks.length + 1) {
      this.task.replaceChildren(el('option', { value: '', text: 'All tasks' }), ...tasks.map((value) => el('option', { value, text: asWords(value) })));
    }
    const actions = { fetch: (/** @type {string} */ id) => this.fetch(id), verify: (/** @type {string} */ id) => this.verify(id) };
    for (const model of models) {
      if (!this.rows.has(model.id)) this.rows.set(model.id, new ModelRow(model, actions));
      this.refresh(model.id);
    }
    this.body.replaceChildren(...models.map((model) => /** @type {ModelRow} */ (this.rows.get(model.id)).element));
    this.refilter();
  }

  /** @param {string} id */
  refresh(id) {
    const model = this.models.get(id);
    const facts = { isOffline: this.isOffline, fetching: this.fetching.get(id), problem: this.problems.get(id), isVerified: this.verified.has(id) };
    if (model) this.rows.get(id)?.show(model, facts);
  }

  refilter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const test = FILTERS[this.filter.value]?.test ?? (() => true);
    let [shown, present, bytes] = [0, 0, 0];
    for (const model of this.models.values()) {
      const text = `${model.id} ${model.task} ${model.licence} ${model.vendor} ${model.source} ${model.summary ?? ''}`.toLowerCase();
      const isShown = test(model) && (!this.task.value || model.task === this.task.value) && words.every((word) => text.includes(word));
      const row = this.rows.get(model.id);
      if (row) row.element.hidden = !isShown;
      shown += Number(isShown);
      present += Number(isShown && model.state === 'present');
      bytes += isShown && model.state === 'present' ? (model.size ?? 0) : 0;
    }
    this.none.hidden = shown > 0 || this.models.size === 0;
    this.count.textContent = `${counted(shown, 'model')}, ${present} on this machine (${formatBytes(bytes)})`;
  }

  /** @param {{id: string, state: Model['state'], done: number, total: number | null, error: any}} event */
  hear({ id, state, done, total, error }) {
    const model = this.models.get(id);
    if (!model) return;
    if (state === 'fetching') this.fetching.set(id, { done, total });
    else this.fetching.delete(id);
    if (state !== 'fetching') model.state = state;
    if (state === 'present' && !error) this.verified.add(id);
    if (error) this.problems.set(id, error);
    else this.problems.delete(id);
    this.refresh(id);
    this.refilter();
  }

  /** @param {string} id */
  async fetch(id) {
    this.fetching.set(id, { done: 0, total: null });
    this.problems.delete(id);
    this.refresh(id);
    try {
      await request('POST', `models/${encodeURIComponent(id)}/fetch`, {});
    } catch (error) {
      this.fetching.delete(id);
      this.refresh(id);
      showError(error);
    }
  }

  /** @param {string} [id] one model, or all that are on this machine */
  async verify(id) {
    if (id) this.verified.delete(id);
    else this.verified.clear();
    for (const model of this.models.keys()) this.refresh(model);
    try {
      await request('POST', 'models/verify', id ? { ids: [id] } : {});
      showNote(id ? `${id} is being compared with its digest.` : 'All files are being compared with their digests.');
    } catch (error) {
      showError(error);
    }
  }
}

function offlineText() {
  return el('p', { text: 'This machine works offline: no model can be fetched. Copy them from another machine with “models export” and “models import”.' });
}

customElements.define('ff-models', ModelsScreen);
