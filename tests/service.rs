//! The daemon as systemd sees it: readiness, status text, watchdog and reload, over a notification socket of our own.
#![cfg(all(feature = "device", feature = "server"))]

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The watchdog of these tests; it is fed four times as often.
const WATCHDOG: Duration = Duration::from_millis(400);

/// A daemon under a service manager; it is killed when the test ends, however it ends.
struct Service {
    process: Child,
    folder: tempfile::TempDir,
    socket: UnixDatagram,
    log: Receiver<String>,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Service {
    fn start(role: &str, more: &str, hooks: bool) -> Service {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        write(folder.path(), more);
        let mut command = callbox(folder.path(), role);
        command.env("NOTIFY_SOCKET", folder.path().join("notify"));
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        if hooks {
            command.env("CALLBOX_DEBUG_HOOKS", "1");
        }
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (send, log) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Service { process, folder, socket, log }
    }

    /// Reads messages up to the one with a line that starts so, and returns that message.
    fn until(&self, start: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.message(left).unwrap_or_else(|| panic!("no {start} within {PATIENCE:?}"));
            if message.lines().any(|line| line.starts_with(start)) {
                return message;
            }
        }
    }

    /// The next message, if there is one in time.
    fn message(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within.max(Duration::from_millis(1)))).unwrap();
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8(message[..length].to_vec()).unwrap())
    }

    /// Reads the log up to the line that contains `part`, and returns that line.
    fn log_until(&self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let line = self.log.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no {part:?} in the log within {PATIENCE:?}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap().success());
    }

    /// Another `callbox`, as an operator starts it. Returns whether it succeeded, and what it complained of.
    fn ask(&self, command: &str) -> (bool, String) {
        let output = callbox(self.folder.path(), command).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("callbox.toml")
}

/// Nothing of this machine's environment, configuration and devices.
fn callbox(folder: &Path, command: &str) -> Command {
    let mut callbox = Command::new(env!("CARGO_BIN_EXE_callbox"));
    callbox.args([command, "--config"]).arg(file(folder)).env_clear().env("HOME", "/nonexistent");
    callbox
}

fn write(folder: &Path, more: &str) {
    let text = format!(
        "device.id = \"door\"\nserver.listen = \"127.0.0.1:0\"\ncontrol.socket = \"c.sock\"\nstate.dir = \"state\"\n\
         camera.source = \"synthetic\"\nmicrophone.source = \"synthetic\"\nspeaker.sink = \"synthetic\"\n{more}\n"
    );
    std::fs::write(file(folder), text).unwrap();
}

#[test]
fn tells_that_it_is_ready_how_it_stands_that_it_lives_and_that_it_ends() {
    let mut service = Service::start("run", "", false);
    let first = service.message(PATIENCE).unwrap();
    assert_eq!(first, "READY=1\n", "nothing comes before");
    assert!(service.ask("status").0, "ready means that it answers");
    let status = service.until("STATUS=registered at ws://127.0.0.1:");
    assert!(status.trim_end().ends_with("/ws, no call"), "{status}");
    for _ in 0..10 {
        service.until("WATCHDOG=1");
    }
    service.signal("-TERM");
    service.until("STOPPING=1");
    assert!(service.process.wait().unwrap().success());
}

#[test]
fn says_what_is_wrong_with_signaling() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = Service::start("run", &format!("signaling.url = \"ws://{closed}/\""), false);
    service.until("READY=1");
    let status = service.until("STATUS=signaling lost: ");
    assert!(status.contains(&closed.to_string()) && status.contains("trying again"), "{status}");
    service.until("WATCHDOG=1");
    let line = service.log_until("cannot reach");
    assert!(line.contains(" code=unreachable"), "{line}");
}

#[test]
fn a_blocked_main_loop_is_not_fed_for() {
    let service = Service::start("run", "", true);
    service.until("WATCHDOG=1");
    let (done, error) = service.ask("debug-block");
    assert!(done, "{error}");
    let end = Instant::now() + PATIENCE;
    // A meal may have been on its way; then there is silence.
    while service.message(5 * WATCHDOG).is_some() {
        assert!(Instant::now() < end, "still fed {PATIENCE:?} after the main loop was blocked");
    }
    let line = service.log_until("the watchdog is not fed");
    assert!(line.contains("the switchboard task does not answer"), "{line}");
    assert!(service.message(5 * WATCHDOG).is_none());
}

#[test]
fn nobody_blocks_the_main_loop_of_an_ordinary_daemon() {
    let service = Service::start("run", "", false);
    service.until("READY=1");
    let (done, error) = service.ask("debug-block");
    assert!(!done && error.contains("CALLBOX_DEBUG_HOOKS=1"), "{error}");
    assert!(service.ask("status").0);
}

#[test]
fn reloads_what_can_change_and_names_what_cannot() {
    let service = Service::start("run", "", false);
    service.until("READY=1");
    let more = "log.level = \"debug\"\ncalls.max_calls = 3\nice.bind = [\"127.0.0.1\"]\ndevice.name = \"Gate\"";
    write(service.folder.path(), more);
    service.signal("-HUP");
    let message = service.until("RELOADING=1");
    let time = message.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("as systemd 253 wants it");
    assert!(time.parse::<u64>().unwrap() > 0);
    service.until("READY=1");
    let live = service.log_until("these change");
    assert!(live.ends_with("these change: ice.bind, calls.max_calls, log.level"), "{live}");
    let rest = service.log_until("need a restart");
    assert!(rest.contains("these need a restart: device.name"), "{rest}");
    service.signal("-HUP");
    service.log_until("nothing changes");
    service.log_until("these need a restart: device.name");
    service.until("WATCHDOG=1");
}

#[test]
fn keeps_its_configuration_when_the_file_is_broken() {
    let service = Service::start("run", "", false);
    service.until("READY=1");
    std::fs::write(file(service.folder.path()), "[camera]\nwidht = 1\nfps = 0\n").unwrap();
    service.signal("-HUP");
    service.until("RELOADING=1");
    service.until("READY=1");
    for part in ["callbox.toml:2: camera.widht", "callbox.toml:3: camera.fps", "stays as it was"] {
        let line = service.log_until(part);
        assert!(line.contains("code=badConfiguration"), "{line}");
    }
    write(service.folder.path(), "");
    assert!(service.ask("status").0, "it goes on");
    service.until("WATCHDOG=1");
    service.signal("-HUP");
    service.log_until("nothing changes");
}

#[test]
fn the_server_tells_who_is_online_and_reloads_its_ice_servers() {
    let mut service = Service::start("server", "", false);
    assert_eq!(service.message(PATIENCE).unwrap(), "READY=1\n");
    service.until("STATUS=nobody online");
    for _ in 0..3 {
        service.until("WATCHDOG=1");
    }
    write(service.folder.path(), "ice.servers = [{urls = [\"stun:127.0.0.1\"]}]\ncalls.max_calls = 1");
    service.signal("-HUP");
    service.until("RELOADING=1");
    service.until("READY=1");
    let line = service.log_until("these change");
    assert!(line.ends_with("these change: ice.servers"), "calls are no business of the server: {line}");
    service.signal("-TERM");
    service.until("STOPPING=1");
    assert!(service.process.wait().unwrap().success());
}
