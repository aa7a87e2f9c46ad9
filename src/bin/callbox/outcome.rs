//! How a command ends: its output, one clear line where it failed, and the exit code.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use callbox::config::ConfigError;

/// 1: the command was understood and failed. 2: the configuration or the command line is wrong.
#[derive(Debug)]
pub enum Failure {
    Failed(anyhow::Error),
    BadConfiguration(ConfigError),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::BadConfiguration(error)
    }
}

/// Says what went wrong on standard error.
pub fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            eprintln!("callbox: {error:#}");
            ExitCode::from(1)
        }
        Err(Failure::BadConfiguration(error)) => {
            for line in error.to_string().lines() {
                eprintln!("callbox: {line}");
            }
            ExitCode::from(2)
        }
    }
}

/// Writes to standard output. A reader that has seen enough (`callbox check | head`) is no failure.
pub fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow::Error::new(error).context("the output cannot be written")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
