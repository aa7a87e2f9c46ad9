//! What the process around the appliance asks of it while it runs: how it is, and to go by another configuration.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::studio::Studio;
use super::{Terms, sources};
use crate::base::task::answers;
use crate::config::Config;
use crate::logic::health::{Health, Stuck};
use crate::net::signaling::Questions;
#[cfg(feature = "server")]
use crate::server::ServerHandle;

/// Requests waiting for the switchboard; when full, whoever asks waits.
pub(super) const REQUESTS: usize = 4;
/// Longest turn of a capture or playback thread: opening a slow device.
const PATIENCE: Duration = Duration::from_secs(10);

/// To the switchboard.
pub(super) enum Request {
    /// Answered at once.
    Ping(oneshot::Sender<()>),
    /// Answered when what it says counts.
    Apply(Box<Terms>, oneshot::Sender<()>),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) switchboard: mpsc::Sender<Request>,
    pub(super) signaling: Questions,
    pub(super) studio: Arc<Studio>,
    pub(super) status: watch::Receiver<String>,
    #[cfg(feature = "server")]
    pub(super) server: Option<ServerHandle>,
}

/// What is wrong with a running appliance.
#[derive(Debug, thiserror::Error)]
pub enum Ailment {
    #[error("the {0} task does not answer")]
    Silent(&'static str),
    #[error(transparent)]
    Stuck(#[from] Stuck),
}

impl Handle {
    /// One line on registration and calls, and its changes.
    pub fn status(&self) -> watch::Receiver<String> {
        self.status.clone()
    }

    /// Goes by the live settings of `to` from now on, where it went by `from`; calls under way are not touched.
    pub async fn apply(&self, from: &Config, to: &Config) {
        let configs = (from.clone(), to.clone());
        self.studio.change_hardware(move || sources::changed(&configs.0, &configs.1)).await;
        let (done, applied) = oneshot::channel();
        let request = Request::Apply(Box::new(Terms::from(to)), done);
        if self.switchboard.send(request).await.is_ok() {
            // An error means that the appliance is ending.
            drop(applied.await);
        }
        #[cfg(feature = "server")]
        if let Some(server) = &self.server {
            server.set_ice_servers(to.ice.servers.clone()).await;
        }
    }

    pub fn checkup(&self) -> Checkup {
        Checkup { appliance: self.clone(), health: Health::new(PATIENCE) }
    }
}

/// Finds out, each time it is asked, whether the appliance works.
pub struct Checkup {
    appliance: Handle,
    health: Health,
}

impl Checkup {
    /// Takes seconds where something does not answer.
    pub async fn examine(&mut self) -> Result<(), Ailment> {
        let Handle { switchboard, signaling, studio, .. } = &self.appliance;
        alive("switchboard", answers(switchboard, Request::Ping).await)?;
        alive("signaling client", answers(signaling, |reply| reply).await)?;
        #[cfg(feature = "server")]
        if let Some(server) = &self.appliance.server {
            alive("signaling server", server.answers().await)?;
        }
        Ok(self.health.judge(&studio.progress(), Instant::now())?)
    }
}

fn alive(task: &'static str, answers: bool) -> Result<(), Ailment> {
    if answers { Ok(()) } else { Err(Ailment::Silent(task)) }
}
