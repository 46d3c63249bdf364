/** The frame of the page: the bar with the screens and the live state, and the router. */

import { on } from './events.js';
import { el } from './elements/dom.js';
import { icon } from './elements/icon.js';
import { counted } from './elements/format.js';
import { showError } from './elements/notice.js';

/**
 * A screen: the custom element ff-NAME of screens/NAME.js, made when its route is first opened, and kept.
 * `opened(parts)` gets the parts of the hash after the name, each time the screen is shown; `left()` is called when
 * another one is shown.
 * @typedef {HTMLElement & {opened?: (parts: string[]) => void, left?: () => void}} Screen
 */

/** @type {Record<string, string>} the names of the routes and their titles */
const SCREENS = {
  studio: 'Studio',
  people: 'People',
  queue: 'Queue',
  models: 'Models',
  benchmark: 'Benchmark',
  settings: 'Settings',
};

const main = /** @type {HTMLElement} */ (document.querySelector('#screen'));
/** @type {Map<string, Screen>} */
const screens = new Map();
/** @type {Map<string, HTMLAnchorElement>} */
const links = new Map();
let shown = '';
/** Whether the shown screen could not be loaded, and whether the server was away. */
let isMissing = false;
let isAway = false;

async function route() {
  const [name = '', ...parts] = location.hash.replace(/^#\/?/, '').split('/').map(decoded);
  if (location.hash === '#screen') return main.focus();
  if (!(name in SCREENS)) return location.replace('#/studio');
  const isMove = shown !== '' && shown !== name;
  isMissing = false;
  try {
    await show(name, parts);
    if (isMove) main.focus({ preventScroll: true });
  } catch (error) {
    isMissing = !screens.has(name);
    showError(error);
  }
}

/** Return a part of the hash; one that is not encoded correctly names nothing. @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}

/**
 * Load the page again if a screen failed to load while the server was away: browsers keep the failure of a module.
 * @param {string} state
 */
function repair(state) {
  if (state === 'live' && isMissing && isAway) location.reload();
  isAway = state === 'lost';
}

/**
 * @param {string} name
 * @param {string[]} parts
 */
async function show(name, parts) {
  if (shown && shown !== name) screens.get(shown)?.left?.();
  shown = name;
  let screen = screens.get(name);
  if (!screen) {
    await Promise.all([import(`./screens/${name}.js`), style(name)]);
    // A later click may have opened the same screen while its module was loading.
    screen = screens.get(name) ?? /** @type {Screen} */ (document.createElement(`ff-${name}`));
    if (!screens.has(name)) main.append(screen);
    screens.set(name, screen);
  }
  if (shown !== name) {
    screen.hidden = true;
    return;
  }
  for (const [other, element] of screens) element.hidden = other !== name;
  for (const [other, link] of links) {
    if (other === name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${SCREENS[name]} · FaceFusion`;
  document.body.dataset.screen = name;
  screen.opened?.(parts);
}

/**
 * Load the styles of a screen; a screen shows without them if that fails.
 * @param {string} name
 */
function style(name) {
  return new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    const link = el('link', { rel: 'stylesheet', href: `styles/${name}.css`, onload: resolve, onerror: resolve });
    document.head.append(link);
  });
}

function showBar() {
  const nav = /** @type {HTMLElement} */ (document.querySelector('.places'));
  const count = el('span', { class: 'count', hidden: true });
  for (const [name, title] of Object.entries(SCREENS)) {
    const link = el('a', { href: `#/${name}` }, icon(name), el('span', { text: title }));
    if (name === 'queue') link.append(count);
    links.set(name, link);
    nav.append(link);
  }
  const state = el('span', { class: 'state', role: 'status' });
  document.querySelector('.live')?.append(state);
  on('state', (name) => {
    showState(state, name);
    repair(name);
  });
  /** @type {Map<string, string>} */
  const states = new Map();
  const recount = () => {
    const open = [...states.values()].filter((job) => job === 'queued' || job === 'running').length;
    count.hidden = open === 0;
    count.textContent = String(open);
    count.setAttribute('aria-label', `${counted(open, 'job')} waiting or running`);
  };
  on('jobs', ({ jobs }) => {
    states.clear();
    for (const job of jobs) states.set(job.id, job.state);
    recount();
  });
  on('job', (job) => {
    states.set(job.id, job.state);
    recount();
  });
  on('gone', ({ id }) => {
    states.delete(id);
    recount();
  });
}

/**
 * @param {HTMLElement} node
 * @param {string} name
 */
function showState(node, name) {
  /** @type {Record<string, string>} */
  const words = {
    live: 'Live',
    polling: 'Live, every 2 s',
    connecting: 'Connecting',
    lost: 'No connection',
    locked: 'Signed out: open the address that the command printed',
  };
  node.textContent = words[name] ?? name;
  node.dataset.state = name;
}

showBar();
addEventListener('hashchange', route);
// A file that is dropped beside a drop zone would replace the page.
for (const name of ['dragover', 'drop']) addEventListener(name, (event) => event.preventDefault());
route();
