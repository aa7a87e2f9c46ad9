//! Voice from a microphone through a bad network to a speaker, and devices that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::*;
use crate::logic::unit::{ReceivedVoice, VoicePacket};
use crate::media::audio::{AudioError, BLOCK, Microphone, RATE, Speaker, measure, synthetic};
use crate::media::opus::VoiceEncoder;

const PATIENCE: Duration = Duration::from_secs(20);

/// A speaker with the clock of the synthetic one that hands over what it plays.
struct Ear {
    inner: Box<dyn Speaker>,
    heard: Sender<[i16; BLOCK]>,
}

impl Speaker for Ear {
    fn describe(&self) -> String {
        "ear".to_owned()
    }

    fn write(&mut self, block: &[i16; BLOCK]) -> Result<(), AudioError> {
        let _ = self.heard.send(*block);
        self.inner.write(block)
    }
}

fn sink_with_ear() -> (VoiceSink, Mix, Receiver<[i16; BLOCK]>) {
    let (heard, ear) = mpsc::channel();
    let open = move || Ok(Box::new(Ear { inner: synthetic::speaker(), heard: heard.clone() }) as Box<dyn Speaker>);
    let mix = Mix::default();
    (VoiceSink::start(Box::new(open), &mix), mix, ear)
}

fn tone_source() -> (VoiceSource, Receiver<VoicePacket>) {
    let (packets, received) = mpsc::channel();
    let sink = move |packet| drop(packets.send(packet));
    (VoiceSource::start(Box::new(|| Ok(synthetic::microphone())), Box::new(sink)), received)
}

fn from_network(packet: &VoicePacket) -> ReceivedVoice {
    let sequence = (packet.position / VoicePacket::SAMPLES) as u16;
    ReceivedVoice { sequence, timestamp: packet.position as u32, payload: packet.data.clone() }
}

/// `blocks` blocks from the first sound on.
fn listen(ear: &Receiver<[i16; BLOCK]>, blocks: usize) -> Vec<i16> {
    let deadline = Instant::now() + PATIENCE;
    let mut heard: Vec<i16> = Vec::new();
    while heard.len() < blocks * BLOCK {
        let block = ear.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect("sound in time");
        if !heard.is_empty() || block.iter().any(|sample| sample.unsigned_abs() > 1_000) {
            heard.extend(block);
        }
    }
    heard
}

#[test]
fn a_tone_keeps_pitch_and_level_through_loss_and_disorder() {
    let (source, packets) = tone_source();
    let (_sink, mix, ear) = sink_with_ear();
    let caller = mix.add_caller();
    let network = std::thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(5);
        let mut delayed: Option<VoicePacket> = None;
        for _ in 0..200 {
            let packet = packets.recv_timeout(PATIENCE).expect("a packet in time");
            // 5 % lost, 10 % overtaken by the one behind them, 5 % twice.
            match random.u32(0..100) {
                0..5 => continue,
                5..15 if delayed.is_none() => {
                    delayed = Some(packet);
                    continue;
                }
                15..20 => caller.push(from_network(&packet)),
                _ => {}
            }
            caller.push(from_network(&packet));
            delayed.take().iter().for_each(|packet| caller.push(from_network(packet)));
        }
        caller.stats()
    });
    let heard = listen(&ear, 350);
    let stats = network.join().unwrap();
    // The codec takes some packets to settle.
    let heard = &heard[50 * BLOCK..];
    let pitch = measure::typical(heard, measure::pitch);
    let level = measure::typical(heard, measure::dbfs);
    let share = measure::typical(heard, |window| measure::share_of(window, 440.0));
    assert!((pitch - 440.0).abs() < 2.0, "{pitch} Hz, {stats:?}");
    assert!((level + 15.0).abs() < 1.5, "{level} dBFS, {stats:?}");
    assert!(share > 0.98, "{share}, {stats:?}");
    assert!(stats.recovered + stats.concealed > 0 && stats.duplicates > 0, "{stats:?}");
    let stats = source.stats();
    assert!(stats.packets >= 200 && stats.device.is_some() && stats.reopened == 0, "{stats:?}");
}

/// A packet of a tone that goes on through packets: whole periods, at the level of the synthetic microphone's.
fn packet_of(hertz: f64, encoder: &mut VoiceEncoder) -> bytes::Bytes {
    let tone: [i16; VoicePacket::SAMPLES as usize] = std::array::from_fn(|i| {
        let turn = i as f64 * hertz / f64::from(RATE) * std::f64::consts::TAU;
        (turn.sin() * 8_000.0) as i16
    });
    encoder.encode(&tone).unwrap()
}

/// Two tones: the same one twice may cancel itself, since each caller is delayed by their own network.
#[test]
fn two_callers_are_both_heard_and_one_that_left_is_not() {
    let (_source, packets) = tone_source();
    let (_sink, mix, ear) = sink_with_ear();
    let (one, two) = (mix.add_caller(), mix.add_caller());
    std::thread::spawn(move || {
        let mut encoder = VoiceEncoder::new().unwrap();
        // The first one talks for longer than anybody listens, however late that begins.
        for i in 0..600 {
            let Ok(packet) = packets.recv_timeout(PATIENCE) else { return };
            one.push(from_network(&packet));
            if i < 75 {
                let payload = packet_of(650.0, &mut encoder);
                two.push(ReceivedVoice { payload, ..from_network(&packet) });
            }
        }
    });
    let heard = listen(&ear, 270);
    let share = |blocks: std::ops::Range<usize>, hertz| {
        measure::typical(&heard[blocks.start * BLOCK..blocks.end * BLOCK], |window| measure::share_of(window, hertz))
    };
    let both = (share(80..130, 440.0), share(80..130, 650.0));
    let alone = (share(200..260, 440.0), share(200..260, 650.0));
    let level = measure::typical(&heard[200 * BLOCK..260 * BLOCK], measure::dbfs);
    assert!(both.0 > 0.3 && both.1 > 0.3, "{both:?}");
    assert!(alone.0 > 0.95 && alone.1 < 0.01, "{alone:?}");
    assert!(level > -17.0 && level < -13.0, "{level}");
}

#[test]
fn handles_come_and_go_without_a_trace() {
    let (sink, mix, _ear) = sink_with_ear();
    let callers: Vec<CallerVoice> = (0..CALLERS_MAX + 3).map(|_| mix.add_caller()).collect();
    assert_eq!(sink.stats().callers.len(), CALLERS_MAX);
    let payload = bytes::Bytes::from_static(&[0xff; 3]);
    callers
        .iter()
        .for_each(|caller| caller.push(ReceivedVoice { sequence: 1, timestamp: 1, payload: payload.clone() }));
    drop(callers);
    assert!(sink.stats().callers.is_empty());
    let orphan = mix.add_caller();
    let start = Instant::now();
    drop((sink, mix));
    assert!(start.elapsed() < Duration::from_secs(1));
    orphan.push(ReceivedVoice { sequence: 1, timestamp: 1, payload });
}

/// Fails after some blocks: with an error, then with a panic.
struct Shaky {
    inner: Box<dyn Microphone>,
    left: u32,
    panics: bool,
}

impl Microphone for Shaky {
    fn describe(&self) -> String {
        "shaky".to_owned()
    }

    fn read(&mut self, block: &mut [i16; BLOCK]) -> Result<(), AudioError> {
        match (self.left, self.panics) {
            (0, true) => panic!("driver bug"),
            (0, false) => return Err(AudioError::Unplugged { pcm: "shaky".to_owned() }),
            _ => self.left -= 1,
        }
        self.inner.read(block)
    }
}

#[test]
fn a_microphone_that_fails_and_panics_is_opened_again_and_positions_move_on() {
    let mut opened = 0;
    let open = move || {
        opened += 1;
        match opened {
            2 => Err(AudioError::Busy { pcm: "shaky".to_owned() }),
            n => {
                let left = if n < 4 { 11 } else { u32::MAX };
                Ok(Box::new(Shaky { inner: synthetic::microphone(), left, panics: n == 3 }) as Box<dyn Microphone>)
            }
        }
    };
    let (packets, received) = mpsc::channel();
    let source =
        VoiceSource::start(Box::new(open), Box::new(move |packet| drop(packets.send((packet, Instant::now())))));
    let heard: Vec<(VoicePacket, Instant)> =
        (0..20).map(|_| received.recv_timeout(PATIENCE).expect("a packet in time")).collect();
    let gaps = heard.windows(2).filter(|pair| pair[1].0.position - pair[0].0.position > VoicePacket::SAMPLES);
    assert_eq!(gaps.count(), 2);
    assert!(heard.windows(2).all(|pair| pair[1].0.position > pair[0].0.position));
    let (first, last) = (&heard[0], &heard[19]);
    let by_position = Duration::from_micros((last.0.position - first.0.position) * 1_000 / 48);
    let by_clock = last.1 - first.1;
    assert!(by_position.abs_diff(by_clock) < Duration::from_millis(400), "{by_position:?} {by_clock:?}");
    assert_eq!(source.stats().reopened, 2);
}

/// Breaks when told to, and hands over what it plays like [`Ear`].
struct Fragile {
    ear: Ear,
    broken: Arc<AtomicBool>,
}

impl Speaker for Fragile {
    fn describe(&self) -> String {
        "fragile".to_owned()
    }

    fn write(&mut self, block: &[i16; BLOCK]) -> Result<(), AudioError> {
        if self.broken.swap(false, Ordering::AcqRel) {
            return Err(AudioError::Unplugged { pcm: "fragile".to_owned() });
        }
        self.ear.write(block)
    }
}

#[test]
fn a_speaker_that_was_unplugged_is_opened_again_without_delay_left_behind() {
    let (heard, ear) = mpsc::channel();
    let broken = Arc::new(AtomicBool::new(false));
    let breaker = broken.clone();
    let open = move || {
        let ear = Ear { inner: synthetic::speaker(), heard: heard.clone() };
        Ok(Box::new(Fragile { ear, broken: broken.clone() }) as Box<dyn Speaker>)
    };
    let mix = Mix::default();
    let sink = VoiceSink::start(Box::new(open), &mix);
    let caller = mix.add_caller();
    let (_source, packets) = tone_source();
    let network = std::thread::spawn(move || {
        for i in 0..150 {
            let packet = packets.recv_timeout(PATIENCE).expect("a packet in time");
            caller.push(from_network(&packet));
            if i == 50 {
                breaker.store(true, Ordering::Release);
            }
        }
        caller.stats()
    });
    let stats = network.join().unwrap();
    assert_eq!((sink.stats().reopened, sink.stats().device.as_deref()), (1, Some("fragile")));
    assert!(stats.depth_ms <= stats.target_ms + 60, "{stats:?}");
    let heard: Vec<i16> = ear.try_iter().flatten().collect();
    // What was played after the last packet was made up, or silence.
    let end = heard.iter().rposition(|sample| sample.unsigned_abs() > 1_000).unwrap();
    let level = measure::typical(&heard[end - 100 * BLOCK..end], measure::dbfs);
    assert!((level + 15.0).abs() < 1.5, "{level} dBFS, {stats:?}");
}

#[test]
fn stats_are_told_in_json() {
    let (sink, mix, _ear) = sink_with_ear();
    let _caller = mix.add_caller();
    let json = serde_json::to_value(sink.stats()).unwrap();
    assert!(json["callers"][0]["depthMs"].is_u64() && json["xruns"].is_u64(), "{json}");
}
