//! What was erased is not on the disk any more, whoever reads it raw.
#![cfg(feature = "server")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use callbox::store::Secret;
use serde_json::Value;
use tempfile::TempDir;

#[path = "common/partition.rs"]
mod partition;

use partition::{Partition, holds};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server whose state is on a partition of its own.
struct Home {
    partition: Partition,
    /// On another disk.
    beside: TempDir,
    config: PathBuf,
    address: SocketAddr,
}

/// Killed when dropped, which is as good as a crash.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Ends as it does when systemd asks it to.
    fn stop(mut self) {
        let pid = self.0.id().to_string();
        assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
        let end = Instant::now() + PATIENCE;
        while self.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Home {
    fn new() -> Option<Home> {
        let partition = Partition::new()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let beside = tempfile::tempdir().unwrap();
        let config = beside.path().join("callbox.toml");
        let home = Home { partition, beside, config, address };
        home.configure("off");
        Some(home)
    }

    fn configure(&self, tls: &str) {
        let text = format!(
            "[server]\nlisten = '{}'\ntls.mode = '{tls}'\n[access]\nmode = 'invited'\n[state]\ndir = '{}'\n\
             [control]\nsocket = '{}'\n",
            self.address,
            self.partition.path().join("state").display(),
            self.beside.path().join("socket").display(),
        );
        std::fs::write(&self.config, text).unwrap();
    }

    fn serve(&self) -> Server {
        let mut command = self.partition.callbox(&["server", "--config", self.config.to_str().unwrap()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Server(child);
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < end, "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.partition.run(&[arguments, &["--config", self.config.to_str().unwrap()]].concat())
    }

    /// Invites somebody, and comes in as them so many times; returns what the server keeps of the secrets.
    fn enter(&self, name: &str, times: usize) -> Vec<Vec<u8>> {
        let invited = self.run(&["invite", "--json", "--name", name, "--uses", &times.to_string()]);
        let invited: Value = serde_json::from_str(&invited).unwrap();
        let invitation = invited["link"].as_str().unwrap().split_once("#invite=").unwrap().1.to_owned();
        let invitation = invitation.get(..43).unwrap().to_owned();
        let sessions: Vec<_> = (0..times).map(|_| self.redeem(&invitation)).collect();
        let hash = |secret: String| secret.parse::<Secret>().unwrap().hash().0.to_vec();
        std::iter::once(invitation).chain(sessions).map(hash).collect()
    }

    fn redeem(&self, invitation: &str) -> String {
        let body = format!("{{\"secret\":\"{invitation}\"}}");
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "POST /api/redeem HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let cookie = answer.lines().find_map(|line| line.split_once("callbox=")).expect(&answer).1;
        cookie.split(';').next().unwrap().to_owned()
    }
}

#[test]
fn nobody_finds_an_erased_person_on_the_disk() {
    let Some(home) = Home::new() else { return };
    let server = home.serve();
    let others: Vec<_> = (0..12).map(|number| home.enter(&format!("Bartholomew {number}"), 1)).collect();
    let hashes = home.enter("Wilhelmina", 40);
    // The log of changes has become long. Rows move from page to page, and a daemon ends and begins.
    for number in 0..24 {
        home.run(&["invite", "--name", &format!("Bartholomew {number}")]);
    }
    server.stop();
    home.run(&["rename", "Wilhelmina", "Wilhelmina the Third"]);
    let server = home.serve();
    home.run(&["invite", "--name", "Wilhelmina the Third"]);
    let before = home.partition.raw();
    assert!(holds(&before, b"Wilhelmina the Third") && holds(&before, b"wilhelmina") && holds(&before, &hashes[40]));

    // Once beside the daemon.
    home.run(&["erase", "--person", "Wilhelmina the Third"]);
    let after = home.partition.raw();
    assert!(!holds(&after, b"wilhelmina"));
    for (number, hash) in hashes.iter().enumerate() {
        assert!(!holds(&after, hash), "secret {number} is still on the disk");
    }
    assert!(holds(&after, b"Bartholomew 7") && holds(&after, &others[7][1]));
    // And once after it, so that others' rows that were left behind meanwhile count too.
    drop(server);
    let server = home.serve();
    for number in (0..24).filter(|number| number % 3 > 0) {
        home.run(&["erase", "--person", &format!("Bartholomew {number}")]);
    }
    server.stop();
    let after = home.partition.raw();
    for (number, hashes) in others.iter().enumerate() {
        assert_eq!(holds(&after, &hashes[1]), number % 3 == 0, "Bartholomew {number}");
    }
    assert!(!holds(&after, b"Bartholomew 23"));
    assert!(home.run(&["people"]).contains("Bartholomew 21"));
}

#[test]
fn a_reset_leaves_nothing_on_the_disk() {
    let Some(home) = Home::new() else { return };
    let state = home.partition.path().join("state");
    let server = home.serve();
    let hashes = home.enter("Wilhelmina", 1);
    let config = home.config.to_str().unwrap();
    let reset = |more: &[&str]| {
        let arguments = [&["reset", "--config", config, "--root", "/nonexistent"], more].concat();
        let output = home.partition.callbox(&arguments).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, _, err) = reset(&["--yes"]);
    assert!(code == Some(1) && err.contains("systemctl stop callbox") && err.contains("Nothing was erased"), "{err}");
    server.stop();
    // A household that was set aside, a server with a certificate, and secrets in files that were there once.
    home.partition.sh("cd \"$AT/state\"; for end in '' -wal; do cp household.db$end household.corrupt-1.db$end; done");
    home.configure("auto");
    let server = home.serve();
    home.run(&["invite", "--name", "Bartholomew"]);
    server.stop();
    home.partition.sh(
        "cd \"$AT/state\"; for i in 1 2 3 4 5 6 7 8 9; do echo sesame-$i-tree > first-link.tmp; sync first-link.tmp; \
         mv first-link.tmp first-link; done; rm first-link; mkdir -p board; echo '# Anna' > letter.txt; echo sesame > commissioned",
    );
    let key = home.partition.sh("grep -A1 'BEGIN PRIVATE' \"$AT/state/tls/ca.pem\" | tail -n 1").trim().to_owned();
    assert!(key.len() > 40, "{key}");
    let before = home.partition.raw();
    let planted =
        [("name", &b"Wilhelmina"[..]), ("invited", b"Bartholomew"), ("session", &hashes[1]), ("key", key.as_bytes())];
    for (what, bytes) in planted.iter().chain(&[("replaced file", &b"sesame-4-tree"[..])]) {
        assert!(holds(&before, bytes), "the {what} is not there");
    }

    let (code, _, err) = reset(&[]);
    assert!(code == Some(1) && err.contains("--yes"), "{err}");
    assert!(holds(&home.partition.raw(), b"Wilhelmina"));
    let (code, out, err) = reset(&["--yes"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains("which is all") && out.contains("still there: letter.txt, lost+found")
            || out.contains("letter.txt"),
        "{out}"
    );
    let after = home.partition.raw();
    for (what, bytes) in planted.iter().chain(&[("replaced file", &b"sesame"[..])]) {
        assert!(!holds(&after, bytes), "the {what} is still on the disk");
    }
    assert_eq!(home.partition.sh("ls -A \"$AT/state\""), "letter.txt\n");
    // The next start is a first start.
    let server = home.serve();
    let link = home.partition.sh("until cat \"$AT/state/first-link\" 2> /dev/null; do sleep 0.05; done");
    assert!(link.starts_with("https://") && link.contains("#invite="), "{link}");
    assert!(!state.exists(), "it was mounted for them alone");
    drop(server);
}
