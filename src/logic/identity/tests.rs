use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::Value;

use super::exchange::{SHOWN, SHOWN_EACH};
use super::*;
use crate::protocol::Identity;

fn id(text: &str) -> UserId {
    text.parse().unwrap()
}

fn key(seed: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::of_seed(&[seed; 32]).unwrap())
}

const HOUSEHOLD: u8 = 1;

fn sdp(fingerprint: &str) -> String {
    format!("v=0\r\na=fingerprint:SHA-256 {fingerprint}\r\nm=audio 9\r\na=fingerprint:sha-256 {fingerprint}\r\n")
}

/// Somebody with a key that the household vouches for.
fn party(name: &str, seed: u8, unverified: Unverified) -> Exchange<u8> {
    let (signer, household) = (key(seed), key(HOUSEHOLD));
    let vouch = household.vouch(Kind::Person, &id(name), &signer.public());
    let mut party = Exchange::new(id(name), signer, Some(household.public()), Some(unverified));
    party.set_vouch(Some(vouch));
    party
}

fn nonce(n: u8) -> Nonce {
    Encoded([n; 16])
}

#[test]
fn fingerprints_are_compared_as_what_they_are() {
    assert_eq!(fingerprints(&sdp("ab:cd")), "sha-256 AB:CD");
    let two = "a=fingerprint:sha-512 00\na=fingerprint:sha-256 FF\n";
    assert_eq!(fingerprints(two), "sha-256 FF,sha-512 00");
    assert_eq!(fingerprints(""), "");
}

/// What the page's own tests read, too: tests/vectors/identity.json.
fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/identity.json")).unwrap()
}

fn field<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap()
}

fn seed(of: &Value) -> SigningKey {
    let seed: Encoded<32> = field(of, "seed").parse().unwrap();
    let signer = SigningKey::of_seed(&seed.0).unwrap();
    assert_eq!(signer.public().to_string(), field(of, "key"));
    signer
}

#[test]
fn fingerprints_are_read_as_the_page_reads_them() {
    for each in vectors()["fingerprints"].as_array().unwrap() {
        assert_eq!(fingerprints(field(each, "sdp")), field(each, "fingerprints"));
    }
}

#[test]
fn what_is_signed_is_what_the_page_signs() {
    let vectors = vectors();
    let (household, device) = (seed(&vectors["household"]), seed(&vectors["device"]));
    for each in vectors["vouches"].as_array().unwrap() {
        let kind = if field(each, "kind") == "device" { Kind::Device } else { Kind::Person };
        let (user, key) = (id(field(each, "userId")), field(each, "key").parse().unwrap());
        assert_eq!(vouch(kind, &user, &key), field(each, "text"));
        assert_eq!(household.vouch(kind, &user, &key).to_string(), field(each, "signature"));
        assert!(household.public().vouches_for(&user, &key, &field(each, "signature").parse().unwrap()));
    }
    let half = |of: &Value| Half {
        user: id(field(of, "userId")),
        fingerprints: field(of, "fingerprints").to_owned(),
        nonce: field(of, "nonce").parse().unwrap(),
    };
    for each in vectors["calls"].as_array().unwrap() {
        let side = if field(each, "side") == "offer" { Side::Offers } else { Side::Answers };
        let text = signed(side, each["callId"].as_str(), &half(&each["offer"]), &half(&each["answer"]));
        assert_eq!(text, field(each, "text"));
        let (key, signature) = (field(each, "key").parse::<Key>().unwrap(), field(each, "signature").parse().unwrap());
        assert!(key.has_signed(&text, &signature) && !key.has_signed(&text.replace('1', "2"), &signature));
        // Browsers sign with a random number, so that theirs can only be checked.
        if key == device.public() {
            assert_eq!(device.sign(&text), signature);
        }
    }
}

#[test]
fn what_a_browser_signs_is_checked() {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
    let key = Key::P256(pair.public_key().as_ref().try_into().unwrap());
    let signature = Encoded(pair.sign(&random, b"text").unwrap().as_ref().try_into().unwrap());
    assert!(key.has_signed("text", &signature) && !key.has_signed("test", &signature));
    // No point of the curve.
    assert!(!Key::P256([4; 65]).has_signed("text", &signature));
}

#[test]
fn a_vouch_and_a_join_count_for_one_thing_each() {
    let (household, device) = (key(HOUSEHOLD), key(2));
    let vouch = household.vouch(Kind::Device, &id("door"), &device.public());
    assert!(household.public().vouches_for(&id("door"), &device.public(), &vouch));
    assert!(!household.public().vouches_for(&id("cellar"), &device.public(), &vouch));
    assert!(!household.public().vouches_for(&id("door"), &key(3).public(), &vouch));
    assert!(!key(3).public().vouches_for(&id("door"), &device.public(), &vouch));
    let challenge = Encoded([7; 32]);
    let signature = device.sign_join("Door.example:443", &id("door"), &challenge);
    assert!(device.public().joins("door.example:443", &id("door"), &challenge, &signature));
    assert!(!device.public().joins("evil.example:443", &id("door"), &challenge, &signature));
    assert!(!device.public().joins("door.example:443", &id("cellar"), &challenge, &signature));
    assert!(!device.public().joins("door.example:443", &id("door"), &Encoded([8; 32]), &signature));
}

/// Anna calls the door: what both say, and what the door's machine heard first.
struct Spoken {
    door: Exchange<u8>,
    anna: Exchange<u8>,
    proof: Signature,
}

const CALL: Option<&str> = Some("c1");

fn spoken(now: Instant) -> Spoken {
    let (mut door, mut anna) = (party("door", 2, Unverified::Refuse), party("anna", 3, Unverified::Refuse));
    anna.offers(1, &id("door"), CALL);
    let offer = anna.says(1, &sdp("a"), nonce(1));
    door.shows(&id("anna"), &sdp("a"), offer.as_ref());
    assert_eq!(door.is_worthless(&id("anna"), &sdp("a")), None);
    assert_eq!(door.takes_offer(1, &id("anna"), CALL, &sdp("a"), now), Heard::Pending);
    let answer = door.says(1, &sdp("d"), nonce(2));
    // Said once more, it is the same.
    assert_eq!(door.says(1, &sdp("d"), nonce(9)), answer);
    assert!(!door.trusts(1));
    anna.shows(&id("door"), &sdp("d"), answer.as_ref());
    let Heard::Verified(Some(proof)) = anna.takes_answer(1, &sdp("d")) else { panic!() };
    assert!(anna.is_verified(1));
    assert_eq!(anna.proofs(Some(&id("door"))), [(id("door"), CALL.map(str::to_owned), proof)]);
    Spoken { door, anna, proof }
}

#[test]
fn both_know_each_other_after_three_messages() {
    let now = Instant::now();
    let Spoken { mut door, anna, proof } = spoken(now);
    assert_eq!(door.proved(&id("anna"), CALL, &proof), Some((1, Heard::Verified(None))));
    assert!(door.trusts(1) && anna.trusts(1) && door.poll_timeout().is_none());
    assert_eq!(door.proved(&id("anna"), CALL, &proof), None, "once more it proves nothing new");
    // A later description of the same connection needs no more, and another connection everything anew.
    assert_eq!(door.takes_offer(1, &id("anna"), CALL, &sdp("a"), now), Heard::Verified(None));
    assert!(matches!(door.takes_offer(1, &id("anna"), CALL, &sdp("x"), now), Heard::Wrong(_)));
    assert!(!door.trusts(1), "after a wrong word nothing counts");
}

#[test]
fn another_connection_in_a_call_is_checked_anew() {
    let now = Instant::now();
    let Spoken { mut door, mut anna, proof } = spoken(now);
    door.proved(&id("anna"), CALL, &proof);
    anna.offers(1, &id("door"), CALL);
    let offer = anna.says(1, &sdp("b"), nonce(5));
    door.shows(&id("anna"), &sdp("b"), offer.as_ref());
    assert_eq!(door.takes_offer(1, &id("anna"), CALL, &sdp("b"), now), Heard::Pending);
    assert!(!door.trusts(1) && door.poll_timeout() == Some(now + PROOF_TIMEOUT));
    let answer = door.says(1, &sdp("d2"), nonce(6));
    anna.shows(&id("door"), &sdp("d2"), answer.as_ref());
    let Heard::Verified(Some(proof)) = anna.takes_answer(1, &sdp("d2")) else { panic!() };
    assert_eq!(door.proved(&id("anna"), CALL, &proof), Some((1, Heard::Verified(None))));
}

/// What is heard and taken by no connection must not get into what is signed, however often that is said again.
#[test]
fn what_no_connection_takes_changes_nothing() {
    let now = Instant::now();
    let (mut door, mut anna) = (party("door", 2, Unverified::Refuse), party("anna", 3, Unverified::Refuse));
    anna.offers(1, &id("door"), CALL);
    let offer = anna.says(1, &sdp("a"), nonce(1));
    // Somebody's own connection, with all that Anna says of herself, is quicker.
    door.shows(&id("anna"), &sdp("eeee"), offer.as_ref());
    assert_eq!(door.takes_offer(1, &id("anna"), CALL, &sdp("eeee"), now), Heard::Pending);
    let answer = door.says(1, &sdp("d"), nonce(2));
    // Hers comes, and is too old to be taken; then the answer is said again.
    door.shows(&id("anna"), &sdp("a"), offer.as_ref());
    assert_eq!(door.says(1, &sdp("d"), nonce(3)), answer);
    anna.shows(&id("door"), &sdp("d"), answer.as_ref());
    assert!(matches!(anna.takes_answer(1, &sdp("d")), Heard::Wrong(_)));
    let forged = key(3).sign(&signed(
        Side::Offers,
        CALL,
        &Half { user: id("anna"), fingerprints: fingerprints(&sdp("a")), nonce: nonce(1) },
        &Half { user: id("door"), fingerprints: fingerprints(&sdp("d")), nonce: nonce(2) },
    ));
    assert!(matches!(door.proved(&id("anna"), CALL, &forged), Some((1, Heard::Wrong(_)))));
    assert!(!door.trusts(1));
}

#[test]
fn who_shows_nothing_is_taken_where_that_is_allowed() {
    let now = Instant::now();
    for (unverified, allowed) in [(Unverified::Allow, true), (Unverified::Refuse, false)] {
        let mut door = party("door", 2, unverified);
        assert_eq!(door.is_worthless(&id("anna"), &sdp("a")).is_none(), allowed);
        let said = door.takes_offer(1, &id("anna"), None, &sdp("a"), now);
        assert_eq!((said == Heard::Unverified, door.trusts(1)), (allowed, allowed));
        door.offers(2, &id("ben"), CALL);
        door.says(2, &sdp("d"), nonce(1));
        let said = door.takes_answer(2, &sdp("b"));
        assert_eq!((said == Heard::Unverified, door.trusts(2)), (allowed, allowed));
        assert!(!door.is_verified(2));
        // What is wrong is wrong there, too.
        let mut mallory = Exchange::new(id("anna"), key(9), Some(key(9).public()), None);
        mallory.set_vouch(Some(key(9).vouch(Kind::Person, &id("anna"), &key(9).public())));
        mallory.offers(1, &id("door"), None);
        let shown = mallory.says(1, &sdp("m"), nonce(1));
        door.shows(&id("anna"), &sdp("m"), shown.as_ref());
        assert!(door.is_worthless(&id("anna"), &sdp("m")).is_some());
        assert!(matches!(door.takes_offer(3, &id("anna"), None, &sdp("m"), now), Heard::Wrong(_)));
    }
    // Without a household there is nothing to check with.
    let mut door = Exchange::new(id("door"), key(2), None, None);
    let mut anna = party("anna", 3, Unverified::Allow);
    anna.offers(1, &id("door"), None);
    door.shows(&id("anna"), &sdp("a"), anna.says(1, &sdp("a"), nonce(1)).as_ref());
    assert_eq!(door.takes_offer(1, &id("anna"), None, &sdp("a"), now), Heard::Unverified);
}

#[test]
fn one_who_never_proves_it_is_late_once_there_is_a_connection() {
    let now = Instant::now();
    let Spoken { mut door, .. } = spoken(now);
    assert_eq!(door.poll_timeout(), None, "it may ring, and look for a path, as long as it likes");
    door.connected(1, now);
    door.connected(1, now + PROOF_TIMEOUT / 2);
    assert_eq!(door.poll_timeout(), Some(now + PROOF_TIMEOUT));
    assert_eq!(door.late(now), None);
    assert_eq!(door.late(now + PROOF_TIMEOUT), Some(1));
    assert_eq!(door.late(now + PROOF_TIMEOUT), None);
}

#[test]
fn however_many_offer_little_is_kept() {
    let (mut door, mut anna) = (party("door", 2, Unverified::Refuse), party("anna", 3, Unverified::Refuse));
    anna.offers(1, &id("door"), CALL);
    let shown = anna.says(1, &sdp("a"), nonce(1));
    for n in 0..2000 {
        door.shows(&id(&format!("user {}", n % 500)), &sdp(&n.to_string()), shown.as_ref());
    }
    assert!(door.shown.len() <= SHOWN && door.calls.is_empty());
    door.shows(&id("anna"), &sdp("a"), shown.as_ref());
    for n in 0..2000 {
        door.shows(&id("mallory"), &sdp(&n.to_string()), shown.as_ref());
    }
    assert_eq!(door.is_worthless(&id("anna"), &sdp("a")), None, "one cannot push another's out");
    assert!(door.shown.iter().filter(|shown| shown.from == id("mallory")).count() <= SHOWN_EACH);
}

/// What somebody between the two does with a message.
#[derive(Clone, Copy, Debug)]
enum Mischief {
    None,
    Drop,
    /// The message, and before it another of theirs.
    Before,
    OtherFingerprint,
    NoIdentity,
    OtherKey,
    OtherNonce,
    OldSignature,
}

fn mischief() -> impl Strategy<Value = Mischief> {
    prop_oneof![
        6 => Just(Mischief::None),
        1 => Just(Mischief::Drop),
        1 => Just(Mischief::Before),
        1 => Just(Mischief::OtherFingerprint),
        1 => Just(Mischief::NoIdentity),
        1 => Just(Mischief::OtherKey),
        1 => Just(Mischief::OtherNonce),
        1 => Just(Mischief::OldSignature),
    ]
}

/// Who sits in between: knows all signatures that were ever sent, and has a key that the household vouches for.
struct Middle {
    seen: Vec<Signature>,
}

impl Middle {
    /// What the reader gets for a description, one after the other.
    fn meddle(&mut self, how: Mischief, text: &str, identity: Option<Identity>) -> Vec<(String, Option<Identity>)> {
        let mallory = key(66);
        self.seen.extend(identity.as_ref().and_then(|identity| identity.signature));
        let own = sdp("eeee");
        let with = |change: &dyn Fn(&mut Identity)| {
            let mut identity = identity.clone();
            identity.as_mut().into_iter().for_each(change);
            identity
        };
        match how {
            Mischief::None => vec![(text.to_owned(), identity)],
            Mischief::Drop => vec![],
            Mischief::Before => vec![(own, identity.clone()), (text.to_owned(), identity)],
            Mischief::OtherFingerprint => vec![(own, identity)],
            Mischief::NoIdentity => vec![(own, None)],
            Mischief::OtherKey => {
                let vouch = key(HOUSEHOLD).vouch(Kind::Person, &id("mallory"), &mallory.public());
                let forged = with(&|identity| {
                    (identity.key, identity.vouch) = (mallory.public(), vouch);
                    identity.signature = identity.signature.map(|_| mallory.sign("whatever"));
                });
                vec![(own, forged)]
            }
            Mischief::OtherNonce => vec![(text.to_owned(), with(&|identity| identity.nonce = nonce(66)))],
            Mischief::OldSignature => {
                let old = self.seen.first().copied();
                vec![(own, with(&|identity| identity.signature = old))]
            }
        }
    }
}

proptest! {
    /// Whatever somebody in between does, and whichever of what comes the machine of calls lets a connection take, nobody
    /// takes their fingerprint for the other's.
    #[test]
    fn nobody_gets_in_between(
        calls in prop::collection::vec((any::<bool>(), 0..3u8, [mischief(), mischief(), mischief()], any::<[bool; 2]>()), 1..12),
    ) {
        let now = Instant::now();
        let mut door = party("door", 2, Unverified::Refuse);
        let mut anna = party("anna", 3, Unverified::Refuse);
        let mut middle = Middle { seen: Vec::new() };
        for (n, (door_offers, name, how, takes)) in calls.into_iter().enumerate() {
            let text = format!("c{name}");
            let call = Some(text.as_str());
            // Each connection has a certificate of its own.
            let (of_anna, of_door) = (sdp(&format!("a{n:02}")), sdp(&format!("d{n:02}")));
            let (caller, callee, by, to, offered, answered) = match door_offers {
                true => (&mut door, &mut anna, id("door"), id("anna"), of_door, of_anna),
                false => (&mut anna, &mut door, id("anna"), id("door"), of_anna, of_door),
            };
            caller.offers(name, &to, call);
            let identity = caller.says(name, &offered, nonce(n as u8));
            let (mut taken_by_callee, mut taken_by_caller) = (None, None);
            for (at, (text, identity)) in middle.meddle(how[0], &offered, identity).into_iter().enumerate() {
                callee.shows(&by, &text, identity.as_ref());
                // The first is taken; of what comes then the machine takes some.
                if at == 0 || takes[0] {
                    if let Heard::Wrong(_) = callee.takes_offer(name, &by, call, &text, now) {
                        taken_by_callee = None;
                        continue;
                    }
                    taken_by_callee = Some(text);
                }
                let identity = callee.says(name, &answered, nonce(100 + n as u8));
                for (text, identity) in middle.meddle(how[1], &answered, identity) {
                    caller.shows(&to, &text, identity.as_ref());
                    if taken_by_caller.is_some() && !takes[1] {
                        continue;
                    }
                    let heard = caller.takes_answer(name, &text);
                    taken_by_caller = Some(text);
                    if let Heard::Verified(Some(mut proof)) = heard {
                        if let Mischief::OldSignature | Mischief::OtherKey = how[2] {
                            proof = middle.seen.first().copied().unwrap_or(proof);
                        }
                        middle.seen.push(proof);
                        if !matches!(how[2], Mischief::Drop) {
                            callee.proved(&by, call, &proof);
                        }
                    }
                }
            }
            if caller.trusts(name) && let Some(taken) = &taken_by_caller {
                prop_assert_eq!(fingerprints(taken), fingerprints(&answered));
            }
            if callee.trusts(name) && let Some(taken) = &taken_by_callee {
                prop_assert_eq!(fingerprints(taken), fingerprints(&offered));
            }
            if how.iter().all(|how| matches!(how, Mischief::None)) {
                prop_assert!(caller.trusts(name) && callee.trusts(name));
            }
        }
    }
}
