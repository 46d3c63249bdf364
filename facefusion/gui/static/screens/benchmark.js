/** The benchmark: choose, run in a process of its own, read the report, compare it with an earlier one. */

import { address, request } from '../api.js';
import { on } from '../events.js';
import '../elements/benchmark-form.js';
import { reportView } from '../elements/benchmark-report.js';
import { formatMoment } from '../elements/dates.js';
import { el, newId } from '../elements/dom.js';
import { icon } from '../elements/icon.js';
import { recordBox } from '../elements/record-box.js';
import { progressText, shareDone } from '../elements/job-words.js';
import { errorBox, showError, showNote } from '../elements/notice.js';

/**
 * @typedef {{is_running: boolean, name: string | null, done: number, total: number | null, rate: number | null,
 *   seconds_left: number | null, detail: string, error: import('../types.js').ErrorRecord | null}} BenchmarkState
 */
/** @typedef {{name: string, date: string, machine: string}} Entry */

class BenchmarkScreen extends HTMLElement {
  constructor() {
    super();
    this.isRunning = false;
    this.problem = el('div');
    /** @type {Entry[]} */
    this.reports = [];
    this.bar = el('progress', { max: 1, 'aria-label': 'Progress of the benchmark' });
    this.rate = el('p', { class: 'muted', role: 'status' });
    this.running = el('div', { class: 'card stack', hidden: true }, el('h2', { text: 'The benchmark runs' }), this.bar, this.rate);
    this.report = picker('Report');
    this.earlier = picker('Compare with');
    this.download = el('a', { class: 'button', download: 'benchmark.json' }, icon('download'), 'JSON');
    this.choice = el('div', { class: 'report-choice' }, this.report.field, this.earlier.field, this.download);
    this.view = el('div');
    this.form = document.createElement('ff-benchmark-form');
  }

  connectedCallback() {
    if (this.firstChild) return;
    this.className = 'screen';
    const intro = el('p', { text: 'Measure how fast this machine is, with clips that the program makes itself. Let no other job run meanwhile.' });
    this.append(
      el('header', {}, el('div', {}, el('h1', { text: 'Benchmark' }), intro)),
      el('div', { class: 'stack' }, this.form, this.running, this.problem, this.choice, this.view),
    );
    this.addEventListener('ff-start', (event) => this.start(/** @type {CustomEvent} */ (event).detail));
    this.report.select.addEventListener('change', () => this.show());
    this.earlier.select.addEventListener('change', () => this.show());
    on('benchmark', (state) => this.hear(state));
  }

  opened() {
    this.load();
  }

  async load() {
    try {
      const { reports, ...state } = await request('GET', 'benchmark');
      this.hear(state);
      this.list(reports);
    } catch (error) {
      this.view.replaceChildren(errorBox(error));
    }
  }

  /** @param {import('../types.js').Args} args */
  async start(args) {
    try {
      this.hear(await request('POST', 'benchmark', { args }));
      this.running.scrollIntoView({ block: 'nearest' });
    } catch (error) {
      showError(error);
    }
  }

  /** @param {BenchmarkState} state */
  hear(state) {
    const hasEnded = this.isRunning && !state.is_running;
    this.isRunning = state.is_running;
    this.running.hidden = !state.is_running;
    this.problem.replaceChildren(...(state.error && !state.is_running ? [recordBox(state.error)] : []));
    if (hasEnded) {
      if (!state.error) showNote('The benchmark is done.');
      this.report.select.value = '';
      this.load();
      return;
    }
    const progress = { stage: 'benchmark', ...state };
    const share = state.done > 0 ? shareDone(progress) : null;
    if (share === null) this.bar.removeAttribute('value');
    else this.bar.value = share;
    this.rate.textContent = state.done > 0 ? [state.detail, progressText(progress)].filter(Boolean).join(' · ') : 'The benchmark prepares its clips.';
  }

  /** @param {Entry[]} reports */
  list(reports) {
    this.reports = reports;
    this.choice.hidden = reports.length === 0;
    if (reports.length === 0) {
      this.view.replaceChildren(el('div', { class: 'empty card' }, icon('benchmark'), el('p', { text: 'No report yet. Choose processors and sizes above, then press Start.' })));
      return;
    }
    const options = () => reports.map(({ name, date, machine }) => el('option', { value: name, text: [formatMoment(date), machine].filter(Boolean).join(', ') }));
    fill(this.report.select, options());
    fill(this.earlier.select, [el('option', { value: '', text: 'nothing' }), ...options()]);
    this.show();
  }

  async show() {
    const name = this.report.select.value || this.reports[0]?.name || '';
    const earlier = this.earlier.select.value;
    this.download.href = address(`benchmark/reports/${encodeURIComponent(name)}`);
    try {
      const isCompared = earlier !== '' && earlier !== name;
      const [report, comparison] = await Promise.all([
        request('GET', `benchmark/reports/${encodeURIComponent(name)}`),
        isCompared ? request('GET', address('benchmark/compare', { old: earlier, new: name })) : null,
      ]);
      if (name === (this.report.select.value || name)) this.view.replaceChildren(reportView(report, comparison));
    } catch (error) {
      this.view.replaceChildren(errorBox(error));
    }
  }
}

/** @param {string} title */
function picker(title) {
  const id = newId('report');
  const select = el('select', { id });
  return { select, field: el('div', { class: 'field' }, el('label', { for: id, text: title }), select) };
}

/**
 * Fill a list of choices and keep the choice if it is still there.
 * @param {HTMLSelectElement} select
 * @param {HTMLOptionElement[]} options
 */
function fill(select, options) {
  const { value } = select;
  select.replaceChildren(...options);
  if (options.some((option) => option.value === value)) select.value = value;
}

customElements.define('ff-benchmark', BenchmarkScreen);
