//! `[server.tls]`: which modes there are, and which keys each of them takes.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::read::Reader;
use super::{Acme, Challenge, Tls, address, values};

/// Most names in one certificate of Let's Encrypt.
const MAX_NAMES: usize = 100;

const FILES: [&str; 2] = ["server.tls.cert_file", "server.tls.key_file"];
const ACME: [&str; 5] = [
    "server.tls.acme.challenge",
    "server.tls.acme.hook",
    "server.tls.acme.directory",
    "server.tls.acme.ca_file",
    "server.tls.acme.contact",
];

/// Let's Encrypt's.
pub(super) const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Auto,
    Acme,
    Files,
    Off,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http01,
    TlsAlpn01,
    Dns01,
}

impl Reader<'_> {
    pub(super) fn tls(&mut self, listen: &SocketAddr, http_listen: Option<SocketAddr>, names: &[String]) -> Tls {
        let usual = if address::is_loopback(listen) { Mode::Off } else { Mode::Auto };
        let modes = [("auto", Mode::Auto), ("acme", Mode::Acme), ("files", Mode::Files), ("off", Mode::Off)];
        let mode = self.word("server.tls.mode", &modes).unwrap_or(usual);
        let cert_file = self.get("server.tls.cert_file", values::readable_file);
        let key_file = self.get("server.tls.key_file", values::readable_file);
        let acme = self.acme(mode == Mode::Acme, http_listen, names);
        if mode != Mode::Files {
            self.not_for_this(&FILES, "files");
        }
        if mode != Mode::Acme {
            self.not_for_this(&ACME, "acme");
        }
        match mode {
            Mode::Files => {
                for key in FILES {
                    if self.layers.get(key).is_none() {
                        self.refuse("server.tls.mode", &format!("needs {key}, the path of a PEM file"));
                    }
                }
                let (cert_file, key_file) = (cert_file.unwrap_or_default(), key_file.unwrap_or_default());
                Tls::Files { cert_file, key_file }
            }
            Mode::Auto => Tls::Auto,
            Mode::Acme => Tls::Acme(acme),
            Mode::Off => Tls::Off,
        }
    }

    fn not_for_this(&mut self, keys: &[&str], mode: &str) {
        for key in keys {
            if self.layers.get(key).is_some() {
                self.refuse(key, &format!("is for [server.tls] mode = \"{mode}\" only"));
            }
        }
    }

    /// `wanted`: what is missing beside it is a problem too.
    fn acme(&mut self, wanted: bool, http_listen: Option<SocketAddr>, names: &[String]) -> Acme {
        let kinds = [("http-01", Kind::Http01), ("tls-alpn-01", Kind::TlsAlpn01), ("dns-01", Kind::Dns01)];
        let kind = self.word("server.tls.acme.challenge", &kinds).unwrap_or(Kind::Http01);
        let hook = self.path("server.tls.acme.hook");
        let acme = Acme {
            challenge: match kind {
                Kind::Http01 => Challenge::Http01,
                Kind::TlsAlpn01 => Challenge::TlsAlpn01,
                Kind::Dns01 => Challenge::Dns01 { hook: hook.clone().unwrap_or_default() },
            },
            directory: self.text("server.tls.acme.directory", address::https_url).unwrap_or(DIRECTORY.to_owned()),
            ca_file: self.get("server.tls.acme.ca_file", values::readable_file),
            contact: self.text("server.tls.acme.contact", address::mail),
        };
        if wanted {
            self.acme_names(names);
            match (&kind, &hook) {
                (Kind::Http01, _) if http_listen.is_none() => self.refuse(
                    "server.tls.mode",
                    "the challenge http-01 is answered by plain HTTP, at port 80 of each name: set server.http_listen, such as \
                     \"0.0.0.0:80\", or take another challenge",
                ),
                (Kind::Dns01, None) => self.refuse(
                    "server.tls.acme.challenge",
                    "needs server.tls.acme.hook, the path of a program that sets a record in the DNS",
                ),
                (Kind::Dns01, Some(hook)) => {
                    if let Err(why) = runnable(hook) {
                        self.refuse("server.tls.acme.hook", &why);
                    }
                }
                (Kind::Http01 | Kind::TlsAlpn01, Some(_)) => {
                    self.refuse("server.tls.acme.hook", "is for the challenge dns-01 only");
                }
                (Kind::Http01 | Kind::TlsAlpn01, None) => {}
            }
        }
        acme
    }

    fn acme_names(&mut self, names: &[String]) {
        if names.is_empty() && !self.has_refused("server.names") {
            self.refuse("server.tls.mode", "needs server.names, the names that the certificate is for");
        }
        if let Some(address) = names.iter().find(|name| name.parse::<IpAddr>().is_ok()) {
            let why = format!("{address} is an address, and [server.tls] mode = \"acme\" is for names only");
            self.refuse("server.names", &why);
        }
        if names.len() > MAX_NAMES {
            self.refuse("server.names", &format!("one certificate holds {MAX_NAMES} names at most"));
        }
    }
}

/// Whether a public authority can vouch for a name at all.
pub(super) fn is_public(name: &str) -> bool {
    let Some((_, top)) = name.trim_end_matches('.').rsplit_once('.') else { return false };
    !["local", "lan", "home", "internal", "localhost", "test", "invalid", "example"].contains(&top) && top != "arpa"
}

fn runnable(hook: &Path) -> Result<(), String> {
    match std::fs::metadata(hook) {
        Ok(metadata) if !metadata.is_file() => Err(format!("{} is not a file", hook.display())),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Err(format!("{} is not executable: chmod +x", hook.display()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{} cannot be read: {error}", hook.display())),
    }
}
