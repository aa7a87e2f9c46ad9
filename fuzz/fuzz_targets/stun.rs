//! Any datagrams at the port of a call: never a panic, and nothing but checks is taken from a stranger.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((stride, bytes)) = bytes.split_first() else { return };
    let from = std::net::SocketAddr::from(([192, 0, 2, 1], 9));
    callbox::net::peer::fuzzing::reception(from, bytes, usize::from(*stride) + 1);
    callbox::net::peer::fuzzing::reception(from, bytes, bytes.len().max(1));
});
