//! Those who came in, and want more than they may; and those who may no longer.

use serde_json::{Value, json};

use crate::home::{Client, Home, in_seconds};

fn offer(target: &str) -> Value {
    json!({ "type": "offer", "targetId": target, "callId": "c1", "offer": { "type": "offer", "sdp": "v=0" } })
}

async fn error(client: &mut Client) -> (String, String) {
    let error = client.hear("error").await;
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_joins_as_somebody_else() {
    let home = Home::start("").await;
    let (anna, ben) = (home.enter(&["Anna"]).await, home.enter(&["Ben"]).await);
    let mut mallory = home.connect(&[("Cookie", &ben.cookie)]).await.unwrap();
    mallory.say(json!({ "type": "join", "userId": anna.user })).await;
    assert_eq!(error(&mut mallory).await.0, "unauthorized");
    mallory.say(json!({ "type": "join", "userId": ben.user, "kind": "device" })).await;
    assert_eq!(error(&mut mallory).await.0, "unauthorized");
    // The name is the household's, whatever the client says.
    mallory.say(json!({ "type": "join", "userId": ben.user, "name": "Anna" })).await;
    let joined = mallory.hear("joined").await;
    assert_eq!(joined["you"]["name"], "Ben");
    let mut anna = home.join(&anna).await;
    anna.say(offer(&ben.user)).await;
    assert_eq!(mallory.hear("offer").await["userId"], "anna");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_finds_nobody() {
    let home = Home::start("").await;
    let anna = home.enter(&["Anna"]).await;
    let mut member = home.join(&anna).await;
    let guest = home.enter(&["Gast", "--role", "guest"]).await;
    let mut client = home.connect(&[("Cookie", &guest.cookie)]).await.unwrap();
    client.say(json!({ "type": "join", "userId": guest.user })).await;
    assert_eq!(client.hear("joined").await["peers"], json!([]));
    client.say(offer(&anna.user)).await;
    let there = error(&mut client).await;
    client.say(offer("nobody-at-all")).await;
    let nowhere = error(&mut client).await;
    assert_eq!(there.0, "unknownTarget");
    assert_eq!(there.1.replace(&anna.user, "X"), nowhere.1.replace("nobody-at-all", "X"));
    member.say(json!({ "type": "ping", "nonce": "1" })).await;
    assert_eq!(member.next().await.unwrap()["type"], "pong", "and nobody hears of the guest");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_revoked_is_out_and_their_partners_know() {
    let home = Home::start("").await;
    let (anna, ben) = (home.enter(&["Anna"]).await, home.enter(&["Ben"]).await);
    let (mut at_anna, mut at_ben) = (home.join(&anna).await, home.join(&ben).await);
    at_ben.say(offer(&anna.user)).await;
    at_anna.hear("offer").await;
    home.run(&["revoke", &ben.id]);
    assert_eq!(at_ben.closed().await, 4403);
    let leave = at_anna.hear("leave").await;
    assert_eq!((leave["userId"].as_str(), leave["reason"].as_str()), (Some(&*ben.user), Some("revoked")));
    assert_eq!(home.connect(&[("Cookie", &ben.cookie)]).await.err(), Some(401));
    assert_eq!(home.get("/api/me", &[("Cookie", &ben.cookie)]).await.status, 401);

    // Whose connection is down, and whose call may run on, too.
    let carl = home.enter(&["Carl"]).await;
    let mut at_carl = home.join(&carl).await;
    at_carl.say(offer(&anna.user)).await;
    at_anna.hear("offer").await;
    drop(at_carl);
    loop {
        let change = at_anna.hear("peers").await;
        if change["offline"] == json!([carl.user]) {
            break;
        }
    }
    // Another name is no reason to end it. What happens to Dora is looked at later than what happens to Carl.
    let dora = home.enter(&["Dora"]).await;
    let _at_dora = home.join(&dora).await;
    home.run(&["rename", "Carl", "Karl"]);
    home.run(&["rename", "Dora", "Theodora"]);
    while at_anna.hear("peers").await["online"][0]["name"] != "Theodora" {}
    home.run(&["revoke", "Karl"]);
    assert_eq!(at_anna.hear("leave").await["userId"], carl.user.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn access_ends_by_itself() {
    let home = Home::start("").await;
    let guest = home.enter(&["Gast", "--role", "guest", "--until", &in_seconds(3)]).await;
    let mut client = home.join(&guest).await;
    assert_eq!(client.closed().await, 4403);
    assert_eq!(home.get("/api/me", &[("Cookie", &guest.cookie)]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rights_count_at_once() {
    let home = Home::start("").await;
    let ben = home.enter(&["Ben"]).await;
    let mut client = home.join(&ben).await;
    home.run(&["rename", "Ben", "Benjamin"]);
    home.invite(&["Benjamin", "--role", "guest", "--rights", "view"]);
    assert_eq!(client.closed().await, 4409);
    let mut client = home.connect(&[("Cookie", &ben.cookie)]).await.unwrap();
    client.say(json!({ "type": "join", "userId": ben.user })).await;
    let you = client.hear("joined").await["you"].clone();
    assert_eq!(you, json!({ "name": "Benjamin", "role": "guest", "rights": { "everywhere": ["view"] } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_come_with_a_token() {
    let home = Home::start("").await;
    let token = home.run(&["token", "--name", "dashboard", "--rights", "view", "--for", "365d"]).trim().to_owned();
    // A basic client that can set no header.
    let mut basic = home.connect(&[]).await.unwrap();
    basic.say(json!({ "type": "join", "userId": "dashboard", "token": token })).await;
    assert_eq!(basic.hear("joined").await["you"]["role"], "guest");
    let bearer = format!("Bearer {token}");
    let mut second = home.connect(&[("Authorization", &bearer)]).await.unwrap();
    second.say(json!({ "type": "join", "userId": "dashboard" })).await;
    second.hear("joined").await;
    assert_eq!(basic.closed().await, 4000, "the same program again replaces itself");
    assert!(home.run(&["people"]).contains("dashboard (program): view"));
    home.run(&["revoke", "dashboard"]);
    assert_eq!(second.closed().await, 4403);
    assert_eq!(home.connect(&[("Authorization", &bearer)]).await.err(), Some(401));
}

/// A point of the curve's, as browsers write their keys.
fn browsers_key() -> String {
    let random = ring::rand::SystemRandom::new();
    let kind = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = ring::signature::EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
    let pair = ring::signature::EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
    let point = ring::signature::KeyPair::public_key(&pair).as_ref();
    format!("p256:{}", data_encoding::BASE64URL_NOPAD.encode(point))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_renews_its_own_key_and_no_other() {
    let home = Home::start("").await;
    let (anna, ben) = (home.enter(&["Anna"]).await, home.enter(&["Ben"]).await);
    let key = browsers_key();
    let body = json!({ "key": key });
    assert_eq!(home.post("/api/key", &body, &[]).await.status, 401);
    let cookie = [("Cookie", anna.cookie.as_str())];
    assert_eq!(home.post("/api/key", &body, &[cookie[0], ("Origin", "http://evil.example")]).await.status, 403);
    assert_eq!(home.post("/api/key", &json!({ "key": key, "userId": "ben" }), &cookie).await.status, 400);
    for bad in [&format!("ed25519:{}", "A".repeat(43)), "p256:", "p256:AAAA", "x"] {
        assert_eq!(home.post("/api/key", &json!({ "key": bad }), &cookie).await.status, 400, "{bad}");
    }
    let before = home.get("/api/me", &cookie).await.json();
    assert_eq!((&before["you"]["key"], &before["you"]["vouch"]), (&Value::Null, &Value::Null));
    let answer = home.post("/api/key", &body, &cookie).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let you = &answer.json()["you"];
    assert_eq!(you["key"], key);
    assert!(you["vouch"].is_string());
    assert_eq!(home.get("/api/me", &cookie).await.json()["you"], *you);
    let other = home.get("/api/me", &[("Cookie", ben.cookie.as_str())]).await.json();
    assert_eq!(other["you"]["key"], Value::Null);
    // Whoever does so again and again has to wait: each time is a write to the disk.
    let mut slowed = false;
    for _ in 0..60 {
        slowed |= home.post("/api/key", &body, &cookie).await.status == 429;
    }
    assert!(slowed);
}
