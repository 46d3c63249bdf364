/**
 * Live events of the server. All tabs of a browser share one connection, because browsers allow six to a host: the
 * tab that holds a lock has the EventSource and passes its events on. Without locks (plain http to another machine)
 * every visible tab asks for the jobs every two seconds instead.
 *
 * Names: jobs, job, gone, model, survey, benchmark, message, workers as the server sends them, and `state` with
 * 'connecting', 'live', 'polling', 'lost' or 'locked' (the token is no longer valid).
 */

import { ApiError, address, request } from './api.js';

const NAMES = ['jobs', 'job', 'gone', 'model', 'survey', 'benchmark', 'message', 'workers'];
const LOCK = 'facefusion-events';
const POLL_MS = 2000;
const RETRY_MS = 2000;

/** @typedef {(data: any) => void} Handler */

class Feed {
  constructor() {
    /** @type {Map<string, Set<Handler>>} */
    this.handlers = new Map();
    /** @type {Map<string, any>} the jobs by ID, as the events left them */
    this.jobs = new Map();
    /** @type {Map<string, any>} the newest data of names that describe a whole state */
    this.latest = new Map([['state', 'connecting']]);
    this.isLeader = false;
    this.channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel(LOCK) : null;
    this.started = false;
  }

  start() {
    if (this.started) return;
    this.started = true;
    if (!navigator.locks || !this.channel) {
      this.poll();
      return;
    }
    this.channel.addEventListener('message', (event) => this.hear(event.data));
    this.channel.postMessage({ ask: true });
    navigator.locks.request(LOCK, () => {
      this.isLeader = true;
      this.connect();
      return new Promise(() => {});
    });
  }

  /** @param {any} message from another tab */
  hear(message) {
    if (!message.ask) this.deliver(message.name, message.data);
    else if (this.isLeader) for (const [name, data] of this.snapshot()) this.channel?.postMessage({ name, data });
  }

  /** @returns {[string, any][]} */
  snapshot() {
    return [...this.latest].map(([name, data]) => [name, name === 'jobs' ? { jobs: [...this.jobs.values()] } : data]);
  }

  connect() {
    const source = new EventSource(address('events'));
    source.addEventListener('open', () => this.spread('state', 'live'));
    for (const name of NAMES) {
      source.addEventListener(name, (event) => this.spread(name, JSON.parse(/** @type {MessageEvent} */ (event).data)));
    }
    source.addEventListener('error', async () => {
      this.spread('state', 'lost');
      if (source.readyState !== EventSource.CLOSED) return;
      this.spread('state', await reasonOfLoss());
      setTimeout(() => this.connect(), RETRY_MS);
    });
  }

  async poll() {
    if (!document.hidden) {
      try {
        const reply = await request('GET', 'jobs');
        this.deliver('jobs', reply);
        if (this.latest.get('state') !== 'polling') this.deliver('state', 'polling');
      } catch (error) {
        this.deliver('state', error instanceof ApiError && error.status === 401 ? 'locked' : 'lost');
      }
    }
    setTimeout(() => this.poll(), POLL_MS);
  }

  /**
   * Deliver an event here and to the other tabs.
   * @param {string} name
   * @param {any} data
   */
  spread(name, data) {
    this.deliver(name, data);
    this.channel?.postMessage({ name, data });
  }

  /**
   * @param {string} name
   * @param {any} data
   */
  deliver(name, data) {
    if (name === 'jobs') this.jobs = new Map(data.jobs.map((/** @type {any} */ job) => [job.id, job]));
    if (name === 'job') this.jobs.set(data.id, data);
    if (name === 'gone') this.jobs.delete(data.id);
    if (['jobs', 'workers', 'state'].includes(name)) this.latest.set(name, data);
    for (const handler of this.handlers.get(name) ?? []) handler(data);
  }

  /**
   * @param {string} name
   * @param {Handler} handler
   */
  on(name, handler) {
    const handlers = this.handlers.get(name) ?? new Set();
    this.handlers.set(name, handlers.add(handler));
    const known = this.snapshot().find(([latest]) => latest === name);
    if (known) queueMicrotask(() => handlers.has(handler) && handler(known[1]));
    this.start();
    return () => void handlers.delete(handler);
  }
}

async function reasonOfLoss() {
  try {
    await request('GET', 'version');
    return 'lost';
  } catch (error) {
    return error instanceof ApiError && error.status === 401 ? 'locked' : 'lost';
  }
}

const feed = new Feed();

/**
 * Call the handler for every event of a name; at once too if the present state of `jobs`, `workers` or `state` is known.
 * @param {string} name
 * @param {Handler} handler
 * @returns {() => void} a function that ends the subscription
 */
export const on = (name, handler) => feed.on(name, handler);

/** Return the jobs that the events described, in the order of the server. */
export const knownJobs = () => [...feed.jobs.values()];
