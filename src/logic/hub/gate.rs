//! Who may be connected: so many in all, so many from one address, and nobody for long who does not join.
//!
//! A connection is cheap to open, so places are worth something only where strangers cannot keep them: whoever has not
//! joined gives way to newcomers, the oldest first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use super::ConnId;
use crate::protocol::JOIN_TIMEOUT;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The device that this server is part of. It has a place beside all others.
    Own,
    /// This machine. A proxy that speaks for many people may be there, so there is no share to keep to.
    Local,
    /// An address; of IPv6 the network, since a single machine has all addresses in it.
    Address(IpAddr),
}

impl Origin {
    pub fn of(address: IpAddr) -> Origin {
        match address.to_canonical() {
            address if address.is_loopback() => Origin::Local,
            IpAddr::V4(address) => Origin::Address(address.into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Origin::Address(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }
}

/// Whether a newcomer finds a place.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Free,
    /// Only if this stranger goes, where there is one.
    Taken {
        whose: Whose,
        stranger: Option<ConnId>,
    },
}

/// Whose places are all taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    All,
    Share(IpAddr),
}

/// The places of one server.
pub struct Places {
    max: usize,
    taken: usize,
    shares: HashMap<IpAddr, Share>,
    strangers: BTreeSet<(Instant, ConnId)>,
}

/// What one address has.
#[derive(Default)]
struct Share {
    taken: usize,
    strangers: BTreeSet<(Instant, ConnId)>,
}

/// One address may take one place in so many.
const SHARE: usize = 4;

impl Places {
    pub fn new(max: usize) -> Places {
        Places { max, taken: 0, shares: HashMap::new(), strangers: BTreeSet::new() }
    }

    /// For a newcomer that has no place yet.
    pub fn admit(&self, origin: Origin) -> Admission {
        let taken = |whose, strangers: &BTreeSet<(Instant, ConnId)>| Admission::Taken {
            whose,
            stranger: strangers.first().map(|&(_, stranger)| stranger),
        };
        match origin {
            Origin::Own => return Admission::Free,
            Origin::Local => {}
            Origin::Address(address) => {
                let share = self.shares.get(&address).filter(|share| share.taken >= (self.max / SHARE).max(1));
                if let Some(share) = share {
                    return taken(Whose::Share(address), &share.strangers);
                }
            }
        }
        if self.taken < self.max { Admission::Free } else { taken(Whose::All, &self.strangers) }
    }

    /// Gives a place to a connection, which is a stranger since now.
    pub fn take(&mut self, conn: ConnId, origin: Origin, now: Instant) {
        if origin != Origin::Own {
            self.taken += 1;
        }
        if let Origin::Address(address) = origin {
            self.shares.entry(address).or_default().taken += 1;
        }
        self.set_stranger(conn, origin, None, Some(now));
    }

    /// Frees the place of a connection that was a stranger since then, or none.
    pub fn free(&mut self, conn: ConnId, origin: Origin, since: Option<Instant>) {
        self.set_stranger(conn, origin, since, None);
        if origin != Origin::Own {
            self.taken -= 1;
        }
        if let Origin::Address(address) = origin
            && let Some(share) = self.shares.get_mut(&address)
        {
            share.taken -= 1;
            if share.taken == 0 {
                self.shares.remove(&address);
            }
        }
    }

    /// Since when a connection is a stranger, or that it is none. The device's own is never one for others.
    pub fn set_stranger(&mut self, conn: ConnId, origin: Origin, was: Option<Instant>, is: Option<Instant>) {
        if origin == Origin::Own {
            return;
        }
        let share = match origin {
            Origin::Address(address) => self.shares.get_mut(&address).map(|share| &mut share.strangers),
            Origin::Own | Origin::Local => None,
        };
        for strangers in share.into_iter().chain([&mut self.strangers]) {
            if let Some(was) = was {
                strangers.remove(&(was, conn));
            }
            if let Some(is) = is {
                strangers.insert((is, conn));
            }
        }
    }

    /// The one who has been a stranger for longest, and since when.
    pub fn oldest(&self) -> Option<(Instant, ConnId)> {
        self.strangers.first().copied()
    }

    /// The one who has been a stranger for longest at the address that would have most of them with the newcomer. Looks at
    /// all addresses.
    pub fn oldest_of_most(&self, newcomer: Origin) -> Option<ConnId> {
        let strangers = |(address, share): (&IpAddr, &Share)| {
            let &(since, oldest) = share.strangers.first()?;
            let comes = usize::from(newcomer == Origin::Address(*address));
            Some((share.strangers.len() + comes, Reverse((since, oldest))))
        };
        self.shares.iter().filter_map(strangers).max().map(|(_, Reverse((_, oldest)))| oldest)
    }

    /// A stranger whose time is over.
    pub(super) fn overdue(&self, now: Instant) -> Option<ConnId> {
        let (since, conn) = self.oldest()?;
        (since + JOIN_TIMEOUT <= now).then_some(conn)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.oldest().map(|(since, _)| since + JOIN_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Origin {
        Origin::of(text.parse().unwrap())
    }

    #[test]
    fn an_address_is_a_machine_or_its_network() {
        assert_eq!(address("127.0.0.9"), Origin::Local);
        assert_eq!(address("::1"), Origin::Local);
        assert_eq!(address("::ffff:127.0.0.1"), Origin::Local);
        assert_eq!(address("::ffff:192.0.2.7"), address("192.0.2.7"));
        assert_eq!(address("2001:db8:1:2:3:4:5:6"), address("2001:db8:1:2::9"));
        assert_ne!(address("2001:db8:1:2::9"), address("2001:db8:1:3::9"));
    }

    #[test]
    fn one_address_gets_a_quarter_and_makes_room_of_its_own() {
        let (mut places, now, hog) = (Places::new(8), Instant::now(), address("192.0.2.7"));
        for conn in [1, 2] {
            assert_eq!(places.admit(hog), Admission::Free);
            places.take(ConnId(conn), hog, now);
        }
        let share = Whose::Share("192.0.2.7".parse().unwrap());
        assert_eq!(places.admit(hog), Admission::Taken { whose: share, stranger: Some(ConnId(1)) });
        places.set_stranger(ConnId(1), hog, Some(now), None);
        places.set_stranger(ConnId(2), hog, Some(now), None);
        assert_eq!(places.admit(hog), Admission::Taken { whose: share, stranger: None });
        assert_eq!(places.admit(address("192.0.2.8")), Admission::Free);
        places.free(ConnId(2), hog, None);
        assert_eq!(places.admit(hog), Admission::Free);
    }
}
