//! Any session description: whatever it says, it is answered or refused, and our answer can be read again.
#![no_main]

use callbox::net::sdp::{self, Description, Equipment, Kind, Local, Setup, Terms};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = sdp::check(text);
    let _ = sdp::session_id(text);
    let _ = sdp::usable(text);
    let Ok(theirs) = Description::read(text) else { return };
    for kind in [Kind::Offer, Kind::Answer] {
        let Ok(terms) = Terms::of(&theirs, kind, Equipment::default()) else { continue };
        let local = Local {
            origin: "- 1 1 IN IP4 0.0.0.0",
            ufrag: "ufrag",
            password: "password",
            fingerprint: "",
            setup: Setup::Active,
            candidates: Vec::new(),
            voice_ssrc: 1,
            video_ssrc: 2,
            max_message_size: 65_536,
        };
        let answer = sdp::answer(&theirs, &terms, &local);
        let ours = Description::read(&answer).expect("our own answer");
        assert_eq!(ours.sections.len(), theirs.sections.len());
    }
});
