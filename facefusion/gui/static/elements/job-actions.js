/** The actions that the state of a job allows, and how they are carried out. */

import { request } from '../api.js';
import { confirmed } from './dialog.js';
import { el } from './dom.js';
import { icon } from './icon.js';
import { showError, showNote } from './notice.js';

/**
 * @typedef {'submit' | 'run' | 'cancel' | 'retry' | 'restart' | 'delete'} Verb
 * @typedef {{verb: Verb, text: string, picture: string, tone?: string, done: string}} Action
 */

/** @type {Record<Verb, Action>} */
const ACTIONS = {
  submit: { verb: 'submit', text: 'Submit', picture: 'plus', tone: 'primary', done: 'is in the queue' },
  run: { verb: 'run', text: 'Run now', picture: 'play', done: 'runs as soon as a worker is free' },
  cancel: { verb: 'cancel', text: 'Cancel', picture: 'close', done: 'is cancelled' },
  retry: { verb: 'retry', text: 'Retry', picture: 'reset', tone: 'primary', done: 'is in the queue again' },
  restart: { verb: 'restart', text: 'From scratch', picture: 'first', done: 'starts again at its first step' },
  delete: { verb: 'delete', text: 'Delete', picture: 'trash', tone: 'quiet', done: 'is deleted' },
};

/** @type {Record<string, Verb[]>} as facefusion/jobs/states.py allows them */
const ALLOWED = {
  drafted: ['submit', 'run', 'delete'],
  queued: ['run', 'cancel', 'delete'],
  running: ['cancel'],
  completed: ['delete'],
  failed: ['retry', 'restart', 'delete'],
  broken: ['delete'],
};

/** Return the actions of a state, the most likely first. @param {string} state */
export const actionsOf = (state) => (ALLOWED[state] ?? []).map((verb) => ACTIONS[verb]);

/**
 * Return buttons for the actions of a state; `job` is asked for when one is pressed.
 * @param {string} state
 * @param {() => {id: string, state: string, steps?: unknown}} job
 * @param {boolean} [isSmall] with small buttons, and only an icon for the deletion
 */
export function actionButtons(state, job, isSmall = false) {
  return actionsOf(state).map(({ verb, text, picture, tone = '' }) => {
    const onlyIcon = isSmall && verb === 'delete';
    const facts = onlyIcon
      ? { class: 'icon-button', 'aria-label': `Delete ${job().id}`, title: 'Delete' }
      : { class: `button ${tone} ${isSmall ? 'small' : ''}` };
    const button = el('button', { type: 'button', ...facts, 'data-verb': verb });
    if (onlyIcon) button.append(icon(picture));
    else if (isSmall) button.append(text.replace(' now', ''));
    else button.append(icon(picture), text);
    const { steps } = job();
    if ((verb === 'submit' || verb === 'run') && (steps === 0 || (Array.isArray(steps) && !steps.length))) {
      button.disabled = true;
      button.title = 'The job has no steps';
    }
    button.addEventListener('click', async () => {
      button.disabled = true;
      await act(verb, job());
      button.disabled = false;
    });
    return button;
  });
}

/**
 * Carry out an action and say so; errors are shown with cause and hint. Returns whether it was done.
 * @param {Verb} verb
 * @param {{id: string, state: string}} job
 */
export async function act(verb, job) {
  const place = `jobs/${encodeURIComponent(job.id)}`;
  if (!(await isAgreed(verb, job))) return false;
  try {
    if (verb === 'delete') await request('DELETE', place);
    else if (verb === 'restart') await request('POST', `${place}/retry`, { from_scratch: true });
    else await request('POST', `${place}/${verb}`, {});
  } catch (error) {
    showError(error);
    return false;
  }
  showNote(`${job.id} ${ACTIONS[verb].done}.`);
  return true;
}

/**
 * @param {Verb} verb
 * @param {{id: string, state: string}} job
 */
async function isAgreed(verb, job) {
  if (verb === 'delete') {
    const text = 'The job, its history and its log are removed. Files that it has published stay where they are.';
    return confirmed({ title: `Delete ${job.id}?`, text, agree: 'Delete the job', isDangerous: true });
  }
  if (verb === 'restart') {
    const text = 'The steps that are done run again, and their results are written again.';
    return confirmed({ title: `Run ${job.id} from scratch?`, text, agree: 'Run from scratch' });
  }
  if (verb === 'cancel' && job.state === 'running') {
    const text = 'The job stops and counts as failed. Retry continues with the frames that are done.';
    return confirmed({ title: `Cancel ${job.id}?`, text, agree: 'Cancel the job', isDangerous: true });
  }
  return true;
}
