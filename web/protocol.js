/**
 * The browser's side of src/protocol/: every message of the signaling WebSocket, and the limits that concern a page.
 * What arrives is checked here once; the rest of the page works with the types below.
 */

/** The version of Callbox's additions that this page speaks. */
export const VERSION = 1;
/** Longest user ID in bytes of UTF-8. */
export const MAX_ID_BYTES = 64;
/** Most candidates that one call takes from the other side. */
export const MAX_CANDIDATES = 50;
/** How long an unanswered call rings, in milliseconds. */
export const RING_TIMEOUT = 60_000;
/** How long the media connection may take to come up, or to come back, in milliseconds. */
export const CONNECT_TIMEOUT = 20_000;

/** WebSocket close codes that mean more to a page than "try again". */
export const CLOSE = { TRY_LATER: 1013, REPLACED: 4000 };

/**
 * @typedef {'device' | 'person'} Kind
 * @typedef {{ userId: string, name: string, kind: Kind }} Peer
 * @typedef {'hangup' | 'declined' | 'busy' | 'noAnswer' | 'failed' | 'replaced' | 'shutdown' | 'other'} Reason
 *
 * @typedef {{ type: 'joined', userId: string, version: number, peers: Peer[], iceServers: RTCIceServer[] }} Joined
 * @typedef {{ type: 'presence', peer: Peer, online: boolean }} Presence
 * @typedef {{ type: 'offer', userId: string, callId?: string, offer: { type: 'offer', sdp: string } }} Offer
 * @typedef {{ type: 'answer', userId: string, callId?: string, answer: { type: 'answer' | 'pranswer', sdp: string } }} Answer
 * @typedef {{ type: 'candidate', userId: string, callId?: string, candidate: RTCIceCandidateInit | null }} Candidate
 * @typedef {{ type: 'ringing', userId: string, callId?: string }} Ringing
 * @typedef {{ type: 'leave', userId: string, callId?: string, reason: Reason }} Leave
 * @typedef {{ type: 'error', code: string, message: string, userId?: string, targetId?: string, inReplyTo?: string, callId?: string }} Refusal
 * @typedef {Joined | Presence | Offer | Answer | Candidate | Ringing | Leave | Refusal} Message
 */

const REASONS = ['hangup', 'declined', 'busy', 'noAnswer', 'failed', 'replaced', 'shutdown'];

/**
 * Reads one text frame.
 * @param {unknown} data
 * @returns {Message | null} null for what is malformed or of a type that concerns no page
 */
export function parse(data) {
  if (typeof data !== 'string') return null;
  let m;
  try {
    m = JSON.parse(data);
  } catch {
    return null;
  }
  if (!isObject(m)) return null;
  const userId = asText(m.userId);
  const callId = asText(m.callId);
  switch (m.type) {
    case 'joined':
      return {
        type: 'joined',
        userId: userId ?? '',
        version: typeof m.version === 'number' ? m.version : VERSION,
        peers: asList(m.peers).map(asPeer).filter((peer) => peer !== null),
        iceServers: asList(m.iceServers).map(asIceServer).filter((server) => server !== null),
      };
    case 'presence': {
      const peer = asPeer(m.peer);
      return peer && { type: 'presence', peer, online: m.online === true };
    }
    case 'error':
      return {
        type: 'error',
        code: asText(m.code) ?? 'other',
        message: asText(m.message) ?? '',
        userId,
        targetId: asText(m.targetId),
        inReplyTo: asText(m.inReplyTo),
        callId,
      };
  }
  // What remains comes from a peer, and says nothing without the peer's name.
  if (userId === undefined) return null;
  switch (m.type) {
    case 'offer': {
      const sdp = isObject(m.offer) && m.offer.type === 'offer' ? asText(m.offer.sdp) : undefined;
      return sdp === undefined ? null : { type: 'offer', userId, callId, offer: { type: 'offer', sdp } };
    }
    case 'answer': {
      const kind = isObject(m.answer) && (m.answer.type === 'answer' || m.answer.type === 'pranswer') ? m.answer.type : null;
      const sdp = kind && asText(m.answer.sdp);
      return kind && sdp ? { type: 'answer', userId, callId, answer: { type: kind, sdp } } : null;
    }
    case 'candidate': {
      if (m.candidate !== null && !(isObject(m.candidate) && typeof m.candidate.candidate === 'string')) return null;
      return { type: 'candidate', userId, callId, candidate: m.candidate };
    }
    case 'ringing':
      return { type: 'ringing', userId, callId };
    case 'leave':
      return { type: 'leave', userId, callId, reason: asReason(m.reason) };
  }
  return null;
}

/**
 * Reads the reason of a `leave` or of a goodbye.
 * @param {unknown} value
 * @returns {Reason}
 */
export function asReason(value) {
  if (value === undefined || value === null) return 'hangup';
  return REASONS.includes(/** @type {string} */ (value)) ? /** @type {Reason} */ (value) : 'other';
}

/**
 * Makes a user ID of what a person typed: no control characters, no spaces at the ends, at most 64 bytes.
 * @param {string} typed
 * @returns {string} empty when nothing is left
 */
export function cleanId(typed) {
  let id = '';
  let bytes = 0;
  for (const character of typed.replace(/[\p{Cc}\p{Cs}]/gu, '').trim()) {
    bytes += encoder.encode(character).length;
    if (bytes > MAX_ID_BYTES) break;
    id += character;
  }
  return id.trim();
}

const encoder = new TextEncoder();

/**
 * Whether `a` sorts before `b` by bytes of UTF-8, as the other ends compare IDs.
 * @param {string} a
 * @param {string} b
 */
export function sortsBefore(a, b) {
  const [left, right] = [encoder.encode(a), encoder.encode(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return (left[i] ?? 0) < (right[i] ?? 0);
  }
  return left.length < right.length;
}

/** A fresh call ID: 128 random bits. (`randomUUID` is missing where the page is not a secure context.) */
export function freshCallId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * The session ID in a description's `o=` line. The same ID in a later offer means the same session, renegotiated.
 * @param {string} sdp
 */
export function sessionOf(sdp) {
  return /^o=\S+ (\S+)/m.exec(sdp)?.[1] ?? null;
}

/**
 * The direction of a description's first video section, from its writer's point of view.
 * @param {string} sdp
 * @returns {'sendrecv' | 'sendonly' | 'recvonly' | 'inactive' | null} null without video
 */
export function videoDirection(sdp) {
  const section = sdp.split(/^m=/m).find((part) => part.startsWith('video '));
  if (section === undefined || section.startsWith('video 0 ')) return null;
  const direction = /^a=(sendrecv|sendonly|recvonly|inactive)\s*$/m.exec(section)?.[1];
  return /** @type {'sendrecv' | 'sendonly' | 'recvonly' | 'inactive'} */ (direction ?? 'sendrecv');
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {unknown} value */
function asText(value) {
  return typeof value === 'string' ? value : undefined;
}

/**
 * @param {unknown} value
 * @returns {unknown[]}
 */
function asList(value) {
  return Array.isArray(value) ? value : [];
}

/**
 * @param {unknown} value
 * @returns {Peer | null}
 */
function asPeer(value) {
  if (!isObject(value) || typeof value.userId !== 'string' || value.userId === '') return null;
  const { userId } = value;
  return { userId, name: asText(value.name) || userId, kind: value.kind === 'device' ? 'device' : 'person' };
}

/**
 * @param {unknown} value
 * @returns {RTCIceServer | null}
 */
function asIceServer(value) {
  if (!isObject(value)) return null;
  const urls = asList(value.urls).filter((url) => typeof url === 'string');
  return urls.length === 0 ? null : { urls, username: asText(value.username), credential: asText(value.credential) };
}
