//! The Wi-Fi: networks as people write them down, what wpa_supplicant makes of them, and how joining them goes.

mod file;
mod joining;
pub mod keyfile;
pub mod network;
pub mod radio;
pub mod supplicant;

pub use self::file::{Mistake, Wifi, read, write};
