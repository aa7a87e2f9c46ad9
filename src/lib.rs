//! Callbox: a small board with a camera, a microphone and a speaker becomes an intercom that any browser can call.
//!
//! # Layers
//!
//! Imports go one way, and `tests/layers.rs` fails on any other:
//!
//! ```text
//! main                       command line, logging, exit codes
//!  |
//! board                      L3  settings from a flashed card, setting up by QR code
//!  |
//! device      server         L2  the appliance; the signaling server and the page
//!  |    \        |
//! media  net     store       L1  blocking threads; tokio and the network; the server's memory. They never import
//!  |    /       /             each other.
//! logic, protocol            L0  pure state machines, told the time and the randomness; the wire
//! ```
//!
//! `config` is read in `main`, `server` and `device`, which pass narrow values down. `base` is for
//! every part and knows none. `update` is all of `callbox-update`, which is another binary.

#![forbid(unsafe_code)]

pub mod base;
pub mod config;
pub mod protocol;

#[cfg(feature = "board")]
pub mod board;
#[cfg(feature = "device")]
pub mod device;
pub mod logic;
#[cfg(feature = "device")]
pub mod media;
#[cfg(feature = "device")]
pub mod net;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "update")]
pub mod update;
