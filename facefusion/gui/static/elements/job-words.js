/** The states and the progress of jobs in words. */

import { formatAgo } from './dates.js';
import { asWords, fileName, formatRate, formatSeconds } from './format.js';

/** @typedef {import('../types.js').JobSummary} JobSummary */
/** @typedef {import('../types.js').Progress} Progress */

/** @type {{state: string, title: string, tone: string, empty: string}[]} */
export const STATES = [
  { state: 'drafted', title: 'Drafted', tone: '', empty: 'Jobs that are not in the queue yet.' },
  { state: 'queued', title: 'Queued', tone: 'info', empty: 'Nothing waits. Submit a drafted job, or add one in the Studio.' },
  { state: 'running', title: 'Running', tone: 'info', empty: 'Nothing runs.' },
  { state: 'completed', title: 'Completed', tone: 'good', empty: 'Results appear here.' },
  { state: 'failed', title: 'Failed', tone: 'bad', empty: 'No job failed.' },
  { state: 'broken', title: 'Broken', tone: 'bad', empty: 'Every job file can be read.' },
];

/** Return the tone of a state, for a badge. @param {string} state */
export const toneOf = (state) => STATES.find((each) => each.state === state)?.tone ?? '';

/** Return the part of the work that is done, 0 to 1, or null while it is unknown. @param {Progress | null} progress */
export function shareDone(progress) {
  if (!progress?.total) return null;
  return Math.min(1, progress.done / progress.total);
}

/** Return the progress as 'Processing · 40 % · 22 frames/s · 12 s left'. @param {Progress | null} progress */
export function progressText(progress) {
  if (!progress) return 'Starting';
  const share = shareDone(progress);
  return [
    progress.stage ? asWords(progress.stage) : '',
    share === null ? '' : `${Math.floor(share * 100)} %`,
    progress.rate ? formatRate(progress.rate) : '',
    progress.seconds_left === null || progress.seconds_left === undefined ? '' : `${formatSeconds(progress.seconds_left)} left`,
  ]
    .filter(Boolean)
    .join(' · ');
}

/** Return since when a job has its state. @param {JobSummary} job */
export function ageText(job) {
  const dates = {
    drafted: job.date_updated ?? job.date_created,
    queued: job.date_submitted ?? job.date_created,
    running: job.date_started,
    completed: job.date_finished,
    failed: job.date_finished,
  };
  return formatAgo(dates[/** @type {keyof typeof dates} */ (job.state)] ?? job.date_updated ?? job.date_created);
}

/** Return the file that stands for a job: its target, or its first output. @param {JobSummary} job */
export function pictureOf(job) {
  return job.target_path || job.output_paths?.[0] || null;
}

/** Return the steps of a job as 'step 2 of 3' while it runs, else '3 steps'. @param {JobSummary} job */
export function stepsText(job) {
  if (typeof job.steps !== 'number' || (job.state === 'completed' && job.steps === 1)) return '';
  if (job.state === 'running' && job.steps > 1 && typeof job.step_index === 'number') {
    return `step ${job.step_index + 1} of ${job.steps}`;
  }
  if (job.steps === 0) return 'no steps';
  return job.steps === 1 ? '1 step' : `${job.steps} steps`;
}

/** Return the name of the worker of a running job. @param {{host?: string, pid?: number, dead?: boolean} | null} worker */
export function workerText(worker) {
  if (!worker) return '';
  return worker.dead ? 'its process is dead; the next worker resumes it' : `process ${worker.pid} on ${worker.host}`;
}

/** Return the outputs of a job by name. @param {JobSummary} job */
export const outputNames = (job) => (job.output_paths ?? []).map(fileName).join(', ');
