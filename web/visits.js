/**
 * Who rings at which device, and what we do about it (docs/protocol.md, "Visits"). Ringing carries no media: whoever looks
 * or answers calls the device. The device says again and again that it rings; who hears nothing more stops.
 */

/** Without a word of the device for so long nobody is rung, in milliseconds. */
const SILENCE = 3_000;
/** How often an answer is said until the device agrees, in milliseconds. */
const REPEAT = 1_000;
/** How long that may take, in milliseconds. */
const PATIENCE = 8_000;
/** Visits that are over and remembered, so that late words of them are known; the oldest is forgotten. */
const MAX_OVER = 32;

/**
 * @typedef {object} Ring
 * @property {import('./protocol.js').Peer} device
 * @property {string} id
 * @property {string} bell
 * @property {number} number of the device's newest word
 * @property {number} heard when that was, by `performance.now()`
 * @property {number | null} answered when we said so first
 *
 * @typedef {object} VisitsContext
 * @property {(message: Record<string, unknown>) => boolean} send
 * @property {() => { userId: string, name: string }} me
 * @property {(userId: string) => import('./protocol.js').Peer | undefined} known
 * @property {() => void} onChange
 * @property {(ring: Ring) => void} onRing somebody is at a door
 * @property {(ring: Ring) => void} onAgreed the visitor is ours
 * @property {(ring: Ring, how: import('./protocol.js').Visit | null) => void} onOver it is not for us any more; null: the
 *   device says nothing more
 */

export class Visits {
  /** By device and visit. @type {Map<string, Ring>} */
  #rings = new Map();
  /** The newest word of visits that are over for us. @type {Map<string, number>} */
  #over = new Map();
  #context;

  /** @param {VisitsContext} context */
  constructor(context) {
    this.#context = context;
    setInterval(() => this.#tick(), REPEAT / 2);
  }

  /** What rings, the first one that came first. */
  get ringing() {
    return [...this.#rings.values()].find((ring) => ring.answered === null) ?? null;
  }

  /** @param {import('./protocol.js').VisitMessage} message */
  hear({ userId, visit }) {
    const key = `${userId}\n${visit.id}`;
    const ring = this.#rings.get(key);
    if (visit.number < (ring?.number ?? this.#over.get(key) ?? 0)) return;
    const me = this.#context.me();
    const declined = visit.declined.some((name) => name.toLowerCase() === me.name.toLowerCase());
    if (ring) [ring.number, ring.heard] = [visit.number, performance.now()];
    if (visit.state === 'ringing' && !declined) {
      if (!ring) this.#begin(key, userId, visit);
    } else if (ring && visit.state === 'answered' && visit.by?.userId === me.userId) {
      this.#forget(key, visit.number);
      this.#context.onAgreed(ring);
    } else {
      this.#forget(key, visit.number);
      if (ring) this.#context.onOver(ring, visit);
    }
  }

  /** Talks to who is there, if nobody was quicker. @param {Ring} ring */
  answer(ring) {
    ring.answered ??= performance.now();
    this.#say(ring, 'answers');
    this.#context.onChange();
  }

  /** Does not come. @param {Ring} ring */
  decline(ring) {
    this.#say(ring, 'declines');
    // What comes late of it does not ring again; a later word of the device, after somebody has vanished, does.
    this.#forget(keyOf(ring), Infinity);
    this.#context.onOver(ring, null);
  }

  /** Nobody rings any more. */
  endAll() {
    for (const ring of [...this.#rings.values()]) {
      this.#forget(keyOf(ring), ring.number);
      this.#context.onOver(ring, null);
    }
  }

  /**
   * @param {string} key
   * @param {string} userId
   * @param {import('./protocol.js').Visit} visit
   */
  #begin(key, userId, visit) {
    if (this.#over.get(key) === Infinity) return;
    const device = this.#context.known(userId) ?? { userId, name: visit.bell || userId, kind: /** @type {const} */ ('device') };
    // Only devices have visitors.
    if (device.kind !== 'device') return;
    const ring = { device, id: visit.id, bell: visit.bell, number: visit.number, heard: performance.now(), answered: null };
    this.#rings.set(key, ring);
    this.#say(ring, 'rings');
    this.#context.onRing(ring);
    this.#context.onChange();
  }

  #tick() {
    const now = performance.now();
    for (const [key, ring] of this.#rings) {
      const late = ring.answered === null ? now - ring.heard > SILENCE : now - ring.answered > PATIENCE;
      if (late) {
        this.#forget(key, ring.number);
        this.#context.onOver(ring, null);
      } else if (ring.answered !== null) {
        this.#say(ring, 'answers');
      }
    }
  }

  /**
   * @param {string} key
   * @param {number} number
   */
  #forget(key, number) {
    this.#rings.delete(key);
    this.#over.delete(key);
    this.#over.set(key, number);
    for (const oldest of this.#over.keys()) {
      if (this.#over.size <= MAX_OVER) break;
      this.#over.delete(oldest);
    }
    this.#context.onChange();
  }

  /**
   * @param {Ring} ring
   * @param {import('./protocol.js').Doing} does
   */
  #say({ device, id }, does) {
    this.#context.send({ type: 'attend', targetId: device.userId, visit: id, does });
  }
}

/** @param {Ring} ring */
const keyOf = ({ device, id }) => `${device.userId}\n${id}`;
