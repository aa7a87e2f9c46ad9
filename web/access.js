/** Who we are to this server, and whom it lets in: the requests that docs/access.md describes. */

/** How long a request may take, in milliseconds. */
const PATIENCE = 10_000;
/** What precedes the secret behind the `#` of an invitation, and the household's key behind that. */
const MARK = 'invite=';
const SITE = '&site=';

/**
 * @typedef {'owner' | 'member' | 'guest'} Role
 * @typedef {'view' | 'talk' | 'ring' | 'open' | 'manage'} Right
 *
 * @typedef {object} Grants rights by device
 * @property {Right[]} everywhere
 * @property {Record<string, Right[]>} [at]
 *
 * @typedef {object} Standing who we are here
 * @property {string} userId
 * @property {string} name
 * @property {Role} role
 * @property {Grants} rights
 * @property {string} session
 * @property {number | null} until Unix time in seconds
 * @property {string | null} [key] this browser's, as far as the server knows
 * @property {string | null} [vouch] the household's word for this browser's key
 *
 * @typedef {object} Session
 * @property {string} id
 * @property {string} label such as "Firefox on Android"
 * @property {number} lastSeen
 * @property {boolean} online
 * @property {boolean} own
 *
 * @typedef {object} Invitation
 * @property {string} id
 * @property {number} usesLeft
 * @property {number | null} expires
 *
 * @typedef {object} Person
 * @property {string} name
 * @property {Role} role
 * @property {Grants} rights
 * @property {number | null} from
 * @property {number | null} until
 * @property {boolean} program
 * @property {Session[]} sessions
 * @property {Invitation[]} invitations
 *
 * @typedef {object} Device one that joins with a key of its own
 * @property {string} userId
 * @property {number} since Unix time in seconds
 * @property {{ last: number, count: number } | null} refused somebody came under its ID with another key
 *
 * @typedef {{ secret: string, site: string | null }} InvitationLink `site`: the household's key
 *
 * @typedef {object} Invited
 * @property {string} name
 * @property {string} link
 * @property {{ width: number, path: string } | null} qr
 */

/** The server says no: `code` is one of docs/access.md. */
export class Refused extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {Record<string, unknown>} more
   */
  constructor(code, message, more = {}) {
    super(message);
    this.code = code;
    this.more = more;
  }
}

/**
 * Whether we may do that with somebody. What people may do with each other, nobody restricts.
 * @param {Standing | null} standing null where everybody may do everything
 * @param {Right} right
 * @param {import('./protocol.js').Peer} peer
 */
export function may(standing, right, { userId, kind }) {
  if (!standing || standing.role === 'owner' || kind !== 'device') return true;
  return (standing.rights.at?.[userId] ?? standing.rights.everywhere).includes(right);
}

/**
 * Whether there is anybody whom we may call: guests see no people, and not every guest may call a device.
 * @param {Standing | null} standing
 */
export function mayCallSomebody(standing) {
  if (!standing || standing.role !== 'guest') return true;
  const rights = [standing.rights.everywhere, ...Object.values(standing.rights.at ?? {})].flat();
  return rights.includes('view') || rights.includes('talk');
}

/**
 * Takes an invitation out of the page's address, and out of the history with it.
 * @returns {InvitationLink | null}
 */
export function takeInvitation() {
  const invitation = invitationIn(location.href);
  if (invitation !== null) history.replaceState(null, '', location.pathname + location.search);
  return invitation;
}

/**
 * @param {string} link
 * @returns {InvitationLink | null}
 */
export function invitationIn(link) {
  const mark = link.indexOf(`#${MARK}`);
  if (mark < 0) return null;
  const [secret = '', site] = link.slice(mark + 1 + MARK.length).trim().split(SITE);
  return { secret, site: site ?? null };
}

/**
 * Who we are. `null` where everybody may come in; a server that knows nothing of invitations lets everybody in.
 * @returns {Promise<Standing | null>} rejected with `Refused` where one has to be invited
 */
export async function whoAmI() {
  try {
    return (await ask('GET', 'api/me')).you ?? null;
  } catch (error) {
    if (error instanceof Refused && error.code !== 'notFound') throw error;
    return null;
  }
}

/**
 * @param {string} secret
 * @param {string | undefined} key this browser's own
 * @returns {Promise<Standing>}
 */
export const redeem = async (secret, key) => (await ask('POST', 'api/redeem', { secret, key })).you;

/**
 * This browser has another key than before.
 * @param {string} key
 * @returns {Promise<Standing>}
 */
export const tellKey = async (key) => (await ask('POST', 'api/key', { key })).you;

/** This browser goes. */
export const leave = () => ask('POST', 'api/leave', {});

/** @returns {Promise<{ people: Person[], devices: Device[] }>} */
export const household = () => ask('GET', 'api/people');

/**
 * @param {Record<string, unknown>} invitation
 * @returns {Promise<Invited>}
 */
export const invite = (invitation) => ask('POST', 'api/invite', { ...invitation, base: location.origin + location.pathname });

/** @param {string} which a person's name, or the ID of a session or an invitation */
export const revoke = (which) => ask('POST', 'api/revoke', { which });

/**
 * @param {string} from
 * @param {string} to
 */
export const rename = (from, to) => ask('POST', 'api/rename', { from, to });

/**
 * @param {'GET' | 'POST'} method
 * @param {string} path
 * @param {Record<string, unknown>} [body]
 * @returns {Promise<any>}
 */
async function ask(method, path, body) {
  const abort = new AbortController();
  const late = setTimeout(() => abort.abort(), PATIENCE);
  try {
    const reply = await fetch(new URL(path, location.origin + location.pathname), {
      method,
      cache: 'no-store',
      headers: body ? { 'content-type': 'application/json' } : {},
      body: body ? JSON.stringify(body) : null,
      signal: abort.signal,
    });
    const answer = await reply.json().catch(() => null);
    if (reply.ok && answer) return answer;
    const error = answer?.error;
    // A server that knows nothing of all this answers with what it has for any address.
    throw new Refused(error?.code ?? (method === 'GET' ? 'notFound' : 'unavailable'), error?.message ?? '', error ?? {});
  } catch (error) {
    throw error instanceof Refused || method === 'GET' ? error : new Refused('unavailable', String(error));
  } finally {
    clearTimeout(late);
  }
}
