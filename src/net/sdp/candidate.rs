//! Candidates (RFC 8839, section 5.1): which of them can be used, each by itself.

use std::net::IpAddr;

/// Why a candidate is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is not of the form `candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE`.
    Malformed,
    /// What is right, but of no use here: TCP, a second component, an address with a zone, a name.
    Unsupported,
}

/// The candidate in the plainest form, without what extends it.
pub fn usable(line: &str) -> Result<String, Unusable> {
    let line = line.strip_prefix("candidate:").unwrap_or(line);
    let fields: Vec<&str> = line.split_ascii_whitespace().take(12).collect();
    let [foundation, component, transport, priority, address, port, "typ", kind, more @ ..] = &fields[..] else {
        return Err(Unusable::Malformed);
    };
    let (Ok(component), Ok(priority), Ok(port)) =
        (component.parse::<u16>(), priority.parse::<u32>(), port.parse::<u16>())
    else {
        return Err(Unusable::Malformed);
    };
    // The network type decides what is done with it: no TCP connections on behalf of others. One component is all
    // there is where RTP and RTCP share it.
    if !transport.eq_ignore_ascii_case("udp") || component != 1 || port == 0 || !is_reachable(address) {
        return Err(Unusable::Unsupported);
    }
    if !["host", "srflx", "prflx", "relay"].contains(kind) {
        return Err(Unusable::Unsupported);
    }
    let base = match more {
        ["raddr", base, "rport", port, ..] if base.parse::<IpAddr>().is_ok() && port.parse::<u16>().is_ok() => {
            format!(" raddr {base} rport {port}")
        }
        _ => String::new(),
    };
    Ok(format!("candidate:{foundation} {component} udp {priority} {address} {port} typ {kind}{base}"))
}

/// Addresses of one host, and the names that browsers put in their place (`.local`). An address with a zone (`fe80::1%21`) means
/// something on its own machine only.
fn is_reachable(address: &str) -> bool {
    match address.parse::<IpAddr>() {
        Ok(address) => match address.to_canonical() {
            IpAddr::V4(v4) => !matches!(v4.octets(), [0, ..]) && !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
        },
        Err(_) => {
            let name = address.to_ascii_lowercase();
            name.strip_suffix(".local").is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_can_be_reached() {
        for (line, plain) in [
            (
                "candidate:1 1 UDP 2113937151 192.0.2.5 50000 typ host generation 0 ufrag abcd network-cost 50",
                "candidate:1 1 udp 2113937151 192.0.2.5 50000 typ host",
            ),
            (
                "candidate:2 1 udp 5 198.51.100.7 9 typ srflx raddr 0.0.0.0 rport 0 generation 0",
                "candidate:2 1 udp 5 198.51.100.7 9 typ srflx raddr 0.0.0.0 rport 0",
            ),
            ("3 1 udp 5 2001:db8::7 9 typ relay raddr é rport 1", "candidate:3 1 udp 5 2001:db8::7 9 typ relay"),
            ("candidate:a 1 udp 5 4a1b-9f3e.local 9 typ host", "candidate:a 1 udp 5 4a1b-9f3e.local 9 typ host"),
        ] {
            assert_eq!(usable(line).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn tells_the_odd_from_the_wrong() {
        for line in [
            "candidate:2441 1 udp 659136 fe80::54a9:d238:b2ee:ceb%21 60720 typ host generation 0",
            "candidate:1 2 udp 1 192.0.2.5 9 typ host",
            "candidate:1 1 tcp 1 192.0.2.5 9 typ host tcptype active",
            "candidate:1 1 ssltcp 1 192.0.2.5 443 typ host",
            "candidate:1 1 udp 1 :: 9 typ host",
            "candidate:1 1 udp 1 0.0.0.0 9 typ host",
            "candidate:1 1 udp 1 0.1.2.3 9 typ host",
            "candidate:1 1 udp 1 255.255.255.255 9 typ host",
            "candidate:1 1 udp 1 224.0.0.251 5353 typ host",
            "candidate:1 1 udp 1 ::ffff:239.1.2.3 9 typ host",
            "candidate:1 1 udp 1 ff02::fb 5353 typ host",
            "candidate:1 1 udp 1 192.0.2.5 0 typ host",
            "candidate:1 1 udp 1 camera.example 9 typ host",
            "candidate:1 1 udp 1 .local 9 typ host",
            "candidate:1 1 udp 1 192.0.2.5 9 typ token",
        ] {
            assert_eq!(usable(line), Err(Unusable::Unsupported), "{line}");
        }
        for line in [
            "",
            "candidate:",
            "nonsense",
            "candidate:1 1 udp 1 192.0.2.5 9",
            "candidate:1 1 udp 1 192.0.2.5 99999 typ host",
            "candidate:1 1 udp 99999999999 192.0.2.5 9 typ host",
            "candidate:1 x udp 1 192.0.2.5 9 typ host",
            "candidate:1 1 udp é é é é é",
        ] {
            assert_eq!(usable(line), Err(Unusable::Malformed), "{line}");
        }
    }
}
