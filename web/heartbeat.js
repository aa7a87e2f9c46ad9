/**
 * Whether the server still hears us. A connection whose network went away stays open for minutes without a word (a
 * laptop slept, a router forgot it), and what is sent into it is gone. So the page pings and waits for a sign of life;
 * towards a relay that answers no pings, long silence has to do.
 */

/** Without a sign of life for so long after a ping the connection is dead, in milliseconds. */
const PONG_WAIT = 5_000;
/** How often the page pings by itself, in milliseconds. */
const BEAT = 15_000;
/** What was heard this long ago proves that the connection lives, in milliseconds. */
const FRESH = 3_000;
/** After this much silence a relay that answers no pings is not relied on where it counts, in milliseconds. */
const SILENCE = 30_000;

export class Heartbeat {
  /** Whether this server has ever answered a ping on this connection. */
  #answers = false;
  /** By the wall clock, which goes on while the machine sleeps. */
  #heard = 0;
  #turn = 0;
  #pings = 0;
  /** @type {number | undefined} */
  #beat;
  /** @type {number | undefined} */
  #wait;
  #ping;
  #onDead;

  /**
   * @param {(nonce: string) => void} ping sends one
   * @param {() => void} onDead the connection is to be made again; nothing more comes until `start`
   */
  constructor(ping, onDead) {
    this.#ping = ping;
    this.#onDead = onDead;
  }

  /** A connection was opened. */
  start() {
    this.stop();
    this.#answers = false;
    this.#heard = this.#turn = Date.now();
    this.#ping(String(++this.#pings));
    this.#beat = setInterval(() => this.#next(), BEAT);
  }

  stop() {
    clearInterval(this.#beat);
    clearTimeout(this.#wait);
    this.#beat = this.#wait = undefined;
  }

  /**
   * Something came.
   * @param {boolean} pong whether it answers a ping
   */
  heard(pong) {
    this.#heard = Date.now();
    clearTimeout(this.#wait);
    this.#wait = undefined;
    this.#answers ||= pong;
  }

  /**
   * Asks for a sign of life, because the page woke up or is about to call.
   * @param {boolean} [doubtful] the network has changed: nothing that was heard before counts
   */
  check(doubtful = false) {
    if (this.#beat === undefined) return;
    if (this.#answers) {
      if (doubtful || !this.#within(FRESH)) this.#ask();
    } else if (doubtful || !this.#within(SILENCE)) {
      this.#dead();
    }
  }

  #next() {
    const slept = Date.now() - this.#turn > 3 * BEAT;
    this.#turn = Date.now();
    if (this.#answers) this.#ask();
    // A page in the background is woken as rarely as one on a machine that slept, and means nothing.
    else if (slept && document.visibilityState === 'visible') this.check();
  }

  #ask() {
    this.#ping(String(++this.#pings));
    this.#wait ??= setTimeout(() => this.#dead(), PONG_WAIT);
  }

  #dead() {
    this.stop();
    this.#onDead();
  }

  /** @param {number} time */
  #within(time) {
    const age = Date.now() - this.#heard;
    return age >= 0 && age < time;
  }
}
