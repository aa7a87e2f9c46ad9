//! `callbox board`: what a flashed card does at its start, on the console.

use std::time::Duration;

use anyhow::{Context, anyhow};
use callbox::board::setup::scan::Scanner;
use callbox::board::{self, Places, setup};

use crate::cli::{Apply, Scan};
use crate::outcome::{Failure, print};

pub fn import(places: &Places) -> Result<(), Failure> {
    let import = board::import(places);
    print(import.report.as_bytes())?;
    match import.usable {
        true => Ok(()),
        false => Err(Failure::Failed(anyhow!("there are no settings to start with; see above"))),
    }
}

pub fn scan(scan: Scan) -> Result<(), Failure> {
    let places = scan.places.places();
    let within = Duration::from_secs(scan.seconds);
    let scanner = match (&scan.camera, &scan.speaker) {
        (None, None) => Scanner::in_force(&places, within),
        (camera, speaker) => {
            use callbox::config::{CameraSource, SpeakerSink};
            let (camera, speaker) = (camera.clone(), speaker.clone());
            Scanner::new(&camera.unwrap_or(CameraSource::Auto), &speaker.unwrap_or(SpeakerSink::Auto), within)
        }
    };
    scanner.run(&scan.to, &mut tell).context("the board is not set up")?;
    Ok(())
}

pub fn apply(apply: Apply) -> Result<(), Failure> {
    let code = setup::apply::apply(&apply.file, &apply.places.places()).context("the board is not set up")?;
    tell(&format!("{code} is written to the card"));
    Ok(())
}

pub fn wifi(places: &Places) -> Result<(), Failure> {
    board::wifi::radio::watch(places, &mut tell).context("the Wi-Fi is not watched any more")?;
    Ok(())
}

/// A console that is gone does not keep a person from setting up.
fn tell(line: &str) {
    if let Err(error) = print(format!("{line}\n").as_bytes()) {
        log::debug!(error:? = error; "nobody reads the console");
    }
}
