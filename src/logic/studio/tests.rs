//! Who comes and goes, what is on, and what those in front of the devices are told.

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
