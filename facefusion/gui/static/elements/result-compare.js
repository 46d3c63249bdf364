/** A result and its target under the movable bar of the Studio, frame by frame: <ff-result-compare>. */

import { address } from '../api.js';
import { el } from './dom.js';
import { frameSlider } from './frame-slider.js';
import { PictureView } from './picture-view.js';

const WIDTH = 1920;

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
    this.picture = new PictureView();
  }

  connectedCallback() {
    if (this.firstChild) return;
    this.append(el('div', { class: 'compare-stage' }, this.picture), frameSlider(this.media, (number) => this.show(number)));
    this.picture.show();
    this.show(0);
  }

  /** @param {number} number the frame of the result */
  show(number) {
    const first = this.media.kind === 'video' ? this.target.first : 0;
    this.picture.pictures({
      before: address('media/frame', { path: this.target.path, number: first + number, width: WIDTH }),
      after: address('media/frame', { path: this.result, number, width: WIDTH }),
      size: { width: this.media.width ?? 0, height: this.media.height ?? 0 },
    });
  }
}

customElements.define('ff-result-compare', ResultCompare);
