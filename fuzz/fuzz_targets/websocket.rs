//! Any bytes that a client may send: never a panic, and no frame is longer than what came.
#![no_main]

use callbox::logic::websocket::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    let (mut rest, mut decoder) = (bytes.as_mut_slice(), Decoder::default());
    while let Ok(Some((length, _))) = decoder.next(rest) {
        assert!((2..=rest.len()).contains(&length));
        rest = &mut rest[length..];
    }
});
