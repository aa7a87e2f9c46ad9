//! Codes in front of simulated cameras, through the hands of both users, up to the settings that the daemon reads.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::base::qr::Drawing;
use crate::board::setup::apply::{ApplyError, apply};
use crate::board::{AWAITS_CODE, CODE_REQUEST, Import, SETTINGS, WIFI, import};
use crate::config::COMMISSIONED;
use crate::media::audio::{self, measure};

const CODE: &str =
    r"CALLBOX:1;I:front-door;N:Front door;U:wss\://call.example.org/ws;K:s3cret;S:Home;P:12345678;C:DE;;";

/// How a code is held up.
#[derive(Clone, Copy)]
struct Pose {
    /// Degrees.
    turned: f64,
    /// How much nearer one side is than the other: perspective.
    tilted: f64,
    /// Side of the code in pixels.
    side: f64,
    /// Highest difference of a pixel, up or down.
    noise: u8,
}

const STRAIGHT: Pose = Pose { turned: 0.0, tilted: 0.0, side: 240.0, noise: 0 };

/// A picture of somebody holding a code up, in the middle of a grey room.
fn picture(text: &str, pose: Pose, width: u32, height: u32) -> I420 {
    let code = Drawing::new(text).unwrap();
    let modules = code.width() as f64;
    let mut frame = I420::new(width, height);
    let mut random = fastrand::Rng::with_seed(7);
    let (sin, cos) = pose.turned.to_radians().sin_cos();
    let (luma, _, _) = frame.planes_mut();
    for (i, pixel) in luma.iter_mut().enumerate() {
        let (x, y) = ((i as u32 % width) as f64, (i as u32 / width) as f64);
        // Four samples a pixel: a camera sees edges as grey.
        let sample = |dx: f64, dy: f64| {
            let (x, y) = (x + dx - f64::from(width) / 2.0, y + dy - f64::from(height) / 2.0);
            let (u, v) = ((x * cos + y * sin) / pose.side, (y * cos - x * sin) / pose.side);
            let nearness = 1.0 - pose.tilted * u;
            let (u, v) = (u / nearness, v / nearness);
            let inside = u.abs() < 0.5 && v.abs() < 0.5;
            let module = |at: f64| ((at + 0.5) * modules) as usize;
            match inside {
                true if code.is_dark(module(u), module(v)) => 40.0,
                true => 210.0,
                false => 120.0 + 30.0 * (x / 60.0).sin(),
            }
        };
        let mean = (sample(0.25, 0.25) + sample(0.75, 0.25) + sample(0.25, 0.75) + sample(0.75, 0.75)) / 4.0;
        let noise = i16::from(pose.noise);
        *pixel = (mean as i16 + random.i16(-noise..=noise)).clamp(16, 235) as u8;
    }
    frame
}

fn read(frame: &I420) -> Vec<String> {
    Look::default().read(frame)
}

#[test]
fn a_code_is_read_as_people_hold_it() {
    for pose in [
        STRAIGHT,
        Pose { turned: 12.0, ..STRAIGHT },
        Pose { turned: 180.0, ..STRAIGHT },
        Pose { tilted: 0.2, ..STRAIGHT },
        Pose { noise: 40, ..STRAIGHT },
        Pose { side: 190.0, noise: 10, ..STRAIGHT },
        Pose { turned: -9.0, tilted: 0.12, side: 260.0, noise: 25 },
    ] {
        let Pose { turned, tilted, side, noise } = pose;
        // No hand is still: a look that finds nothing is followed by another, a little different.
        let looks = (0..6).map(|i| Pose { turned: turned + f64::from(i) * 0.3, side: side + f64::from(i), ..pose });
        let reads = looks.filter(|pose| read(&picture(CODE, *pose, 640, 480)) == [CODE]).count();
        assert!(reads >= 4, "{reads} of 6: {turned} {tilted} {side} {noise}");
    }
    // A large picture is made smaller first.
    let large = Pose { turned: 5.0, side: 800.0, noise: 20, ..STRAIGHT };
    assert_eq!(read(&picture(CODE, large, 1920, 1080)), [CODE]);
}

#[test]
fn what_is_no_code_is_not_read() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut frame = I420::new(640, 480);
    assert!(read(&frame).is_empty());
    random.fill(frame.planes_mut().0);
    assert!(read(&frame).is_empty());
    // Half of a code, and one that is torn by noise.
    let mut half = picture(CODE, STRAIGHT, 640, 480);
    half.planes_mut().0[640 * 240..].fill(120);
    assert!(read(&half).is_empty());
    assert!(read(&picture(CODE, Pose { side: 60.0, noise: 90, ..STRAIGHT }, 640, 480)).is_empty());
    for (width, height) in [(2, 2), (2, 480), (3840, 2)] {
        assert!(read(&I420::new(width, height)).is_empty());
    }
}

/// Shows pictures one after the other, the last one for good; counts itself while it is open.
struct Show {
    pictures: Vec<I420>,
    open: Arc<AtomicUsize>,
}

impl Camera for Show {
    fn describe(&self) -> String {
        "a show".to_owned()
    }

    fn size(&self) -> (u32, u32) {
        (640, 480)
    }

    fn fps(&self) -> f64 {
        100.0
    }

    fn next_frame(&mut self, frame: &mut I420) -> Result<Instant, CameraError> {
        thread::sleep(Duration::from_millis(10));
        frame.clone_from(&self.pictures[0]);
        if self.pictures.len() > 1 {
            self.pictures.remove(0);
        }
        Ok(Instant::now())
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A fresh card before a camera that shows codes.
struct Door {
    dir: tempfile::TempDir,
    places: Places,
    open: Arc<AtomicUsize>,
    said: Vec<String>,
}

impl Door {
    fn new() -> Door {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        fs::create_dir_all(&places.boot).unwrap();
        fs::create_dir_all(dir.path().join("etc")).unwrap();
        fs::write(places.boot.join(SETTINGS), settings::TEMPLATE).unwrap();
        fs::write(places.boot.join(WIFI), include_str!("../../../../image/boot/wifi.txt")).unwrap();
        Door { dir, places, open: Arc::default(), said: Vec::new() }
    }

    /// Where the scan may write.
    fn found(&self) -> PathBuf {
        self.dir.path().join("code")
    }

    fn apply(&self) -> Result<Code, ApplyError> {
        apply(&self.found(), &self.places)
    }

    fn show(&mut self, codes: &[&str], within: Duration) -> Result<(), ScanError> {
        let dark = I420::new(640, 480);
        let mut pictures = vec![dark];
        for code in codes {
            pictures.extend(vec![picture(code, STRAIGHT, 640, 480); 60]);
        }
        let open = self.open.clone();
        let heard = self.dir.path().join("heard.wav");
        let scanner = Scanner {
            camera: Box::new(move || {
                assert_eq!(open.fetch_add(1, Ordering::SeqCst), 0, "one camera is open at a time");
                Ok(Box::new(Show { pictures: pictures.clone(), open: open.clone() }))
            }),
            speaker: Some(Box::new(move || audio::file::open_speaker(&heard))),
            within,
        };
        let result = scanner.run(&self.found(), &mut |line| self.said.push(line.to_owned()));
        assert_eq!(self.open.load(Ordering::SeqCst), 0, "the camera is released");
        result
    }

    fn import(&self) -> Import {
        import(&self.places)
    }

    fn heard(&self) -> Vec<i16> {
        hound::WavReader::open(self.dir.path().join("heard.wav")).unwrap().into_samples().map(Result::unwrap).collect()
    }
}

#[test]
fn a_full_code_makes_a_board_that_registers() {
    let mut door = Door::new();
    assert!(!door.import().configured && door.places.run.join(AWAITS_CODE).exists());
    door.show(&[CODE], Duration::from_secs(60)).unwrap();
    assert_eq!(fs::metadata(door.found()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(door.places.boot.join(SETTINGS)).unwrap(), settings::TEMPLATE, "the scan only looks");
    assert_eq!(door.apply().unwrap().to_string(), "device front-door and Wi-Fi Home");
    let import = door.import();
    assert_eq!((import.problems, import.configured), (0, true), "{}", import.report);
    assert!(!door.places.run.join(AWAITS_CODE).exists());
    let config = settings::load(&door.places.state).unwrap().config;
    assert_eq!((config.device.id.as_str(), config.device.name.as_str()), ("front-door", "Front door"));
    assert_eq!(config.signaling.token.unwrap().secret, "s3cret");
    let networks = fs::read_to_string(door.places.run.join(crate::board::SUPPLICANT)).unwrap();
    assert!(
        networks.contains("country=DE")
            && networks.contains("psk=868d3c3ca7b80a0116d8d2303f8eec9bf64eb8b60bd942cef9fc6bfd48940d1e")
    );
    // The token is no longer where the card can be read.
    let card = fs::read_dir(&door.places.boot).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    assert!(card.into_iter().all(|text| !text.contains("s3cret")));
    assert!(door.said.iter().any(|line| line.contains("front-door") && line.contains("Home")), "{:?}", door.said);
    // A tick, then three rising notes.
    let heard = door.heard();
    let notes = &heard[heard.len() - 73 * audio::BLOCK..];
    let pitch = |from: usize, to: usize| measure::pitch(&notes[from * audio::BLOCK..to * audio::BLOCK]);
    let pitches = [pitch(2, 10), pitch(14, 22), pitch(26, 44)];
    for (heard, meant) in pitches.iter().zip([523.25, 659.26, 783.99]) {
        assert!((heard - meant).abs() < 8.0, "{pitches:?}");
    }
}

#[test]
fn a_foreign_code_is_refused_once_and_the_right_one_taken() {
    let mut door = Door::new();
    door.show(&["https://example.org/menu", "WIFI:T:WPA;S:Home;P:12345678;;"], Duration::from_secs(60)).unwrap();
    let refusals = door.said.iter().filter(|line| line.contains("not for a Callbox")).count();
    assert_eq!(refusals, 1, "{:?}", door.said);
    door.apply().unwrap();
    assert_eq!(fs::read_to_string(door.places.boot.join(SETTINGS)).unwrap(), settings::TEMPLATE);
    assert!(door.import().report.contains("Wi-Fi     Home"));
    let blocks: Vec<f64> = door.heard().chunks(20 * audio::BLOCK).map(measure::pitch).collect();
    assert!(blocks.iter().any(|pitch| (pitch - 196.0).abs() < 6.0), "no low tone: {blocks:?}");
}

#[test]
fn nothing_shown_ends_in_time_and_changes_nothing() {
    let mut door = Door::new();
    fs::write(door.found(), CODE).unwrap();
    let start = Instant::now();
    let error = door.show(&[], Duration::from_millis(700)).unwrap_err();
    assert!(matches!(error, ScanError::NothingShown(_)) && start.elapsed() < Duration::from_secs(20));
    assert!(!door.found().exists());
}

#[test]
fn what_cannot_be_written_is_said_and_refused() {
    const WIFI_CODE: &str = "WIFI:T:WPA;S:Home;P:12345678;;";
    let mut door = Door::new();
    fs::create_dir(door.found()).unwrap();
    let error = door.show(&[WIFI_CODE], Duration::from_secs(3)).unwrap_err();
    assert!(matches!(error, ScanError::NothingShown(_)));
    assert!(door.said.iter().any(|line| line.contains("code cannot be written")), "{:?}", door.said);
    fs::remove_dir(door.found()).unwrap();
    fs::write(door.found(), WIFI_CODE).unwrap();
    fs::remove_dir_all(&door.places.boot).unwrap();
    assert_eq!(door.apply().unwrap_err().to_string(), "wifi.txt cannot be written to the card: it is not there");
}

/// Whoever has taken over the scan writes what it likes, and no more comes of it than of a stranger's code.
#[test]
fn root_does_not_trust_what_the_scan_has_left() {
    let door = Door::new();
    let before = fs::read_dir(&door.places.boot).unwrap().count();
    let secret = door.dir.path().join("shadow");
    fs::write(&secret, CODE).unwrap();
    symlink(&secret, door.found()).unwrap();
    let error = door.apply().unwrap_err();
    assert!(matches!(error, ApplyError::Unreadable(_)), "{error}");
    fs::remove_file(door.found()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, door.found(), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(door.apply().unwrap_err().to_string(), "the code cannot be read: it is not a file");
    fs::remove_file(door.found()).unwrap();
    for (text, why) in [
        (&b"root::0:0::/:/bin/sh\n"[..], "not for a Callbox"),
        (b"CALLBOX:1;I:door;N:x\ninsecure = false;;", "control"),
        (b"CALLBOX:1;I:door;U:http\\://x;;", "signaling.url"),
        (b"CALLBOX:1;I:../../etc/passwd;;", "device.id"),
        (b"\xff\xfe\x00", "not text"),
        (&[b'x'; 5000], "longer than 4096"),
    ] {
        fs::write(door.found(), text).unwrap();
        let error = door.apply().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(fs::read_dir(&door.places.boot).unwrap().count(), before);
    assert_eq!(fs::read_to_string(door.places.boot.join(SETTINGS)).unwrap(), settings::TEMPLATE);
}

#[test]
fn a_board_that_has_served_takes_a_code_only_when_its_card_asks() {
    let mut door = Door::new();
    let awaits = |door: &Door| {
        let import = door.import();
        assert_eq!(import.awaits_code, door.places.run.join(AWAITS_CODE).exists());
        (import.awaits_code, import.report)
    };
    assert!(awaits(&door).0);
    // The daemon's word; a link of that name says it too, wherever it leads.
    fs::create_dir_all(&door.places.daemon).unwrap();
    symlink("/nowhere", door.places.daemon.join(COMMISSIONED)).unwrap();
    let (wanted, report) = awaits(&door);
    assert!(!wanted && report.contains("an empty file named setup-code"), "{report}");
    // Windows writes it so.
    fs::write(door.places.boot.join("Setup-Code.TXT"), "").unwrap();
    let (wanted, report) = awaits(&door);
    assert!(wanted && report.contains("while the card holds setup-code"), "{report}");
    fs::write(door.places.boot.join(CODE_REQUEST), "").unwrap();
    door.show(&["CALLBOX:1;I:hall;;"], Duration::from_secs(60)).unwrap();
    door.apply().unwrap();
    // Asked for once.
    assert!(!awaits(&door).0);
    assert_eq!(settings::load(&door.places.state).unwrap().config.device.id.as_str(), "hall");
    // A board with settings of its own is nobody's to set up, and asks in the same way.
    fs::remove_file(door.places.daemon.join(COMMISSIONED)).unwrap();
    assert!(!awaits(&door).0);
    fs::write(door.places.boot.join(CODE_REQUEST), "").unwrap();
    assert!(awaits(&door).0);
}

#[test]
fn settings_of_somebody_s_own_are_set_aside() {
    let mut door = Door::new();
    fs::write(door.places.boot.join(SETTINGS), "camera.fps = 15\r\n").unwrap();
    door.show(&["CALLBOX:1;I:hall;;"], Duration::from_secs(60)).unwrap();
    door.apply().unwrap();
    let aside = fs::read_to_string(door.places.boot.join("callbox-before-scan.toml")).unwrap();
    assert_eq!(aside, "camera.fps = 15\r\n");
    assert!(fs::read_to_string(door.places.boot.join(SETTINGS)).unwrap().contains("id = \"hall\"\r\n"));
}

#[test]
fn a_video_file_is_a_camera_too() {
    let mut door = Door::new();
    let clip = door.dir.path().join("clip.y4m");
    let mut file = fs::File::create(&clip).unwrap();
    file.write_all(b"YUV4MPEG2 W640 H480 F10:1 C420jpeg\nFRAME\n").unwrap();
    let frame = picture("CALLBOX:1;I:hall;;", Pose { turned: 7.0, noise: 15, ..STRAIGHT }, 640, 480);
    let (y, u, v) = frame.planes();
    [y, u, v].into_iter().for_each(|plane| file.write_all(plane).unwrap());
    drop(file);
    let scanner = Scanner::new(&CameraSource::File(clip), &SpeakerSink::None, Duration::from_secs(60));
    scanner.run(&door.found(), &mut |line| door.said.push(line.to_owned())).unwrap();
    door.apply().unwrap();
    assert!(fs::read_to_string(door.places.boot.join(SETTINGS)).unwrap().contains("id = \"hall\""));
}

#[test]
fn a_camera_that_comes_later_is_waited_for() {
    let door = Door::new();
    let mut tries = 0;
    let shown = picture("CALLBOX:1;I:hall;;", STRAIGHT, 640, 480);
    let open = Arc::new(AtomicUsize::new(1));
    let scanner = Scanner {
        camera: Box::new(move || {
            tries += 1;
            match tries {
                1 | 2 => Err(CameraError::Missing),
                _ => Ok(Box::new(Show { pictures: vec![shown.clone()], open: open.clone() })),
            }
        }),
        speaker: None,
        within: Duration::from_secs(60),
    };
    let mut said = Vec::new();
    scanner.run(&door.found(), &mut |line| said.push(line.to_owned())).unwrap();
    assert_eq!(said.iter().filter(|line| line.contains("no camera is plugged in")).count(), 1, "{said:?}");
}
