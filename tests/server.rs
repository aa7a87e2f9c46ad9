//! The signaling server on real sockets: what it does for clients of every kind, and what it does against bad ones.
#![cfg(feature = "server")]

#[path = "server/acme.rs"]
mod acme;
#[path = "server/calls.rs"]
mod calls;
#[path = "server/client.rs"]
mod client;
#[path = "server/faults.rs"]
mod faults;
#[path = "server/pebble.rs"]
mod pebble;
#[path = "server/tls.rs"]
mod tls;
#[path = "server/web.rs"]
mod web;
