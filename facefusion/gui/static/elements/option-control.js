/** A control for an option, made from its declaration alone. */

import { chooseFiles } from './file-dialog.js';
import { el, newId } from './dom.js';
import { asWords, capitalised } from './format.js';
import { icon } from './icon.js';
import { showNote } from './notice.js';

/** @typedef {import('../types.js').Option} Option */
/** @typedef {import('../types.js').Value} Value */
/** @typedef {{node: HTMLElement, show: (value: Value) => void, isGroup?: boolean}} Control */
/** @typedef {{id: string, helpId: string, set: (value: Value) => void}} Place */

const MOST_SLIDER_STEPS = 2000;

/**
 * Return the row of an option: label, control, help, mark of a change and reset.
 * @param {Option} option
 * @param {import('../state/draft.js').Draft} draft
 */
export function optionRow(option, draft) {
  const id = newId('option');
  const helpId = `${id}-help`;
  const set = (/** @type {Value} */ value) => draft.set({ [option.key]: value });
  const control = controlOf(option, { id, helpId, set });
  const title = titleOf(option);
  const reset = el(
    'button',
    { type: 'button', class: 'icon-button reset', 'aria-label': `Reset ${title}`, title: 'Reset', hidden: true },
    icon('reset'),
  );
  reset.addEventListener('click', () => draft.reset([option.key]));
  const name = control.isGroup
    ? el('span', { class: 'option-name', id: `${id}-name`, text: title })
    : el('label', { class: 'option-name', for: id, text: title });
  const mark = el('span', { class: 'changed-mark', hidden: true }, el('span', { class: 'unseen', text: ' changed' }));
  name.append(mark);
  const row = el(
    'div',
    { class: `option ${option.kind === 'flag' ? 'option-flag' : ''}`, 'data-key': option.key },
    el('div', { class: 'option-head' }, name, reset),
    control.node,
    el('p', { class: 'help', id: helpId }, `${capitalised(option.help)}. `, el('span', { class: 'default', text: originOf(option) })),
  );
  const update = () => {
    const isChanged = draft.isChanged(option.key);
    control.show(draft.get(option.key));
    row.classList.toggle('changed', isChanged);
    mark.hidden = reset.hidden = !isChanged;
  };
  update();
  return { row, update, words: `${option.key} ${option.flag} ${title} ${option.help}`.toLowerCase() };
}

/** @param {Option} option */
export function titleOf(option) {
  const prefix = [option.processor, option.section].find((word) => word && option.key.startsWith(`${word}_`));
  return asWords(prefix ? option.key.slice(prefix.length + 1) : option.key);
}

/** @param {Option} option */
function originOf(option) {
  const value = shownValue(option.layer === 'default' ? option.default : option.value);
  const sources = { default: 'Default', ini: 'From facefusion.ini', environment: 'From the environment', flag: 'From the command' };
  return `${sources[option.layer] ?? 'Default'}: ${value}.`;
}

/** @param {Value} value */
function shownValue(value) {
  if (value === null || value === '' || (Array.isArray(value) && !value.length)) return 'none';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return Array.isArray(value) ? value.join(' ') : String(value);
}

/**
 * @param {Option} option
 * @param {Place} place
 * @returns {Control}
 */
export function controlOf(option, place) {
  if (option.kind === 'flag') return flagSwitch(place);
  if (option.choices.length && option.is_list) return multiSelect(option, place);
  if (option.choices.length) return select(option, place);
  if (option.is_list) return listField(option, place);
  if (option.kind === 'path') return pathField(option, place);
  if (option.kind === 'text') return textField(option, place);
  return numberField(option, place);
}

/** @param {Place} place @returns {Control} */
function flagSwitch({ id, helpId, set }) {
  const node = el('input', { type: 'checkbox', role: 'switch', class: 'switch', id, 'aria-describedby': helpId });
  node.addEventListener('change', () => set(node.checked));
  return { node, show: (value) => (node.checked = value === true) };
}

/** @param {Option} option @param {Place} place @returns {Control} */
function multiSelect(option, { id, helpId, set }) {
  const boxes = option.choices.map((choice) => {
    const box = el('input', { type: 'checkbox', value: String(choice) });
    return { choice, box };
  });
  const node = el(
    'div',
    { class: 'chips', role: 'group', 'aria-labelledby': `${id}-name`, 'aria-describedby': helpId },
    ...boxes.map(({ choice, box }) => el('label', { class: 'chip' }, box, String(choice))),
  );
  node.addEventListener('change', () => set(boxes.filter(({ box }) => box.checked).map(({ choice }) => choice)));
  /** @param {Value} value */
  const show = (value) => {
    const chosen = new Set(Array.isArray(value) ? value.map(String) : []);
    for (const { choice, box } of boxes) box.checked = chosen.has(String(choice));
  };
  return { node, show, isGroup: true };
}

/** @param {Option} option @param {Place} place @returns {Control} */
function select(option, { id, helpId, set }) {
  const node = el('select', { id, 'aria-describedby': helpId });
  if (option.value === null || option.default === null) node.append(el('option', { value: '', text: 'not set' }));
  node.append(...option.choices.map((choice) => el('option', { value: String(choice), text: String(choice) })));
  const chosen = () => option.choices.find((choice) => String(choice) === node.value) ?? null;
  node.addEventListener('change', () => set(chosen()));
  return { node, show: (value) => (node.value = value === null ? '' : String(value)) };
}

/** @param {Option} option @param {Place} place @returns {Control} */
function numberField(option, { id, helpId, set }) {
  const { minimum, maximum } = option;
  const step = option.step ?? (option.kind === 'int' ? 1 : null);
  const input = el('input', { type: 'number', id, min: minimum, max: maximum, step: step ?? 'any', 'aria-describedby': helpId,
    inputmode: option.kind === 'int' ? 'numeric' : 'decimal', placeholder: 'not set' });
  /** @param {string} text */
  const take = (text) => {
    if (text === '') return input.validity.badInput ? undefined : set(null);
    if (input.checkValidity()) set(Number(text));
  };
  input.addEventListener('input', () => {
    input.setAttribute('aria-invalid', String(!input.checkValidity()));
    take(input.value);
  });
  /** @type {Value} */
  let used = null;
  // A field never shows a value that a run would not use.
  input.addEventListener('change', () => {
    if (input.checkValidity()) return;
    showNote(`${titleOf(option)} stays ${shownValue(used)}. ${input.validationMessage}`);
    input.value = used === null ? '' : String(used);
    input.setAttribute('aria-invalid', 'false');
  });
  const hasSlider = minimum !== null && maximum !== null && step !== null && (maximum - minimum) / step <= MOST_SLIDER_STEPS;
  if (!hasSlider) return { node: input, show: (value) => showNumber(input, (used = value)) };
  const slider = el('input', { type: 'range', min: minimum, max: maximum, step, 'aria-label': `${titleOf(option)}, slider` });
  slider.addEventListener('input', () => {
    input.value = slider.value;
    set(Number(slider.value));
  });
  /** @param {Value} value */
  const show = (value) => {
    showNumber(input, (used = value));
    slider.value = String(value ?? minimum);
    slider.classList.toggle('unset', value === null);
  };
  return { node: el('div', { class: 'number' }, slider, input), show };
}

/** @param {HTMLInputElement} input @param {Value} value */
function showNumber(input, value) {
  const text = value === null ? '' : String(value);
  // While someone types "0." the value is 0 already; the field keeps the text.
  if (document.activeElement === input && (input.validity.badInput || Number(input.value) === value)) return;
  if (input.value !== text) input.value = text;
  input.setAttribute('aria-invalid', 'false');
}

/** @param {Option} option @param {Place} place @returns {Control} */
function textField(option, { id, helpId, set }) {
  const isLong = option.key === 'face_map' || option.key === 'consent';
  const facts = { id, 'aria-describedby': helpId, placeholder: 'not set', spellcheck: 'false' };
  const node = isLong ? el('textarea', { ...facts, rows: 2 }) : el('input', { ...facts, type: 'text' });
  node.addEventListener('input', () => set(node.value === '' && option.value === null ? null : node.value));
  return { node, show: (value) => showText(node, value === null ? '' : String(value)) };
}

/** @param {Option} option @param {Place} place @returns {Control} */
function pathField(option, { id, helpId, set }) {
  const input = el('input', { type: 'text', id, 'aria-describedby': helpId, placeholder: 'not set', spellcheck: 'false' });
  const browse = el('button', { type: 'button', class: 'button small' }, icon('folder'), 'Browse');
  browse.setAttribute('aria-label', `Browse for ${titleOf(option)}`);
  input.addEventListener('change', () => set(input.value.trim() || null));
  browse.addEventListener('click', async () => {
    const kind = option.key.includes('face') ? 'image' : 'all';
    const [path] = await chooseFiles({ title: `Choose: ${titleOf(option)}`, kind, near: input.value });
    if (path) set(path);
  });
  return { node: el('div', { class: 'with-button' }, input, browse), show: (value) => showText(input, String(value ?? '')) };
}

/** @param {Option} option @param {Place} place @returns {Control} */
function listField(option, { id, helpId, set }) {
  const isPath = option.kind === 'path';
  const facts = { id, 'aria-describedby': helpId, spellcheck: 'false' };
  const node = isPath
    ? el('textarea', { ...facts, rows: 2, placeholder: 'one path a line' })
    : el('input', { ...facts, type: 'text', placeholder: 'values with spaces between' });
  const isNumber = option.kind === 'int' || option.kind === 'float';
  node.addEventListener('input', () => {
    const items = node.value.split(isPath ? '\n' : /[\s,]+/).map((item) => item.trim()).filter(Boolean);
    const values = isNumber ? items.map(Number) : items;
    const problem = problemOf(option, values);
    node.setCustomValidity(problem);
    if (problem) node.setAttribute('aria-invalid', 'true');
    else node.removeAttribute('aria-invalid');
    if (!problem) set(values);
  });
  const show = (/** @type {Value} */ value) => {
    const items = Array.isArray(value) ? value.map(String) : [];
    if (document.activeElement === node) return;
    node.value = items.join(isPath ? '\n' : ' ');
  };
  return { node, show };
}

/** @param {Option} option @param {(string | number)[]} values */
function problemOf(option, values) {
  if (option.most_items && values.length > option.most_items) return `at most ${option.most_items} values`;
  const { minimum, maximum } = option;
  for (const value of values) {
    if (typeof value !== 'number') continue;
    if (!Number.isFinite(value) || (option.kind === 'int' && !Number.isInteger(value))) return 'numbers only';
    if ((minimum !== null && value < minimum) || (maximum !== null && value > maximum)) return `${minimum} to ${maximum}`;
  }
  return '';
}

/** @param {HTMLInputElement | HTMLTextAreaElement} input @param {string} text */
function showText(input, text) {
  if (input.value !== text) input.value = text;
}
