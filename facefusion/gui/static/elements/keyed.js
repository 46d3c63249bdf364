/** Lists whose elements are kept while their items stay, so that one change does not touch the others. */

/** @type {WeakMap<Element, Map<string, HTMLElement>>} */
const shown = new WeakMap();

/**
 * Make the children of `parent` match `items`: create, update, move and remove only the elements that need it.
 * @template T
 * @template {HTMLElement} E
 * @param {Element} parent holds no other children
 * @param {T[]} items
 * @param {{key: (item: T) => string, make: (item: T) => E, update?: (element: E, item: T) => void}} how
 */
export function showKeyed(parent, items, { key, make, update }) {
  const before = shown.get(parent) ?? new Map();
  /** @type {Map<string, HTMLElement>} */
  const after = new Map();
  for (const item of items) {
    const name = key(item);
    const known = before.get(name);
    const element = known ?? make(item);
    update?.(/** @type {E} */ (element), item);
    after.set(name, element);
  }
  for (const [name, element] of before) if (after.get(name) !== element) element.remove();
  let place = parent.firstElementChild;
  for (const element of after.values()) {
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  shown.set(parent, after);
}
