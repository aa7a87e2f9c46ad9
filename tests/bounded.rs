//! `make test` runs each program of tests through scripts/bounded, which names a test that hangs and ends it.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Runs a shell script that says what a program of tests would say.
fn bounded(says: &str) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bounded");
    Command::new(script).args(["sh", "-c", says]).env("BOUND", "3").output().unwrap()
}

#[test]
fn a_test_that_hangs_is_named_and_everything_it_started_is_ended() {
    let began = Instant::now();
    let output = bounded(
        "echo 'test quick ... ok'; echo 'test slow has been running for over 60 seconds'
         echo 'test stuck has been running for over 60 seconds'; sleep 1000 & echo \"left behind: $!\"
         echo 'test slow ... ok'; wait",
    );
    assert_eq!(output.status.code(), Some(124));
    assert!(began.elapsed() < Duration::from_secs(120), "the bound did not hold");
    let text = String::from_utf8(output.stdout).unwrap();
    let (said, verdict) = text.split_once("hanging:").expect(&text);
    assert!(said.contains("test quick ... ok"), "{text}");
    assert!(verdict.contains("  stuck") && !verdict.contains("slow") && !verdict.contains("quick"), "{text}");
    let child = said.lines().find_map(|line| line.strip_prefix("left behind: ")).unwrap().to_owned();
    let alive = || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    // Killed is not yet gone.
    while alive() {
        assert!(began.elapsed() < Duration::from_secs(120), "{child} goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_that_falls_silent_is_ended_with_its_last_words() {
    let output = bounded("printf 'test the_only_one ... '; sleep 1000");
    assert_eq!(output.status.code(), Some(124));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("silent") && text.contains("it said last: test the_only_one ..."), "{text}");
}

#[test]
fn what_ends_by_itself_keeps_its_words_and_its_exit_code() {
    let output = bounded("echo one; echo two >&2; printf three; exit 101");
    assert_eq!(output.status.code(), Some(101));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "one\ntwo\nthree\n");
}
