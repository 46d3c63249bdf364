/** The report of a benchmark: machine, speed, milliseconds by stage, and changes since an earlier one. */

import { barChart } from './bar-chart.js';
import { formatMoment } from './dates.js';
import { el } from './dom.js';
import { asWords, counted, formatBytes, formatRate, formatSeconds } from './format.js';
import { icon } from './icon.js';
import { recordBox } from './record-box.js';
import { textTable } from './table.js';

/** @typedef {Record<string, any>} Report as docs/benchmark.schema.json describes it */
/** @typedef {Record<string, any>} Case */
/** @typedef {Record<string, any>} Comparison as `facefusion benchmark --compare` makes it */

const CHANGES = /** @type {[string, string][]} */ ([
  ['frames_per_second', 'Frames per second'],
  ['cpu_seconds', 'CPU time'],
  ['peak_memory_bytes', 'Memory'],
  ['frame_ms_p95', 'Slow frames (p95)'],
]);

/**
 * @param {Report} report
 * @param {Comparison | null} comparison with an earlier report
 */
export function reportView(report, comparison) {
  const view = el('div', { class: 'stack benchmark-report' }, machine(report));
  if (!report.complete) view.append(message('warn', 'The benchmark was interrupted: these are the cases that were done.'));
  if (comparison) view.append(comparisonView(comparison));
  const cases = /** @type {Case[]} */ (report.cases ?? []);
  if (cases.length > 0) view.append(speed(cases));
  for (const each of cases) view.append(stages(each, comparison));
  for (const left of report.left_out ?? []) {
    view.append(el('div', { class: 'stack' }, el('h3', { text: `Not measured: ${caseName(left)}` }), recordBox(left.error)));
  }
  return view;
}

/** @param {Report} report */
function machine(report) {
  const { cpu, gpu, memory_bytes: memory, system, python, facefusion, libraries, providers } = report.machine ?? {};
  const facts = {
    Processor: cpu ? `${cpu.model}, ${cpu.usable_cores} of ${cpu.cores} cores` : '',
    'Graphics card': gpu ? (gpu.name ?? gpu.model ?? String(gpu)) : 'none',
    Memory: memory ? formatBytes(memory) : '',
    Providers: (providers ?? []).join(', '),
    System: system,
    Program: `FaceFusion ${facefusion}, Python ${python}, ONNX Runtime ${libraries?.onnxruntime ?? 'unknown'}`,
    Runs: `${counted(report.settings.cycle_count, 'run')} of ${report.settings.frames} frames, ${report.settings.mode}`,
    Date: formatMoment(report.date),
  };
  const items = Object.entries(facts).filter(([, text]) => text);
  return el('dl', { class: 'facts card' }, ...items.map(([name, text]) => el('div', {}, el('dt', { text: name }), el('dd', { text }))));
}

/** @param {Case[]} cases */
function speed(cases) {
  const titles = ['Processors', 'Size', 'Frames/s', 'Frame p50', 'Frame p95', 'Run', 'CPU', 'Memory'];
  const rows = cases.map((each) => [
    chainName(each),
    each.resolution,
    formatRate(each.frames_per_second, '').replace(' /s', ''),
    milliseconds(each.frame_ms?.p50),
    milliseconds(each.frame_ms?.p95),
    formatSeconds(each.seconds.mean),
    formatSeconds(each.cpu_seconds),
    formatBytes(each.peak_memory_bytes),
  ]);
  const bars = cases.map((each) => ({ name: caseName(each), value: each.frames_per_second }));
  return el(
    'section',
    { class: 'card stack' },
    el('h2', { text: 'Speed' }),
    el('div', { class: 'chart-pair' }, barChart({ title: 'Speed', unit: 'frames per second', bars }), textTable({ label: 'Speed', titles, rows, numbers: [2, 3, 4, 5, 6, 7] })),
  );
}

/**
 * @param {Case} each
 * @param {Comparison | null} comparison
 */
function stages(each, comparison) {
  const earlier = comparison?.cases.find((/** @type {Case} */ other) => caseName(other) === caseName(each))?.stages_ms ?? {};
  const bars = each.stages.map((/** @type {any} */ stage) => ({ name: asWords(stage.name), value: stage.ms, before: earlier[stage.name]?.[0] ?? null }));
  const titles = ['Stage', 'ms a frame', 'CPU ms', 'Network ms', ...(comparison ? ['Before'] : [])];
  const rows = each.stages.map((/** @type {any} */ stage) => {
    const before = comparison ? [milliseconds(earlier[stage.name]?.[0])] : [];
    return [asWords(stage.name), milliseconds(stage.ms), milliseconds(stage.cpu_ms), milliseconds(stage.network_ms), ...before];
  });
  const fixed = each.fixed_stages.map((/** @type {any} */ stage) => [asWords(stage.name), milliseconds(stage.ms), milliseconds(stage.cpu_ms), milliseconds(stage.network_ms)]);
  return el(
    'section',
    { class: 'card stack' },
    el('h2', { text: caseName(each) }),
    el('p', { class: 'muted small-text', text: 'All threads together, so the stages may add up to more than the time of a frame.' }),
    el('div', { class: 'chart-pair' }, barChart({ title: 'Time by stage', unit: 'milliseconds a frame', bars }), textTable({ label: `Time by stage: ${caseName(each)}`, titles, rows, numbers: [1, 2, 3, 4] })),
    el('details', {}, el('summary', { text: 'Once a run' }), textTable({ label: `Once a run: ${caseName(each)}`, titles: ['Stage', 'ms', 'CPU ms', 'Network ms'], rows: fixed, numbers: [1, 2, 3] })),
  );
}

/** @param {Comparison} comparison */
function comparisonView(comparison) {
  const { cases, is_worse: isWorse, threshold_percent: threshold } = comparison;
  const verdict = isWorse
    ? message('bad', `Slower, or in need of more CPU time or memory, by more than ${threshold} %.`)
    : message('good', `No case is worse by more than ${threshold} %.`);
  const rows = cases.map((/** @type {Case} */ each) => [
    caseName(each),
    ...CHANGES.map(([key]) => percent(each.change_percent[key])),
    each.worse.map((/** @type {string} */ key) => CHANGES.find(([name]) => name === key)?.[1] ?? key).join(', ') || 'nothing',
  ]);
  const titles = ['Case', ...CHANGES.map(([, title]) => title), 'Worse'];
  const notes = [...comparison.machine, ...comparison.settings.map((/** @type {string} */ key) => `another ${asWords(key).toLowerCase()}`)];
  const missing = [...comparison.only_new.map((/** @type {string} */ name) => `only here: ${name}`), ...comparison.only_old.map((/** @type {string} */ name) => `only earlier: ${name}`)];
  return el(
    'section',
    { class: 'card stack' },
    el('h2', { text: `Changes since ${formatMoment(comparison.date)}` }),
    cases.length > 0 ? verdict : message('warn', 'The two reports have no case in common.'),
    rows.length > 0 ? textTable({ label: 'Changes', titles, rows, numbers: [1, 2, 3, 4] }) : null,
    notes.length > 0 ? el('p', { class: 'muted', text: `Not the same: ${notes.join('; ')}` }) : null,
    missing.length > 0 ? el('p', { class: 'muted', text: missing.join('; ') }) : null,
  );
}

/**
 * @param {'good' | 'warn' | 'bad'} tone
 * @param {string} text
 */
function message(tone, text) {
  const pictures = { good: 'check', warn: 'warn', bad: 'error' };
  return el('div', { class: `message ${tone}` }, icon(pictures[tone]), el('p', { text }));
}

/** @param {Case} each */
function chainName(each) {
  const models = each.models ?? [];
  return each.processors.map((/** @type {string} */ name, /** @type {number} */ at) => [asWords(name), models[at]].filter(Boolean).join(' ')).join(' + ');
}

/** @param {Case} each */
const caseName = (each) => [chainName(each), each.resolution].filter(Boolean).join(', ');

/** @param {number | null | undefined} value */
const milliseconds = (value) => (typeof value === 'number' ? value.toFixed(value < 100 ? 2 : 0) : '–');

/** @param {number | null | undefined} value */
const percent = (value) => (typeof value === 'number' ? `${value > 0 ? '+' : ''}${value.toFixed(1)} %` : '–');
