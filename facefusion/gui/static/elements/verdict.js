/** The Content Credentials and the invisible mark of a file, checked at a click: <ff-verdict>. */

import { request } from '../api.js';
import { el } from './dom.js';
import { counted } from './format.js';
import { icon } from './icon.js';
import { errorBox } from './notice.js';

/** @type {Record<string, {tone: string, picture: string, text: string}>} the words of the command `verify` */
const VERDICTS = {
  intact: {
    tone: 'good',
    picture: 'shield',
    text: 'The file is unchanged since it was signed, and this machine trusts the signer.',
  },
  'unknown-signer': {
    tone: 'warn',
    picture: 'warn',
    text: 'The file is unchanged since it was signed, but no trusted root certifies the signer.',
  },
  expired: {
    tone: 'warn',
    picture: 'warn',
    text: 'The file is unchanged, but the certificate has expired, and no timestamp proves when it was signed.',
  },
  tampered: { tone: 'bad', picture: 'error', text: 'The file was changed after it was signed.' },
  unreadable: { tone: 'bad', picture: 'error', text: 'The Content Credentials cannot be read.' },
  'mark-only': {
    tone: 'warn',
    picture: 'warn',
    text: 'The file has no Content Credentials, but contains the invisible mark of this program.',
  },
  'nothing-found': {
    tone: 'warn',
    picture: 'info',
    text: 'No Content Credentials and no invisible mark found: the origin of the file is unknown.',
  },
};

export class Verdict extends HTMLElement {
  constructor() {
    super();
    this.path = '';
    this.button = el('button', { type: 'button', class: 'button' }, icon('shield'), 'Verify');
    this.button.addEventListener('click', () => this.verify());
    this.result = el('div', { role: 'status' });
  }

  connectedCallback() {
    if (!this.firstChild) this.append(this.result);
  }

  async verify() {
    this.button.disabled = true;
    this.result.replaceChildren(el('p', { class: 'muted', text: 'The file is being checked…' }));
    try {
      this.result.replaceChildren(verdictView(await request('POST', 'verify', { path: this.path })));
    } catch (error) {
      this.result.replaceChildren(errorBox(error));
    }
    this.button.disabled = false;
  }
}

/** @param {Record<string, any>} record as `facefusion verify --format json` prints it */
function verdictView(record) {
  const { tone, picture, text } = VERDICTS[record.verdict] ?? { tone: 'info', picture: 'info', text: String(record.verdict) };
  const credentials = record.credentials ?? {};
  const list = el('dl', { class: 'facts' });
  const add = (/** @type {string} */ name, /** @type {string} */ value) => {
    if (value) list.append(el('div', {}, el('dt', { text: name }), el('dd', { text: value })));
  };
  const places = { embedded: 'in the file', sidecar: 'in a sidecar file' };
  add('Credentials', places[/** @type {keyof typeof places} */ (credentials.place)] ?? 'none');
  add('Signed by', [credentials.signer, credentials.organisation].filter(Boolean).join(', '));
  add('Trusted by', credentials.root ? `${credentials.root}${credentials.is_own_root ? ' — this machine itself' : ''}` : '');
  add('Signed at', credentials.signed_at);
  add('Made with', credentials.generator);
  add('Invisible mark', markText(record.mark));
  const problems = [...(credentials.problems ?? []), ...(record.remarks ?? [])].map((problem) => el('li', { text: String(problem) }));
  return el(
    'div',
    { class: `verdict message ${tone}` },
    icon(picture),
    el(
      'div',
      { class: 'stack' },
      el('p', { class: 'error-message', text }),
      problems.length > 0 ? el('ul', { class: 'bullets' }, ...problems) : null,
      list,
      history(credentials.chain ?? []),
    ),
  );
}

/** @param {Record<string, any> | undefined} mark */
function markText(mark) {
  if (!mark) return '';
  const checked = `${counted(mark.frames ?? 0, 'frame')} checked`;
  const found = mark.found ?? [];
  if (found.length === 0) return mark.problem ? `not checked: ${mark.problem}` : `none found, ${checked}`;
  return found
    .map((/** @type {any} */ each) => `found${each.job_id ? `, of the job ${each.job_id}` : ''}, ${checked}`)
    .join('; ');
}

/** @param {Record<string, any>[]} chain */
function history(chain) {
  if (chain.length === 0) return null;
  const items = chain.map((claim) => {
    const actions = (claim.actions ?? []).map((/** @type {any} */ action) =>
      el('li', { text: [action.description || action.action.replace('c2pa.', ''), action.when].filter(Boolean).join(', ') }),
    );
    return el('li', {}, `${claim.title || 'A file without a name'}, by ${claim.generator || 'unknown software'}`, el('ul', { class: 'bullets' }, ...actions));
  });
  return el('details', {}, el('summary', { text: 'History' }), el('ol', { class: 'bullets' }, ...items));
}

customElements.define('ff-verdict', Verdict);
