//! Attacks on the real program: strangers, guessers, thieves of cookies, and members who want more than they may.
#![cfg(feature = "server")]

#[path = "security/devices.rs"]
mod devices;
#[path = "security/entry.rs"]
mod entry;
#[path = "security/floods.rs"]
mod floods;
#[path = "security/home.rs"]
mod home;
#[path = "security/http.rs"]
mod http;
#[path = "security/members.rs"]
mod members;
#[path = "security/strangers.rs"]
mod strangers;
