/** Who answers for a call, without a browser: what is signed and checked, by the vectors that the Rust side checks too. */

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

globalThis.crypto ??= /** @type {any} */ (webcrypto);
const read = (/** @type {string} */ path) => readFileSync(new URL(path, import.meta.url), 'utf8');
/** Browsers take the page's files for modules because of how they are loaded; Node 18 has to be told. */
const asModule = (/** @type {string} */ source) => `data:text/javascript,${encodeURIComponent(source)}`;
const identityModule = asModule(read('../../web/identity.js'));
const { callText, fingerprintsOf, freshNonce, Identity } = await import(identityModule);
const { Exchange } = await import(asModule(read('../../web/exchange.js').replace("'./identity.js'", JSON.stringify(identityModule))));
const vectors = JSON.parse(read('../vectors/identity.json'));

const bytes = (/** @type {string} */ text) => Uint8Array.from(Buffer.from(text, 'base64url'));
const text = (/** @type {ArrayBuffer} */ bytes) => Buffer.from(bytes).toString('base64url');
const publicKey = (/** @type {string} */ key) => crypto.subtle.importKey('raw', bytes(key.split(':')[1]), 'Ed25519', false, ['verify']);
const site = await publicKey(vectors.household.key);
const CURVE = { name: 'ECDSA', namedCurve: 'P-256' };

/** What nobody has signed, though it looks like it. */
const forged = (/** @type {string} */ signature) => (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1);

test('fingerprints are read as the Rust side reads them', () => {
  for (const { sdp, fingerprints } of vectors.fingerprints) assert.equal(fingerprintsOf(sdp), fingerprints);
});

test('the vectors’ vouches count for one user and one key each', async () => {
  const checker = new Identity({ pair: null, key: '' }, null, site);
  for (const { userId, key, signature } of vectors.vouches) {
    assert.ok(await checker.vouchesFor(userId, key, signature), userId);
    assert.ok(!(await checker.vouchesFor('mallory', key, signature)));
    assert.ok(!(await checker.vouchesFor(userId, vectors.household.key, signature)));
    for (const wrong of [forged(signature), '', '=', 'ü', signature.slice(2)]) assert.ok(!(await checker.vouchesFor(userId, key, wrong)));
  }
});

test('the vectors’ calls are the texts that are signed, and their signatures are sound', async () => {
  const checker = new Identity({ pair: null, key: '' }, null, null);
  for (const { side, callId, offer, answer, text, key, signature } of vectors.calls) {
    assert.equal(callText(side, callId ?? undefined, offer, answer), text);
    assert.ok(await checker.hasSigned(key, text, signature), side);
    assert.ok(!(await checker.hasSigned(key, text.replace('callbox call', 'callbox join'), signature)));
    assert.ok(!(await checker.hasSigned(key, text, forged(signature))));
    for (const bad of ['', 'p256:', 'ed25519:AAAA', `rsa:${key.split(':')[1]}`, `p256:${'A'.repeat(87)}`]) {
      assert.ok(!(await checker.hasSigned(bad, text, signature)), bad);
    }
  }
});

test('nonces are 16 bytes, and never the same', () => {
  const many = Array.from({ length: 100 }, freshNonce);
  assert.ok(many.every((nonce) => /^[\w-]{22}$/.test(nonce)));
  assert.equal(new Set(many).size, 100);
});

const household = await crypto.subtle.importKey(
  'pkcs8',
  Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), bytes(vectors.household.seed)]),
  'Ed25519',
  false,
  ['sign'],
);

/**
 * Somebody in a browser whom the household knows.
 * @param {string} userId
 * @param {{ checks?: boolean, vouched?: boolean }} [abilities] `checks`: the browser knows Ed25519
 */
async function somebody(userId, { checks = true, vouched = true } = {}) {
  const pair = /** @type {CryptoKeyPair} */ (await crypto.subtle.generateKey(CURVE, false, ['sign', 'verify']));
  const key = `p256:${text(await crypto.subtle.exportKey('raw', pair.publicKey))}`;
  const vouch = text(await crypto.subtle.sign('Ed25519', household, new TextEncoder().encode(`callbox vouch 1\nperson\n${userId}\n${key}\n`)));
  return new Identity({ pair, key }, vouched ? vouch : null, checks ? site : null);
}

const sdp = (/** @type {string} */ fingerprint) => `v=0\r\na=fingerprint:sha-256 ${fingerprint}\r\n`;
const [OFFER, ANSWER, FOREIGN] = [sdp('AA'), sdp('BB'), sdp('EE')];

/**
 * The two ends of a call from anna to ben.
 * @param {any} anna
 * @param {any} ben
 */
function ends(anna, ben, callId = 'c1') {
  const end = (/** @type {any} */ identity, /** @type {string} */ me, /** @type {string} */ peer) =>
    new Exchange({ identity, me, peer: () => ({ userId: peer, name: peer, kind: 'person' }), callId });
  return [end(anna, 'anna', 'ben'), end(ben, 'ben', 'anna')];
}

test('two ends know each other after three messages, and not before', async () => {
  const [anna, ben] = ends(await somebody('anna'), await somebody('ben'));
  assert.equal(await ben.hear(OFFER, anna.introduce()), 'sound');
  assert.deepEqual([ben.trusted, anna.trusted], [false, false]);
  const shown = await ben.sign(ANSWER);
  assert.equal(await anna.check(OFFER, ANSWER, shown), 'sound');
  assert.deepEqual([anna.trusted, anna.verified, ben.trusted], [true, true, false]);
  assert.equal(await ben.proved(anna.proof), 'sound');
  assert.deepEqual([ben.trusted, ben.verified], [true, true]);
  // Said once more it proves nothing new, and harms nothing.
  assert.equal(await ben.proved(forged(anna.proof)), 'sound');
  assert.ok(ben.verified);
  // Another path for the same connection needs no check anew; another connection everything.
  assert.equal(await ben.hear(OFFER, undefined), 'sound');
  assert.ok(ben.verified);
  assert.equal(await ben.hear(FOREIGN, anna.introduce()), 'sound');
  assert.deepEqual([ben.trusted, ben.verified], [false, false], 'an offer proves nothing');
  ben.unhear();
  assert.ok(ben.verified);
  assert.equal(await anna.check(OFFER, FOREIGN, shown), 'wrong');
});

/** @type {[string, (anna: any, ben: any) => Promise<string>, string][]} */
const mischief = [
  ['changes the answer', async (anna, ben) => (await ben.hear(OFFER, anna.introduce()), anna.check(OFFER, FOREIGN, await ben.sign(ANSWER))), 'wrong'],
  ['adds a line that only some browsers read', async (anna, ben) => {
    await ben.hear(OFFER, anna.introduce());
    return anna.check(OFFER, `${ANSWER}A=FINGERPRINT:sha-256 EE\r\n`, await ben.sign(ANSWER));
  }, 'wrong'],
  ['changes the offer', async (anna, ben) => (await ben.hear(FOREIGN, anna.introduce()), anna.check(OFFER, ANSWER, await ben.sign(ANSWER))), 'wrong'],
  ['takes the signature away', async (anna, ben) => (await ben.hear(OFFER, anna.introduce()), anna.check(OFFER, ANSWER, { ...(await ben.sign(ANSWER)), signature: undefined })), 'wrong'],
  ['takes everything away', (anna) => anna.check(OFFER, ANSWER, undefined), 'unshown'],
  ['takes everything of the offer away', (anna, ben) => ben.hear(OFFER, undefined), 'unshown'],
  ['shows a key of their own', async (anna, ben) => ben.hear(OFFER, { ...anna.introduce(), key: (await somebody('anna')).key }), 'wrong'],
  ['shows somebody else’s key', async (anna, ben) => {
    const mallory = await somebody('mallory');
    return ben.hear(OFFER, { ...anna.introduce(), key: mallory.key, vouch: mallory.vouch });
  }, 'wrong'],
  ['answers for both, with what another call had', async (anna, ben) => {
    const [earlier, then] = ends(await somebody('anna'), await somebody('ben'), 'c0');
    await then.hear(OFFER, earlier.introduce());
    await ben.hear(OFFER, anna.introduce());
    return anna.check(OFFER, ANSWER, await then.sign(ANSWER));
  }, 'wrong'],
  ['makes a proof up', async (anna, ben) => {
    await ben.hear(OFFER, anna.introduce());
    const { signature } = await ben.sign(ANSWER);
    return ben.proved(signature);
  }, 'wrong'],
];
for (const [what, meddle, verdict] of mischief) {
  test(`somebody in between is found out who ${what}`, async () => {
    const [anna, ben] = ends(await somebody('anna'), await somebody('ben'));
    assert.equal(await meddle(anna, ben), verdict);
    assert.deepEqual([anna.verified, ben.verified, anna.trusted, ben.trusted], [false, false, false, false]);
  });
}

test('a browser that cannot check still shows who it is', async () => {
  const [anna, ben] = ends(await somebody('anna', { checks: false }), await somebody('ben'));
  assert.equal(await ben.hear(OFFER, anna.introduce()), 'sound');
  assert.equal(await anna.check(OFFER, ANSWER, await ben.sign(ANSWER)), 'sound');
  assert.deepEqual([anna.trusted, anna.verified], [true, false]);
  assert.equal(await ben.proved(anna.proof), 'sound');
  assert.ok(ben.verified);

  const [ben2, anna2] = ends(await somebody('anna'), await somebody('ben', { checks: false }));
  assert.equal(await anna2.hear(OFFER, ben2.introduce()), 'sound');
  assert.deepEqual([anna2.trusted, anna2.verified], [true, false]);
  assert.equal(await ben2.check(OFFER, ANSWER, await anna2.sign(ANSWER)), 'sound');
  assert.ok(ben2.verified);
});

test('who has no keys calls without, and is not verified', async () => {
  const [anna, ben] = ends(null, null);
  assert.equal(anna.introduce(), undefined);
  assert.equal(await ben.hear(OFFER, undefined), 'sound');
  assert.equal(await ben.sign(ANSWER), undefined);
  assert.equal(await anna.check(OFFER, ANSWER, undefined), 'sound');
  assert.deepEqual([anna.trusted, ben.trusted, anna.verified, ben.verified, anna.proof], [true, true, false, false, null]);
});

test('without the household’s word nothing is shown, and nobody trusted for it', async () => {
  const [anna, ben] = ends(await somebody('anna', { vouched: false }), await somebody('ben'));
  assert.equal(anna.introduce(), undefined);
  assert.equal(await ben.hear(OFFER, undefined), 'unshown');
  assert.equal(await anna.check(OFFER, ANSWER, undefined), 'unshown');
});
