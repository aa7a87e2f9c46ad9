/**
 * This browser's own key, which it gives to nobody, and the household's, by which it knows the others. docs/protocol.md,
 * "Keys, and who answers for a call", has the texts that are signed.
 *
 * There are keys only where the page came by HTTPS or from this machine: elsewhere browsers sign nothing.
 */

const DATABASE = 'callbox';
const STORE = 'keys';
/** The one row of the store. */
const OWN = 'own';
const CURVE = { name: 'ECDSA', namedCurve: 'P-256' };
const WITH = { name: 'ECDSA', hash: 'SHA-256' };

/** @typedef {{ pair: CryptoKeyPair, key: string, site: string | null }} Keys `key`: ours as text; `site`: the household's */

/** What a call needs to show who we are, and to find out who the other side is. */
export class Identity {
  #pair;
  #site;

  /**
   * @param {Keys} keys
   * @param {string | null} vouch the household's word for our key; null: there is none, and we only know whom to trust
   * @param {CryptoKey | null} site the household's key, where this browser can use it
   */
  constructor({ pair, key }, vouch, site) {
    this.#pair = pair;
    this.key = key;
    this.vouch = vouch;
    this.#site = site;
  }

  /** Whether we can find out who others are. */
  get canCheck() {
    return this.#site !== null;
  }

  /** @param {string} text */
  async sign(text) {
    return encode(await crypto.subtle.sign(WITH, this.#pair.privateKey, utf8(text)));
  }

  /**
   * Whether the household vouches for somebody's key. IDs are given once, to a device or to a person, so that either will do.
   * @param {string} userId
   * @param {string} key
   * @param {string} vouch
   */
  async vouchesFor(userId, key, vouch) {
    if (!this.#site) return false;
    for (const kind of ['device', 'person']) {
      const text = lines('callbox vouch 1', kind, userId, key);
      if (await verify('Ed25519', this.#site, vouch, text)) return true;
    }
    return false;
  }

  /**
   * @param {string} key
   * @param {string} text
   * @param {string} signature
   */
  async hasSigned(key, text, signature) {
    const [kind, bytes] = [key.slice(0, key.indexOf(':')), decode(key.slice(key.indexOf(':') + 1))];
    try {
      if (kind === 'ed25519' && bytes) return await verify('Ed25519', await ed25519(bytes), signature, text);
      if (kind !== 'p256' || !bytes) return false;
      return await verify(WITH, await crypto.subtle.importKey('raw', bytes, CURVE, false, ['verify']), signature, text);
    } catch {
      return false;
    }
  }
}

/**
 * New keys for an invitation; `keep` makes them this browser's, and returns what takes that back. `null` where browsers give
 * none.
 * @param {string | null} site the household's key, as the invitation has it
 * @returns {Promise<{ key: string, keep: () => Promise<() => Promise<unknown>> } | null>}
 */
export async function makeKeys(site) {
  if (!crypto.subtle) return null;
  try {
    const keys = await freshKeys(site);
    return {
      key: keys.key,
      async keep() {
        const before = await transact('readonly', (store) => store.get(OWN));
        await store(keys);
        return () => transact('readwrite', (store) => (before ? store.put(before, OWN) : store.delete(OWN)));
      },
    };
  } catch (error) {
    console.warn('callbox: this browser makes no keys:', error);
    return null;
  }
}

/**
 * Sees to it that the server knows this browser's key. Browsers lose what pages keep in them, Safari after a week without a
 * visit; the household's key is gone then, too.
 * @param {string | null} known the key that the server has of us
 * @param {(key: string) => Promise<import('./access.js').Standing>} tell
 * @returns {Promise<import('./access.js').Standing | null>} what `tell` returns; null: there was nothing to tell
 */
export async function renewKey(known, tell) {
  if (!crypto.subtle) return null;
  // Two windows that open at once make one key.
  return navigator.locks.request(DATABASE, async () => {
    const kept = /** @type {Keys | undefined} */ (await transact('readonly', (store) => store.get(OWN)));
    if (kept?.key === known) return null;
    const keys = kept ?? (await freshKeys(null));
    if (!kept) await store(keys);
    return tell(keys.key);
  });
}

/** Forgets our key and the household's. */
export const forgetKeys = () => transact('readwrite', (store) => store.delete(OWN)).catch(() => {});

/**
 * What we can show in calls, and whom we trust. Without the household's word for our key we show nothing, and trust nobody
 * else than before. null: this browser has no keys.
 * @param {string} userId
 * @param {string | null | undefined} vouch what the server says is the household's word
 * @returns {Promise<Identity | null>}
 */
export async function loadIdentity(userId, vouch) {
  if (!crypto.subtle) return null;
  try {
    const keys = /** @type {Keys | undefined} */ (await transact('readonly', (store) => store.get(OWN)));
    if (!keys) return null;
    const bytes = keys.site === null ? null : decode(keys.site);
    // Older browsers know no Ed25519: they show who they are, and cannot tell who others are.
    const site = bytes && (await ed25519(bytes).catch(() => null));
    const identity = new Identity(keys, vouch ?? null, site);
    if (!site || !vouch || (await identity.vouchesFor(userId, keys.key, vouch))) return identity;
    console.warn('callbox: the server’s word for this browser’s key is not that of the household');
    return new Identity(keys, null, site);
  } catch (error) {
    console.warn('callbox: this browser has lost its keys:', error);
    return null;
  }
}

/**
 * The text that one side of a call signs.
 * @param {'offer' | 'answer'} side
 * @param {string | undefined} callId
 * @param {{ userId: string, fingerprints: string, nonce: string }} offer
 * @param {{ userId: string, fingerprints: string, nonce: string }} answer
 */
export function callText(side, callId, offer, answer) {
  return lines(
    'callbox call 1', side, callId ?? '', offer.userId, answer.userId,
    offer.fingerprints, answer.fingerprints, offer.nonce, answer.nonce,
  );
}

/**
 * All fingerprints of a description, in an order of their own. Some browsers read names in whatever case and blanks around
 * them: a line that only they see would be a connection that nobody has checked.
 * @param {string} sdp
 */
export function fingerprintsOf(sdp) {
  const values = [...sdp.matchAll(/^[^\S\r\n]*a[^\S\r\n]*=[^\S\r\n]*fingerprint[^\S\r\n]*:(.*)$/gim)].map(([, value = '']) => {
    const [hash = '', ...rest] = value.trim().split(' ');
    return [hash.toLowerCase(), rest.join(' ').trim().toUpperCase()].filter(Boolean).join(' ');
  });
  // Hash names and hexadecimal digits: their order is that of their bytes.
  return [...new Set(values)].sort().join(',');
}

export const freshNonce = () => encode(crypto.getRandomValues(new Uint8Array(16)).buffer);

/** @param {...string} words */
const lines = (...words) => words.map((word) => `${word}\n`).join('');

/** @param {string} text */
const utf8 = (text) => new TextEncoder().encode(text);

/** @param {Uint8Array<ArrayBuffer>} bytes */
const ed25519 = (bytes) => crypto.subtle.importKey('raw', bytes, 'Ed25519', false, ['verify']);

/**
 * @param {string | EcdsaParams} algorithm
 * @param {CryptoKey} key
 * @param {string} signature
 * @param {string} text
 */
async function verify(algorithm, key, signature, text) {
  const bytes = decode(signature);
  return bytes !== null && (await crypto.subtle.verify(algorithm, key, bytes, utf8(text)));
}

/**
 * @param {string | null} site
 * @returns {Promise<Keys>}
 */
async function freshKeys(site) {
  const pair = await crypto.subtle.generateKey(CURVE, false, ['sign', 'verify']);
  return { pair, key: `p256:${encode(await crypto.subtle.exportKey('raw', pair.publicKey))}`, site };
}

/** @param {Keys} keys */
async function store(keys) {
  await transact('readwrite', (store) => store.put(keys, OWN));
  void navigator.storage?.persist?.().catch(() => {});
}

/** Base64url without padding. @param {ArrayBuffer} bytes */
function encode(bytes) {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/**
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer> | null}
 */
function decode(text) {
  if (!/^[\w-]*$/.test(text)) return null;
  try {
    return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  } catch {
    return null;
  }
}

/**
 * Does one thing with the store of keys.
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} work
 * @returns {Promise<unknown>}
 */
function transact(mode, work) {
  return new Promise((resolve, reject) => {
    const open = indexedDB.open(DATABASE, 1);
    open.onupgradeneeded = () => open.result.createObjectStore(STORE);
    open.onerror = () => reject(open.error);
    open.onsuccess = () => {
      const database = open.result;
      const transaction = database.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => {
        database.close();
        resolve(request.result);
      };
      transaction.onabort = transaction.onerror = () => {
        database.close();
        reject(transaction.error);
      };
    };
  });
}
