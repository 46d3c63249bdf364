/** A dialog to choose files of the machine that runs the server. */

import { address, isAbort, request } from '../api.js';
import { openDialog } from './dialog.js';
import { el } from './dom.js';
import { formatBytes } from './format.js';
import { icon } from './icon.js';
import { errorBox } from './notice.js';

/** @typedef {import('../types.js').Entry} Entry */

/** The folder of the last choice, where the next one starts. */
let lastFolder = '';

/**
 * Let the visitor choose; return the paths, or [] if the dialog was cancelled.
 * @param {{title: string, kind?: 'all' | 'image' | 'video' | 'audio' | 'media' | 'target', isMany?: boolean, near?: string}} facts
 * @returns {Promise<string[]>}
 */
export async function chooseFiles({ title, kind = 'all', isMany = false, near = '' }) {
  const browser = new Browser(kind, isMany);
  const actions = [{ value: '', text: 'Cancel' }, { value: 'choose', text: 'Choose', tone: /** @type {'primary'} */ ('primary') }];
  const { dialog, closed } = openDialog({ title, body: browser.node, actions, wide: true });
  browser.accept = () => dialog.close('choose');
  browser.button = /** @type {HTMLButtonElement} */ (dialog.querySelector('button.primary'));
  const folder = /[/\\]/.test(near) ? near.replace(/[/\\][^/\\]*$/, '') : '';
  await browser.start(folder || lastFolder);
  const answer = await closed;
  browser.stop();
  lastFolder = browser.folder || lastFolder;
  return answer === 'choose' ? [...browser.chosen] : [];
}

class Browser {
  /**
   * @param {string} kind
   * @param {boolean} isMany
   */
  constructor(kind, isMany) {
    this.kind = kind;
    this.isMany = isMany;
    this.folder = '';
    /** @type {Set<string>} */
    this.chosen = new Set();
    /** @type {HTMLButtonElement | null} */
    this.button = null;
    this.accept = () => {};
    this.control = new AbortController();
    this.path = el('input', { type: 'text', 'aria-label': 'Folder or file', spellcheck: 'false' });
    this.path.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      event.preventDefault();
      this.open(this.path.value.trim());
    });
    this.up = el('button', { type: 'button', class: 'icon-button', 'aria-label': 'Folder above', title: 'Folder above' }, icon('up'));
    this.up.addEventListener('click', () => this.parent && this.open(this.parent));
    this.roots = el('div', { class: 'row roots' });
    this.list = el('div', { class: 'entries', role: 'group', 'aria-label': 'Files and folders' });
    this.node = el('div', { class: 'browser' }, this.roots, el('div', { class: 'browser-path' }, this.up, this.path), this.list);
    /** @type {string | null} */
    this.parent = null;
  }

  stop() {
    this.control.abort();
  }

  /** @param {string} folder */
  async start(folder) {
    if (folder && (await this.open(folder, true))) return;
    await this.open('');
  }

  /**
   * Show a folder. A path that is a file is chosen.
   * @param {string} dir
   * @param {boolean} [isQuiet] whether an error is not shown
   */
  async open(dir, isQuiet = false) {
    this.control.abort();
    this.control = new AbortController();
    try {
      const listing = await request('GET', address('files', { dir, kind: this.kind }), undefined, { signal: this.control.signal });
      this.show(listing);
      return true;
    } catch (error) {
      if (isAbort(error)) return true;
      if (!isQuiet && (await this.isFile(dir))) this.pick(dir, true);
      else if (!isQuiet) this.list.replaceChildren(errorBox(error));
      return false;
    }
  }

  /** @param {string} path */
  async isFile(path) {
    try {
      await request('GET', address('media', { path }));
      return true;
    } catch {
      return false;
    }
  }

  /** @param {import('../types.js').Listing} listing */
  show(listing) {
    this.folder = this.path.value = listing.dir;
    this.parent = listing.parent;
    this.up.disabled = !listing.parent;
    this.roots.replaceChildren(...listing.roots.map((root) => this.rootButton(root)));
    /** @type {HTMLElement[]} */
    const rows = listing.entries.map((entry) => this.row(entry));
    if (!rows.length) rows.push(el('p', { class: 'empty', text: 'There are no matching files in this folder.' }));
    if (listing.more) rows.push(el('p', { class: 'muted small-text', text: 'More files are not shown. Type a path above to reach them.' }));
    this.list.replaceChildren(...rows);
    this.list.scrollTop = 0;
    this.update();
  }

  /** @param {string} root */
  rootButton(root) {
    const isHere = this.folder === root;
    return el('button', { type: 'button', class: 'button small', text: root, 'aria-pressed': String(isHere), onclick: () => this.open(root) });
  }

  /** @param {Entry} entry */
  row(entry) {
    const isFolder = entry.kind === 'folder';
    const hasPicture = entry.kind === 'image' || entry.kind === 'video';
    const picture = el('span', { class: 'entry-picture' }, icon(isFolder ? 'folder' : entry.kind));
    if (hasPicture) {
      const thumb = el('img', { alt: '', loading: 'lazy', src: address('media/frame', { path: entry.path, number: 0, width: 96, optional: 1 }) });
      thumb.addEventListener('load', () => picture.replaceChildren(thumb));
      picture.append(thumb);
    }
    const row = el(
      'button',
      { type: 'button', class: 'entry', 'data-path': entry.path, 'aria-pressed': isFolder ? null : 'false' },
      picture,
      el('span', { class: 'entry-name', text: entry.name }),
      el('span', { class: 'muted small-text', text: entry.size === null || isFolder ? '' : formatBytes(entry.size) }),
    );
    row.addEventListener('click', () => (isFolder ? this.open(entry.path) : this.pick(entry.path)));
    row.addEventListener('dblclick', () => !isFolder && this.pick(entry.path, true));
    return row;
  }

  /**
   * @param {string} path
   * @param {boolean} [isFinal]
   */
  pick(path, isFinal = false) {
    const had = this.chosen.has(path);
    if (!this.isMany) this.chosen.clear();
    if (isFinal || !had) this.chosen.add(path);
    else this.chosen.delete(path);
    this.update();
    if (isFinal) this.accept();
  }

  update() {
    for (const row of this.list.querySelectorAll('.entry[aria-pressed]')) {
      row.setAttribute('aria-pressed', String(this.chosen.has(/** @type {HTMLElement} */ (row).dataset.path ?? '')));
    }
    if (!this.button) return;
    this.button.disabled = this.chosen.size === 0;
    this.button.textContent = this.chosen.size > 1 ? `Choose ${this.chosen.size} files` : 'Choose';
  }
}
