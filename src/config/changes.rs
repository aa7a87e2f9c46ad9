//! What changes in a running daemon when its configuration is read again, and what has to wait for a restart.

use super::keys::{KEYS, Key};
use super::{Access, Config, report};

impl Config {
    /// The keys whose values are others in `to`.
    pub fn changed(&self, to: &Config) -> Vec<&'static Key> {
        let differs = |key: &&Key| match key.path {
            // Secrets are values too, and not in the report.
            "signaling.token_file" => self.signaling.token != to.signaling.token,
            "device.key_file" => self.device.key != to.device.key,
            "ice.servers" => self.ice.servers != to.ice.servers,
            "button" => self.visits.buttons != to.visits.buttons,
            "rings" => self.visits.steps != to.visits.steps,
            "group" => self.visits.groups != to.visits.groups,
            path => report::value(self, path) != report::value(to, path),
        };
        KEYS.iter().filter(differs).collect()
    }

    /// This configuration with the live keys of another.
    pub fn with_live(&self, of: &Config) -> Config {
        Config {
            camera: of.camera.clone(),
            microphone: of.microphone.clone(),
            speaker: of.speaker.clone(),
            indicator: of.indicator.clone(),
            ice: of.ice.clone(),
            visits: of.visits.clone(),
            calls: of.calls.clone(),
            access: Access { mode: self.access.mode, ..of.access },
            log: of.log,
            ..self.clone()
        }
    }
}
