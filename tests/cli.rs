//! The command line from outside: output, exit codes, and what a person reads when something is wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `callbox` with nothing of this machine's environment or configuration in its way.
fn callbox(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callbox"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent");
    command
}

fn finish(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn write(dir: &Path, text: &str) -> String {
    let path = dir.join("callbox.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A daemon that is killed when the test ends, however it ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    fn start(mut command: Command) -> Daemon {
        Daemon(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Reads standard output up to the line that shows an address, and returns the address.
    fn address(&mut self) -> String {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let line =
            lines.map(Result::unwrap).find(|line| line.starts_with("  http://")).expect("no address was printed");
        line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// Asks the daemon to end as systemd does; returns its exit code and standard error.
    fn terminate(mut self) -> (Option<i32>, String) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let end = Instant::now() + Duration::from_secs(20);
        while self.0.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.0.try_wait().unwrap().expect("it did not end within 20 s").code();
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (code, log)
    }
}

#[test]
fn check_prints_the_settings_and_their_origins() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "[camera]\nwidth = 640\nheight = 480\n\n[ice]\npolicy = \"relay\"");
    let mut command = callbox(&["check", "--config", &path]);
    command.env("CALLBOX_CAMERA__FPS", "15");
    let (code, out, err) = finish(command);
    assert_eq!(code, 0, "{err}");
    for (setting, origin) in [
        ("width = 640", format!("{path}:2")),
        ("fps = 15", "CALLBOX_CAMERA__FPS".to_owned()),
        ("listen = \"127.0.0.1:8080\"", "default".to_owned()),
    ] {
        let line = out.lines().find(|line| line.starts_with(setting)).unwrap_or_else(|| panic!("{setting}: {out}"));
        assert!(line.ends_with(&format!("# {origin}")), "{line}");
    }
    assert!(err.contains("callbox: warning: ") && err.contains("ice.policy"), "{err}");
}

#[test]
fn bad_configuration_is_exit_code_2_and_clear_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "[camera]\nwidht = 640\nfps = 0");
    let missing = dir.path().join("missing.toml");
    for command in ["check", "server"] {
        let (code, out, err) = finish(callbox(&[command, "--config", &path]));
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!(lines.len(), 2, "{err}");
        assert!(lines[0].starts_with(&format!("callbox: {path}:2: camera.widht: ")), "{err}");
        assert!(lines[1].starts_with(&format!("callbox: {path}:3: camera.fps = 0: must be ")), "{err}");
        let (code, _, err) = finish(callbox(&[command, "--config", missing.to_str().unwrap()]));
        assert_eq!(code, 2);
        assert!(err.contains("missing.toml: the configuration cannot be read: No such file"), "{err}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["dance"] as &[&str], &["check", "--confg", "x"], &["completions", "ksh"], &[]] {
        let (code, _, err) = finish(callbox(arguments));
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains("--help") || err.contains("Usage: callbox"), "{err}");
    }
}

#[test]
fn every_command_explains_itself() {
    let (code, top, _) = finish(callbox(&["--help"]));
    assert_eq!(code, 0);
    let commands: Vec<&str> = top
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()))
        .collect();
    assert_eq!(commands, COMMANDS);
    for command in commands {
        let (code, help, _) = finish(callbox(&[command, "--help"]));
        assert_eq!(code, 0, "{command}");
        assert!(help.contains(&format!("callbox {command}")) && help.lines().count() > 5, "{help}");
    }
    let (code, version, _) = finish(callbox(&["--version"]));
    assert_eq!((code, version.trim()), (0, concat!("callbox ", env!("CARGO_PKG_VERSION"))));
}

#[cfg(feature = "board")]
const COMMANDS: &[&str] = &[
    "run",
    "server",
    "devices",
    "status",
    "call",
    "answer",
    "ring",
    "hangup",
    "invite",
    "people",
    "revoke",
    "rename",
    "token",
    "pair",
    "unpair",
    "erase",
    "backup",
    "restore",
    "reset",
    "check",
    "provision",
    "board",
    "completions",
];
#[cfg(all(feature = "device", not(feature = "board")))]
const COMMANDS: &[&str] = &[
    "run",
    "server",
    "devices",
    "status",
    "call",
    "answer",
    "ring",
    "hangup",
    "invite",
    "people",
    "revoke",
    "rename",
    "token",
    "pair",
    "unpair",
    "erase",
    "backup",
    "restore",
    "reset",
    "check",
    "completions",
];
#[cfg(not(feature = "device"))]
const COMMANDS: &[&str] = &[
    "server",
    "invite",
    "people",
    "revoke",
    "rename",
    "token",
    "pair",
    "unpair",
    "erase",
    "backup",
    "restore",
    "reset",
    "check",
    "completions",
];

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = finish(callbox(&["completions", shell]));
        assert_eq!(code, 0);
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = finish(callbox(&["man", dir.path().to_str().unwrap()]));
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let top = std::fs::read_to_string(dir.path().join("callbox.1")).unwrap();
    for command in COMMANDS {
        assert!(top.contains(&format!("callbox\\-{command}(1)")), "{command}: {top}");
        let page = std::fs::read_to_string(dir.path().join(format!("callbox-{command}.1"))).unwrap();
        assert!(page.starts_with(".") && page.contains("\n.SH NAME\n"), "{page}");
    }
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let (inner, pages): (Vec<String>, Vec<String>) = names.partition(|name| name.starts_with("callbox-board-"));
    assert_eq!((pages.len(), inner.is_empty()), (COMMANDS.len() + 1, !COMMANDS.contains(&"board")), "{pages:?}");

    let (code, _, err) = finish(callbox(&["man", "/nonexistent/man1"]));
    assert_eq!(code, 1);
    assert!(err.starts_with("callbox: the manual pages cannot be written to /nonexistent/man1: "), "{err}");
}

#[cfg(feature = "update")]
#[test]
fn callbox_update_has_manual_pages_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_callbox-update"));
    command.arg("man").arg(dir.path());
    assert_eq!(finish(command), (0, String::new(), String::new()));
    let top = std::fs::read_to_string(dir.path().join("callbox-update.1")).unwrap();
    for command in ["install", "status", "rollback"] {
        assert!(top.contains(&format!("callbox\\-update\\-{command}(1)")), "{top}");
        assert!(dir.path().join(format!("callbox-update-{command}.1")).exists(), "{command}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = callbox(&["check"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(status.success() && err.is_empty(), "{status}: {err}");
}

#[test]
fn the_server_says_where_it_is_and_ends_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "[server]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"info\"");
    let mut daemon = Daemon::start(callbox(&["server", "--config", &path]));
    let address = daemon.address();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 ") && reply.trim_end().ends_with("ok"), "{reply}");

    // Its port is taken now: one clear line, and no second server.
    let taken = write(dir.path(), &format!("[server]\nlisten = \"{address}\"\n[log]\nlevel = \"off\""));
    let (code, out, err) = finish(callbox(&["server", "--config", &taken]));
    assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{err}");
    assert!(err.starts_with(&format!("callbox: cannot listen on {address}: address already in use")), "{err}");

    let (code, log) = daemon.terminate();
    assert_eq!(code, Some(0), "{log}");
    let first = log.lines().next().unwrap();
    assert!(first.contains(" INFO  Callbox starts ") && first.contains(&format!("file={path}")), "{log}");
    assert!(!log.contains('\u{1b}'), "colours where there is no terminal: {log}");
}

#[cfg(feature = "device")]
#[test]
fn a_daemon_takes_all_the_descriptors_it_may_have() {
    let run = format!("ulimit -S -n 64 && exec {} server", env!("CARGO_BIN_EXE_callbox"));
    let mut command = Command::new("sh");
    command.args(["-c", &run]).env_clear().env("HOME", "/nonexistent").env("CALLBOX_SERVER__LISTEN", "127.0.0.1:0");
    let mut daemon = Daemon::start(command);
    daemon.address();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.0.id())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard, ..] = files.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{files}") };
    assert_eq!(soft, hard);
    daemon.terminate();
}

#[test]
fn devices_are_listed_for_people_and_for_programs() {
    let (code, out, err) = finish(callbox(&["devices", "--json"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let devices: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(["cameras", "capture", "playback"].iter().all(|list| devices[list].is_array()), "{out}");
    let (code, out, err) = finish(callbox(&["devices"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(["Cameras", "Microphones", "Speakers"].iter().all(|title| out.contains(title)), "{out}");
}

#[cfg(feature = "device")]
#[test]
fn the_daemon_is_asked_over_its_socket() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let settings = "[device]\nid = \"door\"\nname = \"Front door\"\n[server]\nlisten = \"127.0.0.1:0\"\n\
                    [camera]\nsource = \"synthetic\"\n[microphone]\nsource = \"synthetic\"\n\
                    [speaker]\nsink = \"synthetic\"\n[ice]\nmdns = false\n\
                    [control]\nsocket = \"c.sock\"\n[state]\ndir = \"state\"\n";
    let path = write(dir.path(), settings);
    let ask = |arguments: &[&str]| finish(callbox(&[arguments, &["--config", &path]].concat()));

    let (code, out, err) = ask(&["status"]);
    assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{err}");
    assert!(err.starts_with("callbox: no Callbox is running behind "), "{err}");

    let mut daemon = Daemon::start(callbox(&["run", "--config", &path]));
    let address = daemon.address();
    let mode = std::fs::metadata(dir.path().join("c.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);

    let (code, out, err) = ask(&["status", "--json"]);
    assert_eq!(code, 0, "{err}");
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&status["id"], &status["calls"]), (&"door".into(), &serde_json::json!([])), "{out}");
    let (_, out, _) = ask(&["status"]);
    assert!(out.starts_with(concat!("Front door (door), Callbox ", env!("CARGO_PKG_VERSION"), ", up for ")), "{out}");
    assert!(out.contains(&format!("page        http://{address}/")) && out.contains("calls       none"), "{out}");

    let (code, _, err) = ask(&["answer"]);
    assert_eq!((code, err.as_str()), (1, "callbox: nobody is ringing\n"));
    assert_eq!(ask(&["hangup"]), (0, String::new(), String::new()));
    // Until it has registered it says so; then it knows that nobody of that name is there.
    let end = Instant::now() + Duration::from_secs(20);
    let refusal = loop {
        let (code, _, err) = ask(&["call", "anna"]);
        assert_eq!((code, err.lines().count()), (1, 1), "{err}");
        if !err.contains("not registered") || Instant::now() > end {
            break err;
        }
    };
    assert!(refusal.starts_with("callbox: call to anna: "), "{refusal}");

    let (code, _, err) = ask(&["run"]);
    assert_eq!(code, 1);
    assert!(err.contains("another Callbox is running behind "), "{err}");

    let (code, log) = daemon.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(!dir.path().join("c.sock").exists());
}

/// A public authority that is away keeps a device from nothing, its own server's certificate included.
#[cfg(feature = "device")]
#[test]
fn the_status_says_where_the_certificate_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let settings = "device.id = \"door\"\ncamera.source = \"none\"\nmicrophone.source = \"none\"\nspeaker.sink = \"none\"\n\
                    control.socket = \"c.sock\"\nstate.dir = \"state\"\n\
                    [server]\nlisten = \"127.0.0.1:0\"\nnames = [\"door.example.org\"]\n\
                    [server.tls]\nmode = \"acme\"\n[server.tls.acme]\nchallenge = \"tls-alpn-01\"\n\
                    directory = \"https://127.0.0.1:1/directory\"\n";
    let path = write(dir.path(), settings);
    let mut daemon = Daemon::start(callbox(&["run", "--config", &path]));
    let mut lines = BufReader::new(daemon.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.starts_with("  https://door.example.org:")).expect("the name goes before the addresses");
    let end = Instant::now() + Duration::from_secs(20);
    let expected = "certificate this machine's own authority's; none from 127.0.0.1:1 for door.example.org yet: ";
    loop {
        let (_, out, err) = finish(callbox(&["status", "--config", &path]));
        if out.contains(expected)
            && out.contains("refused")
            && out.contains("signaling   registered at wss://localhost:")
        {
            break;
        }
        assert!(Instant::now() < end, "{out}{err}");
    }
    assert_eq!(daemon.terminate().0, Some(0));
}

#[test]
fn with_a_certificate_of_its_own_it_says_how_to_trust_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "[server]\nlisten = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"\ntls.mode = \"auto\"\n\
                    [state]\ndir = \"state\"\n";
    let path = write(dir.path(), settings);
    let mut daemon = Daemon::start(callbox(&["server", "--config", &path]));
    let mut lines = BufReader::new(daemon.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut after = |title: &str| {
        lines.find(|line| line.starts_with(title)).expect(title);
        lines.next().unwrap().trim().to_owned()
    };
    assert!(after("Open in a browser").starts_with("https://127.0.0.1:"));
    assert!(after("How browsers come to trust").starts_with("http://127.0.0.1:"));
    let fingerprint = after("SHA-256");
    assert_eq!(fingerprint.split(':').count(), 32, "{fingerprint}");
    assert_eq!(daemon.terminate().0, Some(0));
}
