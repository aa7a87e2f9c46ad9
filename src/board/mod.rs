//! What a flashed card needs around the daemon: settings and Wi-Fi from the boot partition, a report for whoever wrote
//! them, setting up by a QR code in front of the camera, and whether the Wi-Fi takes the board.

use std::path::{Path, PathBuf};

pub mod card;
pub mod setup;
pub mod wifi;

pub use card::import::{Import, import};

/// The settings on the boot partition.
pub const SETTINGS: &str = "callbox.toml";
/// The networks on the boot partition.
pub const WIFI: &str = "wifi.txt";
/// What is wrong with the two, on the same partition.
pub const REPORT: &str = "callbox-report.txt";
/// What wpa_supplicant reads, below `run`; the last good one is kept below `state`.
pub const SUPPLICANT: &str = "wpa_supplicant-wlan0.conf";
/// Below `run`, present while the card holds nothing but what it was written with.
pub const UNCONFIGURED: &str = "unconfigured";
/// Below `run`: why the board is in no Wi-Fi, once it has tried.
pub const WIFI_TROUBLE: &str = "wifi-trouble";

/// The signaling server's token from a code, below `state`.
pub const TOKEN: &str = "token";

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The boot partition, which people edit.
    pub boot: PathBuf,
    /// What is in force, and outlasts a broken boot partition.
    pub state: PathBuf,
    /// What is made anew at each start.
    pub run: PathBuf,
    /// Whose etc, proc and sys are meant.
    pub root: PathBuf,
}

impl Places {
    /// Those of the image, below `root`.
    pub fn below(root: &Path) -> Places {
        Places {
            boot: root.join("boot/firmware"),
            state: root.join("var/lib/callbox/board"),
            run: root.join("run/callbox-board"),
            root: root.to_owned(),
        }
    }
}
