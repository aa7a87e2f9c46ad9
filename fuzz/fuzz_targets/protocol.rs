//! Any text frame: never a panic, and what was understood says the same after a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok((message, _)) = callbox::protocol::parse(text) {
        let (again, _) = callbox::protocol::parse(&message.to_text()).expect("what we write we can read");
        assert_eq!(again, message);
    }
});
