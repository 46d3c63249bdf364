/** Files that the visitor drops or picks are copied to the server, with a progress bar for each. */

import { upload } from '../api.js';
import { el } from './dom.js';
import { formatBytes } from './format.js';
import { icon } from './icon.js';
import { showError } from './notice.js';

/**
 * Copy files to the server one after the other; return the paths of those that arrived.
 * @param {File[]} files
 * @param {HTMLElement} place gets a row with progress for each file
 */
export async function uploadFiles(files, place) {
  const paths = [];
  for (const file of files) {
    const control = new AbortController();
    const bar = el('progress', { max: '1', value: 0, 'aria-label': `Upload of ${file.name}` });
    const stop = el('button', { type: 'button', class: 'icon-button', 'aria-label': `Stop the upload of ${file.name}` }, icon('close'));
    const amount = el('span', { class: 'muted small-text', text: formatBytes(file.size) });
    const row = el('div', { class: 'upload' }, el('span', { class: 'upload-name', text: file.name }), amount, stop, bar);
    stop.addEventListener('click', () => control.abort());
    place.append(row);
    try {
      const onProgress = (/** @type {number} */ done, /** @type {number} */ total) => {
        bar.value = total ? done / total : 0;
        amount.textContent = `${formatBytes(done)} of ${formatBytes(total)}`;
      };
      paths.push((await upload(file, { onProgress, signal: control.signal })).path);
    } catch (error) {
      showError(error);
    } finally {
      row.remove();
    }
  }
  return paths;
}
