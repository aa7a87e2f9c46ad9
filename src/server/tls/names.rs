//! The names and addresses under which this machine is reached.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::is_host_name;

/// Most names in one certificate; a machine with more addresses (containers, say) gets the first ones in.
const MAX_NAMES: usize = 64;

/// What a certificate for a server at `listen` must hold: DNS names, and addresses as text.
pub fn needed(listen: IpAddr, extra: &[String]) -> BTreeSet<String> {
    let mut names: BTreeSet<_> = dns_names(extra).into_iter().collect();
    names.extend(extra.iter().filter_map(|name| name.parse::<IpAddr>().ok()).map(|ip| ip.to_string()));
    names.extend([IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].map(|ip| ip.to_string()));
    let own = match listen.is_unspecified() {
        true => addresses(listen),
        false => vec![listen],
    };
    let room = MAX_NAMES.saturating_sub(names.len());
    names.extend(own.iter().take(room).map(IpAddr::to_string));
    names
}

/// `localhost`, the host name with and without `.local`, and those of `extra` that are names.
pub fn dns_names(extra: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let host = host_name();
    if let Some((short, _)) = host.split_once('.') {
        names.extend([short.to_owned(), format!("{short}.local")]);
    } else if !host.is_empty() {
        names.push(format!("{host}.local"));
    }
    names.push(host);
    names.extend(extra.iter().filter(|name| name.parse::<IpAddr>().is_err()).map(|name| name.to_ascii_lowercase()));
    names.retain(|name| is_host_name(name));
    names
}

/// In lower case; empty where it is no DNS name.
pub fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().to_ascii_lowercase();
    if is_host_name(&name) { name } else { String::new() }
}

/// Addresses that others can reach this machine at. IPv6 ones of a link are not among them: no URL can name those.
pub fn addresses(wildcard: IpAddr) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let reachable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback(),
        IpAddr::V6(ip) => wildcard.is_ipv6() && !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let found: BTreeSet<_> = interfaces.iter().map(|interface| interface.ip()).filter(reachable).collect();
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_holds_what_people_type() {
        let extra = ["Door.Example".to_owned(), "192.0.2.7".to_owned(), "not a name".to_owned()];
        let names = needed("0.0.0.0".parse().unwrap(), &extra);
        for name in ["localhost", "127.0.0.1", "::1", "door.example", "192.0.2.7"] {
            assert!(names.contains(name), "{name} is missing in {names:?}");
        }
        assert!(!names.contains("not a name"));
        for ip in addresses("0.0.0.0".parse().unwrap()) {
            assert!(names.contains(&ip.to_string()) && ip.is_ipv4(), "{ip}");
        }
        let one = needed("192.0.2.9".parse().unwrap(), &[]);
        assert!(one.contains("192.0.2.9"));
    }
}
