//! When camera, microphone and speaker are opened and closed: on with the first call that wants them, off with the last.
//! Closing takes as long as the driver does, seconds where a device hangs, and nobody waits for it: whoever comes
//! meanwhile is let in, and the device is opened again once it is closed.
//!
//! Where there is a sign to those in front of the device, an LED or a chime, it is given before camera and microphone are
//! opened, and taken back when both are closed. Without one they are opened at once.
//!
//! The contract: after each change drain [`Floor::poll_action`] and do what it says; what a close leads to is told by
//! [`Floor::closed`].

use std::collections::BTreeMap;

use super::health::Progress;
use super::picture::level::Level;

#[cfg(test)]
mod tests;

/// What can be on or off by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Camera,
    Microphone,
    Speaker,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Camera, Part::Microphone, Part::Speaker];

    /// Its closing, for whoever watches over what must not hang.
    fn closing(self) -> &'static str {
        match self {
            Part::Camera => "closing of the camera",
            Part::Microphone => "closing of the microphone",
            Part::Speaker => "closing of the speaker",
        }
    }
}

/// What a guest takes of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewing {
    Level(Level),
    Nothing,
}

/// One call's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Its device is not open.
    Open(Part),
    /// Its device is open. [`Floor::closed`] is called when it no longer is.
    Close(Part),
    /// Give the sign. [`Floor::signed`] is called when it is there, or cannot be.
    Sign,
    /// Take it back. [`Floor::unsigned`] is called when it is gone.
    Unsign,
    /// Holds the open camera to what all viewers can take; `None`: as it delivers.
    Limit(Option<Level>),
}

/// Who is in the studio, and what is on.
#[derive(Debug, Default)]
pub struct Floor {
    next_guest: u64,
    guests: BTreeMap<GuestId, Viewing>,
    camera: Switch,
    microphone: Switch,
    speaker: Switch,
    sign: Sign,
    /// Whether there is a sign to give.
    indicated: bool,
    signs: u64,
    /// What the open camera was last held to.
    limit: Option<Option<Level>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Switch {
    state: State,
    /// Whether there is a device to switch on.
    equipped: bool,
    closings: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Off,
    On,
    Closing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sign {
    #[default]
    None,
    Signing,
    Given,
    /// It cannot be given, and nothing may be opened without it.
    Refused,
    Unsigning,
}

impl Floor {
    pub fn enter(&mut self, viewing: Viewing) -> GuestId {
        self.next_guest += 1;
        let guest = GuestId(self.next_guest);
        self.guests.insert(guest, viewing);
        guest
    }

    pub fn view(&mut self, guest: GuestId, viewing: Viewing) {
        if let Some(views) = self.guests.get_mut(&guest) {
            *views = viewing;
        }
    }

    pub fn leave(&mut self, guest: GuestId) {
        self.guests.remove(&guest);
    }

    /// Whether there is a device of this kind; one that is on stays on.
    pub fn equip(&mut self, part: Part, equipped: bool) {
        self.switch(part).equipped = equipped;
    }

    /// Whether there is a sign to give; one that is given stays.
    pub fn indicate(&mut self, indicated: bool) {
        self.indicated = indicated;
    }

    /// Whether devices may be opened now.
    pub fn signed(&mut self, may_open: bool) {
        if self.sign == Sign::Signing {
            self.sign = if may_open { Sign::Given } else { Sign::Refused };
        }
    }

    /// The sign is gone.
    pub fn unsigned(&mut self) {
        if self.sign == Sign::Unsigning {
            self.sign = Sign::None;
        }
    }

    /// Whether those in front of the device are told that they are seen or heard.
    pub fn is_signed(&self) -> bool {
        self.sign == Sign::Given
    }

    /// Nothing of the device is left.
    pub fn closed(&mut self, part: Part) {
        let state = &mut self.switch(part).state;
        if *state == State::Closing {
            *state = State::Off;
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(action) = self.poll_sign() {
            return Some(action);
        }
        for part in Part::ALL {
            let (wanted, may_open) = (self.wanted(part), self.may_open(part));
            let switch = self.switch(part);
            match (switch.state, wanted) {
                (State::Off, true) if switch.equipped && may_open => {
                    switch.state = State::On;
                    if part == Part::Camera {
                        self.limit = None;
                    }
                    return Some(Action::Open(part));
                }
                (State::On, false) => {
                    switch.state = State::Closing;
                    switch.closings += 1;
                    return Some(Action::Close(part));
                }
                (State::Off | State::Closing, _) | (State::On, true) => {}
            }
        }
        let level = self.level();
        let told = self.camera.state != State::On || self.limit == Some(level);
        (!told).then(|| {
            self.limit = Some(level);
            Action::Limit(level)
        })
    }

    /// Whether every device is closed, and nobody is told anything else.
    pub fn is_off(&self) -> bool {
        self.sign == Sign::None
            && [self.camera, self.microphone, self.speaker].iter().all(|switch| switch.state == State::Off)
    }

    /// Of the closings and the signs under way: each is one turn, however long it takes.
    pub fn progress(&self) -> impl Iterator<Item = (&'static str, Progress)> {
        let signing = match self.sign {
            Sign::None | Sign::Given | Sign::Refused => None,
            Sign::Signing | Sign::Unsigning => Some(("indicator", Progress::Working(self.signs))),
        };
        Part::ALL
            .into_iter()
            .zip([self.camera, self.microphone, self.speaker])
            .map(|(part, switch)| {
                let progress = match switch.state {
                    State::Off | State::On => Progress::Resting,
                    State::Closing => Progress::Working(switch.closings),
                };
                (part.closing(), progress)
            })
            .chain(signing)
    }

    /// The sign comes before what it is for, and goes after it.
    fn poll_sign(&mut self) -> Option<Action> {
        let captures = |part: &Part| *part != Part::Speaker;
        let switched = |part: Part| match part {
            Part::Camera => self.camera,
            Part::Microphone => self.microphone,
            Part::Speaker => self.speaker,
        };
        let captured = Part::ALL.into_iter().filter(captures);
        let needed = captured
            .clone()
            .any(|part| switched(part).state != State::Off || self.wanted(part) && switched(part).equipped);
        let (next, action) = match (self.sign, needed) {
            (Sign::None, true) if self.indicated => (Sign::Signing, Action::Sign),
            (Sign::Given | Sign::Refused, false) => (Sign::Unsigning, Action::Unsign),
            (Sign::None | Sign::Given | Sign::Refused | Sign::Signing | Sign::Unsigning, _) => return None,
        };
        self.sign = next;
        self.signs += 1;
        Some(action)
    }

    fn may_open(&self, part: Part) -> bool {
        match (part, self.sign) {
            (Part::Speaker, _) | (Part::Camera | Part::Microphone, Sign::Given) => true,
            (Part::Camera | Part::Microphone, Sign::None) => !self.indicated,
            (Part::Camera | Part::Microphone, Sign::Signing | Sign::Refused | Sign::Unsigning) => false,
        }
    }

    fn wanted(&self, part: Part) -> bool {
        match part {
            Part::Camera => self.guests.values().any(|views| *views != Viewing::Nothing),
            Part::Microphone | Part::Speaker => !self.guests.is_empty(),
        }
    }

    /// The lowest level among the viewers.
    fn level(&self) -> Option<Level> {
        let level = |views: &Viewing| match views {
            Viewing::Level(level) => Some(*level),
            Viewing::Nothing => None,
        };
        self.guests.values().filter_map(level).min()
    }

    fn switch(&mut self, part: Part) -> &mut Switch {
        match part {
            Part::Camera => &mut self.camera,
            Part::Microphone => &mut self.microphone,
            Part::Speaker => &mut self.speaker,
        }
    }
}
