/** `<ff-target>`: the target and the output. Dispatches `media` (detail: Media or null) when the target was probed. */

import { ApiError, address, isAbort, request } from '../api.js';
import { el, newId, onDrop } from './dom.js';
import { chooseFiles } from './file-dialog.js';
import { counted, fileName, formatSeconds } from './format.js';
import { icon } from './icon.js';
import { errorBox } from './notice.js';
import { thumbnail } from './source-list.js';
import { uploadFiles } from './uploads.js';

/** @typedef {import('../types.js').Media} Media */

export class TargetInput extends HTMLElement {
  /** @param {import('../state/draft.js').Draft} draft */
  show(draft) {
    this.draft = draft;
    /** @type {Media | null} */
    this.media = null;
    this.place = el('div');
    this.uploads = el('div');
    const outputId = newId('output');
    this.output = el('input', { type: 'text', id: outputId, placeholder: 'path of the new file', spellcheck: 'false' });
    this.output.addEventListener('change', () => draft.set({ output_path: this.output?.value.trim() || null }));
    this.append(
      el('h2', { text: 'Target' }),
      this.place,
      this.uploads,
      el('div', { class: 'field' }, el('label', { for: outputId, text: 'Output' }), this.output),
    );
    onDrop(this, (files) => this.bring(files));
    draft.addEventListener('change', (event) => this.changed(/** @type {CustomEvent<Set<string>>} */ (event).detail));
    this.changed(new Set(['target_path', 'output_path']));
  }

  /** @param {Set<string>} keys */
  changed(keys) {
    if (keys.has('output_path') && this.output) this.output.value = this.draft?.text('output_path') ?? '';
    if (keys.has('target_path')) this.probe();
    if (keys.has('processors') && this.suggested && this.suggested === this.draft?.text('output_path')) this.suggest();
  }

  async browse() {
    const [path] = await chooseFiles({ title: 'Choose a target: image or video', kind: 'target', near: this.draft?.text('target_path') });
    if (path) this.choose(path);
  }

  /** @param {File[]} files */
  async bring(files) {
    const [path] = await uploadFiles(files.slice(0, 1), /** @type {HTMLElement} */ (this.uploads));
    if (path) this.choose(path);
  }

  /**
   * Take another target; values that belong to frames of the former one go.
   * @param {string | null} path
   */
  choose(path) {
    const keys = ['trim_frame_start', 'trim_frame_end', 'reference_frame_number', 'reference_face_position', 'face_map'];
    if (path === this.draft?.text('target_path')) return;
    if (this.suggested === this.draft?.text('output_path')) this.draft?.reset(['output_path']);
    this.draft?.reset(keys);
    this.draft?.set({ target_path: path });
  }

  async probe() {
    const path = this.draft?.text('target_path') ?? '';
    this.probing?.abort();
    this.probing = new AbortController();
    this.media = null;
    if (!path) {
      this.render(null);
      this.tell();
      return;
    }
    try {
      this.media = await request('GET', address('media', { path }), undefined, { signal: this.probing.signal });
      if (this.media?.kind !== 'image' && this.media?.kind !== 'video') throw notATarget(path);
      this.render(null);
      if (!this.draft?.text('output_path')) this.suggest();
    } catch (error) {
      if (isAbort(error)) return;
      this.media = null;
      this.render(error);
    }
    this.tell();
  }

  tell() {
    this.dispatchEvent(new CustomEvent('media', { detail: this.media }));
  }

  /** Suggest an output beside the target, or in the first media root for an uploaded one. */
  async suggest() {
    const media = this.media;
    if (!media || !this.draft) return;
    const name = fileName(media.path);
    const dot = name.lastIndexOf('.');
    const stem = dot > 0 ? name.slice(0, dot) : name;
    const word = this.draft.chosen.at(-1)?.split('_').at(-1) ?? 'new';
    let folder = media.path.slice(0, media.path.length - name.length);
    if (/[/\\]uploads[/\\]/.test(media.path)) folder = (await firstRoot()) ?? folder;
    this.suggested = `${folder}${stem}-${word}${this.extension(dot > 0 ? name.slice(dot) : '')}`;
    this.draft.set({ output_path: this.suggested });
  }

  /** @param {string} extension of the target */
  extension(extension) {
    const isSpeaking = this.draft?.chosen.includes('lip_syncer');
    if (this.media?.kind === 'image') return isSpeaking ? '.mp4' : extension || '.png';
    return extension || '.mp4';
  }

  /** @param {unknown} error */
  render(error) {
    const path = this.draft?.text('target_path') ?? '';
    const browse = el('button', { type: 'button', class: 'button' }, icon('folder'), path ? 'Change' : 'Browse');
    browse.setAttribute('aria-label', path ? 'Change the target' : 'Browse for a target');
    browse.addEventListener('click', () => this.browse());
    const input = el('input', { type: 'text', 'aria-label': 'Path of the target', placeholder: 'drop a file, or paste a path', spellcheck: 'false', value: path });
    input.addEventListener('change', () => this.choose(input.value.trim() || null));
    const missing = error instanceof ApiError ? errorBox(error) : null;
    this.place?.replaceChildren(
      ...(path && !error ? [el('div', { class: 'file' }, this.thumb(path), this.facts(path))] : []),
      ...(missing ? [missing] : []),
      el('div', { class: 'add-row' }, browse, input),
    );
  }

  /** @param {string} path */
  thumb(path) {
    return thumbnail(path, this.media?.kind ?? 'other');
  }

  /** @param {string} path */
  facts(path) {
    const media = this.media;
    const words = media
      ? [
          media.width ? `${media.width} × ${media.height}` : media.kind,
          media.frames && media.kind === 'video' ? counted(media.frames, 'frame') : null,
          media.seconds && media.kind !== 'image' ? formatSeconds(media.seconds) : null,
          media.fps && media.kind === 'video' ? `${Number(media.fps.toFixed(3))} fps` : null,
          media.has_audio ? 'with sound' : null,
        ].filter(Boolean)
      : ['Being read…'];
    return el(
      'div',
      { class: 'file-facts' },
      el('span', { class: 'file-name', text: fileName(path), title: path }),
      el('span', { class: 'fitness', text: words.join(' · ') }),
      ...(media?.remarks ?? []).map((text) => el('span', { class: 'fitness warn', text })),
    );
  }
}
customElements.define('ff-target', TargetInput);

/** @param {string} path */
function notATarget(path) {
  const message = `${fileName(path)} is neither an image nor a video`;
  return new ApiError(422, { reference: 'media-kind', message, cause: '', hint: 'choose an image or a video as the target, and a voice as a source' });
}

async function firstRoot() {
  try {
    const { roots } = await request('GET', 'files');
    const [root] = roots;
    return root ? `${root}${root.includes('\\') ? '\\' : '/'}` : null;
  } catch {
    return null;
  }
}
