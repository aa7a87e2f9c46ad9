//! Everything that talks to other machines on behalf of the device. No capture devices here.

pub mod signaling;
pub mod trust;
pub mod peer;
pub mod sdp;
