//! What every part may stand on and what knows no part: files that survive a power cut, text as editors leave it, locks,
//! and what tasks have in common.

pub mod bytes;
pub mod durable;
pub mod erase;
#[cfg(test)]
pub mod latch;
pub mod lock;
pub mod network;
#[cfg(any(feature = "board", feature = "server"))]
pub mod qr;
#[cfg(any(feature = "device", feature = "server"))]
pub mod seldom;
#[cfg(any(feature = "device", feature = "server"))]
pub mod task;
pub mod text;
pub mod unseen;
