//! One caller: packets in from the network, blocks out to the mixer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;

use super::sink::Callers;
use crate::base::lock::lock;
use crate::logic::unit::ReceivedVoice;
use crate::logic::voice::jitter::{Arrival, CONCEALED_MAX, JitterBuffer, Pace, Pull};
use crate::logic::voice::stretch;
use crate::media::audio::BLOCK;
use crate::media::opus::{self, OpusError, PACKET_MAX, VoiceDecoder};

/// One caller's way to the speaker. Drop takes the caller out of the mix.
pub struct CallerVoice {
    caller: Arc<Caller>,
    callers: Weak<Callers>,
}

impl CallerVoice {
    pub(super) fn new(caller: Arc<Caller>, callers: Weak<Callers>) -> CallerVoice {
        CallerVoice { caller, callers }
    }

    /// Takes a packet from the network; what is no Opus packet is counted and dropped. Never blocks for long.
    pub fn push(&self, packet: ReceivedVoice) {
        let ReceivedVoice { sequence, timestamp, payload } = packet;
        let samples = opus::samples(&payload);
        let mut inbox = lock(&self.caller.inbox);
        match samples {
            Some(samples) => inbox.jitter.push(Arrival { sequence, timestamp, samples, payload }, Instant::now()),
            None => inbox.malformed += 1,
        }
    }

    pub fn stats(&self) -> CallerStats {
        self.caller.stats()
    }
}

impl Drop for CallerVoice {
    fn drop(&mut self) {
        if let Some(callers) = self.callers.upgrade() {
            callers.remove(&self.caller);
        }
    }
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerStats {
    pub packets: u64,
    /// Packets that came after their turn.
    pub late: u64,
    pub duplicates: u64,
    /// Packets that were skipped to catch up, or overflowed the buffer.
    pub dropped: u64,
    /// Packets that are no Opus.
    pub malformed: u64,
    /// New streams of the sender.
    pub restarts: u64,
    /// Gaps that were filled from the next packet's redundancy.
    pub recovered: u64,
    /// Gaps that were made up.
    pub concealed: u64,
    /// Times a period was left out or repeated to keep the delay.
    pub stretched: u64,
    /// Delay of the jitter buffer, and the one it aims at, in milliseconds.
    pub depth_ms: u64,
    pub target_ms: u64,
}

pub(super) struct Caller {
    /// Shared between the network's threads and the speaker's, for as long as a packet takes to go in or out.
    inbox: Mutex<Inbox>,
    /// The speaker's thread alone.
    playout: Mutex<Playout>,
}

struct Inbox {
    jitter: JitterBuffer<Bytes>,
    malformed: u64,
    recovered: u64,
    concealed: u64,
    stretched: u64,
}

#[derive(Default)]
struct Playout {
    decoder: Option<VoiceDecoder>,
    /// Decoded, not yet played: less than a block and the longest packet.
    held: VecDeque<i16>,
    /// Samples made up since the last real one.
    concealed: u32,
}

impl Caller {
    pub(super) fn new() -> Caller {
        let jitter = JitterBuffer::new(Instant::now());
        let inbox = Inbox { jitter, malformed: 0, recovered: 0, concealed: 0, stretched: 0 };
        Caller { inbox: Mutex::new(inbox), playout: Mutex::default() }
    }

    /// The caller's next 10 ms, or `None` for silence.
    pub(super) fn next_block(&self, now: Instant) -> Option<[i16; BLOCK]> {
        let mut playout = lock(&self.playout);
        while playout.held.len() < BLOCK {
            let pulled = lock(&self.inbox).jitter.pull(now, playout.held.len() as u32);
            let played = match pulled {
                Pull::Buffering => break,
                Pull::Packet { payload, pace } => self.decode(&mut playout, &payload, pace, now),
                Pull::Missing { samples, recover_from } => self.fill(&mut playout, samples, recover_from),
            };
            if played.is_err() {
                // Whatever state the decoder is in, a fresh one has none of it.
                playout.decoder = None;
                break;
            }
        }
        if playout.held.is_empty() {
            return None;
        }
        Some(std::array::from_fn(|_| playout.held.pop_front().unwrap_or(0)))
    }

    /// Starts over with a fresh decoder, after a panic.
    pub(super) fn reset(&self) {
        *lock(&self.playout) = Playout::default();
    }

    pub(super) fn stats(&self) -> CallerStats {
        let inbox = lock(&self.inbox);
        let counts = inbox.jitter.counts();
        CallerStats {
            packets: counts.packets,
            late: counts.late,
            duplicates: counts.duplicates,
            dropped: counts.dropped,
            malformed: inbox.malformed,
            restarts: counts.restarts,
            recovered: inbox.recovered,
            concealed: inbox.concealed,
            stretched: inbox.stretched,
            depth_ms: inbox.jitter.delay().as_millis() as u64,
            target_ms: inbox.jitter.target().as_millis() as u64,
        }
    }

    fn decode(&self, playout: &mut Playout, packet: &[u8], pace: Pace, now: Instant) -> Result<(), OpusError> {
        let decoder = decoder(&mut playout.decoder)?;
        let mut voice = match decoder.decode(packet) {
            Ok(voice) => voice.to_vec(),
            Err(_) => {
                lock(&self.inbox).malformed += 1;
                let samples = opus::samples(packet).unwrap_or(0);
                return self.fill(playout, samples, None);
            }
        };
        playout.concealed = 0;
        let change = match pace {
            Pace::Keep => 0,
            Pace::Shorten => -(stretch::shorten(&mut voice) as i64),
            Pace::Lengthen => stretch::lengthen(&mut voice) as i64,
        };
        if change != 0 {
            let mut inbox = lock(&self.inbox);
            inbox.stretched += 1;
            inbox.jitter.stretched(change, now);
        }
        playout.held.extend(voice);
        Ok(())
    }

    fn fill(&self, playout: &mut Playout, samples: u32, recover_from: Option<Bytes>) -> Result<(), OpusError> {
        let samples = samples.min(PACKET_MAX as u32);
        let room = samples as usize;
        if let Some(next) = recover_from {
            playout.held.extend(decoder(&mut playout.decoder)?.recover(&next, room)?);
            playout.concealed = 0;
            lock(&self.inbox).recovered += 1;
            return Ok(());
        }
        lock(&self.inbox).concealed += 1;
        if playout.concealed < CONCEALED_MAX {
            playout.held.extend(decoder(&mut playout.decoder)?.conceal(room)?);
        } else {
            playout.held.extend(std::iter::repeat_n(0, room));
        }
        playout.concealed += samples;
        Ok(())
    }
}

fn decoder(decoder: &mut Option<VoiceDecoder>) -> Result<&mut VoiceDecoder, OpusError> {
    match decoder {
        Some(decoder) => Ok(decoder),
        None => Ok(decoder.insert(VoiceDecoder::new()?)),
    }
}
