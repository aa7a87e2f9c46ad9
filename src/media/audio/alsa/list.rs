//! Which sound devices there are: every card's, and the names that a sound server puts in front of them.

use ::alsa::card::{Card, Iter};
use ::alsa::ctl::{Ctl, DeviceIter};
use ::alsa::device_name::HintIter;
use ::alsa::{Direction, Output};
use serde::Serialize;

/// Names without a card that are worth showing; the rest of alsa-lib's catalogue is for insiders.
const WITHOUT_CARD: [&str; 3] = ["default", "pulse", "pipewire"];

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AudioDevices {
    pub capture: Vec<AudioDevice>,
    pub playback: Vec<AudioDevice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AudioDevice {
    /// For `alsa:PCM` in the configuration.
    pub pcm: String,
    /// For people.
    pub name: String,
}

/// All devices, real cards first.
pub fn list() -> AudioDevices {
    // Keeps alsa-lib's complaints about devices that do not answer off standard error.
    let _said = Output::local_error_handler();
    let mut devices = AudioDevices { capture: cards(Direction::Capture), playback: cards(Direction::Playback) };
    let hints = HintIter::new(None, c"pcm").into_iter().flatten();
    for hint in hints {
        let Some(pcm) = hint.name.filter(|name| WITHOUT_CARD.contains(&name.as_str())) else { continue };
        let name = hint.desc.unwrap_or_default().replace('\n', ", ");
        let device = AudioDevice { pcm, name };
        if hint.direction != Some(Direction::Playback) {
            devices.capture.push(device.clone());
        }
        if hint.direction != Some(Direction::Capture) {
            devices.playback.push(device);
        }
    }
    devices
}

/// The first card's device that records.
pub fn first_capture() -> Option<String> {
    cards(Direction::Capture).into_iter().next().map(|device| device.pcm)
}

/// The first card's device that plays.
pub fn first_playback() -> Option<String> {
    cards(Direction::Playback).into_iter().next().map(|device| device.pcm)
}

fn cards(direction: Direction) -> Vec<AudioDevice> {
    let _said = Output::local_error_handler();
    let mut devices = Vec::new();
    for card in Iter::new().map_while(Result::ok) {
        // A card that vanishes while it is asked is as good as none.
        let _ = devices_of(card, direction, &mut devices);
    }
    devices
}

fn devices_of(card: Card, direction: Direction, devices: &mut Vec<AudioDevice>) -> ::alsa::Result<()> {
    let control = Ctl::from_card(&card, true)?;
    let info = control.card_info()?;
    let (id, card_name) = (info.get_id()?, info.get_name()?);
    for device in DeviceIter::new(&control).filter_map(|device| u32::try_from(device).ok()) {
        // Fails for a device that has no such direction.
        let Ok(pcm) = control.pcm_info(device, 0, direction) else { continue };
        let name = match pcm.get_name()? {
            "" => card_name.to_owned(),
            name => format!("{card_name}, {name}"),
        };
        devices.push(AudioDevice { pcm: format!("plughw:CARD={id},DEV={device}"), name });
    }
    Ok(())
}
