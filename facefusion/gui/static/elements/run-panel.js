/** `<ff-run>`: the plan of the draft, its remarks and errors, and the buttons that make a job of it. */

import { address, contentUrl, isAbort, request } from '../api.js';
import { on } from '../events.js';
import { openDialog } from './dialog.js';
import { debounced, el } from './dom.js';
import { asSentence, counted, fileName, formatBytes, formatSeconds } from './format.js';
import { icon } from './icon.js';
import { errorBody, showError, showNote } from './notice.js';

/** @typedef {import('../types.js').PlanReply} PlanReply */
/** @typedef {import('../types.js').JobSummary} JobSummary */

const SETTLE_MS = 500;

export class RunPanel extends HTMLElement {
  /** @param {import('../state/draft.js').Draft} draft */
  show(draft) {
    this.draft = draft;
    this.facts = el('div', { class: 'plan-facts', role: 'status' });
    this.remarks = el('ul', { class: 'plan-remarks', hidden: true, 'aria-label': 'Remarks on the plan' });
    this.toggle = el('button', { type: 'button', class: 'button small quiet', hidden: true, 'aria-expanded': 'false' });
    this.toggle.addEventListener('click', () => this.unfold(this.remarks?.hidden === true));
    this.job = el('div', { class: 'plan-job' });
    this.queue = el('button', { type: 'button', class: 'button' }, icon('queue'), 'Add to queue');
    this.run = el('button', { type: 'button', class: 'button primary' }, icon('play'), 'Run now');
    this.queue.addEventListener('click', () => this.create({ submit: true }));
    this.run.addEventListener('click', () => this.create({ run: true }));
    const copy = el('button', { type: 'button', class: 'button quiet copy', title: 'Copy as command line' }, icon('copy'), el('span', { text: 'Copy as command' }));
    copy.setAttribute('aria-label', 'Copy as command line');
    copy.addEventListener('click', () => this.copy());
    this.append(this.job, this.remarks, el('div', { class: 'run-bar' }, this.facts, this.toggle, copy, this.queue, this.run));
    this.refresh = debounced(SETTLE_MS, () => this.plan());
    draft.addEventListener('change', () => this.refresh?.());
    on('job', (job) => job.id === this.jobId && this.follow(job));
    on('jobs', ({ jobs }) => jobs.forEach((/** @type {JobSummary} */ job) => job.id === this.jobId && this.follow(job)));
    this.plan();
  }

  async plan() {
    this.control?.abort();
    this.control = new AbortController();
    const hasTarget = this.draft?.text('target_path');
    if (!this.draft || !hasTarget || this.draft.lacksSource) {
      const text = `The plan appears here when a ${hasTarget ? 'source' : 'target'} is chosen.`;
      this.facts?.replaceChildren(el('span', { class: 'muted', text }));
      this.forgetPlan();
      return;
    }
    this.classList.add('planning');
    try {
      this.showPlan(await request('POST', 'plan', { args: this.draft.sent }, { signal: this.control.signal }));
    } catch (error) {
      if (isAbort(error)) return;
      this.facts?.replaceChildren(el('div', { class: 'plan-error' }, icon('error'), errorBody(error)));
      this.forgetPlan();
    }
    this.classList.remove('planning');
  }

  /** @param {boolean} isOpen whether the remarks are shown */
  unfold(isOpen) {
    if (this.remarks) this.remarks.hidden = !isOpen;
    this.toggle?.setAttribute('aria-expanded', String(isOpen));
  }

  forgetPlan() {
    this.remarks?.replaceChildren();
    this.unfold(false);
    if (this.toggle) this.toggle.hidden = true;
    this.allow(false);
  }

  /** @param {boolean} isPossible */
  allow(isPossible) {
    if (this.run) this.run.disabled = !isPossible;
    if (this.queue) this.queue.disabled = !isPossible;
  }

  /** @param {PlanReply} reply */
  showPlan({ plan, remarks, seconds, limit_exceeded: isTooLarge }) {
    const frames = plan.timeline?.frame_count;
    const fact = (/** @type {string} */ name, /** @type {string} */ value) =>
      el('span', { class: 'plan-fact' }, el('span', { class: 'muted', text: name }), el('b', { text: value }));
    const [width, height] = plan.written_size ?? [];
    this.facts?.replaceChildren(
      ...[
        fact('Output', plan.kind === 'image' ? 'image' : counted(frames ?? 0, 'frame')),
        width ? fact('Size', `${width} × ${height}`) : null,
        fact('Time', seconds !== null ? `about ${formatSeconds(seconds)}` : 'not known yet'),
        plan.memory_bytes ? fact('Memory', formatBytes(plan.memory_bytes)) : null,
        plan.work_bytes !== undefined ? fact('Disk', formatBytes((plan.work_bytes ?? 0) + (plan.output_bytes ?? 0))) : null,
      ].filter((node) => node !== null),
    );
    const isWarning = (/** @type {{level: string}} */ { level }) => level.startsWith('warn') || level === 'error';
    const rows = [...remarks].sort((one, other) => Number(isWarning(other)) - Number(isWarning(one)));
    if (isTooLarge) rows.unshift({ level: 'warn', origin: 'plan', text: 'this needs more memory than the limit allows' });
    const warnings = rows.filter(isWarning).length;
    const badge = el('span', { class: `badge ${warnings ? 'warn' : ''}`, text: warnings ? counted(warnings, 'warning') : counted(rows.length, 'remark') });
    this.remarks?.replaceChildren(...rows.map((row) => el('li', { class: isWarning(row) ? 'warn' : '', text: asSentence(row.text) })));
    this.toggle?.replaceChildren(badge);
    this.unfold(rows.length > 0 && this.toggle?.getAttribute('aria-expanded') === 'true');
    if (this.toggle) this.toggle.hidden = rows.length === 0;
    this.allow(!isTooLarge);
  }

  /** @param {{submit?: boolean, run?: boolean}} how */
  async create(how) {
    this.allow(false);
    try {
      const job = await request('POST', 'jobs', { steps: [{ args: this.draft?.sent ?? {} }], ...how });
      if (how.run) {
        this.jobId = job.id;
        this.follow(job);
      }
      const link = { href: `#/queue/${encodeURIComponent(job.id)}`, text: 'Show it in the queue' };
      showNote(how.run ? 'The job runs.' : 'The job waits in the queue.', link);
    } catch (error) {
      showError(error);
    } finally {
      this.allow(true);
    }
  }

  /** @param {JobSummary} job */
  follow(job) {
    const link = el('a', { href: `#/queue/${encodeURIComponent(job.id)}`, text: 'Queue' });
    const { progress } = job;
    /** @type {(Node | string)[]} */
    const parts = [];
    if (job.state === 'completed') parts.push(el('span', { class: 'badge good', text: 'Finished' }), ...this.result(job));
    else if (job.state === 'failed') parts.push(el('span', { class: 'badge bad', text: 'Failed' }), 'The queue shows the reason.');
    else {
      const total = progress?.total ?? 0;
      const bar = el('progress', { 'aria-label': 'Progress of the job', max: 1, ...(total ? { value: (progress?.done ?? 0) / total } : {}) });
      const left = progress?.seconds_left;
      const words = progress ? `${asSentence(progress.stage)} ${total ? `${Math.floor((100 * progress.done) / total)} %` : ''}` : asSentence(job.state);
      parts.push(el('span', { text: left ? `${words}, ${formatSeconds(left)} left` : words }), bar);
    }
    this.job?.replaceChildren(...parts, link);
  }

  /** @param {JobSummary} job */
  result(job) {
    const path = job.output_paths?.at(-1);
    if (!path) return [];
    const open = el('button', { type: 'button', class: 'button small' }, icon('play'), 'Show the result');
    open.addEventListener('click', () => showResult(path));
    return [el('span', { class: 'result-name', text: fileName(path), title: path }), open];
  }

  async copy() {
    try {
      const { line } = await request('POST', 'command', { args: this.draft?.sent ?? {} });
      try {
        await navigator.clipboard.writeText(line);
        showNote('The command line is in the clipboard.');
      } catch {
        // Browsers give the clipboard to secure pages only.
        const text = el('textarea', { rows: 5, readonly: true, value: line, 'aria-label': 'Command line', class: 'mono' });
        openDialog({ title: 'Command line', body: text, actions: [{ value: '', text: 'Close' }] });
        text.select();
      }
    } catch (error) {
      showError(error);
    }
  }
}
customElements.define('ff-run', RunPanel);

/** @param {string} path */
async function showResult(path) {
  try {
    const media = await request('GET', address('media', { path }));
    const url = contentUrl(path);
    const player =
      media.kind === 'video'
        ? el('video', { controls: true, autoplay: true, loop: true, class: 'result-media', src: url })
        : el('img', { class: 'result-media', alt: 'The result', src: url });
    const body = el('div', { class: 'stack' }, player, el('p', { class: 'small-text muted mono', text: path }));
    player.addEventListener('error', () => player.replaceWith(el('p', { text: 'This browser cannot play the file; open it with a player.' })));
    body.append(el('div', { class: 'row' }, el('a', { href: url, download: fileName(path), class: 'button', text: 'Download' })));
    openDialog({ title: 'Result', body, actions: [{ value: '', text: 'Close' }], wide: true });
  } catch (error) {
    showError(error);
  }
}
