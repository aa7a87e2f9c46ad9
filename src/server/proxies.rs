//! Whom a request comes from, where a proxy speaks for many people. It says so in `X-Forwarded-For`, to which each proxy
//! adds whom it was called by; what stands there from further away than the first that we do not trust is hearsay.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HeaderMap, HeaderName};

use super::listen::Peer;
use crate::base::network::Network;
use crate::logic::hub::Origin;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies whose word counts.
pub struct Proxies(Vec<Network>);

impl Proxies {
    pub fn new(trusted: &[Network]) -> Proxies {
        Proxies(trusted.to_vec())
    }

    /// Of a connection. A proxy's carries requests of many.
    pub fn origin_of(&self, peer: Peer) -> Origin {
        if self.trust(peer.address()) { Origin::Local } else { peer.origin() }
    }

    /// Of a request.
    pub fn origin(&self, peer: Peer, headers: &HeaderMap) -> Origin {
        let (mut address, mut origin) = (peer.address(), peer.origin());
        let values = headers.get_all(FORWARDED_FOR).into_iter().rev();
        // One by one, as the client may have begun with what is no text.
        let mut hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        while self.trust(address) {
            let Some(caller) = hops.next().and_then(caller) else { break };
            (address, origin) = (caller, Origin::of(caller));
        }
        origin
    }

    /// Whether the page that asks was reached over TLS as far as the last proxy, which speaks plain HTTP to us.
    pub fn came_over_tls(&self, peer: Peer, headers: &HeaderMap) -> bool {
        let said = headers.get_all(FORWARDED_PROTO).into_iter().next_back();
        self.trust(peer.address()) && said.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"https"))
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// An address; some proxies add the port.
fn caller(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|hop| hop.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::header::HeaderValue;

    use super::*;

    fn origin(trusted: &[&str], peer: &str, forwarded: &[&str]) -> Origin {
        let trusted: Vec<_> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let value = |value: &&str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let headers = forwarded.iter().map(|text| (FORWARDED_FOR, value(text))).collect();
        Proxies::new(&trusted).origin(Peer::at(peer.parse().unwrap()), &headers)
    }

    fn address(text: &str) -> Origin {
        Origin::of(text.parse().unwrap())
    }

    #[test]
    fn a_client_is_the_last_one_that_no_trusted_proxy_stands_for() {
        let proxy = ["127.0.0.1", "10.0.0.0/8"];
        for (trusted, peer, forwarded, expected) in [
            // Nobody is believed who is not trusted.
            (&[][..], "127.0.0.1", &["192.0.2.7"][..], Origin::Local),
            (&proxy, "192.0.2.9", &["192.0.2.7"], address("192.0.2.9")),
            (&proxy, "127.0.0.1", &["192.0.2.7"], address("192.0.2.7")),
            (&proxy, "::ffff:127.0.0.1", &["192.0.2.7"], address("192.0.2.7")),
            // What the client says of itself stands further left.
            (&proxy, "127.0.0.1", &["127.0.0.1, 198.51.100.1,192.0.2.7"], address("192.0.2.7")),
            (&proxy, "127.0.0.1", &["198.51.100.1", "192.0.2.7, 10.1.2.3"], address("192.0.2.7")),
            (&proxy, "127.0.0.1", &["\u{e9}, 192.0.2.7"], address("192.0.2.7")),
            (&proxy, "10.9.9.9", &["2001:db8:1:2:3::4"], address("2001:db8:1:2::")),
            (&proxy, "127.0.0.1", &["[2001:db8::1]:4711"], address("2001:db8::1")),
            (&proxy, "127.0.0.1", &["[2001:db8::1]"], address("2001:db8::1")),
            (&proxy, "127.0.0.1", &["192.0.2.7:4711"], address("192.0.2.7")),
            // Somebody behind the proxies, beside them, or of whom they say nothing that can be read.
            (&proxy, "127.0.0.1", &["10.1.2.3"], address("10.1.2.3")),
            (&proxy, "127.0.0.1", &[], Origin::Local),
            (&proxy, "127.0.0.1", &["192.0.2.7, unknown"], Origin::Local),
            (&proxy, "10.9.9.9", &[""], address("10.9.9.9")),
        ] {
            assert_eq!(origin(trusted, peer, forwarded), expected, "{trusted:?} {peer} {forwarded:?}");
        }
    }
}
