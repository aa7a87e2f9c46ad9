//! A thread that works with a device until it is told to stop: errors and panics end one turn, not the thread, and the
//! device is opened again after growing pauses.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::pulse::Pulse;
use crate::logic::health::Progress;

/// Says when the thread has to end.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    pulse: Pulse,
}

impl Stop {
    /// Asked before every block or picture, which is how others see that the thread moves.
    pub(super) fn requested(&self) -> bool {
        self.0.pulse.beat();
        self.0.stop.load(Ordering::Acquire)
    }
}

/// Drop stops the thread and waits for it: as long as one block or picture takes, a second or two where a device hangs.
pub(super) struct Worker {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs `turn` again and again until it returns `Ok`, which it does when a stop is requested. `faulty` hears of what
    /// ended a turn before the pause that follows.
    pub(super) fn start<E: Display>(
        name: &'static str,
        turn: impl FnMut(&Stop) -> Result<(), E> + Send + 'static,
        faulty: impl FnMut(&str) + Send + 'static,
    ) -> Worker {
        let stop = Stop::default();
        let seen = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || supervise(name, &seen, turn, faulty));
        if let Err(error) = &thread {
            log::error!(thread = name, error:%; "no thread can be started: this call is without its {name}");
        }
        Worker { stop, thread: thread.ok() }
    }

    /// A turn takes as long as opening the device, or one block or picture; between two tries the thread rests.
    pub(super) fn progress(&self) -> Progress {
        self.stop.0.pulse.progress()
    }

    /// The thread will end, and is not waited for yet.
    pub(super) fn stop(&self) {
        self.stop.0.stop.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and reported inside.
            let _ = thread.join();
        }
    }
}

fn supervise<E: Display>(
    name: &str,
    stop: &Stop,
    mut turn: impl FnMut(&Stop) -> Result<(), E>,
    mut faulty: impl FnMut(&str),
) {
    let mut reopening = Reopening::default();
    while !stop.requested() {
        let start = Instant::now();
        let fault = match catch_unwind(AssertUnwindSafe(|| turn(stop))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("the {name} panicked: {}", message(panic.as_ref())),
        };
        let (pause, news) = reopening.after(start.elapsed(), &fault);
        let level = if news { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, thread = name, retry_ms = pause.as_millis() as u64; "{fault}; trying again");
        faulty(&fault);
        let until = Instant::now() + pause;
        while !stop.requested() && Instant::now() < until {
            stop.0.pulse.rest();
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

/// When a device is opened again, and whether it is worth a word.
#[derive(Default)]
struct Reopening {
    /// Failures since a turn that lasted.
    failures: u32,
    told: String,
}

impl Reopening {
    /// Pauses grow from the first to the second.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
    /// After a turn of this length everything starts over.
    const LASTING: Duration = Duration::from_secs(5);

    /// After a turn that took `ran` and ended with `fault`: the pause, and whether the fault is another than before. A
    /// device that stays away is reported once.
    fn after(&mut self, ran: Duration, fault: &str) -> (Duration, bool) {
        if ran >= Self::LASTING {
            *self = Reopening::default();
        }
        let pause = Self::PAUSES.0 * 2u32.saturating_pow(self.failures.min(10));
        self.failures += 1;
        let news = self.told != fault;
        fault.clone_into(&mut self.told);
        (pause.min(Self::PAUSES.1), news)
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    #[test]
    fn pauses_grow_and_start_over_after_a_turn_that_lasted() {
        let mut reopening = Reopening::default();
        let mut after = |ran, fault: &str| {
            let (pause, news) = reopening.after(Duration::from_secs(ran), fault);
            (pause.as_millis(), news)
        };
        assert_eq!([after(0, "away"), after(0, "away"), after(1, "busy")], [(200, true), (400, false), (800, true)]);
        assert_eq!(
            [after(4, "busy"), after(0, "busy"), after(0, "busy")],
            [(1_600, false), (3_200, false), (5_000, false)]
        );
        (0..100).for_each(|_| assert_eq!(after(0, "busy"), (5_000, false)));
        assert_eq!([after(5, "busy"), after(0, "busy")], [(200, true), (400, false)]);
    }

    #[test]
    fn faults_and_panics_are_told_and_the_next_turn_comes() {
        let (faults, told) = channel();
        let mut turns = 0;
        let worker = Worker::start(
            "worker",
            move |stop| {
                turns += 1;
                match turns {
                    1 => Err("away"),
                    2 => panic!("driver bug"),
                    _ => {
                        while !stop.requested() {
                            thread::park_timeout(Duration::from_millis(1));
                        }
                        Ok(())
                    }
                }
            },
            move |fault| faults.send(fault.to_owned()).unwrap(),
        );
        assert_eq!(told.recv_timeout(BOUND).as_deref(), Ok("away"));
        assert_eq!(told.recv_timeout(BOUND).as_deref(), Ok("the worker panicked: driver bug"));
        drop(worker);
        assert!(told.recv_timeout(BOUND).is_err(), "the thread has ended");
    }

    #[test]
    fn a_pause_ends_when_the_worker_is_dropped() {
        let (faults, told) = channel();
        let worker = Worker::start("worker", |_| Err("away"), move |_| faults.send(()).unwrap_or_default());
        // The pause after the fourth failure is longer than a second.
        (0..4).for_each(|_| told.recv_timeout(BOUND).unwrap());
        let begin = Instant::now();
        drop(worker);
        assert!(begin.elapsed() < Duration::from_secs(1));
    }
}
