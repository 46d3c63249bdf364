/** Which processes work on the queue, and buttons to start and stop one: <ff-worker-bar>. */

import { request } from '../api.js';
import { on } from '../events.js';
import { el } from './dom.js';
import { icon } from './icon.js';
import { showError, showNote } from './notice.js';

/** @typedef {{host: string, pid: number, job_id: string | null, is_child: boolean}} Worker */

class WorkerBar extends HTMLElement {
  constructor() {
    super();
    this.text = el('p', { role: 'status' });
    this.start = el('button', { type: 'button', class: 'button' }, icon('play'), 'Start a worker');
    this.stop = el('button', { type: 'button', class: 'button' }, icon('stop'), 'Stop after current');
    this.start.addEventListener('click', () => this.ask('POST', 'A worker starts.', this.start));
    this.stop.addEventListener('click', () => this.ask('DELETE', 'The worker stops after its job.', this.stop));
    this.start.hidden = this.stop.hidden = true;
  }

  connectedCallback() {
    if (this.firstChild) return;
    this.append(this.text, this.start, this.stop);
    on('workers', ({ workers }) => this.show(workers));
    this.load();
  }

  async load() {
    try {
      this.show((await request('GET', 'workers')).workers);
    } catch (error) {
      showError(error);
    }
  }

  /** @param {Worker[]} workers */
  show(workers) {
    this.start.hidden = workers.length > 0;
    this.stop.hidden = !workers.some((worker) => worker.is_child);
    this.dataset.state = workers.length > 0 ? 'working' : 'idle';
    this.text.textContent = workers.length > 0 ? workers.map(described).join(' · ') : 'No worker: queued jobs wait.';
  }

  /**
   * @param {string} method
   * @param {string} note
   * @param {HTMLButtonElement} button
   */
  async ask(method, note, button) {
    button.disabled = true;
    try {
      await request(method, 'workers', method === 'POST' ? {} : undefined);
      showNote(note);
      await this.load();
    } catch (error) {
      showError(error);
    }
    button.disabled = false;
  }
}

/** @param {Worker} worker */
function described(worker) {
  const name = worker.is_child ? 'The worker of this page' : `Process ${worker.pid} on ${worker.host}`;
  return worker.job_id ? `${name} works on ${worker.job_id}` : `${name} waits for jobs`;
}

customElements.define('ff-worker-bar', WorkerBar);
