/** One job with its steps, results, attempts and log: <ff-job-detail>. */

import { request } from '../api.js';
import { on } from '../events.js';
import { formatMoment, formatSpan } from './dates.js';
import { el } from './dom.js';
import { icon } from './icon.js';
import { actionButtons } from './job-actions.js';
import { progressText, shareDone, toneOf, workerText } from './job-words.js';
import { errorBox, showError } from './notice.js';
import { recordBox } from './record-box.js';
import { ResultView } from './result-view.js';
import { stepView } from './step-view.js';
import { textTable } from './table.js';

/** @typedef {import('../types.js').Option} Option */
/** @typedef {import('../types.js').JobSummary} JobSummary */

/** @type {Promise<Map<string, Option>> | null} */
let optionsByKey = null;

export class JobDetail extends HTMLElement {
  constructor() {
    super();
    this.jobId = '';
    this.jobState = '';
    /** @type {AbortController | null} */
    this.loading = null;
    this.bar = el('progress', { max: 1, 'aria-label': 'Progress' });
    this.rate = el('p', { class: 'muted', role: 'status' });
    on('job', (job) => this.hear(job));
    on('jobs', ({ jobs }) => jobs.forEach((/** @type {JobSummary} */ job) => this.hear(job)));
    on('gone', ({ id }) => id === this.jobId && this.isOpen() && location.assign('#/queue'));
  }

  isOpen() {
    return this.jobId !== '';
  }

  /** @param {string} id */
  open(id) {
    this.jobId = id;
    this.replaceChildren(el('p', { class: 'muted', text: 'Loading…' }));
    this.load();
  }

  /** Stop following the job, and its video. */
  close() {
    this.jobId = '';
    this.loading?.abort();
    this.replaceChildren();
  }

  async load() {
    this.loading?.abort();
    this.loading = new AbortController();
    const id = this.jobId;
    try {
      const [job, options] = await Promise.all([
        request('GET', `jobs/${encodeURIComponent(id)}`, undefined, { signal: this.loading.signal }),
        knownOptions(),
      ]);
      if (id === this.jobId) this.show(job, options);
    } catch (error) {
      if (id === this.jobId) this.showFailure(error);
    }
  }

  /** @param {unknown} error */
  showFailure(error) {
    if (error instanceof DOMException) return;
    const deletion = actionButtons('broken', () => ({ id: this.jobId, state: 'broken' }));
    this.replaceChildren(backLink(), el('h1', { text: this.jobId }), errorBox(error), el('div', { class: 'row' }, ...deletion));
  }

  /** @param {JobSummary} job a summary that has just changed */
  hear(job) {
    if (job.id !== this.jobId) return;
    if (job.state !== this.jobState) this.load();
    else if (job.state === 'running') this.showProgress(job);
  }

  /** @param {Pick<JobSummary, 'progress' | 'worker'>} job */
  showProgress({ progress, worker }) {
    const share = shareDone(progress);
    if (share === null) this.bar.removeAttribute('value');
    else this.bar.value = share;
    this.rate.textContent = worker?.dead ? 'Stopped' : progressText(progress);
  }

  /**
   * @param {Record<string, any>} job
   * @param {Map<string, Option>} options
   */
  show(job, options) {
    this.jobState = job.state;
    const state = el('span', { class: `badge ${toneOf(job.state)}`, text: job.state });
    const buttons = actionButtons(job.state, () => ({ id: job.id, state: job.state, steps: job.steps ?? [] }));
    const isOfStep = (job.steps ?? []).some((/** @type {any} */ step) => JSON.stringify(step.error) === JSON.stringify(job.error));
    const parts = [
      backLink(),
      el(
        'header',
        { class: 'job-header' },
        el('div', {}, el('h1', {}, job.id, ' ', state), el('p', { class: 'muted', text: datesText(job) })),
        el('div', { class: 'row' }, ...buttons),
      ),
    ];
    if (job.state === 'running') {
      parts.push(el('div', { class: 'card stack' }, this.bar, this.rate, el('p', { class: 'muted', text: workerText(job.worker) })));
      this.showProgress(/** @type {JobSummary} */ (job));
    }
    if (job.error && !isOfStep) parts.push(recordBox(job.error));
    if (job.outputs?.length) parts.push(section('Results', ...results(job)));
    parts.push(section('Steps', ...this.steps(job.steps ?? [], job.state === 'drafted', options)));
    if (job.attempts?.length) parts.push(section('Attempts', attempts(job.attempts)));
    parts.push(section('Log', this.log()));
    this.replaceChildren(...parts);
  }

  /**
   * A button that changes the steps of a drafted job.
   * @param {HTMLElement | string} label
   * @param {(path: string) => Promise<unknown>} change
   */
  stepButton(label, change) {
    const button = el('button', { type: 'button', class: 'button small' }, label);
    button.addEventListener('click', async () => {
      button.disabled = true;
      try {
        await change(`jobs/${encodeURIComponent(this.jobId)}/steps`);
      } catch (error) {
        showError(error);
      }
      this.load();
    });
    return button;
  }

  /** @param {any[]} records @param {boolean} isDraft @param {Map<string, Option>} options */
  steps(records, isDraft, options) {
    const items = records.map((record, at) => {
      const remove = isDraft ? this.stepButton(`Remove step ${at + 1}`, (path) => request('DELETE', `${path}/${at}`)) : null;
      const item = stepView(record, at, options);
      if (remove) item.append(el('div', { class: 'row' }, remove));
      return item;
    });
    const none = el('p', { class: 'muted', text: 'This job has no steps yet.' });
    const list = items.length ? el('ol', { class: 'stack' }, ...items) : none;
    if (!isDraft) return [list];
    const add = this.stepButton('Add the step of the Studio', async (path) => {
      const { args } = await request('GET', 'draft');
      await request('POST', path, { args });
    });
    return [list, el('div', { class: 'row' }, add)];
  }

  /** The log is fetched when it is opened. */
  log() {
    const lines = el('ol', { class: 'log', tabindex: 0, 'aria-label': 'Log' });
    const reload = el('button', { type: 'button', class: 'button quiet small' }, icon('reset'), 'Read again');
    const read = async () => {
      try {
        const reply = await request('GET', `jobs/${encodeURIComponent(this.jobId)}/log`);
        lines.replaceChildren(...logLines(reply));
      } catch (error) {
        showError(error);
      }
    };
    const details = el('details', { class: 'card' }, el('summary', { text: 'Messages of the run' }), reload, lines);
    details.addEventListener('toggle', () => details.open && read());
    reload.addEventListener('click', read);
    return details;
  }
}

/** @param {{lines: {time: string, level: string, text: string}[], more?: unknown}} reply */
function logLines({ lines, more }) {
  if (lines.length === 0) return [el('li', { class: 'muted', text: 'Nothing was logged.' })];
  const items = lines.map(({ time, level, text }) => {
    const when = formatMoment(time);
    const tone = { error: 'bad', warn: 'warn' }[level] ?? '';
    const mark = level && level !== 'info' ? el('span', { class: `badge ${tone}`, text: level }) : null;
    return el('li', {}, when ? el('time', { class: 'muted', datetime: time, text: `${when} ` }) : null, mark, ' ', text);
  });
  return more ? [el('li', { class: 'muted', text: 'Earlier lines are left out.' }), ...items] : items;
}

/** Return the defaults of all options; a job is shown without them if they cannot be read. */
function knownOptions() {
  optionsByKey ??= request('GET', 'options')
    .then(({ sections }) => new Map(sections.flatMap((/** @type {any} */ each) => each.options).map((/** @type {Option} */ option) => [option.key, option])))
    .catch(() => {
      optionsByKey = null;
      return new Map();
    });
  return optionsByKey;
}

/** @param {Record<string, any>} job */
function results(job) {
  return job.outputs.map((/** @type {any} */ output) => {
    const step = job.steps.find((/** @type {any} */ each) => each.args.output_path === output.path) ?? job.steps[0];
    const path = step?.args.target_path;
    const target = path ? { path, first: step.args.trim_frame_start ?? 0 } : null;
    const card = el('div', { class: 'card' });
    card.append(new ResultView(output, target));
    return card;
  });
}

/** @param {Record<string, any>[]} list */
function attempts(list) {
  const rows = list.map((attempt, at) => [
    String(at + 1),
    formatMoment(attempt.date_started),
    formatSpan(attempt.date_started, attempt.date_finished),
    attempt.result ?? 'running',
    `process ${attempt.pid} on ${attempt.host}`,
    attempt.error?.message ?? '',
  ]);
  const titles = ['No.', 'Started', 'Took', 'Result', 'Worker', 'Error'];
  return el('div', { class: 'card' }, textTable({ label: 'Attempts', titles, rows }));
}

/** @param {Record<string, any>} job */
function datesText(job) {
  const dates = [
    ['created', job.date_created],
    ['submitted', job.date_submitted],
    ['started', job.date_started],
    ['finished', job.date_finished],
  ];
  const words = dates.filter(([, date]) => date).map(([word, date]) => `${word} ${formatMoment(date)}`);
  if (job.priority) words.push(`priority ${job.priority}`);
  return words.join(' · ');
}

const backLink = () => el('a', { class: 'back', href: '#/queue' }, icon('left'), 'All jobs');

/**
 * @param {string} title
 * @param {...Node} content
 */
const section = (title, ...content) => el('section', { class: 'stack' }, el('h2', { text: title }), ...content);

customElements.define('ff-job-detail', JobDetail);
