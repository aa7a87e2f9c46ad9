//! The jitter buffer against networks of many kinds, in virtual time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A player of 10 ms blocks that counts what it hears, and the buffer in front of it.
struct Call {
    epoch: Instant,
    buffer: JitterBuffer<u64>,
    held: u32,
    /// Payloads in the order they were played.
    heard: Vec<u64>,
    recovered: u64,
    concealed: u64,
    silent: u64,
    stretched: (u64, u64),
}

impl Call {
    fn new() -> Call {
        let epoch = Instant::now();
        let buffer = JitterBuffer::new(epoch);
        Call { epoch, buffer, held: 0, heard: vec![], recovered: 0, concealed: 0, silent: 0, stretched: (0, 0) }
    }

    /// Packet number `index` of 20 ms, whose numbers start close to their wrap.
    fn arrive(&mut self, index: u64, at: Duration) {
        self.arrive_as(index, 65_500u16.wrapping_add(index as u16), index.wrapping_mul(960) as u32, at);
    }

    fn arrive_as(&mut self, index: u64, sequence: u16, samples: u32, at: Duration) {
        let timestamp = (u32::MAX - 50_000).wrapping_add(samples);
        self.buffer.push(Arrival { sequence, timestamp, samples: 960, payload: index }, self.epoch + at);
    }

    fn play_block(&mut self, at: Duration) {
        let now = self.epoch + at;
        while self.held < 480 {
            match self.buffer.pull(now, self.held) {
                Pull::Packet { payload, pace } => {
                    self.heard.push(payload);
                    let change = match pace {
                        Pace::Keep => 0,
                        Pace::Shorten => -400,
                        Pace::Lengthen => 400,
                    };
                    self.stretched.0 += u64::from(change < 0);
                    self.stretched.1 += u64::from(change > 0);
                    self.held = (i64::from(self.held) + 960 + change) as u32;
                    if change != 0 {
                        self.buffer.stretched(change, now);
                    }
                }
                Pull::Missing { samples, recover_from } => {
                    assert!(samples > 0 && samples % 120 == 0, "{samples}");
                    *if recover_from.is_some() { &mut self.recovered } else { &mut self.concealed } += 1;
                    self.held += samples;
                }
                Pull::Buffering => {
                    self.silent += 1;
                    self.held = 480;
                }
            }
        }
        self.held -= 480;
    }

    /// Plays `arrivals` (packet, time) out until a second after the last one.
    fn run(&mut self, mut arrivals: Vec<(u64, Duration)>) {
        arrivals.sort_by_key(|(_, at)| *at);
        let end = arrivals.last().map_or(Duration::ZERO, |(_, at)| *at) + Duration::from_secs(1);
        let mut arrivals = arrivals.into_iter().peekable();
        let mut block = 0;
        while 10 * MS * block < end {
            let at = 10 * MS * block;
            while let Some((index, when)) = arrivals.next_if(|(_, when)| *when <= at) {
                self.arrive(index, when);
            }
            self.play_block(at);
            block += 1;
        }
    }
}

fn steady(packets: u64) -> Vec<(u64, Duration)> {
    (0..packets).map(|i| (i, 20 * MS * i as u32)).collect()
}

fn shaken(packets: u64, most: u64, seed: u64) -> Vec<(u64, Duration)> {
    let mut random = fastrand::Rng::with_seed(seed);
    steady(packets).into_iter().map(|(i, at)| (i, at + MS * random.u32(0..=most as u32))).collect()
}

#[test]
fn a_quiet_network_plays_everything_and_the_delay_falls_to_the_least() {
    let mut call = Call::new();
    call.run(steady(1_500));
    assert_eq!(call.heard, (0..1_500).collect::<Vec<_>>());
    assert_eq!(call.recovered, 0);
    assert_eq!(call.buffer.target(), 20 * MS);
    assert!(call.buffer.counts().late == 0 && call.buffer.counts().dropped == 0);
}

#[test]
fn sequence_and_timestamp_wrap() {
    let mut call = Call::new();
    call.run(steady(70_000));
    assert_eq!(call.heard.len(), 70_000);
}

#[test]
fn a_lost_packet_is_recovered_from_the_next() {
    let mut call = Call::new();
    call.run(steady(200).into_iter().filter(|(i, _)| *i != 100).collect());
    assert_eq!((call.heard.len(), call.recovered), (199, 1));
    let mut call = Call::new();
    call.run(steady(200).into_iter().filter(|(i, _)| !(100..103).contains(i)).collect());
    assert_eq!((call.heard.len(), call.recovered), (197, 1));
    assert!(call.concealed >= 2);
}

#[test]
fn reordered_packets_leave_in_order() {
    let mut arrivals = steady(200);
    for pair in arrivals.chunks_exact_mut(2) {
        let at = pair[1].1 + MS;
        pair[0].1 = at;
    }
    let mut call = Call::new();
    call.run(arrivals);
    assert!(call.heard.is_sorted() && call.heard.len() >= 199, "{}", call.heard.len());
}

#[test]
fn the_delay_follows_the_jitter_up_and_down() {
    let mut call = Call::new();
    let second = Duration::from_secs(40);
    let mut arrivals = shaken(2_000, 80, 3);
    arrivals.extend(steady(2_000).into_iter().map(|(i, at)| (i + 2_000, at + second)));
    call.run(arrivals[..2_000].to_vec());
    let target = call.buffer.target();
    assert!((75 * MS..=105 * MS).contains(&target), "{target:?}");
    assert!(call.buffer.counts().late < 60, "{:?}", call.buffer.counts());

    let mut call = Call::new();
    call.run(arrivals);
    assert!(call.buffer.target() <= 25 * MS, "{:?}", call.buffer.target());
    let counts = call.buffer.counts();
    assert!(counts.late < 60, "{counts:?}");
    assert!(call.stretched.0 > 0 && call.stretched.1 > 0);
}

#[test]
fn a_path_that_becomes_longer_or_shorter_is_followed() {
    let shift = |i: u64| if (500..1_500).contains(&i) { 150 * MS } else { Duration::ZERO };
    let mut call = Call::new();
    call.run(steady(4_000).into_iter().map(|(i, at)| (i, at + shift(i))).collect());
    assert!(call.heard.len() > 3_970, "{} {:?}", call.heard.len(), call.buffer.counts());
    assert!(call.buffer.delay() < 60 * MS, "{:?}", call.buffer.delay());
}

#[test]
fn a_stall_and_its_burst_leave_no_delay_behind() {
    // Nothing for 800 ms, then all of it at once.
    let late = |i: u64, at: Duration| if (500..540).contains(&i) { 10_800 * MS } else { at };
    let mut call = Call::new();
    call.run(steady(1_000).into_iter().map(|(i, at)| (i, late(i, at))).collect());
    assert!(call.buffer.delay() <= 60 * MS, "{:?}", call.buffer.delay());
    assert!(call.heard.is_sorted() && call.heard.len() > 940, "{}", call.heard.len());
}

#[test]
fn pauses_with_and_without_running_timestamps() {
    for running in [true, false] {
        let mut call = Call::new();
        let mut arrivals = steady(100);
        let pause = Duration::from_secs(30);
        let resumed = |i: u64| (i, 20 * MS * i as u32 + pause);
        arrivals.extend((100..300).map(resumed));
        let end = arrivals.last().unwrap().1 + Duration::from_secs(1);
        let mut block = 0;
        let mut next = arrivals.into_iter().peekable();
        while 10 * MS * block < end {
            let at = 10 * MS * block;
            while let Some((i, when)) = next.next_if(|(_, when)| *when <= at) {
                let paused = if running && i >= 100 { 30 * 48_000 } else { 0 };
                call.arrive_as(i, i as u16, (i * 960 + paused) as u32, when);
            }
            call.play_block(at);
            block += 1;
        }
        assert_eq!(call.heard, (0..300).collect::<Vec<_>>(), "{running}");
        assert!(call.buffer.delay() <= 70 * MS, "{:?}", call.buffer.delay());
    }
}

#[test]
fn discontinuous_transmission_is_no_loss() {
    let mut call = Call::new();
    // 20 ms of voice every 400 ms, consecutive sequence numbers.
    for i in 0..50u64 {
        let start = 400 * MS * i as u32;
        call.arrive_as(i, i as u16, (i * 19_200) as u32, start);
        (0..40).for_each(|block| call.play_block(start + 10 * MS * block));
    }
    (0..40).for_each(|block| call.play_block(20_000 * MS + 10 * MS * block));
    assert_eq!((call.heard.len(), call.recovered), (50, 0));
}

#[test]
fn a_restarted_sender_is_heard_again_and_a_stray_packet_is_not() {
    let mut call = Call::new();
    for i in 0..100u64 {
        call.arrive_as(i, 40_000 + i as u16, 5_000_000 + (i * 960) as u32, 20 * MS * i as u32);
        if i == 50 {
            call.arrive_as(999, 7, 77, 20 * MS * i as u32);
        }
        (0..2).for_each(|half| call.play_block(20 * MS * i as u32 + 10 * MS * half));
    }
    assert!(!call.heard.contains(&999));
    for i in 100..200u64 {
        call.arrive_as(i, (i - 100) as u16, 123 + ((i - 100) * 960) as u32, 20 * MS * i as u32);
        (0..2).for_each(|half| call.play_block(20 * MS * i as u32 + 10 * MS * half));
    }
    assert_eq!(call.buffer.counts().restarts, 1);
    assert!(call.heard.len() > 190 && call.heard.is_sorted(), "{}", call.heard.len());
}

#[test]
fn one_hour_of_drift_adds_no_delay() {
    for parts_per_million in [-1_000i64, -50, 50, 1_000] {
        let mut call = Call::new();
        let packets = 180_000u64;
        let (mut most, mut block) = (Duration::ZERO, 0u32);
        for i in 0..packets {
            let at = Duration::from_micros(
                (i as i64 * (20_000 * 1_000_000 + 20_000 * parts_per_million) / 1_000_000) as u64,
            );
            while 10 * MS * block < at {
                call.play_block(10 * MS * block);
                block += 1;
            }
            call.arrive(i, at);
            if i > 3_000 {
                most = most.max(call.buffer.delay());
            }
        }
        let (heard, counts) = (call.heard.len(), call.buffer.counts());
        assert!(most <= 60 * MS, "{parts_per_million}: {most:?}");
        assert!(heard as u64 > packets - 50, "{parts_per_million}: {heard} {counts:?}");
        assert!(call.concealed < 100, "{parts_per_million}: {} {:?}", call.concealed, call.stretched);
        let (shorter, longer) = call.stretched;
        let expected = parts_per_million.unsigned_abs() * 3_600 * 48 / 1_000 / 400;
        assert!(shorter + longer <= expected * 3 / 2 + 20, "{parts_per_million}: {:?}", call.stretched);
    }
}

#[test]
fn a_player_in_bursts_of_40_ms_starves_nobody() {
    let mut call = Call::new();
    let mut arrivals = shaken(3_000, 10, 9).into_iter().peekable();
    for burst in 0..1_550u32 {
        let at = 40 * MS * burst;
        while let Some((i, when)) = arrivals.next_if(|(_, when)| *when <= at) {
            call.arrive(i, when);
        }
        (0..4).for_each(|_| call.play_block(at));
    }
    assert!(call.heard.len() > 2_980, "{} {:?}", call.heard.len(), call.buffer.counts());
}

#[test]
fn memory_is_bounded_when_nobody_plays() {
    let mut call = Call::new();
    for i in 0..10_000u64 {
        call.arrive(i, 20 * MS * i as u32);
        assert!(call.buffer.len() <= CAPACITY);
    }
    (0..100).for_each(|block| call.play_block(200_000 * MS + 10 * MS * block));
    assert!(call.heard.first().is_some_and(|first| *first > 9_990), "{:?}", call.heard.first());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any loss, delay and duplication: each packet at most once, in order, none made up.
    #[test]
    fn any_network(
        fates in prop::collection::vec((0u32..300, 0u8..10, 0u32..300), 1..400),
    ) {
        let mut arrivals = Vec::new();
        for (i, (delay, fate, again)) in fates.iter().enumerate() {
            let at = 20 * MS * i as u32 + MS * *delay;
            if *fate > 0 {
                arrivals.push((i as u64, at));
            }
            if *fate > 7 {
                arrivals.push((i as u64, at + MS * *again));
            }
        }
        let sent: BTreeSet<u64> = arrivals.iter().map(|(i, _)| *i).collect();
        let mut call = Call::new();
        call.run(arrivals);
        prop_assert!(call.heard.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", call.heard);
        prop_assert!(call.heard.iter().all(|i| sent.contains(i)));
        prop_assert!(call.buffer.len() <= CAPACITY);
    }

    /// Whatever a sender puts into its headers, nothing panics and the buffer stays small.
    #[test]
    fn any_headers(
        packets in prop::collection::vec((any::<u16>(), any::<u32>(), 1u32..5_760, 0u32..100, any::<bool>()), 1..500),
    ) {
        let mut call = Call::new();
        let mut at = Duration::ZERO;
        let (mut last_sequence, mut last_timestamp) = (0u16, 0u32);
        for (i, (sequence, timestamp, samples, wait, near)) in packets.into_iter().enumerate() {
            // Half of them close to the last one, so that they pass for its stream.
            (last_sequence, last_timestamp) = if near {
                (last_sequence.wrapping_add(sequence % 5).wrapping_sub(1), last_timestamp.wrapping_add(timestamp % 5_000))
            } else {
                (sequence, timestamp)
            };
            let arrival = Arrival { sequence: last_sequence, timestamp: last_timestamp, samples, payload: i as u64 };
            call.buffer.push(arrival, call.epoch + at);
            at += MS * wait;
            call.play_block(at);
            prop_assert!(call.buffer.len() <= CAPACITY);
        }
    }
}
