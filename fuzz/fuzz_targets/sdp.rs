//! Any session description: what is checked before the WebRTC stack sees it never panics.
#![no_main]

use callbox::net::sdp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = sdp::check(text);
    let _ = sdp::session_id(text);
    let _ = sdp::sections(text);
    let _ = sdp::profile_level_id(text);
});
