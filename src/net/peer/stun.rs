//! As much of STUN (RFC 8489) as tells connectivity checks from the rest, and of TURN (RFC 8656) as tells what a datagram
//! carries that goes by way of a relay.

use std::net::{IpAddr, SocketAddr};

pub(super) const BINDING_REQUEST: u16 = 0x0001;
pub(super) const BINDING_SUCCESS: u16 = 0x0101;
pub(super) const SEND: u16 = 0x0016;
const DATA: u16 = 0x0017;
pub(super) const USE_CANDIDATE: u16 = 0x0025;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const PAYLOAD: u16 = 0x0013;

// A message: type, length, magic cookie, transaction ID, attributes.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;

/// Where a datagram goes to or comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Straight(SocketAddr),
    /// By way of the TURN server, in an indication.
    Relayed(SocketAddr, SocketAddr),
    /// By way of the TURN server, on a channel.
    Channel(SocketAddr, u16),
}

impl Path {
    /// Its end on the wire.
    pub(super) fn address(&self) -> SocketAddr {
        match *self {
            Path::Straight(address) | Path::Relayed(address, _) | Path::Channel(address, _) => address,
        }
    }
}

/// The path of a datagram and what it is there: the payload where it is one of TURN that has one.
pub(super) fn unwrapped(address: SocketAddr, datagram: &[u8]) -> (Path, &[u8]) {
    relayed(address, datagram).unwrap_or((Path::Straight(address), datagram))
}

fn relayed(server: SocketAddr, datagram: &[u8]) -> Option<(Path, &[u8])> {
    match (datagram.first()?, kind(datagram)) {
        // RFC 8656, section 12.4: number, length, data, perhaps padding.
        (0x40..=0x4f, _) => {
            let length = usize::from(word(datagram, 2)?);
            Some((Path::Channel(server, word(datagram, 0)?), datagram.get(4..4 + length)?))
        }
        (_, Some(SEND | DATA)) => {
            let peer = xored(attribute(datagram, XOR_PEER_ADDRESS)?, datagram)?;
            Some((Path::Relayed(server, peer), attribute(datagram, PAYLOAD)?))
        }
        _ => None,
    }
}

/// An address in an attribute of this message (RFC 8489, section 14.2).
fn xored(value: &[u8], message: &[u8]) -> Option<SocketAddr> {
    let mask = message.get(4..HEADER)?;
    let bytes: Vec<u8> = value.get(4..)?.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let ip = match value.get(1)? {
        1 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        2 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, word(value, 2)? ^ word(mask, 0)?))
}

/// Whether a datagram may be STUN (RFC 7983), which asks for consent rather than using it.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}

/// The type of a STUN message; `None`: it is none.
pub(super) fn kind(datagram: &[u8]) -> Option<u16> {
    let cookie = datagram.get(4..8)?;
    (cookie == COOKIE).then(|| word(datagram, 0)).flatten()
}

pub(super) fn transaction(message: &[u8]) -> Option<&[u8]> {
    message.get(8..HEADER)
}

pub(super) fn has_attribute(message: &[u8], wanted: u16) -> bool {
    attribute(message, wanted).is_some()
}

fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut at = HEADER;
    loop {
        let (kind, length) = (word(message, at)?, usize::from(word(message, at + 2)?));
        if kind == wanted {
            return message.get(at + 4..at + 4 + length);
        }
        at += 4 + length.next_multiple_of(4);
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn message(kind: u16, transaction: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let length = (body.len() as u16).to_be_bytes();
        [&kind.to_be_bytes(), &length, &COOKIE[..], &[transaction; 12], &body].concat()
    }

    pub(in super::super) fn in_channel(number: u16, data: &[u8]) -> Vec<u8> {
        let padding = data.len().next_multiple_of(4) - data.len();
        [&number.to_be_bytes(), &(data.len() as u16).to_be_bytes(), data, &[0; 3][..padding]].concat()
    }

    pub(in super::super) fn in_indication(kind: u16, peer: SocketAddr, data: &[u8]) -> Vec<u8> {
        let (family, ip) = match peer.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mask = [&COOKIE[..], &[7; 12]].concat();
        let xored = |bytes: &[u8]| bytes.iter().zip(&mask).map(|(byte, mask)| byte ^ mask).collect::<Vec<_>>();
        let address = [&[0, family][..], &xored(&peer.port().to_be_bytes()), &xored(&ip)].concat();
        message(kind, 7, &[(XOR_PEER_ADDRESS, &address), (PAYLOAD, data)])
    }

    #[test]
    fn what_goes_by_way_of_a_relay_is_taken_out() {
        let server = "192.0.2.1:3478".parse().unwrap();
        let check = message(BINDING_REQUEST, 1, &[(6, b"a:bc")]);
        assert_eq!(unwrapped(server, &check), (Path::Straight(server), &check[..]));
        for inner in [&check[..], &[0x80, 1, 2]] {
            let datagram = in_channel(0x4001, inner);
            assert_eq!(unwrapped(server, &datagram), (Path::Channel(server, 0x4001), inner));
            for peer in ["198.51.100.7:49152", "[2001:db8::7]:9"].map(|peer| peer.parse().unwrap()) {
                for kind in [SEND, DATA] {
                    let datagram = in_indication(kind, peer, inner);
                    assert_eq!(unwrapped(server, &datagram), (Path::Relayed(server, peer), inner));
                }
            }
        }
        let refresh = message(0x0004, 1, &[(13, &[0; 4])]);
        assert_eq!(unwrapped(server, &refresh), (Path::Straight(server), &refresh[..]));
    }

    #[test]
    fn broken_messages_are_nothing() {
        let server = "192.0.2.1:3478".parse().unwrap();
        let whole = message(BINDING_REQUEST, 1, &[(6, b"a:b"), (USE_CANDIDATE, b"")]);
        assert_eq!(kind(&whole), Some(BINDING_REQUEST));
        for length in 0..whole.len() {
            let cut = &whole[..length];
            assert_eq!(kind(cut).is_some(), length >= 8);
            assert!(!has_attribute(cut, USE_CANDIDATE));
        }
        for whole in [in_channel(0x4001, &whole), in_indication(SEND, server, &whole)] {
            for length in 0..whole.len() {
                assert_eq!(unwrapped(server, &whole[..length]), (Path::Straight(server), &whole[..length]));
            }
        }
    }
}
