//! Any configuration file: never a panic, and an error names a place.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = callbox::config::Config::from_toml(text) {
        assert!(!error.problems().is_empty());
        assert!(error.to_string().lines().all(|line| line.starts_with("callbox.toml:")), "{error}");
    }
});
