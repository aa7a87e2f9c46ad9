//! What dpkg knows: a package's name, version and architecture, which version is newer, and how to unpack.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::UpdateError;
use super::slot::PROGRAM;

/// From a package's control file.
pub struct Control {
    pub name: String,
    pub version: String,
    pub architecture: String,
}

/// Reads the control fields of a package whose signature was found good.
pub fn control(deb: &Path) -> Result<Control, UpdateError> {
    let mut command = Command::new("dpkg-deb");
    let text = output(command.arg("--field").arg(deb).args(["Package", "Version", "Architecture"]))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    Ok(Control { name: field("Package"), version: field("Version"), architecture: field("Architecture") })
}

/// Whether version `a` is newer than `b` as Debian orders them.
pub fn newer(a: &str, b: &str) -> Result<bool, UpdateError> {
    let mut command = Command::new("dpkg");
    command.args(["--compare-versions", a, "gt", b]);
    let Output { status, stderr, .. } = run(&mut command)?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(failed(&command, &stderr)),
    }
}

/// Unpacks to the directory `to`, which must have a program then.
pub fn extract(deb: &Path, to: &Path) -> Result<(), UpdateError> {
    let mut command = Command::new("dpkg-deb");
    output(command.arg("--extract").arg(deb).arg(to))?;
    let program = fs::symlink_metadata(to.join(PROGRAM));
    match program.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 == 0o111) {
        true => Ok(()),
        false => Err(UpdateError::NotOurs { package: deb.into(), why: format!("it has no program {PROGRAM}") }),
    }
}

/// What a command printed; an error where it failed.
pub fn output(command: &mut Command) -> Result<String, UpdateError> {
    let Output { status, stdout, stderr } = run(command)?;
    match status.success() {
        true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        false => Err(failed(command, &stderr)),
    }
}

fn run(command: &mut Command) -> Result<Output, UpdateError> {
    command.env("LC_ALL", "C").output().map_err(|error| failed(command, error.to_string().as_bytes()))
}

fn failed(command: &Command, said: &[u8]) -> UpdateError {
    let said = String::from_utf8_lossy(said);
    let name = command.get_program().to_string_lossy().into_owned();
    match said.contains("No space left on device") {
        true => UpdateError::Full { dir: super::Paths::default().state },
        false => UpdateError::Command { command: name, why: said.trim().replace('\n', "; ") },
    }
}
