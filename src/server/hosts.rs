//! Which pages may speak to us. A page of any site may open a WebSocket to us from a visitor's browser, which says so in
//! `Origin`; and a stranger's website can give its own name this machine's address (DNS rebinding), so that its page
//! counts as ours by its origin, and only its name gives it away. Programs other than browsers send no `Origin`.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{self, HeaderMap, HeaderValue};

use super::socket::Refused;
use super::tls::names;

/// The names under which pages may be open.
pub struct Hosts {
    /// This machine's own, and those of the configuration; `None` where the certificate has proved the name to the
    /// browser, so that any will do whose page came over TLS too.
    known: Option<Vec<String>>,
    /// Those of the configuration, for which a page may also be open behind a proxy that calls us otherwise.
    listed: Vec<String>,
}

impl Hosts {
    /// Over TLS.
    pub fn proved(listed: &[String]) -> Hosts {
        Hosts { known: None, listed: listed.to_vec() }
    }

    /// Over plain HTTP: this machine's own names, its addresses, and `listed`.
    pub fn known(listed: &[String]) -> Hosts {
        Hosts { known: Some(names::dns_names(listed)), listed: listed.to_vec() }
    }

    /// Whether a page of that origin may speak to us.
    pub fn admit(&self, headers: &HeaderMap, origin: Option<&HeaderValue>) -> Result<(), Refused> {
        let Some(origin) = origin else { return Ok(()) };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let Some(authority) = origin.to_str().ok().and_then(authority) else { return Err(Refused::BadOrigin) };
        if self.listed.contains(&name(&authority.host)) {
            return Ok(());
        }
        // Over plain HTTP anybody on the way could have written the page. Where we speak plain HTTP ourselves, a proxy
        // may speak TLS for us.
        let same_scheme = self.known.is_some() || authority.secure;
        if !same_scheme || authority.without_default_port(&authority.host) != authority.without_default_port(host) {
            return Err(Refused::BadOrigin);
        }
        if self.has(host) { Ok(()) } else { Err(Refused::BadHost) }
    }

    /// Whether a page may be open under this host, written as in HTTP's `Host`: with or without a port.
    fn has(&self, host: &str) -> bool {
        let Some(names) = &self.known else { return true };
        let name = name(host);
        name.parse::<IpAddr>().is_ok() || name.ends_with(".localhost") || names.contains(&name)
    }
}

/// Host and port of a page's address, which may have a path.
struct Authority {
    secure: bool,
    host: String,
}

fn authority(origin: &str) -> Option<Authority> {
    let (secure, rest) = match origin.split_once("://")? {
        ("https", rest) => (true, rest),
        ("http", rest) => (false, rest),
        _ => return None,
    };
    Some(Authority { secure, host: rest.split('/').next()?.to_owned() })
}

impl Authority {
    fn without_default_port(&self, host: &str) -> String {
        let default_port = if self.secure { ":443" } else { ":80" };
        host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase()
    }
}

/// Whether a host, written as in HTTP's `Host`, is this machine or one of `listed`. What is signed for another is not for us.
pub fn is_ours(host: &str, listed: &[String]) -> bool {
    names::needed(Ipv6Addr::UNSPECIFIED.into(), listed).contains(&name(host))
}

/// The name in a host, without port and brackets, in lower case.
pub fn name(host: &str) -> String {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let address = bracketed.filter(|(_, port)| port.is_empty() || port.starts_with(':')).map(|(address, _)| address);
    let name = address.unwrap_or_else(|| host.split(':').next().unwrap_or_default());
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(hosts: &Hosts, host: &str, origin: &str) -> Result<(), Refused> {
        let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
        hosts.admit(&headers, Some(&origin.parse().unwrap()))
    }

    #[test]
    fn strangers_names_are_not_ours() {
        let hosts = Hosts::known(&["door.example.org".to_owned()]);
        for own in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7", "door.example.org.:80"]
        {
            assert!(hosts.has(own), "{own}");
        }
        assert!(hosts.has(&format!("{}:8080", names::host_name())) || names::host_name().is_empty());
        for strange in
            ["evil.example", "door.example.org.evil.example:8080", "", ":8080", "[evil]:80", "[::1].evil.example:80"]
        {
            assert!(!hosts.has(strange), "{strange:?}");
        }
        assert!(Hosts::proved(&[]).has("evil.example"));
    }

    #[test]
    fn what_is_signed_for_another_is_not_for_us() {
        for own in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "door.example.org"] {
            assert!(is_ours(own, &["door.example.org".to_owned()]), "{own}");
        }
        for strange in ["evil.example:443", "203.0.113.77", "", "x.localhost"] {
            assert!(!is_ours(strange, &["door.example.org".to_owned()]), "{strange}");
        }
    }

    #[test]
    fn a_page_may_speak_to_its_own_server_only() {
        let hosts = Hosts::known(&[]);
        for (host, origin) in [
            ("localhost:8080", "http://localhost:8080"),
            ("localhost", "http://localhost:80"),
            ("LOCALHOST:443", "https://localhost"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/a/page?with=path"),
        ] {
            assert_eq!(admit(&hosts, host, origin), Ok(()), "{host} {origin}");
        }
        for (host, origin, refused) in [
            ("localhost:8080", "http://evil.example", Refused::BadOrigin),
            ("localhost:8080", "http://localhost", Refused::BadOrigin),
            ("localhost:8080", "http://localhost:8080.evil.example", Refused::BadOrigin),
            ("localhost:8080", "null", Refused::BadOrigin),
            ("localhost:8080", "ftp://localhost:8080", Refused::BadOrigin),
            ("evil.example", "http://evil.example", Refused::BadHost),
        ] {
            assert_eq!(admit(&hosts, host, origin), Err(refused), "{host} {origin}");
        }
        let over_tls = Hosts::proved(&[]);
        for (host, origin, admitted) in [
            ("door.local", "https://door.local", Ok(())),
            ("door.local:8443", "https://door.local:8443", Ok(())),
            // The same name at the default port of the other scheme, and of neither.
            ("door.local", "http://door.local", Err(Refused::BadOrigin)),
            ("door.local:8443", "http://door.local:8443", Err(Refused::BadOrigin)),
            ("door.local:80", "https://door.local", Err(Refused::BadOrigin)),
        ] {
            assert_eq!(admit(&over_tls, host, origin), admitted, "{host} {origin}");
        }
        let programs = HeaderMap::new();
        assert_eq!(hosts.admit(&programs, None), Ok(()));
    }

    #[test]
    fn a_listed_name_may_be_open_behind_a_proxy_that_calls_us_otherwise() {
        for hosts in [Hosts::known(&["door.example.org".to_owned()]), Hosts::proved(&["door.example.org".to_owned()])] {
            assert_eq!(admit(&hosts, "127.0.0.1:8080", "https://door.example.org"), Ok(()));
            assert_eq!(admit(&hosts, "backend", "https://Door.example.org:8443"), Ok(()));
            assert_eq!(admit(&hosts, "127.0.0.1:8080", "https://other.example.org"), Err(Refused::BadOrigin));
        }
    }
}
