/** What to measure: <ff-benchmark-form>. Sends the event `ff-start` with the arguments. */

import { request } from '../api.js';
import { el, newId } from './dom.js';
import { asWords } from './format.js';
import { icon } from './icon.js';
import { errorBox } from './notice.js';
import { controlOf } from './option-control.js';

/** @typedef {import('../types.js').Option} Option */
/** @typedef {import('../types.js').Args} Args */
/** @typedef {import('../types.js').Processor} Processor */

const MODELS = 'benchmark_models';

class BenchmarkForm extends HTMLElement {
  constructor() {
    super();
    /** @type {Args} */
    this.args = {};
    /** @type {{id: string, task: string}[]} the models that are on this machine */
    this.models = [];
    this.modelChips = el('div', { class: 'chips' });
    this.modelChoice = this.makeModelChoice();
    this.start = el('button', { type: 'submit', class: 'button primary' }, icon('play'), 'Start');
  }

  async connectedCallback() {
    if (this.firstChild) return;
    try {
      const [options, { processors, sections }, { models }] = await Promise.all([
        request('GET', 'benchmark/options'),
        request('GET', 'options'),
        request('GET', 'models'),
      ]);
      this.models = models.filter((/** @type {any} */ model) => model.state === 'present');
      const all = sections.flatMap((/** @type {any} */ section) => section.options);
      const inForce = all.find((/** @type {Option} */ option) => option.key === 'processors')?.value ?? ['face_swapper'];
      this.build(options, processors, inForce);
    } catch (error) {
      this.replaceChildren(errorBox(error));
    }
  }

  /**
   * @param {Option[]} options
   * @param {Processor[]} processors
   * @param {string[]} inForce
   */
  build(options, processors, inForce) {
    this.args.processors = inForce;
    const form = el('form', { class: 'card benchmark-form' }, this.processorChoice(processors, inForce));
    if (options.some(({ key }) => key === MODELS)) form.append(this.modelChoice);
    form.append(...options.filter(({ key }) => key !== MODELS).map((option) => this.field(option)));
    form.append(el('div', { class: 'row' }, this.start));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent('ff-start', { bubbles: true, detail: this.args }));
    });
    this.replaceChildren(form);
    this.showModels();
  }

  /**
   * @param {Processor[]} processors
   * @param {string[]} chosen
   */
  processorChoice(processors, chosen) {
    const boxes = processors.map(({ name, title }) => chip(name, title, chosen.includes(name)));
    const group = el('fieldset', { class: 'field wide' }, el('legend', { text: 'Processors' }), el('div', { class: 'chips' }, ...boxes.map(({ label }) => label)));
    group.addEventListener('change', () => {
      this.args.processors = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
      this.start.disabled = this.args.processors.length === 0;
      this.showModels();
    });
    return group;
  }

  makeModelChoice() {
    const help = 'Each chosen model is measured alone with its processor. Choose none to measure the processors together, as a job runs them.';
    const group = el('fieldset', { class: 'field wide' }, el('legend', { text: 'Models' }), this.modelChips, el('p', { class: 'help', text: help }));
    group.addEventListener('change', () => {
      const chosen = [...this.modelChips.querySelectorAll('input')].filter((box) => box.checked).map((box) => box.value);
      if (chosen.length > 0) this.args[MODELS] = chosen;
      else delete this.args[MODELS];
    });
    return group;
  }

  /** Show the models of the chosen processors that are on this machine. */
  showModels() {
    const processors = /** @type {string[]} */ (this.args.processors ?? []);
    const fitting = this.models.filter((model) => processors.includes(model.task));
    delete this.args[MODELS];
    this.modelChoice.hidden = fitting.length === 0;
    this.modelChips.replaceChildren(...fitting.map(({ id }) => chip(id, id, false).label));
  }

  /** @param {Option} option */
  field(option) {
    const id = newId('benchmark');
    const helpId = `${id}-help`;
    const set = (/** @type {import('../types.js').Value} */ value) => {
      this.args[option.key] = value;
      control.show(value);
    };
    const control = controlOf(option, { id, helpId, set });
    control.show(option.value);
    const title = asWords(option.key.replace('benchmark_', ''));
    const label = control.isGroup ? el('span', { id: `${id}-name`, class: 'legend', text: title }) : el('label', { for: id, text: title });
    return el('div', { class: 'field' }, label, control.node, el('p', { class: 'help', id: helpId, text: `${asWords(option.help)}.` }));
  }
}

/**
 * @param {string} value
 * @param {string} text
 * @param {boolean} isChecked
 */
function chip(value, text, isChecked) {
  const box = el('input', { type: 'checkbox', value, checked: isChecked });
  return { box, label: el('label', { class: 'chip' }, box, text) };
}

customElements.define('ff-benchmark-form', BenchmarkForm);
