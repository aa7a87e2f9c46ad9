//! Pure state machines and values: no tokio, no threads, no files, no sockets, no clock, no `webrtc`.
//!
//! The contract of every machine here: `handle(input, now)` changes it, then the shell calls `poll_output()` until it
//! returns `None`, then sleeps until `poll_timeout()`. Time and randomness come in as arguments.

pub mod access;
pub mod allowance;
pub mod backoff;
pub mod call;
pub mod health;
pub mod hub;
pub mod identity;
pub mod picture;
pub mod ring;
pub mod studio;
pub mod unit;
pub mod voice;
pub mod websocket;
