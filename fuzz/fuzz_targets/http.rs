//! Any head and body of a request, up to the first empty line and after it: never a panic, and nobody is taken for somebody
//! whom they only claim to be.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.windows(2).position(|end| end == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(end);
    callbox::server::fuzzing::request(head, body.get(2..).unwrap_or_default());
});
