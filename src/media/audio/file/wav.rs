//! Reads WAV files as they are found: finished ones, recordings whose writer was killed, and those that were written to
//! a pipe, where nobody could come back to put the length in (FFmpeg leaves FFFFFFFF, others 0). The header is believed
//! as far as the file agrees.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Most chunks in front of the sound; players' notes and covers are a handful.
const CHUNKS_MAX: usize = 1_000;
/// Most channels that are mixed.
const CHANNELS_MAX: u16 = 64;

/// Why a file cannot be heard.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a WAV file (ffmpeg -i FILE -c:a pcm_s16le sound.wav makes one)")]
    NotWav,
    #[error("it is no file but a device, a pipe or a directory")]
    NotAFile,
    #[error("it is a WAV file without sound in it")]
    NoSound,
    #[error("its sound is in format {0:#06x}; only integers and floats are read (ffmpeg's -c:a pcm_s16le makes them)")]
    Format(u16),
    #[error("its header makes no sense: {0}")]
    Header(&'static str),
}

/// How samples lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Unsigned, 128 is silence.
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Samples {
    fn bytes(self) -> usize {
        match self {
            Samples::U8 => 1,
            Samples::I16 => 2,
            Samples::I24 => 3,
            Samples::I32 | Samples::F32 => 4,
            Samples::F64 => 8,
        }
    }
}

/// What the sound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Frames a second.
    pub rate: u32,
    pub channels: u16,
    pub samples: Samples,
}

/// An open file, at some frame of its sound.
pub struct Reader {
    file: BufReader<File>,
    sound: Sound,
    /// Where the sound begins, and how many whole frames there are.
    start: u64,
    frames: u64,
    /// The next frame.
    next: u64,
    /// One frame as it lies in the file.
    frame: Vec<u8>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, WavError> {
        // Opening a pipe would wait for somebody to write into it.
        if !path.metadata()?.is_file() {
            return Err(WavError::NotAFile);
        }
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let Header { sound, start, bytes } = header(&mut file, length).map_err(|error| match error {
            WavError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => WavError::NotWav,
            other => other,
        })?;
        let size = sound.samples.bytes() * usize::from(sound.channels);
        let frames = bytes / size as u64;
        if frames == 0 {
            return Err(WavError::NoSound);
        }
        file.seek(SeekFrom::Start(start))?;
        Ok(Reader { file, sound, start, frames, next: 0, frame: vec![0; size] })
    }

    pub fn sound(&self) -> Sound {
        self.sound
    }

    /// The next frame mixed to one channel, between -1 and 1; after the last one comes the first.
    pub fn next_sample(&mut self) -> Result<f32, WavError> {
        if self.next == self.frames {
            self.file.seek(SeekFrom::Start(self.start))?;
            self.next = 0;
        }
        self.file.read_exact(&mut self.frame)?;
        self.next += 1;
        let Sound { samples, channels, .. } = self.sound;
        let sum: f32 = self.frame.chunks_exact(samples.bytes()).map(|sample| value(samples, sample)).sum();
        Ok(sum / f32::from(channels))
    }
}

fn value(samples: Samples, bytes: &[u8]) -> f32 {
    match (samples, bytes) {
        (Samples::U8, &[a]) => (f32::from(a) - 128.0) / 128.0,
        (Samples::I16, &[a, b]) => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
        (Samples::I24, &[a, b, c]) => i32::from_le_bytes([0, a, b, c]) as f32 / 2_147_483_648.0,
        (Samples::I32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]) as f32 / 2_147_483_648.0,
        (Samples::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        (Samples::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
        (Samples::U8 | Samples::I16 | Samples::I24 | Samples::I32 | Samples::F32 | Samples::F64, _) => 0.0,
    }
}

struct Header {
    sound: Sound,
    start: u64,
    /// Of sound.
    bytes: u64,
}

/// Reads the chunks up to the sound in a file of `length` bytes.
fn header(file: &mut (impl Read + Seek), length: u64) -> Result<Header, WavError> {
    let [riff, size, wave] = words(file)?;
    // RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088) are for more than four gigabytes: the same, with the lengths in a chunk
    // of their own.
    if !matches!(&riff, b"RIFF" | b"RF64" | b"BW64") || &wave != b"WAVE" {
        return Err(WavError::NotWav);
    }
    // Whoever finished the file has written its length; a byte of padding at the end is forgotten by some.
    let finished = length.abs_diff(u64::from(u32::from_le_bytes(size)) + 8) <= 1;
    let mut sound = None;
    // Of the sound, as that chunk has it.
    let mut long = None;
    let mut at = 12;
    for _ in 0..CHUNKS_MAX {
        if at + 8 > length {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        let [id, size] = words(file)?;
        let size = u64::from(u32::from_le_bytes(size));
        let start = at + 8;
        match &id {
            b"fmt " => sound = Some(format(file, size)?),
            b"ds64" if size >= 16 => {
                let [_, _, low, high] = words(file)?;
                let bytes = u64::from(u32::from_le_bytes(high)) << 32 | u64::from(u32::from_le_bytes(low));
                // A recorder that was killed leaves it at 0.
                long = Some(bytes).filter(|bytes| *bytes > 0);
            }
            b"data" => {
                let left = length - start;
                let bytes = match size {
                    0 if !finished => left,
                    0xffff_ffff.. => long.unwrap_or(left).min(left),
                    size => size.min(left),
                };
                let sound = sound.ok_or(WavError::Header("the sound comes before its format"))?;
                return Ok(Header { sound, start, bytes });
            }
            _ => {}
        }
        // Chunks begin at even places.
        at = start + size + size % 2;
    }
    Err(if sound.is_some() { WavError::NoSound } else { WavError::NotWav })
}

/// The `fmt ` chunk (WAVEFORMATEX and WAVEFORMATEXTENSIBLE in Microsoft's mmreg.h).
fn format(file: &mut impl Read, size: u64) -> Result<Sound, WavError> {
    const PCM: u16 = 1;
    const FLOAT: u16 = 3;
    const EXTENSIBLE: u16 = 0xfffe;
    let mut chunk = [0; 40];
    let known = chunk.get_mut(..size.min(40) as usize).unwrap_or_default();
    file.read_exact(known)?;
    if known.len() < 16 {
        return Err(WavError::Header("its format is cut short"));
    }
    let short = |at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
    let rate = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
    let (channels, align, bits) = (short(2), short(12), short(14));
    // What kind it really is stands in the first two bytes of the GUID.
    let kind = if short(0) == EXTENSIBLE && size >= 26 { short(24) } else { short(0) };
    if !matches!(kind, PCM | FLOAT) {
        return Err(WavError::Format(kind));
    }
    if channels == 0 || channels > CHANNELS_MAX {
        return Err(WavError::Header("it has no channels, or more than 64"));
    }
    if rate == 0 {
        return Err(WavError::Header("it has no sample rate"));
    }
    // Samples of 20 bits, say, fill 24 from above; so the container counts, and its size follows from the frame's.
    let container = match align {
        0 => bits.div_ceil(8),
        align if align % channels == 0 => align / channels,
        _ => return Err(WavError::Header("its frames are no whole number of samples")),
    };
    let samples = match (kind, container) {
        (PCM, 1) => Samples::U8,
        (PCM, 2) => Samples::I16,
        (PCM, 3) => Samples::I24,
        (PCM, 4) => Samples::I32,
        (FLOAT, 4) => Samples::F32,
        (FLOAT, 8) => Samples::F64,
        _ => return Err(WavError::Header("its samples have an unusual number of bits")),
    };
    Ok(Sound { rate, channels, samples })
}

fn words<const COUNT: usize>(file: &mut impl Read) -> Result<[[u8; 4]; COUNT], WavError> {
    let mut words = [[0; 4]; COUNT];
    for word in &mut words {
        file.read_exact(word)?;
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;

    use super::*;

    /// `fmt ` for 16-bit mono at 8 kHz.
    const FORMAT: [u8; 24] = *b"fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0";

    fn chunk(id: &[u8; 4], size: u32, body: &[u8]) -> Vec<u8> {
        [&id[..], &size.to_le_bytes(), body].concat()
    }

    fn riff(size: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
        [b"RIFF", &size.to_le_bytes()[..], b"WAVE", &chunks.concat()].concat()
    }

    /// The header says how long it is.
    fn finished(chunks: &[Vec<u8>]) -> Vec<u8> {
        riff(4 + chunks.iter().map(Vec::len).sum::<usize>() as u32, chunks)
    }

    fn open(bytes: &[u8]) -> Result<Reader, WavError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Reader::open(file.path())
    }

    fn heard(bytes: &[u8], frames: usize) -> Vec<f32> {
        let mut reader = open(bytes).unwrap();
        (0..frames).map(|_| reader.next_sample().unwrap() * 32_768.0).collect()
    }

    /// Three samples: 1, 2 and 3.
    const SOUND: [u8; 6] = [1, 0, 2, 0, 3, 0];

    #[test]
    fn a_length_that_nobody_could_write_means_to_the_end() {
        let note = chunk(b"LIST", 5, b"INFO!\0");
        for unknown in [u32::MAX, 0] {
            let piped = riff(unknown, &[FORMAT.to_vec(), note.clone(), chunk(b"data", unknown, &SOUND)]);
            assert_eq!(heard(&piped, 7), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0], "{unknown:x}");
        }
        // sox writes the largest length that it can think of; a writer that was killed has not counted to the end.
        let sox = riff(0x7fff_f024, &[FORMAT.to_vec(), chunk(b"data", 0x7fff_f000, &SOUND)]);
        assert_eq!(heard(&sox, 4), [1.0, 2.0, 3.0, 1.0]);
    }

    #[test]
    fn the_long_length_of_a_long_file_is_kept_to() {
        let long = |name: &[u8; 4], bytes: u64| {
            let ds64 = [4_294_967_396u64.to_le_bytes(), bytes.to_le_bytes(), 3u64.to_le_bytes(), [0; 8]].concat();
            let ds64 = chunk(b"ds64", 28, &ds64[..28]);
            let after = chunk(b"LIST", 4, b"INFO");
            let mut file = riff(u32::MAX, &[ds64, FORMAT.to_vec(), chunk(b"data", u32::MAX, &SOUND), after]);
            file[..4].copy_from_slice(name);
            file
        };
        for name in [b"RF64", b"BW64"] {
            assert_eq!(heard(&long(name, 6), 4), [1.0, 2.0, 3.0, 1.0]);
            assert_eq!(heard(&long(name, 4), 3), [1.0, 2.0, 1.0]);
        }
        for unknown in [0, u64::MAX] {
            assert_eq!(heard(&long(b"RF64", unknown), 4)[..3], [1.0, 2.0, 3.0]);
        }
    }

    #[test]
    fn a_length_that_is_known_is_kept_to() {
        let sound = chunk(b"data", 4, &SOUND[..4]);
        let after = finished(&[FORMAT.to_vec(), sound, chunk(b"LIST", 4, b"INFO")]);
        assert_eq!(heard(&after, 3), [1.0, 2.0, 1.0]);
        let empty = finished(&[FORMAT.to_vec(), chunk(b"data", 0, b""), chunk(b"LIST", 4, b"INFO")]);
        assert!(matches!(open(&empty), Err(WavError::NoSound)));
    }

    #[test]
    fn a_last_frame_that_was_cut_is_left_out() {
        let mut format = FORMAT;
        (format[10], format[20]) = (2, 4);
        // Two frames of two channels and half of a third; then three bytes less.
        let bytes = finished(&[format.to_vec(), chunk(b"data", 10, &[2, 0, 4, 0, 6, 0, 8, 0, 9, 0])]);
        assert_eq!(heard(&bytes, 3), [3.0, 7.0, 3.0]);
        assert_eq!(heard(&bytes[..bytes.len() - 3], 2), [3.0, 3.0]);
    }

    #[test]
    fn chunks_of_odd_length_are_padded() {
        let bytes = finished(&[
            chunk(b"junk", 3, b"abc\0"),
            FORMAT.to_vec(),
            chunk(b"bext", 1, b"x\0"),
            chunk(b"data", 6, &SOUND),
        ]);
        assert_eq!(heard(&bytes, 3), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn every_kind_of_sample_is_read() {
        let file = |kind: u16, bits: u16, container: u16, guid: Option<u16>, sound: &[u8]| {
            let mut body = [kind.to_le_bytes(), 1u16.to_le_bytes()].concat();
            body.extend([8_000u32.to_le_bytes(), (8_000 * u32::from(container)).to_le_bytes()].concat());
            body.extend([container.to_le_bytes(), bits.to_le_bytes()].concat());
            if let Some(guid) = guid {
                body.extend([22u16.to_le_bytes(), bits.to_le_bytes(), [0; 2], [0; 2], guid.to_le_bytes()].concat());
                body.extend(*b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
            }
            finished(&[chunk(b"fmt ", body.len() as u32, &body), chunk(b"data", sound.len() as u32, sound)])
        };
        for bytes in [
            file(1, 8, 1, None, &[192, 64]),
            file(1, 16, 2, None, &[0, 0x40, 0, 0xc0]),
            file(1, 24, 3, None, &[0, 0, 0x40, 0, 0, 0xc0]),
            file(1, 32, 4, None, &[0, 0, 0, 0x40, 0, 0, 0, 0xc0]),
            file(3, 32, 4, None, &[0.5f32.to_le_bytes(), (-0.5f32).to_le_bytes()].concat()),
            file(3, 64, 8, None, &[0.5f64.to_le_bytes(), (-0.5f64).to_le_bytes()].concat()),
            file(0xfffe, 16, 2, Some(1), &[0, 0x40, 0, 0xc0]),
            // 20 bits in 24, and 24 in 32.
            file(0xfffe, 20, 3, Some(1), &[0, 0, 0x40, 0, 0, 0xc0]),
            file(0xfffe, 24, 4, Some(1), &[0, 0, 0, 0x40, 0, 0, 0, 0xc0]),
            file(0xfffe, 32, 4, Some(3), &[0.5f32.to_le_bytes(), (-0.5f32).to_le_bytes()].concat()),
        ] {
            assert_eq!(heard(&bytes, 3), [16_384.0, -16_384.0, 16_384.0], "{:x?}", &bytes[20..]);
        }
        assert!(matches!(open(&file(7, 8, 1, None, &[1])), Err(WavError::Format(7))));
        assert!(matches!(open(&file(0xfffe, 4, 1, Some(2), &[1])), Err(WavError::Format(2))));
        assert!(matches!(open(&file(3, 16, 2, None, &[1, 2])), Err(WavError::Header(_))));
    }

    #[test]
    fn what_is_no_sound_is_told_apart() {
        assert!(matches!(open(b""), Err(WavError::NotWav)));
        assert!(matches!(open(b"this is no sound at all, whatever it says"), Err(WavError::NotWav)));
        assert!(matches!(open(&finished(&[chunk(b"data", 6, &SOUND), FORMAT.to_vec()])), Err(WavError::Header(_))));
        assert!(matches!(open(&finished(&[FORMAT.to_vec()])), Err(WavError::NoSound)));
        assert!(matches!(Reader::open(Path::new("/dev/null")), Err(WavError::NotAFile)));
        assert!(matches!(Reader::open(Path::new("/")), Err(WavError::NotAFile)));
        let huge = finished(&[FORMAT.to_vec(), chunk(b"junk", u32::MAX, b""), chunk(b"data", 6, &SOUND)]);
        assert!(matches!(open(&huge), Err(WavError::NoSound)));
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(at in 0usize..60, value: u8, length in 0usize..70) {
            let mut bytes = finished(&[FORMAT.to_vec(), chunk(b"LIST", 4, b"INFO"), chunk(b"data", 6, &SOUND)]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(length);
            let length = bytes.len() as u64;
            if let Ok(header) = header(&mut Cursor::new(bytes), length) {
                prop_assert!(header.start + header.bytes <= length);
            }
        }
    }
}
