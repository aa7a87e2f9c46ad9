//! Many clients at once: joined as fast as the server takes them, and pairs that speak at their rate.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::client::{Client, Door};
use crate::heard::{Heard, PROBE};
use crate::message::{self, Template};
use crate::server::{Kind, Server};

/// Handshakes under way at a time. More would overflow the queue in which the kernel keeps connections for Node.
const AT_ONCE: u32 = 256;
/// Longest time for everybody to have joined.
const ASSEMBLY: Duration = Duration::from_secs(60);
/// How often members are asked whether they have joined, where the server does not say it.
const ASK: Duration = Duration::from_millis(50);
/// Bursts in a row before what comes back is read, where this program is behind its schedule.
const TURN: u64 = 16;
/// So many are asked.
const SAMPLE: usize = 16;

/// Clients of one server. Everything of it runs in the `LocalSet` in which it was made.
pub struct Crowd {
    door: Door,
    kind: Kind,
    pub heard: Rc<Heard>,
    members: Vec<(String, Rc<Client>)>,
}

impl Crowd {
    pub fn new(server: &Server) -> Crowd {
        Crowd { door: server.door.clone(), kind: server.kind, heard: Rc::new(Heard::new()), members: Vec::new() }
    }

    /// Has so many more join, and returns when the server knows all of them. What kept some out is among the faults.
    pub async fn join(&mut self, name: &str, count: u32) -> anyhow::Result<()> {
        let (next, arrived) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        let before = self.members.len();
        let workers: Vec<_> = (0..AT_ONCE.min(count))
            .map(|_| {
                let (next, arrived, door) = (next.clone(), arrived.clone(), self.door.clone());
                let (heard, name) = (self.heard.clone(), name.to_owned());
                spawn_local(async move {
                    while let Some(number) = Some(next.get()).filter(|number| *number < count) {
                        next.set(number + 1);
                        match Client::connect(&door, before as u32 + number, &heard).await {
                            Ok(client) => {
                                let id = format!("{name}-{number:05}");
                                client.send(&message::join(&id));
                                spawn_local(client.clone().attend());
                                arrived.borrow_mut().push((number, id, client));
                            }
                            Err(error) => heard.fault(format!("no connection: {error:#}")),
                        }
                    }
                })
            })
            .collect();
        let all = async {
            for worker in workers {
                let _ = worker.await;
            }
        };
        if timeout(ASSEMBLY, all).await.is_err() {
            self.heard.fault(format!("not connected within {} s", ASSEMBLY.as_secs()));
        }
        let mut arrived = arrived.take();
        arrived.sort_by_key(|(number, ..)| *number);
        self.members.extend(arrived.into_iter().map(|(_, id, client)| (id, client)));
        self.all_known().await;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    async fn all_known(&self) {
        let known = async {
            match self.kind {
                Kind::Callbox => {
                    while self.missing() > 0 {
                        sleep(Duration::from_millis(1)).await;
                    }
                }
                Kind::Node => self.ask().await,
            }
        };
        if timeout(ASSEMBLY, known).await.is_err() {
            self.heard.fault(format!("not all joined within {} s", ASSEMBLY.as_secs()));
        }
    }

    fn missing(&self) -> usize {
        self.members.len().saturating_sub(self.heard.joined.get() + self.heard.shut_out.get())
    }

    /// A plain relay answers no `join`: messages to some members, the last one among them, tell that they are known.
    async fn ask(&self) {
        let count = self.members.len();
        let mut open: Vec<usize> = (1..=SAMPLE.min(count)).map(|n| n * count / SAMPLE.min(count) - 1).collect();
        let mut turn = 0;
        while !open.is_empty() {
            for &to in &open {
                // Another one asks each time: everybody has a rate to keep.
                turn = (turn + 1) % count;
                let (from, target) = (&self.members[turn], &self.members[to]);
                let mut out = Vec::new();
                Template::new(&from.0, &target.0).write(PROBE, &mut out);
                target.1.ear.asked.set(true);
                from.1.send(&out);
            }
            let until = Instant::now() + ASK;
            while open.iter().any(|&to| self.members[to].1.ear.asked.get()) && Instant::now() < until {
                sleep(Duration::from_millis(1)).await;
            }
            open.retain(|&to| self.members[to].1.ear.asked.get());
        }
    }
}

/// Members that speak to each other, two by two: the first of each pair to the second.
pub struct Pairs {
    pub crowd: Crowd,
    pairs: Vec<(Rc<Client>, Template)>,
    sent: Cell<u64>,
    /// How late messages were when they were sent: this program's own fault.
    late: RefCell<Vec<Duration>>,
}

/// What is sent: bursts of `burst` messages, so many bursts a second by each pair, the pairs in turn.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub burst: u32,
    pub rate: f64,
}

impl Pairs {
    /// Makes pairs of new members of the crowd.
    pub async fn join(mut crowd: Crowd, count: u32) -> anyhow::Result<Pairs> {
        let before = crowd.len();
        crowd.join("speaker", 2 * count).await?;
        let speakers = &crowd.members[before..];
        ensure!(speakers.len() == 2 * count as usize, "pairs are missing: {:?}", crowd.heard.take_faults());
        let pairs = speakers
            .chunks_exact(2)
            .map(|pair| {
                let template = Template::new(&pair[0].0, &pair[1].0);
                pair[1].1.ear.meant.replace(Some(template.meant.clone()));
                (pair[0].1.clone(), template)
            })
            .collect();
        Ok(Pairs { crowd, pairs, sent: Cell::new(0), late: RefCell::default() })
    }

    /// Speaks for so long, never waiting for the server.
    pub async fn speak(&self, pace: Pace, time: Duration) {
        let began = Instant::now();
        let mut ticks = interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut out = Vec::new();
        let step = 1.0 / (pace.rate * self.pairs.len() as f64);
        for number in 0_u64.. {
            let due = Duration::from_secs_f64(step * number as f64);
            if due >= time {
                break;
            }
            while began.elapsed() < due {
                ticks.tick().await;
            }
            self.late.borrow_mut().push(began.elapsed().saturating_sub(due));
            if number % TURN == 0 {
                tokio::task::yield_now().await;
            }
            let (from, template) = &self.pairs[number as usize % self.pairs.len()];
            out.clear();
            for _ in 0..pace.burst {
                template.write(self.crowd.heard.now(), &mut out);
            }
            from.send(&out);
            self.sent.set(self.sent.get() + u64::from(pace.burst));
        }
    }

    /// Waits a while for what is under way, and counts what never comes.
    pub async fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.crowd.heard.delivered.get() < self.sent.get() && Instant::now() < deadline {
            sleep(Duration::from_millis(5)).await;
        }
        let lost = self.sent.get().saturating_sub(self.crowd.heard.delivered.get());
        if lost > 0 {
            self.crowd.heard.fault(format!("{lost} of {} messages lost", self.sent.get()));
        }
    }

    pub fn take_late(&self) -> Vec<Duration> {
        self.late.take()
    }
}
