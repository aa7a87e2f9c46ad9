//! The machine around the slots: systemd, dpkg, the daemon's control socket, the clock. A trait, so that tests can have a
//! daemon that is never healthy and stop at any step.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{UpdateError, package};

const SOCKET: &str = "/run/callbox/callbox.sock";
const SERVICE: &str = "callbox.service";
const SETTLE: &str = "callbox-update-settle.service";
/// How long the daemon may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Size of its answer in bytes at most.
const MAX_ANSWER: u64 = 256 * 1024;

/// A file, whatever its names and however its file system is mounted: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    pub fn of(path: &Path) -> Option<FileId> {
        fs::metadata(path).ok().map(|found| FileId(found.dev(), found.ino()))
    }
}

/// What the daemon behind the control socket says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// The program it was started from.
    pub program: FileId,
    /// Whether it is registered at its signaling server.
    pub registered: bool,
}

pub trait System {
    /// Has the service started anew and does not wait for it.
    fn restart(&self) -> Result<(), UpdateError>;
    /// Has `settle` run where the end of a terminal session does not end it, and waits for it.
    fn settle(&self) -> Result<(), UpdateError>;
    /// `None` where no daemon answers.
    fn running(&self) -> Option<Running>;
    /// Debian's name for what this system runs.
    fn architecture(&self) -> Result<String, UpdateError>;
    /// The version of the package that the image was made with.
    fn factory_version(&self) -> Result<String, UpdateError>;
    /// Unpacks a package into a directory.
    fn extract(&self, deb: &Path, to: &Path) -> Result<(), UpdateError> {
        package::extract(deb, to)
    }
    /// Time since some moment.
    fn now(&self) -> Duration;
    fn sleep(&self, time: Duration);
    /// Called after each change on the disk. Only tests do something here.
    fn reached(&self, _step: &'static str) {}
}

/// The real one.
pub struct Debian {
    start: Instant,
}

impl Default for Debian {
    fn default() -> Debian {
        Debian { start: Instant::now() }
    }
}

impl System for Debian {
    fn restart(&self) -> Result<(), UpdateError> {
        package::output(Command::new("systemctl").args(["restart", "--no-block", SERVICE])).map(drop)
    }

    fn settle(&self) -> Result<(), UpdateError> {
        // Its own failure is an outcome, which the state file tells.
        if let Err(error) = package::output(Command::new("systemctl").args(["start", SETTLE])) {
            log::warn!("{error}");
        }
        Ok(())
    }

    fn running(&self) -> Option<Running> {
        let mut stream = UnixStream::connect(SOCKET).ok()?;
        stream.set_read_timeout(Some(ANSWER)).ok()?;
        stream.set_write_timeout(Some(ANSWER)).ok()?;
        let daemon = rustix::net::sockopt::socket_peercred(&stream).ok()?.pid.as_raw_nonzero();
        let program = FileId::of(Path::new(&format!("/proc/{daemon}/exe")))?;
        stream.write_all(b"{\"command\":\"status\"}\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut line).ok()?;
        let status: Value = serde_json::from_str(&line).ok()?;
        Some(Running { program, registered: status["signaling"]["registration"]["state"] == "registered" })
    }

    fn architecture(&self) -> Result<String, UpdateError> {
        package::output(Command::new("dpkg").arg("--print-architecture")).map(|text| text.trim().to_owned())
    }

    fn factory_version(&self) -> Result<String, UpdateError> {
        package::output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", "callbox"]))
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}
