//! SIGHUP: the configuration is read again. What can change in a running daemon changes, calls go on, and the rest is
//! named.

use std::path::PathBuf;

use anyhow::Context;
use callbox::config::{Config, Loaded};
use tokio::signal::unix::{Signal, SignalKind};

use crate::logging;
use crate::outcome::Failure;
use crate::service::systemd;
use crate::service::systemd::Subject;

/// From here on SIGHUP ends the process no more.
pub fn signal() -> Result<Signal, Failure> {
    Ok(tokio::signal::unix::signal(SignalKind::hangup()).context("signals cannot be received")?)
}

/// Reloads with each signal.
pub async fn on(mut signal: Signal, file: Option<PathBuf>, mut running: Config, subject: Subject) {
    while signal.recv().await.is_some() {
        systemd::reloading();
        match Config::load(file.as_deref()) {
            Ok(loaded) => running = take(running, loaded, &subject).await,
            Err(error) => {
                for problem in error.problems() {
                    log::error!(code = "badConfiguration"; "{problem}");
                }
                log::error!(code = "badConfiguration"; "the configuration is broken and stays as it was");
            }
        }
        systemd::ready();
    }
}

/// Returns what the daemon goes by from now on.
async fn take(running: Config, loaded: Loaded, subject: &Subject) -> Config {
    let new = loaded.config;
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let changed: Vec<_> = running.changed(&new).into_iter().filter(|key| subject.heeds(key.path, &running)).collect();
    let next = running.with_live(&new);
    subject.apply(&running, &next).await;
    logging::set_level(next.log);
    let list = |live: bool| {
        let paths: Vec<_> = changed.iter().filter(|key| key.live == live).map(|key| key.path).collect();
        paths.join(", ")
    };
    match list(true) {
        keys if keys.is_empty() => log::info!("configuration reloaded, nothing changes"),
        keys => log::info!("configuration reloaded, these change: {keys}"),
    }
    match list(false) {
        keys if keys.is_empty() => {}
        keys => log::warn!(code = "needsRestart"; "these need a restart: {keys}"),
    }
    next
}
