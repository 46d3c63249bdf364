/** The queue: the board of all jobs, or one job. */

import { el } from '../elements/dom.js';
import { icon } from '../elements/icon.js';
import '../elements/job-board.js';
import { JobDetail } from '../elements/job-detail.js';
import '../elements/worker-bar.js';

class QueueScreen extends HTMLElement {
  constructor() {
    super();
    this.detail = new JobDetail();
    const studio = el('a', { class: 'button primary', href: '#/studio' }, icon('plus'), 'New job');
    const heading = el('div', {}, el('h1', { text: 'Queue' }), document.createElement('ff-worker-bar'));
    this.board = el(
      'div',
      { class: 'queue-board' },
      el('header', {}, heading, studio),
      el(
        'div',
        { class: 'empty card', hidden: true },
        icon('queue'),
        el('p', { text: 'No jobs yet. Choose pictures and a target in the Studio, then add the work to the queue.' }),
        el('a', { class: 'button primary', href: '#/studio', text: 'Open the Studio' }),
      ),
      document.createElement('ff-job-board'),
    );
  }

  connectedCallback() {
    if (this.firstChild) return;
    this.className = 'screen wide-screen';
    this.append(this.board, this.detail);
    const empty = /** @type {HTMLElement} */ (this.board.querySelector('.empty'));
    this.addEventListener('ff-count', (event) => {
      const isEmpty = /** @type {CustomEvent} */ (event).detail.total === 0;
      empty.hidden = !isEmpty;
      /** @type {HTMLElement} */ (this.board.querySelector('ff-job-board')).hidden = isEmpty;
    });
  }

  /** @param {string[]} parts the ID of a job, or nothing for the board */
  opened([id]) {
    this.board.hidden = Boolean(id);
    this.detail.hidden = !id;
    if (id) this.detail.open(id);
    else this.detail.close();
  }

  left() {
    this.detail.close();
  }
}

customElements.define('ff-queue', QueueScreen);
