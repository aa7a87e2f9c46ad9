//! Setting up by a QR code: what it says, how a board finds it in front of its camera, and what it then
//! writes.

pub mod apply;
mod chime;
pub mod code;
mod fields;
pub mod look;
pub mod scan;
