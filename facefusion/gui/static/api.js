/** Requests to the HTTP interface of this server. */

export const BASE = '/api/v1';

/** An error that the server reported, or a server that does not answer (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {import('./types.js').ErrorRecord} record
   */
  constructor(status, record) {
    super(record.message);
    this.name = 'ApiError';
    this.status = status;
    this.record = record;
  }
}

/**
 * Return the address of a path with parameters; parameters without a value are left out.
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} [params]
 */
export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== '') query.set(name, String(value));
  }
  const text = query.toString();
  return `${BASE}/${path.replace(/^\//, '')}${text ? `?${text}` : ''}`;
}

/**
 * Return the address of the bytes of a file of this machine, for players and links.
 * @param {string} path
 */
export const contentUrl = (path) => address('files/content', { path });

/**
 * Send a request and return the response. Throws ApiError, or an AbortError if the signal aborts it.
 * @param {string} method
 * @param {string} path below /api/v1, with its query
 * @param {unknown} [body] JSON
 * @param {{signal?: AbortSignal, keepalive?: boolean}} [options] keepalive: for at most 64 KB
 * @returns {Promise<Response>}
 */
export async function send(method, path, body, { signal, keepalive = false } = {}) {
  const url = path.startsWith(BASE) ? path : address(path);
  /** @type {RequestInit} */
  const init = { method, signal: signal ?? null, keepalive, credentials: 'same-origin' };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'content-type': 'application/json' };
  }
  let response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw unreachable(String(error));
  }
  if (!response.ok) throw new ApiError(response.status, await recordOf(response));
  return response;
}

/**
 * Send a request and return its JSON, its picture as a Blob, or null for an empty reply.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {{signal?: AbortSignal, keepalive?: boolean}} [options]
 * @returns {Promise<any>}
 */
export async function request(method, path, body, options) {
  const response = await send(method, path, body, options);
  if (response.status === 204) return null;
  const type = response.headers.get('content-type') ?? '';
  if (type.startsWith('application/json')) return response.json();
  return type.startsWith('image/') ? response.blob() : response.text();
}

/**
 * Copy a file of the visitor to the server.
 * @param {File} file
 * @param {{onProgress?: (done: number, total: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<{path: string, kind: string, size: number}>}
 */
export function upload(file, { onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const sender = new XMLHttpRequest();
    sender.open('PUT', address(`uploads/${encodeURIComponent(file.name)}`));
    sender.upload.addEventListener('progress', (event) => onProgress?.(event.loaded, event.total || file.size));
    sender.addEventListener('load', () => {
      const reply = parsed(sender.responseText);
      if (sender.status >= 200 && sender.status < 300 && reply) resolve(reply);
      else reject(new ApiError(sender.status, asRecord(reply, `the upload failed with status ${sender.status}`)));
    });
    sender.addEventListener('error', () => reject(unreachable('the connection broke during the upload')));
    sender.addEventListener('abort', () => reject(new DOMException('upload stopped', 'AbortError')));
    signal?.addEventListener('abort', () => sender.abort());
    sender.send(file);
  });
}

/**
 * Whether an error only says that its request was overtaken or stopped.
 * @param {unknown} error
 */
export const isAbort = (error) => error instanceof DOMException && error.name === 'AbortError';

/** @param {string} cause */
function unreachable(cause) {
  const hint = 'start `facefusion gui` again and open the address that it prints';
  return new ApiError(0, { reference: 'server-unreachable', message: 'the server does not answer', cause, hint });
}

/** @param {Response} response */
async function recordOf(response) {
  return asRecord(parsed(await response.text()), `the server replied with status ${response.status}`);
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * @param {any} reply
 * @param {string} message used where the reply has none
 * @returns {import('./types.js').ErrorRecord}
 */
function asRecord(reply, message) {
  return reply && typeof reply.message === 'string' ? reply : { reference: 'reply-unreadable', message };
}
