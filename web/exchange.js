/**
 * Who the other side of one call is: what comes with its descriptions is checked, ours get what it checks. Nothing of ours is
 * sent, and nothing of theirs shown, before `trusted`.
 */

import { callText, fingerprintsOf, freshNonce } from './identity.js';

/** How long after our answer the other side's proof may take, in milliseconds. */
export const PROOF_TIMEOUT = 15_000;

/**
 * @typedef {import('./protocol.js').Shown} Shown
 * @typedef {{ userId: string, fingerprints: string, nonce: string }} Half
 *
 * @typedef {object} Parties
 * @property {import('./identity.js').Identity | null} identity null where we have nothing to show, nor to check with
 * @property {string} me
 * @property {() => import('./protocol.js').Peer} peer
 * @property {string | undefined} callId
 */

export class Exchange {
  /** Whether media may flow. */
  trusted = false;
  /** Whether the other side is known to be who it says. */
  verified = false;

  /** @type {Parties} */
  #parties;
  #nonce = freshNonce();
  /** The other side's fingerprints that were found to be those of its key. @type {string | null} */
  #known = null;
  /** What came with the other side's latest offer. @type {{ half: Half, key: string, checked: boolean } | null} */
  #offer = null;
  /** What we have answered it with. @type {Half | null} */
  #answer = null;
  /** Our proof, which is sent again. @type {string | null} */
  proof = null;

  /** @param {Parties} parties */
  constructor(parties) {
    this.#parties = parties;
  }

  /** What goes with our offers. */
  introduce() {
    const { identity } = this.#parties;
    return identity ? { key: identity.key, vouch: identity.vouch, nonce: this.#nonce } : undefined;
  }

  /**
   * Takes an offer.
   * @param {string} sdp
   * @param {Shown | undefined} shown
   * @returns {Promise<boolean>} false: the call must not go on
   */
  async hear(sdp, shown) {
    const fingerprints = fingerprintsOf(sdp);
    const half = shown && this.#theirs(fingerprints, shown.nonce);
    const checked = shown !== undefined && (await this.#isVouchedFor(shown));
    if (shown && !checked && this.#canCheck) return false;
    const same = this.#known === fingerprints;
    if (!same && !checked && !this.#mayBeUnknown) return false;
    this.#offer = shown && half ? { half, key: shown.key, checked } : null;
    this.#settle(same, same || !checked);
    return true;
  }

  /**
   * What goes with our answer to it.
   * @param {string} sdp ours
   */
  async sign(sdp) {
    const { identity, me, callId } = this.#parties;
    if (!identity || !this.#offer) return undefined;
    this.#answer = { userId: me, fingerprints: fingerprintsOf(sdp), nonce: this.#nonce };
    const signature = await identity.sign(callText('answer', callId, this.#offer.half, this.#answer));
    return { key: identity.key, vouch: identity.vouch, nonce: this.#nonce, signature };
  }

  /**
   * Takes the proof of who has offered. What comes once more proves nothing new.
   * @param {string} signature
   * @returns {Promise<boolean>} false: the call must not go on
   */
  async proved(signature) {
    const { identity, callId } = this.#parties;
    const [offer, answer] = [this.#offer, this.#answer];
    if (this.trusted || !identity || !offer?.checked || !answer) return true;
    if (!(await identity.hasSigned(offer.key, callText('offer', callId, offer.half, answer), signature))) return false;
    this.#known = offer.half.fingerprints;
    this.#settle(true, true);
    return true;
  }

  /**
   * Takes the answer to our offer; `proof` is what is to be sent then.
   * @param {string} ours the offer
   * @param {string} sdp the answer
   * @param {Shown | undefined} shown
   * @returns {Promise<boolean>} false: the call must not go on
   */
  async check(ours, sdp, shown) {
    const { identity, me, callId } = this.#parties;
    const fingerprints = fingerprintsOf(sdp);
    if (this.#known === fingerprints) return true;
    if (!identity || !shown || !this.#canCheck) {
      if (!this.#mayBeUnknown) return false;
      // Who cannot check may still be checked.
      if (identity && shown) await this.#prove(this.#ours(me, ours), this.#theirs(fingerprints, shown.nonce));
      this.#settle(false, true);
      return true;
    }
    const [offer, answer] = [this.#ours(me, ours), this.#theirs(fingerprints, shown.nonce)];
    const sound =
      shown.signature !== undefined &&
      (await this.#isVouchedFor(shown)) &&
      (await identity.hasSigned(shown.key, callText('answer', callId, offer, answer), shown.signature));
    if (!sound) return false;
    await this.#prove(offer, answer);
    this.#known = fingerprints;
    this.#settle(true, true);
    return true;
  }

  get #canCheck() {
    return this.#parties.identity?.canCheck === true;
  }

  /** A device of the household always shows who it is; people may have come without a key. */
  get #mayBeUnknown() {
    return this.#known === null && !(this.#canCheck && this.#parties.peer().kind === 'device');
  }

  /** @param {Shown} shown */
  async #isVouchedFor({ key, vouch }) {
    const { identity, peer } = this.#parties;
    return (await identity?.vouchesFor(peer().userId, key, vouch)) === true;
  }

  /**
   * @param {Half} offer
   * @param {Half} answer
   */
  async #prove(offer, answer) {
    const { identity, callId } = this.#parties;
    this.proof = (await identity?.sign(callText('offer', callId, offer, answer))) ?? null;
  }

  /**
   * @param {string} userId
   * @param {string} sdp
   * @returns {Half}
   */
  #ours(userId, sdp) {
    return { userId, fingerprints: fingerprintsOf(sdp), nonce: this.#nonce };
  }

  /**
   * @param {string} fingerprints
   * @param {string} nonce
   * @returns {Half}
   */
  #theirs(fingerprints, nonce) {
    return { userId: this.#parties.peer().userId, fingerprints, nonce };
  }

  /**
   * @param {boolean} verified
   * @param {boolean} trusted
   */
  #settle(verified, trusted) {
    this.verified = verified;
    this.trusted = trusted;
  }
}
