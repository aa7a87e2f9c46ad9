//! How long a start takes, and how much memory, with a household of ten thousand: `CALLBOX_BIN` starts again and again beside
//! an empty one, and is registered when its status says so. Prints figures; docs/performance.md has some.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use callbox::store::{Invite, Memory, Secret, Sqlite, Timestamp};

const PEOPLE: usize = 10_000;
const STARTS: usize = 10;
/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let Some(binary) = std::env::var_os("CALLBOX_BIN").map(PathBuf::from) else {
        return println!("cold start: left out, CALLBOX_BIN names no program");
    };
    println!("cold start, {STARTS} starts each: process -> registered at its own server, and its resident memory then");
    for people in [1, PEOPLE] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), people);
        let mut starts: Vec<_> = (0..STARTS).map(|_| start(&binary, dir.path())).collect();
        starts.sort();
        let size = std::fs::metadata(dir.path().join("household.db")).unwrap().len() / 1024;
        let [(fastest, _), .., (slowest, memory)] = starts.as_slice() else { return };
        let median = starts[STARTS / 2].0;
        println!("{people:>6} people, {size} KiB: {median:?} ({fastest:?} to {slowest:?}), {memory} KiB resident");
    }
}

/// Each with a browser that has come in, and a link that nobody has used.
fn fill(dir: &Path, people: usize) {
    let mut memory = Sqlite::open(dir).unwrap().memory;
    let now = Timestamp::from(SystemTime::now());
    for n in 0..people {
        let invite = |uses| Invite {
            name: format!("Person {n}"),
            role: None,
            grants: None,
            from: None,
            until: None,
            uses,
            expires: None,
        };
        let (link, session) = (Secret::random().unwrap(), Secret::random().unwrap());
        memory.invite(&invite(2), link.hash(), now).unwrap();
        memory.redeem(link.hash(), "Chrome on Linux", session.hash(), None, now).unwrap();
    }
}

fn start(binary: &Path, dir: &Path) -> (Duration, u64) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = dir.join("callbox.toml");
    let text = format!(
        "[server]\nlisten = '127.0.0.1:{port}'\n[access]\nmode = 'invited'\n[state]\ndir = '{0}'\n[control]\nsocket = '{0}/s'\n\
         [camera]\nsource = 'synthetic'\n[microphone]\nsource = 'synthetic'\n[speaker]\nsink = 'synthetic'\n",
        dir.display()
    );
    std::fs::write(&config, text).unwrap();
    let started = Instant::now();
    let child = command(binary, "run", &config).spawn().unwrap();
    let running = Running(child);
    let took = loop {
        let status = command(binary, "status", &config).arg("--json").stdout(Stdio::piped()).output().unwrap();
        if String::from_utf8_lossy(&status.stdout).contains("\"registered\"") {
            break started.elapsed();
        }
        assert!(started.elapsed() < PATIENCE, "it does not register");
        std::thread::sleep(Duration::from_millis(2));
    };
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (took, resident.trim().trim_end_matches(" kB").parse().unwrap())
}

fn command(binary: &Path, what: &str, config: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg(what).arg("--config").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
