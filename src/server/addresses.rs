//! Under which addresses people find the page.

use std::net::{IpAddr, SocketAddr};

use super::{ServerSettings, TlsSettings, tls};

/// Addresses of the page for people on other machines, the best one first: under the names that the server goes by, then
/// this machine's own.
pub fn outside_urls(settings: &ServerSettings) -> Vec<String> {
    let over_tls = settings.tls != TlsSettings::Off;
    let scheme = if over_tls { "https" } else { "http" };
    let behind_proxy = !over_tls && settings.listen.ip().is_loopback();
    let names = settings.names.iter().map(|name| match (behind_proxy, settings.listen.port()) {
        // Whoever speaks for a server that nobody else reaches does so over TLS, at the usual port.
        (true, _) => named("https", name, 443),
        (false, port) => named(scheme, name, port),
    });
    names.chain(urls(scheme, settings.listen)).collect()
}

/// Under a name.
pub(super) fn named(scheme: &str, name: &str, port: u16) -> String {
    match (scheme, port) {
        ("https", 443) | ("http", 80) => format!("{scheme}://{name}/"),
        (scheme, port) => format!("{scheme}://{name}:{port}/"),
    }
}

pub(super) fn urls(scheme: &str, address: SocketAddr) -> Vec<String> {
    let hosts = match address.ip() {
        ip if ip.is_unspecified() => tls::own_hosts(ip),
        ip => vec![host(ip)],
    };
    hosts.iter().map(|host| format!("{scheme}://{host}:{}/", address.port())).collect()
}

/// As in a URL.
pub(super) fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls_of(listen: &str, names: &[&str], tls: TlsSettings) -> Vec<String> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        outside_urls(&ServerSettings { names, tls, ..ServerSettings::new(listen.parse().unwrap()) })
    }

    #[test]
    fn names_go_before_addresses() {
        let auto = TlsSettings::Auto { state_dir: "/".into(), names: Vec::new() };
        assert_eq!(
            urls_of("192.0.2.7:8443", &["door.example.org"], auto.clone()),
            ["https://door.example.org:8443/", "https://192.0.2.7:8443/"]
        );
        assert_eq!(urls_of("[2001:db8::7]:443", &["a"], auto), ["https://a/", "https://[2001:db8::7]:443/"]);
        assert_eq!(
            urls_of("127.0.0.1:8080", &["door.example.org"], TlsSettings::Off),
            ["https://door.example.org/", "http://127.0.0.1:8080/"]
        );
    }
}
