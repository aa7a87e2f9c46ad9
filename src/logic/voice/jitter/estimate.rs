//! What the jitter buffer knows about time: the delay it has, and the delay that the network asks for.

use super::{FIRST_TARGET, MARGIN, RATE, TARGET, ms};

/// Least delay in the last half to whole second: the player takes its blocks in bursts, and the last of a burst counts.
#[derive(Default)]
pub(super) struct DelayWindow {
    since: i64,
    current: Option<i64>,
    previous: Option<i64>,
}

impl DelayWindow {
    const HALF: i64 = RATE / 2;

    pub(super) fn observe(&mut self, delay: i64, now: i64) {
        if now - self.since >= Self::HALF {
            self.since = now;
            self.previous = self.current.take();
        }
        self.current = Some(self.current.map_or(delay, |least| least.min(delay)));
    }

    pub(super) fn shift(&mut self, samples: i64) {
        self.current = self.current.map(|delay| delay + samples);
        self.previous = self.previous.map(|delay| delay + samples);
    }

    pub(super) fn least(&self) -> Option<i64> {
        self.current.into_iter().chain(self.previous).min()
    }
}

/// How much later than the quickest packets the others come: a histogram that forgets with time.
pub(super) struct Lateness {
    weights: [f32; Lateness::BUCKETS],
}

impl Lateness {
    const WIDTH: i64 = ms(5);
    const BUCKETS: usize = (TARGET.1 / Self::WIDTH) as usize;
    /// Share of the packets that may come too late.
    const LATE: f32 = 0.02;
    /// Some 330 packets, 7 s, are remembered well.
    const FORGET: f32 = 0.997;
    /// The start counts like so many packets.
    const PRIOR: f32 = 10.0;

    pub(super) fn new() -> Self {
        let mut weights = [0.0; Self::BUCKETS];
        weights[((FIRST_TARGET - MARGIN) / Self::WIDTH - 1) as usize] = Self::PRIOR;
        Lateness { weights }
    }

    pub(super) fn record(&mut self, samples: i64) {
        let bucket = (samples.max(0) / Self::WIDTH) as usize;
        self.weights.iter_mut().for_each(|weight| *weight *= Self::FORGET);
        self.weights[bucket.min(Self::BUCKETS - 1)] += 1.0;
    }

    pub(super) fn target(&self) -> i64 {
        let allowed = self.weights.iter().sum::<f32>() * Self::LATE;
        let mut later = 0.0;
        let covered = self.weights.iter().rposition(|weight| {
            later += weight;
            later > allowed
        });
        let lateness = (covered.unwrap_or(0) as i64 + 1) * Self::WIDTH;
        (lateness + MARGIN).clamp(TARGET.0, TARGET.1)
    }
}
