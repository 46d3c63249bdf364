/** The screen Studio: target, sources, processors and options on one side, the live picture on the other. */

import { el, onDrop } from '../elements/dom.js';
import { icon } from '../elements/icon.js';
import { errorBox, showNote } from '../elements/notice.js';
import { OptionList } from '../elements/option-list.js';
import { PictureView } from '../elements/picture-view.js';
import { Preview } from '../elements/preview.js';
import { ProcessorList } from '../elements/processor-list.js';
import { RunPanel } from '../elements/run-panel.js';
import { SourceList } from '../elements/source-list.js';
import { TargetInput } from '../elements/target-input.js';
import { Timeline } from '../elements/timeline.js';
import { openDraft } from '../state/draft.js';

/** @typedef {import('../types.js').Media} Media */
/** @typedef {import('../state/draft.js').Draft} Draft */

const WIDTH_STEP = 160;
/** Options that do not change the picture of a frame. */
const UNSEEN = /^(output_(path|video_(encoder|preset|quality|fps)|audio_|image_quality)|trim_frame_|consent$)/;

class Studio extends HTMLElement {
  /** @type {Draft | null} */
  draft = null;
  /** @type {Media | null} */
  media = null;
  isShown = false;
  /** @type {Promise<void> | undefined} */
  building = undefined;
  sources = new SourceList();
  target = new TargetInput();
  processors = new ProcessorList();
  options = new OptionList();
  picture = new PictureView();
  timeline = new Timeline();
  run = new RunPanel();
  steps = el('ol', { class: 'steps', 'aria-label': 'Steps' });
  problem = el('div', { class: 'problem' });
  empty = el('div', { class: 'start' });
  busy = el('div', { class: 'busy', hidden: true });
  showsFaces = false;
  preview = new Preview({
    onBefore: (blob) => this.swap({ before: blob }),
    onAfter: (blob, isChanged) => this.finished(blob, isChanged),
    onFaces: (faces) => this.picture.mark(this.showsFaces ? faces : [], this.reference),
    onError: (error) => this.failed(error),
    onBusy: (isBusy) => this.wait(isBusy),
  });
  /** @type {Record<string, string>} the object addresses of the shown pictures */
  addresses = {};

  async opened() {
    this.isShown = true;
    try {
      await (this.building ??= this.build());
      this.look();
    } catch (error) {
      this.building = undefined;
      this.replaceChildren(el('div', { class: 'screen' }, errorBox(error), el('button', { type: 'button', class: 'button', text: 'Try again', onclick: () => this.opened() })));
    }
  }

  left() {
    this.isShown = false;
    this.preview.stop();
  }

  async build() {
    const draft = (this.draft = await openDraft());
    const part = (/** @type {string} */ title, /** @type {HTMLElement} */ body) =>
      el('section', { class: 'part', 'aria-label': title }, el('h2', { text: title }), body);
    this.replaceChildren(
      el('h1', { class: 'unseen', text: 'Studio' }),
      el(
        'div',
        { class: 'inputs', role: 'region', 'aria-label': 'Inputs and options', tabindex: '-1' },
        el('section', { class: 'part', 'aria-label': 'Target and output' }, this.target),
        part('Sources', this.sources),
        part('Processors', this.processors),
        part('Options', this.options),
      ),
      el('div', { class: 'viewer' }, this.tools(), el('div', { class: 'view' }, this.picture, this.busy, this.empty, this.problem), this.timeline, this.run),
    );
    this.picture.show();
    this.timeline.show();
    this.listen(draft);
    for (const part of [this.target, this.sources, this.processors, this.options, this.run]) part.show(draft);
    this.guide();
  }

  tools() {
    const modes = /** @type {const} */ ({ before: 'Before', split: 'Compare', after: 'After' });
    const buttons = Object.entries(modes).map(([mode, text]) => {
      const button = el('button', { type: 'button', text, 'aria-pressed': String(mode === 'split') });
      button.addEventListener('click', () => {
        this.picture.look(/** @type {'before' | 'split' | 'after'} */ (mode));
        for (const other of buttons) other.setAttribute('aria-pressed', String(other === button));
      });
      return button;
    });
    const tool = (/** @type {string} */ picture, /** @type {string} */ label, /** @type {() => void} */ act) =>
      el('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick: act }, icon(picture));
    this.faceButton = el('button', { type: 'button', class: 'button small faces-toggle', 'aria-pressed': 'false' }, icon('faces'), 'Faces');
    this.faceButton.addEventListener('click', () => this.toggleFaces());
    this.zoomText = el('button', { type: 'button', class: 'zoom-text', title: 'Show one pixel as one pixel', text: '100 %', onclick: () => this.picture.exact() });
    this.note = el('span', { class: 'muted small-text preview-note', role: 'status' });
    return el(
      'div',
      { class: 'view-tools' },
      el('div', { class: 'segments', role: 'group', 'aria-label': 'Shown picture' }, ...buttons),
      this.faceButton,
      this.note,
      el('span', { class: 'push' }),
      tool('minus', 'Zoom out', () => this.picture.zoomBy(0.8)),
      this.zoomText,
      tool('plus', 'Zoom in', () => this.picture.zoomBy(1.25)),
      tool('fit', 'Fit the picture', () => this.picture.fit()),
    );
  }

  /** @param {Draft} draft */
  listen(draft) {
    this.target.addEventListener('media', (event) => this.probed(/** @type {CustomEvent<Media | null>} */ (event).detail));
    this.timeline.addEventListener('frame', () => this.look());
    this.timeline.addEventListener('trim', (event) => {
      const { start, end } = /** @type {CustomEvent<{start: number | null, end: number | null}>} */ (event).detail;
      draft.set({ trim_frame_start: start, trim_frame_end: end });
    });
    this.picture.addEventListener('face', (event) => this.refer(/** @type {CustomEvent<import('../types.js').Face>} */ (event).detail));
    this.picture.addEventListener('zoom', (event) => this.zoomed(/** @type {CustomEvent<number>} */ (event).detail));
    draft.addEventListener('change', (event) => {
      const keys = [.../** @type {CustomEvent<Set<string>>} */ (event).detail];
      if (keys.some((key) => key.startsWith('trim_frame_'))) this.showTrim();
      if (['source_paths', 'processors', 'face_map'].some((key) => keys.includes(key))) this.guide();
      if (!keys.includes('target_path') && keys.some((key) => !UNSEEN.test(key))) this.look();
    });
    onDrop(/** @type {HTMLElement} */ (this.querySelector('.view')), (files) => this.target.bring(files));
    document.addEventListener('visibilitychange', () => (document.hidden ? this.preview.stop() : this.look()));
    document.addEventListener('keydown', (event) => this.press(event));
  }

  /**
   * Step through the frames with the arrow keys where nothing else uses them.
   * @param {KeyboardEvent} event
   */
  press(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.defaultPrevented || !this.isShown || this.media?.kind !== 'video' || document.querySelector('dialog[open]')) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = /** @type {HTMLElement} */ (event.target);
    if (node.closest('input, select, textarea, [role=slider], [role=tab]')) return;
    event.preventDefault();
    this.timeline.go(this.timeline.now + step * (event.shiftKey ? 10 : 1));
  }

  /** @param {Media | null} media */
  probed(media) {
    this.media = media;
    this.preview.stop();
    this.preview.forget();
    this.problem.replaceChildren();
    this.picture.mark([]);
    this.classList.toggle('has-target', media !== null);
    this.timeline.hidden = media?.kind !== 'video';
    if (media?.kind === 'video') {
      this.timeline.clip(media.frames ?? 1, media.fps ?? 25);
      this.showTrim();
    } else this.timeline.frame = 0;
    this.picture.pictures({ after: null });
    if (media?.width && media.height) {
      this.picture.pictures({ size: { width: media.width, height: media.height } });
      // Narrow screens give the picture its own shape.
      this.style.setProperty('--ratio', String(media.width / media.height));
    }
    this.guide();
    this.look();
  }

  showTrim() {
    const number = (/** @type {string} */ key) => {
      const value = this.draft?.get(key);
      return typeof value === 'number' ? value : null;
    };
    this.timeline.trim(number('trim_frame_start'), number('trim_frame_end'));
  }

  /** Ask for the pictures of the present frame, if anybody can see them. */
  look() {
    if (!this.isShown || document.hidden || !this.media || !this.draft || this.media.kind === 'audio') return;
    const { path } = this.media;
    this.preview.ask({ path, frame: this.timeline.now, width: this.width, args: this.draft.lacksSource ? null : this.draft.sent, wantsFaces: this.showsFaces });
  }

  /** The width of the pictures that the screen can show. */
  get width() {
    const pixels = this.picture.layout.width * (globalThis.devicePixelRatio || 1);
    return Math.min(this.media?.width ?? 1280, Math.ceil(Math.max(pixels, WIDTH_STEP) / WIDTH_STEP) * WIDTH_STEP);
  }

  /** @param {number} scale */
  zoomed(scale) {
    if (this.zoomText) this.zoomText.textContent = `${Math.round(100 * scale * (globalThis.devicePixelRatio || 1))} %`;
    const needed = this.width;
    if (needed > (this.shownWidth ?? 0)) this.look();
    this.shownWidth = needed;
  }

  /** @param {{before?: Blob, after?: Blob}} blobs */
  async swap(blobs) {
    const entries = Object.entries(blobs).map(([side, blob]) => ({ side, url: URL.createObjectURL(blob) }));
    if (blobs.before) {
      this.picture.mark([]);
      if (!blobs.after) this.picture.pictures({ after: null });
    }
    this.picture.pictures(Object.fromEntries(entries.map(({ side, url }) => [side, url])));
    for (const { side, url } of entries) {
      const old = this.addresses[side];
      this.addresses[side] = url;
      // The old picture is on the screen until the new one is decoded.
      if (old) setTimeout(() => URL.revokeObjectURL(old), 2000);
    }
  }

  /**
   * @param {Blob} blob
   * @param {boolean} isChanged
   */
  finished(blob, isChanged) {
    this.problem.replaceChildren();
    this.swap({ after: blob });
    if (this.note) this.note.textContent = isChanged ? '' : 'No change in this frame';
  }

  /** @param {unknown} error */
  failed(error) {
    this.picture.pictures({ after: null });
    if (this.note) this.note.textContent = '';
    this.problem.replaceChildren(errorBox(error));
  }

  /** @param {boolean} isBusy */
  wait(isBusy) {
    clearTimeout(this.busyTimer);
    if (!isBusy) this.busy.hidden = true;
    else this.busyTimer = setTimeout(() => (this.busy.hidden = false), 150);
  }

  toggleFaces() {
    this.showsFaces = !this.showsFaces;
    this.faceButton?.setAttribute('aria-pressed', String(this.showsFaces));
    if (this.showsFaces) this.look();
    else this.picture.mark([]);
  }

  /** The position of the reference face, if the shown frame has it. */
  get reference() {
    const draft = this.draft;
    const isHere = draft?.get('face_selector_mode') === 'reference' && draft.get('reference_frame_number') === this.timeline.now;
    return isHere && !draft.get('reference_face') ? Number(draft.get('reference_face_position')) : null;
  }

  /** @param {import('../types.js').Face} face */
  refer(face) {
    this.draft?.reset(['reference_face', 'face_map']);
    this.draft?.set({ face_selector_mode: 'reference', reference_frame_number: this.timeline.now, reference_face_position: face.position ?? 0 });
    showNote(`Only this person is changed now: face ${(face.position ?? 0) + 1} of frame ${this.timeline.now}.`);
  }

  /** Show the next step to somebody who starts. */
  guide() {
    const draft = this.draft;
    if (!draft) return;
    const hasTarget = this.media !== null;
    const hasSource = !draft.lacksSource;
    const stages = [
      { title: 'Target', text: 'the image or video to change', isDone: hasTarget },
      { title: 'Source', text: 'a picture of the face to insert', isDone: hasSource },
      { title: 'Look', text: 'compare before and after, and try options', isDone: false },
      { title: 'Run', text: 'now, or later from the queue', isDone: false },
    ];
    const next = stages.findIndex(({ isDone }) => !isDone);
    this.steps.replaceChildren(
      ...stages.map(({ title, text, isDone }, number) =>
        el(
          'li',
          { class: isDone ? 'done' : number === next ? 'next' : '', 'aria-current': number === next ? 'step' : null },
          el('span', { class: 'step-number' }, isDone ? icon('check') : String(number + 1)),
          el('span', {}, el('b', { text: title }), el('span', { class: 'step-text', text })),
        ),
      ),
    );
    const target = el('button', { type: 'button', class: 'button primary', onclick: () => this.target.browse() }, icon('folder'), 'Choose a target');
    const source = el('button', { type: 'button', class: 'button primary small', onclick: () => this.sources.browse() }, icon('plus'), 'Add source');
    this.empty.hidden = hasTarget && hasSource;
    this.empty.classList.toggle('slim', hasTarget);
    this.empty.replaceChildren(
      ...(hasTarget
        ? [el('span', { text: 'Next: add a source, a picture of the face to insert.' }), source]
        : [el('h2', { text: 'Start here' }), this.steps, target, el('p', { text: 'or drop a file here' })]),
    );
  }
}
customElements.define('ff-studio', Studio);
