//! For tests with threads: a latch that holds a thread until the test lets it go, and lets it go whichever way the test
//! ends. Without it an assertion that fails while a thread is held would wait for that thread for ever, since what
//! joins it may be dropped before what frees it.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex};

use super::lock::lock;

/// Shut until [`open`](Latch::open) or drop.
pub struct Latch(Gate);

/// Where threads wait for the latch.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

/// What waits behind a latch. Dropping it opens the latch first.
pub struct Behind<T> {
    // Fields are dropped in this order.
    latch: Latch,
    inner: T,
}

impl Latch {
    pub fn shut() -> Latch {
        Latch(Gate::default())
    }

    pub fn gate(&self) -> Gate {
        self.0.clone()
    }

    pub fn open(&self) {
        *lock(&self.0.0.0) = true;
        self.0.0.1.notify_all();
    }

    /// Ties the latch to what its threads belong to.
    pub fn before<T>(self, inner: T) -> Behind<T> {
        Behind { latch: self, inner }
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.open();
    }
}

impl Gate {
    /// Waits until the latch opens.
    pub fn pass(&self) {
        let mut open = lock(&self.0.0);
        while !*open {
            open = self.0.1.wait(open).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}

impl<T> Behind<T> {
    pub fn open(&self) {
        self.latch.open();
    }
}

impl<T> Deref for Behind<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::mpsc::channel;
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use super::*;

    struct Joins(Option<JoinHandle<()>>);

    impl Drop for Joins {
        fn drop(&mut self) {
            self.0.take().unwrap().join().unwrap();
        }
    }

    #[test]
    fn a_test_that_fails_while_a_thread_is_held_ends() {
        let (ended, end) = channel();
        thread::spawn(move || {
            let failed = catch_unwind(|| {
                let latch = Latch::shut();
                let gate = latch.gate();
                let _held = latch.before(Joins(Some(thread::spawn(move || gate.pass()))));
                panic!("an assertion");
            });
            ended.send(failed.is_err()).unwrap();
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(20)), Ok(true));
    }
}
