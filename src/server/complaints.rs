//! What the HTTP side refuses is logged, so that the person who runs the server hears of it: one line a second for each
//! kind at most, since whoever is refused may go on for ever.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::header::{self, HeaderMap};

use super::socket::Refused;
use crate::base::lock::lock;

/// Between two lines of a kind.
const PAUSE: Duration = Duration::from_secs(1);
/// Of what a client sent, a line has so many bytes.
const MAX_QUOTED: usize = 100;

#[derive(Default)]
pub struct Complaints {
    kinds: Mutex<Vec<Kind>>,
}

struct Kind {
    refused: Refused,
    logged: Instant,
    /// Refused since then.
    silent: u64,
}

impl Complaints {
    pub fn refused(&self, refused: Refused, headers: &HeaderMap) {
        let Some(further) = self.count(refused, Instant::now()) else { return };
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
        };
        log::log!(level, host, origin, code, status, further; "a WebSocket was refused: {}", refused.message());
    }

    /// Whether this refusal is logged, and then how many before it were not.
    fn count(&self, refused: Refused, now: Instant) -> Option<u64> {
        let mut kinds = lock(&self.kinds);
        let Some(kind) = kinds.iter_mut().find(|kind| kind.refused == refused) else {
            kinds.push(Kind { refused, logged: now, silent: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(kind.logged) < PAUSE {
            kind.silent += 1;
            return None;
        }
        kind.logged = now;
        Some(std::mem::take(&mut kind.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_kind_tells_how_many_there_were() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let at = |millis, refused| complaints.count(refused, start + Duration::from_millis(millis));
        assert_eq!(at(0, Refused::BadHost), Some(0));
        assert_eq!(at(0, Refused::BadOrigin), Some(0));
        assert_eq!(at(10, Refused::BadHost), None);
        assert_eq!(at(999, Refused::BadHost), None);
        assert_eq!(at(1000, Refused::BadHost), Some(2));
        assert_eq!(at(2000, Refused::BadHost), Some(0));
    }
}
