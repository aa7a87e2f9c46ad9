//! Under which host names a browser's page may speak to us. A stranger's website can give its own name this machine's
//! address (DNS rebinding); its page then counts as ours by its origin, and only its name gives it away.

use std::net::IpAddr;

use super::tls::names;

/// The names.
pub enum Hosts {
    /// The certificate has proved the name to the browser.
    Proved,
    Known(Vec<String>),
}

impl Hosts {
    /// This machine's own names, its addresses, and `more`.
    pub fn known(more: &[String]) -> Hosts {
        Hosts::Known(names::dns_names(more))
    }

    /// Whether a page may be open under this host, written as in HTTP's `Host`: with or without a port.
    pub fn has(&self, host: &str) -> bool {
        let names = match self {
            Hosts::Proved => return true,
            Hosts::Known(names) => names,
        };
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
        let name = bracketed.unwrap_or_else(|| host.split(':').next().unwrap_or_default());
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || name.ends_with(".localhost") || names.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_names_are_not_ours() {
        let hosts = Hosts::known(&["door.example.org".to_owned()]);
        for own in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7", "door.example.org.:80"]
        {
            assert!(hosts.has(own), "{own}");
        }
        assert!(hosts.has(&format!("{}:8080", names::host_name())) || names::host_name().is_empty());
        for strange in ["evil.example", "door.example.org.evil.example:8080", "", ":8080", "[evil]:80"] {
            assert!(!hosts.has(strange), "{strange:?}");
        }
        assert!(Hosts::Proved.has("evil.example"));
    }
}
