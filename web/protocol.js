/**
 * The browser's side of src/protocol/: every message of the signaling WebSocket, and the limits that concern a page.
 * What arrives is checked here once; the rest of the page works with the types below.
 */

/** The version of Callbox's additions that this page speaks. */
export const VERSION = 1;
/** Longest user ID in bytes of UTF-8. */
export const MAX_ID_BYTES = 64;
/** What this page takes beyond version 1's first messages, told in `join`: `peers`, many changes of presence at once. */
export const ACCEPTS = ['peers'];
/** Most candidates that one call takes from the other side. */
export const MAX_CANDIDATES = 50;
/** How long an unanswered call rings, in milliseconds. */
export const RING_TIMEOUT = 60_000;
/** How long the media connection may take to come up, in milliseconds. */
export const CONNECT_TIMEOUT = 20_000;
/** How long a media connection that broke may take to come back, in milliseconds. */
export const RECOVERY_TIMEOUT = 30_000;

/** WebSocket close codes that mean more to a page than "try again". */
export const CLOSE = { TRY_LATER: 1013, REPLACED: 4000, UNAUTHORIZED: 4401, ACCESS_ENDED: 4403, RIGHTS_CHANGED: 4409 };

/**
 * @typedef {'device' | 'person'} Kind
 * @typedef {{ userId: string, name: string, kind: Kind }} Peer
 * @typedef {'hangup' | 'declined' | 'busy' | 'noAnswer' | 'failed' | 'replaced' | 'shutdown' | 'revoked' | 'unverified' | 'other'} Reason
 *
 * @typedef {{ type: 'joined', userId: string, version: number, peers: Peer[], iceServers: RTCIceServer[] }} Joined
 * @typedef {{ type: 'presence', peer: Peer, online: boolean }} Presence
 * @typedef {{ type: 'peers', online: Peer[], offline: string[] }} Peers
 * @typedef {{ type: 'pong', nonce: string | undefined }} Pong
 * Who the sender of a description is, to be checked; `signature` in answers.
 * @typedef {{ key: string, vouch: string, nonce: string, signature?: string }} Shown
 * @typedef {{ type: 'offer', userId: string, callId?: string, kind?: Kind, offer: { type: 'offer', sdp: string }, identity?: Shown }} Offer
 * @typedef {{ type: 'answer', userId: string, callId?: string, answer: { type: 'answer' | 'pranswer', sdp: string }, identity?: Shown }} Answer
 * @typedef {{ type: 'proof', userId: string, callId?: string, signature: string }} Proof
 * @typedef {{ type: 'candidate', userId: string, callId?: string, candidate: RTCIceCandidateInit | null }} Candidate
 * @typedef {{ type: 'ringing', userId: string, callId?: string }} Ringing
 * What a device says of a visit; `number` goes up with each change.
 * @typedef {'ringing' | 'answered' | 'declined' | 'cancelled' | 'unanswered' | 'over'} VisitState
 * @typedef {{ id: string, state: VisitState, number: number, bell: string, declined: string[], by: { userId: string, name: string } | null }} Visit
 * @typedef {{ type: 'visit', userId: string, visit: Visit }} VisitMessage
 * @typedef {'rings' | 'looks' | 'answers' | 'declines'} Doing
 * @typedef {{ type: 'leave', userId: string, callId?: string, reason: Reason, toUs: boolean }} Leave `toUs`: not to everybody
 *
 * Both are `error` on the wire. A refusal is the server's and may end the registration; a complaint is a peer's and
 * concerns the call with that peer alone, whatever it claims to reply to.
 * @typedef {{ type: 'refusal', code: string, message: string, targetId?: string, inReplyTo?: string, callId?: string }} Refusal
 * @typedef {{ type: 'complaint', userId: string, code: string, message: string, inReplyTo?: string, callId?: string }} Complaint
 *
 * @typedef {Offer | Answer | Proof | Candidate | Ringing | Leave | Complaint} PeerMessage
 * @typedef {Joined | Presence | Peers | Pong | Refusal | VisitMessage | PeerMessage} Message
 */

/** @type {VisitState[]} */
const VISIT_STATES = ['ringing', 'answered', 'declined', 'cancelled', 'unanswered'];
const REASONS = ['hangup', 'declined', 'busy', 'noAnswer', 'failed', 'replaced', 'shutdown', 'revoked', 'unverified'];
/** What the server alone says, to nobody in particular: a relay that forwards by `targetId` would pass on a peer's. */
const SERVERS = ['joined', 'presence', 'peers', 'pong'];

/**
 * Reads one frame. Text may come in a binary frame as well: relays that pass on the bytes they got send it so.
 * @param {unknown} data what the WebSocket delivers; binary as ArrayBuffer
 * @param {string} me our own ID
 * @returns {Message | undefined | null} null for what cannot be read, undefined for what can and concerns no page
 */
export function parse(data, me) {
  let m;
  try {
    m = JSON.parse(data instanceof ArrayBuffer ? decoder.decode(data) : /** @type {string} */ (data));
  } catch {
    return null;
  }
  if (!isObject(m) || typeof m.type !== 'string') return null;
  if (m.type === 'error') return asError(m, me);
  if (SERVERS.includes(m.type)) return m.targetId === undefined ? fromServer(m) : undefined;
  return fromPeer(m);
}

/**
 * @param {Record<string, any>} m
 * @returns {Message | null}
 */
function fromServer(m) {
  switch (m.type) {
    case 'joined':
      return {
        type: 'joined',
        userId: asText(m.userId) ?? '',
        version: typeof m.version === 'number' ? m.version : VERSION,
        peers: asPeers(m.peers),
        iceServers: asList(m.iceServers).map(asIceServer).filter((server) => server !== null),
      };
    case 'presence': {
      const peer = asPeer(m.peer);
      return peer && { type: 'presence', peer, online: m.online === true };
    }
    case 'peers':
      return { type: 'peers', online: asPeers(m.online), offline: asList(m.offline).filter(isId) };
    default:
      return { type: 'pong', nonce: asText(m.nonce) };
  }
}

/**
 * What comes from a peer says nothing without the peer's name.
 * @param {Record<string, any>} m
 * @returns {PeerMessage | VisitMessage | undefined | null}
 */
function fromPeer(m) {
  const { userId } = m;
  const callId = asText(m.callId);
  switch (m.type) {
    case 'offer': {
      const sdp = isObject(m.offer) && m.offer.type === 'offer' ? asText(m.offer.sdp) : undefined;
      if (sdp === undefined || !isId(userId)) return null;
      const kind = m.kind === 'device' || m.kind === 'person' ? m.kind : undefined;
      return { type: 'offer', userId, callId, kind, offer: { type: 'offer', sdp }, identity: asShown(m.identity) };
    }
    case 'answer': {
      const kind = isObject(m.answer) && (m.answer.type === 'answer' || m.answer.type === 'pranswer') ? m.answer.type : null;
      const sdp = kind && asText(m.answer.sdp);
      return kind && sdp && isId(userId) ? { type: 'answer', userId, callId, answer: { type: kind, sdp }, identity: asShown(m.identity) } : null;
    }
    case 'proof': {
      const signature = asText(m.signature);
      return signature !== undefined && isId(userId) ? { type: 'proof', userId, callId, signature } : null;
    }
    case 'candidate': {
      const candidate = asCandidate(m.candidate);
      return candidate === undefined || !isId(userId) ? null : { type: 'candidate', userId, callId, candidate };
    }
    case 'ringing':
      return isId(userId) ? { type: 'ringing', userId, callId } : null;
    case 'visit': {
      const visit = asVisit(m.visit);
      return visit && isId(userId) ? { type: 'visit', userId, visit } : null;
    }
    case 'leave':
      return isId(userId) ? { type: 'leave', userId, callId, reason: asReason(m.reason), toUs: m.targetId !== undefined } : null;
  }
  return undefined;
}

/**
 * An error with a sender is a peer's. So is one that is addressed to us: the server's name whom our message was for, and
 * a relay forwards by that field. It says nothing where it hides its sender.
 * @param {Record<string, any>} m
 * @param {string} me
 * @returns {Refusal | Complaint | undefined | null}
 */
function asError(m, me) {
  const [code, message] = [asText(m.code) ?? 'other', asText(m.message) ?? ''];
  const [callId, inReplyTo] = [asText(m.callId), asText(m.inReplyTo)];
  if (m.userId !== undefined) {
    return isId(m.userId) ? { type: 'complaint', userId: m.userId, code, message, inReplyTo, callId } : null;
  }
  // What is no text names nobody, but a relay may make an address of it.
  if (m.targetId === me || (m.targetId !== undefined && typeof m.targetId !== 'string')) return undefined;
  return { type: 'refusal', code, message, targetId: m.targetId, inReplyTo, callId };
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
 * What nobody sees in a name, but what makes two look alike or one read backwards: control characters, the invisible
 * ones that order or join text (Unicode's Cf), ones that are drawn as nothing (Default_Ignorable), and ends of lines.
 */
const UNSEEN = /[\p{Cc}\p{Cs}\p{Cf}\p{DI}\u2028\u2029]/gu;

/**
 * Makes a user ID of what a person typed: nothing unseen, no spaces at the ends, at most 64 bytes.
 * @param {string} typed
 * @returns {string} empty when nothing is left
 */
export function cleanId(typed) {
  let id = '';
  let bytes = 0;
  for (const character of typed.replace(UNSEEN, '').trim()) {
    bytes += encoder.encode(character).length;
    if (bytes > MAX_ID_BYTES) break;
    id += character;
  }
  return id.trim();
}

/**
 * Whether a peer may go by this: what `cleanId` leaves as it is.
 * @param {unknown} value
 * @returns {value is string}
 */
export function isId(value) {
  return typeof value === 'string' && value !== '' && cleanId(value) === value;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

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
 * Whether one description is of an earlier version of the same session than another one, so that it comes late.
 * @param {string} sdp
 * @param {string} latest
 */
export function isOlder(sdp, latest) {
  const version = (/** @type {string} */ text) => /^o=\S+ \S+ (\d+)/m.exec(text)?.[1] ?? null;
  const [ours, theirs] = [version(sdp), version(latest)];
  return ours !== null && theirs !== null && sessionOf(sdp) === sessionOf(latest) && BigInt(ours) < BigInt(theirs);
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
 * @returns {Peer[]}
 */
function asPeers(value) {
  return asList(value).map(asPeer).filter((peer) => peer !== null);
}

/**
 * @param {unknown} value
 * @returns {Peer | null}
 */
function asPeer(value) {
  if (!isObject(value) || !isId(value.userId)) return null;
  const { userId } = value;
  return { userId, name: seen(value.name) || userId, kind: value.kind === 'device' ? 'device' : 'person' };
}

/**
 * What is not whole shows nothing.
 * @param {unknown} value
 * @returns {Shown | undefined}
 */
function asShown(value) {
  if (!isObject(value)) return undefined;
  const [key, vouch, nonce] = [asText(value.key), asText(value.vouch), asText(value.nonce)];
  if (key === undefined || vouch === undefined || nonce === undefined) return undefined;
  return { key, vouch, nonce, signature: asText(value.signature) };
}

/**
 * @param {unknown} value
 * @returns {Visit | null}
 */
function asVisit(value) {
  if (!isObject(value) || typeof value.id !== 'string' || !/^[a-z0-9-]{1,32}$/.test(value.id)) return null;
  const by = isObject(value.by) && isId(value.by.userId) ? { userId: value.by.userId, name: seen(value.by.name) || value.by.userId } : null;
  return {
    id: value.id,
    state: VISIT_STATES.find((state) => state === value.state) ?? 'over',
    number: Number.isInteger(value.number) ? value.number : 0,
    bell: seen(value.bell),
    declined: asList(value.declined).filter((name) => typeof name === 'string'),
    by,
  };
}

/** A name as it may be shown. @param {unknown} value */
const seen = (value) => (asText(value) ?? '').replace(UNSEEN, '').trim();

/**
 * A candidate as `addIceCandidate` takes it. Others write `sdpMid: null`, or neither place: everything is bundled, so
 * that the first section stands for all.
 * @param {unknown} value
 * @returns {RTCIceCandidateInit | null | undefined} null ends the candidates; undefined: it is none
 */
function asCandidate(value) {
  if (value === null) return null;
  if (!isObject(value) || typeof value.candidate !== 'string') return undefined;
  const index = Number.isInteger(value.sdpMLineIndex) ? value.sdpMLineIndex : null;
  const sdpMid = asText(value.sdpMid) ?? null;
  const usernameFragment = asText(value.usernameFragment);
  return { candidate: value.candidate, sdpMid, sdpMLineIndex: sdpMid === null ? (index ?? 0) : index, usernameFragment };
}

/**
 * @param {unknown} value
 * @returns {RTCIceServer | null}
 */
function asIceServer(value) {
  if (!isObject(value)) return null;
  const urls = (typeof value.urls === 'string' ? [value.urls] : asList(value.urls)).filter((url) => typeof url === 'string');
  return urls.length === 0 ? null : { urls, username: asText(value.username), credential: asText(value.credential) };
}
