/** `<ff-sources>`: the source files with their fitness in words. */

import { address, isAbort, request } from '../api.js';
import { el, onDrop } from './dom.js';
import { chooseFiles } from './file-dialog.js';
import { asSentence, counted, fileName } from './format.js';
import { icon } from './icon.js';
import { showError } from './notice.js';
import { uploadFiles } from './uploads.js';

/** @typedef {import('../types.js').SourceFitness} SourceFitness */

export class SourceList extends HTMLElement {
  /** @param {import('../state/draft.js').Draft} draft */
  show(draft) {
    this.draft = draft;
    /** @type {Map<string, SourceFitness>} */
    this.fitness = new Map();
    this.list = el('ul', { class: 'files', 'aria-label': 'Sources' });
    this.uploads = el('div');
    const add = el('button', { type: 'button', class: 'button' }, icon('plus'), 'Add source');
    add.addEventListener('click', () => this.browse());
    this.path = el('input', { type: 'text', placeholder: 'or paste a path', 'aria-label': 'Path of a source', spellcheck: 'false' });
    this.path.addEventListener('change', () => this.addPath());
    const link = el('a', { href: '#/people', text: 'People' });
    this.mapped = el('p', { class: 'mapped muted small-text', hidden: true }, 'Each person has sources of its own: ', link, '.');
    this.append(this.list, this.mapped, this.uploads, el('div', { class: 'add-row' }, add, this.path));
    onDrop(this, async (files) => this.add(await uploadFiles(files, /** @type {HTMLElement} */ (this.uploads))));
    draft.addEventListener('change', (event) => {
      const keys = /** @type {CustomEvent<Set<string>>} */ (event).detail;
      if (keys.has('source_paths') || keys.has('face_map')) this.render();
    });
    this.render();
  }

  async browse() {
    const near = this.draft?.list('source_paths').at(-1) ?? '';
    this.add(await chooseFiles({ title: 'Choose sources: pictures of a face, or a voice', kind: 'media', isMany: true, near }));
  }

  addPath() {
    const path = this.path?.value.trim() ?? '';
    if (path && this.path) this.path.value = '';
    if (path) this.add([path]);
  }

  /** @param {string[]} paths */
  add(paths) {
    const known = this.draft?.list('source_paths') ?? [];
    if (paths.length) this.draft?.set({ source_paths: [...new Set([...known, ...paths])] });
  }

  /** @param {string} path */
  drop(path) {
    this.draft?.set({ source_paths: this.draft.list('source_paths').filter((known) => known !== path) });
    this.querySelector('button')?.focus();
  }

  render() {
    const paths = this.draft?.list('source_paths') ?? [];
    this.list?.replaceChildren(...paths.map((path) => this.row(path)));
    if (this.mapped) this.mapped.hidden = this.draft?.text('face_map') === '';
    if (paths.some((path) => !this.fitness?.has(path))) this.judge(paths);
  }

  /**
   * Return the kind of a source: that of its fitness, or until it is known that of its name.
   * @param {string} path
   */
  kindOf(path) {
    return this.fitness?.get(path)?.kind ?? (/\.(wav|mp3|m4a|aac|flac|ogg|opus)$/i.test(path) ? 'audio' : 'image');
  }

  /** @param {string[]} paths */
  async judge(paths) {
    this.judging?.abort();
    this.judging = new AbortController();
    try {
      const { sources } = await request('POST', 'sources', { paths }, { signal: this.judging.signal });
      for (const source of sources) this.fitness?.set(source.path, source);
      // The server may return resolved paths, in the order of the request.
      paths.forEach((path, number) => sources[number] && this.fitness?.set(path, sources[number]));
      const now = this.draft?.list('source_paths') ?? [];
      this.list?.replaceChildren(...now.map((path) => this.row(path)));
      this.dispatchEvent(new CustomEvent('judged'));
    } catch (error) {
      if (!isAbort(error)) showError(error);
    }
  }

  /** @param {string} path */
  row(path) {
    const fitness = this.fitness?.get(path);
    const remove = el('button', { type: 'button', class: 'icon-button', 'aria-label': `Remove ${fileName(path)}` }, icon('close'));
    remove.addEventListener('click', () => this.drop(path));
    const { tone, words } = verdict(fitness);
    const name = el('span', { class: 'file-name', text: fileName(path), title: path });
    return el(
      'li',
      { class: 'file' },
      thumbnail(path, this.kindOf(path)),
      el('div', { class: 'file-facts' }, name, el('span', { class: `fitness ${tone}`, text: words })),
      remove,
    );
  }
}
customElements.define('ff-sources', SourceList);

/** @param {SourceFitness | undefined} fitness */
function verdict(fitness) {
  if (!fitness) return { tone: '', words: 'Being checked…' };
  const text = fitness.problems.join('; ');
  const problems = asSentence(text);
  if (!fitness.is_usable) return { tone: 'bad', words: problems || 'Cannot be used' };
  if (problems) return { tone: 'warn', words: problems };
  if (fitness.kind === 'image') return { tone: 'good', words: `Good: ${counted(fitness.faces ?? 1, 'face')}` };
  return { tone: 'good', words: 'Good: a voice' };
}

/**
 * Return a small picture of a file, or an icon of its kind.
 * @param {string} path
 * @param {string} kind
 * @param {number} [number] frame
 */
export function thumbnail(path, kind, number = 0) {
  const box = el('span', { class: 'thumb' }, icon(kind));
  if (kind !== 'image' && kind !== 'video') return box;
  const picture = el('img', { alt: '' });
  picture.addEventListener('load', () => box.replaceChildren(picture));
  picture.src = address('media/frame', { path, number, width: 128, optional: 1 });
  return box;
}
