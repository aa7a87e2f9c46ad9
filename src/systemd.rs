//! What the service manager is told, sd_notify(3); nothing where none listens.

use sd_notify::NotifyState;

/// Once the daemon can be reached.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!(error:%; "the service manager does not listen");
    }
}
