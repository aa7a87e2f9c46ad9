//! Coming in: invitations that count and those that do not, secrets that were guessed, cookies that were stolen.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::home::{Home, in_seconds};

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_lets_in_whom_it_says_as_often_as_it_says() {
    let home = Home::start("").await;
    let secret = home.invite(&["Anna", "--uses", "2"]);
    let [first, second] = [home.redeem(&secret).await, home.redeem(&secret).await];
    assert_eq!((first.status, second.status), (200, 200));
    let you = first.json()["you"].clone();
    assert_eq!((you["name"].as_str(), you["role"].as_str()), (Some("Anna"), Some("member")));
    assert_ne!(you["userId"], second.json()["you"]["userId"], "each browser has an ID of its own");
    assert_eq!(home.redeem(&secret).await.code(), "invitationUsedUp");

    let revoked = home.invite(&["Ben"]);
    home.run(&["revoke", "Ben"]);
    assert_eq!(home.redeem(&revoked).await.code(), "invitationUnknown");
    let early = home.invite(&["Early", "--from", &in_seconds(3600), "--until", &in_seconds(7200)]);
    let answer = home.redeem(&early).await;
    assert_eq!(answer.code(), "invitationNotYet");
    assert!(answer.json()["error"]["from"].is_i64(), "{answer:?}");
    let late = home.invite(&["Late", "--until", &in_seconds(2)]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(home.redeem(&late).await.code(), "invitationExpired");
    for wrong in ["", "x", &"A".repeat(43), &"A".repeat(10_000)] {
        assert_eq!(home.redeem(wrong).await.code(), "invitationUnknown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_not_accepted_and_slow_nobody_else_down() {
    const GUESSERS: usize = 64;
    let home = std::sync::Arc::new(Home::start("").await);
    let anna = home.enter(&["Anna"]).await;
    let mut guessers = tokio::task::JoinSet::new();
    for guesser in 0..GUESSERS {
        let home = home.clone();
        guessers.spawn(async move {
            let mut slowed = 0;
            for guess in 0..6 {
                let secret = format!("{:0>43}", format!("{guesser}A{guess}A"));
                let cookie = format!("callbox={secret}");
                let shown = [("Cookie", cookie.as_str())];
                let (me, redeemed) = tokio::join!(home.get("/api/me", &shown), home.redeem(&secret));
                assert!([401, 429].contains(&me.status), "{me:?}");
                assert!([403, 429].contains(&redeemed.status), "{redeemed:?}");
                slowed += [me.status, redeemed.status].iter().filter(|status| **status == 429).count();
            }
            slowed
        });
    }
    // Whoever is invited comes in meanwhile, from the same address.
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(home.get("/api/me", &[("Cookie", &anna.cookie)]).await.status, 200);
        worst = worst.max(asked.elapsed());
    }
    println!("worst of 20 answers to somebody invited: {worst:?}");
    let slowed: usize = guessers.join_all().await.iter().sum();
    assert!(slowed > GUESSERS * 12 - 50, "{slowed} of {} were slowed", GUESSERS * 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_worth_nothing_on_another_site() {
    let home = Home::start("").await;
    let owner = home.enter(&["Olga", "--role", "owner"]).await;
    let cookie = ("Cookie", owner.cookie.as_str());
    let own = format!("http://{}", home.address);
    for evil in ["http://evil.example", "https://evil.example:443", "null", "http://127.0.0.1.evil.example", "garbage"]
    {
        let origin = ("Origin", evil);
        assert_eq!(home.connect(&[cookie, origin]).await.err(), Some(403), "{evil}");
        let body = json!({ "name": "Mallory", "base": format!("{evil}/") });
        assert_eq!(home.post("/api/invite", &body, &[cookie, origin]).await.status, 403, "{evil}");
    }
    // Nor does it invite to another page than its own, or without saying which.
    for base in
        ["http://evil.example/", "javascript:alert(1)//", &format!("{own}.evil.example/"), &format!("{own}/#x=")]
    {
        let answer = home.post("/api/invite", &json!({ "name": "M", "base": base }), &[cookie, ("Origin", &own)]).await;
        assert_eq!(answer.code(), "badRequest", "{base}");
    }
    // What a form of another site can send is no request.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let body = r#"{"name":"Mallory","base":"http://x/"}"#;
        let answer = home.request("POST", "/api/invite", &[cookie, ("Content-Type", kind)], body).await;
        assert_eq!(answer.status, 415, "{kind}");
    }
    // DNS rebinding: the browser believes that the page is its own.
    let rebound = [cookie, ("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(home.get("/api/people", &rebound).await.status, 403);
    assert_eq!(home.connect(&rebound).await.err(), Some(403));
    assert!(!home.run(&["people"]).contains('M'.to_string().as_str()) || !home.run(&["people"]).contains("Mallory"));
    let body = json!({ "name": "Mae", "base": format!("{own}/") });
    assert_eq!(home.post("/api/invite", &body, &[cookie, ("Origin", &own)]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_owners_rule() {
    let home = Home::start("").await;
    let member = home.enter(&["Ben"]).await;
    let guest = home.enter(&["Gast", "--role", "guest"]).await;
    let own = format!("http://{}", home.address);
    let token = home.run(&["token", "--name", "dashboard", "--rights", "view,manage"]).trim().to_owned();
    let bearer = format!("Bearer {token}");
    for shown in [("Cookie", member.cookie.as_str()), ("Cookie", guest.cookie.as_str()), ("Authorization", &bearer)] {
        assert_eq!(home.get("/api/people", &[shown]).await.status, 403, "{shown:?}");
        for (path, body) in [
            ("/api/invite", json!({ "name": "Mallory", "role": "owner", "base": format!("{own}/") })),
            ("/api/revoke", json!({ "which": "Ben", "force": true })),
            ("/api/rename", json!({ "from": "Ben", "to": "Bob" })),
        ] {
            assert_eq!(home.post(path, &body, &[shown, ("Origin", &own)]).await.status, 403, "{path} {shown:?}");
        }
    }
    for path in ["/api/people", "/api/me"] {
        assert_eq!(home.get(path, &[]).await.status, 401);
    }
    assert_eq!(home.get("/api/me", &[("Authorization", &bearer)]).await.status, 200);
    assert!(!home.run(&["people"]).contains("Mallory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_written_anywhere() {
    let home = Home::start("").await;
    let invitation = home.invite(&["Anna"]);
    let answer = home.redeem(&invitation).await;
    let session = answer.cookie().unwrap().split_once('=').unwrap().1.to_owned();
    let token = home.run(&["token", "--name", "dashboard", "--rights", "view"]).trim().to_owned();
    let wrong = "WRONGWRONGWRONGWRONGWRONGWRONGWRONGWRONG123".to_owned();
    home.redeem(&wrong).await;
    home.get("/api/me", &[("Cookie", &format!("callbox={wrong}"))]).await;
    home.get(&format!("/?invite={wrong}"), &[]).await;
    let mut client = home.connect(&[]).await.unwrap();
    for token in [wrong.as_str(), token.as_str()] {
        client.say(json!({ "type": "join", "userId": "dashboard", "token": token })).await;
        client.next().await.unwrap();
    }
    let mut written = vec![("log", home.log().into_bytes())];
    written.push(("people", home.run(&["people", "--json"]).into_bytes()));
    for file in walk(&home.dir.path().join("state")) {
        let name = if file.ends_with("first-link") { continue } else { "state" };
        written.push((name, std::fs::read(file).unwrap()));
    }
    for (what, bytes) in &written {
        for secret in [&invitation, &session, &token, &wrong] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "a secret is in {what}");
        }
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
