/** The text of the option face_map: `FILE+FILE=NUMBER` entries between commas; a backslash escapes `,`, `+` and `=`. */

/**
 * Return the files of each person.
 * @param {string} text
 * @returns {Map<number, string[]>}
 */
export function parseFaceMap(text) {
  /** @type {Map<number, string[]>} */
  const people = new Map();
  for (const entry of split(text, ',')) {
    const [files = '', number = ''] = splitLast(entry);
    const person = Number(number.trim());
    if (!number.trim() || !Number.isInteger(person) || person < 0) continue;
    const paths = split(files, '+').map((file) => unescaped(file.trim())).filter(Boolean);
    people.set(person, [...(people.get(person) ?? []), ...paths]);
  }
  return people;
}

/**
 * Return the text of a map; '' if it gives nothing to anybody.
 * @param {Map<number, string[]>} people
 */
export function writeFaceMap(people) {
  return [...people]
    .filter(([, files]) => files.length)
    .sort(([one], [other]) => one - other)
    .map(([person, files]) => `${files.map((file) => file.replace(/[,+=]/g, '\\$&')).join('+')}=${person}`)
    .join(',');
}

/**
 * @param {string} text
 * @param {string} mark
 */
function split(text, mark) {
  const parts = [];
  let part = '';
  for (let at = 0; at < text.length; at += 1) {
    const pair = text.slice(at, at + 2);
    if (/^\\[,+=]$/.test(pair)) {
      part += pair;
      at += 1;
    } else if (text[at] === mark) {
      parts.push(part);
      part = '';
    } else part += text[at];
  }
  return [...parts, part];
}

/** @param {string} entry */
function splitLast(entry) {
  const parts = split(entry, '=');
  const number = parts.pop() ?? '';
  return [parts.join('='), number];
}

/** @param {string} text */
const unescaped = (text) => text.replace(/\\([,+=])/g, '$1');
