//! Calls at a household's server: whom the device knows by their key, whom it does not, and somebody in between.

use std::time::SystemTime;

use callbox::device::control::Operation;
use callbox::logic::identity::SigningKey;
use callbox::net::peer::{Peer, PeerEvent};
use callbox::protocol::{
    Description, Encoded, ErrorCode, Identity, Key, Kind, Message, Nonce, Pairing, Reason, Signature, Token, UserId,
};
use callbox::server::{AccessSettings, Server, ServerSettings, household_key};
use callbox::store::{Invite, Memory, Secret, Sqlite, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

use crate::caller::{Caller, Door, door, ice, soon};

/// A server that lets in those who are invited, and its memory.
struct Household {
    server: Server,
    memory: Sqlite,
    key: Key,
    _dir: TempDir,
}

impl Household {
    async fn open() -> Household {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Sqlite::open(dir.path()).unwrap().memory;
        let key = household_key(&mut memory).unwrap();
        let access = AccessSettings::Invited { state_dir: dir.path().to_owned(), device: None };
        let settings = ServerSettings { access, ..ServerSettings::new("127.0.0.1:0".parse().unwrap()) };
        let server = Server::start(settings).await.unwrap();
        Household { server, memory, key, _dir: dir }
    }

    fn url(&self) -> String {
        format!("ws://{}/ws", self.server.local_addr())
    }

    /// A device that was paired and has joined.
    async fn door(&mut self, more: &str) -> Door {
        let secret = Secret::random().unwrap();
        let until = Timestamp::from(SystemTime::now()).plus(std::time::Duration::from_secs(600));
        self.memory.add_pairing(&door(), secret.hash(), until).unwrap();
        let pairing = Pairing { secret: Token::try_from(secret.text()).unwrap(), household: self.key };
        Door::paired(&self.url(), &pairing.text(), more).await
    }

    /// Somebody who was invited, with a key if they have one.
    async fn person(&mut self, name: &str, keyed: bool) -> Person {
        let (random, now) = (SystemRandom::new(), Timestamp::from(SystemTime::now()));
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        let (invitation, session) = (Secret::random().unwrap(), Secret::random().unwrap());
        let invite =
            Invite { name: name.to_owned(), role: None, grants: None, from: None, until: None, uses: 1, expires: None };
        self.memory.invite(&invite, invitation.hash(), now).unwrap();
        let key = keyed.then(|| pair.public_key().as_ref());
        let redeemed = self.memory.redeem(invitation.hash(), "a test", session.hash(), key, now).unwrap();
        let mut caller = Caller::join_with(&self.url(), redeemed.user_id.as_str(), &session.text()).await;
        let vouch = caller
            .hear("joined", |m| match m {
                Message::Joined { vouch, .. } => Some(vouch),
                _ => None,
            })
            .await;
        assert_eq!(vouch.is_some(), keyed);
        let key = Key::P256(pair.public_key().as_ref().try_into().unwrap());
        Person { caller, pair, key, vouch, household: self.key }
    }
}

/// A caller with what a browser keeps.
struct Person {
    caller: Caller,
    pair: EcdsaKeyPair,
    key: Key,
    vouch: Option<Signature>,
    household: Key,
}

const NONCE: Nonce = Encoded([1; 16]);

impl Person {
    fn identity(&self) -> Option<Identity> {
        self.vouch.map(|vouch| Identity { key: self.key, vouch, nonce: NONCE, signature: None })
    }

    fn sign(&self, text: &str) -> Signature {
        Encoded(self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().try_into().unwrap())
    }

    async fn offer(&mut self, sdp: String, identity: Option<Identity>) {
        let (user_id, offer) = (Some(self.caller.me.clone()), Description { kind: "offer".into(), sdp });
        let call_id = Some("c1".to_owned());
        let kind = Some(Kind::Person);
        let offer = Message::Offer {
            user_id,
            target_id: door(),
            offer,
            kind,
            call_id,
            rights: None,
            identity: identity.map(Box::new),
            visit: None,
        };
        self.caller.say(&offer).await;
    }

    async fn answer(&mut self) -> (String, Option<Identity>) {
        let answer = self.caller.hear("an answer", |m| match m {
            Message::Answer { answer, identity, .. } => Some((answer.sdp, identity.map(|identity| *identity))),
            _ => None,
        });
        answer.await
    }

    async fn prove(&mut self, signature: Signature) {
        let (user_id, call_id) = (Some(self.caller.me.clone()), Some("c1".to_owned()));
        self.caller.say(&Message::Proof { user_id, target_id: door(), signature, call_id }).await;
    }
}

/// What docs/protocol.md says of the text that is signed, written once more.
fn text(side: &str, caller: &UserId, offer: &str, answer: &str, theirs: Nonce) -> String {
    let fingerprints = |sdp: &str| {
        let mut all: Vec<_> = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=fingerprint:"))
            .map(|text| text.trim().to_owned())
            .collect();
        all.sort();
        all.dedup();
        all.join(",")
    };
    let (offer, answer) = (fingerprints(offer), fingerprints(answer));
    assert!(offer.starts_with("sha-256 ") && answer.starts_with("sha-256 "));
    format!("callbox call 1\n{side}\nc1\n{caller}\ndoor\n{offer}\n{answer}\n{NONCE}\n{theirs}\n")
}

/// Waits for the media connection and takes care of candidates; nothing may come over it.
async fn connects_and_hears_nothing(person: &mut Person, events: &mut Receiver<PeerEvent>) {
    let connect = async {
        loop {
            match events.recv().await.expect("the connection goes on") {
                PeerEvent::Candidate(candidate) => {
                    let (user_id, call_id) = (Some(person.caller.me.clone()), Some("c1".to_owned()));
                    let message = Message::Candidate { user_id, target_id: door(), candidate, call_id };
                    person.caller.say(&message).await;
                }
                PeerEvent::Connected => return,
                PeerEvent::Voice(_) => panic!("the door speaks"),
                _ => {}
            }
        }
    };
    soon("the connection", connect).await;
}

fn nothing_is_open(status: &Value) -> bool {
    ["video", "microphone", "speaker"].iter().all(|device| status["media"][device].is_null())
}

/// Whether anything of what the door hears has come.
fn heard_something(events: &mut Receiver<PeerEvent>) -> bool {
    std::iter::from_fn(|| events.try_recv().ok()).any(|event| matches!(event, PeerEvent::Voice(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn media_waits_until_the_caller_has_shown_their_key() {
    let mut household = Household::open().await;
    let door = household.door("").await;
    let mut anna = household.person("Anna", true).await;
    let (peer, sdp, mut events) = Peer::offer(&ice()).await.unwrap();
    let identity = anna.identity();
    anna.offer(sdp.clone(), identity).await;
    let (answer, identity) = anna.answer().await;
    let Identity { key, vouch, nonce, signature } = identity.expect("the door says who it is");
    assert!(anna.household.vouches_for(&crate::caller::door(), &key, &vouch));
    let said = text("answer", &anna.caller.me, &sdp, &answer, nonce);
    assert!(verifies(&key, &said, &signature.unwrap()));
    peer.accept_answer(&answer).await.unwrap();
    connects_and_hears_nothing(&mut anna, &mut events).await;
    let status = door.until("connected", |s| s["calls"][0]["state"] == "connected").await;
    assert_eq!(status["calls"][0]["verified"], false);
    assert!(nothing_is_open(&status), "{status:#}");
    assert!(!heard_something(&mut events));
    let proof = anna.sign(&text("offer", &anna.caller.me, &sdp, &answer, nonce));
    anna.prove(proof).await;
    let line = anna.caller.talk(peer, events).await;
    let status = door.until("verified", |s| s["calls"][0]["verified"] == true).await;
    assert!(!nothing_is_open(&status), "{status:#}");
    let leave = anna.caller.leave();
    anna.caller.say(&leave).await;
    line.close().await;
    door.until_idle().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_in_between_gets_nothing_and_both_ends_know() {
    let mut household = Household::open().await;
    let door = household.door("").await;
    let mut anna = household.person("Anna", true).await;
    // Anna's own offer, which the one in between keeps.
    let (annas, annas_sdp, _annas_events) = Peer::offer(&ice()).await.unwrap();
    // What reaches the door: all that Anna has said of herself, and another's connection.
    let (mallory, sdp, mut events) = Peer::offer(&ice()).await.unwrap();
    let identity = anna.identity();
    anna.offer(sdp.clone(), identity).await;
    let (answer, identity) = anna.answer().await;
    mallory.accept_answer(&answer).await.unwrap();
    connects_and_hears_nothing(&mut anna, &mut events).await;
    // And what reaches Anna: an answer of the one in between, with all that the door has said of itself.
    let (towards_anna, forged, _) = Peer::answer(&ice(), &annas_sdp).await.unwrap();
    let Identity { key, nonce, signature, .. } = identity.unwrap();
    let said = text("answer", &anna.caller.me, &annas_sdp, &forged, nonce);
    assert!(!verifies(&key, &said, &signature.unwrap()), "Anna's page finds out");
    // Even if it did not: what she would sign is not what the door expects.
    let proof = anna.sign(&text("offer", &anna.caller.me, &annas_sdp, &forged, nonce));
    anna.prove(proof).await;
    assert_eq!(anna.caller.hear_leave().await, Some(Reason::Unverified));
    assert!(!heard_something(&mut events), "not one packet");
    door.until_idle().await;
    for peer in [annas, mallory, towards_anna] {
        peer.close().await;
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_key_or_anothers_is_not_answered() {
    let mut household = Household::open().await;
    let door = household.door("").await;
    let (mut anna, mut ben) = (household.person("Anna", true).await, household.person("Ben", false).await);
    let (peer, sdp, _events) = Peer::offer(&ice()).await.unwrap();
    ben.offer(sdp.clone(), None).await;
    assert_eq!(ben.caller.hear_error().await, ErrorCode::Unverified);
    assert_eq!(ben.caller.hear_leave().await, Some(Reason::Unverified));
    let annas = anna.identity();
    ben.offer(sdp.clone(), annas.clone()).await;
    assert_eq!(ben.caller.hear_error().await, ErrorCode::Unverified, "Anna's word does not make Ben Anna");
    let own = SigningKey::of_seed(&[9; 32]).unwrap();
    let forged = Identity { key: own.public(), ..annas.unwrap() };
    anna.offer(sdp, Some(forged)).await;
    assert_eq!(anna.caller.hear_error().await, ErrorCode::Unverified);
    assert!(nothing_is_open(&door.status().await));
    peer.close().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_key_is_answered_where_that_is_allowed() {
    let mut household = Household::open().await;
    let door = household.door("access = { unverified = 'allow' }").await;
    let mut ben = household.person("Ben", false).await;
    let line = ben.caller.call().await;
    assert_eq!(door.status().await["calls"][0]["verified"], false);
    line.close().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_calls_and_shows_who_it_is() {
    let mut household = Household::open().await;
    let door = household.door("").await;
    let mut anna = household.person("Anna", true).await;
    let user = anna.caller.me.clone();
    let call = tokio::spawn(Door::order_at(door.socket(), Operation::Call { user }));
    let (offer, identity, call_id) = anna
        .caller
        .hear("an offer", |m| match m {
            Message::Offer { offer, identity, call_id, .. } => Some((offer.sdp, identity, call_id)),
            _ => None,
        })
        .await;
    let identity = identity.expect("the door says who it is");
    let (peer, sdp, events) = Peer::answer(&ice(), &offer).await.unwrap();
    let text = |side: &str| {
        let said = text(side, &crate::caller::door(), &offer, &sdp, NONCE);
        said.replacen("\ndoor\ndoor\n", &format!("\ndoor\n{}\n", anna.caller.me), 1)
            .replacen("\nc1\n", &format!("\n{}\n", call_id.as_deref().unwrap()), 1)
            .replacen(&format!("\n{NONCE}\n{NONCE}\n"), &format!("\n{}\n{NONCE}\n", identity.nonce), 1)
    };
    let (answers, offers) = (text("answer"), text("offer"));
    let ours = Identity { signature: Some(anna.sign(&answers)), ..anna.identity().unwrap() };
    let answer = Description { kind: "answer".into(), sdp };
    let (user_id, target_id) = (Some(anna.caller.me.clone()), crate::caller::door());
    let message = Message::Answer { user_id, target_id, answer, call_id, rights: None, identity: Some(Box::new(ours)) };
    anna.caller.say(&message).await;
    let proof = anna
        .caller
        .hear("a proof", |m| match m {
            Message::Proof { signature, .. } => Some(signature),
            _ => None,
        })
        .await;
    assert!(verifies(&identity.key, &offers, &proof));
    let line = anna.caller.talk(peer, events).await;
    door.until("verified", |s| s["calls"][0]["verified"] == true).await;
    soon("the call", call).await.unwrap().unwrap();
    line.close().await;
    door.close().await;
}

fn verifies(key: &Key, text: &str, signature: &Signature) -> bool {
    let Key::Ed25519(key) = key else { panic!("{key}") };
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
    key.verify(text.as_bytes(), &signature.0).is_ok()
}
