//! ALSA without a sound card: its `file` plugin upon `null`, which takes and gives as fast as it is asked.
//!
//! alsa-lib reads its configuration from a path in the environment, which a process with other threads must not
//! change. So the tests that need one run themselves again as a process of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::{measure, synthetic};
use super::*;

/// Where the process that was started by [`with_devices`] finds its files.
const FOLDER: &str = "CALLBOX_TEST_ALSA_FOLDER";

/// Far more than any of these tests takes; one that hangs is ended, and fails.
const BOUND: Duration = Duration::from_secs(60);

/// Runs the test `name` of this module again, with the devices `ear`, `mouth`, `mouth16k` and `four`.
fn with_devices(name: &str, prepare: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let at = folder.path().display();
    let configuration = format!(
        r#"
        </usr/share/alsa/alsa.conf>
        pcm.silence {{ type null }}
        pcm.ear {{ type file slave.pcm silence file "/dev/null" infile "{at}/in.raw" format raw }}
        pcm.mouth16k {{ type plug slave {{ pcm mouth rate 16000 channels 2 format S16_LE }} }}
        pcm.four {{
            type multi slaves.a {{ pcm silence channels 4 }}
            bindings.0 {{ slave a channel 0 }} bindings.1 {{ slave a channel 1 }}
            bindings.2 {{ slave a channel 2 }} bindings.3 {{ slave a channel 3 }}
        }}
        pcm.mouth {{ type file slave.pcm silence file "{at}/out.wav" format wav }}
        "#
    );
    let path = folder.path().join("asound.conf");
    fs::write(&path, configuration).unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args([&format!("media::audio::alsa::tests::{name}"), "--exact", "--nocapture", "--test-threads=1"])
        .env("ALSA_CONFIG_PATH", &path)
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    // What it says fits into the pipes.
    while test.try_wait().unwrap().is_none() {
        if begin.elapsed() > BOUND {
            test.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = test.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(!said.contains("ALSA lib"), "alsa-lib speaks to the terminal: {said}");
}

fn in_own_process() -> bool {
    std::env::var_os(FOLDER).is_some()
}

fn tone(blocks: usize) -> Vec<i16> {
    let mut microphone = synthetic::microphone();
    let mut sound = Vec::new();
    for _ in 0..blocks {
        let mut block = [0; BLOCK];
        microphone.read(&mut block).unwrap();
        sound.extend_from_slice(&block);
    }
    sound
}

#[test]
fn records_from_a_file_in_real_time() {
    if !in_own_process() {
        return with_devices("records_from_a_file_in_real_time", |folder| {
            let bytes: Vec<u8> = tone(40).iter().flat_map(|sample| sample.to_le_bytes()).collect();
            fs::write(folder.join("in.raw"), bytes).unwrap();
        });
    }
    let start = Instant::now();
    let heard = measure::hear(open_microphone("ear"), 80);
    assert!(start.elapsed() >= Duration::from_millis(690), "{:?}", start.elapsed());
    let (heard, after) = heard.split_at(40 * BLOCK);
    assert!(after.iter().all(|sample| *sample == 0));
    assert!((measure::pitch(heard) - 440.0).abs() < 2.0, "{}", measure::pitch(heard));
    assert!((measure::dbfs(heard) + 15.0).abs() < 0.5, "{}", measure::dbfs(heard));
}

#[test]
fn the_plug_layer_converts_rate_and_channels() {
    if !in_own_process() {
        return with_devices("the_plug_layer_converts_rate_and_channels", |_| {});
    }
    let sound = tone(100);
    let mut speaker = open_speaker("mouth16k").unwrap();
    for block in sound.chunks_exact(BLOCK) {
        speaker.write(block.try_into().unwrap()).unwrap();
    }
    drop(speaker);
    let path = Path::new(&std::env::var_os(FOLDER).unwrap()).join("out.wav");
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (16_000, 2));
    let left: Vec<i16> = reader.samples().step_by(2).map(Result::unwrap).collect();
    let left = &left[1_600..14_400];
    // The file has a third of the rate that the measure takes for granted.
    assert!((measure::pitch(left) - 3.0 * 440.0).abs() < 10.0, "{}", measure::pitch(left));
    assert!((measure::dbfs(left) + 15.0).abs() < 1.0, "{}", measure::dbfs(left));
}

#[test]
fn a_device_of_four_channels_goes_through_the_plug_layer_by_itself() {
    if !in_own_process() {
        return with_devices("a_device_of_four_channels_goes_through_the_plug_layer_by_itself", |_| {});
    }
    let mut speaker = open_speaker("four").unwrap();
    assert!(speaker.describe().starts_with("plug:'four', 48 kHz mono"), "{}", speaker.describe());
    speaker.write(&[1; BLOCK]).unwrap();
    measure::hear(open_microphone("four"), 2);
}

#[test]
fn plays_into_a_file_in_real_time() {
    if !in_own_process() {
        return with_devices("plays_into_a_file_in_real_time", |_| {});
    }
    let sound = tone(60);
    let start = Instant::now();
    let mut speaker = open_speaker("mouth").unwrap();
    for block in sound.chunks_exact(BLOCK) {
        speaker.write(block.try_into().unwrap()).unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
    assert_eq!(speaker.xruns(), 0);
    drop(speaker);
    let path = Path::new(&std::env::var_os(FOLDER).unwrap()).join("out.wav");
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (48_000, 1));
    let played: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let begin = played.iter().position(|sample| *sample != 0).unwrap();
    assert_eq!(played[begin..], sound[1..]);
}

#[test]
fn what_cannot_be_opened_says_why_and_keeps_quiet_otherwise() {
    if !in_own_process() {
        return with_devices("what_cannot_be_opened_says_why_and_keeps_quiet_otherwise", |_| {});
    }
    for pcm in ["nosuch", "hw:77,0", "plughw:CARD=None,DEV=0", "", "a\0b", "hw:"] {
        let error = open_speaker(pcm).err().unwrap().to_string();
        assert!(error.contains("callbox devices"), "{pcm:?}: {error}");
        assert!(open_microphone(pcm).is_err(), "{pcm:?}");
    }
}

#[test]
fn devices_are_listed_as_json() {
    let json = serde_json::to_value(list()).unwrap();
    assert!(json["capture"].is_array() && json["playback"].is_array());
    assert_eq!(first_capture().is_some(), json["capture"].to_string().contains("plughw:"));
    assert_eq!(first_playback().is_some(), json["playback"].to_string().contains("plughw:"));
}
