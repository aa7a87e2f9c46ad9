//! When camera, microphone and speaker are opened and closed: on with the first call that wants them, off with the last.
//! Closing takes as long as the driver does, seconds where a device hangs, and nobody waits for it: whoever comes
//! meanwhile is let in, and the device is opened again once it is closed.
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

    /// Nothing of the device is left.
    pub fn closed(&mut self, part: Part) {
        let state = &mut self.switch(part).state;
        if *state == State::Closing {
            *state = State::Off;
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        for part in Part::ALL {
            let wanted = self.wanted(part);
            let switch = self.switch(part);
            match (switch.state, wanted) {
                (State::Off, true) if switch.equipped => {
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

    /// Whether every device is closed.
    pub fn is_off(&self) -> bool {
        [self.camera, self.microphone, self.speaker].iter().all(|switch| switch.state == State::Off)
    }

    /// Of the closings under way: each is one turn, however long it takes.
    pub fn progress(&self) -> impl Iterator<Item = (&'static str, Progress)> {
        Part::ALL.into_iter().zip([self.camera, self.microphone, self.speaker]).map(|(part, switch)| {
            let progress = match switch.state {
                State::Off | State::On => Progress::Resting,
                State::Closing => Progress::Working(switch.closings),
            };
            (part.closing(), progress)
        })
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
    use Action::{Close, Limit, Open};
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

    #[derive(Clone, Debug)]
    enum Step {
        Enter(bool),
        Leave(usize),
        View(usize, bool),
        Closed(usize),
        Equip(usize, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => any::<bool>().prop_map(Step::Enter),
            3 => (0..4usize).prop_map(Step::Leave),
            2 => (0..4usize, any::<bool>()).prop_map(|(guest, watches)| Step::View(guest, watches)),
            3 => (0..3usize).prop_map(Step::Closed),
            1 => (0..3usize, any::<bool>()).prop_map(|(part, equipped)| Step::Equip(part, equipped)),
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
                    Step::Leave(_) | Step::View(..) | Step::Closed(_) => {}
                }
                while let Some(action) = floor.poll_action() {
                    match action {
                        Open(part) => {
                            prop_assert_eq!(real[part as usize], State::Off);
                            real[part as usize] = State::On;
                        }
                        Close(part) => {
                            prop_assert_eq!(real[part as usize], State::On);
                            real[part as usize] = State::Closing;
                        }
                        Limit(_) => prop_assert_eq!(real[Camera as usize], State::On),
                    }
                }
                let watched = guests.iter().any(|(_, views)| *views != Viewing::Nothing);
                for (part, wanted) in [(Camera, watched), (Microphone, !guests.is_empty()), (Speaker, !guests.is_empty())] {
                    match real[part as usize] {
                        State::On => prop_assert!(wanted),
                        State::Off => prop_assert!(!wanted || !equipped[part as usize]),
                        State::Closing => {}
                    }
                }
            }
        }
    }
}
