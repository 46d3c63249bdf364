/** The jobs by state: <ff-job-board>. It follows the events and touches only what changed. */

import { request } from '../api.js';
import { knownJobs, on } from '../events.js';
import { el, newId } from './dom.js';
import { counted } from './format.js';
import { icon } from './icon.js';
import { JobCard } from './job-card.js';
import { STATES } from './job-words.js';
import { showKeyed } from './keyed.js';
import { showError } from './notice.js';

/** @typedef {import('../types.js').JobSummary} JobSummary */
/** @typedef {{state: string, section: HTMLElement, list: HTMLElement, count: HTMLElement, tab: HTMLElement,
 *   tabCount: HTMLElement, empty: HTMLElement, more: HTMLButtonElement, limit: number}} Column */

const PAGE = 100;
const AGES_MS = 30_000;
const FIRST_TAB = 'running';

class JobBoard extends HTMLElement {
  constructor() {
    super();
    /** @type {Map<string, JobSummary>} */
    this.jobs = new Map();
    /** @type {Map<string, Column>} */
    this.columns = new Map();
    /** @type {Set<string>} states whose columns are drawn anew in the next frame */
    this.stale = new Set();
    this.tabs = el('div', { class: 'board-tabs', role: 'group', 'aria-label': 'State of the jobs shown' });
    this.spoken = el('p', { class: 'unseen', role: 'status' });
    this.marker = el('div', { class: 'drop-line' });
  }

  connectedCallback() {
    if (this.firstChild) return;
    const sections = STATES.map((facts) => this.column(facts));
    // Broken files are rare: they share a place with the failed jobs.
    const last = el('div', { class: 'board-stack' }, ...sections.splice(-2));
    this.append(this.tabs, el('div', { class: 'board-columns' }, ...sections, last), this.spoken);
    this.select(FIRST_TAB);
    this.addEventListener('ff-move', (event) => this.move(/** @type {CustomEvent} */ (event).detail));
    this.followDrag();
    on('jobs', ({ jobs }) => this.replace(jobs));
    on('job', (job) => this.update(job));
    on('gone', ({ id }) => this.drop(id));
    setInterval(() => this.isConnected && !document.hidden && this.showAges(), AGES_MS);
    if (knownJobs().length > 0) this.replace(knownJobs());
    this.load();
  }

  async load() {
    try {
      this.replace((await request('GET', 'jobs')).jobs);
    } catch (error) {
      showError(error);
    }
  }

  /** @param {{state: string, title: string, tone: string, empty: string}} facts */
  column({ state, title, tone, empty }) {
    const id = newId('column');
    const count = el('span', { class: `badge ${tone}`, text: '0' });
    const list = el('ol', { class: 'board-list' });
    const hint = el('p', { class: 'board-empty muted', text: empty });
    const more = el('button', { type: 'button', class: 'button quiet small', hidden: true });
    const heading = el('h2', { id }, title, ' ', count);
    const section = el('section', { class: 'board-column', 'aria-labelledby': id }, heading, hint, list, more);
    section.dataset.state = state;
    const tabCount = el('span', { class: `badge ${tone}`, text: '0' });
    const tab = el('button', { type: 'button', class: 'board-tab', 'aria-pressed': 'false' }, title, tabCount);
    tab.addEventListener('click', () => this.select(state));
    this.tabs.append(tab);
    const column = { state, section, list, count, tab, tabCount, empty: hint, more, limit: PAGE };
    more.addEventListener('click', () => {
      column.limit += PAGE;
      this.draw(column);
    });
    this.columns.set(state, column);
    return section;
  }

  /** On narrow screens one column is shown. @param {string} state */
  select(state) {
    for (const column of this.columns.values()) {
      column.tab.setAttribute('aria-pressed', String(column.state === state));
      column.section.classList.toggle('shown', column.state === state);
      if (column.state === state) column.tab.scrollIntoView({ block: 'nearest', inline: 'center' });
    }
  }

  /** @param {JobSummary[]} jobs */
  replace(jobs) {
    const isFirst = this.jobs.size === 0 && jobs.length > 0;
    this.jobs = new Map(jobs.map((job) => [job.id, job]));
    for (const column of this.columns.values()) this.draw(column);
    if (isFirst) this.select(this.busiest());
    this.dispatchEvent(new CustomEvent('ff-count', { bubbles: true, detail: { total: this.jobs.size } }));
  }

  /** Return the state that a narrow screen shows first. */
  busiest() {
    const states = new Set([...this.jobs.values()].map((job) => job.state));
    return ['running', 'queued', 'failed', 'completed', 'drafted'].find((state) => states.has(state)) ?? 'drafted';
  }

  /** @param {JobSummary} job */
  update(job) {
    const before = this.jobs.get(job.id);
    this.jobs.set(job.id, job);
    if (before && before.state === job.state && before.priority === job.priority) {
      this.card(job)?.show(job);
      return;
    }
    this.redraw(before?.state, job.state);
  }

  /** @param {string} id */
  drop(id) {
    const before = this.jobs.get(id);
    this.jobs.delete(id);
    this.redraw(before?.state);
  }

  /** Draw columns in the next frame, however many jobs change before. @param {...(string | undefined)} states */
  redraw(...states) {
    if (this.stale.size === 0) {
      requestAnimationFrame(() => {
        for (const state of this.stale) {
          const column = this.columns.get(state);
          if (column) this.draw(column);
        }
        this.stale.clear();
        this.dispatchEvent(new CustomEvent('ff-count', { bubbles: true, detail: { total: this.jobs.size } }));
      });
    }
    for (const state of states) if (state) this.stale.add(state);
  }

  /** @param {Column} column */
  draw(column) {
    const all = inOrder([...this.jobs.values()].filter((job) => job.state === column.state), column.state);
    const jobs = all.slice(0, column.limit);
    const count = String(all.length);
    if (column.count.textContent !== count) {
      column.count.textContent = column.tabCount.textContent = count;
      column.count.setAttribute('aria-label', counted(all.length, 'job'));
    }
    column.empty.hidden = all.length > 0;
    column.section.classList.toggle('empty-column', all.length === 0);
    column.tab.hidden = column.section.hidden = column.state === 'broken' && all.length === 0;
    column.more.hidden = all.length <= column.limit;
    column.more.textContent = `Show ${Math.min(PAGE, all.length - jobs.length)} more of ${all.length}`;
    showKeyed(column.list, jobs, {
      key: (job) => job.id,
      make: () => el('li', {}, document.createElement('ff-job-card')),
      update: (item, job) => cardIn(item).show(job),
    });
  }

  /** @param {JobSummary} job */
  card(job) {
    const items = this.columns.get(job.state)?.list.children ?? [];
    for (const item of items) if (cardIn(item).job?.id === job.id) return cardIn(item);
    return null;
  }

  showAges() {
    for (const card of this.querySelectorAll('ff-job-card')) {
      if (card instanceof JobCard && card.job) card.showFacts(card.job);
    }
  }

  /** The queued jobs in the order in which they run. */
  queue() {
    return inOrder([...this.jobs.values()].filter((job) => job.state === 'queued'), 'queued').map((job) => job.id);
  }

  /** @param {{id: string, direction: 'up' | 'down'}} detail */
  async move({ id, direction }) {
    const others = this.queue();
    const place = others.indexOf(id);
    const wanted = direction === 'up' ? place - 1 : place + 1;
    if (place < 0 || wanted < 0 || wanted >= others.length) return this.say(id, place, others.length);
    others.splice(place, 1);
    await this.reorder(id, others[wanted] ?? null);
    const card = this.card(/** @type {JobSummary} */ ({ id, state: 'queued' }));
    const button = card?.querySelector(`[data-move="${direction}"]`);
    if (button instanceof HTMLElement) button.focus();
  }

  /**
   * Let a queued job run before another one, or last.
   * @param {string} id
   * @param {string | null} before
   */
  async reorder(id, before) {
    try {
      await request('PATCH', `jobs/${encodeURIComponent(id)}`, { before });
      this.replace((await request('GET', 'jobs')).jobs);
      const queue = this.queue();
      this.say(id, queue.indexOf(id), queue.length);
    } catch (error) {
      showError(error);
    }
  }

  /**
   * @param {string} id
   * @param {number} place
   * @param {number} total
   */
  say(id, place, total) {
    this.spoken.textContent = `${id} is number ${place + 1} of ${total} in the queue.`;
  }

  followDrag() {
    const list = /** @type {Column} */ (this.columns.get('queued')).list;
    /** @type {string | null} */
    let dragged = null;
    this.addEventListener('dragstart', (event) => {
      const card = event.target instanceof HTMLElement ? event.target.closest('ff-job-card') : null;
      if (!(card instanceof JobCard) || card.job?.state !== 'queued') return;
      dragged = card.job.id;
      card.classList.add('dragged');
      event.dataTransfer?.setData('text/plain', dragged);
    });
    this.addEventListener('dragend', (event) => {
      dragged = null;
      this.marker.remove();
      if (event.target instanceof HTMLElement) event.target.classList.remove('dragged');
    });
    list.addEventListener('dragover', (event) => {
      if (dragged === null) return;
      event.preventDefault();
      const below = itemBelow(list, event.clientY, dragged);
      this.marker.dataset.before = below ? (cardIn(below).job?.id ?? '') : '';
      this.placeMarker(list, below);
    });
    list.addEventListener('drop', (event) => {
      if (dragged === null) return;
      event.preventDefault();
      event.stopPropagation();
      this.marker.remove();
      this.reorder(dragged, this.marker.dataset.before || null);
    });
  }

  /**
   * Show the line where the job would be put. It lies over the list, so that the list keeps its children.
   * @param {HTMLElement} list
   * @param {HTMLElement | null} below
   */
  placeMarker(list, below) {
    const section = /** @type {HTMLElement} */ (list.parentElement);
    if (!this.marker.isConnected) section.append(this.marker);
    const edge = below ? below.getBoundingClientRect().top : list.getBoundingClientRect().bottom;
    this.marker.style.top = `${edge - section.getBoundingClientRect().top - 5}px`;
  }
}

/** @param {Element} item */
const cardIn = (item) => /** @type {JobCard} */ (item.firstElementChild);

/**
 * Return the first item whose middle is below a height.
 * @param {HTMLElement} list
 * @param {number} y
 * @param {string} dragged
 */
function itemBelow(list, y, dragged) {
  for (const item of list.children) {
    const { top, height } = item.getBoundingClientRect();
    if (y < top + height / 2 && cardIn(item).job?.id !== dragged) return /** @type {HTMLElement} */ (item);
  }
  return null;
}

/**
 * Return jobs in the order of their column: the queue as it runs, all others the newest first.
 * @param {JobSummary[]} jobs
 * @param {string} state
 */
function inOrder(jobs, state) {
  const since = (/** @type {JobSummary} */ job) => Date.parse(job.date_finished ?? job.date_updated ?? job.date_created) || 0;
  const submitted = (/** @type {JobSummary} */ job) => Date.parse(job.date_submitted) || 0;
  if (state !== 'queued') return jobs.sort((a, b) => since(b) - since(a));
  // As facefusion/jobs/queue_order.py has it.
  return jobs.sort(
    (a, b) => (b.priority ?? 0) - (a.priority ?? 0) || submitted(a) - submitted(b) || (a.id < b.id ? -1 : 1),
  );
}

customElements.define('ff-job-board', JobBoard);
