//! Remembers that the appliance has been in service. A board that has taken a call, or has been there for others for some
//! time, is somebody's: the board's part then takes no more setup codes from whoever stands in front of its camera.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::base::durable::{self, Access};
use crate::config::COMMISSIONED;

/// Registered, with an address that others can reach, for this long in one run.
const SERVICE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(10);

const NOTE: &[u8] = b"This intercom is in service. While this file is here, its board takes a setup code only when its card asks for one.\n";

/// What the appliance has to show for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub registered: bool,
    /// Whether a call that was connected has ended.
    pub call_completed: bool,
}

/// Runs until it is remembered in `dir`. `reachable` tells whether this machine has an address for others.
pub async fn remember(dir: PathBuf, mut standing: watch::Receiver<Standing>, reachable: impl Fn() -> bool) {
    let mark = dir.join(COMMISSIONED);
    if mark.exists() {
        return;
    }
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut served, mut told) = (Duration::ZERO, false);
    loop {
        tokio::select! {
            _ = looks.tick() => {
                if standing.borrow_and_update().registered && reachable() {
                    served += LOOK;
                }
            }
            changed = standing.changed() => {
                if changed.is_err() {
                    return;
                }
                if !standing.borrow_and_update().call_completed {
                    continue;
                }
            }
        }
        if !standing.borrow().call_completed && served < SERVICE {
            continue;
        }
        let path = mark.clone();
        match tokio::task::spawn_blocking(move || write(&path)).await {
            Ok(Ok(())) => {
                log::info!(file:% = mark.display(); "this intercom is in service");
                return;
            }
            Ok(Err(error)) => {
                let level = if told { log::Level::Debug } else { log::Level::Warn };
                log::log!(level, file:% = mark.display(), error:%; "it cannot be remembered that this intercom is in service");
                told = true;
            }
            // The process is ending.
            Err(_) => return,
        }
    }
}

/// Whether this machine has an address for others: neither loopback, nor one that IPv6 gives to every cable.
pub fn reachable() -> bool {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.iter().map(if_addrs::Interface::ip).any(|ip| match ip {
        std::net::IpAddr::V4(ip) => !ip.is_loopback(),
        std::net::IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    })
}

fn write(mark: &Path) -> io::Result<()> {
    std::fs::create_dir_all(mark.parent().unwrap_or(Path::new(".")))?;
    durable::replace(mark, NOTE, Access::PRIVATE)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::sleep;

    use super::*;

    const REGISTERED: Standing = Standing { registered: true, call_completed: false };

    struct Board {
        dir: tempfile::TempDir,
        standing: watch::Sender<Standing>,
        cable: Arc<AtomicBool>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Board {
        fn start() -> Board {
            let dir = tempfile::tempdir().unwrap();
            let (standing, watched) = watch::channel(Standing::default());
            let cable = Arc::new(AtomicBool::new(true));
            let plugged = cable.clone();
            let task =
                tokio::spawn(remember(dir.path().join("state"), watched, move || plugged.load(Ordering::Relaxed)));
            Board { dir, standing, cable, task }
        }

        fn commissioned(&self) -> bool {
            self.dir.path().join("state").join(COMMISSIONED).exists()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_minutes_of_service_are_remembered() {
        let board = Board::start();
        // Neither without a server nor without a network is it of any service.
        sleep(SERVICE * 2).await;
        board.standing.send_replace(REGISTERED);
        board.cable.store(false, Ordering::Relaxed);
        sleep(SERVICE * 2).await;
        board.cable.store(true, Ordering::Relaxed);
        sleep(SERVICE - LOOK * 2).await;
        assert!(!board.commissioned());
        sleep(LOOK * 3).await;
        let mark = board.dir.path().join("state").join(COMMISSIONED);
        board.task.await.unwrap();
        assert!(mark.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn a_completed_call_is_remembered_at_once() {
        let board = Board::start();
        board.standing.send_replace(REGISTERED);
        sleep(Duration::from_secs(60)).await;
        assert!(!board.commissioned());
        board.standing.send_replace(Standing { call_completed: true, ..REGISTERED });
        let mark = board.dir.path().join("state").join(COMMISSIONED);
        board.task.await.unwrap();
        assert!(mark.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_written_is_tried_again() {
        let board = Board::start();
        std::fs::write(board.dir.path().join("state"), "in the way").unwrap();
        board.standing.send_replace(Standing { call_completed: true, ..REGISTERED });
        sleep(Duration::from_secs(60)).await;
        std::fs::remove_file(board.dir.path().join("state")).unwrap();
        let mark = board.dir.path().join("state").join(COMMISSIONED);
        board.task.await.unwrap();
        assert!(mark.exists());
    }
}
