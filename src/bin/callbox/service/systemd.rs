//! What the service manager is told, sd_notify(3), and what it is told about; nothing where none listens.

use std::sync::atomic::{AtomicBool, Ordering};

use callbox::config::Config;
#[cfg(feature = "device")]
use callbox::device;
#[cfg(feature = "server")]
use callbox::server::ServerHandle;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// The watchdog is fed this often in its time, so that one late answer of a busy board does no harm.
const MEALS: u32 = 4;

/// An ending daemon need not answer any more, and systemd does not ask.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// The daemon that runs in this process.
#[derive(Clone)]
pub enum Subject {
    #[cfg(feature = "device")]
    Device(device::Handle),
    #[cfg(feature = "server")]
    Server(ServerHandle),
}

impl Subject {
    pub fn status(&self) -> watch::Receiver<String> {
        match self {
            #[cfg(feature = "device")]
            Subject::Device(device) => device.status(),
            #[cfg(feature = "server")]
            Subject::Server(server) => server.status(),
        }
    }

    pub fn checkup(&self) -> Checkup {
        match self {
            #[cfg(feature = "device")]
            Subject::Device(device) => Checkup::Device(device.checkup()),
            #[cfg(feature = "server")]
            Subject::Server(server) => Checkup::Server(server.clone()),
        }
    }

    /// Goes by the live settings of `to`.
    pub async fn apply(&self, from: &Config, to: &Config) {
        match self {
            #[cfg(feature = "device")]
            Subject::Device(device) => device.apply(from, to).await,
            #[cfg(feature = "server")]
            Subject::Server(server) if from.ice.servers != to.ice.servers => {
                server.set_ice_servers(to.ice.servers.clone()).await;
            }
            #[cfg(feature = "server")]
            Subject::Server(_) => {}
        }
    }

    /// Whether it has any use for a key.
    pub fn heeds(&self, key: &str, config: &Config) -> bool {
        match self {
            #[cfg(feature = "device")]
            Subject::Device(_) => config.signaling.url.is_none() || !key.starts_with("server."),
            #[cfg(feature = "server")]
            Subject::Server(_) => {
                let _ = config;
                key.starts_with("server.") || ["ice.servers", "state.dir", "log.level"].contains(&key)
            }
        }
    }
}

/// Finds out whether the daemon works.
pub enum Checkup {
    #[cfg(feature = "device")]
    Device(device::Checkup),
    #[cfg(feature = "server")]
    Server(ServerHandle),
}

impl Checkup {
    async fn examine(&mut self) -> Result<(), String> {
        match self {
            #[cfg(feature = "device")]
            Checkup::Device(device) => device.examine().await.map_err(|ailment| ailment.to_string()),
            #[cfg(feature = "server")]
            Checkup::Server(server) => match server.answers().await {
                true => Ok(()),
                false => Err("the signaling server task does not answer".to_owned()),
            },
        }
    }
}

/// Once the daemon can be reached, and once it has reloaded.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => log::debug!(error:%; "the service manager is not told of the reload"),
    }
}

pub fn stopping() {
    STOPPING.store(true, Ordering::Relaxed);
    tell(&[NotifyState::Stopping]);
}

/// Passes on the status text as long as there is one.
pub async fn report(mut status: watch::Receiver<String>) {
    loop {
        // What came from elsewhere cannot start a line of its own.
        let text = status.borrow_and_update().replace(char::is_control, " ");
        tell(&[NotifyState::Status(&text)]);
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Feeds the watchdog, where there is one, while the daemon is well.
pub async fn feed_watchdog(mut checkup: Checkup) {
    let Some(time) = sd_notify::watchdog_enabled().filter(|time| !time.is_zero()) else { return };
    let mut meals = interval(time / MEALS);
    meals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut well = true;
    loop {
        meals.tick().await;
        let found = checkup.examine().await;
        if STOPPING.load(Ordering::Relaxed) {
            return;
        }
        match found {
            Ok(()) => {
                if !well {
                    log::warn!("well again, and the watchdog is fed");
                }
                well = true;
                tell(&[NotifyState::Watchdog]);
            }
            Err(ailment) => {
                let level = if well { log::Level::Error } else { log::Level::Debug };
                log::log!(level, code = "unwell"; "the watchdog is not fed: {ailment}");
                well = false;
            }
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!(error:%; "the service manager does not listen");
    }
}
