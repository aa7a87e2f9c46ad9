//! Too much of everything: guesses, messages, connections. Whoever else is there hardly notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use callbox::protocol::{MAX_RATE_LIMITED, MESSAGE_BURST};
use callbox::store::memory::Memory;
use callbox::store::{Secret, Sqlite, Timestamp};
use serde_json::json;
use tokio::task::JoinSet;

use crate::home::{Client, Home, Session};

/// Generous: the machine of the tests does other things as well.
const SOON: Duration = Duration::from_secs(2);

/// Times of one thing that was done again and again.
struct Times(Vec<Duration>);

impl Times {
    async fn of(count: usize, pause: Duration, mut once: impl AsyncFnMut()) -> Times {
        let mut times = Vec::new();
        for _ in 0..count {
            let start = Instant::now();
            once().await;
            times.push(start.elapsed());
            tokio::time::sleep(pause).await;
        }
        times.sort();
        Times(times)
    }

    fn p99(&self) -> Duration {
        self.0[(self.0.len() * 99).div_ceil(100) - 1]
    }
}

async fn round_trip(client: &mut Client) {
    client.say(json!({ "type": "ping", "nonce": "1" })).await;
    client.hear("pong").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_guesses_find_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut memory = Sqlite::open(dir.path()).unwrap().memory;
    let now = Timestamp(1_800_000_000);
    for n in 0..20 {
        memory
            .add_token(&format!("program {n}"), &Default::default(), None, Secret::random().unwrap().hash(), now)
            .unwrap();
    }
    let before = memory.version();
    for _ in 0..100_000 {
        let guess = Secret::random().unwrap().hash();
        assert_eq!(memory.session(guess, now).unwrap().map(|login| login.person.name), None);
    }
    // A link is looked up in another table, and costs a transaction.
    for _ in 0..5_000 {
        let [guess, session] = [(); 2].map(|()| Secret::random().unwrap().hash());
        assert!(memory.redeem(guess, "guesser", session, None, now).is_err());
    }
    assert_eq!(memory.version(), before, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow_and_its_neighbours_are_not() {
    const GUESSERS: usize = 200;
    let home = Arc::new(Home::quiet("").await);
    let anna = home.enter(&["Anna"]).await;
    let mut client = home.join(&anna).await;
    let me = async |home: &Home, anna: &Session| {
        assert_eq!(home.get("/api/me", &[("Cookie", &anna.cookie)]).await.status, 200);
    };
    let calm = Times::of(100, Duration::ZERO, async || me(&home, &anna).await).await;

    let (stop, slowed, quick) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut guessers = JoinSet::new();
    let began = Instant::now();
    for guesser in 0..GUESSERS {
        let (home, stop, slowed, quick) = (home.clone(), stop.clone(), slowed.clone(), quick.clone());
        guessers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let secret = Secret::random().unwrap().text();
                let status = match guesser % 2 {
                    0 => home.redeem(&secret).await.status,
                    _ => home.get("/api/me", &[("Cookie", &format!("callbox={secret}"))]).await.status,
                };
                assert!([401, 403, 429].contains(&status), "{status}");
                if status == 429 { &slowed } else { &quick }.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let flooded = Times::of(100, Duration::from_millis(20), async || me(&home, &anna).await).await;
    let signaling = Times::of(100, Duration::from_millis(5), async || round_trip(&mut client).await).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = guessers.join_next().await {
        ended.unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    let (slowed, quick) = (slowed.load(Ordering::Relaxed), quick.load(Ordering::Relaxed));
    println!(
        "{} guesses in {seconds:.1} s, {quick} of them answered at once; p99 of somebody invited {:?}, before {:?}; of a message {:?}",
        slowed + quick,
        flooded.p99(),
        calm.p99(),
        signaling.p99(),
    );
    // A few at first, and one each six seconds.
    assert!(quick <= 10 + seconds as usize / 6 + 1, "{quick}");
    // Each of the others took a second and more.
    assert!(slowed as f64 <= GUESSERS as f64 * (seconds + 1.0), "{slowed}");
    assert!(flooded.p99() < SOON && signaling.p99() < SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flood_of_messages_is_nobody_elses_trouble() {
    let home = Arc::new(Home::quiet("").await);
    let (anna, mallory) = (home.enter(&["Anna"]).await, home.enter(&["Mallory"]).await);
    let mut client = home.join(&anna).await;
    let target = anna.user.clone();
    let (stop, sent, cut) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let flood = {
        let (home, stop, sent, cut) = (home.clone(), stop.clone(), sent.clone(), cut.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // Whoever is cut comes back at once.
                let mut flooder = home.join(&mallory).await;
                let text = json!({ "type": "ringing", "targetId": target }).to_string();
                while !stop.load(Ordering::Relaxed) {
                    if flooder.pour(&text, 500).await.is_err() {
                        cut.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    sent.fetch_add(500, Ordering::Relaxed);
                }
            }
        })
    };
    let began = Instant::now();
    let trips = Times::of(200, Duration::from_millis(10), async || round_trip(&mut client).await).await;
    stop.store(true, Ordering::Relaxed);
    flood.await.unwrap();
    let rate = sent.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let cut = cut.load(Ordering::Relaxed);
    println!("{rate:.0} messages a second from one, cut {cut} times; p99 of another {:?}", trips.p99());
    assert!(cut >= 1 && sent.load(Ordering::Relaxed) > 2 * (MESSAGE_BURST + MAX_RATE_LIMITED) as usize);
    assert!(trips.p99() < SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_with_two_thousand_connections_keeps_nobody_out() {
    const MOST: usize = 1000;
    more_descriptors();
    // Addresses are told apart behind a proxy, as on a network.
    let home = Arc::new(Home::quiet(&format!("max_connections = {MOST}\ntrusted_proxies = ['127.0.0.0/8']\n")).await);
    let anna = home.enter(&["Anna"]).await;
    let (mut kept, mut refused) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut some = JoinSet::new();
        for _ in 0..100 {
            let home = home.clone();
            some.spawn(async move { home.connect(&[("X-Forwarded-For", "192.0.2.7")]).await });
        }
        while let Some(connection) = some.join_next().await {
            match connection.unwrap() {
                Ok(connection) => kept.push(connection),
                Err(_) => refused += 1,
            }
        }
    }
    let joins = Times::of(20, Duration::ZERO, async || {
        let headers = [("Cookie", anna.cookie.as_str()), ("X-Forwarded-For", "192.0.2.8")];
        let mut client = home.connect(&headers).await.expect("a place");
        client.say(json!({ "type": "join", "userId": anna.user })).await;
        client.hear("joined").await;
    })
    .await;
    // Of their own they have a quarter.
    let mut open = 0;
    for connection in &mut kept {
        open += usize::from(connection.is_open().await);
    }
    println!(
        "2000 connections: {refused} refused, {open} open at the end; p99 of joining from elsewhere {:?}",
        joins.p99()
    );
    assert!(open <= MOST / 4, "{open}");
    assert!(joins.p99() < SOON);
}

/// Two thousand sockets and more, where the system lets us.
fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
