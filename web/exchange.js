/**
 * Who the other side of one call is: what comes with its descriptions is checked, ours get what it checks. Nothing of ours is
 * sent, and nothing of theirs shown, before `trusted`. Steps follow one after the other; the call sees to that.
 */

import { callText, fingerprintsOf, freshNonce } from './identity.js';

/** How long the proof of who calls may take once the connection is up, in milliseconds. */
export const PROOF_TIMEOUT = 30_000;

/**
 * `sound`: go on. `wrong`: what is shown does not fit. `unshown`: the other side shows nothing, and who has a household's
 * key takes nobody's word for who they are.
 * @typedef {'sound' | 'wrong' | 'unshown'} Verdict
 *
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
  /** Our proof, which is sent again. @type {string | null} */
  proof = null;

  /** @type {Parties} */
  #parties;
  #nonce = freshNonce();
  /** The other side's fingerprints that were found to be those of its key. @type {string | null} */
  #known = null;
  /** What came with the other side's latest offer. @type {{ half: Half, key: string } | null} */
  #offer = null;
  /** What we have answered it with. @type {Half | null} */
  #answer = null;
  /** What was before the latest offer. */
  #before = { trusted: false, verified: false };

  /** @param {Parties} parties */
  constructor(parties) {
    this.#parties = parties;
  }

  /** What goes with our offers. */
  introduce() {
    const { identity } = this.#parties;
    return identity?.vouch ? { key: identity.key, vouch: identity.vouch, nonce: this.#nonce } : undefined;
  }

  /**
   * Takes an offer.
   * @param {string} sdp
   * @param {Shown | undefined} shown
   * @returns {Promise<Verdict>}
   */
  async hear(sdp, shown) {
    const fingerprints = fingerprintsOf(sdp);
    this.#before = { trusted: this.trusted, verified: this.verified };
    const same = this.#known === fingerprints;
    if (this.#canCheck && shown && !(await this.#isVouchedFor(shown))) return 'wrong';
    if (this.#canCheck && !shown && !same) return 'unshown';
    this.#offer = shown ? { half: this.#theirs(fingerprints, shown.nonce), key: shown.key } : null;
    this.#answer = null;
    this.#settle(same, same || !this.#canCheck);
    return 'sound';
  }

  /** The offer that was heard last could not be taken: all is as it was. */
  unhear() {
    this.#offer = null;
    this.#settle(this.#before.verified, this.#before.trusted);
  }

  /**
   * What goes with our answer to it.
   * @param {string} sdp ours
   */
  async sign(sdp) {
    const { identity, me, callId } = this.#parties;
    if (!identity?.vouch || !this.#offer) return undefined;
    const answer = { userId: me, fingerprints: fingerprintsOf(sdp), nonce: this.#nonce };
    this.#answer = answer;
    const signature = await identity.sign(callText('answer', callId, this.#offer.half, answer));
    return { key: identity.key, vouch: identity.vouch, nonce: this.#nonce, signature };
  }

  /**
   * Takes the proof of who has offered. What comes once more proves nothing new.
   * @param {string} signature
   * @returns {Promise<Verdict>}
   */
  async proved(signature) {
    const { identity, callId } = this.#parties;
    const [offer, answer] = [this.#offer, this.#answer];
    if (this.trusted || !identity || !offer || !answer) return 'sound';
    if (!(await identity.hasSigned(offer.key, callText('offer', callId, offer.half, answer), signature))) return 'wrong';
    // Another offer has come meanwhile: it is not what was proved.
    if (offer !== this.#offer || answer !== this.#answer) return 'sound';
    this.#known = offer.half.fingerprints;
    this.#settle(true, true);
    return 'sound';
  }

  /**
   * Takes the answer to our offer; `proof` is what is to be sent then.
   * @param {string} ours the offer
   * @param {string} sdp the answer
   * @param {Shown | undefined} shown
   * @returns {Promise<Verdict>}
   */
  async check(ours, sdp, shown) {
    const { identity, me, callId } = this.#parties;
    const fingerprints = fingerprintsOf(sdp);
    if (this.#known === fingerprints) return 'sound';
    if (this.#canCheck && !shown) return 'unshown';
    const offer = { userId: me, fingerprints: fingerprintsOf(ours), nonce: this.#nonce };
    const answer = this.#theirs(fingerprints, shown?.nonce ?? '');
    if (this.#canCheck && identity && shown) {
      const text = callText('answer', callId, offer, answer);
      const sound =
        shown.signature !== undefined &&
        (await this.#isVouchedFor(shown)) &&
        (await identity.hasSigned(shown.key, text, shown.signature));
      if (!sound) return 'wrong';
      this.#known = fingerprints;
    }
    // Who cannot check may still be checked.
    if (identity?.vouch && shown) this.proof = await identity.sign(callText('offer', callId, offer, answer));
    this.#settle(this.#canCheck, true);
    return 'sound';
  }

  get #canCheck() {
    return this.#parties.identity?.canCheck === true;
  }

  /** @param {Shown} shown */
  async #isVouchedFor({ key, vouch }) {
    const { identity, peer } = this.#parties;
    return (await identity?.vouchesFor(peer().userId, key, vouch)) === true;
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
