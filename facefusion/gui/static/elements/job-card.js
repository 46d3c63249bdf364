/** A job on the board: <ff-job-card>, with .show(job) to update it in place. */

import { address } from '../api.js';
import { el } from './dom.js';
import { asSentence } from './format.js';
import { icon } from './icon.js';
import { actionButtons } from './job-actions.js';
import { ageText, outputNames, pictureOf, progressText, shareDone, stepsText, workerText } from './job-words.js';

/** @typedef {import('../types.js').JobSummary} JobSummary */

const THUMB_WIDTH = 160;

/** Return the address of the page of a job. @param {string} id */
export const jobHref = (id) => `#/queue/${encodeURIComponent(id)}`;

export class JobCard extends HTMLElement {
  constructor() {
    super();
    /** @type {JobSummary | null} */
    this.job = null;
    this.picture = el('img', { alt: '', loading: 'lazy', decoding: 'async', draggable: 'false', width: 64, height: 44 });
    this.picture.addEventListener('error', () => (this.picture.hidden = true));
    this.heading = el('a', { class: 'job-title', draggable: 'false' });
    this.facts = el('p', { class: 'job-facts muted' });
    this.problem = el('p', { class: 'job-problem' });
    this.bar = el('progress', { max: 1 });
    this.rate = el('p', { class: 'job-rate muted' });
    this.running = el('div', { class: 'job-running' }, this.bar, this.rate);
    this.buttons = el('div', { class: 'job-buttons' });
    this.corner = el('div', { class: 'job-corner' });
  }

  connectedCallback() {
    if (this.firstChild) return;
    const thumb = el('div', { class: 'job-thumb' }, icon('image'), this.picture);
    const words = el('div', { class: 'job-words' }, this.heading, this.facts);
    this.append(el('div', { class: 'job-head' }, thumb, words, this.corner), this.problem, this.running, this.buttons);
  }

  /** @param {JobSummary} job */
  show(job) {
    const before = this.job;
    this.job = job;
    this.showFacts(job);
    this.showProgress(job);
    if (before?.state !== job.state) this.showState(job);
    const picture = pictureOf(job);
    if (!before || pictureOf(before) !== picture) this.showPicture(picture);
  }

  /** @param {JobSummary} job */
  showState(job) {
    this.dataset.state = job.state;
    this.draggable = job.state === 'queued';
    const buttons = actionButtons(job.state, () => this.job ?? job, true);
    if (job.state === 'queued') buttons.unshift(this.mover('up', 'earlier'), this.mover('down', 'later'));
    this.corner.replaceChildren(...buttons.filter((button) => button.dataset.verb === 'delete'));
    this.buttons.replaceChildren(...buttons.filter((button) => button.dataset.verb !== 'delete'));
  }

  /** @param {JobSummary} job */
  showFacts(job) {
    setText(this.heading, job.id);
    if (this.heading.getAttribute('href') !== jobHref(job.id)) this.heading.href = jobHref(job.id);
    const names = job.state === 'completed' ? outputNames(job) : '';
    setText(this.facts, [stepsText(job), names, ageText(job)].filter(Boolean).join(' · '));
    const isDead = Boolean(job.worker?.dead);
    const waits = job.state === 'queued' && job.not_before ? 'Waits to be tried again.' : '';
    const problem = job.error?.message ?? (isDead ? `Stopped: ${workerText(job.worker)}.` : waits);
    setText(this.problem, asSentence(problem));
    this.problem.hidden = !problem;
  }

  /** @param {JobSummary} job */
  showProgress(job) {
    this.running.hidden = job.state !== 'running';
    if (this.running.hidden) return;
    const share = shareDone(job.progress);
    if (share === null) this.bar.removeAttribute('value');
    else this.bar.value = share;
    this.bar.setAttribute('aria-label', `Progress of ${job.id}`);
    // A dead process makes no progress.
    setText(this.rate, job.worker?.dead ? '' : progressText(job.progress));
  }

  /** @param {string | null} path */
  showPicture(path) {
    this.picture.hidden = !path;
    if (path) this.picture.src = address('media/frame', { path, number: 0, width: THUMB_WIDTH, optional: 1 });
    else this.picture.removeAttribute('src');
  }

  /**
   * @param {'up' | 'down'} direction
   * @param {string} word
   */
  mover(direction, word) {
    const label = `Move ${this.job?.id} ${direction}`;
    const button = el('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: `Run ${word}` });
    button.append(icon(direction));
    button.dataset.move = direction;
    button.addEventListener('click', () => {
      this.dispatchEvent(new CustomEvent('ff-move', { bubbles: true, detail: { id: this.job?.id, direction } }));
    });
    return button;
  }
}

/**
 * @param {HTMLElement} node
 * @param {string} text
 */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

customElements.define('ff-job-card', JobCard);
