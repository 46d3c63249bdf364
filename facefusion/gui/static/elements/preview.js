/** Fetches the pictures of a frame: the frame itself, the result of the draft, and the faces. The newest request wins. */

import { address, isAbort, request, send } from '../api.js';
import { debounced } from './dom.js';

const DELAY_MS = 120;
const PATIENCE_MS = 500;

/**
 * @typedef {{path: string, frame: number, width: number, args: import('../types.js').Args | null, wantsFaces: boolean}} Wish
 *   without args only the frame itself is wanted
 * @typedef {{onBefore: (blob: Blob) => void, onAfter: (blob: Blob, isChanged: boolean) => void, onFaces: (faces:
 *   import('../types.js').Face[]) => void, onError: (error: unknown) => void, onBusy: (isBusy: boolean) => void}} Answers
 */

export class Preview {
  /** @param {Answers} answers */
  constructor(answers) {
    this.answers = answers;
    this.control = new AbortController();
    this.before = '';
    this.ask = debounced(DELAY_MS, (/** @type {Wish} */ wish) => this.fetch(wish));
  }

  stop() {
    this.ask.stop();
    this.control.abort();
    this.answers.onBusy(false);
  }

  /** @param {Wish} wish */
  async fetch(wish) {
    this.control.abort();
    const control = (this.control = new AbortController());
    this.answers.onBusy(true);
    try {
      await this.pictures(wish, control.signal);
      if (wish.wantsFaces) await this.find(wish, control.signal);
    } catch (error) {
      if (!isAbort(error) && !control.signal.aborted) this.answers.onError(error);
    } finally {
      if (this.control === control) this.answers.onBusy(false);
    }
  }

  /**
   * Show both pictures of a frame at once; the frame alone if the result takes long or fails.
   * @param {Wish} wish
   * @param {AbortSignal} signal
   */
  async pictures({ path, frame, width, args }, signal) {
    const key = address('media/frame', { path, number: frame, width });
    const isNew = key !== this.before;
    const plain = isNew ? request('GET', key, undefined, { signal }) : Promise.resolve(null);
    const result = args ? send('POST', 'preview', { args, frame, width }, { signal }) : null;
    result?.catch(() => {});
    const blob = await plain;
    const show = () => {
      if (!blob || signal.aborted || this.before === key) return;
      this.before = key;
      this.answers.onBefore(blob);
    };
    const timer = setTimeout(show, PATIENCE_MS);
    try {
      const response = await result;
      if (!response) return show();
      if (response.status === 204) return;
      const after = await response.blob();
      show();
      this.answers.onAfter(after, response.headers.get('x-changed') !== 'no');
    } catch (error) {
      if (!isAbort(error)) show();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * @param {Wish} wish
   * @param {AbortSignal} signal
   */
  async find({ path, frame, args }, signal) {
    const { faces } = await request('POST', 'media/faces', { path, number: frame, args: args ?? {} }, { signal });
    if (!signal.aborted) this.answers.onFaces(faces);
  }

  /** Forget the shown frame, for another target. */
  forget() {
    this.before = '';
  }
}
