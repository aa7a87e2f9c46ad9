//! The line to one client: the bounded queue of what waits for it, filled by the hub and by other clients' readers and
//! emptied by the connection's own task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::task::Waker;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::base::lock::lock;
use crate::logic::hub::{self, ConnId};
use crate::logic::websocket::Frame;
use crate::protocol::{UserId, close};

/// Frames that wait for one client. A further one from another client is refused, and its sender told.
const WAITING_FRAMES: usize = 1024;
/// Bytes that wait for one client; likewise.
const WAITING_BYTES: usize = 256 * 1024;
/// What the server itself has to say finds room up to here. A client that lets even this pile up is cut.
const OWN_BYTES: usize = 2 * WAITING_BYTES;
/// Bytes that wait for all clients together. When there are more, the client with the longest queue is cut.
const ALL_BYTES: usize = 32 * 1024 * 1024;

pub struct Line {
    pub id: ConnId,
    queue: Mutex<Queue>,
    /// Bytes that were queued and are not written.
    waiting: AtomicUsize,
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
    settled: Option<Option<UserId>>,
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

/// What waits in all queues together.
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
}

impl Line {
    pub fn new(id: ConnId, ledger: Arc<Ledger>) -> Line {
        Line {
            id,
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
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
        if self.waiting.load(Relaxed) + frame.bytes().len() > OWN_BYTES {
            return self.close(TOO_SLOW);
        }
        self.push(frame, presence);
    }

    /// Closes the connection; the first reason counts.
    pub fn close(&self, end: End) {
        let mut queue = lock(&self.queue);
        if queue.end.is_none() {
            queue.end = Some(end);
            self.ended.store(true, Relaxed);
            if end.at_once {
                let dropped = std::mem::take(&mut queue.frames);
                self.release(dropped.iter().map(|frame| frame.bytes.len()).sum());
            }
            drop(queue);
            self.task.wake();
        }
    }

    pub fn settle(&self, member: Option<UserId>) {
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

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Counters of what was heard from the client and taken by it.
    pub fn pulse(&self) -> (u32, u32) {
        (self.heard.load(Relaxed), self.taken.load(Relaxed))
    }

    fn push(&self, frame: Frame, presence: bool) {
        let bytes = frame.into_bytes();
        let length = bytes.len();
        let mut queue = lock(&self.queue);
        if queue.end.is_some() {
            return;
        }
        self.charge(length);
        queue.frames.push_back(Waiting { bytes, presence });
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

    pub fn settled(&self) -> Option<Option<UserId>> {
        lock(&self.queue).settled.take()
    }

    /// Something came in. Whether the hub waits for it.
    pub fn has_heard(&self) -> bool {
        self.heard.fetch_add(1, Relaxed);
        self.asked.load(Relaxed) && self.asked.swap(false, Relaxed)
    }

    /// The client has taken something; so many bytes of whole frames.
    pub fn has_taken(&self, bytes: usize) {
        self.taken.fetch_add(1, Relaxed);
        self.release(bytes);
    }

    /// Frames that were taken will not be written.
    pub fn drops(&self, frames: impl Iterator<Item = Waiting>) {
        self.release(frames.map(|frame| frame.bytes.len()).sum());
    }

    pub fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// A frame that never was in the queue is being written too.
    pub fn charge(&self, bytes: usize) {
        self.waiting.fetch_add(bytes, Relaxed);
        self.ledger.add(bytes);
    }

    /// From now on everything sent to this client is dropped.
    pub fn end(&self) {
        self.close(End { code: close::GOING_AWAY, reason: "", at_once: true });
    }

    /// Nothing will be written any more.
    pub fn over(&self) {
        self.end();
        self.release(self.waiting());
    }

    fn release(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Relaxed);
        self.ledger.bytes.fetch_sub(bytes, Relaxed);
    }
}

pub const TOO_SLOW: End = End { code: close::TOO_SLOW, reason: "you do not read what is sent to you", at_once: true };

impl hub::Line for Arc<Line> {
    fn relay(&self, frame: Frame) -> bool {
        let fits = !self.is_ended()
            && self.waiting.load(Relaxed) + frame.bytes().len() <= WAITING_BYTES
            && lock(&self.queue).frames.len() < WAITING_FRAMES;
        if fits {
            self.push(frame, false);
        }
        fits
    }
}
