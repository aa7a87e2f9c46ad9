//! The device as its callers see it: over real sockets on loopback, with synthetic camera, microphone and speaker, and a
//! relay that knows nothing but the five basic messages.
#![cfg(all(feature = "device", feature = "server"))]

#[path = "common/relay.rs"]
mod relay;

#[path = "device/caller.rs"]
mod caller;
#[path = "device/calls.rs"]
mod calls;
#[path = "device/clients.rs"]
mod clients;
#[path = "device/faults.rs"]
mod faults;
#[path = "device/reconnects.rs"]
mod reconnects;
#[path = "device/rights.rs"]
mod rights;
#[path = "device/running.rs"]
mod running;
#[path = "device/verified.rs"]
mod verified;
#[path = "device/visits.rs"]
mod visits;
