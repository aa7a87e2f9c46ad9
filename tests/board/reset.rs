//! Back to what the card was written with.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use callbox::board::{RESET_REQUEST, SETTINGS, SUPPLICANT, WIFI};

use crate::card::{Board, HOME, TEMPLATE, WIFI_TEMPLATE};
use crate::partition::{Partition, holds};

const OFFICE: &str = "[wifi]\nssid=Office\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=open-sesame\n";

/// A board in use: people, keys, networks, a token, a journal, and somebody's ssh key.
fn furnish(root: &Path) {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("boot/firmware/config.txt", "arm_64bit=1\n");
    let settings =
        "device.id = 'sesame-door'\n[signaling]\nurl = 'wss://sesame.example/ws'\ntoken_file = 'my-token.txt'\n";
    write("boot/firmware/callbox.toml", settings);
    write("boot/firmware/my-token.txt", "sesame-token");
    write("boot/firmware/WIFI.TXT", &HOME.replace("12345678", "sesame-password"));
    write("boot/firmware/Office.nmconnection", OFFICE);
    write("boot/firmware/ssh_authorized_keys", "ssh-ed25519 sesame");
    write("boot/firmware/callbox-before-scan.toml", "name = 'sesame'");
    write("var/lib/callbox/household.db", "sesame-people");
    write("var/lib/callbox/household.lock", "");
    write("var/lib/callbox/tls/ca.pem", "sesame-key");
    write("var/lib/callbox/commissioned", "sesame");
    write("var/lib/callbox-state/ssh/ssh_host_ed25519_key", "sesame-host");
    write("var/lib/callbox-state/machine-id", "5e5a3e");
    write("var/log/journal/5e5a3e/system.journal", "MESSAGE=sesame calls");
    write("var/lib/callbox-update/slots/a/callbox", "the installed program");
}

#[test]
fn a_file_on_the_card_makes_it_forget_everything_once() {
    let mut board = Board::new();
    board.places.free_space = 3 << 20;
    let root = board.places.root.clone();
    furnish(&root);
    board.remove(WIFI);
    assert_eq!(board.start().problems, 0);
    assert!(board.networks().is_some() && board.config().device.id.as_str() == "sesame-door");
    // What the files hold can be read for as long as they are open.
    let mut held: Vec<File> = ["var/lib/callbox/household.db", "boot/firmware/WIFI.TXT", "var/lib/callbox-board/token"]
        .iter()
        .chain(&["var/lib/callbox/tls/ca.pem", "var/lib/callbox-board/my-token.txt", "boot/firmware/callbox.toml"])
        .filter_map(|path| File::open(root.join(path)).ok())
        .collect();
    assert_eq!(held.len(), 5);

    board.write("Callbox-Reset.txt", b"");
    let import = board.start();
    assert_eq!((import.problems, import.usable, import.configured), (0, true, false), "{}", import.report);
    assert!(import.report.contains("Reset     done") && import.awaits_code, "{}", import.report);
    assert_eq!((board.config().device.id.as_str(), board.networks()), ("callbox", None));
    let bytes = |path: &str| fs::read_to_string(root.join(path)).unwrap().replace("\r\n", "\n");
    assert_eq!(bytes(&format!("boot/firmware/{SETTINGS}")), TEMPLATE);
    assert_eq!(bytes(&format!("boot/firmware/{WIFI}")), WIFI_TEMPLATE);
    let mut left = Vec::new();
    walk(&root, &mut left);
    for path in &left {
        let text = fs::read(path).unwrap();
        assert!(!holds(&text, b"sesame"), "{}", path.display());
    }
    for file in &mut held {
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        assert!(!text.is_empty() && text.iter().all(|byte| *byte == 0), "it was not overwritten");
    }
    let there = |name: &str| left.iter().any(|path| path.ends_with(name));
    assert!(there("var/lib/callbox-update/slots/a/callbox") && there("boot/firmware/config.txt"));
    for gone in
        [RESET_REQUEST, "Callbox-Reset.txt", "machine-id", "ssh_host_ed25519_key", "ssh_authorized_keys", SUPPLICANT]
    {
        assert!(!there(gone), "{gone}");
    }
    // Once: what comes afterwards stays. The report tells of it until the next start.
    fs::write(root.join("var/lib/callbox/household.db"), "Anna").unwrap();
    let again = callbox::board::import(&board.places);
    assert!(again.report.contains("Reset     done"), "{}", again.report);
    assert!(!board.start().report.contains("Reset"));
    assert_eq!(bytes("var/lib/callbox/household.db"), "Anna");
}

#[test]
fn nothing_is_forgotten_under_a_running_daemon_nor_where_it_would_be_every_time() {
    let board = Board::new();
    furnish(&board.places.root);
    let db = board.places.daemon.join("household.db");
    let request = board.places.boot.join(RESET_REQUEST);
    fs::write(&request, "").unwrap();
    let lock = File::open(board.places.daemon.join("household.lock")).unwrap();
    lock.lock_shared().unwrap();
    let import = board.start();
    assert!(db.exists() && request.exists() && import.report.contains("at its next start"), "{}", import.report);
    drop(lock);
    let socket = board.root("run/callbox/callbox.sock");
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    assert!(board.start().report.contains("at its next start") && db.exists());
    drop(listener);
    // A directory of that name is no request.
    fs::remove_file(&request).unwrap();
    fs::create_dir(&request).unwrap();
    assert!(!board.start().report.contains("forget") && db.exists());
}

#[test]
fn the_command_asks_the_next_start_of_a_board() {
    let board = Board::new();
    furnish(&board.places.root);
    board.start();
    let command = |more: &[&str]| {
        let root = board.places.root.to_str().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_callbox"));
        command.args(["reset", "--root", root]).args(more).stdin(Stdio::null()).output().unwrap()
    };
    let refused = command(&[]);
    assert!(refused.status.code() == Some(1) && !board.places.state.join(RESET_REQUEST).exists());
    let asked = command(&["--yes"]);
    assert!(asked.status.success() && String::from_utf8_lossy(&asked.stdout).contains("reboot"));
    let mut places = board.places.clone();
    places.free_space = 0;
    let import = callbox::board::import(&places);
    assert!(
        import.report.contains("Reset     done") && !places.daemon.join("household.db").exists(),
        "{}",
        import.report
    );
    assert!(!places.state.join(RESET_REQUEST).exists());
}

/// On the disk itself, where files have been replaced before.
#[test]
fn the_bare_disk_shows_nothing_of_what_was_forgotten() {
    let Some(partition) = Partition::new() else { return };
    let board = Board::new();
    furnish(&board.places.root);
    let copied = format!("cp -r {}/. \"$AT\"; rm \"$AT\"/boot/firmware/wifi.txt", board.places.root.display());
    partition.sh(&copied);
    let root = partition.path().to_str().unwrap().to_owned();
    let import = ["board", "import", "--root", &root];
    partition.run(&import);
    partition.sh(
        "cd \"$AT/var/lib/callbox\"; for i in 1 2 3 4 5 6 7 8 9; do echo sesame-$i > paired.tmp; sync paired.tmp; \
         mv paired.tmp paired; done; rm paired",
    );
    assert!(holds(&partition.raw(), b"sesame-people") && holds(&partition.raw(), b"sesame-3"));
    partition.sh(": > \"$AT/boot/firmware/callbox-reset\"");
    let report = partition.run(&import);
    assert!(report.contains("Reset     done"), "{report}");
    let raw = partition.raw();
    let at = raw.windows(6).position(|part| part == b"sesame");
    assert_eq!(at.map(|at| String::from_utf8_lossy(&raw[at..at + 40]).into_owned()), None);
    assert!(!holds(&raw, b"Office\n") && holds(&raw, b"the installed program"));
}

fn walk(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, found),
            false => found.push(path),
        }
    }
}
