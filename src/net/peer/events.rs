//! The way from a peer's connection to its owner: one bounded queue in which sound can be lost but news cannot.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};

use super::{CloseReason, PeerEvent};
use crate::base::lock::lock;
use crate::logic::unit::ReceivedVoice;

/// Events that wait for the owner. 256 are 3 seconds of voice; when they are full voice and key-frame requests are
/// dropped, since both come again.
const EVENT_QUEUE: usize = 256;
/// Places that voice and key-frame requests leave free for news: candidates, states, goodbye. A peer has a few dozen of
/// those in its life, so they are only lost to an owner who stopped reading; the last one, `Closed`, not even then.
const RESERVED: usize = 96;

/// The sending end, shared by everything that belongs to one peer. After `Closed` nothing more comes out of it.
pub(super) struct Events {
    open: Mutex<Option<Open>>,
    is_reached: AtomicBool,
    is_up: AtomicBool,
    connected_since: OnceLock<Instant>,
    voice_dropped: AtomicU64,
}

struct Open {
    queue: Sender<PeerEvent>,
    last: OwnedPermit<PeerEvent>,
}

impl Events {
    pub(super) fn new() -> (Events, Receiver<PeerEvent>) {
        let (queue, receiver) = mpsc::channel(EVENT_QUEUE);
        let open = queue.clone().try_reserve_owned().ok().map(|last| Open { queue, last });
        (
            Events {
                open: Mutex::new(open),
                is_reached: AtomicBool::new(false),
                is_up: AtomicBool::new(false),
                connected_since: OnceLock::new(),
                voice_dropped: AtomicU64::new(0),
            },
            receiver,
        )
    }

    /// News that must arrive.
    pub(super) fn tell(&self, event: PeerEvent) {
        if let Some(open) = &*self.lock()
            && open.queue.try_send(event).is_err()
        {
            log::error!("a call's events are not read: one was lost");
        }
    }

    /// A connectivity check has come or was answered; the owner hears of the first.
    pub(super) fn reached(&self) {
        if !self.is_reached.swap(true, Ordering::Relaxed) {
            self.tell(PeerEvent::Reached);
        }
    }

    pub(super) fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Relaxed)
    }

    /// ICE and DTLS are up, and checks are answered. The owner hears it once per loss.
    pub(super) fn connected(&self) {
        self.reached();
        self.connected_since.get_or_init(Instant::now);
        if !self.is_up.swap(true, Ordering::Relaxed) {
            self.tell(PeerEvent::Connected);
        }
    }

    pub(super) fn disconnected(&self) {
        if self.is_up.swap(false, Ordering::Relaxed) {
            self.tell(PeerEvent::Disconnected);
        }
    }

    /// Dropped when the queue is nearly full: it comes again.
    pub(super) fn key_frame_wanted(&self) {
        if let Some(open) = &*self.lock()
            && open.queue.capacity() > RESERVED
        {
            let _ = open.queue.try_send(PeerEvent::KeyFrameWanted);
        }
    }

    /// Dropped and counted when the queue is nearly full.
    pub(super) fn voice(&self, packet: ReceivedVoice) {
        if let Some(open) = &*self.lock()
            && (open.queue.capacity() <= RESERVED || open.queue.try_send(PeerEvent::Voice(packet)).is_err())
        {
            self.voice_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The last event; only the first reason counts.
    pub(super) fn close(&self, reason: CloseReason) {
        if let Some(open) = self.lock().take() {
            open.last.send(PeerEvent::Closed(reason));
        }
    }

    /// When the connection came up for the first time.
    pub(super) fn connected_since(&self) -> Option<Instant> {
        self.connected_since.get().copied()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    pub(super) fn voice_dropped(&self) -> u64 {
        self.voice_dropped.load(Ordering::Relaxed)
    }

    /// A panic elsewhere must not keep the owner from hearing of the end, so a poisoned lock is taken all the same.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        lock(&self.open)
    }
}
