/** `<ff-options>`: all options in sections, with a search. */

import { el, newId } from './dom.js';
import { counted } from './format.js';
import { icon } from './icon.js';
import { optionRow } from './option-control.js';

/** Options with a place of their own in the page. */
const ELSEWHERE = new Set(['source_paths', 'target_path', 'output_path', 'processors']);

/** @typedef {{node: HTMLDetailsElement, badge: HTMLElement, rows: Row[], processor: string | null, wasOpen: boolean}} Group */
/** @typedef {ReturnType<typeof optionRow> & {option: import('../types.js').Option}} Row */

export class OptionList extends HTMLElement {
  /** @param {import('../state/draft.js').Draft} draft */
  show(draft) {
    this.draft = draft;
    /** @type {Group[]} */
    this.groups = [];
    const id = newId('search');
    this.search = el('input', { type: 'search', id, placeholder: 'Find an option', autocomplete: 'off', 'aria-label': 'Find an option' });
    this.search.addEventListener('input', () => {
      this.filter();
      // The hits are below the field; bring both into view.
      this.parentElement?.scrollIntoView({ block: 'start' });
    });
    this.found = el('p', { class: 'muted small-text', role: 'status' });
    this.resetAll = el('button', { type: 'button', class: 'button small quiet' }, icon('reset'), 'Reset all');
    this.resetAll.addEventListener('click', () => this.draft?.reset(this.changedKeys()));
    this.list = el('div', { class: 'sections' });
    this.append(
      el('div', { class: 'option-tools' }, el('div', { class: 'search' }, icon('search'), this.search), this.resetAll),
      this.found,
      this.list,
    );
    this.build();
    draft.addEventListener('change', (event) => this.changed(/** @type {CustomEvent<Set<string>>} */ (event).detail));
    this.arrange();
  }

  build() {
    const draft = /** @type {import('../state/draft.js').Draft} */ (this.draft);
    for (const processor of draft.processors) {
      const options = processor.options.map((key) => draft.options.get(key)).filter((option) => option !== undefined);
      this.addGroup(processor.title, options, processor.name, draft);
    }
    for (const section of draft.sections) {
      this.addGroup(section.title, section.options.filter(({ processor }) => !processor), null, draft);
    }
  }

  /**
   * @param {string} title
   * @param {import('../types.js').Option[]} all
   * @param {string | null} processor
   * @param {import('../state/draft.js').Draft} draft
   */
  addGroup(title, all, processor, draft) {
    const options = all.filter(({ key, no_effect }) => !no_effect && !ELSEWHERE.has(key));
    if (!options.length) return;
    const rows = options.map((option) => ({ ...optionRow(option, draft), option }));
    const badge = el('span', { class: 'badge info', hidden: true });
    const node = el(
      'details',
      { class: 'section', open: processor !== null },
      el('summary', {}, el('h3', { text: title }), badge, icon('right')),
      el('div', { class: 'section-body' }, ...rows.map(({ row }) => row)),
    );
    this.groups?.push({ node, badge, rows, processor, wasOpen: node.open });
  }

  changedKeys() {
    const keys = (this.groups ?? []).flatMap(({ rows }) => rows.map(({ option }) => option.key));
    return keys.filter((key) => this.draft?.isChanged(key));
  }

  /** @param {Set<string>} keys */
  changed(keys) {
    for (const { rows } of this.groups ?? []) for (const row of rows) if (keys.has(row.option.key)) row.update();
    if (keys.has('processors')) this.arrange();
    else this.mark();
  }

  /** Put the sections of the chosen processors first, in their order; the others leave. */
  arrange() {
    const chosen = this.draft?.chosen ?? [];
    const place = (/** @type {Group} */ { processor }) => (processor ? chosen.indexOf(processor) : chosen.length);
    const shown = [...(this.groups ?? [])].filter((group) => place(group) >= 0).sort((one, other) => place(one) - place(other));
    this.list?.replaceChildren(...shown.map(({ node }) => node));
    this.mark();
    this.filter();
  }

  mark() {
    for (const { badge, rows } of this.groups ?? []) {
      const count = rows.filter(({ option }) => this.draft?.isChanged(option.key)).length;
      badge.hidden = count === 0;
      badge.textContent = `${count} changed`;
    }
    if (this.resetAll) this.resetAll.hidden = this.changedKeys().length === 0;
  }

  filter() {
    const words = (this.search?.value ?? '').toLowerCase().split(/\s+/).filter(Boolean);
    const isSearch = words.length > 0;
    let hits = 0;
    for (const group of this.groups ?? []) {
      let inGroup = 0;
      for (const { row, words: known } of group.rows) {
        row.hidden = !words.every((word) => known.includes(word));
        inGroup += row.hidden ? 0 : 1;
      }
      if (isSearch && !this.isFiltered) group.wasOpen = group.node.open;
      group.node.hidden = inGroup === 0;
      group.node.open = isSearch ? inGroup > 0 : this.isFiltered ? group.wasOpen : group.node.open;
      if (group.node.isConnected) hits += inGroup;
    }
    this.isFiltered = isSearch;
    if (this.found) {
      this.found.hidden = !isSearch;
      this.found.textContent = hits ? `${counted(hits, 'option')} found` : 'No option of the chosen processors has these words.';
    }
  }
}
customElements.define('ff-options', OptionList);
