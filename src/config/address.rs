//! Addresses as people write them: where to listen, where a signaling server is, and the STUN and TURN servers that every
//! caller's browser is handed, so that what a browser refuses is refused here.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address to listen on.
pub(super) fn listen(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// `ws://` or `wss://`, a host, perhaps a port and a path; scheme and host in small letters, as their readers expect them.
pub(super) fn signaling_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let known = scheme == "ws" || scheme == "wss";
    // A password in an address would end up in logs; token_file is the place.
    let good = known && plain(rest) && host_and_port(authority).is_ok();
    good.then(|| format!("{scheme}://{}{path}", authority.to_ascii_lowercase()))
}

/// Whether an address from [`signaling_url`] goes to this machine.
pub(super) fn is_local_url(url: &str) -> bool {
    let authority = url.split("://").nth(1).unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// An address of [`ice_url`] with its scheme in small letters, as browsers want it.
pub(super) fn with_small_scheme(url: &str) -> String {
    match url.split_once(':') {
        Some((scheme, rest)) => format!("{}:{rest}", scheme.to_ascii_lowercase()),
        None => url.to_owned(),
    }
}

/// A STUN or TURN address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IceUrl {
    Stun,
    Turn { udp: bool },
}

/// Longest user name of a TURN server in bytes that Chromium takes (RFC 8489, section 14.3 has 508 and more).
pub(super) const MAX_TURN_USERNAME: usize = 509;

/// Reads an address of RFC 7064 or RFC 7065, or says why a browser's `RTCPeerConnection` would not take it: with one that
/// it does not take, no call of that page gets anywhere.
pub(super) fn ice_url(text: &str) -> Result<IceUrl, &'static str> {
    if !plain(text) {
        return Err("it holds blanks");
    }
    let (scheme, rest) = text.split_once(':').ok_or("it does not say which kind of server this is")?;
    let scheme = scheme.to_ascii_lowercase();
    if !["stun", "turn", "turns"].contains(&scheme.as_str()) {
        return Err("it does not begin with stun:, turn: or turns:");
    }
    if rest.starts_with("//") {
        return Err("there is no // in such an address");
    }
    let (authority, query) = rest.split_once('?').map_or((rest, None), |(authority, query)| (authority, Some(query)));
    host_and_port(authority)?;
    let udp = match query {
        Some(_) if scheme == "stun" => return Err("nothing can stand behind a stun: address"),
        None | Some("transport=udp") => true,
        Some("transport=tcp") => false,
        Some(_) => return Err("behind the ? stands transport=udp or transport=tcp"),
    };
    Ok(match scheme.as_str() {
        "stun" => IceUrl::Stun,
        _ => IceUrl::Turn { udp: udp && scheme == "turn" },
    })
}

/// `https://`, a host, perhaps a port and a path.
pub(super) fn https_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (plain(text) && text.is_ascii() && host_and_port(&rest[..end]).is_ok()).then(|| text.to_owned())
}

/// `https://` or `http://`, a host and perhaps a port: the pages there, as a browser tells them from others.
pub(super) fn site(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let known = ["https", "http"].contains(&scheme) && !authority.contains(['/', '?', '#']);
    (known && plain(text) && host_and_port(authority).is_ok()).then(|| text.to_ascii_lowercase())
}

/// An e-mail address, as far as it goes into a URL (RFC 6068) as it stands.
pub(super) fn mail(text: &str) -> Option<String> {
    let (user, domain) = text.split_once('@')?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
    let good = !user.is_empty() && user.bytes().all(allowed) && is_host_name(domain);
    good.then(|| text.to_owned())
}

/// Whether this is a DNS name (RFC 1123, section 2.1).
pub fn is_host_name(text: &str) -> bool {
    let label =
        |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text.len() <= 253 && text.split('.').all(label)
}

/// No spaces, no control characters: an address on one line.
fn plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(authority: &str) -> Result<(), &'static str> {
    let port = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the ] behind an IPv6 address is missing")?;
            host.parse::<Ipv6Addr>().map_err(|_| "between [ and ] stands an IPv6 address, without a zone")?;
            match rest {
                "" => None,
                _ => Some(rest.strip_prefix(':').ok_or("behind the ] stands : and a port, or nothing")?),
            }
        }
        None if authority.parse::<Ipv6Addr>().is_ok() => return Err("an IPv6 address stands between [ and ]"),
        None => match authority.split_once(':') {
            Some((host, port)) => reachable(host).map(|()| Some(port))?,
            None => reachable(authority).map(|()| None)?,
        },
    };
    match port {
        None => Ok(()),
        // `parse` would take a sign, too.
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(())
        }
        Some(_) => Err("the port is no number from 1 to 65535"),
    }
}

/// A name that some resolver may know, or an IPv4 address. Names in homes have underscores, and a dot at the end is the
/// root's.
fn reachable(host: &str) -> Result<(), &'static str> {
    let name = host.strip_suffix('.').unwrap_or(host);
    match name {
        "" => Err("the host is missing"),
        // A browser would look such a number up as a name.
        _ if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) => name
            .parse::<Ipv4Addr>()
            .map(|_| ())
            .map_err(|_| "the host is no IPv4 address, which is four numbers up to 255"),
        _ if is_host_name(&name.replace('_', "-")) => Ok(()),
        _ => Err("the host is no name or address: it has letters, digits, '-' and '.' only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_certificate_authorities_sites_and_people() {
        for good in ["https://acme.example/directory", "https://127.0.0.1:14000/dir", "https://[::1]:14000"] {
            assert!(https_url(good).is_some(), "{good}");
        }
        for bad in ["", "http://acme.example/", "https://", "https://a b/", "https://u:p@acme.example/", "acme.example"]
        {
            assert!(https_url(bad).is_none(), "{bad}");
        }
        for good in ["https://dashboard.example", "http://192.0.2.7:8123", "https://[2001:db8::1]:8443"] {
            assert!(site(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "dashboard.example",
            "https://a/",
            "https://a;script-src",
            "https://a b",
            "https://*",
            "'none'",
            "wss://a",
        ] {
            assert!(site(bad).is_none(), "{bad}");
        }
        for (text, good) in [
            ("anna@example.org", true),
            ("a.b+c@example.org", true),
            ("anna", false),
            ("@a", false),
            ("a@b@c", false),
            ("a@b?cc=x", false),
            ("a b@c", false),
        ] {
            assert_eq!(mail(text).is_some(), good, "{text}");
        }
    }

    #[test]
    fn signaling_addresses() {
        for good in ["ws://door", "wss://call.example.org/ws", "ws://127.0.0.1:8080", "WSS://[::1]:443/?a=b"] {
            assert!(signaling_url(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "door",
            "http://door",
            "ws://",
            "ws:///ws",
            "ws://a b",
            "ws://a:0",
            "ws://a:+5",
            "ws://a:99999",
            "ws://<host>/ws",
            "ws://\"a\"",
            "ws://u:p@a",
            "ws://[::1",
        ] {
            assert!(signaling_url(bad).is_none(), "{bad}");
        }
        assert_eq!(signaling_url("WSS://Door.Example:8443/Ws?A=B").as_deref(), Some("wss://door.example:8443/Ws?A=B"));
        assert!(signaling_url("WS://LOCALHOST").is_some_and(|url| is_local_url(&url)));
        assert!(is_local_url("ws://localhost:1/") && is_local_url("ws://127.0.0.2") && is_local_url("ws://[::1]:5/x"));
        assert!(!is_local_url("ws://door.local/localhost") && !is_local_url("ws://10.0.0.1"));
    }

    #[test]
    fn ice_addresses() {
        for (text, kind) in [
            ("stun:stun.example.org", IceUrl::Stun),
            ("STUN:stun.example.org.", IceUrl::Stun),
            ("stun:[::1]:3478", IceUrl::Stun),
            ("stun:192.0.2.1", IceUrl::Stun),
            ("turn:t.example.org:3478", IceUrl::Turn { udp: true }),
            ("turn:my_nas.lan:65535", IceUrl::Turn { udp: true }),
            ("turn:t.example.org?transport=udp", IceUrl::Turn { udp: true }),
            ("turn:[2001:db8::1]?transport=tcp", IceUrl::Turn { udp: false }),
            ("turn:t.example.org?transport=tcp", IceUrl::Turn { udp: false }),
            ("turns:t.example.org:5349", IceUrl::Turn { udp: false }),
        ] {
            assert_eq!(ice_url(text), Ok(kind), "{text}");
        }
        for (text, why) in [
            ("stun:<host>", "no name or address"),
            ("stun:\"a\"", "no name or address"),
            ("stun:“a”", "no name or address"),
            ("stun:${HOST}", "no name or address"),
            ("stun:a..b", "no name or address"),
            ("stun:häuschen", "no name or address"),
            ("turn:u:p@a", "the port"),
            ("turn:u@a", "no name or address"),
            ("stun:a#b", "no name or address"),
            ("stun:a b", "blanks"),
            (" stun:a", "blanks"),
            ("stun:a\n", "blanks"),
            ("stun:a?transport=udp", "behind a stun:"),
            ("stun:a?", "behind a stun:"),
            ("turn:a?transport=sctp", "transport=udp or"),
            ("turn:a?transport=udp&x=1", "transport=udp or"),
            ("turn:a?", "transport=udp or"),
            ("stun://a", "no //"),
            ("stun:", "missing"),
            ("stun::3478", "missing"),
            ("stun:.", "missing"),
            ("stun:a:", "the port"),
            ("stun:a:b", "the port"),
            ("stun:a:0", "the port"),
            ("stun:a:+5", "the port"),
            ("stun:a:65536", "the port"),
            ("stun:::1", "between [ and ]"),
            ("stun:[::1", "]"),
            ("stun:[fe80::1%25eth0]", "without a zone"),
            ("stun:[1.2.3.4]", "IPv6"),
            ("stun:[::1]x", "behind the ]"),
            ("stun:256.1.1.1", "IPv4"),
            ("stun:1.2.3", "IPv4"),
            ("http:a", "begin"),
            ("a", "which kind"),
            ("", "which kind"),
        ] {
            let refused = ice_url(text).expect_err(text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
