//! What the server refuses and whom it cuts is logged, so that the person who runs it hears of it: one line for each kind in
//! a while at most, since whoever it is may come back for ever.

use std::mem::{Discriminant, discriminant};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::header::{self, HeaderMap};

use super::line::End;
use super::socket::Refused;
use crate::base::lock::lock;
use crate::base::seldom::Seldom;
use crate::logic::hub::{ConnId, Whose};

/// Between two lines on refused requests of a kind, or on clients that are cut with the same code.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two lines that say the same is full.
const FULL_PAUSE: Duration = Duration::from_secs(60);
/// Of what a client sent, a line has so many bytes.
const MAX_QUOTED: usize = 100;

pub struct Complaints {
    refused: Sparing<Refused>,
    cut: Sparing<u16>,
    full: Sparing<(Places, Discriminant<Whose>)>,
}

/// What can be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    Clients,
    Requests,
}

/// Lets one of a kind through in each pause, and counts the others.
struct Sparing<K> {
    pause: Duration,
    kinds: Mutex<Vec<(K, Seldom)>>,
}

impl Default for Complaints {
    fn default() -> Complaints {
        Complaints { refused: Sparing::new(PAUSE), cut: Sparing::new(PAUSE), full: Sparing::new(FULL_PAUSE) }
    }
}

impl Complaints {
    pub fn refused(&self, refused: Refused, headers: &HeaderMap) {
        let Some(further) = self.refused.count(refused, Instant::now()) else { return };
        let quoted = |name| {
            let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            value.unwrap_or_default().chars().take(MAX_QUOTED).collect::<String>()
        };
        let (host, origin) = (quoted(header::HOST), quoted(header::ORIGIN));
        let (code, status) = (refused.name(), refused.status().as_u16());
        let level = match refused {
            Refused::BadHost | Refused::BadOrigin | Refused::ServerFull => log::Level::Warn,
            // Somebody looked at the address in a browser.
            Refused::NotAWebSocket => log::Level::Info,
            // A browser comes back with a session that was taken back.
            Refused::Unauthorized => log::Level::Info,
            Refused::TooManyAttempts | Refused::Unavailable => log::Level::Warn,
        };
        log::log!(level, host, origin, code, status, further; "a WebSocket was refused: {}", refused.message());
    }

    /// A client takes too much, or does not read.
    pub fn cut(&self, client: ConnId, end: End) {
        let Some(further) = self.cut.count(end.code, Instant::now()) else { return };
        log::warn!(connection = client.0, code = end.code, further; "client is cut, and told: {}", end.reason);
    }

    /// A newcomer was refused, or somebody had to make way for it.
    pub fn full(&self, places: Places, whose: Whose) {
        let Some(further) = self.full.count((places, discriminant(&whose)), Instant::now()) else { return };
        let text = match (places, whose) {
            (Places::Clients, Whose::All) => {
                "the server is full: newcomers are refused, or take the places of those who have not joined; [server] \
                 max_connections says how many there are"
            }
            (Places::Clients, Whose::Share(_)) => {
                "one address has its share of the clients, a quarter of [server] max_connections: more from there are \
                 refused, or take the places of those who have not joined"
            }
            (Places::Requests, Whose::All) => "so many connections are open for requests that the oldest are closed",
            (Places::Requests, Whose::Share(_)) => {
                "one address has so many connections open for requests that its oldest are closed"
            }
        };
        match whose {
            Whose::All => log::warn!(further; "{text}"),
            Whose::Share(address) => log::warn!(address:%, further; "{text}"),
        }
    }
}

impl<K: PartialEq> Sparing<K> {
    fn new(pause: Duration) -> Sparing<K> {
        Sparing { pause, kinds: Mutex::default() }
    }

    /// Whether this one is logged, and then how many before it were not.
    fn count(&self, kind: K, now: Instant) -> Option<u64> {
        let mut kinds = lock(&self.kinds);
        if let Some((_, seldom)) = kinds.iter_mut().find(|(known, _)| *known == kind) {
            return seldom.due(now);
        }
        let mut seldom = Seldom::every(self.pause);
        let due = seldom.due(now);
        kinds.push((kind, seldom));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_kind_tells_how_many_there_were() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let at = |millis, refused| complaints.refused.count(refused, start + Duration::from_millis(millis));
        assert_eq!(at(0, Refused::BadHost), Some(0));
        assert_eq!(at(0, Refused::BadOrigin), Some(0));
        assert_eq!(at(10, Refused::BadHost), None);
        assert_eq!(at(999, Refused::BadHost), None);
        assert_eq!(at(1000, Refused::BadHost), Some(2));
        assert_eq!(at(2000, Refused::BadHost), Some(0));
    }

    #[test]
    fn whatever_the_address_a_full_share_is_one_kind() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let share = |address: &str| discriminant(&Whose::Share(address.parse().unwrap()));
        let at = |secs, places, whose| complaints.full.count((places, whose), start + Duration::from_secs(secs));
        assert_eq!(at(0, Places::Clients, share("192.0.2.7")), Some(0));
        assert_eq!(at(1, Places::Clients, share("192.0.2.8")), None);
        assert_eq!(at(1, Places::Clients, discriminant(&Whose::All)), Some(0));
        assert_eq!(at(1, Places::Requests, share("192.0.2.8")), Some(0));
        assert_eq!(at(60, Places::Clients, share("192.0.2.9")), Some(1));
    }
}
