//! A board with a card, for the tests to write on and to start.

use std::fs;
use std::path::PathBuf;

use callbox::board::{self, AWAITS_CODE, Import, Places, REPORT, SETTINGS, SUPPLICANT, WIFI};
use callbox::config::{Config, Surroundings};

pub const TEMPLATE: &str = include_str!("../../image/boot/callbox.toml");
pub const WIFI_TEMPLATE: &str = include_str!("../../image/boot/wifi.txt");
pub const HOME: &str = "ssid = Home\r\npassword = 12345678\r\ncountry = DE\r\n";

/// A board with a freshly written card.
pub struct Board {
    _dir: tempfile::TempDir,
    pub places: Places,
}

impl Board {
    pub fn new() -> Board {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        for made in [&places.boot, &dir.path().join("etc"), &dir.path().join("sys/class/leds/ACT")] {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(dir.path().join("sys/class/leds/ACT/trigger"), "none timer [mmc0]\n").unwrap();
        let board = Board { places, _dir: dir };
        board.write("config.txt", b"arm_64bit=1\n");
        board.write(SETTINGS, TEMPLATE.as_bytes());
        board.write(WIFI, WIFI_TEMPLATE.as_bytes());
        board
    }

    pub fn write(&self, name: &str, contents: &[u8]) {
        fs::write(self.places.boot.join(name), contents).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.places.boot.join(name)).unwrap();
    }

    pub fn start(&self) -> Import {
        let _ = fs::remove_dir_all(&self.places.run);
        board::import(&self.places)
    }

    pub fn root(&self, path: &str) -> PathBuf {
        self.places.root.join(path)
    }

    /// What the daemon would read.
    pub fn config(&self) -> Config {
        Config::load_in(Some(&self.places.state.join(SETTINGS)), &Surroundings::bare()).unwrap().config
    }

    pub fn networks(&self) -> Option<String> {
        fs::read_to_string(self.places.run.join(SUPPLICANT)).ok()
    }

    pub fn report(&self) -> String {
        fs::read_to_string(self.places.boot.join(REPORT)).unwrap()
    }

    pub fn awaits_code(&self) -> bool {
        self.places.run.join(AWAITS_CODE).exists()
    }

    pub fn blinks(&self) -> bool {
        fs::read_to_string(self.root("sys/class/leds/ACT/trigger")).unwrap() == "timer"
    }
}
