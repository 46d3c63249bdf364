/** The screen People: the persons of the target, the sources that each of them gets, and their consent. */

import { address, ApiError, request } from '../api.js';
import { openDialog } from '../elements/dialog.js';
import { el } from '../elements/dom.js';
import { counted, fileName } from '../elements/format.js';
import { icon } from '../elements/icon.js';
import { errorBox, showError, showNote } from '../elements/notice.js';
import { optionRow } from '../elements/option-control.js';
import { personCard } from '../elements/person-card.js';
import { PictureView } from '../elements/picture-view.js';
import { SourceList } from '../elements/source-list.js';
import { on } from '../events.js';
import { openDraft } from '../state/draft.js';
import { parseFaceMap, writeFaceMap } from '../state/face-map.js';

/** @typedef {import('../elements/person-card.js').Person} Person */
/** @typedef {import('../types.js').Face} Face */
/** @typedef {{version: number, target: string, kind: string, frames: number, trim: [number, number], recogniser: string, persons: Person[],
 *   more_persons: number, doubtful: {person: number}[]}} Survey */

const POLL_MS = 1000;
const MEMORY = 'facefusion-survey';

class People extends HTMLElement {
  /** @type {import('../state/draft.js').Draft | null} */
  draft = null;
  /** @type {Survey | null} */
  survey = null;
  /** The ID of the survey on the server. */
  id = '';
  sources = new SourceList();
  list = el('ol', { class: 'people' });
  progress = el('div', { class: 'survey-progress' });
  find = el('button', { type: 'button', class: 'button primary' }, icon('search'), el('span', { text: 'Find the people' }));
  clear = el('button', { type: 'button', class: 'button quiet' }, icon('reset'), 'Leave all alone');
  facts = el('p', { role: 'status' });

  async opened() {
    try {
      await (this.building ??= this.build());
      this.render();
    } catch (error) {
      this.building = undefined;
      this.replaceChildren(el('div', { class: 'screen' }, errorBox(error)));
    }
  }

  left() {
    clearTimeout(this.timer);
  }

  /** @type {Promise<void> | undefined} */
  building = undefined;

  async build() {
    const draft = (this.draft = await openDraft());
    this.classList.add('screen');
    const consent = draft.options.get('consent');
    const row = consent ? optionRow(consent, draft) : null;
    this.replaceChildren(
      el('header', {}, el('div', {}, el('h1', { text: 'People' }), this.facts), el('div', { class: 'row' }, this.clear, this.find)),
      this.progress,
      el(
        'div',
        { class: 'people-columns' },
        this.list,
        el(
          'div',
          { class: 'people-side' },
          el('section', { class: 'card stack', 'aria-label': 'Sources' }, el('h2', { text: 'Sources' }), this.sources),
          row ? el('section', { class: 'card stack', 'aria-label': 'Consent' }, row.row) : null,
        ),
      ),
    );
    this.sources.show(draft);
    this.find.addEventListener('click', () => this.start());
    this.clear.addEventListener('click', () => draft.reset(['face_map']));
    draft.addEventListener('change', (event) => {
      const keys = /** @type {CustomEvent<Set<string>>} */ (event).detail;
      if (keys.has('consent')) row?.update();
      if (['target_path', 'source_paths', 'processors', 'face_map'].some((key) => keys.has(key))) this.render();
    });
    this.sources.addEventListener('judged', () => this.render());
    on('survey', ({ id, done, total }) => id === this.id && !this.survey && this.showProgress(done, total));
    await this.recall();
  }

  /** Take the survey of this tab up again after a reload. */
  async recall() {
    const known = JSON.parse(sessionStorage.getItem(MEMORY) ?? 'null');
    if (!known || known.target !== this.draft?.text('target_path')) return;
    this.id = known.id;
    await this.poll();
  }

  async start() {
    if (!this.draft) return;
    this.find.disabled = true;
    this.survey = null;
    this.list.replaceChildren();
    try {
      const { survey } = await request('POST', 'people', { args: this.draft.sent });
      this.id = survey;
      sessionStorage.setItem(MEMORY, JSON.stringify({ id: survey, target: this.draft.text('target_path') }));
      this.showProgress(0, null);
      await this.poll();
    } catch (error) {
      this.progress.replaceChildren(errorBox(error));
      this.find.disabled = false;
    }
  }

  async poll() {
    clearTimeout(this.timer);
    const id = this.id;
    try {
      const { state, done, total, record, error } = await request('GET', `people/${encodeURIComponent(id)}`);
      if (id !== this.id) return;
      if (state === 'running') {
        this.showProgress(done, total);
        this.timer = setTimeout(() => this.poll(), POLL_MS);
        return;
      }
      this.find.disabled = false;
      this.progress.replaceChildren(...(error ? [errorBox(new ApiError(422, error))] : []));
      this.survey = record;
      this.render();
    } catch (error) {
      this.find.disabled = false;
      this.progress.replaceChildren();
      sessionStorage.removeItem(MEMORY);
      if (!(error instanceof ApiError && error.status === 404)) showError(error);
      this.id = '';
    }
  }

  /**
   * @param {number} done
   * @param {number | null} total
   */
  showProgress(done, total) {
    const words = total ? `Searching: ${done} of ${counted(total, 'frame')}` : 'Searching';
    const bar = this.progress.querySelector('progress');
    if (bar && total) {
      bar.value = done / total;
      const text = this.progress.querySelector('span');
      if (text) text.textContent = words;
      return;
    }
    const stop = el('button', { type: 'button', class: 'button small', text: 'Stop', onclick: () => this.stop() });
    this.progress.replaceChildren(el('div', { class: 'card row' }, el('span', { text: words }), el('progress', { 'aria-label': 'Progress of the search' }), stop));
  }

  async stop() {
    clearTimeout(this.timer);
    try {
      await request('DELETE', `people/${encodeURIComponent(this.id)}`);
    } catch (error) {
      showError(error);
    }
    this.id = '';
    this.find.disabled = false;
    this.progress.replaceChildren();
  }

  render() {
    const draft = this.draft;
    if (!draft) return;
    const target = draft.text('target_path');
    const survey = this.survey?.target === target ? this.survey : null;
    const map = parseFaceMap(draft.text('face_map'));
    this.find.disabled = !target || this.progress.querySelector('progress') !== null;
    this.find.classList.toggle('primary', !survey);
    this.clear.hidden = map.size === 0;
    this.find.lastChild && (this.find.lastChild.textContent = survey ? 'Search again' : 'Find the people');
    this.facts.textContent = this.summary(target, survey);
    if (!survey) {
      const searching = this.progress.querySelector('progress') !== null;
      this.list.replaceChildren(...(searching ? [] : [this.emptyState(target)]));
      return;
    }
    const focused = document.activeElement?.getAttribute('aria-label') ?? '';
    const cards = survey.persons.map((person) => this.card(person, survey, map));
    if (survey.more_persons) cards.push(el('li', { class: 'muted', text: `${counted(survey.more_persons, 'more person', 'more people')} not shown.` }));
    this.list.replaceChildren(...cards);
    // The cards are new; the focus stays on the same control.
    if (focused) /** @type {HTMLElement | null} */ (this.list.querySelector(`[aria-label="${CSS.escape(focused)}"]`))?.focus();
  }

  /**
   * @param {string} target
   * @param {Survey | null} survey
   */
  summary(target, survey) {
    if (!target) return 'Choose a target in Studio first.';
    if (!survey) return `Find who is in ${fileName(target)}, and choose a source for each person.`;
    const people = counted(survey.persons.length + survey.more_persons, 'person', 'people');
    return `${people} in ${fileName(target)}. People without a source stay as they are.`;
  }

  /** @param {string} target */
  emptyState(target) {
    const text = target ? 'The search reads the clip once; its result is kept for runs.' : 'There is no target yet.';
    const link = target ? null : el('a', { class: 'button', href: '#/studio', text: 'Open Studio' });
    return el('li', { class: 'card empty' }, icon('people'), el('p', { text }), link);
  }

  /**
   * @param {Person} person
   * @param {Survey} survey
   * @param {Map<number, string[]>} map
   */
  card(person, survey, map) {
    const draft = /** @type {import('../state/draft.js').Draft} */ (this.draft);
    const files = map.get(person.number) ?? [];
    const pool = [...new Set([...draft.list('source_paths'), ...[...map.values()].flat()])];
    const known = pool.map((path) => ({ path, kind: this.sources.kindOf(path) }));
    return personCard(person, {
      crop: address(`people/${encodeURIComponent(this.id)}/crops/${person.number}`),
      frames: survey.frames,
      first: survey.trim[0],
      isDoubtful: survey.doubtful.some((pair) => pair.person === person.number),
      images: known.filter(({ kind }) => kind === 'image'),
      voices: known.filter(({ kind }) => kind === 'audio' || kind === 'video'),
      takesFaces: draft.chosen.includes('face_swapper'),
      takesVoices: draft.chosen.includes('lip_syncer'),
      files,
      assign: (chosen) => this.assign(person.number, chosen),
      refer: () => this.refer(person, survey),
    });
  }

  /**
   * @param {number} person
   * @param {string[]} files
   */
  assign(person, files) {
    const draft = this.draft;
    if (!draft) return;
    const map = parseFaceMap(draft.text('face_map'));
    map.set(person, files);
    const text = writeFaceMap(map);
    // A step refuses a face map beside a reference face.
    if (draft.get('face_selector_mode') === 'reference') {
      draft.reset(['face_selector_mode', 'reference_face', 'reference_frame_number', 'reference_face_position']);
    }
    if (text) draft.set({ face_map: text });
    else draft.reset(['face_map']);
  }

  /**
   * Let the visitor click the face of a person in one of its frames; it becomes the reference face.
   * @param {Person} person
   * @param {Survey} survey
   */
  async refer(person, survey) {
    const draft = this.draft;
    const frame = person.best_frames[0] ?? 0;
    if (!draft) return;
    const picture = new PictureView();
    picture.classList.add('reference-picture');
    const body = el('div', { class: 'stack' }, el('p', { text: `Click the face of person ${person.number}. A run then changes only this person.` }), picture);
    const { dialog } = openDialog({ title: 'Reference face', body, actions: [{ value: '', text: 'Cancel' }], wide: true });
    picture.show();
    picture.addEventListener('face', (event) => {
      const face = /** @type {CustomEvent<Face>} */ (event).detail;
      draft.reset(['reference_face', 'face_map']);
      draft.set({ face_selector_mode: 'reference', reference_frame_number: frame, reference_face_position: face.position ?? 0 });
      showNote(`A run changes only person ${person.number}.`, { href: '#/studio', text: 'Look at it in Studio' });
      dialog.close('');
    });
    try {
      const { width, height, faces } = await request('POST', 'media/faces', { path: survey.target, number: frame, args: draft.sent });
      picture.pictures({ before: address('media/frame', { path: survey.target, number: frame, width: Math.min(width, 1280) }), size: { width, height } });
      picture.mark(faces);
    } catch (error) {
      dialog.close('');
      showError(error);
    }
  }
}
customElements.define('ff-people', People);
