/** A result beside its target, under a movable bar: <ff-result-compare>. */

import { address } from '../api.js';
import { el } from './dom.js';
import { frameSlider } from './frame-slider.js';

const WIDTH = 1280;

export class ResultCompare extends HTMLElement {
  /**
   * @param {{path: string, first: number}} target the processed file, and its frame that became the first of the result
   * @param {string} result
   * @param {import('../types.js').Media} media of the result
   */
  constructor(target, result, media) {
    super();
    this.target = target;
    this.result = result;
    this.media = media;
    this.targetImage = el('img', { alt: 'Target', draggable: 'false' });
    this.resultImage = el('img', { alt: 'Result', class: 'compare-after', draggable: 'false' });
    this.bar = el('input', { type: 'range', min: 0, max: 100, step: 0.5, value: 50, 'aria-label': 'Left of the bar: target; right of it: result' });
  }

  connectedCallback() {
    if (this.firstChild) return;
    const line = el('div', { class: 'compare-line' });
    const names = el('div', { class: 'compare-names' }, el('span', { text: 'Target' }), el('span', { text: 'Result' }));
    const frame = el('div', { class: 'compare-frame' }, this.targetImage, this.resultImage, line, names, this.bar);
    const place = () => frame.style.setProperty('--bar', `${this.bar.value}%`);
    this.bar.addEventListener('input', place);
    place();
    this.append(frame, frameSlider(this.media, (number) => this.show(number)));
    this.show(0);
  }

  /** @param {number} number the frame of the result */
  show(number) {
    const first = this.media.kind === 'video' ? this.target.first : 0;
    this.targetImage.src = address('media/frame', { path: this.target.path, number: first + number, width: WIDTH });
    this.resultImage.src = address('media/frame', { path: this.result, number, width: WIDTH });
  }
}

customElements.define('ff-result-compare', ResultCompare);
