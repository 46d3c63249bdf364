/** The report of a step in words, as docs/progress-events.md describes its keys. */

import { el } from './dom.js';
import { asWords, counted, fileName, formatBytes, formatRate, formatSeconds } from './format.js';
import { icon } from './icon.js';
import { textTable } from './table.js';

/** @typedef {Record<string, any>} Report */

/** @type {Record<string, string>} */
const REASONS = {
  'not the reference': 'not the reference face',
  gender: 'another gender was chosen',
  age: 'another age was chosen',
  'not in the face map': 'no source is mapped to this person',
  'face too small': 'the face is too small',
  'too many faces': 'too many faces in the frame',
  'not followed': 'another face is followed',
};

/** @type {Record<string, string>} states of the Content Credentials of an input that deserve a warning */
const INHERITED = {
  tampered: 'the target was changed after it had been signed',
  unreadable: 'the Content Credentials of the target could not be read',
};

/**
 * Return the report of a completed step as elements.
 * @param {Report} report
 */
export function reportView(report) {
  const view = el('div', { class: 'stack report' }, factList(report));
  for (const text of warningsOf(report)) {
    view.append(el('div', { class: 'message warn' }, icon('warn'), el('p', { text })));
  }
  const people = report.people?.persons ?? [];
  if (people.length > 0) view.append(peopleTable(report.people));
  return view;
}

/** @param {Report} report */
function factList(report) {
  const list = el('dl', { class: 'facts' });
  const add = (/** @type {string} */ name, /** @type {string} */ text) => {
    if (text) list.append(el('div', {}, el('dt', { text: name }), el('dd', { text })));
  };
  const { frames, frames_changed: changed, seconds, people } = report;
  add('Frames', frames === undefined ? '' : `${frames}${changed === undefined ? '' : ` (${changed} changed)`}`);
  add('Faces', report.faces === undefined ? '' : String(report.faces));
  add('People', people ? `${people.processed} of ${people.count} processed` : '');
  const rate = frames > 1 && seconds ? `, ${formatRate(frames / seconds)}` : '';
  add('Time', seconds ? `${formatSeconds(seconds)}${rate}` : '');
  add('Size', report.size ? formatBytes(report.size) : '');
  add('Models', (report.models ?? []).join(', '));
  add('Effects', Object.entries(report.effects ?? {}).map(([name, effect]) => `${asWords(name)}: ${effect}`).join(', '));
  add('Signed by', report.credentials?.signer ?? '');
  add('Invisible mark', markText(report.credentials));
  return list;
}

/** @param {Report | undefined} credentials */
function markText(credentials) {
  const marked = credentials?.marked_frames;
  if (marked === undefined) return '';
  return marked ? `in ${counted(marked, 'frame')}` : 'none';
}

/**
 * Return what a viewer of the result should know.
 * @param {Report} report
 * @returns {string[]}
 */
export function warningsOf(report) {
  const found = [];
  const { frames_without_face: without, frames_damaged: damaged, frames_missing: missing } = report;
  if (without) {
    const where = rangesText(report.ranges_without_face, report.more_ranges_without_face);
    found.push(`${counted(without, 'frame')} without a face${where}.`);
  }
  if (damaged) {
    found.push(`${counted(damaged, 'frame')} of the target damaged${rangesText(report.ranges_damaged, report.more_ranges_damaged)}.`);
  }
  if (missing) found.push(`${counted(missing, 'frame')} missing in the target.`);
  if (report.faces_too_small) found.push(`${counted(report.faces_too_small, 'face')} too small to be processed.`);
  if (report.frames_with_too_many_faces) {
    found.push(`${counted(report.frames_with_too_many_faces, 'frame')} with too many faces: some were left out.`);
  }
  if (report.faces_filled) {
    found.push(`${counted(report.faces_filled, 'face')} were placed between frames, because the detector missed them.`);
  }
  for (const change of report.inputs_changed ?? []) {
    found.push(`${fileName(String(change.path))} changed after the step was added (${change.cause}).`);
  }
  for (const state of report.credentials?.inherited ?? []) {
    if (INHERITED[state]) found.push(`Note: ${INHERITED[state]}.`);
  }
  return found;
}

/**
 * @param {[number, number][] | undefined} ranges
 * @param {number | undefined} more
 */
function rangesText(ranges, more) {
  if (!ranges?.length) return '';
  const shown = ranges.slice(0, 8).map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`));
  const rest = ranges.length - shown.length + (more ?? 0);
  return `: ${shown.join(', ')}${rest ? ` and ${rest} more` : ''}`;
}

/** @param {{persons: Record<string, any>[], more_persons?: number}} people */
function peopleTable({ persons, more_persons: more }) {
  const rows = persons.map((person) => {
    const reasons = Object.entries(person.frames_left_alone ?? {});
    const words = reasons.map(([reason, frames]) => `${REASONS[reason] ?? reason} (${counted(Number(frames), 'frame')})`);
    return [`Person ${person.number}`, String(person.frames), String(person.frames_processed), words.join(', ') || '–'];
  });
  const titles = ['Person', 'Frames seen', 'Frames processed', 'Left alone, because'];
  const table = textTable({ label: 'People', titles, rows, numbers: [1, 2] });
  const rest = more ? el('p', { class: 'muted', text: `and ${counted(more, 'more person', 'more people')}` }) : null;
  return el('div', {}, table, rest);
}
