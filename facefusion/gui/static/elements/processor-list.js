/** `<ff-processors>`: the processors to run, in order: add, remove, move with the keyboard or by dragging. */

import { el } from './dom.js';
import { icon } from './icon.js';

export class ProcessorList extends HTMLElement {
  /** @param {import('../state/draft.js').Draft} draft */
  show(draft) {
    this.draft = draft;
    this.list = el('ol', { class: 'processors', 'aria-label': 'Processors in the order in which they run' });
    this.adder = el('select', { 'aria-label': 'Add a processor', class: 'adder' });
    this.adder.addEventListener('change', () => this.add());
    this.news = el('p', { class: 'unseen', role: 'status' });
    this.append(this.list, this.adder, this.news);
    draft.addEventListener('change', (event) => {
      if (/** @type {CustomEvent<Set<string>>} */ (event).detail.has('processors')) this.render();
    });
    this.render();
  }

  add() {
    const name = this.adder?.value;
    if (name) this.draft?.set({ processors: [...this.draft.chosen, name] });
  }

  /**
   * @param {number} from
   * @param {number} to
   * @param {string} [focus] the button that keeps the focus
   */
  move(from, to, focus = 'grip') {
    const names = [...(this.draft?.chosen ?? [])];
    if (to < 0 || to >= names.length || from === to) return;
    const [name] = names.splice(from, 1);
    if (!name) return;
    names.splice(to, 0, name);
    this.draft?.set({ processors: names });
    const row = this.list?.children[to];
    const button = row?.querySelector(`.${focus}:not(:disabled)`) ?? row?.querySelector('.grip');
    if (button instanceof HTMLElement) button.focus();
    if (this.news) this.news.textContent = `${this.titleOf(name)} runs as number ${to + 1} of ${names.length}`;
  }

  /** @param {string} name */
  titleOf(name) {
    return this.draft?.processors.find((processor) => processor.name === name)?.title ?? name;
  }

  render() {
    const chosen = this.draft?.chosen ?? [];
    const rest = (this.draft?.processors ?? []).filter(({ name }) => !chosen.includes(name));
    this.list?.replaceChildren(...chosen.map((name, number) => this.row(name, number, chosen.length)));
    this.adder?.replaceChildren(
      el('option', { value: '', text: 'Add a processor…' }),
      ...rest.map(({ name, title }) => el('option', { value: name, text: title })),
    );
    if (this.adder) {
      this.adder.value = '';
      this.adder.hidden = rest.length === 0;
    }
  }

  /**
   * @param {string} name
   * @param {number} number
   * @param {number} count
   */
  row(name, number, count) {
    const title = this.titleOf(name);
    const button = (/** @type {string} */ word, /** @type {string} */ label, /** @type {() => void} */ act, isOff = false) =>
      el('button', { type: 'button', class: `icon-button ${word}`, 'aria-label': label, title: label, disabled: isOff, onclick: act }, icon(word));
    const grip = button('grip', `Move ${title}: arrow keys, or drag`, () => {});
    grip.addEventListener('keydown', (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.move(number, number + step);
    });
    const row = el(
      'li',
      { class: 'processor', draggable: 'true' },
      grip,
      el('span', { class: 'order', text: String(number + 1) }),
      el('span', { class: 'processor-name', text: title }),
      count > 1 ? button('up', `Move ${title} up`, () => this.move(number, number - 1, 'up'), number === 0) : null,
      count > 1 ? button('down', `Move ${title} down`, () => this.move(number, number + 1, 'down'), number === count - 1) : null,
      button('close', `Remove ${title}`, () => this.draft?.set({ processors: this.draft.chosen.filter((other) => other !== name) })),
    );
    row.addEventListener('dragstart', (event) => {
      this.dragged = number;
      event.dataTransfer?.setData('text/plain', name);
      if (event.dataTransfer) event.dataTransfer.effectAllowed = 'move';
      row.classList.add('dragged');
    });
    row.addEventListener('dragend', () => {
      this.dragged = undefined;
      row.classList.remove('dragged');
    });
    row.addEventListener('dragover', (event) => {
      if (this.dragged === undefined) return;
      event.preventDefault();
      row.classList.toggle('over', this.dragged !== number);
    });
    row.addEventListener('dragleave', () => row.classList.remove('over'));
    row.addEventListener('drop', (event) => {
      event.preventDefault();
      if (this.dragged !== undefined) this.move(this.dragged, number);
    });
    return row;
  }
}
customElements.define('ff-processors', ProcessorList);
