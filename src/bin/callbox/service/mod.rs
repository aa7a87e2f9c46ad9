//! The daemon as a service: what the service manager is told, and what it asks for.

pub mod reload;
pub mod systemd;
