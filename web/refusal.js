/**
 * Why the WebSocket is refused. A browser keeps that from its pages, so the page asks the same address by a plain
 * request: Callbox's server answers it with what it would say to the WebSocket, and a proxy in front with its own page.
 */

/** How long the question may take, in milliseconds. */
const PATIENCE = 5_000;

/**
 * `full`: the server takes no more connections now. `badHost`: it does not go by the name in the page's address.
 * `badOrigin`: the request does not come from the page's own address, as the server sees it. `notAWebSocket`: it came
 * through, but not as a WebSocket. `unreachable`: a proxy does not reach the server. `login`: something in front sends the
 * browser to another page first. `elsewhere`: something else answers. (`uninvited`: what we show lets nobody in.)
 * @typedef {'full' | 'badHost' | 'badOrigin' | 'notAWebSocket' | 'unreachable' | 'login' | 'elsewhere'} Trouble
 */

/** @type {Record<string, Trouble | 'uninvited'>} */
const CODES = { serverFull: 'full', badHost: 'badHost', badOrigin: 'badOrigin', notAWebSocket: 'notAWebSocket', unauthorized: 'uninvited' };

/**
 * @param {string} url the WebSocket's address
 * @returns {Promise<Trouble | 'uninvited' | null>} null when nothing answers at all
 */
export async function askWhy(url) {
  const address = new URL(url);
  address.protocol = address.protocol === 'wss:' ? 'https:' : 'http:';
  const abort = new AbortController();
  const late = setTimeout(() => abort.abort(), PATIENCE);
  try {
    const reply = await fetch(address, {
      headers: { accept: 'application/json' },
      cache: 'no-store',
      // A plain request of a page to its own server carries no `Origin`; this names the page's address all the same.
      referrerPolicy: 'origin',
      // A login may be on another site, which this page is not allowed to ask.
      redirect: 'manual',
      signal: abort.signal,
    });
    if (reply.type === 'opaqueredirect') return 'login';
    const body = await reply.json().catch(() => null);
    return CODES[body?.error?.code] ?? byStatus(reply.status);
  } catch {
    return null;
  } finally {
    clearTimeout(late);
  }
}

/**
 * @param {number} status
 * @returns {Trouble}
 */
function byStatus(status) {
  if (status === 426) return 'notAWebSocket';
  if (status === 502 || status === 503 || status === 504) return 'unreachable';
  return 'elsewhere';
}
