/** Modal dialogs. */

import { el, newId } from './dom.js';
import { icon } from './icon.js';

/**
 * Open a dialog and return the value of the button that closed it, or '' if it was cancelled.
 * @param {{title: string, body: Node | string, actions: {value: string, text: string, tone?: 'primary' | 'danger'}[],
 *   wide?: boolean}} facts
 * @returns {{dialog: HTMLDialogElement, closed: Promise<string>}}
 */
export function openDialog({ title, body, actions, wide }) {
  const id = newId('title');
  const buttons = actions.map(({ value, text, tone }) =>
    el('button', { class: `button ${tone ?? ''}`, value, text, type: 'submit', autofocus: tone === 'primary' }),
  );
  const close = el('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close' }, icon('close'));
  const dialog = el(
    'dialog',
    { class: wide ? 'dialog wide' : 'dialog', 'aria-labelledby': id },
    el(
      'form',
      { method: 'dialog' },
      el('header', {}, el('h2', { id, text: title }), close),
      el('div', { class: 'dialog-body' }, typeof body === 'string' ? el('p', { text: body }) : body),
      el('footer', {}, ...buttons),
    ),
  );
  close.addEventListener('click', () => dialog.close(''));
  dialog.addEventListener('cancel', () => (dialog.returnValue = ''));
  document.body.append(dialog);
  dialog.returnValue = '';
  dialog.showModal();
  const closed = new Promise((/** @type {(value: string) => void} */ resolve) => {
    dialog.addEventListener('close', () => {
      const corner = dialog.querySelector('.notices');
      if (corner) document.body.append(corner);
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
  return { dialog, closed };
}

/**
 * Ask a question; return whether the visitor agreed.
 * @param {{title: string, text: string, agree: string, isDangerous?: boolean}} facts
 */
export async function confirmed({ title, text, agree, isDangerous }) {
  const actions = [
    { value: '', text: 'Cancel' },
    { value: 'yes', text: agree, tone: /** @type {'primary' | 'danger'} */ (isDangerous ? 'danger' : 'primary') },
  ];
  return (await openDialog({ title, body: text, actions }).closed) === 'yes';
}
