//! Devices and those who would like to be one.

use callbox::logic::identity::SigningKey;
use callbox::protocol::{Challenge, Encoded, Pairing, UserId};
use serde_json::{Value, json};

use crate::home::{Client, Home};

fn key(seed: u8) -> SigningKey {
    SigningKey::of_seed(&[seed; 32]).unwrap()
}

fn door() -> UserId {
    "front-door".parse().unwrap()
}

/// A `join` as the device with that key says it on a connection.
fn join(home: &Home, key: &SigningKey, challenge: &str, pairing: Option<&str>) -> Value {
    let challenge: Challenge = challenge.parse().unwrap();
    let signature = key.sign_join(&home.address.to_string(), &door(), &challenge);
    let credential = json!({ "key": key.public(), "signature": signature, "pairing": pairing });
    json!({ "type": "join", "userId": door(), "kind": "device", "credential": credential })
}

fn pair(home: &Home) -> Pairing {
    home.run(&["pair", "front-door"]).trim().parse().unwrap()
}

/// What the server says to such a `join`.
async fn joins(home: &Home, key: &SigningKey, pairing: Option<&str>) -> (Client, Value) {
    let mut client = home.connect(&[]).await.unwrap();
    let challenge = client.challenge.clone().expect("a challenge");
    client.say(join(home, key, &challenge, pairing)).await;
    let said = client.next().await.unwrap();
    (client, said)
}

fn is_refused(said: &Value, words: &str) {
    assert_eq!(said["code"], "unauthorized", "{said}");
    assert!(said["message"].as_str().unwrap().contains(words), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_belongs_to_the_key_that_was_paired() {
    let home = Home::start("").await;
    let (device, thief) = (key(1), key(2));
    is_refused(&joins(&home, &device, None).await.1, "callbox pair");
    let Pairing { secret, household } = pair(&home);
    let guess = Encoded([9u8; 32]).to_string();
    // Nobody learns which IDs there are.
    is_refused(&joins(&home, &thief, Some(&guess)).await.1, "does not know a device");
    let (mut first, joined) = joins(&home, &device, Some(secret.secret())).await;
    assert_eq!((joined["type"].as_str(), joined["userId"].as_str()), (Some("joined"), Some("front-door")));
    // The household vouches for it, by the key that the pairing has named.
    let vouch = joined["vouch"].as_str().unwrap().parse().unwrap();
    assert!(household.vouches_for(&door(), &device.public(), &vouch));

    // Whoever has seen the pairing afterwards, or only the ID, gets nothing.
    is_refused(&joins(&home, &thief, Some(secret.secret())).await.1, "does not know a device");
    is_refused(&joins(&home, &thief, None).await.1, "does not know a device");
    // The owner hears of it.
    let owner = home.enter(&["Anna", "--role", "owner"]).await;
    let people = home.get("/api/people", &[("Cookie", &owner.cookie)]).await.json();
    assert_eq!(people["devices"][0]["userId"], "front-door");
    assert_eq!(people["devices"][0]["refused"]["count"], 2, "{people}");
    assert!(home.log().contains("a device may not join as front-door"));

    // The same key once more takes the place of its older connection.
    let (mut second, joined) = joins(&home, &device, None).await;
    assert_eq!(joined["type"], "joined");
    assert_eq!(first.closed().await, 4000);

    // Freed, the ID can be another's, and who had it goes.
    home.run(&["unpair", "front-door"]);
    assert_eq!(second.closed().await, 4403);
    let secret = pair(&home).secret;
    let (_third, joined) = joins(&home, &thief, Some(secret.secret())).await;
    assert_eq!(joined["type"], "joined", "{joined}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_has_signed_counts_once_and_here() {
    let home = Home::start("").await;
    let device = key(1);
    let secret = pair(&home).secret;
    let mut first = home.connect(&[]).await.unwrap();
    let challenge = first.challenge.clone().unwrap();
    let signed = join(&home, &device, &challenge, Some(secret.secret()));
    first.say(signed.clone()).await;
    first.hear("joined").await;

    // Replayed, on another connection and on the same one.
    let mut replay = home.connect(&[]).await.unwrap();
    assert_ne!(replay.challenge.as_deref(), Some(&*challenge));
    replay.say(signed.clone()).await;
    is_refused(&replay.next().await.unwrap(), "signature does not fit");
    replay.say(signed.clone()).await;
    is_refused(&replay.next().await.unwrap(), "connect again");

    // A server in between hands our challenge on: what the device signs names that server, whatever the other says to us.
    for (headers, words) in
        [(vec![], "signature does not fit"), (vec![("Host", "evil.example")], "does not go by the name")]
    {
        let mut between = home.connect(&headers).await.unwrap();
        let challenge: Challenge = between.challenge.clone().unwrap().parse().unwrap();
        let signature = device.sign_join("evil.example", &door(), &challenge);
        let credential = json!({ "key": device.public(), "signature": signature });
        between.say(json!({ "type": "join", "userId": door(), "kind": "device", "credential": credential })).await;
        is_refused(&between.next().await.unwrap(), words);
    }

    // As another device, and as a person.
    for (user, kind) in [("back-door", "device"), ("front-door", "person")] {
        let mut client = home.connect(&[]).await.unwrap();
        let challenge = client.challenge.clone().unwrap();
        let mut join = join(&home, &device, &challenge, None);
        (join["userId"], join["kind"]) = (json!(user), json!(kind));
        client.say(join).await;
        let said = client.next().await.unwrap();
        assert_eq!(said["code"], "unauthorized", "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_to_one_device_is_none_to_another() {
    let home = Home::start("").await;
    let secret = pair(&home).secret;
    let (mut at_door, joined) = joins(&home, &key(1), Some(secret.secret())).await;
    assert_eq!(joined["type"], "joined");
    let neighbour = home.enter(&["Mae", "--role", "guest", "--devices", "back-door"]).await;
    let mut mae = home.connect(&[("Cookie", &neighbour.cookie)]).await.unwrap();
    mae.say(json!({ "type": "join", "userId": neighbour.user })).await;
    assert_eq!(mae.hear("joined").await["peers"], json!([]));
    // The device that is there looks like one that is not.
    let mut answers = Vec::new();
    for target in ["front-door", "no-door-at-all"] {
        for (kind, what) in [("offer", json!({ "type": "offer", "sdp": "v=0" })), ("candidate", Value::Null)] {
            mae.say(json!({ "type": kind, "targetId": target, "callId": "c1", kind: what, "rights": ["view"] })).await;
            let error = mae.hear("error").await.to_string();
            answers.push(error.replace(target, "X"));
        }
    }
    assert_eq!(answers[..2], answers[2..]);
    at_door.say(json!({ "type": "ping", "nonce": "1" })).await;
    assert_eq!(at_door.next().await.unwrap()["type"], "pong", "and the device hears of nothing");
    // To the right one it is one.
    let guest = home.enter(&["Gast", "--role", "guest", "--devices", "front-door"]).await;
    let mut gast = home.connect(&[("Cookie", &guest.cookie)]).await.unwrap();
    gast.say(json!({ "type": "join", "userId": guest.user })).await;
    assert_eq!(gast.hear("joined").await["peers"][0]["userId"], "front-door");
}
