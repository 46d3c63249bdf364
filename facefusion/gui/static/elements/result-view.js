/** A result: play it, compare it with its target, verify it, download it. <ff-result> */

import { address, contentUrl, request } from '../api.js';
import { el } from './dom.js';
import { fileName, formatBytes } from './format.js';
import { frameSlider } from './frame-slider.js';
import { icon } from './icon.js';
import { errorBox } from './notice.js';
import { ResultCompare } from './result-compare.js';
import { Verdict } from './verdict.js';

/** @typedef {import('../types.js').Media} Media */

const PLAYABLE = /\.(mp4|m4v|webm)$/i;
const WIDTH = 1280;

export class ResultView extends HTMLElement {
  /**
   * @param {{path: string, size?: number}} output
   * @param {{path: string, first: number} | null} target the processed file, and its frame that became the first here
   */
  constructor(output, target) {
    super();
    this.output = output;
    this.target = target;
    this.stage = el('div', { class: 'result-stage' });
    this.verdict = new Verdict();
    this.verdict.path = output.path;
    this.modes = el('div', { class: 'row', role: 'group', 'aria-label': 'View' });
  }

  async connectedCallback() {
    if (this.firstChild) return;
    const { path, size } = this.output;
    const link = el('a', { class: 'button', href: contentUrl(path), download: fileName(path) }, icon('download'), 'Download');
    this.append(
      el(
        'div',
        { class: 'row between' },
        el('h3', {}, fileName(path), ' ', el('span', { class: 'muted', text: size ? formatBytes(size) : '' })),
        el('div', { class: 'row' }, this.modes, this.verdict.button, link),
      ),
      el('p', { class: 'muted mono path', text: path }),
      this.stage,
      this.verdict,
    );
    try {
      /** @type {Media} */
      const media = await request('GET', address('media', { path }));
      this.offer(media);
    } catch (error) {
      this.stage.replaceChildren(errorBox(error));
    }
  }

  /** @param {Media} media */
  offer(media) {
    const isVisible = media.kind === 'image' || media.kind === 'video';
    /** @type {[string, string, () => HTMLElement][]} */
    const views = [
      media.kind === 'image' ? ['image', 'Picture', () => this.player(media)] : ['play', 'Play', () => this.player(media)],
    ];
    if (isVisible && this.target) {
      const target = this.target;
      views.push(['compare', 'Compare', () => new ResultCompare(target, this.output.path, media)]);
    }
    const buttons = views.map(([picture, text, make]) => {
      const button = el('button', { type: 'button', class: 'button quiet', 'aria-pressed': 'false' }, icon(picture), text);
      button.addEventListener('click', () => {
        for (const each of buttons) each.setAttribute('aria-pressed', String(each === button));
        this.stage.replaceChildren(make());
      });
      return button;
    });
    if (buttons.length > 1) this.modes.replaceChildren(...buttons);
    buttons[0]?.click();
  }

  /** @param {Media} media */
  player(media) {
    const { path } = this.output;
    const name = fileName(path);
    if (media.kind === 'audio') return el('audio', { src: contentUrl(path), controls: true, 'aria-label': name });
    if (media.kind === 'image') return el('img', { src: contentUrl(path), alt: `The result ${name}` });
    if (media.kind !== 'video') return el('p', { class: 'muted', text: 'This file cannot be shown here. Download it instead.' });
    if (!PLAYABLE.test(path)) return framePlayer(path, media);
    const video = el('video', { src: contentUrl(path), controls: true, preload: 'metadata', 'aria-label': name });
    video.addEventListener('error', () => video.replaceWith(framePlayer(path, media)));
    return video;
  }
}

/**
 * Return a clip that the browser cannot play, one frame at a time.
 * @param {string} path
 * @param {Media} media
 */
function framePlayer(path, media) {
  const image = el('img', { alt: `A frame of ${fileName(path)}` });
  const show = (/** @type {number} */ number) => (image.src = address('media/frame', { path, number, width: WIDTH }));
  show(0);
  const note = el('p', { class: 'muted small-text', text: 'The browser cannot play this format, so you see single frames.' });
  return el('div', { class: 'stack' }, image, frameSlider(media, show), note);
}

customElements.define('ff-result', ResultView);
