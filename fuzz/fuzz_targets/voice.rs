//! Any packets at any time, and a player that takes what it gets: the buffer stays within its bounds, and each packet is
//! played once at most.
#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use callbox::logic::voice::jitter::{Arrival, CAPACITY, JitterBuffer, Pull};
use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let mut now = Instant::now();
    let mut buffer = JitterBuffer::new(now);
    let (mut sequence, mut timestamp, mut number) = (0_u16, 0_u32, 0_u64);
    let mut played = HashSet::new();
    // What is used up goes on as zeros.
    while !input.is_empty() {
        let what = input.arbitrary::<u8>().unwrap_or(0);
        match what {
            0..=119 => {
                // As a sender goes on, or any number at all.
                let odd = what % 16 == 0;
                sequence =
                    if odd { input.arbitrary().unwrap_or(0) } else { sequence.wrapping_add(u16::from(what % 4)) };
                timestamp = if odd {
                    input.arbitrary().unwrap_or(0)
                } else {
                    timestamp.wrapping_add(960 * u32::from(what % 4))
                };
                let samples = [120, 480, 960, 1920, 2880, 5760, 0, u32::MAX][usize::from(what % 8)];
                number += 1;
                buffer.push(Arrival { sequence, timestamp, samples, payload: number }, now);
            }
            120..=220 => {
                let held = input.arbitrary::<u16>().unwrap_or(0);
                match buffer.pull(now, u32::from(held)) {
                    Pull::Packet { payload, .. } => assert!(played.insert(payload), "{payload} is played twice"),
                    Pull::Missing { samples, recover_from } => {
                        assert!(samples > 0 && samples % 120 == 0, "{samples}");
                        assert!(recover_from.is_none_or(|payload| !played.contains(&payload)), "it was played already");
                    }
                    Pull::Buffering => {}
                }
            }
            221..=230 => buffer.stretched(i64::from(input.arbitrary::<i16>().unwrap_or(0)), now),
            _ => now += Duration::from_micros(u64::from(input.arbitrary::<u16>().unwrap_or(0)) * 4),
        }
        assert!(buffer.len() <= CAPACITY && buffer.is_empty() == (buffer.len() == 0));
        _ = (buffer.delay(), buffer.target());
    }
    let counts = buffer.counts();
    assert!(played.len() as u64 <= counts.packets && counts.packets <= number);
});
