//! `callbox board`: what a flashed card does at its start, on the console.

use anyhow::anyhow;
use callbox::board::{self, Places};

use crate::outcome::{Failure, print};

pub fn import(places: &Places) -> Result<(), Failure> {
    let import = board::import(places);
    print(import.report.as_bytes())?;
    match import.usable {
        true => Ok(()),
        false => Err(Failure::Failed(anyhow!("there are no settings to start with; see above"))),
    }
}
