//! The line to one client: the bounded queue of what waits for it, filled by the hub and by other clients' readers and
//! emptied by the connection's own task; and what the client's memory comes to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::task::Waker;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::base::lock::lock;
use crate::logic::hub::{self, ConnId, Standing};
use crate::logic::websocket::Frame;
use crate::protocol::close;

/// Frames that wait for one client. A further one from another client is refused, and its sender told.
const WAITING_FRAMES: usize = 1024;
/// Bytes that one client takes; likewise.
const WAITING_BYTES: usize = 256 * 1024;
/// What the server itself has to say finds room up to here. A client that lets even this pile up is cut.
const OWN_BYTES: usize = 2 * WAITING_BYTES;
/// Bytes that all clients take together. When there are more, the client that takes the most is cut.
const ALL_BYTES: usize = 32 * 1024 * 1024;
/// What a frame that waits takes beside its bytes: its entry, and what the allocator and the count of its owners add.
const FRAME_BYTES: usize = 2 * size_of::<Waiting>();

pub struct Line {
    pub id: ConnId,
    queue: Mutex<Queue>,
    /// Bytes of memory for what was queued and is not written,
    waiting: AtomicUsize,
    /// and for what has come and cannot be dealt with yet.
    held: AtomicUsize,
    task: AtomicWaker,
    /// Counts what has come from the client, and what it has taken.
    heard: AtomicU32,
    taken: AtomicU32,
    /// The hub waits for a sign of life.
    asked: AtomicBool,
    ended: AtomicBool,
    ledger: Arc<Ledger>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Waiting>,
    end: Option<End>,
    /// The hub's answer to what was asked.
    settled: Option<Option<Standing>>,
}

pub struct Waiting {
    pub bytes: Bytes,
    /// The hub wants to know when it is on its way.
    pub presence: bool,
}

/// How a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub code: u16,
    pub reason: &'static str,
    /// Without what waits: the client would not take it.
    pub at_once: bool,
}

/// What all lines take together.
#[derive(Default)]
pub struct Ledger {
    bytes: AtomicUsize,
    /// There is too much.
    pub over: Notify,
}

impl Ledger {
    /// How many of so many bytes are beyond what may wait.
    pub fn excess_of(&self, bytes: usize) -> usize {
        bytes.min(self.bytes.load(Relaxed)).saturating_sub(ALL_BYTES)
    }

    fn add(&self, bytes: usize) {
        if self.bytes.fetch_add(bytes, Relaxed) + bytes > ALL_BYTES {
            self.over.notify_one();
        }
    }

    fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

impl Waiting {
    /// Bytes of memory.
    pub fn takes(&self) -> usize {
        self.bytes.len() + FRAME_BYTES
    }
}

impl Line {
    pub fn new(id: ConnId, ledger: Arc<Ledger>) -> Line {
        Line {
            id,
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            task: AtomicWaker::new(),
            heard: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            asked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            ledger,
        }
    }

    /// Sends a frame of the server's.
    pub fn send(&self, frame: Frame, presence: bool) {
        let frame = Waiting { bytes: frame.into_bytes(), presence };
        if self.takes() + frame.takes() > OWN_BYTES {
            return self.close(TOO_SLOW);
        }
        self.push(frame);
    }

    /// Closes the connection; the first reason counts.
    pub fn close(&self, end: End) {
        let mut queue = lock(&self.queue);
        if queue.end.is_none() {
            queue.end = Some(end);
            self.ended.store(true, Relaxed);
            if end.at_once {
                let dropped = std::mem::take(&mut queue.frames);
                self.release(dropped.iter().map(Waiting::takes).sum());
            }
            drop(queue);
            self.task.wake();
        }
    }

    pub fn settle(&self, member: Option<Standing>) {
        lock(&self.queue).settled = Some(member);
        self.task.wake();
    }

    pub fn ping(&self) {
        self.send(Frame::ping(), false);
    }

    /// Pings the client and has its next sign of life told to the hub.
    pub fn ask(&self) {
        self.asked.store(true, Relaxed);
        self.ping();
    }

    /// Bytes that wait for the client.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Bytes that came from it and wait for more.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Bytes that the client takes in all.
    pub fn takes(&self) -> usize {
        self.waiting() + self.held()
    }

    /// Counters of what was heard from the client and taken by it.
    pub fn pulse(&self) -> (u32, u32) {
        (self.heard.load(Relaxed), self.taken.load(Relaxed))
    }

    fn push(&self, frame: Waiting) {
        let mut queue = lock(&self.queue);
        if queue.end.is_some() {
            return;
        }
        self.charge(&frame);
        queue.frames.push_back(frame);
        let first = queue.frames.len() == 1;
        drop(queue);
        // Who has not come for the earlier ones has been woken for them.
        if first {
            self.task.wake();
        }
    }
}

/// For the connection's own task.
impl Line {
    pub fn wake_with(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Moves what waits to `to`, which is empty, and says whether the connection is to be closed after that.
    pub fn take(&self, to: &mut VecDeque<Waiting>) -> Option<End> {
        let mut queue = lock(&self.queue);
        std::mem::swap(&mut queue.frames, to);
        queue.end
    }

    pub fn settled(&self) -> Option<Option<Standing>> {
        lock(&self.queue).settled.take()
    }

    /// Something came in. Whether the hub waits for it.
    pub fn has_heard(&self) -> bool {
        self.heard.fetch_add(1, Relaxed);
        self.asked.load(Relaxed) && self.asked.swap(false, Relaxed)
    }

    /// The client has taken something; whole frames that took so much.
    pub fn has_taken(&self, bytes: usize) {
        self.taken.fetch_add(1, Relaxed);
        self.release(bytes);
    }

    /// Frames that were taken will not be written.
    pub fn drops(&self, frames: impl Iterator<Item = Waiting>) {
        self.release(frames.map(|frame| frame.takes()).sum());
    }

    pub fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// A frame that never was in the queue is being written too.
    pub fn charge(&self, frame: &Waiting) {
        self.waiting.fetch_add(frame.takes(), Relaxed);
        self.ledger.add(frame.takes());
    }

    /// So many bytes of what has come are kept until there is more of it.
    pub fn holds(&self, bytes: usize) {
        let before = self.held.swap(bytes, Relaxed);
        match bytes.checked_sub(before) {
            Some(0) => {}
            Some(more) => self.ledger.add(more),
            None => self.ledger.remove(before - bytes),
        }
    }

    /// From now on everything sent to this client is dropped.
    pub fn end(&self) {
        self.close(End { code: close::GOING_AWAY, reason: "", at_once: true });
    }

    /// Nothing will be written any more.
    pub fn over(&self) {
        self.end();
        self.release(self.waiting());
        self.holds(0);
    }

    fn release(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Relaxed);
        self.ledger.remove(bytes);
    }
}

pub const TOO_SLOW: End = End { code: close::TOO_SLOW, reason: "you do not read what is sent to you", at_once: true };
pub const NO_ROOM: End =
    End { code: close::TRY_LATER, reason: "there is no room for what you have begun to say", at_once: true };

impl hub::Line for Arc<Line> {
    fn relay(&self, frame: Frame) -> bool {
        let frame = Waiting { bytes: frame.into_bytes(), presence: false };
        let fits = !self.is_ended()
            && self.takes() + frame.takes() <= WAITING_BYTES
            && lock(&self.queue).frames.len() < WAITING_FRAMES;
        if fits {
            self.push(frame);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use hub::Line as _;

    use super::*;

    fn line(ledger: &Arc<Ledger>) -> Arc<Line> {
        Arc::new(Line::new(ConnId(1), ledger.clone()))
    }

    #[test]
    fn small_frames_count_for_what_they_take() {
        let ledger = Arc::default();
        let line = line(&ledger);
        let relayed = (0..).take_while(|_| line.relay(Frame::text("{}"))).count();
        assert!(relayed <= WAITING_FRAMES && line.waiting() >= relayed * FRAME_BYTES);
        let pongs = (0..).take_while(|_| {
            line.send(Frame::pong(b""), false);
            !line.is_ended()
        });
        let frames = relayed + pongs.count();
        assert!(frames * 2 * size_of::<Waiting>() <= OWN_BYTES, "{frames} of a few bytes each");
        assert_eq!(ledger.bytes.load(Relaxed), 0, "who is cut leaves nothing");
    }

    #[test]
    fn whatever_becomes_of_it_what_a_client_took_is_given_back() {
        let ledger: Arc<Ledger> = Arc::default();
        let line = line(&ledger);
        let mut taken = VecDeque::new();
        for _ in 0..4 {
            line.send(Frame::text("hello"), false);
        }
        line.holds(1000);
        assert_eq!(ledger.bytes.load(Relaxed), line.takes());
        line.take(&mut taken);
        line.has_taken(taken.pop_front().unwrap().takes());
        line.drops(taken.drain(..2));
        line.holds(300);
        assert_eq!(line.takes(), 5 + 2 + FRAME_BYTES + 300);
        assert_eq!(ledger.bytes.load(Relaxed), line.takes());
        // Its task ends with a frame half written.
        line.over();
        assert_eq!(ledger.bytes.load(Relaxed), 0);
        line.send(Frame::text("too late"), false);
        assert!(!line.relay(Frame::text("too late")));
        assert_eq!(ledger.bytes.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn too_much_for_all_together_is_told_and_what_is_beyond_is_known() {
        let ledger: Arc<Ledger> = Arc::default();
        let (one, other) = (line(&ledger), line(&ledger));
        one.holds(ALL_BYTES);
        assert_eq!(ledger.excess_of(one.takes()), 0);
        other.holds(7);
        tokio::time::timeout(std::time::Duration::from_secs(10), ledger.over.notified()).await.expect("it is told");
        assert_eq!(ledger.excess_of(one.takes() + other.takes()), 7);
        assert_eq!(ledger.excess_of(other.takes()), 0, "the rest is given back soon");
        one.over();
        assert_eq!(ledger.excess_of(other.takes()), 0);
    }
}
