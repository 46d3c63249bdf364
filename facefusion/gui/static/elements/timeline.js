/**
 * `<ff-timeline>`: chooses a frame and the trimmed range of a video. Dispatches `frame` (detail: number) while the
 * frame moves, and `trim` (detail: {start, end}; null: the whole clip on that side).
 */

import { el } from './dom.js';
import { formatClock } from './format.js';
import { icon } from './icon.js';

export class Timeline extends HTMLElement {
  /** Build the parts. */
  show() {
    this.frames = 1;
    this.fps = 25;
    /** @type {number} */
    this.frame = 0;
    this.start = 0;
    this.end = 1;
    this.head = this.handle('head', 'Frame');
    this.left = this.handle('trim-start', 'First frame of the output');
    this.right = this.handle('trim-end', 'Last frame of the output');
    this.range = el('div', { class: 'range' });
    this.track = el('div', { class: 'track' }, this.range, this.left, this.right, this.head);
    this.track.addEventListener('pointerdown', (event) => this.grab(event));
    this.number = el('input', { type: 'number', min: 0, step: 1, 'aria-label': 'Frame number', class: 'frame-number' });
    this.number.addEventListener('input', () => this.number?.value && this.go(Number(this.number.value)));
    this.clock = el('span', { class: 'muted clock' });
    const button = (/** @type {string} */ picture, /** @type {string} */ label, /** @type {() => void} */ act) =>
      el('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick: act }, icon(picture));
    const word = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ act) =>
      el('button', { type: 'button', class: 'button small quiet', 'aria-label': label, title: label, text, onclick: act });
    this.whole = word('Whole clip', 'Whole clip: remove the trim', () => this.cut(0, this.frames ?? 1));
    this.append(
      this.track,
      el(
        'div',
        { class: 'timeline-tools' },
        button('first', 'First frame', () => this.go(this.start ?? 0)),
        button('left', 'Previous frame', () => this.go(this.now - 1)),
        this.number,
        button('right', 'Next frame', () => this.go(this.now + 1)),
        button('last', 'Last frame', () => this.go((this.end ?? 1) - 1)),
        this.clock,
        el('span', { class: 'push' }),
        this.whole,
        word('Start here', 'Start here: the output starts with this frame', () => this.cut(this.now, Math.max(this.end ?? 1, this.now + 1))),
        word('End here', 'End here: the output ends with this frame', () => this.cut(Math.min(this.start ?? 0, this.now), this.now + 1)),
      ),
    );
  }

  get now() {
    return this.frame ?? 0;
  }

  /**
   * @param {string} name
   * @param {string} label
   */
  handle(name, label) {
    const node = el('div', { class: `handle ${name}`, role: 'slider', tabindex: '0', 'aria-label': label, 'data-name': name });
    node.addEventListener('keydown', (event) => this.press(event, name));
    return node;
  }

  /**
   * Show another clip.
   * @param {number} frames
   * @param {number} fps
   */
  clip(frames, fps) {
    this.frames = Math.max(1, frames);
    this.fps = fps || 25;
    this.frame = Math.min(this.now, this.frames - 1);
    if (this.number) this.number.max = String(this.frames - 1);
    this.trim(null, null);
  }

  /**
   * Show a range.
   * @param {number | null} start
   * @param {number | null} end the frame after the last
   */
  trim(start, end) {
    const frames = this.frames ?? 1;
    this.start = Math.max(0, Math.min(start ?? 0, frames - 1));
    this.end = Math.max(this.start + 1, Math.min(end ?? frames, frames));
    this.paint();
  }

  /** @param {number} frame */
  go(frame) {
    const to = Math.max(0, Math.min(Math.round(frame), (this.frames ?? 1) - 1));
    if (!Number.isFinite(to)) return;
    const moved = to !== this.frame;
    this.frame = to;
    this.paint();
    if (moved) this.dispatchEvent(new CustomEvent('frame', { detail: to }));
  }

  /**
   * @param {number} start
   * @param {number} end
   */
  cut(start, end) {
    this.trim(Math.round(start), Math.round(end));
    const detail = { start: this.start === 0 ? null : this.start, end: this.end === this.frames ? null : this.end };
    this.dispatchEvent(new CustomEvent('trim', { detail }));
  }

  /**
   * @param {string} name
   * @param {number} frame
   */
  place(name, frame) {
    if (name === 'head') this.go(frame);
    else if (name === 'trim-start') this.cut(Math.max(0, Math.min(frame, (this.end ?? 1) - 1)), this.end ?? 1);
    else this.cut(this.start ?? 0, Math.max(frame + 1, (this.start ?? 0) + 1));
  }

  /**
   * @param {KeyboardEvent} event
   * @param {string} name
   */
  press(event, name) {
    const at = { head: this.now, 'trim-start': this.start ?? 0 }[name] ?? (this.end ?? 1) - 1;
    const second = Math.max(1, Math.round(this.fps ?? 25));
    const unit = event.shiftKey ? 10 : 1;
    const last = (this.frames ?? 1) - 1;
    /** @type {Record<string, number>} */
    const places = { ArrowLeft: at - unit, ArrowDown: at - unit, ArrowRight: at + unit, ArrowUp: at + unit, PageDown: at - second,
      PageUp: at + second, Home: 0, End: last };
    const to = places[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.place(name, Math.max(0, Math.min(to, last)));
  }

  /** @param {PointerEvent} event */
  grab(event) {
    if (event.button !== 0 || !this.track) return;
    const handle = /** @type {HTMLElement} */ (event.target).closest('.handle');
    const name = handle instanceof HTMLElement ? (handle.dataset.name ?? 'head') : 'head';
    const box = this.track.getBoundingClientRect();
    const frameAt = (/** @type {PointerEvent} */ at) => Math.round(((at.clientX - box.left) / box.width) * ((this.frames ?? 1) - 1));
    const move = (/** @type {PointerEvent} */ at) => this.place(name, Math.max(0, Math.min(frameAt(at), (this.frames ?? 1) - 1)));
    this.track.setPointerCapture(event.pointerId);
    const stop = new AbortController();
    this.track.addEventListener('pointermove', move, { signal: stop.signal });
    for (const end of ['pointerup', 'pointercancel']) this.track.addEventListener(end, () => stop.abort(), { signal: stop.signal });
    if (name === 'head') move(event);
    /** @type {HTMLElement | null} */ (this.track.querySelector(`.${name}`))?.focus();
    event.preventDefault();
  }

  paint() {
    const last = Math.max(1, (this.frames ?? 1) - 1);
    const fps = this.fps ?? 25;
    const start = this.start ?? 0;
    const end = (this.end ?? 1) - 1;
    const at = (/** @type {number} */ frame) => `${(100 * frame) / last}%`;
    if (!this.head || !this.left || !this.right || !this.range || !this.number || !this.clock || !this.whole) return;
    for (const [node, frame] of /** @type {[HTMLElement, number][]} */ ([[this.head, this.now], [this.left, start], [this.right, end]])) {
      node.style.left = at(frame);
      node.setAttribute('aria-valuemin', '0');
      node.setAttribute('aria-valuemax', String(last));
      node.setAttribute('aria-valuenow', String(frame));
      node.setAttribute('aria-valuetext', `frame ${frame}, ${formatClock(frame / fps)}`);
    }
    this.range.style.left = at(start);
    this.range.style.width = at(end - start);
    if (document.activeElement !== this.number) this.number.value = String(this.now);
    const isTrimmed = start > 0 || this.end !== this.frames;
    this.whole.hidden = !isTrimmed;
    const kept = isTrimmed ? ` · output: frames ${start} to ${end}` : '';
    this.clock.textContent = `${formatClock(this.now / fps)} of ${formatClock((this.frames ?? 1) / fps)}${kept}`;
  }
}
customElements.define('ff-timeline', Timeline);
