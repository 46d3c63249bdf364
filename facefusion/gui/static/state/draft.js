/** The unfinished step: the options that differ from the settings in force, kept on the server and shared by screens. */

import { ApiError, request } from '../api.js';
import { on } from '../events.js';
import { debounced } from '../elements/dom.js';
import { openDialog } from '../elements/dialog.js';
import { showError } from '../elements/notice.js';

/** @typedef {import('../types.js').Args} Args */
/** @typedef {import('../types.js').Value} Value */
/** @typedef {import('../types.js').Option} Option */

const SAVE_MS = 400;

/**
 * Dispatches `change` (CustomEvent, detail: the Set of changed keys) whenever values change.
 */
export class Draft extends EventTarget {
  /**
   * @param {import('../types.js').OptionsReply} reply
   * @param {import('../types.js').DraftRecord} record
   */
  constructor(reply, record) {
    super();
    this.sections = reply.sections;
    this.processors = reply.processors;
    /** @type {Map<string, Option>} */
    this.options = new Map(reply.sections.flatMap(({ options }) => options.map((option) => [option.key, option])));
    this.version = record.version;
    /** @type {Args} */
    this.args = { ...record.args };
    this.isSaving = false;
    this.isUnsaved = false;
    this.save = debounced(SAVE_MS, () => this.store());
    document.addEventListener('visibilitychange', () => !document.hidden && this.refresh());
    // A browser cancels the other requests of a page that closes.
    addEventListener('pagehide', () => this.isUnsaved && this.store({ keepalive: true }));
    on('state', (state) => state === 'live' && this.isUnsaved && this.save());
  }

  /**
   * Return the value of an option: the draft's, or the one in force.
   * @param {string} key
   * @returns {Value}
   */
  get(key) {
    const value = this.args[key];
    return value !== undefined ? value : (this.options.get(key)?.value ?? null);
  }

  /** @param {string} key */
  text(key) {
    const value = this.get(key);
    return typeof value === 'string' ? value : '';
  }

  /**
   * @param {string} key
   * @returns {string[]}
   */
  list(key) {
    const value = this.get(key);
    return Array.isArray(value) ? value.map(String) : value === null || value === '' ? [] : [String(value)];
  }

  /** @param {string} key */
  isChanged(key) {
    return key in this.args;
  }

  /** Return the chosen processors in their order. */
  get chosen() {
    return this.list('processors');
  }

  /**
   * Return the arguments for requests. A face map names its own sources, and a step refuses others, so they stay in the
   * draft only.
   * @returns {Args}
   */
  get sent() {
    const { source_paths: sources, ...rest } = this.args;
    if (this.text('face_map')) return isSame(this.options.get('source_paths')?.value ?? [], []) ? rest : { ...rest, source_paths: [] };
    return sources === undefined ? rest : { ...rest, source_paths: sources };
  }

  /** Whether a chosen processor needs a source, and there is none. */
  get lacksSource() {
    const needs = this.processors.some(({ name, takes_sources, takes_audio }) => (takes_sources || takes_audio) && this.chosen.includes(name));
    return needs && !this.list('source_paths').length && !this.text('face_map');
  }

  /**
   * Set options; a value that is in force anyway leaves the draft.
   * @param {Args} changes
   */
  set(changes) {
    const keys = new Set();
    for (const [key, value] of Object.entries(changes)) {
      const before = JSON.stringify(this.get(key));
      if (isSame(value, this.options.get(key)?.value ?? null)) delete this.args[key];
      else this.args[key] = value;
      if (JSON.stringify(this.get(key)) !== before) keys.add(key);
    }
    if (keys.size) this.changed(keys);
  }

  /**
   * Give options the values in force again.
   * @param {Iterable<string>} keys
   */
  reset(keys) {
    const known = [...keys].filter((key) => key in this.args);
    for (const key of known) delete this.args[key];
    if (known.length) this.changed(new Set(known));
  }

  /** @param {Set<string>} keys */
  changed(keys) {
    this.isUnsaved = true;
    this.save();
    this.dispatchEvent(new CustomEvent('change', { detail: keys }));
  }

  /**
   * Use other values, from another tab.
   * @param {import('../types.js').DraftRecord} record
   */
  take(record) {
    const keys = new Set([...Object.keys(this.args), ...Object.keys(record.args)]);
    this.version = record.version;
    this.args = { ...record.args };
    this.isUnsaved = false;
    this.dispatchEvent(new CustomEvent('change', { detail: keys }));
  }

  async store(options = {}) {
    if (this.isSaving) return this.save();
    this.isSaving = true;
    this.isUnsaved = false;
    try {
      const { version } = await request('PUT', 'draft', { version: this.version, args: this.args }, options);
      this.version = version;
    } catch (error) {
      this.isUnsaved = true;
      if (error instanceof ApiError && error.status === 409) await this.settle(error);
      else if (!(error instanceof ApiError && error.status === 0)) showError(error);
    } finally {
      this.isSaving = false;
    }
  }

  /**
   * Let the visitor choose between this draft and the one of another tab.
   * @param {ApiError} error
   */
  async settle(error) {
    const other = error.record.facts?.draft ?? (await request('GET', 'draft'));
    if (isSame(other.args, this.args)) {
      this.version = other.version;
      return;
    }
    const { closed } = openDialog({
      title: 'Another tab changed this draft',
      body: 'Options were changed in another tab or window. Which of the two should go on?',
      actions: [
        { value: 'other', text: "Take the other tab's draft" },
        { value: 'mine', text: 'Keep mine', tone: 'primary' },
      ],
    });
    if ((await closed) === 'other') return this.take(other);
    this.version = other.version;
    this.save();
  }

  /** Take the changes of other tabs when this one comes to the front without changes of its own. */
  async refresh() {
    if (this.isUnsaved || this.isSaving) return;
    try {
      const record = await request('GET', 'draft');
      if (record.version !== this.version && !this.isUnsaved) this.take(record);
    } catch {
      // The bar shows that the server is away; the next change reports a lasting error.
    }
  }
}

/**
 * @param {unknown} one
 * @param {unknown} other
 */
export const isSame = (one, other) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));

/** @param {any} value @returns {any} */
function sorted(value) {
  if (!value || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** @type {Promise<Draft> | null} */
let opened = null;

/** Return the draft of this page; a failed attempt can be repeated. */
export function openDraft() {
  opened ??= Promise.all([request('GET', 'options'), request('GET', 'draft')]).then(
    ([reply, record]) => new Draft(reply, record),
    (error) => {
      opened = null;
      throw error;
    },
  );
  return opened;
}
