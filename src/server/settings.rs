//! What of the configuration concerns the server.

use super::{ServerSettings, TlsSettings};
use crate::config::{Config, Tls};

impl From<&Config> for ServerSettings {
    fn from(config: &Config) -> ServerSettings {
        let tls = match &config.server.tls {
            Tls::Off => TlsSettings::Off,
            Tls::Auto => TlsSettings::Auto { state_dir: config.state.dir.clone(), names: config.server.names.clone() },
            Tls::Files { cert_file, key_file } => TlsSettings::Files { cert: cert_file.clone(), key: key_file.clone() },
        };
        ServerSettings {
            http_listen: config.server.http_listen,
            names: config.server.names.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            max_connections: config.server.max_connections as usize,
            max_others: config.server.max_others as usize,
            tls,
            ice_servers: config.ice.servers.clone(),
            ..ServerSettings::new(config.server.listen)
        }
    }
}
