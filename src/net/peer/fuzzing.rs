//! What is read of datagrams before the stack sees them, for the fuzz target `stun` (fuzz/). Compiled for fuzzing only.

use std::net::SocketAddr;

use webrtc::runtime::RecvMeta;

use super::known::Known;
use super::stun::{self, BINDING_REQUEST, BINDING_SUCCESS, USE_CANDIDATE};

/// One reception of datagrams of `stride` bytes from somebody of whom nothing is known; of theirs only checks are left, and
/// what comes by way of a relay, and once a check was answered all of it.
pub fn reception(from: SocketAddr, bytes: &[u8], stride: usize) {
    let mut known = Known::default();
    for datagram in bytes.chunks(stride.max(1)) {
        let (path, message) = stun::unwrapped(from, datagram);
        assert!(message.len() <= datagram.len());
        _ = (path.address(), stun::has_attribute(message, USE_CANDIDATE), stun::transaction(message));
        match stun::kind(message) {
            Some(BINDING_REQUEST) => known.asks(path, message),
            Some(BINDING_SUCCESS) => known.answers(path, message),
            Some(_) | None => {}
        }
    }
    for known in [Known::default(), known] {
        let mut buffer = bytes.to_vec();
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (from, bytes.len(), stride);
        let any = known.sift(&mut buffer, &mut meta);
        assert!(meta.len <= bytes.len() && meta.stride >= 1 && any == (meta.len > 0));
    }
}
