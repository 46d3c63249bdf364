/** The settings in force and where they come from, the state of this machine, and versions. */

import { request } from '../api.js';
import { el } from '../elements/dom.js';
import { asWords } from '../elements/format.js';
import { icon } from '../elements/icon.js';
import { errorBox } from '../elements/notice.js';
import { valueText } from '../elements/step-view.js';

/** @typedef {import('../types.js').Option} Option */
/** @typedef {{check: string, state: 'ok' | 'warn' | 'fail', fact: string, advice: string}} Finding */
/** @typedef {{options: Option[], paths: Record<string, string | string[]>, versions: Record<string, string>,
 *   policies: {key: string, value: any, help: string}[]}} Settings */

/** @type {Record<string, {text: string, tone: string}>} */
const LAYERS = {
  default: { text: 'default', tone: '' },
  ini: { text: 'ini file', tone: 'info' },
  environment: { text: 'environment', tone: 'info' },
  flag: { text: 'command line', tone: 'info' },
};
/** @type {Record<string, {tone: string, picture: string, word: string}>} */
const STATES = {
  fail: { tone: 'bad', picture: 'error', word: 'Failed' },
  warn: { tone: 'warn', picture: 'warn', word: 'Warning' },
  ok: { tone: 'good', picture: 'check', word: 'Good' },
};

class SettingsScreen extends HTMLElement {
  constructor() {
    super();
    this.machine = el('div', { class: 'stack' });
    this.again = el('button', { type: 'button', class: 'button' }, icon('reset'), 'Check again');
    this.facts = el('div', { class: 'stack' });
    this.options = el('div', { class: 'stack' });
    this.search = el('input', { type: 'search', placeholder: 'Find an option', 'aria-label': 'Find an option' });
    this.changed = el('input', { type: 'checkbox', class: 'switch', role: 'switch' });
    this.none = el('p', { class: 'muted', hidden: true, text: 'No option fits. Clear the search, or show the defaults too.' });
    /** @type {{row: HTMLElement, words: string, isChanged: boolean}[]} */
    this.rows = [];
  }

  connectedCallback() {
    if (this.firstChild) return;
    this.className = 'screen';
    const intro = el('p', {
      text: 'The settings with which the server started. Options of a step are set in the Studio; those here are set in facefusion.ini, in the environment, or as flags of the command that started the page.',
    });
    const filters = el('div', { class: 'row between' }, this.search, el('label', { class: 'check' }, this.changed, 'Only changed'));
    this.append(
      el('header', {}, el('div', {}, el('h1', { text: 'Settings' }), intro)),
      el(
        'div',
        { class: 'settings-columns' },
        el('section', { class: 'card stack' }, el('div', { class: 'row between' }, el('h2', { text: 'This machine' }), this.again), this.machine),
        this.facts,
        el('section', { class: 'card stack wide' }, el('h2', { text: 'Options of the process' }), filters, this.none, this.options),
      ),
    );
    this.again.addEventListener('click', () => this.examine());
    this.search.addEventListener('input', () => this.refilter());
    this.changed.addEventListener('change', () => this.refilter());
  }

  opened() {
    this.load();
    this.examine();
  }

  async load() {
    try {
      this.show(await request('GET', 'settings'));
    } catch (error) {
      this.options.replaceChildren(errorBox(error));
    }
  }

  async examine() {
    this.again.disabled = true;
    if (!this.machine.firstChild) this.machine.replaceChildren(el('p', { class: 'muted', text: 'Checking this machine…' }));
    try {
      const { findings } = await request('GET', 'doctor');
      this.machine.replaceChildren(...findingsView(findings));
    } catch (error) {
      this.machine.replaceChildren(errorBox(error));
    }
    this.again.disabled = false;
  }

  /** @param {Settings} settings */
  show({ options, paths, versions, policies }) {
    const named = Object.entries(paths).map(([name, path]) => /** @type {[string, string]} */ ([asWords(name), Array.isArray(path) ? path.join('\n') : (path ?? 'none')]));
    const kept = policies.map(({ key, value, help }) => /** @type {[string, string, string]} */ ([asWords(key), valueText(value), help]));
    this.facts.replaceChildren(
      factCard('Versions', Object.entries(versions).map(([name, version]) => [name === 'facefusion' ? 'FaceFusion' : name, version])),
      factCard('Folders', named, true),
      policies.length > 0 ? factCard('Policies of this machine', kept) : '',
    );
    this.rows = [];
    const sections = grouped(options);
    this.options.replaceChildren(...[...sections].map(([title, group]) => this.section(title, group)));
    this.refilter();
  }

  /**
   * @param {string} title
   * @param {Option[]} options
   */
  section(title, options) {
    const rows = options.map((option) => this.row(option));
    return el('section', { class: 'option-group' }, el('h3', { text: asWords(title) }), el('div', { class: 'option-rows', role: 'list' }, ...rows));
  }

  /** @param {Option} option */
  row(option) {
    const layer = LAYERS[option.layer] ?? { text: option.layer, tone: '' };
    const isChanged = option.layer !== 'default';
    const value = el('span', { class: 'mono', text: valueText(option.value) });
    const normal = isChanged ? el('span', { class: 'muted small-text', text: `default: ${valueText(option.default)}` }) : null;
    const row = el(
      'div',
      { class: 'setting', role: 'listitem' },
      el('div', {}, el('code', { text: option.flag }), el('p', { class: 'muted small-text', text: option.no_effect || option.help })),
      el('div', { class: 'setting-value' }, value, normal),
      el('span', { class: `badge ${layer.tone}`, text: layer.text }),
    );
    this.rows.push({ row, isChanged, words: `${option.key} ${option.flag} ${option.help} ${option.section}`.toLowerCase() });
    return row;
  }

  refilter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { row, words: text, isChanged } of this.rows) {
      row.hidden = (this.changed.checked && !isChanged) || !words.every((word) => text.includes(word));
    }
    for (const group of this.options.children) {
      if (group instanceof HTMLElement) group.hidden = !group.querySelector('.setting:not([hidden])');
    }
    this.none.hidden = this.rows.some(({ row }) => !row.hidden);
  }
}

/** Return the findings, the failures first. @param {Finding[]} findings */
function findingsView(findings) {
  const order = ['fail', 'warn', 'ok'];
  const sorted = [...findings].sort((one, other) => order.indexOf(one.state) - order.indexOf(other.state));
  const bad = findings.filter(({ state }) => state !== 'ok').length;
  const summary = bad === 0 ? 'Everything that was checked is good.' : `${bad} of ${findings.length} checks need attention.`;
  const items = sorted.map(({ check, state, fact, advice }) => {
    const { tone, picture, word } = STATES[state] ?? { tone: '', picture: 'info', word: state };
    return el(
      'li',
      { class: `finding ${tone}` },
      icon(picture),
      el('div', {}, el('p', {}, el('span', { class: 'unseen', text: `${word}: ` }), el('strong', { text: asWords(check) })), el('p', { class: 'muted', text: fact }), advice ? el('p', { class: 'advice', text: advice }) : null),
    );
  });
  return [el('p', { role: 'status', text: summary }), el('ul', { class: 'findings' }, ...items)];
}

/**
 * @param {string} title
 * @param {string[][]} rows name, value and perhaps an explanation
 * @param {boolean} [isMono]
 */
function factCard(title, rows, isMono = false) {
  const items = rows.map(([name = '', value = '', help = '']) =>
    el('div', {}, el('dt', { text: name }), el('dd', { class: isMono ? 'mono lines' : '', text: value }), help ? el('dd', { class: 'muted small-text', text: help }) : null),
  );
  return el('section', { class: 'card stack' }, el('h2', { text: title }), el('dl', { class: 'facts' }, ...items));
}

/** @param {Option[]} options */
function grouped(options) {
  /** @type {Map<string, Option[]>} */
  const groups = new Map();
  for (const option of options) groups.set(option.section, [...(groups.get(option.section) ?? []), option]);
  return groups;
}

customElements.define('ff-settings', SettingsScreen);
