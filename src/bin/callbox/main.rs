//! The command line: what to do, how to log, how it ended. Everything else is in the library.

#![deny(unsafe_code)]

mod allocator;
mod cli;
mod commands;
#[cfg(any(feature = "device", feature = "server"))]
mod logging;
mod outcome;
#[cfg(any(feature = "device", feature = "server"))]
mod service;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use callbox::config::{Config, DEFAULT_FILE};
use clap::{CommandFactory, Parser};

#[cfg(feature = "board")]
use cli::BoardCommand;
use cli::{Arguments, Command};
use outcome::{Failure, print};

fn main() -> ExitCode {
    allocator::keep_large_blocks_apart();
    let arguments = Arguments::parse();
    #[cfg(feature = "device")]
    if matches!(arguments.command, Command::Run { .. }) {
        allocator::share_one_heap();
    }
    outcome::exit_code(act(arguments.command))
}

fn act(command: Command) -> Result<(), Failure> {
    match command {
        #[cfg(feature = "device")]
        Command::Run { config } => commands::run::run(config.file()),
        #[cfg(feature = "server")]
        Command::Server { config } => commands::run::serve(config.file()),
        #[cfg(feature = "device")]
        Command::Devices { json } => commands::devices::list(json),
        #[cfg(feature = "device")]
        Command::Status { json, config } => commands::control::status(config.file(), json),
        #[cfg(feature = "device")]
        Command::Call { user, config } => commands::control::call(config.file(), user),
        #[cfg(feature = "device")]
        Command::Answer { config } => commands::control::answer(config.file()),
        #[cfg(feature = "device")]
        Command::Ring { button, cancel, config } => commands::control::ring(config.file(), button, cancel),
        #[cfg(feature = "device")]
        Command::Hangup { config } => commands::control::hang_up(config.file()),
        #[cfg(feature = "device")]
        Command::DebugBlock { config } => commands::control::block(config.file()),
        #[cfg(feature = "server")]
        Command::Invite(wanted) => commands::household::invite(wanted),
        #[cfg(feature = "server")]
        Command::People(wanted) => commands::household::people(wanted),
        #[cfg(feature = "server")]
        Command::Revoke(wanted) => commands::household::revoke(wanted),
        #[cfg(feature = "server")]
        Command::Rename(wanted) => commands::household::rename(wanted),
        #[cfg(feature = "server")]
        Command::Token(wanted) => commands::household::token(wanted),
        #[cfg(feature = "server")]
        Command::Pair(wanted) => commands::pairing::pair(wanted),
        #[cfg(feature = "server")]
        Command::Unpair(wanted) => commands::pairing::unpair(wanted),
        #[cfg(feature = "server")]
        Command::Erase(wanted) => commands::household::erase(wanted),
        #[cfg(feature = "server")]
        Command::Backup(wanted) => commands::household::backup(wanted),
        #[cfg(feature = "server")]
        Command::Restore(wanted) => commands::household::restore(wanted),
        Command::Reset(wanted) => commands::reset::reset(wanted),
        Command::Check { config } => check(config.file()),
        #[cfg(feature = "board")]
        Command::Provision(wanted) => commands::provision::provision(wanted),
        #[cfg(feature = "board")]
        Command::Board(BoardCommand::Import(places)) => commands::board::import(&places.places()),
        #[cfg(feature = "board")]
        Command::Board(BoardCommand::Scan(scan)) => commands::board::scan(scan),
        #[cfg(feature = "board")]
        Command::Board(BoardCommand::Apply(apply)) => commands::board::apply(apply),
        #[cfg(feature = "board")]
        Command::Board(BoardCommand::Wifi(places)) => commands::board::wifi(&places.places()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "callbox", &mut script);
            print(&script)
        }
        Command::Man { dir } => clap_mangen::generate_to(Arguments::command(), &dir)
            .with_context(|| format!("the manual pages cannot be written to {}", dir.display()))
            .map_err(Failure::from),
    }
}

/// Prints what a daemon started now would go by.
fn check(file: Option<&Path>) -> Result<(), Failure> {
    let loaded = Config::look(file)?;
    let read = match &loaded.file {
        Some(file) => format!("# Read from {} and the environment.\n", file.display()),
        None => format!("# There is no {DEFAULT_FILE}: defaults and the environment.\n"),
    };
    print(format!("{read}\n{}", loaded.effective()).as_bytes())?;
    for warning in &loaded.warnings {
        eprintln!("callbox: warning: {warning}");
    }
    Ok(())
}
