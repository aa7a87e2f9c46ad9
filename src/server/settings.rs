//! What of the configuration concerns the server.

use super::{AccessSettings, AcmeSettings, Challenge, ServerSettings, TlsSettings};
use crate::config::{self, Config, Mode, Tls};
use crate::protocol::Key;

impl ServerSettings {
    /// For the server that the device of this configuration, which has that key, embeds.
    pub fn embedded(config: &Config, key: Key) -> ServerSettings {
        let mut settings = ServerSettings::from(config);
        if let AccessSettings::Invited { device, .. } = &mut settings.access {
            *device = Some((config.device.id.clone(), key));
        }
        settings
    }
}

impl From<&Config> for ServerSettings {
    fn from(config: &Config) -> ServerSettings {
        let tls = match &config.server.tls {
            Tls::Off => TlsSettings::Off,
            Tls::Auto => TlsSettings::Auto { state_dir: config.state.dir.clone(), names: config.server.names.clone() },
            Tls::Acme(acme) => TlsSettings::Acme {
                state_dir: config.state.dir.clone(),
                acme: AcmeSettings {
                    names: config.server.names.clone(),
                    challenge: match &acme.challenge {
                        config::Challenge::Http01 => Challenge::Http01,
                        config::Challenge::TlsAlpn01 => Challenge::TlsAlpn01,
                        config::Challenge::Dns01 { hook } => Challenge::Dns01 { hook: hook.clone() },
                    },
                    directory: acme.directory.clone(),
                    contact: acme.contact.clone(),
                    ca_file: acme.ca_file.clone(),
                    first_pause: AcmeSettings::FIRST_PAUSE,
                },
            },
            Tls::Files { cert_file, key_file } => TlsSettings::Files { cert: cert_file.clone(), key: key_file.clone() },
        };
        ServerSettings {
            http_listen: config.server.http_listen,
            names: config.server.names.clone(),
            frame_ancestors: config.server.frame_ancestors.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            max_connections: config.server.max_connections as usize,
            max_others: config.server.max_others as usize,
            tls,
            access: match config.access.mode {
                Mode::Open => AccessSettings::Open,
                Mode::Invited => AccessSettings::Invited { state_dir: config.state.dir.clone(), device: None },
            },
            ice_servers: config.ice.servers.clone(),
            ..ServerSettings::new(config.server.listen)
        }
    }
}
