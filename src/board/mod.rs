//! What a flashed card needs around the daemon: settings and Wi-Fi from the boot partition, a report for whoever wrote
//! them, setting up by a QR code in front of the camera, and whether the Wi-Fi takes the board.

use std::path::{Path, PathBuf};

pub mod card;
pub mod setup;
pub mod wifi;

pub use card::import::{Import, import};
pub use card::reset::ask as ask_for_reset;

/// The settings on the boot partition.
pub const SETTINGS: &str = "callbox.toml";
/// The networks on the boot partition.
pub const WIFI: &str = "wifi.txt";
/// What is wrong with the two, on the same partition.
pub const REPORT: &str = "callbox-report.txt";
/// What wpa_supplicant reads, below `run`; the last good one is kept below `state`.
pub const SUPPLICANT: &str = "wpa_supplicant-wlan0.conf";
/// Below `run`, present while a code may set the board up: the card holds nothing but what it was written with and the
/// board was never in service, or the card asks for it.
pub const AWAITS_CODE: &str = "awaits-code";
/// On the boot partition, with or without `.txt`: somebody wants to set up a board by a code that has been set up before.
pub const CODE_REQUEST: &str = "setup-code";
/// Below `run`: why the board is in no Wi-Fi, once it has tried.
pub const WIFI_TROUBLE: &str = "wifi-trouble";

/// On the boot partition, with or without `.txt`, or below `state`: the board forgets everything at its next start.
pub const RESET_REQUEST: &str = "callbox-reset";
/// Below `run`: how that went.
pub const RESET_DONE: &str = "reset-done";

/// The signaling server's token from a code, below `state`.
pub const TOKEN: &str = "token";

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The boot partition, which people edit.
    pub boot: PathBuf,
    /// What is in force, and outlasts a broken boot partition. Root's own, in a directory of root's: the daemon only reads.
    pub state: PathBuf,
    /// The daemon's state directory. Nothing there is trusted.
    pub daemon: PathBuf,
    /// What is made anew at each start.
    pub run: PathBuf,
    /// Whose etc, proc and sys are meant.
    pub root: PathBuf,
    /// How much of a partition's free space a reset overwrites at most, in bytes.
    pub free_space: u64,
}

/// Minutes on a slow card, and more than people's traces have ever taken.
const FREE_SPACE: u64 = 2 << 30;

impl Places {
    /// Those of the image, below `root`.
    pub fn below(root: &Path) -> Places {
        Places {
            boot: root.join("boot/firmware"),
            state: root.join("var/lib/callbox-board"),
            daemon: root.join("var/lib/callbox"),
            run: root.join("run/callbox-board"),
            root: root.to_owned(),
            free_space: FREE_SPACE,
        }
    }

    /// Where earlier versions kept what is in force.
    pub fn former_state(&self) -> PathBuf {
        self.daemon.join("board")
    }
}
