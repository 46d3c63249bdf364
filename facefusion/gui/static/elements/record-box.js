/** A stored error record in place, in the words of errors that the server reports. */

import { ApiError } from '../api.js';
import { errorBox } from './notice.js';

/**
 * Return the message, cause and hint of an error record as a box.
 * @param {{reference: string, message: string, cause?: string, hint?: string}} record
 */
export function recordBox(record) {
  const box = errorBox(new ApiError(0, record));
  // It is part of the page and not news, so screen readers are not interrupted.
  box.removeAttribute('role');
  return box;
}
