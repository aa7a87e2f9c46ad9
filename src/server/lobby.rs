//! Which sockets are open: as many as there are places for, among them those that are no WebSockets, or not yet.
//!
//! Such a socket costs its owner nothing, so one makes way for a newcomer, as strangers do among the WebSockets: of the
//! address that has most, the one that was asked for something longest ago. Other machines have half of the room and each
//! its share of that; so they never keep this machine waiting, where the device itself is, or a proxy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::complaints::{self, Complaints};
use crate::base::lock::lock;
use crate::logic::hub::{Admission, ConnId, Origin, Places, Whose};

/// Where a newcomer can be kept waiting, whoever asked for something so recently is left alone: it may be one of
/// thousands that come at once, and on its way to a WebSocket.
const GRACE: Duration = Duration::from_secs(1);
/// One part in so many of the room is for sockets that are closed and still listen.
const LINGERING: usize = 4;

pub struct Lobby {
    open: Arc<Semaphore>,
    lingering: Arc<Semaphore>,
    guests: Mutex<Guests>,
    complaints: Arc<Complaints>,
}

struct Guests {
    /// From other machines.
    far: Places,
    /// From this one. These are limited by the sockets there are.
    near: Places,
    present: HashMap<ConnId, Present>,
    next: u64,
}

struct Present {
    origin: Origin,
    /// When it came, or was asked for something last.
    since: Instant,
    /// Dropped, it sends the guest away.
    _stay: oneshot::Sender<()>,
}

/// An open socket's place. Whoever holds the socket holds it.
pub struct Place {
    _open: OwnedSemaphorePermit,
    lingering: Arc<Semaphore>,
}

/// A connection as long as it speaks HTTP.
pub struct Guest {
    lobby: Arc<Lobby>,
    id: ConnId,
}

impl Lobby {
    /// For so many WebSockets, and so many sockets beside them.
    pub fn new(web_sockets: usize, others: usize, complaints: Arc<Complaints>) -> Lobby {
        let lingering = others / LINGERING;
        let http = others - lingering;
        Lobby {
            open: Arc::new(Semaphore::new(web_sockets + http)),
            lingering: Arc::new(Semaphore::new(lingering)),
            guests: Mutex::new(Guests {
                far: Places::new((http / 2).max(1)),
                near: Places::new(usize::MAX),
                present: HashMap::new(),
                next: 0,
            }),
            complaints,
        }
    }

    /// Waits for the place of one more socket.
    pub async fn place(&self) -> Place {
        loop {
            let patience = match self.open.available_permits() {
                0 => {
                    let (sent_away, patience) = lock(&self.guests).make_room(Instant::now());
                    if sent_away {
                        self.complaints.full(complaints::Places::Requests, Whose::All);
                    }
                    patience
                }
                _ => GRACE,
            };
            // It is never closed.
            if let Ok(Ok(open)) = timeout(patience, self.open.clone().acquire_owned()).await {
                return Place { _open: open, lingering: self.lingering.clone() };
            }
        }
    }

    /// A newcomer, and what resolves when it has to make way.
    pub fn enter(self: &Arc<Lobby>, origin: Origin, now: Instant) -> (Guest, oneshot::Receiver<()>) {
        let (stay, leave) = oneshot::channel();
        let (id, full) = lock(&self.guests).enter(origin, stay, now);
        if let Some(whose) = full {
            self.complaints.full(complaints::Places::Requests, whose);
        }
        (Guest { lobby: self.clone(), id }, leave)
    }
}

impl Guests {
    /// Enters a newcomer. Returns what was full, and somebody had to make way for it.
    fn enter(&mut self, origin: Origin, stay: oneshot::Sender<()>, now: Instant) -> (ConnId, Option<Whose>) {
        let full = match self.places(origin).admit(origin) {
            Admission::Taken { whose, stranger: Some(oldest) } => {
                // Few addresses that come again and again do not outrun those who need a while.
                let goes = match whose {
                    Whose::All => self.far.oldest_of_most(origin).unwrap_or(oldest),
                    Whose::Share(_) => oldest,
                };
                self.leave(goes);
                Some(whose)
            }
            // All are strangers here, so that there always is one.
            Admission::Taken { stranger: None, .. } | Admission::Free => None,
        };
        self.next += 1;
        let id = ConnId(self.next);
        self.places(origin).take(id, origin, now);
        self.present.insert(id, Present { origin, since: now, _stay: stay });
        (id, full)
    }

    fn asks(&mut self, id: ConnId, now: Instant) {
        let Some(guest) = self.present.get_mut(&id) else { return };
        let (origin, since) = (guest.origin, std::mem::replace(&mut guest.since, now));
        self.places(origin).set_stranger(id, origin, Some(since), Some(now));
    }

    fn leave(&mut self, id: ConnId) {
        let Some(Present { origin, since, .. }) = self.present.remove(&id) else { return };
        self.places(origin).free(id, origin, Some(since));
    }

    /// Sends the oldest away, if its time is over. Returns whether it did, and when to look again.
    fn make_room(&mut self, now: Instant) -> (bool, Duration) {
        let oldest = self.far.oldest().into_iter().chain(self.near.oldest()).min();
        let Some((since, oldest)) = oldest else { return (false, GRACE) };
        let rest = (since + GRACE).saturating_duration_since(now);
        if rest.is_zero() {
            self.leave(oldest);
            return (true, GRACE);
        }
        (false, rest)
    }

    fn places(&mut self, origin: Origin) -> &mut Places {
        match origin {
            Origin::Address(_) => &mut self.far,
            Origin::Own | Origin::Local => &mut self.near,
        }
    }
}

impl Guest {
    /// A request has come.
    pub fn asks(&self) {
        lock(&self.lobby.guests).asks(self.id, Instant::now());
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        lock(&self.lobby.guests).leave(self.id);
    }
}

impl Place {
    /// In exchange for a place among those that linger, if there is one.
    pub fn linger(self) -> Option<OwnedSemaphorePermit> {
        self.lingering.try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Origin {
        Origin::of(text.parse().unwrap())
    }

    fn has_to_leave(leave: &mut oneshot::Receiver<()>) -> bool {
        leave.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_one_that_has_asked_for_nothing_longest_makes_way_within_its_share() {
        // Six may speak HTTP at a time, three of them from other machines, one from each.
        let (lobby, start) = (Arc::new(Lobby::new(10, 8, Arc::default())), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let (a, mut a_leaves) = lobby.enter(address("192.0.2.1"), at(0));
        let (_b, mut b_leaves) = lobby.enter(address("192.0.2.2"), at(1));
        let (_c, mut c_leaves) = lobby.enter(address("192.0.2.3"), at(2));
        lock(&lobby.guests).asks(a.id, at(3));
        let (_d, mut d_leaves) = lobby.enter(address("192.0.2.4"), at(4));
        assert!(has_to_leave(&mut b_leaves), "all places are taken");
        let (_e, _) = lobby.enter(address("192.0.2.4"), at(5));
        assert!(has_to_leave(&mut d_leaves), "its address has no further place");
        assert!(!has_to_leave(&mut a_leaves) && !has_to_leave(&mut c_leaves));
        // This machine has places of its own, and so has the device in it.
        let near: Vec<_> = (0..9).map(|_| lobby.enter(Origin::Local, at(6))).collect();
        assert!(!has_to_leave(&mut a_leaves) && !has_to_leave(&mut c_leaves));
        drop((a, near));
        assert_eq!(lock(&lobby.guests).present.len(), 2);
    }

    #[test]
    fn addresses_that_come_again_and_again_push_out_each_other() {
        // Nine from other machines, two from each.
        let (lobby, start) = (Arc::new(Lobby::new(10, 24, Arc::default())), Instant::now());
        let (_slow, mut slow_leaves) = lobby.enter(address("192.0.2.1"), start);
        let flood: Vec<_> = (0..100)
            .map(|n| lobby.enter(address(&format!("198.51.100.{}", n % 8)), start + Duration::from_millis(n)))
            .collect();
        assert!(!has_to_leave(&mut slow_leaves), "it has one");
        assert_eq!(lock(&lobby.guests).present.len(), 9);
        drop(flood);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_no_longer_than_the_oldest_has_to_be_left_alone() {
        let lobby = Arc::new(Lobby::new(1, 4, Arc::default()));
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(lobby.place().await);
        }
        let (_guest, leave) = lobby.enter(Origin::Local, Instant::now().checked_sub(GRACE).unwrap());
        let place = places.pop().unwrap();
        let goes = async {
            leave.await.unwrap_err();
            assert!(place.linger().is_some(), "it is closed, and no longer among the open ones");
        };
        let ((), _newcomer) =
            tokio::time::timeout(2 * GRACE, async { tokio::join!(goes, lobby.place()) }).await.unwrap();
        assert_eq!(lobby.open.available_permits(), 0, "no more sockets than there are places");
    }
}
