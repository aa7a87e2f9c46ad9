//! The import at the start: whatever is on the boot partition, something good is in force afterwards.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use callbox::board::{REPORT, SETTINGS, SUPPLICANT, WIFI};
use proptest::prelude::*;

use crate::card::{Board, HOME, TEMPLATE, WIFI_TEMPLATE};

#[test]
fn a_fresh_card_is_an_intercom_for_the_network_it_is_in() {
    let board = Board::new();
    let import = board.start();
    assert_eq!((import.problems, import.usable, import.configured), (0, true, false), "{}", import.report);
    let config = board.config();
    assert!(!config.is_local() && config.access.mode == callbox::config::Mode::Invited);
    assert_eq!((board.networks(), board.awaits_code(), board.blinks()), (None, true, false));
    assert_eq!(fs::read_to_string(board.root("etc/hostname")).unwrap(), "callbox\n");
    let report = board.report();
    assert!(
        report.starts_with("Callbox: all is well.\r\n") && report.contains("http://callbox.local:8080/"),
        "{report}"
    );
    assert_eq!(report.matches('\n').count(), report.matches("\r\n").count());
    // The card without any file of ours is the same.
    board.remove(SETTINGS);
    board.remove(WIFI);
    assert!(!board.start().configured);
    assert_eq!(board.config(), config);
}

#[test]
fn whoever_has_the_card_finds_the_first_owners_link() {
    let board = Board::new();
    let text = "A-b_".repeat(10) + "xyz";
    let secret = format!("{text}&site={text}");
    assert!(!board.start().report.contains("Owner"));
    fs::create_dir_all(&board.places.daemon).unwrap();
    let link = board.places.daemon.join("first-link");
    fs::write(&link, format!("https://192.0.2.7:8443/#invite={secret}\n")).unwrap();
    board.start();
    let line =
        format!("Owner     nobody yet. Whoever opens this link first is: https://callbox.local:8443/#invite={secret}");
    assert!(board.report().contains(&line), "{}", board.report());
    assert_eq!(fs::metadata(board.places.run.join("report")).unwrap().permissions().mode() & 0o777, 0o600);
    // What is no such link is nobody's business, least of all a link to another file.
    for other in [
        "",
        "hello",
        "https://evil.example/#invite=short",
        &format!("x#invite={text}"),
        &format!("#invite={secret}\nmore"),
    ] {
        fs::write(&link, other).unwrap();
        assert!(!board.start().report.contains("Owner"), "{other}");
    }
    fs::remove_file(&link).unwrap();
    fs::write(board.root("etc/shadow"), format!("x#invite={secret}")).unwrap();
    symlink(board.root("etc/shadow"), &link).unwrap();
    assert!(!board.start().report.contains("Owner"));
}

#[test]
fn name_and_wifi_are_taken() {
    let board = Board::new();
    board.write(SETTINGS, TEMPLATE.replace("#id =", "id =").replace("#name =", "name =").as_bytes());
    board.write(WIFI, HOME.as_bytes());
    let import = board.start();
    assert_eq!((import.problems, import.configured, board.awaits_code()), (0, true, false), "{}", import.report);
    assert_eq!(board.config().device.name, "Front door");
    assert_eq!(fs::read_to_string(board.root("etc/hostname")).unwrap(), "front-door\n");
    let networks = board.networks().unwrap();
    assert!(networks.contains("country=DE\n") && networks.contains("ssid=486f6d65\n"), "{networks}");
    assert!(board.report().contains("Wi-Fi     Home") && board.report().contains("http://front-door.local:8080/"));
    for secret in [board.places.run.join(SUPPLICANT), board.places.state.join(SUPPLICANT)] {
        assert_eq!(fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!board.report().contains("12345678"));
    // Without a change, nothing is written to the card again.
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    let files = || [board.places.boot.join(REPORT), board.places.state.join(SETTINGS)].map(inode);
    let before = files();
    board.start();
    assert_eq!(files(), before);
    // Wi-Fi that is taken off the card is gone.
    board.write(WIFI, WIFI_TEMPLATE.as_bytes());
    board.start();
    assert!(board.networks().is_none() && !board.places.state.join(SUPPLICANT).exists());
}

#[test]
fn broken_files_keep_the_last_good_ones_and_say_so() {
    let board = Board::new();
    board.write(SETTINGS, b"device.id = 'door'");
    board.write(WIFI, HOME.as_bytes());
    board.start();
    let (config, networks) = (board.config(), board.networks());
    board.write(SETTINGS, b"[device]\r\nid = front door\r\n");
    board.write(WIFI, b"ssid = Home\r\npassword = short\r\n");
    let import = board.start();
    assert_eq!((import.problems, import.usable, import.configured), (2, true, true), "{}", import.report);
    assert_eq!((board.config(), board.networks(), board.blinks()), (config, networks, true));
    let report = board.report();
    for part in [
        "2 things need your attention",
        "callbox.toml, line 2",
        "wifi.txt, line 2",
        "at least 8",
        "What to do: correct this",
        "The last good callbox.toml is in force.",
        "The last good Wi-Fi networks stay in use.",
        "Device    door",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert_eq!(fs::read_to_string(board.places.run.join("report")).unwrap(), import.report);
    // Corrected: all is well again.
    board.write(SETTINGS, b"device.id = 'hall'");
    board.write(WIFI, HOME.as_bytes());
    fs::write(board.root("sys/class/leds/ACT/trigger"), "none [timer] mmc0\n").unwrap();
    assert_eq!(board.start().problems, 0);
    assert_eq!((board.config().device.id.as_str(), board.blinks()), ("hall", false));
}

#[test]
fn broken_files_on_the_first_start_still_make_an_intercom() {
    let board = Board::new();
    board.write(SETTINGS, b"\xff\xfe\x00");
    board.write(WIFI, b"\x00\x01\x02");
    let import = board.start();
    assert_eq!((import.problems, import.usable, import.configured), (2, true, true), "{}", import.report);
    assert!(!board.config().is_local() && board.networks().is_none());
    assert!(import.report.contains("no earlier copy"), "{}", import.report);
}

#[test]
fn a_boot_partition_that_is_not_there_changes_nothing() {
    let board = Board::new();
    board.write(SETTINGS, b"device.id = 'door'");
    board.write(WIFI, HOME.as_bytes());
    board.start();
    let (config, networks) = (board.config(), board.networks());
    fs::remove_dir_all(&board.places.boot).unwrap();
    for mounted in [false, true] {
        if mounted {
            fs::create_dir(&board.places.boot).unwrap();
        }
        let import = board.start();
        assert_eq!((import.problems, import.usable), (1, true), "{}", import.report);
        assert_eq!((board.config(), board.networks()), (config.clone(), networks.clone()));
        let _ = fs::remove_file(board.places.boot.join(REPORT));
    }
}

#[test]
fn a_card_that_can_only_be_read_is_read() {
    let board = Board::new();
    board.write(SETTINGS, b"device.id = 'door'");
    // A directory in its place: the report cannot be written, not even for root.
    fs::create_dir_all(board.places.boot.join(REPORT).join("x")).unwrap();
    let import = board.start();
    assert_eq!((import.problems, import.usable), (0, true));
    assert_eq!(board.config().device.id.as_str(), "door");
    assert!(import.report.contains("This report cannot be written to the boot partition"), "{}", import.report);
}

#[test]
fn storage_that_takes_nothing_is_said_and_wifi_works_nevertheless() {
    let board = Board::new();
    board.write(WIFI, HOME.as_bytes());
    fs::write(board.root("var"), "a file").unwrap();
    let import = board.start();
    assert!(!import.usable && import.problems > 0, "{}", import.report);
    assert!(import.report.contains("the board's own storage") && board.networks().is_some(), "{}", import.report);
    assert!(board.report().contains("no settings to start with"));
}

#[test]
fn windows_leaves_its_marks() {
    let board = Board::new();
    let utf16 = |text: &str| {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        [b"\xff\xfe", bytes.as_slice()].concat()
    };
    board.remove(SETTINGS);
    board.write("Callbox.toml.txt", &utf16("[device]\r\nid = \"door\"\r\nname = \"Haustür\"\r\n"));
    board.remove(WIFI);
    board.write("WIFI.TXT", &utf16(HOME));
    let import = board.start();
    assert_eq!(import.problems, 0, "{}", import.report);
    assert_eq!(board.config().device.name, "Haustür");
    assert!(board.networks().unwrap().contains("psk=868d3c3ca7b80a0116d8d2303f8eec9bf64eb8b60bd942cef9fc6bfd48940d1e"));
}

#[test]
fn networkmanager_s_files_count_beside_wifi_txt() {
    let board = Board::new();
    board.write(WIFI, HOME.as_bytes());
    board.write(
        "Office.nmconnection",
        b"[connection]\ntype=wifi\n[wifi]\nssid=Office\n[wifi-security]\nkey-mgmt=sae\npsk=abc\n",
    );
    board.write("bad.nmconnection", b"[wifi]\nssid=Work\n[wifi-security]\nkey-mgmt=wpa-eap\n");
    let import = board.start();
    assert_eq!(import.problems, 1, "{}", import.report);
    assert!(import.report.contains("bad.nmconnection, line 4") && import.report.contains("Wi-Fi     Office, Home"));
    assert_eq!(board.networks().unwrap().matches("network={").count(), 2);
}

#[test]
fn files_beside_the_settings_come_along_and_stay() {
    let board = Board::new();
    board.write(SETTINGS, b"[signaling]\nurl = 'wss://call.example.org/ws'\ntoken_file = 'token.txt'\n");
    board.write("token.txt", b"\xef\xbb\xbfs3cret\r\n");
    assert_eq!(board.start().problems, 0);
    assert_eq!(board.config().signaling.token.unwrap().secret, "s3cret");
    board.remove("token.txt");
    let import = board.start();
    assert!(import.report.contains("callbox.toml, line 3") && import.report.contains("token.txt cannot be read"));
    assert_eq!(board.config().signaling.token.unwrap().secret, "s3cret", "the last good one stays");
}

#[test]
fn a_link_in_the_place_of_the_state_leads_nowhere() {
    let board = Board::new();
    let elsewhere = board.root("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir_all(board.places.state.parent().unwrap()).unwrap();
    symlink(&elsewhere, &board.places.state).unwrap();
    assert!(board.start().usable);
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
}

#[test]
fn the_command_prints_the_report() {
    let board = Board::new();
    board.write(WIFI, b"ssid = Home\npassword = short\n");
    let command = |root: &Path| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_callbox")).args(["board", "import", "--root"]).arg(root).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, out, err) = command(&board.places.root);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out.replace('\n', "\r\n"), board.report());
    fs::remove_dir_all(board.root("var")).unwrap();
    fs::write(board.root("var"), "").unwrap();
    let (code, _, err) = command(&board.places.root);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("callbox: there are no settings to start with"), "{err}");
}

/// A card that a code has set up names the token where earlier versions kept it.
#[test]
fn what_an_earlier_version_kept_is_in_force_from_the_new_place() {
    let board = Board::new();
    let old = board.places.former_state();
    fs::create_dir_all(&old).unwrap();
    let settings = format!("device.id = 'door'\n[signaling]\nurl = 'wss://x'\ntoken_file = {:?}\n", old.join("token"));
    board.write(SETTINGS, settings.as_bytes());
    for (name, text) in [(SETTINGS, settings.as_str()), ("token", "s3cret")] {
        fs::write(old.join(name), text).unwrap();
        fs::set_permissions(old.join(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    fs::set_permissions(&old, fs::Permissions::from_mode(0o750)).unwrap();
    for _ in 0..2 {
        let import = board.start();
        assert_eq!((import.problems, import.usable), (0, true), "{}", import.report);
        assert_eq!(board.config().signaling.token.unwrap().secret, "s3cret");
        assert!(!old.exists());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever an editor or a bad card leaves behind.
    #[test]
    fn any_files_leave_a_board_that_starts(
        settings in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            (0..TEMPLATE.len(), "[a-z=\"\\[\\]#\n]{0,8}").prop_map(|(at, typed)| {
                let mut bytes = TEMPLATE.as_bytes().to_vec();
                bytes.splice(at..at, typed.into_bytes());
                bytes
            }),
        ],
        wifi in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let board = Board::new();
        board.write(SETTINGS, &settings);
        board.write(WIFI, &wifi);
        let import = board.start();
        prop_assert!(import.usable, "{}", import.report);
        board.config();
    }
}
