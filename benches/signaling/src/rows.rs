//! What is measured: one function for each kind of load, with one fresh server each time.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::crowd::{Crowd, Pace, Pairs};
use crate::server::{Kind, Programs, Server};

/// Messages a second by each speaker: below the 50 that Callbox allows.
const RATE: f64 = 45.0;
/// Before the figures count: buffers have grown, and Node has compiled what it runs.
const WARM_UP: Duration = Duration::from_millis(1500);
/// Idle members have said nothing for so long when memory is read.
const IDLE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// So many pairs, each message sent when it is due.
    Open { pairs: u32 },
    /// The same on average, in bursts.
    Burst { pairs: u32, burst: u32 },
    /// The same, with others on line who say nothing.
    Members { pairs: u32, idle: u32 },
    /// Members who say nothing.
    Idle { members: u32, tls: bool },
    /// Everybody at once.
    Storm { members: u32 },
}

/// One figure of one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub what: &'static str,
    pub value: f64,
}

/// What one measurement gave.
#[derive(Debug)]
pub struct Outcome {
    pub figures: Vec<Figure>,
    /// What did not go as it should.
    pub faults: Vec<String>,
    /// How late this program sent what it sent.
    pub late: Vec<Duration>,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// How long figures of messages are taken.
    pub window: Duration,
    pub sources: u32,
}

impl Row {
    /// The group it belongs to, as `--rows` takes it.
    pub fn group(self) -> &'static str {
        match self {
            Row::Open { .. } => "open",
            Row::Burst { .. } => "burst",
            Row::Members { .. } => "members",
            Row::Idle { tls: false, .. } => "idle",
            Row::Idle { tls: true, .. } => "tls",
            Row::Storm { .. } => "storm",
        }
    }

    pub fn title(self) -> String {
        match self {
            Row::Open { pairs } => format!("{pairs} pairs"),
            Row::Burst { pairs, burst } => format!("{pairs} pairs, bursts of {burst}"),
            Row::Members { pairs, idle } => format!("{pairs} pairs, {idle} idle"),
            Row::Idle { members, tls: false } => format!("{members} idle"),
            Row::Idle { members, tls: true } => format!("{members} idle, TLS"),
            Row::Storm { members } => format!("storm of {members}"),
        }
    }

    /// The plain relay speaks no TLS.
    pub fn is_for(self, kind: Kind) -> bool {
        match self {
            Row::Idle { tls: true, .. } => kind == Kind::Callbox,
            Row::Open { .. } | Row::Burst { .. } | Row::Members { .. } | Row::Idle { .. } | Row::Storm { .. } => true,
        }
    }

    /// Descriptors it takes in this program and in the server.
    pub fn sockets(self) -> u32 {
        match self {
            Row::Open { pairs } | Row::Burst { pairs, .. } => 2 * pairs,
            Row::Members { pairs, idle } => 2 * pairs + idle,
            Row::Idle { members, .. } | Row::Storm { members } => members,
        }
    }

    pub async fn measure(self, kind: Kind, programs: &Programs, scale: Scale) -> anyhow::Result<Outcome> {
        let tls = matches!(self, Row::Idle { tls: true, .. });
        let server = Server::start(kind, programs, tls, scale.sources)?;
        server.rest().await?;
        // All clients end with their set, and before the server.
        LocalSet::new()
            .run_until(async {
                let crowd = Crowd::new(&server);
                match self {
                    Row::Open { pairs } => relay(&server, crowd, 0, pairs, 1, scale).await,
                    Row::Burst { pairs, burst } => relay(&server, crowd, 0, pairs, burst, scale).await,
                    Row::Members { pairs, idle } => relay(&server, crowd, idle, pairs, 1, scale).await,
                    Row::Idle { members, .. } => memory(&server, crowd, members).await,
                    Row::Storm { members } => storm(&server, crowd, members).await,
                }
            })
            .await
    }
}

async fn relay(
    server: &Server,
    mut crowd: Crowd,
    idle: u32,
    pairs: u32,
    burst: u32,
    scale: Scale,
) -> anyhow::Result<Outcome> {
    if idle > 0 {
        assemble(&mut crowd, idle).await?;
    }
    let pairs = Pairs::join(crowd, pairs).await?;
    let heard = pairs.crowd.heard.clone();
    server.rest().await?;
    let pace = Pace { burst, rate: RATE / f64::from(burst) };
    // Whole periods, so that each pair has as many bursts in every window.
    let period = Duration::from_secs_f64(1.0 / pace.rate);
    let whole = |time: Duration| period * (time.as_secs_f64() / period.as_secs_f64()).ceil() as u32;
    pairs.speak(pace, whole(WARM_UP)).await;
    pairs.settle().await;
    pairs.take_late();

    heard.keep_delays();
    let (used, delivered) = (server.processor_time()?, heard.delivered.get());
    pairs.speak(pace, whole(scale.window)).await;
    pairs.settle().await;
    let (used, delivered) = (server.processor_time()? - used, heard.delivered.get() - delivered);
    let mut delays = heard.take_delays();
    ensure!(!delays.is_empty() && !used.is_zero(), "nothing came through: {:?}", heard.take_faults());
    let figures = vec![
        Figure { what: "messages per core second", value: delivered as f64 / used.as_secs_f64() },
        Figure { what: "delay p50, ms", value: 1000.0 * quantile(&mut delays, 0.5).as_secs_f64() },
        Figure { what: "delay p99, ms", value: 1000.0 * quantile(&mut delays, 0.99).as_secs_f64() },
    ];
    Ok(Outcome { figures, faults: heard.take_faults(), late: pairs.take_late() })
}

async fn memory(server: &Server, mut crowd: Crowd, members: u32) -> anyhow::Result<Outcome> {
    let before = server.memory()?;
    assemble(&mut crowd, members).await?;
    server.rest().await?;
    sleep(IDLE).await;
    let grown = server.memory()? - before;
    let figures = vec![Figure { what: "KiB per connection", value: grown / f64::from(members) }];
    Ok(Outcome { figures, faults: crowd.heard.take_faults(), late: Vec::new() })
}

async fn storm(server: &Server, mut crowd: Crowd, members: u32) -> anyhow::Result<Outcome> {
    let (used, began) = (server.processor_time()?, Instant::now());
    assemble(&mut crowd, members).await?;
    let wall = began.elapsed();
    // What the server has put off is part of the price.
    server.rest().await?;
    let used = server.processor_time()? - used;
    let figures = vec![
        Figure { what: "processor time, s", value: used.as_secs_f64() },
        Figure { what: "until all have joined, s", value: wall.as_secs_f64() },
    ];
    Ok(Outcome { figures, faults: crowd.heard.take_faults(), late: Vec::new() })
}

/// Has members join who say nothing further. A few may be missing, and are then among the faults.
async fn assemble(crowd: &mut Crowd, members: u32) -> anyhow::Result<()> {
    crowd.join("idle", members).await?;
    let there = crowd.len() - crowd.heard.shut_out.get().min(crowd.len());
    let enough = there * 100 >= members as usize * 99;
    ensure!(enough, "{there} of {members} could join: {}", crowd.heard.take_faults().join(", "));
    Ok(())
}

/// Sorts the values.
pub fn quantile<T: PartialOrd + Copy + Default>(values: &mut [T], share: f64) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.5), 51.0);
        assert_eq!(quantile(&mut values, 0.99), 100.0);
        assert_eq!(quantile(&mut [7.0], 0.99), 7.0);
        assert_eq!(quantile::<f64>(&mut [], 0.5), 0.0);
    }
}
