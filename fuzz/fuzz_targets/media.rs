//! Any file in a camera's or a microphone's place: never a panic, and no more samples than bytes.
#![no_main]

use std::io::Write;

use callbox::media::audio::file::wav::Reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(mut reader) = Reader::open(file.path()) {
        let sound = reader.sound();
        let mut samples = 0;
        // Played in a circle, so that it never ends by itself.
        while samples < 1000 && reader.next_sample().is_ok() {
            samples += 1;
        }
        _ = sound;
    }
});
