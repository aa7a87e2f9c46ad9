//! Whoever is not invited learns nothing and disturbs nobody.

use serde_json::json;

use crate::home::Home;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_nothing() {
    let home = Home::start("").await;
    let anna = home.enter(&["Anna"]).await;
    let _anna = home.join(&anna).await;
    assert_eq!(home.get("/api/me", &[]).await.code(), "unauthorized");
    let page = home.get("/", &[]).await;
    assert!(page.status == 200 && !page.body.contains("Anna"));
    let mut stranger = home.connect(&[]).await.unwrap();
    for (message, expected) in [
        (json!({ "type": "join", "userId": "anna" }), "unauthorized"),
        (json!({ "type": "join", "userId": "x", "kind": "device", "token": "A".repeat(43) }), "unauthorized"),
        (json!({ "type": "offer", "targetId": anna.user, "offer": { "type": "offer", "sdp": "v=0" } }), "notJoined"),
        (json!({ "type": "leave", "targetId": anna.user }), "notJoined"),
    ] {
        stranger.say(message.clone()).await;
        let answer = stranger.next().await.unwrap();
        assert_eq!((answer["type"].as_str(), answer["code"].as_str()), (Some("error"), Some(expected)), "{message}");
    }
    stranger.say(json!({ "type": "join", "userId": "stranger" })).await;
    assert_eq!(stranger.closed().await, 4401, "three are enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_and_counts_for_nothing_opens_no_connection() {
    let home = Home::start("").await;
    let zeros = "A".repeat(43);
    for shown in [("Cookie", format!("callbox={zeros}")), ("Authorization", format!("Bearer {zeros}"))] {
        assert_eq!(home.connect(&[(shown.0, &shown.1)]).await.err(), Some(401));
    }
    // A cookie of another server on this machine is none of ours.
    assert!(home.connect(&[("Cookie", "session=abc; other=1")]).await.is_ok());
}
