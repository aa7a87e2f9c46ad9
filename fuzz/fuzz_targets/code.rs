//! Any text from in front of a camera: never a panic, and what is taken is written back as it was read.
#![no_main]

use callbox::board::setup::code::Code;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(Code::Setup(setup)) = Code::parse(text)
        && let Ok(written) = setup.encode()
    {
        assert_eq!(Code::parse(&written), Ok(Code::Setup(setup)));
    }
});
