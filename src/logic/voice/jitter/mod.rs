//! One caller's jitter buffer: packets of voice come in any order, and leave one after the other when they are due.
//!
//! Two clocks run against each other: the sender's, seen through timestamps, and ours, which plays. The quickest
//! packets mark where the sender's clock stands (`base`); how much later the others come is collected in a histogram,
//! and the delay that lets nearly all of them arrive in time is the target. The delay of what is being played is
//! measured against the same mark, so the drift of either sound card's clock shows in it, and the player is asked to
//! shorten or lengthen the voice a little until it is back at the target. A delay that is far above it is jumped.

mod estimate;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use estimate::{DelayWindow, Lateness};

/// Samples a second of every position and duration here.
pub const RATE: i64 = 48_000;
/// Most packets held; the oldest leaves when one more comes. Two seconds of 10 ms packets.
pub const CAPACITY: usize = 200;
/// Concealment after which a silent sender counts as pausing, in samples: 100 ms.
pub const CONCEALED_MAX: u32 = 4_800;

/// Least and most delay aimed at, and where a call starts.
const TARGET: (i64, i64) = (ms(20), ms(200));
const FIRST_TARGET: i64 = ms(40);
/// Added to the lateness that the target covers, since the player takes blocks of this length.
const MARGIN: i64 = ms(10);
/// How far the delay may be above or below the target before the voice is stretched.
const SLACK_ABOVE: i64 = ms(20);
const SLACK_BELOW: i64 = ms(5);
/// Surplus that is skipped at once instead of played faster.
const JUMP: i64 = ms(120);
/// Least time between two stretches, so that a voice keeps its rhythm.
const STRETCH_PAUSE: i64 = ms(100);
/// Arrival further than this from what the timestamp says: the sender paused or changed its clock; start over.
const REANCHOR: i64 = ms(1_000);
/// Sequence numbers further ahead or behind than this belong to another stream (RFC 3550, appendix A.1).
const MAX_DROPOUT: i16 = 3_000;
const MIN_MISORDER: i16 = -100;
/// The mark of the quickest packet rises by one sample in so many, to follow a sender whose clock is slow by up to 0.2 %.
const BASE_RISE: f64 = 1.0 / 500.0;
/// Concealment comes in steps of Opus' shortest frame, 2.5 ms.
const STEP: i64 = 120;
/// Length of a packet before the first one was seen.
const USUAL_PACKET: u32 = 960;

/// A packet as it came from the network.
pub struct Arrival<T> {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// Duration in samples at 48 kHz.
    pub samples: u32,
    pub payload: T,
}

/// What to play next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull<T> {
    /// Decode this one; stretch the result as `pace` asks and report it with [`JitterBuffer::stretched`].
    Packet { payload: T, pace: Pace },
    /// Nothing came for the next `samples` (a multiple of 2.5 ms): conceal them, with the redundancy in `recover_from`
    /// where that is at hand.
    Missing { samples: u32, recover_from: Option<T> },
    /// Nothing to play now: silence.
    Buffering,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Keep,
    Shorten,
    Lengthen,
}

/// What happened so far, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub packets: u64,
    pub duplicates: u64,
    /// Came after their turn.
    pub late: u64,
    /// In time but not played: skipped to catch up, or beyond [`CAPACITY`], or of a stream nobody knows.
    pub dropped: u64,
    /// Pulls that found nothing to play.
    pub missing: u64,
    /// New streams of the sender: other sequence numbers and timestamps.
    pub restarts: u64,
}

pub struct JitterBuffer<T> {
    epoch: Instant,
    leg: Option<Leg<T>>,
    /// Sequence number that would follow on the last packet which did not fit the stream: two in a row are a new one.
    stray: Option<u16>,
    lateness: Lateness,
    counts: Counts,
}

/// One stream of consecutive sequence numbers. Positions are timestamps without their wrap.
struct Leg<T> {
    newest_sequence: u16,
    newest_timestamp: u32,
    newest: Place,
    /// Which of the 128 sequence numbers up to the newest were seen; bit 0 is the newest.
    seen: u128,
    /// By position.
    queue: BTreeMap<i64, Entry<T>>,
    /// Arrival minus position of the quickest packet.
    base: f64,
    last_arrival: i64,
    last_played: Option<Played>,
    playout: Playout,
}

#[derive(Clone, Copy)]
struct Place {
    sequence: i64,
    position: i64,
}

struct Entry<T> {
    sequence: i64,
    samples: u32,
    payload: T,
}

#[derive(Clone, Copy)]
struct Played {
    sequence: i64,
    end: i64,
    samples: u32,
}

enum Playout {
    /// Waits until a packet has been held for the target delay.
    Buffering,
    Playing {
        next: i64,
        /// Concealed since the queue ran empty.
        starved: u32,
        delay: DelayWindow,
        stretched_at: i64,
    },
}

enum Fit {
    Ahead(Place),
    Behind(Place),
    Duplicate,
    Stranger,
}

impl<T: Clone> JitterBuffer<T> {
    /// `epoch`: any moment before the first packet.
    pub fn new(epoch: Instant) -> Self {
        JitterBuffer { epoch, leg: None, stray: None, lateness: Lateness::new(), counts: Counts::default() }
    }

    /// Takes a packet from the network.
    pub fn push(&mut self, packet: Arrival<T>, now: Instant) {
        let now = self.since_epoch(now);
        self.counts.packets += 1;
        let fit = self.leg.as_ref().map(|leg| leg.fit(packet.sequence, packet.timestamp));
        match (fit, &mut self.leg) {
            (None, _) | (_, None) => self.start(packet, now),
            (Some(Fit::Duplicate), _) => self.counts.duplicates += 1,
            (Some(Fit::Stranger), _) if self.stray == Some(packet.sequence) => {
                self.counts.restarts += 1;
                self.start(packet, now);
            }
            (Some(Fit::Stranger), _) => {
                self.counts.dropped += 1;
                self.stray = Some(packet.sequence.wrapping_add(1));
            }
            (Some(Fit::Behind(place)), Some(leg)) => {
                self.stray = None;
                leg.insert(place, packet, now, &mut self.lateness, &mut self.counts);
            }
            (Some(Fit::Ahead(place)), Some(leg)) => {
                self.stray = None;
                leg.advance(place, &packet);
                if (now - place.position).abs_diff(leg.base as i64) > REANCHOR as u64 {
                    self.counts.dropped += leg.queue.len() as u64;
                    leg.queue.clear();
                    leg.base = (now - place.position) as f64;
                    leg.playout = Playout::Buffering;
                }
                leg.insert(place, packet, now, &mut self.lateness, &mut self.counts);
            }
        }
    }

    /// What to play next, when the player still holds `held` decoded samples that are not played.
    pub fn pull(&mut self, now: Instant, held: u32) -> Pull<T> {
        let now = self.since_epoch(now);
        match &mut self.leg {
            Some(leg) => leg.pull(now, i64::from(held), self.lateness.target(), &mut self.counts),
            None => Pull::Buffering,
        }
    }

    /// The player made what it holds longer (positive) or shorter by so many samples.
    pub fn stretched(&mut self, samples: i64, now: Instant) {
        let now = self.since_epoch(now);
        if let Some(Leg { playout: Playout::Playing { delay, stretched_at, .. }, .. }) = &mut self.leg {
            delay.shift(samples);
            *stretched_at = now;
        }
    }

    /// Time from the moment the quickest packet would have come to the moment it leaves for the player.
    pub fn delay(&self) -> Duration {
        let samples = match &self.leg {
            Some(Leg { playout: Playout::Playing { delay, .. }, .. }) => delay.least().unwrap_or(0),
            Some(Leg { playout: Playout::Buffering, .. }) | None => 0,
        };
        Duration::from_micros(samples.max(0) as u64 * 1_000 / ms(1) as u64)
    }

    pub fn target(&self) -> Duration {
        Duration::from_micros(self.lateness.target() as u64 * 1_000 / ms(1) as u64)
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Packets held.
    pub fn len(&self) -> usize {
        self.leg.as_ref().map_or(0, |leg| leg.queue.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn start(&mut self, packet: Arrival<T>, now: i64) {
        self.stray = None;
        if let Some(old) = &self.leg {
            self.counts.dropped += old.queue.len() as u64;
        }
        let place = Place { sequence: i64::from(packet.sequence), position: i64::from(packet.timestamp) };
        let leg = self.leg.insert(Leg {
            newest_sequence: packet.sequence,
            newest_timestamp: packet.timestamp,
            newest: place,
            seen: 1,
            queue: BTreeMap::new(),
            base: (now - place.position) as f64,
            last_arrival: now,
            last_played: None,
            playout: Playout::Buffering,
        });
        leg.insert(place, packet, now, &mut self.lateness, &mut self.counts);
    }

    fn since_epoch(&self, now: Instant) -> i64 {
        (now.saturating_duration_since(self.epoch).as_micros() as i64).saturating_mul(ms(1)) / 1_000
    }
}

impl<T: Clone> Leg<T> {
    fn fit(&self, sequence: u16, timestamp: u32) -> Fit {
        let steps = sequence.wrapping_sub(self.newest_sequence) as i16;
        let samples = i64::from(timestamp.wrapping_sub(self.newest_timestamp) as i32);
        let place =
            Place { sequence: self.newest.sequence + i64::from(steps), position: self.newest.position + samples };
        match steps {
            1..=MAX_DROPOUT if samples > 0 => Fit::Ahead(place),
            MIN_MISORDER..=0 if self.seen >> steps.unsigned_abs() & 1 == 1 => Fit::Duplicate,
            MIN_MISORDER..=-1 if (-10 * RATE..0).contains(&samples) => Fit::Behind(place),
            _ => Fit::Stranger,
        }
    }

    fn advance(&mut self, place: Place, packet: &Arrival<T>) {
        let steps = place.sequence - self.newest.sequence;
        self.seen = u32::try_from(steps).ok().and_then(|s| self.seen.checked_shl(s)).unwrap_or(0) | 1;
        self.newest = place;
        self.newest_sequence = packet.sequence;
        self.newest_timestamp = packet.timestamp;
    }

    fn insert(&mut self, place: Place, packet: Arrival<T>, now: i64, lateness: &mut Lateness, counts: &mut Counts) {
        let behind = self.newest.sequence - place.sequence;
        if (0..128).contains(&behind) {
            self.seen |= 1 << behind;
        }
        let transit = (now - place.position) as f64;
        self.base = transit.min(self.base + (now - self.last_arrival) as f64 * BASE_RISE);
        self.last_arrival = now;
        lateness.record((transit - self.base) as i64);

        let floor = match &self.playout {
            Playout::Playing { next, .. } => *next,
            Playout::Buffering => self.last_played.map_or(i64::MIN, |played| played.end),
        };
        if place.position < floor {
            counts.late += 1;
            return;
        }
        let entry = Entry { sequence: place.sequence, samples: packet.samples, payload: packet.payload };
        if self.queue.insert(place.position, entry).is_some() {
            counts.dropped += 1;
        }
        if self.queue.len() > CAPACITY {
            self.skip_first(counts);
        }
    }

    fn pull(&mut self, now: i64, held: i64, target: i64, counts: &mut Counts) -> Pull<T> {
        let base = self.base as i64;
        if matches!(self.playout, Playout::Buffering) {
            let due = now - base - target;
            while self.queue.keys().nth(1).is_some_and(|second| *second <= due) {
                self.skip_first(counts);
            }
            match self.queue.keys().next() {
                Some(first) if *first <= due => {
                    let delay = DelayWindow::default();
                    self.playout = Playout::Playing { next: *first, starved: 0, delay, stretched_at: now };
                }
                Some(_) | None => return Pull::Buffering,
            }
        }
        self.catch_up(now, held, target, counts);
        let Playout::Playing { next, starved, delay, stretched_at } = &mut self.playout else {
            return Pull::Buffering;
        };
        let surplus = delay.least().unwrap_or(target) - target;

        let gap = self.queue.keys().next().map(|position| position - *next);
        if gap.is_some_and(|gap| gap < STEP)
            && let Some((position, entry)) = self.queue.pop_first()
        {
            let end = position + i64::from(entry.samples);
            *next = end;
            *starved = 0;
            self.last_played = Some(Played { sequence: entry.sequence, end, samples: entry.samples });
            let pace = match surplus {
                _ if now - *stretched_at < STRETCH_PAUSE => Pace::Keep,
                surplus if surplus > SLACK_ABOVE => Pace::Shorten,
                surplus if surplus < -SLACK_BELOW => Pace::Lengthen,
                _ => Pace::Keep,
            };
            return Pull::Packet { payload: entry.payload, pace };
        }

        let first = self.queue.first_key_value();
        let usual = i64::from(self.last_played.map_or(USUAL_PACKET, |played| played.samples)).max(STEP);
        let samples = usual.min(gap.unwrap_or(usual)) / STEP * STEP;
        if first.is_none() {
            *starved += samples as u32;
            if *starved > CONCEALED_MAX {
                self.playout = Playout::Buffering;
                return Pull::Buffering;
            }
        }
        counts.missing += 1;
        // Only a gap in the sequence is a loss, and only the packet right behind it carries the redundancy.
        let recover_from = first
            .filter(|(position, _)| **position - *next < samples + STEP)
            .filter(|(_, entry)| self.last_played.is_none_or(|played| entry.sequence > played.sequence + 1))
            .map(|(_, entry)| entry.payload.clone());
        if recover_from.is_none() && surplus + samples <= 0 {
            // Too little delay: what is concealed here is put in between.
            delay.shift(samples);
        } else {
            *next += samples;
        }
        Pull::Missing { samples: samples as u32, recover_from }
    }

    /// Forgets what is behind the playout, measures the delay, and skips packets where it is far too long.
    fn catch_up(&mut self, now: i64, held: i64, target: i64, counts: &mut Counts) {
        let Playout::Playing { next, delay, .. } = &mut self.playout else { return };
        while self.queue.first_key_value().is_some_and(|(position, _)| *position < *next) {
            self.queue.pop_first();
            counts.dropped += 1;
        }
        delay.observe(now - self.base as i64 - (*next - held), now);
        if delay.least().is_none_or(|delay| delay - target <= JUMP) {
            return;
        }
        while self.queue.len() > 1
            && let Playout::Playing { delay, .. } = &self.playout
            && delay.least().is_some_and(|delay| delay - target > SLACK_ABOVE)
        {
            self.skip_first(counts);
        }
    }

    /// Drops the oldest packet, and what is missing in front of the one after it.
    fn skip_first(&mut self, counts: &mut Counts) {
        self.queue.pop_first();
        counts.dropped += 1;
        if let (Playout::Playing { next, delay, .. }, Some(first)) = (&mut self.playout, self.queue.keys().next()) {
            delay.shift(*next - *first);
            *next = *first;
        }
    }
}

const fn ms(milliseconds: i64) -> i64 {
    milliseconds * RATE / 1_000
}

#[cfg(test)]
mod tests;
