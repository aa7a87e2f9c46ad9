//! What a crowd of clients has heard, counted together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::message;

pub struct Heard {
    /// All times are counted from here.
    began: Instant,
    /// Relayed messages.
    pub delivered: Cell<u64>,
    /// Answers to `join`.
    pub joined: Cell<usize>,
    /// Connections that ended without one.
    pub shut_out: Cell<usize>,
    /// How long relayed messages took, while they are asked for.
    delays: RefCell<Option<Vec<Duration>>>,
    /// What else is worth a word, and how often it was.
    faults: RefCell<BTreeMap<String, u64>>,
}

/// What one client listens for.
#[derive(Default)]
pub struct Ear {
    /// The first relayed message has to be this one.
    pub meant: RefCell<Option<Value>>,
    /// Until a probe has come.
    pub asked: Cell<bool>,
    joined: Cell<bool>,
}

/// The time that probes carry; they are no measured messages.
pub const PROBE: Duration = Duration::ZERO;

impl Heard {
    pub fn new() -> Heard {
        Heard {
            began: Instant::now(),
            delivered: Cell::new(0),
            joined: Cell::new(0),
            shut_out: Cell::new(0),
            delays: RefCell::default(),
            faults: RefCell::default(),
        }
    }

    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Keeps the delays of what comes from now on.
    pub fn keep_delays(&self) {
        *self.delays.borrow_mut() = Some(Vec::new());
    }

    pub fn take_delays(&self) -> Vec<Duration> {
        self.delays.borrow_mut().take().unwrap_or_default()
    }

    /// Takes one text message that came at that time.
    pub fn text(&self, text: &[u8], now: Duration, ear: &Ear) {
        if let Some(sent) = message::stamp(text) {
            if sent == PROBE {
                return ear.asked.set(false);
            }
            self.delivered.set(self.delivered.get() + 1);
            if let Some(delays) = self.delays.borrow_mut().as_mut() {
                delays.push(now.saturating_sub(sent));
            }
            let altered = match ear.meant.take() {
                Some(meant) => !message::same(text, &meant),
                None => false,
            };
            if altered || text.len() != message::BYTES {
                self.fault("message altered on its way".to_owned());
            }
            return;
        }
        #[derive(Deserialize)]
        struct Other<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            code: Option<&'a str>,
        }
        match serde_json::from_slice(text) {
            Ok(Other { kind: "joined", .. }) => {
                ear.joined.set(true);
                self.joined.set(self.joined.get() + 1);
            }
            Ok(Other { kind: "error", code }) => self.fault(format!("error {}", code.unwrap_or("without a code"))),
            Ok(_) => {}
            Err(_) => self.fault("unreadable message".to_owned()),
        }
    }

    /// A connection has ended, which none should.
    pub fn end(&self, why: &str, ear: &Ear) {
        if !ear.joined.get() {
            self.shut_out.set(self.shut_out.get() + 1);
        }
        self.fault(format!("connection lost ({why})"));
    }

    pub fn fault(&self, what: String) {
        *self.faults.borrow_mut().entry(what).or_default() += 1;
    }

    /// Takes the faults so far.
    pub fn take_faults(&self) -> Vec<String> {
        let faults = std::mem::take(&mut *self.faults.borrow_mut());
        faults.into_iter().map(|(what, times)| if times > 1 { format!("{times} x {what}") } else { what }).collect()
    }
}
