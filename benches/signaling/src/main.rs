//! Callbox's signaling server under load, beside a plain relay written with Node's `ws`, in one run. Each server is a
//! process of its own, this program is the third one; the table has the servers' own processor time and memory, and
//! the delays that their clients see. docs/performance.md says how to read it.

mod client;
mod crowd;
mod frame;
mod heard;
mod message;
mod rows;
mod server;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::rows::{Row, Scale};
use crate::server::{Kind, Programs};
use crate::table::Table;

/// Descriptors that a server wants beside its connections.
const SPARE: u32 = 500;

#[derive(Debug, Parser)]
#[command(about = "Measures Callbox's signaling server beside a plain relay", max_term_width = 100)]
struct Arguments {
    /// A short run of about a minute: fewer rows, one round
    #[arg(long)]
    quick: bool,
    /// Only these groups, with commas: open, burst, members, idle, tls, storm
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// How often each row is measured, the servers in turn; the table has the medians
    #[arg(long)]
    rounds: Option<usize>,
    /// Only this server: callbox or node
    #[arg(long)]
    only: Option<String>,
    /// From how many loopback addresses the clients come
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    sources: u32,
    /// The server under test
    #[arg(long, default_value = "target/release/callbox")]
    callbox: PathBuf,
    /// The relay beside it
    #[arg(long, default_value = "benches/signaling/relay/relay.js")]
    relay: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let sockets = raise_limit();
    let programs = Programs::new(arguments.callbox, server::which("node")?, arguments.relay)?;
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| arguments.only.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(kind.name())))
        .collect();
    ensure!(!kinds.is_empty(), "--only takes callbox or node");
    let all = rows(arguments.quick, sockets);
    for group in &arguments.rows {
        ensure!(all.iter().any(|row| row.group() == group), "there are no rows {group:?}");
    }
    let wanted = |row: &Row| arguments.rows.is_empty() || arguments.rows.iter().any(|group| group == row.group());
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 3 });
    let window = Duration::from_secs(if arguments.quick { 2 } else { 5 });
    let scale = Scale { window, sources: arguments.sources };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::new(kinds.clone());
    for row in all.into_iter().filter(wanted) {
        for round in 0..rounds {
            for &kind in kinds.iter().filter(|kind| row.is_for(**kind)) {
                // A server that cannot do it will not the next time.
                if table.gave_up(row, kind) {
                    continue;
                }
                eprintln!("{}, round {} of {rounds}, {}", row.title(), round + 1, kind.name());
                let outcome = runtime.block_on(row.measure(kind, &programs, scale));
                table.add(row, kind, outcome);
            }
        }
    }
    print!("{table}");
    Ok(())
}

/// Everything, or what fits into a minute. Rows for which there are not enough descriptors get as many as there are.
fn rows(quick: bool, sockets: u32) -> Vec<Row> {
    let most = sockets.saturating_sub(SPARE);
    let all = match quick {
        true => vec![
            Row::Open { pairs: 100 },
            Row::Burst { pairs: 50, burst: 20 },
            Row::Members { pairs: 50, idle: 800 },
            Row::Idle { members: 900, tls: false },
            Row::Storm { members: 900 },
        ],
        false => vec![
            Row::Open { pairs: 100 },
            Row::Open { pairs: 250 },
            Row::Burst { pairs: 100, burst: 20 },
            Row::Burst { pairs: 50, burst: 150 },
            Row::Members { pairs: 50, idle: 100 },
            Row::Members { pairs: 50, idle: 800 },
            Row::Members { pairs: 50, idle: 10_000 },
            Row::Idle { members: 900, tls: false },
            Row::Idle { members: 19_000.min(most), tls: false },
            Row::Idle { members: 900, tls: true },
            Row::Storm { members: 900 },
            Row::Storm { members: 10_000 },
        ],
    };
    all.into_iter().filter(|row| row.sockets() <= most).collect()
}

/// Raises the limit of descriptors as far as it goes, for the servers too, and says how far that was.
fn raise_limit() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.map_or(u32::MAX, |limit| u32::try_from(limit).unwrap_or(u32::MAX))
}
