//! WAV files in place of sound cards: one is heard again and again, the other is written. Both in real time.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Indexing, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::pace::Metronome;
use super::{AudioError, BLOCK, Microphone, RATE, Speaker};
use wav::{Reader, Samples, Sound};

pub use wav::WavError;

pub mod wav;

/// What the speaker writes.
const WRITTEN: WavSpec =
    WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
/// Players take WAV files up to this length, and some end there.
const BYTES_MAX: u64 = (1 << 31) - 4_096;
/// How often the header is brought up to date; what was written since is lost if the power goes.
const FLUSH: Duration = Duration::from_secs(1);

/// Plays a WAV file as if it were spoken into a microphone, from the start again at its end. Any rate and channel
/// count; 8 to 32-bit integers and floats.
pub fn open_microphone(path: &Path) -> Result<Box<dyn Microphone>, AudioError> {
    let clip = Clip { path: path.to_owned(), reader: Reader::open(path).map_err(unread(path))? };
    let rate = clip.reader.sound().rate;
    let converter = if rate == RATE { None } else { Some(Converter::start(path, rate)?) };
    Ok(Box::new(FileMicrophone { clip, converter, metronome: Metronome::start() }))
}

/// Records what would be heard into a WAV file, at the end of what is in it already.
pub fn open_speaker(path: &Path) -> Result<Box<dyn Speaker>, AudioError> {
    Ok(Box::new(FileSpeaker::open(path, BYTES_MAX)?))
}

struct FileMicrophone {
    clip: Clip,
    converter: Option<Converter>,
    metronome: Metronome,
}

impl Microphone for FileMicrophone {
    fn describe(&self) -> String {
        let Sound { rate, channels, samples } = self.clip.reader.sound();
        let (bits, float) = match samples {
            Samples::U8 => (8, false),
            Samples::I16 => (16, false),
            Samples::I24 => (24, false),
            Samples::I32 => (32, false),
            Samples::F32 => (32, true),
            Samples::F64 => (64, true),
        };
        format!("{} ({})", self.clip.path.display(), words(rate, channels, bits, float))
    }

    fn read(&mut self, block: &mut [i16; BLOCK]) -> Result<(), AudioError> {
        self.metronome.wait();
        match &mut self.converter {
            Some(converter) => converter.fill(&mut self.clip, block),
            None => {
                for sample in block {
                    *sample = to_i16(self.clip.next()?);
                }
                Ok(())
            }
        }
    }
}

/// The file's sound without end.
struct Clip {
    path: PathBuf,
    reader: Reader,
}

impl Clip {
    /// The next sample, between -1 and 1.
    fn next(&mut self) -> Result<f32, AudioError> {
        self.reader.next_sample().map_err(unread(&self.path))
    }
}

/// Another rate to 48 kHz.
struct Converter {
    resampler: Async<f32>,
    input: Vec<f32>,
    output: [f32; BLOCK],
}

impl Converter {
    fn start(path: &Path, rate: u32) -> Result<Converter, AudioError> {
        let parameters = SincInterpolationParameters {
            sinc_len: 128,
            f_cutoff: None,
            oversampling_factor: 128,
            interpolation: SincInterpolationType::Linear,
            window: WindowFunction::BlackmanHarris2,
        };
        let ratio = f64::from(RATE) / f64::from(rate);
        let resampler = Async::new_sinc(ratio, 1.0, &parameters, BLOCK, 1, FixedAsync::Output)
            .map_err(|e| AudioError::Rate { path: path.to_owned(), rate, detail: e.to_string() })?;
        let input = Vec::with_capacity(resampler.input_frames_max());
        Ok(Converter { resampler, input, output: [0.0; BLOCK] })
    }

    fn fill(&mut self, clip: &mut Clip, block: &mut [i16; BLOCK]) -> Result<(), AudioError> {
        let needed = self.resampler.input_frames_next();
        self.input.clear();
        for _ in 0..needed {
            self.input.push(clip.next()?);
        }
        self.convert(needed).map_err(|detail| {
            let rate = clip.reader.sound().rate;
            AudioError::Rate { path: clip.path.clone(), rate, detail }
        })?;
        for (sample, converted) in block.iter_mut().zip(&self.output) {
            *sample = to_i16(*converted);
        }
        Ok(())
    }

    fn convert(&mut self, needed: usize) -> Result<(), String> {
        let input = InterleavedSlice::new(&self.input, 1, needed).map_err(|e| e.to_string())?;
        let mut output = InterleavedSlice::new_mut(&mut self.output, 1, BLOCK).map_err(|e| e.to_string())?;
        let whole: Option<&Indexing> = None;
        self.resampler.process_into_buffer(&input, &mut output, whole).map(|_| ()).map_err(|e| e.to_string())
    }
}

struct FileSpeaker {
    path: PathBuf,
    writer: WavWriter<BufWriter<File>>,
    bytes_max: u64,
    full: bool,
    flushed: Instant,
    metronome: Metronome,
}

impl FileSpeaker {
    fn open(path: &Path, bytes_max: u64) -> Result<FileSpeaker, AudioError> {
        let empty = path.metadata().map_or(true, |file| file.len() == 0);
        let mut writer = if empty {
            WavWriter::create(path, WRITTEN).map_err(fault(path))?
        } else {
            let found = WavReader::open(path).map_err(fault(path))?.spec();
            if found != WRITTEN {
                return Err(AudioError::OtherFormat { path: path.to_owned(), found: words_of(found) });
            }
            WavWriter::append(path).map_err(fault(path))?
        };
        writer.flush().map_err(fault(path))?;
        let path = path.to_owned();
        Ok(FileSpeaker { path, writer, bytes_max, full: false, flushed: Instant::now(), metronome: Metronome::start() })
    }

    fn append(&mut self, block: &[i16; BLOCK]) -> Result<(), hound::Error> {
        let mut samples = self.writer.get_i16_writer(BLOCK as u32);
        block.iter().for_each(|sample| samples.write_sample(*sample));
        samples.flush()?;
        if self.flushed.elapsed() >= FLUSH {
            self.flushed = Instant::now();
            self.writer.flush()?;
        }
        Ok(())
    }
}

impl Speaker for FileSpeaker {
    fn describe(&self) -> String {
        format!("{} ({})", self.path.display(), words_of(WRITTEN))
    }

    fn write(&mut self, block: &[i16; BLOCK]) -> Result<(), AudioError> {
        self.metronome.wait();
        if self.full {
            return Ok(());
        }
        if (u64::from(self.writer.len()) + BLOCK as u64) * 2 > self.bytes_max {
            log::warn!(file = self.path.display().to_string().as_str(); "the recording is full: nothing more is written");
            self.full = true;
            return self.writer.flush().map_err(fault(&self.path));
        }
        self.append(block).map_err(fault(&self.path))
    }
}

impl Drop for FileSpeaker {
    fn drop(&mut self) {
        if let Err(error) = self.writer.flush() {
            log::warn!(file = self.path.display().to_string().as_str(), error:%; "the end of the recording is lost");
        }
    }
}

fn to_i16(sample: f32) -> i16 {
    // `as` saturates, and makes zero of what is not a number.
    (sample * 32_768.0).round() as i16
}

fn words_of(spec: WavSpec) -> String {
    words(spec.sample_rate, spec.channels, spec.bits_per_sample, spec.sample_format == SampleFormat::Float)
}

fn words(rate: u32, channels: u16, bits: u16, float: bool) -> String {
    let format = if float { "bit floats" } else { "bit integers" };
    let unit = if channels == 1 { "channel" } else { "channels" };
    format!("{rate} Hz, {channels} {unit}, {bits}-{format}")
}

fn unread(path: &Path) -> impl Fn(WavError) -> AudioError {
    move |source| match source {
        WavError::NoSound => AudioError::EmptyFile { path: path.to_owned() },
        source => AudioError::Unread { path: path.to_owned(), source },
    }
}

fn fault(path: &Path) -> impl Fn(hound::Error) -> AudioError {
    move |source| {
        let source = match source {
            hound::Error::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                hound::Error::FormatError("the file ends before its sound does")
            }
            other => other,
        };
        AudioError::File { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests;
