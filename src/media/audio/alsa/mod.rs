//! Sound cards and everything else that ALSA can open, through its plug layer: whatever format, rate and channel count
//! the card has, 48 kHz and 16 bits come out. Over- and underruns are recovered from and counted.

mod list;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ::alsa::pcm::{Access, Format, Frames, HwParams, PCM};
use ::alsa::{Direction, Error, Output, ValueOr};

use super::pace::Governor;
use super::{AudioError, BLOCK, Microphone, RATE, Speaker};

pub use list::{AudioDevice, AudioDevices, first_capture, first_playback, list};

/// 10 ms, so that a block is on its way as soon as it is full.
const PERIOD: Frames = BLOCK as Frames;
/// The microphone's buffer: what may wait while this process is not scheduled. It adds no delay.
const CAPTURE_BUFFER: Frames = 8 * PERIOD;
/// The speaker's buffer: always full, so all of it is delay.
const PLAYBACK_BUFFER: Frames = 4 * PERIOD;
/// A device that does not move for so long is given up: at first, when sound servers may still wake something up, and
/// once it runs.
const START: Duration = Duration::from_secs(3);
const STALL: Duration = Duration::from_secs(1);
/// Wait where a device says it is ready and is not.
const NOT_READY: Duration = Duration::from_millis(2);

/// Opens an ALSA PCM for recording, by the name that `arecord -D` takes.
pub fn open_microphone(pcm: &str) -> Result<Box<dyn Microphone>, AudioError> {
    let card = Card::open(pcm, Direction::Capture)?;
    card.pcm.start().map_err(|e| card.fault(e))?;
    Ok(Box::new(AlsaMicrophone { last: Instant::now(), lost: 0, card }))
}

/// Opens an ALSA PCM for playback, by the name that `aplay -D` takes.
pub fn open_speaker(pcm: &str) -> Result<Box<dyn Speaker>, AudioError> {
    let mut card = Card::open(pcm, Direction::Playback)?;
    card.prefill()?;
    Ok(Box::new(AlsaSpeaker { card }))
}

struct AlsaMicrophone {
    card: Card,
    /// When the last block was complete.
    last: Instant,
    lost: u64,
}

struct AlsaSpeaker {
    card: Card,
}

/// An open PCM of either direction.
struct Card {
    name: String,
    pcm: PCM,
    channels: usize,
    period: Frames,
    buffer: Frames,
    /// One block as the card has it.
    interleaved: Vec<i16>,
    governor: Governor,
    /// Frames moved so far.
    moved: Frames,
    xruns: u64,
}

impl Microphone for AlsaMicrophone {
    fn describe(&self) -> String {
        self.card.describe()
    }

    fn read(&mut self, block: &mut [i16; BLOCK]) -> Result<(), AudioError> {
        let xruns = self.card.xruns;
        // ALSA's `file` leaves the buffer as it was at the end of its file, and says it was filled.
        self.card.interleaved.fill(0);
        self.card.transfer(Direction::Capture)?;
        let channels = self.card.channels;
        for (sample, frame) in block.iter_mut().zip(self.card.interleaved.chunks_exact(channels)) {
            *sample = (frame.iter().map(|s| i32::from(*s)).sum::<i32>() / channels as i32) as i16;
        }
        self.card.keep_time();
        let since = self.last.elapsed();
        self.last = Instant::now();
        if self.card.xruns > xruns {
            self.lost += (since.as_micros() as u64 * u64::from(RATE) / 1_000_000).saturating_sub(BLOCK as u64);
        }
        Ok(())
    }

    fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn xruns(&self) -> u64 {
        self.card.xruns
    }
}

impl Speaker for AlsaSpeaker {
    fn describe(&self) -> String {
        self.card.describe()
    }

    fn write(&mut self, block: &[i16; BLOCK]) -> Result<(), AudioError> {
        for (frame, sample) in self.card.interleaved.chunks_exact_mut(self.card.channels).zip(block) {
            frame.fill(*sample);
        }
        self.card.transfer(Direction::Playback)?;
        self.card.keep_time();
        Ok(())
    }

    fn xruns(&self) -> u64 {
        self.card.xruns
    }
}

impl Card {
    fn open(pcm: &str, direction: Direction) -> Result<Card, AudioError> {
        if pcm.contains('\0') {
            return Err(AudioError::NotFound { pcm: pcm.replace('\0', "?"), detail: "not a device name".to_owned() });
        }
        // A card takes only what its converters can do; the plug layer in front of it takes anything.
        match pcm.strip_prefix("hw:") {
            Some(rest) => Card::open_as(format!("plughw:{rest}"), direction),
            None => match Card::open_as(pcm.to_owned(), direction) {
                Err(AudioError::Unfit { .. }) => Card::open_as(format!("plug:'{pcm}'"), direction),
                result => result,
            },
        }
    }

    fn open_as(name: String, direction: Direction) -> Result<Card, AudioError> {
        // alsa-lib explains itself on standard error, unless somebody else listens.
        let said = Output::local_error_handler().ok();
        let detail = |error: Error| {
            let said = said.as_ref().map(|output| output.borrow().to_string()).unwrap_or_default();
            match said.lines().next() {
                Some(line) => format!("{} ({line})", os_error(error)),
                None => os_error(error).to_string(),
            }
        };
        // Not blocking: otherwise a card that is in use would be waited for without end.
        let handle = PCM::new(&name, direction, true).map_err(|error| match error.errno() {
            errno::BUSY => AudioError::Busy { pcm: name.clone() },
            errno::ACCES | errno::PERM => AudioError::Forbidden { pcm: name.clone() },
            _ => AudioError::NotFound { pcm: name.clone(), detail: detail(error) },
        })?;
        let (channels, period, buffer) = set_up(&handle, direction).map_err(|(what, error)| AudioError::Unfit {
            pcm: name.clone(),
            what,
            detail: detail(error),
        })?;
        let governor = Governor::start(Duration::from_micros(buffer as u64 * 1_000_000 / u64::from(RATE)));
        let interleaved = vec![0; BLOCK * channels];
        Ok(Card { name, pcm: handle, channels, period, buffer, interleaved, governor, moved: 0, xruns: 0 })
    }

    /// Moves one block between the card and `interleaved`; an error where the device does not move for too long.
    fn transfer(&mut self, direction: Direction) -> Result<(), AudioError> {
        // What fits into the buffer moves without the device.
        let patience = if self.moved > self.buffer { STALL } else { START };
        let mut moved = 0;
        let mut progress = Instant::now();
        let mut woken = false;
        while moved < BLOCK {
            let rest = &mut self.interleaved[moved * self.channels..];
            let result = self.pcm.io_i16().and_then(|io| match direction {
                Direction::Capture => io.readi(rest),
                Direction::Playback => io.writei(rest),
            });
            match result {
                Ok(frames) if frames > 0 => {
                    moved += frames;
                    self.moved += frames as Frames;
                    progress = Instant::now();
                    woken = false;
                    continue;
                }
                Ok(_) => {}
                Err(error) if error.errno() == errno::AGAIN => {}
                Err(error) => {
                    self.recover(error, direction)?;
                    if direction == Direction::Capture {
                        // What was recorded before the gap does not belong to what comes after it.
                        moved = 0;
                    }
                }
            }
            if progress.elapsed() >= patience {
                return Err(AudioError::Stalled { pcm: self.name.clone() });
            }
            if woken {
                std::thread::sleep(NOT_READY);
            }
            match self.pcm.wait(Some(patience.as_millis() as u32)) {
                Ok(ready) => woken = ready,
                Err(error) => self.recover(error, direction)?,
            }
        }
        Ok(())
    }

    fn recover(&mut self, error: Error, direction: Direction) -> Result<(), AudioError> {
        if !matches!(error.errno(), errno::PIPE | errno::STRPIPE | errno::INTR) {
            return Err(self.fault(error));
        }
        self.pcm.try_recover(error, true).map_err(|e| self.fault(e))?;
        if error.errno() == errno::INTR {
            return Ok(());
        }
        self.xruns += 1;
        match direction {
            Direction::Capture => self.pcm.start().map_err(|e| self.fault(e)),
            Direction::Playback => self.prefill(),
        }
    }

    /// Fills the speaker's buffer with silence up to the last period, so that blocks are taken at the card's pace from
    /// the first one on, rather than a buffer full of them at once.
    fn prefill(&mut self) -> Result<(), AudioError> {
        let silence = vec![0i16; (self.buffer - self.period).max(0) as usize * self.channels];
        let written = self.pcm.io_i16().and_then(|io| io.writei(&silence));
        match written {
            Ok(_) => Ok(()),
            Err(error) if error.errno() == errno::AGAIN => Ok(()),
            Err(error) => Err(self.fault(error)),
        }
    }

    fn keep_time(&mut self) {
        if self.governor.block_done() {
            log::info!(pcm = self.name.as_str(); "the device has no clock: held to real time");
        }
    }

    fn describe(&self) -> String {
        let ms = |frames: Frames| frames * 1_000 / Frames::from(RATE as i32);
        let channels = if self.channels == 1 { "mono" } else { "stereo" };
        format!("{}, 48 kHz {channels}, period {} ms, buffer {} ms", self.name, ms(self.period), ms(self.buffer))
    }

    fn fault(&self, error: Error) -> AudioError {
        let pcm = self.name.clone();
        match error.errno() {
            errno::NODEV | errno::BADFD => AudioError::Unplugged { pcm },
            _ => AudioError::Failed { pcm, detail: os_error(error).to_string() },
        }
    }
}

/// Returns channels, period and buffer.
fn set_up(pcm: &PCM, direction: Direction) -> Result<(usize, Frames, Frames), (&'static str, Error)> {
    let cannot = |what: &'static str| move |error: Error| (what, error);
    let wanted = HwParams::any(pcm).map_err(cannot("be set up"))?;
    wanted.set_access(Access::RWInterleaved).map_err(cannot("be read or written interleaved"))?;
    wanted.set_format(Format::s16()).map_err(cannot("do 16-bit samples"))?;
    wanted.set_rate(RATE, ValueOr::Nearest).map_err(cannot("do 48000 Hz"))?;
    let channels = match wanted.set_channels(1) {
        Ok(()) => 1,
        Err(_) => wanted.set_channels(2).map(|()| 2).map_err(cannot("do mono or stereo"))?,
    };
    let buffer = match direction {
        Direction::Capture => CAPTURE_BUFFER,
        Direction::Playback => PLAYBACK_BUFFER,
    };
    wanted.set_period_size_near(PERIOD, ValueOr::Nearest).map_err(cannot("set its period"))?;
    wanted.set_buffer_size_near(buffer).map_err(cannot("set its buffer"))?;
    pcm.hw_params(&wanted).map_err(cannot("be set up"))?;

    let period = wanted.get_period_size().map_err(cannot("tell its period"))?;
    let buffer = wanted.get_buffer_size().map_err(cannot("tell its buffer"))?;
    let software = pcm.sw_params_current().map_err(cannot("be set up"))?;
    software.set_avail_min(period.min(PERIOD)).map_err(cannot("be set up"))?;
    software.set_start_threshold((buffer - period).max(1)).map_err(cannot("be set up"))?;
    pcm.sw_params(&software).map_err(cannot("be set up"))?;
    Ok((channels, period, buffer))
}

fn os_error(error: Error) -> std::io::Error {
    std::io::Error::from_raw_os_error(error.errno().abs())
}

/// Linux' numbers on every architecture this runs on (asm-generic/errno.h).
mod errno {
    pub const PERM: i32 = 1;
    pub const INTR: i32 = 4;
    pub const AGAIN: i32 = 11;
    pub const ACCES: i32 = 13;
    pub const BUSY: i32 = 16;
    pub const NODEV: i32 = 19;
    pub const PIPE: i32 = 32;
    pub const BADFD: i32 = 77;
    pub const STRPIPE: i32 = 86;
}
