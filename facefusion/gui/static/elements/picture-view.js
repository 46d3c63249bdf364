/**
 * `<ff-picture>`: the same frame before and after, under a movable bar, with zoom and pan, and boxes over faces.
 * Dispatches `face` (detail: Face) when a box is chosen, and `zoom` (detail: pixels of the screen per pixel of the
 * picture) when the shown size changed.
 */

import { el } from './dom.js';
import { icon } from './icon.js';

/** @typedef {import('../types.js').Face} Face */

const MOST_ZOOM = 16;
const STEP = 1.25;

export class PictureView extends HTMLElement {
  /** Build the parts. */
  show() {
    /** The size of the frame itself; the pictures may be smaller. */
    this.size = { width: 0, height: 0 };
    this.zoom = 1;
    this.pan = { x: 0, y: 0 };
    /** The place of the bar in percent of the visible picture. */
    this.split = 50;
    /** @type {'before' | 'split' | 'after'} */
    this.mode = 'split';
    /** @type {Face[]} */
    this.faces = [];
    this.hasAfter = false;
    /** @type {number} */
    this.lastScale = 0;
    this.original = el('img', { alt: 'The frame before', draggable: 'false' });
    this.result = el('img', { alt: 'The frame after', draggable: 'false' });
    this.front = el('div', { class: 'front' }, this.result);
    this.boxes = el('div', { class: 'boxes' });
    this.bar = el(
      'div',
      { class: 'split-bar', role: 'slider', tabindex: '0', 'aria-label': 'Bar between before and after', 'aria-valuemin': '0',
        'aria-valuemax': '100' },
      el('span', { class: 'split-grip' }, icon('left'), icon('right')),
    );
    this.names = el('div', { class: 'sides', 'aria-hidden': 'true' }, el('span', { text: 'Before' }), el('span', { text: 'After' }));
    this.stage = el(
      'div',
      { class: 'stage', tabindex: '0', role: 'group', 'aria-label': 'Picture: plus and minus zoom, 0 fits, arrow keys move a zoomed picture' },
      this.original, this.front, this.names, this.boxes, this.bar,
    );
    this.append(this.stage);
    this.listen(this.stage, this.bar);
    new ResizeObserver(() => this.paint()).observe(this.stage);
  }

  /**
   * @param {HTMLElement} stage
   * @param {HTMLElement} bar
   */
  listen(stage, bar) {
    stage.addEventListener('wheel', (event) => {
      if (!this.size?.width) return;
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? STEP : 1 / STEP, event);
    }, { passive: false });
    stage.addEventListener('dblclick', (event) => this.zoomBy(this.isZoomed ? 0 : 2.5, event));
    stage.addEventListener('keydown', (event) => this.press(event));
    bar.addEventListener('keydown', (event) => this.pressBar(event));
    /** @type {Map<number, PointerEvent>} */
    const fingers = new Map();
    stage.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || /** @type {HTMLElement} */ (event.target).closest('button')) return;
      fingers.set(event.pointerId, event);
      stage.setPointerCapture(event.pointerId);
      this.dragsBar = bar.contains(/** @type {Node} */ (event.target));
      if (this.dragsBar) bar.focus();
    });
    stage.addEventListener('pointermove', (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const other = [...fingers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
      fingers.set(event.pointerId, event);
      if (other) this.zoomBy(distance(event, other) / Math.max(1, distance(before, other)), event);
      else if (this.dragsBar) this.splitAt(event.clientX);
      else this.panBy(event.clientX - before.clientX, event.clientY - before.clientY);
    });
    for (const name of ['pointerup', 'pointercancel']) {
      stage.addEventListener(name, (event) => fingers.delete(/** @type {PointerEvent} */ (event).pointerId));
    }
  }

  get isZoomed() {
    return (this.zoom ?? 1) > 1.001;
  }

  /** Return the box of the picture in the stage, in CSS pixels, and the scale of its pixels. */
  get layout() {
    const { clientWidth: width = 1, clientHeight: height = 1 } = this.stage ?? {};
    const own = this.size?.width ? this.size : { width, height };
    const scale = Math.min(width / own.width, height / own.height) * (this.zoom ?? 1);
    const shown = { width: own.width * scale, height: own.height * scale };
    const { x, y } = this.pan ?? { x: 0, y: 0 };
    return { left: (width - shown.width) / 2 + x, top: (height - shown.height) / 2 + y, ...shown, scale, stage: { width, height } };
  }

  /**
   * Show other pictures; null keeps the one that is there.
   * @param {{before?: string | null, after?: string | null, size?: {width: number, height: number}}} pictures addresses
   */
  pictures({ before, after, size }) {
    if (size && this.size && (size.width !== this.size.width || size.height !== this.size.height)) {
      this.size = size;
      this.fit();
    }
    if (before && this.original) this.original.src = before;
    if (after && this.result) this.result.src = after;
    if (after !== undefined) this.hasAfter = after !== null;
    this.paint();
  }

  /** @param {'before' | 'split' | 'after'} mode */
  look(mode) {
    this.mode = mode;
    this.paint();
  }

  fit() {
    this.zoom = 1;
    this.pan = { x: 0, y: 0 };
    this.paint();
  }

  /** Show one pixel of the picture as one pixel of the screen. */
  exact() {
    const target = 1 / (globalThis.devicePixelRatio || 1);
    this.zoomBy(target / this.layout.scale);
  }

  /**
   * @param {number} factor 0: fit
   * @param {{clientX: number, clientY: number}} [at] the place that stays where it is; default: the middle
   */
  zoomBy(factor, at) {
    if (!this.stage || !this.pan) return;
    if (factor === 0) return this.fit();
    const box = this.stage.getBoundingClientRect();
    const { left, top, width, height } = this.layout;
    const x = (at ? at.clientX - box.left : box.width / 2) - (left + width / 2);
    const y = (at ? at.clientY - box.top : box.height / 2) - (top + height / 2);
    const zoom = Math.max(1, Math.min(MOST_ZOOM, (this.zoom ?? 1) * factor));
    const real = zoom / (this.zoom ?? 1);
    this.zoom = zoom;
    this.panBy(x - x * real, y - y * real);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  panBy(x, y) {
    if (!this.pan) return;
    const { width, height, stage } = this.layout;
    const most = { x: Math.max(0, (width - stage.width) / 2), y: Math.max(0, (height - stage.height) / 2) };
    this.pan = { x: clamp(this.pan.x + x, -most.x, most.x), y: clamp(this.pan.y + y, -most.y, most.y) };
    this.paint();
  }

  /** @param {number} clientX */
  splitAt(clientX) {
    const box = this.stage?.getBoundingClientRect();
    if (!box) return;
    const { from, to } = this.visible;
    this.split = clamp((100 * (clientX - box.left - from)) / Math.max(1, to - from), 0, 100);
    this.paint();
  }

  /** The horizontal range of the stage that the picture covers. */
  get visible() {
    const { left, width, stage } = this.layout;
    return { from: Math.max(0, left), to: Math.min(stage.width, left + width) };
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const acts = { '+': () => this.zoomBy(STEP), '=': () => this.zoomBy(STEP), '-': () => this.zoomBy(1 / STEP), 0: () => this.fit() };
    if (this.isZoomed) {
      Object.assign(acts, { ArrowLeft: () => this.panBy(60, 0), ArrowRight: () => this.panBy(-60, 0), ArrowUp: () => this.panBy(0, 60),
        ArrowDown: () => this.panBy(0, -60) });
    }
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  /** @param {KeyboardEvent} event */
  pressBar(event) {
    const unit = event.shiftKey ? 10 : 2;
    const split = this.split ?? 50;
    /** @type {Record<string, number>} */
    const places = { ArrowLeft: split - unit, ArrowDown: split - unit, ArrowRight: split + unit, ArrowUp: split + unit, Home: 0, End: 100,
      PageUp: split + 10, PageDown: split - 10 };
    const to = places[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.split = clamp(to, 0, 100);
    this.paint();
  }

  /**
   * Show boxes over the faces; [] removes them.
   * @param {Face[]} faces with boxes in pixels of the frame
   * @param {number | null} [reference] the position of the face that is the reference
   */
  mark(faces, reference = null) {
    this.faces = faces;
    this.boxes?.replaceChildren(
      ...faces.map((face, number) => {
        const age = face.age ? `, age ${face.age.join(' to ')}` : '';
        const facts = `Face ${number + 1}, score ${face.score.toFixed(2)}${face.gender ? `, ${face.gender}` : ''}${age}`;
        const isReference = reference !== null && face.position === reference;
        const reason = face.is_selected ? '' : ` (not selected: ${face.reason ?? 'by the options'})`;
        const act = isReference ? 'this is the reference face' : `use it as the reference face${reason}`;
        const box = el(
          'button',
          { type: 'button', class: `face-box ${face.is_selected || isReference ? 'selected' : ''}`, 'aria-label': `${facts}: ${act}`, title: `${facts}: ${act}`,
            'aria-disabled': String(face.position === null) },
          el('span', { text: String(number + 1) }),
        );
        box.addEventListener('click', () => face.position !== null && this.dispatchEvent(new CustomEvent('face', { detail: face })));
        return box;
      }),
    );
    this.paint();
  }

  paint() {
    if (!this.stage || !this.original || !this.result || !this.front || !this.bar || !this.boxes || !this.names) return;
    const { left, top, width, height, scale } = this.layout;
    const hasPicture = Boolean(this.size?.width && this.original.getAttribute('src'));
    for (const picture of [this.original, this.result]) {
      place(picture, left, top, width, height);
      picture.hidden = !hasPicture;
      // Enlarged pixels stay visible as pixels.
      picture.style.imageRendering = scale > 3 ? 'pixelated' : 'auto';
    }
    const { from, to } = this.visible;
    const x = from + ((to - from) * (this.split ?? 50)) / 100;
    const cut = { before: '100%', after: '0px', split: `${x}px` }[this.mode ?? 'split'];
    this.front.style.clipPath = `inset(0 0 0 ${cut})`;
    this.front.hidden = !hasPicture || !this.hasAfter;
    const isSplit = this.mode === 'split' && hasPicture && this.hasAfter === true;
    this.bar.hidden = this.names.hidden = !isSplit;
    const upper = Math.max(0, top);
    const lower = Math.min(this.layout.stage.height, top + height);
    place(this.bar, x, upper, 28, lower - upper);
    this.bar.setAttribute('aria-valuenow', String(Math.round(this.split ?? 50)));
    this.bar.setAttribute('aria-valuetext', `${Math.round(this.split ?? 50)} percent before`);
    place(this.names, from, Math.max(0, top), to - from, 0);
    this.stage.classList.toggle('zoomed', this.isZoomed);
    [...this.boxes.children].forEach((node, number) => {
      const box = this.faces?.[number]?.box;
      if (!box) return;
      // A face may reach over the edge; its box ends with the shown picture, so that its number stays visible.
      const sides = [Math.max(from, left + box[0] * scale), Math.min(to, left + (box[0] + box[2]) * scale)];
      const ends = [Math.max(upper, top + box[1] * scale), Math.min(lower, top + (box[1] + box[3]) * scale)];
      const [x0 = 0, x1 = 0, y0 = 0, y1 = 0] = [...sides, ...ends];
      /** @type {HTMLElement} */ (node).hidden = x1 - x0 < 4 || y1 - y0 < 4;
      place(/** @type {HTMLElement} */ (node), x0, y0, x1 - x0, y1 - y0);
    });
    if (scale !== this.lastScale) {
      this.lastScale = scale;
      this.dispatchEvent(new CustomEvent('zoom', { detail: scale }));
    }
  }
}
customElements.define('ff-picture', PictureView);

/** @param {{clientX: number, clientY: number}} one @param {{clientX: number, clientY: number}} other */
const distance = (one, other) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);

/** @param {number} value @param {number} least @param {number} most */
const clamp = (value, least, most) => Math.max(least, Math.min(most, value));

/** @param {HTMLElement} node @param {number} left @param {number} top @param {number} width @param {number} height */
function place(node, left, top, width, height) {
  Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}
