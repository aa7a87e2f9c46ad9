//! What stood in the way of a camera's modes, and which one is tried next: a mode that the USB bus has no room for is
//! refused when streaming begins, after it was offered and set. Pure, so that any driver can be tried.

use std::io;
use std::time::{Duration, Instant};

use super::modes::{Mode, weight};
use crate::media::convert::PixelFormat;

/// What was learnt is forgotten after this long: another camera may have left the bus.
const FORGET: Duration = Duration::from_secs(600);
/// A mode that fails so often in a row, without one whole picture between, is passed over.
const STRIKES: u32 = 2;
/// Most modes that are tried when a camera is opened.
const MAX_TRIES: usize = 8;
/// Most lessons that are kept; the oldest gives way.
const MAX_LESSONS: usize = 64;

/// Why a mode did not start.
#[derive(Debug)]
pub enum Refusal {
    /// The driver put another format in its place.
    OtherFormat,
    Error(io::Error),
}

/// Why a camera did not start in any mode.
#[derive(Debug)]
pub enum Fault {
    /// No mode is left, or every one that was tried was answered with another format.
    NoMode,
    /// Another program has it.
    Busy,
    /// It is no longer there.
    Gone,
    /// The bus, or the memory for its pictures, has no room for any mode that was tried.
    NoRoom(io::Error),
    Failed(io::Error),
}

/// What an error of the driver means for the mode that it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// ENOSPC is USB bandwidth (the kernel's USB error codes), ENOMEM memory that devices can reach.
    NoRoom,
    /// EINVAL: not this mode, whatever was offered.
    NotThis,
    /// EBUSY.
    Busy,
    /// ENODEV, ENXIO and ENOENT: unplugged.
    Gone,
    /// EIO, EPROTO, EPIPE, a time-out: a fault of the moment, or of the mode if it comes again.
    Failed,
}

/// Why a camera does not start in a mode, in words.
pub fn why_not(mode: &Mode, error: &io::Error) -> String {
    match meaning(error) {
        Meaning::NoRoom => format!("the camera's bus or memory has no room for {mode} ({error})"),
        Meaning::NotThis | Meaning::Busy | Meaning::Gone | Meaning::Failed => {
            format!("the camera offers {mode} and does not start in it ({error})")
        }
    }
}

fn meaning(error: &io::Error) -> Meaning {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::ENOMEM) => Meaning::NoRoom,
        Some(libc::EINVAL) => Meaning::NotThis,
        Some(libc::EBUSY) => Meaning::Busy,
        Some(libc::ENODEV | libc::ENXIO | libc::ENOENT) => Meaning::Gone,
        Some(_) | None => Meaning::Failed,
    }
}

/// What was learnt of one camera's modes.
#[derive(Debug, Default)]
pub struct Lessons(Vec<Lesson>);

#[derive(Debug)]
struct Lesson {
    mode: Mode,
    /// Whether it was room that lacked.
    room: bool,
    strikes: u32,
    at: Instant,
}

impl Lesson {
    /// Whether it speaks against a mode.
    fn forbids(&self, mode: &Mode) -> bool {
        match self.room {
            // What needs as much. How small a JPEG gets nobody knows, so no raw mode speaks against one.
            true => match (mode.format, self.mode.format) {
                (PixelFormat::Mjpeg, PixelFormat::Mjpeg) => mode.pixel_rate() >= self.mode.pixel_rate(),
                (PixelFormat::Mjpeg, _) => false,
                (_, PixelFormat::Mjpeg) => mode.pixel_rate() >= self.mode.pixel_rate(),
                (_, _) => weight(mode) >= weight(&self.mode),
            },
            // A crowded bus can look like this too, and so can a format that the camera is bad at.
            false => {
                self.strikes >= STRIKES
                    && mode.format == self.mode.format
                    && mode.pixel_rate() >= self.mode.pixel_rate()
            }
        }
    }
}

impl Lessons {
    /// Starts a camera: goes through `ranked` modes, the best first, and leaves out what earlier faults speak against.
    /// Where they speak against every mode, all of them are forgotten: a camera is never given up.
    pub fn start<T>(
        &mut self,
        ranked: &[Mode],
        now: Instant,
        mut attempt: impl FnMut(Mode) -> Result<T, Refusal>,
    ) -> Result<(Mode, T), Fault> {
        self.0.retain(|lesson| now.saturating_duration_since(lesson.at) < FORGET);
        if ranked.iter().all(|mode| self.forbid(mode)) {
            self.0.clear();
        }
        let mut fault = Fault::NoMode;
        let mut tries = 0;
        for mode in ranked {
            // What the last try taught counts at once.
            if tries == MAX_TRIES || self.forbid(mode) {
                continue;
            }
            tries += 1;
            let error = match attempt(*mode) {
                Ok(started) => return Ok((*mode, started)),
                Err(Refusal::OtherFormat) => continue,
                Err(Refusal::Error(error)) => error,
            };
            match meaning(&error) {
                Meaning::NotThis => fault = Fault::Failed(error),
                Meaning::NoRoom => {
                    self.no_room(*mode, now);
                    fault = Fault::NoRoom(error);
                }
                Meaning::Busy => return Err(Fault::Busy),
                Meaning::Gone => {
                    self.0.clear();
                    return Err(Fault::Gone);
                }
                Meaning::Failed => {
                    self.strike(*mode, now);
                    return Err(Fault::Failed(error));
                }
            }
        }
        Err(fault)
    }

    /// A camera that was started in `mode` failed; `worked`: after whole pictures, so that the mode is not to blame.
    pub fn failed(&mut self, mode: Mode, error: Option<&io::Error>, worked: bool, now: Instant) {
        match error.map(meaning) {
            Some(Meaning::Gone) => self.0.clear(),
            Some(Meaning::NoRoom) => self.no_room(mode, now),
            Some(Meaning::NotThis | Meaning::Busy | Meaning::Failed) | None if worked => {
                self.0.retain(|lesson| lesson.room || lesson.mode != mode);
            }
            Some(Meaning::NotThis | Meaning::Busy | Meaning::Failed) | None => self.strike(mode, now),
        }
    }

    fn forbid(&self, mode: &Mode) -> bool {
        self.0.iter().any(|lesson| lesson.forbids(mode))
    }

    fn no_room(&mut self, mode: Mode, now: Instant) {
        self.learn(Lesson { mode, room: true, strikes: 0, at: now });
    }

    fn strike(&mut self, mode: Mode, now: Instant) {
        match self.0.iter_mut().find(|lesson| !lesson.room && lesson.mode == mode) {
            Some(lesson) => (lesson.strikes, lesson.at) = (lesson.strikes + 1, now),
            None => self.learn(Lesson { mode, room: false, strikes: 1, at: now }),
        }
    }

    fn learn(&mut self, lesson: Lesson) {
        if self.0.len() == MAX_LESSONS {
            self.0.remove(0);
        }
        self.0.push(lesson);
    }
}

#[cfg(test)]
mod tests {
    use PixelFormat::{Mjpeg, Yuyv};
    use libc::{EBUSY, EINVAL, EIO, ENODEV, ENOMEM, ENOSPC, EPROTO};

    use super::super::modes::ranked;
    use super::*;
    use crate::media::camera::Wanted;

    fn mode(format: PixelFormat, width: u32, height: u32, fps: u32) -> Mode {
        Mode { format, width, height, interval: (1, fps) }
    }

    fn usb() -> Vec<Mode> {
        let modes = vec![
            mode(Yuyv, 640, 480, 30),
            mode(Yuyv, 640, 480, 15),
            mode(Yuyv, 320, 240, 30),
            mode(Mjpeg, 640, 480, 30),
            mode(Mjpeg, 320, 240, 30),
        ];
        ranked(modes, Wanted { width: 640, height: 480, fps: 30 })
    }

    fn error(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    /// The modes that are tried on a bus that refuses those that `refuses` names, up to the one that starts.
    fn tried(
        lessons: &mut Lessons,
        now: Instant,
        refuses: impl Fn(&Mode) -> Option<i32>,
    ) -> (Vec<Mode>, Option<Fault>) {
        let mut tried = Vec::new();
        let result = lessons.start(&usb(), now, |mode| {
            tried.push(mode);
            refuses(&mode).map_or(Ok(()), |errno| Err(Refusal::Error(error(errno))))
        });
        (tried, result.err())
    }

    #[test]
    fn without_room_for_raw_pictures_it_is_mjpeg_at_once() {
        let (mut lessons, start) = (Lessons::default(), Instant::now());
        let raw = |mode: &Mode| (mode.format == Yuyv).then_some(ENOSPC);
        let (modes, fault) = tried(&mut lessons, start, raw);
        assert_eq!(modes, [mode(Yuyv, 640, 480, 30), mode(Mjpeg, 640, 480, 30)]);
        assert!(fault.is_none());
        // The next time it is not even asked for, until it is worth another look.
        assert_eq!(tried(&mut lessons, start + FORGET / 2, raw).0, [mode(Mjpeg, 640, 480, 30)]);
        assert_eq!(tried(&mut lessons, start + FORGET, raw).0.len(), 2);
    }

    #[test]
    fn without_room_for_mjpeg_either_it_is_something_smaller() {
        let (mut lessons, now) = (Lessons::default(), Instant::now());
        let large = |mode: &Mode| (mode.width == 640).then_some(ENOSPC);
        let (modes, fault) = tried(&mut lessons, now, large);
        assert!(fault.is_none());
        let last = modes[modes.len() - 1];
        assert_eq!((last.width, last.height), (320, 240), "{modes:?}");
        // 640x480 at 15 needs as much as 320x240 at 60, less than what was refused first: it is tried before.
        assert_eq!(modes[..3], [mode(Yuyv, 640, 480, 30), mode(Mjpeg, 640, 480, 30), mode(Yuyv, 640, 480, 15)]);
    }

    #[test]
    fn without_room_at_all_it_says_so_and_begins_again() {
        let (mut lessons, now) = (Lessons::default(), Instant::now());
        for _ in 0..3 {
            let (modes, fault) = tried(&mut lessons, now, |_| Some(ENOSPC));
            assert_eq!(modes[0], mode(Yuyv, 640, 480, 30));
            assert!(matches!(fault, Some(Fault::NoRoom(_))), "{fault:?}");
        }
    }

    #[test]
    fn a_fault_of_the_moment_is_forgiven_and_one_of_the_mode_is_not() {
        let (mut lessons, now) = (Lessons::default(), Instant::now());
        let best = mode(Yuyv, 640, 480, 30);
        for errno in [EIO, EPROTO] {
            let (modes, fault) = tried(&mut lessons, now, |_| Some(errno));
            assert_eq!(modes, [best], "the driver gets a pause");
            assert!(matches!(fault, Some(Fault::Failed(_))), "{fault:?}");
        }
        assert_eq!(tried(&mut lessons, now, |_| None).0, [mode(Mjpeg, 640, 480, 30)]);
    }

    #[test]
    fn a_mode_that_stays_silent_is_passed_over_and_one_that_worked_is_not() {
        let now = Instant::now();
        let best = usb()[0];
        for (worked, next) in [(false, mode(Mjpeg, 640, 480, 30)), (true, best)] {
            let mut lessons = Lessons::default();
            for _ in 0..STRIKES {
                assert_eq!(tried(&mut lessons, now, |_| None).0, [best]);
                lessons.failed(best, None, worked, now);
            }
            assert_eq!(tried(&mut lessons, now, |_| None).0, [next]);
        }
    }

    #[test]
    fn room_that_lacks_at_the_first_picture_counts_as_well() {
        let (mut lessons, now) = (Lessons::default(), Instant::now());
        lessons.failed(usb()[0], Some(&error(ENOSPC)), false, now);
        assert_eq!(tried(&mut lessons, now, |_| None).0, [mode(Mjpeg, 640, 480, 30)]);
        // Plugged in again, perhaps at another port.
        lessons.failed(usb()[0], Some(&error(ENODEV)), true, now);
        assert_eq!(tried(&mut lessons, now, |_| None).0, [usb()[0]]);
    }

    #[test]
    fn a_camera_in_use_or_gone_is_left_alone() {
        let (mut lessons, now) = (Lessons::default(), Instant::now());
        let (modes, fault) = tried(&mut lessons, now, |_| Some(EBUSY));
        assert!(modes.len() == 1 && matches!(fault, Some(Fault::Busy)));
        let (modes, fault) = tried(&mut lessons, now, |_| Some(ENODEV));
        assert!(modes.len() == 1 && matches!(fault, Some(Fault::Gone)));
        assert_eq!(tried(&mut lessons, now, |_| None).0, [usb()[0]]);
    }

    #[test]
    fn another_format_than_asked_for_and_an_invalid_mode_lead_to_the_next() {
        let mut lessons = Lessons::default();
        let started = lessons.start(&usb(), Instant::now(), |mode| match (mode.format, mode.width) {
            (Yuyv, 640) => Err(Refusal::OtherFormat),
            (Mjpeg, 640) => Err(Refusal::Error(error(EINVAL))),
            _ => Ok(mode.width),
        });
        assert_eq!(started.unwrap().1, 320);
        let none = lessons.start(&usb(), Instant::now(), |_| Err::<(), _>(Refusal::OtherFormat));
        assert!(matches!(none, Err(Fault::NoMode)));
        assert!(matches!(lessons.start(&[], Instant::now(), |_| Ok(())), Err(Fault::NoMode)));
    }

    #[test]
    fn a_want_of_room_is_named_where_it_is_one() {
        let why = |errno| why_not(&mode(Yuyv, 640, 480, 30), &error(errno));
        assert!([ENOSPC, ENOMEM].iter().all(|errno| why(*errno).contains("no room")));
        assert!([EINVAL, EIO].iter().all(|errno| !why(*errno).contains("room")), "{}", why(EINVAL));
    }

    #[test]
    fn a_camera_of_many_modes_is_not_tried_for_ever() {
        let many: Vec<Mode> = (1..100).map(|fps| mode(Yuyv, 640, 480, fps)).collect();
        let mut tries = 0;
        let result = Lessons::default().start(&many, Instant::now(), |_| {
            tries += 1;
            Err::<(), _>(Refusal::OtherFormat)
        });
        assert!(matches!(result, Err(Fault::NoMode)));
        assert_eq!(tries, MAX_TRIES);
    }
}
