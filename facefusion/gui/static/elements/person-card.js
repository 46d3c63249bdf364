/** The card of a person of the target: view, screen time, and the sources that the person gets. */

import { el } from './dom.js';
import { counted, fileName, formatSeconds } from './format.js';
import { icon } from './icon.js';
import { thumbnail } from './source-list.js';

/**
 * @typedef {{number: number, frames: number, seconds: number | null, ranges: [number, number][], tracks: number,
 *   mean_size: number, gender: string | null, age: [number, number] | null, best_frames: number[]}} Person
 * @typedef {{path: string, kind: string}} Source
 * @typedef {{crop: string, frames: number, first: number, isDoubtful: boolean, images: Source[], voices: Source[], takesFaces: boolean,
 *   takesVoices: boolean, files: string[], assign: (files: string[]) => void, refer: () => void}} Facts
 */

/**
 * @param {Person} person
 * @param {Facts} facts
 */
export function personCard(person, facts) {
  const name = `Person ${person.number}`;
  const picture = el('img', { class: 'person-crop', alt: `${name} in the target`, src: facts.crop, width: 112, height: 112, loading: 'lazy' });
  const time = person.seconds === null ? '' : `${formatSeconds(person.seconds)} · `;
  const share = facts.frames > 1 ? `${time}${counted(person.frames, 'frame')}` : '1 picture';
  const estimate = [person.gender, person.age ? `${person.age[0]} to ${person.age[1]} years` : null].filter(Boolean).join(', ');
  const refer = el('button', { type: 'button', class: 'button small quiet' }, icon('faces'), 'Only this person');
  refer.setAttribute('aria-label', `Only this person: choose the reference face of ${name}`);
  refer.addEventListener('click', facts.refer);
  const status = statusOf(facts);
  return el(
    'li',
    { class: 'card person', 'data-person': String(person.number) },
    picture,
    el(
      'div',
      { class: 'person-facts' },
      el('div', { class: 'row' }, el('h2', { text: name }), el('span', { class: `badge ${status.tone}`, text: status.text })),
      el('p', { class: 'muted small-text', text: [share, `face of ${Math.round(person.mean_size)} pixels`, estimate].filter(Boolean).join(' · ') }),
      facts.frames > 1 ? presence(person, facts) : null,
      facts.isDoubtful ? el('p', { class: 'doubt small-text' }, icon('warn'), 'May be two people; compare the views.') : null,
      refer,
    ),
    el('div', { class: 'person-choice' }, ...choices(name, facts)),
  );
}

/** @param {Facts} facts */
function statusOf({ files }) {
  if (!files.length) return { tone: '', text: 'left alone' };
  return { tone: 'good', text: files.map(fileName).join(' + ') };
}

/**
 * Return a strip that shows when the person is visible.
 * @param {Person} person
 * @param {Facts} facts
 */
function presence(person, { frames, first }) {
  const strip = el('div', { class: 'presence', role: 'img', 'aria-label': `Visible in ${counted(person.ranges.length, 'range')} of the clip` });
  for (const [from, to] of person.ranges) {
    const part = el('span');
    part.style.left = `${(100 * (from - first)) / frames}%`;
    part.style.width = `${(100 * (to + 1 - from)) / frames}%`;
    strip.append(part);
  }
  return strip;
}

/**
 * @param {string} name
 * @param {Facts} facts
 */
function choices(name, facts) {
  const { images, voices, takesFaces, takesVoices, files, assign } = facts;
  const parts = [];
  if (takesFaces) {
    const legend = el('legend', { text: 'New face' });
    const boxes = images.map(({ path }) => {
      const box = el('input', { type: 'checkbox', checked: files.includes(path), 'aria-label': `${name} gets ${fileName(path)}` });
      box.addEventListener('change', () => assign(box.checked ? [...files, path] : files.filter((file) => file !== path)));
      return el('label', { class: 'face-choice', title: path }, box, thumbnail(path, 'image'), el('span', { text: fileName(path) }));
    });
    const none = el('p', { class: 'muted small-text', text: 'Add pictures of faces to the sources.' });
    parts.push(el('fieldset', {}, legend, boxes.length ? el('div', { class: 'face-choices' }, ...boxes) : none));
  }
  if (takesVoices) {
    const chosen = voices.find(({ path }) => files.includes(path))?.path ?? '';
    const select = el(
      'select',
      { 'aria-label': `Voice of ${name}` },
      el('option', { value: '', text: 'none' }),
      ...voices.map(({ path }) => el('option', { value: path, text: fileName(path) })),
    );
    select.value = chosen;
    select.addEventListener('change', () => {
      const others = files.filter((file) => !voices.some(({ path }) => path === file));
      assign(select.value ? [...others, select.value] : others);
    });
    parts.push(el('label', { class: 'voice-choice' }, el('span', { text: 'Voice' }), select));
  }
  return parts;
}
