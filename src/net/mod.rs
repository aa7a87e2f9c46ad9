//! Everything that talks to other machines on behalf of the device. No capture devices here.

pub mod connect;
pub mod peer;
pub mod sdp;
pub mod signaling;
pub mod trust;
