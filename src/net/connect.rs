//! Connecting to a host that has several addresses, of which some may be dead: Happy Eyeballs (RFC 8305). A network that
//! announces IPv6 and does not carry it costs a quarter of a second then, and not the connection.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::base::lock::lock;

/// How long an address may take before the next one is tried beside it (RFC 8305, section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The same for an address that took the connection and then says nothing: a handshake is several trips, and a second one
/// beside it is work for the server.
pub const HANDSHAKE_DELAY: Duration = Duration::from_secs(3);
/// Addresses that are tried; further ones of the same host are left out.
const MAX_ADDRESSES: usize = 16;

/// Alternates between the families, beginning with the first address's (RFC 8305, section 4); otherwise the order stays.
pub fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    let first = distinct.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = distinct.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            ordered.truncate(MAX_ADDRESSES);
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// Why no address could be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed<C, H> {
    /// None took the connection: the first one's error. `None`: there was no address.
    Connect(Option<(SocketAddr, C)>),
    /// The first one that took it, and what came of it then.
    Handshake(SocketAddr, H),
}

/// Tries the addresses in their order, each begun when those before it have failed or taken too long, and returns the
/// first on which both steps are done; the others are dropped. One handshake at a time, as long as it makes haste. Not
/// bounded in time as a whole.
pub async fn first<S, T, C, H, Connecting, Shaking>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> Connecting,
    shake: impl Fn(SocketAddr, S) -> Shaking,
) -> Result<(SocketAddr, T), Failed<C, H>>
where
    Connecting: Future<Output = Result<S, C>>,
    Shaking: Future<Output = Result<T, H>>,
{
    enum Step<S, T, C, H> {
        Connected(SocketAddr, Result<S, C>),
        Shaken(SocketAddr, Result<T, H>),
    }
    let (turn, since) = (Semaphore::new(1), Mutex::new(Instant::now()));
    let (connect, shake, turn, since) = (&connect, &shake, &turn, &since);
    let mut connects = FuturesUnordered::new();
    let mut shakes = FuturesUnordered::new();
    let mut waiting = addresses.iter().copied();
    let (mut refused, mut broken) = (None, None);
    let mut next = Some(Instant::now());
    loop {
        let step = tokio::select! {
            Some((address, result)) = connects.next() => Step::Connected(address, result),
            Some((address, result)) = shakes.next() => Step::Shaken(address, result),
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                next = waiting.next().map(|address| {
                    connects.push(async move { (address, connect(address).await) });
                    Instant::now() + if shakes.is_empty() { ATTEMPT_DELAY } else { HANDSHAKE_DELAY }
                });
                continue;
            }
            else => break,
        };
        match step {
            Step::Connected(address, Ok(stream)) => {
                shakes.push(async move {
                    // One that dawdles is not waited for.
                    let patience = *lock(since) + HANDSHAKE_DELAY;
                    let permit = timeout_at(patience, turn.acquire()).await;
                    *lock(since) = Instant::now();
                    let result = shake(address, stream).await;
                    drop(permit);
                    (address, result)
                });
                next = next.map(|_| Instant::now() + HANDSHAKE_DELAY);
            }
            Step::Shaken(address, Ok(connection)) => return Ok((address, connection)),
            Step::Connected(address, Err(error)) => {
                refused.get_or_insert((address, error));
                next = next.map(|_| Instant::now());
            }
            Step::Shaken(address, Err(error)) => {
                broken.get_or_insert((address, error));
                next = next.map(|_| Instant::now());
            }
        }
    }
    Err(match broken {
        Some((address, error)) => Failed::Handshake(address, error),
        None => Failed::Connect(refused),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use tokio::time::timeout;

    use super::*;

    fn address(n: u8, v6: bool) -> SocketAddr {
        let text = if v6 { format!("[2001:db8::{n}]:443") } else { format!("192.0.2.{n}:443") };
        text.parse().unwrap()
    }

    fn v4(n: u8) -> SocketAddr {
        address(n, false)
    }

    fn v6(n: u8) -> SocketAddr {
        address(n, true)
    }

    /// What an address does: refuse or accept after a time, or swallow everything; then the same for the handshake.
    #[derive(Clone, Copy)]
    enum Does {
        Refuse(u64),
        Accept(u64),
        Swallow,
    }

    use Does::{Accept, Refuse, Swallow};

    async fn play(does: Does) -> Result<(), &'static str> {
        match does {
            Refuse(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Err("refused")
            }
            Accept(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(())
            }
            Swallow => pending().await,
        }
    }

    struct Outcome {
        result: Result<SocketAddr, Failed<&'static str, &'static str>>,
        took: Duration,
        tried: Vec<(SocketAddr, Duration)>,
        shook: Vec<SocketAddr>,
    }

    async fn outcome(hosts: &[(SocketAddr, Does, Does)]) -> Outcome {
        let start = Instant::now();
        let (tried, shook) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let host = |address| hosts.iter().find(|(a, ..)| *a == address).unwrap();
        let connect = |address| {
            tried.borrow_mut().push((address, start.elapsed()));
            play(host(address).1)
        };
        let shake = |address, ()| {
            shook.borrow_mut().push(address);
            play(host(address).2)
        };
        let addresses: Vec<_> = hosts.iter().map(|(address, ..)| *address).collect();
        let result = timeout(Duration::from_secs(60), first(&addresses, connect, shake)).await;
        let result = result.unwrap_or(Err(Failed::Connect(None))).map(|(address, ())| address);
        Outcome { result, took: start.elapsed(), tried: tried.into_inner(), shook: shook.into_inner() }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn families_take_turns_beginning_with_the_preferred_one() {
        let all = [v6(1), v6(2), v6(3), v4(1), v6(1), v4(2)];
        assert_eq!(interleave(all), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        assert_eq!(interleave([v4(1), v6(1), v6(2)]), [v4(1), v6(1), v6(2)]);
        assert!(interleave([]).is_empty());
        assert_eq!(interleave((0..200).map(v4)).len(), MAX_ADDRESSES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_route_costs_a_quarter_of_a_second() {
        let race = outcome(&[(v6(1), Swallow, Accept(0)), (v4(1), Accept(20), Accept(30))]).await;
        assert_eq!((race.result, race.took), (Ok(v4(1)), ms(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_first_address_is_the_only_one_tried() {
        let race = outcome(&[(v6(1), Accept(200), Accept(900)), (v4(1), Accept(1), Accept(1))]).await;
        assert_eq!((race.result, race.tried), (Ok(v6(1)), vec![(v6(1), ms(0))]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_makes_place_for_the_next_at_once() {
        let race =
            outcome(&[(v6(1), Refuse(5), Swallow), (v6(2), Refuse(5), Swallow), (v4(1), Accept(5), Accept(5))]).await;
        assert_eq!((race.result, race.took), (Ok(v4(1)), ms(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_that_was_begun_first_may_still_win() {
        let race = outcome(&[(v6(1), Accept(300), Accept(10)), (v4(1), Accept(500), Accept(0))]).await;
        assert_eq!((race.result, race.took), (Ok(v6(1)), ms(310)));
        assert_eq!(race.tried, [(v6(1), ms(0)), (v4(1), ms(250))]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_connects_and_then_says_nothing_does_not_starve_the_others() {
        let race = outcome(&[(v4(1), Accept(1), Swallow), (v6(1), Accept(400), Accept(10))]).await;
        assert_eq!(race.result, Ok(v6(1)));
        assert!(race.took < ms(4_000), "{:?}", race.took);
        // Begun before the other's silence, and connected during it: its handshake waits its turn, and comes.
        let race = outcome(&[(v6(1), Accept(400), Accept(10)), (v4(1), Accept(1), Swallow)]).await;
        assert_eq!(race.result, Ok(v6(1)));
        assert!(race.took < ms(4_000), "{:?}", race.took);
    }

    #[tokio::test(start_paused = true)]
    async fn one_handshake_at_a_time() {
        let race = outcome(&[(v6(1), Accept(260), Accept(500)), (v4(1), Accept(20), Accept(500))]).await;
        assert_eq!((race.result, race.shook), (Ok(v6(1)), vec![v6(1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn tells_how_far_it_got() {
        let refused = outcome(&[(v6(1), Refuse(700), Swallow), (v4(1), Refuse(1), Swallow)]).await;
        assert_eq!(refused.result, Err(Failed::Connect(Some((v4(1), "refused")))));
        let broken = outcome(&[(v6(1), Refuse(1), Swallow), (v4(1), Accept(1), Refuse(1))]).await;
        assert_eq!(broken.result, Err(Failed::Handshake(v4(1), "refused")));
        assert_eq!(outcome(&[]).await.result, Err(Failed::Connect(None)));
    }

    /// The real thing: a socket whose backlog is full swallows what comes, as a dead route does.
    #[tokio::test]
    async fn gets_past_an_address_that_swallows_everything() {
        let hole = tokio::net::TcpSocket::new_v4().unwrap();
        hole.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let swallows = hole.local_addr().unwrap();
        let _hole = hole.listen(0).unwrap();
        let mut stuck = Vec::new();
        while let Ok(stream) = timeout(ms(200), tokio::net::TcpStream::connect(swallows)).await {
            stuck.push(stream.unwrap());
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let shake = async |_, stream| Ok::<_, ()>(stream);
        let connected = timeout(
            Duration::from_secs(20),
            first(&[swallows, good], tokio::net::TcpStream::connect::<SocketAddr>, shake),
        )
        .await;
        let (address, _) = connected.expect("in time").unwrap();
        assert_eq!(address, good);
    }
}
