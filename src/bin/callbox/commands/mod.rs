//! What each command does, from the parsed command line to its outcome.

#[cfg(feature = "board")]
pub mod board;
#[cfg(feature = "device")]
pub mod control;
#[cfg(feature = "device")]
pub mod devices;
#[cfg(feature = "server")]
pub mod household;
#[cfg(feature = "server")]
mod moments;
#[cfg(feature = "server")]
pub mod pairing;
#[cfg(feature = "board")]
pub mod provision;
pub mod reset;
#[cfg(any(feature = "device", feature = "server"))]
pub mod run;
mod system;
