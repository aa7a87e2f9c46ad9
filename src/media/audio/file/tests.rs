//! WAV files of many formats in, one format out.

use std::f64::consts::TAU;
use std::fs;

use super::super::{measure, synthetic};
use super::*;

fn spec(sample_rate: u32, channels: u16, bits_per_sample: u16, sample_format: SampleFormat) -> WavSpec {
    WavSpec { channels, sample_rate, bits_per_sample, sample_format }
}

/// A file with whole periods of 440 Hz at half scale in every channel, 0.1 s long.
fn tone_file(path: &Path, spec: WavSpec) {
    let mut writer = WavWriter::create(path, spec).unwrap();
    for i in 0..spec.sample_rate / 10 {
        let sample = (f64::from(i) * 440.0 * TAU / f64::from(spec.sample_rate)).sin() * 0.5;
        for _ in 0..spec.channels {
            match spec.sample_format {
                SampleFormat::Float => writer.write_sample(sample as f32).unwrap(),
                SampleFormat::Int => {
                    let full = 2f64.powi(i32::from(spec.bits_per_sample) - 1);
                    writer.write_sample((sample * full) as i32).unwrap();
                }
            }
        }
    }
    writer.finalize().unwrap();
}

#[test]
fn any_format_keeps_pitch_and_level_across_the_seam() {
    let folder = tempfile::tempdir().unwrap();
    let threads: Vec<_> = [
        spec(48_000, 1, 16, SampleFormat::Int),
        spec(8_000, 1, 8, SampleFormat::Int),
        spec(16_000, 1, 16, SampleFormat::Int),
        spec(44_100, 2, 24, SampleFormat::Int),
        spec(96_000, 2, 32, SampleFormat::Int),
        spec(22_050, 6, 32, SampleFormat::Float),
    ]
    .into_iter()
    .map(|spec| {
        let path = folder.path().join(format!("{}.wav", spec.sample_rate));
        std::thread::spawn(move || {
            tone_file(&path, spec);
            let heard = measure::hear(open_microphone(&path), 50);
            let heard = &heard[4 * BLOCK..];
            let pitch = measure::pitch(heard);
            assert!((pitch - 440.0).abs() < 1.0, "{}: {pitch} Hz", words_of(spec));
            let level = measure::dbfs(heard);
            assert!((level + 9.03).abs() < 0.2, "{}: {level} dBFS", words_of(spec));
            let share = measure::share_of(heard, 440.0);
            assert!(share > 0.995, "{}: {share}", words_of(spec));
        })
    })
    .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_clip_that_was_written_to_a_pipe_is_heard_to_its_end_and_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    for unknown in [u32::MAX, 0] {
        let path = folder.path().join(format!("{unknown}.wav"));
        tone_file(&path, spec(8_000, 1, 16, SampleFormat::Int));
        let mut bytes = fs::read(&path).unwrap();
        // RIFF and `data` both say how long they are.
        [4, 40].iter().for_each(|at| bytes[*at..at + 4].copy_from_slice(&unknown.to_le_bytes()));
        fs::write(&path, bytes).unwrap();
        let heard = measure::hear(open_microphone(&path), 50);
        let share = measure::share_of(&heard[4 * BLOCK..], 440.0);
        assert!(share > 0.995, "{unknown:x}: {share}");
    }
}

#[test]
fn a_clip_plays_at_its_own_speed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tone.wav");
    tone_file(&path, spec(16_000, 1, 16, SampleFormat::Int));
    let start = Instant::now();
    measure::hear(open_microphone(&path), 40);
    assert!(start.elapsed() >= Duration::from_millis(390), "{:?}", start.elapsed());
}

#[test]
fn what_is_no_sound_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        open_microphone(&path).err().expect("an error").to_string()
    };
    assert!(told("empty.wav", b"").contains("empty.wav"));
    assert!(told("text.wav", b"this is no sound at all, whatever it says").contains("text.wav"));
    let missing = open_microphone(&folder.path().join("missing.wav")).err().unwrap().to_string();
    assert!(missing.contains("missing.wav") && missing.contains("No such file"), "{missing}");
    let silent = folder.path().join("silent.wav");
    WavWriter::create(&silent, WRITTEN).unwrap().finalize().unwrap();
    assert!(matches!(open_microphone(&silent), Err(AudioError::EmptyFile { .. })));
}

#[test]
fn a_clip_that_was_cut_off_plays_or_fails_and_never_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.wav");
    tone_file(&path, spec(48_000, 1, 16, SampleFormat::Int));
    let whole = fs::read(&path).unwrap();
    for length in [12, 30, 44, 45, 46, 1_000] {
        fs::write(&path, &whole[..length]).unwrap();
        if let Ok(mut microphone) = open_microphone(&path) {
            let mut block = [0; BLOCK];
            let _ = (0..5).try_for_each(|_| microphone.read(&mut block));
        }
    }
}

#[test]
fn a_recording_is_readable_at_any_time_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard.wav");
    let mut microphone = synthetic::microphone();
    let mut record = |speaker: &mut dyn Speaker, blocks: usize, since: Instant| {
        let mut early = 0;
        for _ in 0..blocks {
            let mut block = [0; BLOCK];
            microphone.read(&mut block).unwrap();
            speaker.write(&block).unwrap();
            early += usize::from(since.elapsed() < FLUSH);
        }
        early
    };
    let start = Instant::now();
    let mut speaker = open_speaker(&path).unwrap();
    assert_eq!(WavReader::open(&path).unwrap().duration(), 0);
    let early = record(speaker.as_mut(), 130, start);
    // As after a kill: nothing finalises the file. What was written in the first second, however much the machine had time
    // for, is there.
    let readable = WavReader::open(&path).unwrap().duration() as usize;
    assert!((early.max(1) * BLOCK..=130 * BLOCK).contains(&readable), "{readable}, {early} blocks were early");
    std::mem::forget(speaker);

    let mut speaker = open_speaker(&path).unwrap();
    record(speaker.as_mut(), 20, start);
    drop(speaker);
    let mut reader = WavReader::open(&path).unwrap();
    assert_eq!(reader.spec(), WRITTEN);
    let sound: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    assert_eq!(sound.len(), readable + 20 * BLOCK);
    assert!((measure::pitch(&sound) - 440.0).abs() < 2.0);
}

#[test]
fn a_file_of_another_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("music.wav");
    tone_file(&path, spec(44_100, 2, 16, SampleFormat::Int));
    let before = fs::read(&path).unwrap();
    let error = open_speaker(&path).err().unwrap().to_string();
    assert!(error.contains("music.wav") && error.contains("44100 Hz, 2 channels, 16-bit integers"), "{error}");
    fs::write(folder.path().join("notes.wav"), "not a sound file, but somebody's notes").unwrap();
    assert!(open_speaker(&folder.path().join("notes.wav")).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_full_recording_ends_and_the_speaker_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard.wav");
    let mut speaker = FileSpeaker::open(&path, 10 * BLOCK as u64 * 2).unwrap();
    (0..20).for_each(|_| speaker.write(&[1; BLOCK]).unwrap());
    assert_eq!(WavReader::open(&path).unwrap().duration() as usize, 10 * BLOCK);
}
