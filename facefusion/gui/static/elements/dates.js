/** Dates as people read them. */

import { formatSeconds } from './format.js';

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * Return how long ago a date was: 'just now', '5 min ago', '3 h ago', '2 days ago', or the date itself after a month.
 * @param {string | number | null | undefined} date ISO 8601, or milliseconds since 1970
 * @param {number} [now] in milliseconds since 1970
 */
export function formatAgo(date, now = Date.now()) {
  const then = new Date(date ?? NaN).getTime();
  if (!Number.isFinite(then)) return '';
  const seconds = Math.max(0, (now - then) / 1000);
  if (seconds < MINUTE) return 'just now';
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  const days = Math.floor(seconds / DAY);
  if (days > 30) return formatMoment(date);
  return days === 1 ? '1 day ago' : `${days} days ago`;
}

/**
 * Return a date with its time of day, in the language of the browser.
 * @param {string | number | null | undefined} date
 */
export function formatMoment(date) {
  const then = new Date(date ?? NaN);
  return Number.isFinite(then.getTime()) ? MOMENT.format(then) : '';
}

/**
 * Return the time between two dates; up to now without an end.
 * @param {string | null | undefined} start
 * @param {string | null | undefined} end
 */
export function formatSpan(start, end) {
  const from = new Date(start ?? NaN).getTime();
  const to = end ? new Date(end).getTime() : Date.now();
  return Number.isFinite(from) && Number.isFinite(to) ? formatSeconds(Math.max(0, to - from) / 1000) : '';
}
