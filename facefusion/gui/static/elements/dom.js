/** Small helpers to build elements. Text is always set as text, never parsed as HTML. */

const PROPERTIES = new Set(['checked', 'disabled', 'selected', 'hidden', 'open', 'multiple', 'indeterminate', 'htmlFor']);

/**
 * Return a new element. `facts` are attributes, except: `class`, `text`, `value`, boolean properties, and `onNAME`
 * handlers. Attributes with the value null, undefined or false are left out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [facts]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, facts = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (name === 'value' || value === null || value === undefined) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'text') node.textContent = String(value);
    else if (PROPERTIES.has(name)) /** @type {any} */ (node)[name] = value;
    else if (value !== false) node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(.../** @type {(Node | string)[]} */ (children.filter((child) => child || child === '')));
  if (facts.value !== undefined && facts.value !== null) /** @type {any} */ (node).value = facts.value;
  return node;
}

let lastId = 0;

/** Return an ID that no other element of the page has. @param {string} [word] */
export const newId = (word = 'e') => `${word}-${(lastId += 1)}`;

/**
 * Return a function that calls `work` once, `delay` ms after the last of several calls.
 * @template {any[]} A
 * @param {number} delay
 * @param {(...args: A) => void} work
 * @returns {((...args: A) => void) & {now: (...args: A) => void, stop: () => void}}
 */
export function debounced(delay, work) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const call = (/** @type {A} */ ...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), delay);
  };
  const stop = () => clearTimeout(timer);
  const now = (/** @type {A} */ ...args) => {
    stop();
    work(...args);
  };
  return Object.assign(call, { now, stop });
}

/**
 * Call the handler with the files that the visitor drops on an element, which has the class `dropping` meanwhile.
 * @param {HTMLElement} node
 * @param {(files: File[]) => void} handler
 */
export function onDrop(node, handler) {
  let depth = 0;
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files');
  const leave = () => {
    depth = 0;
    node.classList.remove('dropping');
  };
  node.addEventListener('dragenter', (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    node.classList.add('dropping');
  });
  node.addEventListener('dragleave', (event) => {
    if (hasFiles(event) && (depth -= 1) <= 0) leave();
  });
  node.addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
  node.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    leave();
    handler([...(event.dataTransfer?.files ?? [])]);
  });
}
