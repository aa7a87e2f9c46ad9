//! Any coming and going in the studio: no device is opened that is open, none is closed that is not, and in the end
//! everything is off.
#![no_main]

use std::collections::BTreeSet;

use callbox::logic::picture::level::Level;
use callbox::logic::studio::{Action, Floor, Part, Viewing};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Studio {
    floor: Floor,
    open: BTreeSet<usize>,
    closing: BTreeSet<usize>,
}

fn number(part: Part) -> usize {
    Part::ALL.iter().position(|other| *other == part).unwrap()
}

impl Studio {
    fn drain(&mut self) {
        for _ in 0..100 {
            match self.floor.poll_action() {
                None => return,
                Some(Action::Open(part)) => {
                    assert!(!self.closing.contains(&number(part)), "{part:?} is opened while it closes");
                    assert!(self.open.insert(number(part)), "{part:?} is opened twice");
                }
                Some(Action::Close(part)) => {
                    assert!(self.open.remove(&number(part)), "{part:?} is not open");
                    self.closing.insert(number(part));
                }
                Some(Action::Sign) => self.floor.signed(true),
                Some(Action::Unsign) => {
                    // A speaker sees and hears nobody.
                    let captures = self.open.iter().chain(&self.closing).any(|part| *part != number(Part::Speaker));
                    assert!(!captures, "the sign is taken back while something captures");
                    self.floor.unsigned();
                }
                Some(Action::Limit(_)) => assert!(self.open.contains(&number(Part::Camera))),
            }
        }
        panic!("the studio does not come to rest");
    }

    fn closed(&mut self, part: Part) {
        if self.closing.remove(&number(part)) {
            self.floor.closed(part);
        }
        self.drain();
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut studio = Studio::default();
    let mut guests = Vec::new();
    for &byte in bytes {
        let part = Part::ALL[usize::from(byte >> 4) % 3];
        let viewing = if byte & 0x80 == 0 { Viewing::Nothing } else { Viewing::Level(Level::L3_1) };
        match byte & 7 {
            0 | 1 if guests.len() < 20 => guests.push(studio.floor.enter(viewing)),
            2 | 3 if !guests.is_empty() => {
                studio.floor.leave(guests.swap_remove(usize::from(byte >> 3) % guests.len()))
            }
            4 if !guests.is_empty() => studio.floor.view(guests[usize::from(byte >> 3) % guests.len()], viewing),
            5 => studio.floor.equip(part, byte & 8 == 0),
            6 if byte & 0x40 == 0 => studio.floor.indicate(byte & 8 == 0),
            _ => studio.closed(part),
        }
        studio.drain();
    }
    guests.into_iter().for_each(|guest| studio.floor.leave(guest));
    studio.drain();
    Part::ALL.into_iter().for_each(|part| studio.closed(part));
    assert!(studio.floor.is_off() && studio.open.is_empty());
});
