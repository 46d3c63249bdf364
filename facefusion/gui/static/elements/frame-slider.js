/** A slider over the frames of a clip. */

import { el } from './dom.js';
import { formatClock } from './format.js';

const DELAY_MS = 80;

/**
 * Return a slider over the frames of a clip, or an empty element for a picture.
 * @param {import('../types.js').Media} media
 * @param {(number: number) => void} show
 */
export function frameSlider(media, show) {
  const last = (media.frames ?? 1) - 1;
  if (last < 1) return el('span');
  const text = el('output', { class: 'muted' });
  const slider = el('input', { type: 'range', min: 0, max: last, step: 1, value: 0, 'aria-label': 'Frame' });
  const describe = () => {
    const number = Number(slider.value);
    text.textContent = `frame ${number} of ${last}${media.fps ? `, ${formatClock(number / media.fps)}` : ''}`;
    slider.setAttribute('aria-valuetext', text.textContent);
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  slider.addEventListener('input', () => {
    describe();
    clearTimeout(timer);
    timer = setTimeout(() => show(Number(slider.value)), DELAY_MS);
  });
  describe();
  return el('div', { class: 'frame-slider' }, slider, text);
}
