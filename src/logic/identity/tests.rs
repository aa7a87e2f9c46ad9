use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

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
fn party(name: &str, seed: u8, unverified: Unverified) -> Exchange {
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

#[test]
fn both_know_each_other_after_three_messages() {
    let now = Instant::now();
    let mut door = party("door", 2, Unverified::Refuse);
    let mut anna = party("anna", 3, Unverified::Refuse);
    let call = Some("c1");
    let offer = anna.offer(&id("door"), call, &sdp("a"), nonce(1), |_| false);
    assert_eq!(door.offered(&id("anna"), call, &sdp("a"), offer.as_ref(), |_| false), Heard::Pending);
    let answer = door.answer(&id("anna"), call, &sdp("d"), nonce(2), now);
    // Said once more, it is the same.
    assert_eq!(door.offered(&id("anna"), call, &sdp("a"), offer.as_ref(), |_| false), Heard::Pending);
    assert_eq!(door.answer(&id("anna"), call, &sdp("d"), nonce(9), now), answer);
    assert!(!door.trusts(&id("anna"), call) && door.poll_timeout() == Some(now + PROOF_TIMEOUT));
    let Heard::Verified(Some(proof)) = anna.answered(&id("door"), call, &sdp("d"), answer.as_ref()) else { panic!() };
    assert_eq!(door.proved(&id("anna"), call, &proof), Heard::Verified(None));
    assert!(door.trusts(&id("anna"), call) && anna.trusts(&id("door"), call) && door.poll_timeout().is_none());
    // A later description of the same connection needs no more, and another connection everything anew.
    assert_eq!(door.offered(&id("anna"), call, &sdp("a"), None, |_| false), Heard::Verified(None));
    assert!(matches!(door.offered(&id("anna"), call, &sdp("x"), None, |_| false), Heard::Wrong(_)));
    assert_eq!(door.offered(&id("anna"), call, &sdp("x"), offer.as_ref(), |_| false), Heard::Pending);
    assert!(!door.trusts(&id("anna"), call));
    door.forget(&id("anna"), call);
    assert!(!door.is_verified(&id("anna"), call));
}

#[test]
fn who_shows_nothing_is_taken_where_that_is_allowed() {
    for (unverified, heard) in [(Unverified::Allow, true), (Unverified::Refuse, false)] {
        let mut door = party("door", 2, unverified);
        let said = door.offered(&id("anna"), None, &sdp("a"), None, |_| false);
        assert_eq!((said == Heard::Unverified, door.trusts(&id("anna"), None)), (heard, heard));
        door.offer(&id("ben"), Some("c"), &sdp("d"), nonce(1), |_| false);
        let said = door.answered(&id("ben"), Some("c"), &sdp("b"), None);
        assert_eq!((said == Heard::Unverified, door.trusts(&id("ben"), Some("c"))), (heard, heard));
        assert!(!door.is_verified(&id("ben"), Some("c")));
    }
}

#[test]
fn one_who_never_proves_it_is_late() {
    let now = Instant::now();
    let mut door = party("door", 2, Unverified::Allow);
    let mut anna = party("anna", 3, Unverified::Allow);
    let offer = anna.offer(&id("door"), None, &sdp("a"), nonce(1), |_| false);
    door.offered(&id("anna"), None, &sdp("a"), offer.as_ref(), |_| false);
    assert_eq!(door.poll_timeout(), None, "it may ring for as long as it likes");
    door.answer(&id("anna"), None, &sdp("d"), nonce(2), now);
    assert_eq!(door.late(now), None);
    assert_eq!(door.late(now + PROOF_TIMEOUT), Some((id("anna"), None)));
    assert_eq!(door.late(now + PROOF_TIMEOUT), None);
}

#[test]
fn however_many_offer_little_is_kept() {
    let mut door = party("door", 2, Unverified::Allow);
    let mut anna = party("anna", 3, Unverified::Allow);
    let call = Some("mine");
    anna.offer(&id("door"), call, &sdp("a"), nonce(1), |_| false);
    door.offered(&id("anna"), call, &sdp("a"), None, |_| false);
    for n in 0..2000 {
        let (user, call) = (id(&format!("user {}", n % 500)), n.to_string());
        door.offered(&user, Some(&call), &sdp("x"), None, |user| *user == id("anna"));
    }
    assert!(door.trusts(&id("anna"), call));
    for n in 0..2000 {
        door.offered(&id("anna"), Some(&n.to_string()), &sdp("x"), None, |user| *user == id("anna"));
    }
    assert!(!door.trusts(&id("anna"), call), "they have forgotten it themselves");
}

/// What somebody between the two does with a message.
#[derive(Clone, Copy, Debug)]
enum Mischief {
    None,
    Drop,
    Twice,
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
        1 => Just(Mischief::Twice),
        1 => Just(Mischief::OtherFingerprint),
        1 => Just(Mischief::NoIdentity),
        1 => Just(Mischief::OtherKey),
        1 => Just(Mischief::OtherNonce),
        1 => Just(Mischief::OldSignature),
    ]
}

/// Who sits in between: knows all signatures that were ever sent, and has a key of their own that the household vouches for.
struct Middle {
    seen: Vec<Signature>,
}

impl Middle {
    fn meddle(&mut self, how: Mischief, sdp_text: &mut String, identity: &mut Option<Identity>) {
        let mallory = key(66);
        if let Some(signature) = identity.as_ref().and_then(|identity| identity.signature) {
            self.seen.push(signature);
        }
        match (how, identity.as_mut()) {
            (Mischief::OtherFingerprint, _) => *sdp_text = sdp("eeee"),
            (Mischief::NoIdentity, _) => (*sdp_text, *identity) = (sdp("eeee"), None),
            (Mischief::OtherKey, Some(identity)) => {
                *sdp_text = sdp("eeee");
                identity.key = mallory.public();
                identity.vouch = key(HOUSEHOLD).vouch(Kind::Person, &id("mallory"), &mallory.public());
                identity.signature = identity.signature.map(|_| mallory.sign("whatever"));
            }
            (Mischief::OtherNonce, Some(identity)) => identity.nonce = nonce(66),
            (Mischief::OldSignature, Some(identity)) => {
                *sdp_text = sdp("eeee");
                identity.signature = self.seen.first().copied();
            }
            (Mischief::None | Mischief::Drop | Mischief::Twice, _) | (_, None) => {}
        }
    }
}

proptest! {
    /// Whatever somebody in between does, nobody takes their fingerprint for the other's.
    #[test]
    fn nobody_gets_in_between(calls in prop::collection::vec((any::<bool>(), 0..3u8, [mischief(), mischief(), mischief()]), 1..12)) {
        let now = Instant::now();
        let mut door = party("door", 2, Unverified::Refuse);
        let mut anna = party("anna", 3, Unverified::Refuse);
        let mut middle = Middle { seen: Vec::new() };
        for (n, (door_offers, call, how)) in calls.into_iter().enumerate() {
            let call = format!("c{call}");
            let call = Some(call.as_str());
            // Each call has certificates of its own.
            let (of_anna, of_door) = (sdp(&format!("a{n:02}")), sdp(&format!("d{n:02}")));
            let (caller, callee, by, to, offered, answered) = match door_offers {
                true => (&mut door, &mut anna, id("door"), id("anna"), of_door, of_anna),
                false => (&mut anna, &mut door, id("anna"), id("door"), of_anna, of_door),
            };
            let mut seen_offer = offered.clone();
            let mut identity = caller.offer(&to, call, &offered, nonce(n as u8), |_| true);
            middle.meddle(how[0], &mut seen_offer, &mut identity);
            let mut seen_answer = None;
            if !matches!(how[0], Mischief::Drop) {
                for _ in 0..if matches!(how[0], Mischief::Twice) { 2 } else { 1 } {
                    let heard = callee.offered(&by, call, &seen_offer, identity.as_ref(), |_| true);
                    if matches!(heard, Heard::Wrong(_)) {
                        continue;
                    }
                    let mut text = answered.clone();
                    let mut identity = callee.answer(&by, call, &answered, nonce(100 + n as u8), now);
                    middle.meddle(how[1], &mut text, &mut identity);
                    if matches!(how[1], Mischief::Drop) {
                        continue;
                    }
                    let heard = caller.answered(&to, call, &text, identity.as_ref());
                    seen_answer = Some(text);
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
            if caller.trusts(&to, call) && let Some(seen) = &seen_answer {
                prop_assert_eq!(fingerprints(seen), fingerprints(&answered));
            }
            if callee.trusts(&by, call) && !matches!(how[0], Mischief::Drop) {
                prop_assert_eq!(fingerprints(&seen_offer), fingerprints(&offered));
            }
            if how.iter().all(|how| matches!(how, Mischief::None)) {
                prop_assert!(caller.trusts(&to, call) && callee.trusts(&by, call));
            }
        }
    }
}
