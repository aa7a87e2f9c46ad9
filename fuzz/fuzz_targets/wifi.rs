//! Any wifi.txt and any keyfile: never a panic, mistakes are on lines that exist, and a network is written back as it was
//! read.
#![no_main]

use callbox::board::wifi::{self, keyfile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = wifi::read(text);
    let lines = text.lines().count();
    assert!(read.problems.iter().all(|mistake| (1..=lines).contains(&mistake.line)));
    for network in &read.networks {
        if let Some(written) = wifi::write(network, read.country) {
            assert_eq!(wifi::read(&written).networks, std::slice::from_ref(network));
        }
    }
    let _ = keyfile::read(text);
});
