//! What single values must look like: IDs, addresses, URLs. Each function takes what was written and returns the value,
//! or nothing where it cannot be.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Token;
use super::layers::{Node, Value};
use super::surroundings::Surroundings;
use crate::protocol::{self, UserId};

/// In place of a path: a credential of the systemd unit.
const CREDENTIAL: &str = "credential:";
/// Longest secret in bytes; longer files are not what was meant.
const MAX_SECRET_BYTES: u64 = 4096;

pub(super) fn id(text: &str) -> Option<UserId> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.len() <= 63 && text.chars().all(allowed) { text.parse().ok() } else { None }
}

pub(super) fn name(text: &str) -> Option<String> {
    let fits = (1..=protocol::MAX_NAME_BYTES).contains(&text.trim().len()) && !text.chars().any(char::is_control);
    fits.then(|| text.trim().to_owned())
}

/// An even number of pixels up to `most`.
pub(super) fn pixels(number: i64, most: u32) -> Option<u32> {
    number_up_to(number, 16, most).filter(|pixels| pixels % 2 == 0)
}

pub(super) fn number_up_to(number: i64, least: u32, most: u32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| (least..=most).contains(number))
}

/// An address to listen on.
pub(super) fn listen(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// `ws://` or `wss://`, a host, perhaps a port and a path.
pub(super) fn signaling_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password in an address would end up in logs; token_file is the place.
    (known && plain(rest) && !authority.contains('@') && host_and_port(authority)).then(|| text.to_owned())
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

/// A STUN or TURN address (RFC 7064, RFC 7065).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IceUrl {
    Stun,
    Turn { udp: bool },
}

pub(super) fn ice_url(text: &str) -> Option<IceUrl> {
    let (scheme, rest) = text.split_once(':')?;
    let (authority, query) = rest.split_once('?').map_or((rest, None), |(authority, query)| (authority, Some(query)));
    if !plain(rest) || authority.contains(['/', '@', '#']) || !host_and_port(authority) {
        return None;
    }
    let udp = match query {
        None | Some("transport=udp") => true,
        Some("transport=tcp") => false,
        Some(_) => return None,
    };
    match scheme.to_ascii_lowercase().as_str() {
        "stun" if query.is_none() => Some(IceUrl::Stun),
        "turn" => Some(IceUrl::Turn { udp }),
        "turns" => Some(IceUrl::Turn { udp: false }),
        _ => None,
    }
}

/// The trimmed contents of a file that holds one secret, or of a credential that systemd keeps for the unit.
pub(super) fn secret(node: &Node, surroundings: &Surroundings) -> Result<Token, Option<String>> {
    let text = node.value.as_text().filter(|text| !text.is_empty()).ok_or(None)?;
    let Some(name) = text.strip_prefix(CREDENTIAL) else {
        let file = node.origin.resolve(Path::new(text));
        return Ok(Token { secret: secret_in(&file)?, file });
    };
    if name.is_empty()
        || name.len() > 255
        || name.starts_with('.')
        || !name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
    {
        return Err(None);
    }
    let secret = match surroundings.credentials() {
        Some(dir) if dir.join(name).exists() => secret_in(&dir.join(name))?,
        _ if !surroundings.credentials_needed => String::new(),
        Some(_) => {
            return Err(Some(format!(
                "systemd has no such credential: put it into /etc/credstore/{name}, and LoadCredential={name} into the unit"
            )));
        }
        None => return Err(Some("only a systemd unit with LoadCredential= is given credentials".to_owned())),
    };
    Ok(Token { secret, file: text.into() })
}

fn secret_in(path: &Path) -> Result<String, String> {
    let fail = |why: &dyn std::fmt::Display| format!("{} cannot be read: {why}", path.display());
    let metadata = std::fs::metadata(path).map_err(|e| fail(&e))?;
    if !metadata.is_file() {
        return Err(fail(&"it is not a file"));
    }
    if metadata.len() > MAX_SECRET_BYTES {
        return Err(fail(&format!("it is longer than {MAX_SECRET_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fail(&e))?;
    match text.trim() {
        "" => Err(fail(&"it is empty")),
        secret => Ok(secret.to_owned()),
    }
}

/// A file that can be opened now, rather than a surprise later.
pub(super) fn readable_file(node: &Node) -> Result<PathBuf, Option<String>> {
    let Value::Text(text) = &node.value else { return Err(None) };
    let path = node.origin.resolve(Path::new(text));
    if text.is_empty() {
        return Err(None);
    }
    match std::fs::metadata(&path).and_then(|metadata| std::fs::File::open(&path).map(|_| metadata.is_file())) {
        Ok(true) => Ok(path),
        Ok(false) => Err(Some(format!("{} is not a file", path.display()))),
        Err(error) => Err(Some(format!("{} cannot be read: {error}", path.display()))),
    }
}

/// No spaces, no control characters: an address on one line.
fn plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(authority: &str) -> bool {
    let (host_fits, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host.parse::<std::net::Ipv6Addr>().is_ok(), None),
            Some((host, rest)) => (host.parse::<std::net::Ipv6Addr>().is_ok() && rest.starts_with(':'), rest.get(1..)),
            None => return false,
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (!host.is_empty(), Some(port)),
            None => (!authority.is_empty(), None),
        },
    };
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether this is a DNS name (RFC 1123, section 2.1).
pub fn is_host_name(text: &str) -> bool {
    let label =
        |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "ws://a:99999",
            "ws://u:p@a",
            "ws://[::1",
        ] {
            assert!(signaling_url(bad).is_none(), "{bad}");
        }
        assert!(is_local_url("ws://localhost:1/") && is_local_url("ws://127.0.0.2") && is_local_url("ws://[::1]:5/x"));
        assert!(!is_local_url("ws://door.local/localhost") && !is_local_url("ws://10.0.0.1"));
    }

    #[test]
    fn ice_addresses() {
        for (text, kind) in [
            ("stun:stun.example.org", Some(IceUrl::Stun)),
            ("stun:[::1]:3478", Some(IceUrl::Stun)),
            ("turn:t.example.org:3478", Some(IceUrl::Turn { udp: true })),
            ("turn:t.example.org?transport=udp", Some(IceUrl::Turn { udp: true })),
            ("turn:t.example.org?transport=tcp", Some(IceUrl::Turn { udp: false })),
            ("turns:t.example.org:5349", Some(IceUrl::Turn { udp: false })),
            ("stun:a?transport=udp", None),
            ("turn:a?transport=sctp", None),
            ("stun://a", None),
            ("stun:", None),
            ("stun:a:b", None),
            ("stun:a:0", None),
            ("http:a", None),
            ("a", None),
        ] {
            assert_eq!(ice_url(text), kind, "{text}");
        }
    }

    #[test]
    fn ids_and_names() {
        assert!(id("front-door_2.hall").is_some() && id(&"x".repeat(63)).is_some());
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert!(id(bad).is_none(), "{bad}");
        }
        assert_eq!(name(" Front door ").as_deref(), Some("Front door"));
        assert!(name(" ").is_none() && name("a\tb").is_none() && name(&"x".repeat(129)).is_none());
    }
}
