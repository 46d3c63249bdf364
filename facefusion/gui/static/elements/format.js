/** Numbers as people read them. */

/**
 * Return a duration: '0.4 s', '12 s', '3 min 05 s', '2 h 10 min'.
 * @param {number} seconds
 */
export function formatSeconds(seconds) {
  if (!Number.isFinite(seconds)) return 'unknown';
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/**
 * Return an amount of bytes in decimal units: '812 bytes', '1.2 MB'.
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  if (!Number.isFinite(bytes)) return 'unknown';
  if (bytes < 1000) return bytes === 1 ? '1 byte' : `${bytes} bytes`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)} ${units[unit]}`;
}

/**
 * Return a speed, by default of frames: '24.5 frames/s'.
 * @param {number} rate
 * @param {string} [unit]
 */
export function formatRate(rate, unit = 'frames') {
  if (!Number.isFinite(rate)) return 'unknown';
  return `${rate < 100 ? Number(rate.toFixed(1)) : Math.round(rate)} ${unit}/s`;
}

/**
 * Return a time of a clip as m:ss.hh.
 * @param {number} seconds
 */
export function formatClock(seconds) {
  const hundredths = Math.max(0, Math.round(seconds * 100));
  const minutes = Math.floor(hundredths / 6000);
  const rest = ((hundredths % 6000) / 100).toFixed(2).padStart(5, '0');
  return `${minutes}:${rest}`;
}

/**
 * Return a count with its noun: '1 face', '3 faces'.
 * @param {number} count
 * @param {string} noun
 * @param {string} [plural]
 */
export const counted = (count, noun, plural = `${noun}s`) => `${count} ${count === 1 ? noun : plural}`;

/**
 * Return the last part of a path.
 * @param {string} path
 */
export const fileName = (path) => path.split(/[/\\]/).filter(Boolean).at(-1) ?? path;

/**
 * Return a key as words: 'face_swapper' becomes 'Face swapper'.
 * @param {string} key
 */
export const asWords = (key) => capitalised(key.replaceAll('_', ' '));

/**
 * Return a text with a capital first letter.
 * @param {string} text
 */
export const capitalised = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * Return a text with a capital first letter, unless it begins with a name, such as that of a file.
 * @param {string} text
 */
export const asSentence = (text) => (/^\S*[._/\\\d]/.test(text) ? text : capitalised(text));
