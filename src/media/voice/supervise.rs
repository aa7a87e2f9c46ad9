//! A thread that works with a device until it is told to stop: errors and panics end one turn, not the thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::logic::health::Progress;
use crate::media::audio::AudioError;
use crate::media::pulse::Pulse;

/// Wait before the device is opened again: doubled with every failure, back to the first after a turn that lasted.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const LASTING_TURN: Duration = Duration::from_secs(5);

/// Says when the thread has to end.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    pulse: Pulse,
}

impl Stop {
    /// Asked before every block, which is how others see that the thread moves.
    pub(super) fn requested(&self) -> bool {
        self.0.pulse.beat();
        self.0.stop.load(Ordering::Acquire)
    }
}

/// Drop stops the thread and waits for it: as long as one block takes, about a second where a device hangs.
pub(super) struct Worker {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs `turn` again and again until it returns `Ok`, which it does when a stop is requested.
    pub(super) fn start(
        name: &'static str,
        turn: impl FnMut(&Stop) -> Result<(), AudioError> + Send + 'static,
    ) -> Worker {
        let stop = Stop::default();
        let seen = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || supervise(name, &seen, turn));
        if let Err(error) = &thread {
            log::error!(thread = name, error:%; "no thread for sound: this call is without it");
        }
        Worker { stop, thread: thread.ok() }
    }

    /// A turn takes as long as opening the device, or one block; between two tries the thread rests.
    pub(super) fn progress(&self) -> Progress {
        self.stop.0.pulse.progress()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.0.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Its panics were caught and reported inside.
            let _ = thread.join();
        }
    }
}

fn supervise(name: &str, stop: &Stop, mut turn: impl FnMut(&Stop) -> Result<(), AudioError>) {
    let mut wait = FIRST_WAIT;
    let mut told = String::new();
    while !stop.requested() {
        let start = Instant::now();
        let fault = match catch_unwind(AssertUnwindSafe(|| turn(stop))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => {
                log::error!(thread = name; "panicked, starting over: {}", message(panic.as_ref()));
                String::new()
            }
        };
        if start.elapsed() >= LASTING_TURN {
            wait = FIRST_WAIT;
            told.clear();
        }
        // A device that stays away is reported once.
        if !fault.is_empty() && fault != told {
            log::warn!(thread = name; "{fault}; trying again");
            told = fault;
        }
        let until = Instant::now() + wait;
        wait = (wait * 2).min(LONGEST_WAIT);
        while !stop.requested() && Instant::now() < until {
            stop.0.pulse.rest();
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
