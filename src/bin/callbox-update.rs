//! `callbox-update`: signed packages into the image's slots, and back.

#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use callbox::update::{Debian, Paths, Settled, UpdateError, Updater};
use clap::{CommandFactory, Parser, Subcommand};

/// Updates Callbox on its image: a signed package is tried, and kept when it is healthy within three minutes
///
/// The image's root cannot be written, so packages go into one of two slots on the state partition. On other Debian
/// systems Callbox is updated with apt.
#[derive(Parser)]
#[command(name = "callbox-update", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install a package that is signed with a known key, and wait until it has proved itself
    ///
    /// The signature is FILE.minisig. Known keys are *.pub in update-keys on the card's boot partition, in
    /// /etc/callbox/update-keys and in /usr/share/callbox/update-keys.
    Install {
        /// The package, callbox_VERSION_ARCH.deb
        file: PathBuf,
    },
    /// Show what is in use, what was before it, and what is on trial
    Status,
    /// Go back to the program before this one, or give up the one on trial
    Rollback,
    /// Choose the program to start (callbox.service does this)
    Begin,
    /// Wait for the program on trial to become healthy (callbox-update-settle.service does this)
    Settle,
    /// Write the manual pages, one for each command, into a directory
    #[command(hide = true)]
    Man { dir: PathBuf },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .parse_default_env()
        .format(|out, record| writeln!(out, "callbox-update: {}", record.args()))
        .init();
    match act(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("callbox-update: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> Result<(), UpdateError> {
    let updater = Updater::new(Paths::default(), Debian::default());
    match command {
        Command::Install { file } => say(&format!("{} is in use\n", updater.install(&file)?)),
        Command::Status => say(&updater.status()?.to_string()),
        Command::Rollback => {
            let (slot, version) = updater.rollback()?;
            say(&format!("{version} ({slot}) is in use\n"));
        }
        Command::Begin => log::info!("starting from {}", updater.begin()?),
        Command::Settle => match updater.settle()? {
            Settled::Nothing => log::info!("nothing is on trial"),
            Settled::Elsewhere => log::info!("another callbox-update waits for it already"),
            // Both have been said in the log.
            Settled::Kept(_) | Settled::GivenUp(_) => {}
        },
        Command::Man { dir } => clap_mangen::generate_to(Arguments::command(), &dir)
            .map_err(|error| UpdateError::File { what: "write manual pages to", path: dir, error })?,
    }
    Ok(())
}

/// To standard output, whose reader may have gone.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
