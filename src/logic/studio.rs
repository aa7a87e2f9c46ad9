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

#[cfg(test)]
mod tests {
    use Action::{Close, Limit, Open, Unsign};
    use Part::{Camera, Microphone, Speaker};
    use proptest::prelude::*;

    use super::*;

    fn floor() -> Floor {
        let mut floor = Floor::default();
        Part::ALL.iter().for_each(|part| floor.equip(*part, true));
        floor
    }

    fn drain(floor: &mut Floor) -> Vec<Action> {
        std::iter::from_fn(|| floor.poll_action()).collect()
    }

    #[test]
    fn on_with_the_first_and_off_with_the_last() {
        let mut floor = floor();
        let one = floor.enter(Viewing::Level(Level::L4));
        assert_eq!(drain(&mut floor), [Open(Camera), Open(Microphone), Open(Speaker), Limit(Some(Level::L4))]);
        let two = floor.enter(Viewing::Nothing);
        assert_eq!(drain(&mut floor), []);
        floor.leave(one);
        assert_eq!(drain(&mut floor), [Close(Camera)], "nobody watches");
        floor.leave(two);
        assert_eq!(drain(&mut floor), [Close(Microphone), Close(Speaker)]);
        assert!(!floor.is_off());
        Part::ALL.iter().for_each(|part| floor.closed(*part));
        assert!(floor.is_off() && drain(&mut floor).is_empty());
    }

    #[test]
    fn whoever_comes_while_a_device_closes_is_let_in_and_it_is_opened_again() {
        let mut floor = floor();
        let one = floor.enter(Viewing::Level(Level::L4));
        drain(&mut floor);
        floor.leave(one);
        drain(&mut floor);
        let two = floor.enter(Viewing::Level(Level::L3));
        assert_eq!(drain(&mut floor), [], "all three are closing");
        floor.closed(Microphone);
        assert_eq!(drain(&mut floor), [Open(Microphone)]);
        floor.closed(Camera);
        assert_eq!(drain(&mut floor), [Open(Camera), Limit(Some(Level::L3))]);
        floor.leave(two);
        assert_eq!(drain(&mut floor), [Close(Camera), Close(Microphone)]);
        floor.closed(Speaker);
        assert_eq!(drain(&mut floor), [], "nobody wants the speaker by now");
    }

    #[test]
    fn the_lowest_level_counts_and_is_told_once() {
        let mut floor = floor();
        let one = floor.enter(Viewing::Level(Level::L4));
        drain(&mut floor);
        floor.view(one, Viewing::Level(Level::L4));
        let two = floor.enter(Viewing::Level(Level::L3_1));
        assert_eq!(drain(&mut floor), [Limit(Some(Level::L3_1))]);
        floor.view(one, Viewing::Level(Level::L3_2));
        assert_eq!(drain(&mut floor), []);
        floor.leave(two);
        assert_eq!(drain(&mut floor), [Limit(Some(Level::L3_2))]);
        // Who has left takes nothing.
        floor.view(two, Viewing::Level(Level::L1));
        assert_eq!(drain(&mut floor), []);
    }

    #[test]
    fn a_device_that_is_taken_away_stays_on_until_it_is_not_wanted() {
        let mut floor = floor();
        floor.equip(Speaker, false);
        let one = floor.enter(Viewing::Nothing);
        assert_eq!(drain(&mut floor), [Open(Microphone)]);
        floor.equip(Microphone, false);
        assert_eq!(drain(&mut floor), []);
        floor.leave(one);
        assert_eq!(drain(&mut floor), [Close(Microphone)]);
        floor.closed(Microphone);
        floor.enter(Viewing::Nothing);
        assert_eq!(drain(&mut floor), []);
    }

    #[test]
    fn each_closing_is_one_turn() {
        let mut floor = floor();
        let camera = |floor: &Floor| floor.progress().next().unwrap();
        let mut turns = Vec::new();
        for _ in 0..2 {
            let guest = floor.enter(Viewing::Level(Level::L4));
            drain(&mut floor);
            assert_eq!(camera(&floor), ("closing of the camera", Progress::Resting));
            floor.leave(guest);
            drain(&mut floor);
            turns.push(camera(&floor).1);
            floor.closed(Camera);
        }
        assert_eq!(turns, [Progress::Working(1), Progress::Working(2)]);
    }

    #[test]
    fn nothing_is_captured_before_the_sign_and_it_goes_last() {
        let mut floor = floor();
        floor.indicate(true);
        let one = floor.enter(Viewing::Level(Level::L4));
        assert_eq!(drain(&mut floor), [Action::Sign, Open(Speaker)], "which may have a chime to play");
        floor.signed(true);
        assert_eq!(drain(&mut floor), [Open(Camera), Open(Microphone), Limit(Some(Level::L4))]);
        let two = floor.enter(Viewing::Nothing);
        floor.leave(one);
        assert_eq!(drain(&mut floor), [Close(Camera)]);
        floor.closed(Camera);
        floor.leave(two);
        assert_eq!(drain(&mut floor), [Close(Microphone), Close(Speaker)]);
        floor.closed(Speaker);
        assert_eq!(drain(&mut floor), [], "the microphone is still open");
        floor.closed(Microphone);
        assert_eq!(drain(&mut floor), [Unsign]);
        assert!(!floor.is_off());
        // Who comes meanwhile waits for the sign to be given anew.
        floor.enter(Viewing::Level(Level::L4));
        assert_eq!(drain(&mut floor), [Open(Speaker)]);
        floor.unsigned();
        assert_eq!(drain(&mut floor), [Action::Sign]);
    }

    #[test]
    fn without_the_sign_that_is_required_nobody_is_seen_or_heard() {
        let mut floor = floor();
        floor.indicate(true);
        let one = floor.enter(Viewing::Level(Level::L4));
        drain(&mut floor);
        floor.signed(false);
        assert_eq!(drain(&mut floor), []);
        floor.leave(one);
        assert_eq!(drain(&mut floor), [Unsign, Close(Speaker)]);
        floor.unsigned();
        floor.closed(Speaker);
        assert!(floor.is_off());
        // The next call tries it again.
        floor.enter(Viewing::Nothing);
        assert_eq!(drain(&mut floor), [Action::Sign, Open(Speaker)]);
    }

    #[test]
    fn only_who_is_captured_is_told() {
        let mut floor = floor();
        floor.indicate(true);
        floor.equip(Microphone, false);
        let one = floor.enter(Viewing::Nothing);
        assert_eq!(drain(&mut floor), [Open(Speaker)]);
        floor.view(one, Viewing::Level(Level::L4));
        assert_eq!(drain(&mut floor), [Action::Sign]);
        // Gone again before it was there.
        floor.view(one, Viewing::Nothing);
        assert_eq!(drain(&mut floor), []);
        floor.signed(true);
        assert_eq!(drain(&mut floor), [Unsign]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter(bool),
        Leave(usize),
        View(usize, bool),
        Closed(usize),
        Equip(usize, bool),
        Indicate(bool),
        Signed(bool),
        Unsigned,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => any::<bool>().prop_map(Step::Enter),
            3 => (0..4usize).prop_map(Step::Leave),
            2 => (0..4usize, any::<bool>()).prop_map(|(guest, watches)| Step::View(guest, watches)),
            3 => (0..3usize).prop_map(Step::Closed),
            1 => (0..3usize, any::<bool>()).prop_map(|(part, equipped)| Step::Equip(part, equipped)),
            1 => any::<bool>().prop_map(Step::Indicate),
            3 => prop::bool::weighted(0.8).prop_map(Step::Signed),
            2 => Just(Step::Unsigned),
        ]
    }

    proptest! {
        #[test]
        fn a_device_is_never_opened_while_it_is_open_or_closing(steps in prop::collection::vec(step(), 0..200)) {
            let mut floor = floor();
            let mut guests: Vec<(GuestId, Viewing)> = Vec::new();
            let mut real = [State::Off; 3];
            let views = |watches: bool| if watches { Viewing::Level(Level::L3) } else { Viewing::Nothing };
            let mut equipped = [true; 3];
            let (mut indicated, mut sign, mut signed) = (false, Sign::None, None);
            for step in steps {
                match step {
                    Step::Enter(watches) => guests.push((floor.enter(views(watches)), views(watches))),
                    Step::Leave(guest) if guest < guests.len() => floor.leave(guests.remove(guest).0),
                    Step::View(guest, watches) if guest < guests.len() => {
                        guests[guest].1 = views(watches);
                        floor.view(guests[guest].0, views(watches));
                    }
                    Step::Closed(part) if real[part] == State::Closing => {
                        real[part] = State::Off;
                        floor.closed(Part::ALL[part]);
                    }
                    Step::Equip(part, there) => {
                        equipped[part] = there;
                        floor.equip(Part::ALL[part], there);
                    }
                    Step::Indicate(there) => {
                        indicated = there;
                        floor.indicate(there);
                    }
                    Step::Signed(may_open) => {
                        signed = signed.or((sign == Sign::Signing).then_some(may_open));
                        sign = if sign == Sign::Signing { Sign::Given } else { sign };
                        floor.signed(may_open);
                    }
                    Step::Unsigned => {
                        sign = if sign == Sign::Unsigning { Sign::None } else { sign };
                        floor.unsigned();
                    }
                    Step::Leave(_) | Step::View(..) | Step::Closed(_) => {}
                }
                while let Some(action) = floor.poll_action() {
                    match action {
                        Open(part) => {
                            prop_assert_eq!(real[part as usize], State::Off);
                            let told = sign == Sign::Given && signed == Some(true) || sign == Sign::None && !indicated;
                            prop_assert!(part == Speaker || told, "{:?} is opened without a sign", part);
                            real[part as usize] = State::On;
                        }
                        Close(part) => {
                            prop_assert_eq!(real[part as usize], State::On);
                            real[part as usize] = State::Closing;
                        }
                        Action::Sign => {
                            prop_assert_eq!(sign, Sign::None);
                            (sign, signed) = (Sign::Signing, None);
                        }
                        Unsign => {
                            prop_assert_eq!(sign, Sign::Given);
                            prop_assert!(real[Camera as usize] == State::Off && real[Microphone as usize] == State::Off);
                            sign = Sign::Unsigning;
                        }
                        Limit(_) => prop_assert_eq!(real[Camera as usize], State::On),
                    }
                }
                let watched = guests.iter().any(|(_, views)| *views != Viewing::Nothing);
                for (part, wanted) in [(Camera, watched), (Microphone, !guests.is_empty()), (Speaker, !guests.is_empty())] {
                    match real[part as usize] {
                        State::On => prop_assert!(wanted),
                        State::Off => prop_assert!(!wanted || !equipped[part as usize] || sign != Sign::None && signed != Some(true)
                            || sign == Sign::Unsigning),
                        State::Closing => {}
                    }
                }
            }
        }
    }
}
