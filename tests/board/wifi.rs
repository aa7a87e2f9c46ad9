//! The Wi-Fi as people write it down, and as wpa_supplicant finds it.

use std::fs;
use std::io::BufRead;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use callbox::board::{self, WIFI, WIFI_TROUBLE};

use crate::card::{Board, HOME};

#[test]
fn marks_around_a_password_are_told_of_and_no_problem() {
    let board = Board::new();
    board.write(WIFI, b"ssid = Home\r\npassword = \"abcdefgh'\r\nssid = 'Barn'\r\npassword = 12345678\r\n");
    let import = board.start();
    assert_eq!(import.problems, 0, "{}", import.report);
    let report = board.report();
    assert!(report.starts_with("Callbox: all is well.\r\n") && report.contains("Wi-Fi     Home, Barn"), "{report}");
    assert!(report.contains("- wifi.txt, line 2: the quotation marks of the password are no pair"), "{report}");
    assert!(report.contains("- wifi.txt, line 3: the quotation marks around the name were taken off"), "{report}");
    assert!(!report.contains("abcdefgh"));
    // PBKDF2-SHA1 of the password with both of its marks.
    assert!(
        board.networks().unwrap().contains("psk=40b33feafb29f8e5e955f26197ef591f1d5c669b010d5dc95f7175b7228f14a2"),
        "{:?}",
        board.networks()
    );
}

/// wpa_supplicant's end of its control interface.
struct Supplicant {
    socket: UnixDatagram,
    watcher: Option<std::os::unix::net::SocketAddr>,
}

impl Supplicant {
    fn start(board: &Board) -> Supplicant {
        let dir = board.root("run/wpa_supplicant");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("wlan0");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Supplicant { socket, watcher: None }
    }

    /// Answers one command.
    fn answer(&mut self, command: &str, reply: &str) {
        let mut buffer = [0; 64];
        let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), command);
        self.watcher = Some(from);
        self.say(reply);
    }

    fn say(&self, message: &str) {
        self.socket.send_to_addr(message.as_bytes(), self.watcher.as_ref().unwrap()).unwrap();
    }

    fn accept(&mut self, state: &str) {
        self.answer("ATTACH", "OK\n");
        // An event may come before the answer that is waited for.
        self.say("<3>CTRL-EVENT-SCAN-STARTED ");
        self.answer("LIST_NETWORKS", "network id / ssid / bssid / flags\n0\tCaf\\xc3\\xa9\tany\t\n");
        self.answer("SCAN_RESULTS", "bssid / frequency / signal level / flags / ssid\n");
        self.answer("STATUS", &format!("wpa_state={state}\naddress=02:00:00:00:00:00\n"));
    }
}

#[test]
fn a_wi_fi_that_refuses_the_board_stands_in_the_report() {
    let board = Board::new();
    board.write(WIFI, "ssid = Café\npassword = 12345678\n".as_bytes());
    assert_eq!(board.start().problems, 0);
    let root = board.places.root.to_str().unwrap();
    let mut supplicant = Supplicant::start(&board);
    let mut watch = Command::new(env!("CARGO_BIN_EXE_callbox"))
        .args(["board", "wifi", "--root", root])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut says = || lines.next().unwrap().unwrap();
    supplicant.accept("SCANNING");
    for _ in 0..2 {
        supplicant.say(
            "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"Caf\\xc3\\xa9\" auth_failures=1 duration=10 reason=WRONG_KEY",
        );
    }
    assert_eq!(says(), "Wi-Fi: \"Café\" does not take the password");
    let import = board::import(&board.places);
    assert_eq!((import.problems, board.blinks()), (1, true));
    let report = board.report();
    assert!(
        report.contains("1. Wi-Fi\r\n   \"Café\" does not take the password\r\n   What to do: compare"),
        "{report}"
    );
    // What it says is of these networks alone.
    let found = fs::read_to_string(board.places.run.join(WIFI_TROUBLE)).unwrap();
    board.write(WIFI, HOME.as_bytes());
    assert_eq!(board::import(&board.places).problems, 0);
    assert!(!board.places.run.join(WIFI_TROUBLE).exists());
    fs::write(board.places.run.join(WIFI_TROUBLE), found).unwrap();
    // The radio's program starts again, and this time the network takes it.
    drop(supplicant);
    let mut supplicant = Supplicant::start(&board);
    supplicant.accept("ASSOCIATING");
    supplicant.say("<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]");
    assert_eq!(says(), "Wi-Fi: joined");
    assert_eq!(board::import(&board.places).problems, 0);
    watch.kill().unwrap();
    watch.wait().unwrap();
}
