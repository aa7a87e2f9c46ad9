//! Any presses, words of phones and calls, at any time: one answer a visit, an end for each, and a clock that comes to rest.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callbox::logic::ring::{Event, Input, Output, Plan, Rings, Step};
use callbox::protocol::{Doing, EVERYONE, UserId, VisitId};
use libfuzzer_sys::fuzz_target;

const DOES: [Doing; 4] = [Doing::Rings, Doing::Looks, Doing::Answers, Doing::Declines];
const GIVE_UP: Duration = Duration::from_secs(60);

#[derive(Default)]
struct House {
    rings: Rings,
    answered: BTreeMap<VisitId, u32>,
    rang: u32,
    ended: u32,
}

impl House {
    fn input(&mut self, input: Input, now: Instant) {
        self.rings.handle(input, now);
        while let Some(output) = self.rings.poll_output() {
            match output {
                Output::Report(Event::Answered { visit, .. }) => {
                    let times = self.answered.entry(visit).or_default();
                    *times += 1;
                    assert_eq!(*times, 1, "a visit is answered twice");
                }
                Output::Report(Event::Rang { .. }) => self.rang += 1,
                Output::Report(Event::Ended { .. }) => self.ended += 1,
                Output::Report(_) | Output::Tell(_) | Output::Reply { .. } | Output::Voice(_) => {}
            }
        }
    }

    /// Until that time, or for as long as something is due.
    fn pass(&mut self, now: &mut Instant, until: Option<Instant>) {
        for _ in 0..10_000 {
            let Some(due) = self.rings.poll_timeout().filter(|due| until.is_none_or(|until| *due <= until)) else {
                *now = until.unwrap_or(*now);
                return;
            };
            assert!(due >= *now, "time goes back");
            *now = due;
            self.input(Input::Timeout, *now);
            assert!(self.rings.poll_timeout().is_none_or(|next| next > *now), "it does not come to rest");
        }
        panic!("it never ends");
    }
}

fn plan(which: u8) -> Plan {
    let step = |after, rings: &[&str]| Step {
        after: Duration::from_secs(after),
        rings: rings.iter().map(|name| (*name).to_owned()).collect(),
    };
    match which % 3 {
        0 => Plan::everyone("Front", GIVE_UP),
        1 => Plan { bell: "Front".into(), steps: vec![step(0, &["p0"]), step(20, &[EVERYONE])], give_up: GIVE_UP },
        _ => Plan { bell: "Back".into(), steps: vec![step(0, &["p1"]), step(5, &["p2"]), step(9, &["p3"])], give_up: GIVE_UP },
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (mut house, mut now, mut visits) = (House::default(), Instant::now(), 0_u64);
    for pair in bytes.chunks_exact(2).take(2000) {
        let [what, which] = *pair else { continue };
        let user: UserId = format!("p{}-{}", which % 4, which >> 2 & 3).parse().unwrap();
        match what % 8 {
            0 => {
                visits += 1;
                house.input(Input::Pressed { plan: Arc::new(plan(which)), id: VisitId::of(visits) }, now);
            }
            1..=3 => {
                let visit = VisitId::of(visits.saturating_sub(u64::from(what >> 6)));
                let (name, does) = (format!("p{}", which % 4), DOES[usize::from(what >> 3) % 4]);
                house.input(Input::Attends { from: user, name, visit, does, heard: which & 0x80 == 0 }, now);
            }
            4 => house.input(Input::Connected(user), now),
            5 => house.input(Input::Ended(user), now),
            6 if which == 0 => house.input(Input::Cancelled(None), now),
            6 => house.input(Input::Calls(user), now),
            _ => {
                let until = now + Duration::from_millis(u64::from(which) * 40);
                house.pass(&mut now, Some(until));
            }
        }
        assert!(house.rings.list(now).len() <= 2, "each bell has one visit");
    }
    for person in 0..16 {
        let user: UserId = format!("p{}-{}", person % 4, person / 4).parse().unwrap();
        house.input(Input::Ended(user), now);
    }
    house.pass(&mut now, None);
    assert!(house.rings.list(now).is_empty() && house.rang == house.ended, "a visit does not end");
});
