//! Microphone to packets: 10 ms blocks are read, every second one completes an Opus packet for all peers.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::Serialize;

use crate::base::lock::lock;
use crate::logic::health::Progress;
use crate::logic::unit::VoicePacket;
use crate::media::audio::{AudioError, BLOCK, OpenMicrophone, RATE};
use crate::media::opus::{PACKET, VoiceEncoder};
use crate::media::supervise::{Stop, Worker};

/// Records and encodes as long as it lives. While the microphone is away nothing is sent, and positions move on.
pub struct VoiceSource {
    stats: Arc<Mutex<VoiceSourceStats>>,
    worker: Worker,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceSourceStats {
    /// The microphone; `None` while there is none.
    pub device: Option<String>,
    pub packets: u64,
    /// Of Opus, without RTP.
    pub bytes: u64,
    /// Overruns of all microphones so far.
    pub xruns: u64,
    /// Times the microphone was opened after the first.
    pub reopened: u64,
}

impl VoiceSource {
    /// Calls `sink` with every packet, from a thread of its own, 50 times a second.
    pub fn start(open: OpenMicrophone, sink: Box<dyn FnMut(VoicePacket) + Send>) -> VoiceSource {
        let stats: Arc<Mutex<VoiceSourceStats>> = Arc::default();
        let mut recording = Recording { open, sink, stats: stats.clone(), clock: None };
        VoiceSource { stats, worker: Worker::start("microphone", move |stop| recording.turn(stop), |_| {}) }
    }

    /// Of its thread.
    pub fn progress(&self) -> Progress {
        self.worker.progress()
    }

    pub fn stats(&self) -> VoiceSourceStats {
        lock(&self.stats).clone()
    }
}

struct Recording {
    open: OpenMicrophone,
    sink: Box<dyn FnMut(VoicePacket) + Send>,
    stats: Arc<Mutex<VoiceSourceStats>>,
    clock: Option<Clock>,
}

/// Where the stream stands: the position after the last block, and when that was.
struct Clock {
    position: u64,
    at: Instant,
}

impl Recording {
    fn turn(&mut self, stop: &Stop) -> Result<(), AudioError> {
        lock(&self.stats).device = None;
        let mut microphone = (self.open)()?;
        let device = microphone.describe();
        log::info!(microphone = device.as_str(); "microphone opened");
        let xruns_before = {
            let mut stats = lock(&self.stats);
            stats.device = Some(device);
            stats.reopened += u64::from(self.clock.is_some());
            stats.xruns
        };
        let mut encoder = VoiceEncoder::new()?;
        let mut packet = [0; PACKET];
        let mut filled = 0;
        let mut position = self.clock.as_ref().map_or(0, Clock::position_now);
        while !stop.requested() {
            let mut block = [0; BLOCK];
            let read = microphone.read(&mut block);
            if let Err(error) = read {
                lock(&self.stats).device = None;
                return Err(error);
            }
            let lost = microphone.take_lost();
            if lost > 0 {
                // What was half filled before the gap does not belong to what comes after it.
                position += filled as u64 + lost;
                filled = 0;
                lock(&self.stats).xruns = xruns_before + microphone.xruns();
            }
            packet[filled..filled + BLOCK].copy_from_slice(&block);
            filled += BLOCK;
            if filled == PACKET {
                let data = encoder.encode(&packet)?;
                {
                    let mut stats = lock(&self.stats);
                    stats.packets += 1;
                    stats.bytes += data.len() as u64;
                }
                (self.sink)(VoicePacket { data, position });
                position += VoicePacket::SAMPLES;
                filled = 0;
            }
            self.clock = Some(Clock { position: position + filled as u64, at: Instant::now() });
        }
        Ok(())
    }
}

impl Clock {
    /// The position that the time since asks for, in whole packets.
    fn position_now(&self) -> u64 {
        let away = self.at.elapsed().as_micros() as u64 * u64::from(RATE) / 1_000_000;
        self.position + away.div_ceil(VoicePacket::SAMPLES) * VoicePacket::SAMPLES
    }
}
