//! What the bells promise: tables of what each word does in each state, and whole houses over a network that loses, delays
//! and repeats, in virtual time.

mod house;

use super::*;
use crate::protocol::EVERYONE;

const GIVE_UP: Duration = Duration::from_secs(60);

fn id(text: &str) -> UserId {
    text.parse().unwrap()
}

struct Bench {
    rings: Rings,
    now: Instant,
    visit: VisitId,
}

impl Bench {
    fn pressed(plan: Plan) -> Bench {
        let mut bench = Bench { rings: Rings::default(), now: Instant::now(), visit: VisitId::of(1) };
        bench.input(Input::Pressed { plan: Arc::new(plan), id: VisitId::of(1) });
        bench
    }

    fn input(&mut self, input: Input) {
        self.rings.handle(input, self.now);
    }

    fn attends(&mut self, who: &str, does: Doing) {
        let name = who.split('-').next().unwrap_or_default().to_owned();
        let visit = self.visit.clone();
        self.input(Input::Attends { from: id(who), name, visit, does, heard: true });
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.rings.poll_output()).collect()
    }

    /// What all are told next, without what goes to single ones.
    fn told(&mut self) -> Vec<Visit> {
        let tells = self.drain().into_iter();
        tells.filter_map(|output| if let Output::Tell(visit) = output { Some(visit) } else { None }).collect()
    }

    fn states(&mut self) -> Vec<VisitState> {
        self.told().iter().map(|visit| visit.state).collect()
    }

    fn after(&mut self, time: Duration) -> Vec<Visit> {
        let end = self.now + time;
        let mut told = Vec::new();
        while let Some(due) = self.rings.poll_timeout().filter(|due| *due <= end) {
            assert!(due >= self.now, "time does not go back");
            self.now = due;
            self.input(Input::Timeout);
            told.extend(self.told());
        }
        self.now = end;
        told
    }
}

fn steps() -> Plan {
    let step = |after: u64, rings: &[&str]| Step {
        after: Duration::from_secs(after),
        rings: rings.iter().map(|name| (*name).to_owned()).collect(),
    };
    Plan { bell: "Front".to_owned(), steps: vec![step(0, &["Kitchen"]), step(20, &[EVERYONE])], give_up: GIVE_UP }
}

#[test]
fn first_some_are_rung_and_then_all_and_then_nobody() {
    let mut bench = Bench::pressed(steps());
    let first = bench.told();
    assert_eq!((first[0].state, first[0].rings.as_slice()), (VisitState::Ringing, ["Kitchen".to_owned()].as_slice()));
    let told = bench.after(Duration::from_secs(19));
    assert_eq!(told.len(), 19);
    assert!(told.iter().all(|visit| visit.rings == ["Kitchen"]));
    let told = bench.after(Duration::from_secs(40));
    assert_eq!((told[0].rings.len(), told[0].seconds), (2, 20), "at that second, not later");
    let told = bench.after(Duration::from_secs(10));
    let end: Vec<_> = told.iter().map(|visit| (visit.state, visit.seconds)).collect();
    assert_eq!(end, [60, 61, 62].map(|second| (VisitState::Unanswered, second)), "it is said more than once");
    assert_eq!(bench.rings.poll_timeout(), None);
    assert_eq!(bench.rings.list(bench.now), []);
}

#[test]
fn the_first_who_answers_has_the_visitor() {
    let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
    bench.attends("anna", Doing::Looks);
    bench.input(Input::Connected(id("anna")));
    assert!(bench.rings.is_onlooker(&id("anna")));
    assert!(bench.states().iter().all(|state| *state == VisitState::Ringing), "looking is no answer");
    bench.attends("ben", Doing::Answers);
    bench.attends("anna", Doing::Answers);
    assert!(!bench.rings.is_onlooker(&id("ben")));
    assert!(bench.rings.is_onlooker(&id("anna")), "who was later is not heard");
    let outputs = bench.drain();
    let late =
        outputs.iter().rev().find_map(|o| if let Output::Reply { to, visit } = o { Some((to, visit)) } else { None });
    let (to, visit) = late.unwrap();
    assert_eq!((to, visit.by.as_ref().unwrap().name.as_str()), (&id("anna"), "ben"));
    bench.input(Input::Connected(id("ben")));
    let answered = Event::Answered { visit: VisitId::of(1), name: "ben".to_owned() };
    assert!(bench.drain().contains(&Output::Report(answered)));
    assert_eq!(bench.after(Duration::from_secs(60)).len(), 2, "said three times, and then the phones know");
    bench.input(Input::Ended(id("ben")));
    assert_eq!(bench.rings.list(bench.now), []);
}

#[test]
fn who_looks_and_then_answers_is_heard_at_once() {
    let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
    bench.attends("anna", Doing::Looks);
    bench.input(Input::Connected(id("anna")));
    bench.drain();
    bench.attends("anna", Doing::Answers);
    let outputs = bench.drain();
    assert!(outputs.contains(&Output::Voice(id("anna"))));
    assert!(outputs.contains(&Output::Report(Event::Answered { visit: VisitId::of(1), name: "anna".to_owned() })));
}

#[test]
fn who_answers_and_does_not_come_lets_the_bell_ring_on() {
    let mut bench = Bench::pressed(Plan::everyone("Front", Duration::from_secs(10)));
    bench.after(Duration::from_secs(8));
    bench.attends("anna", Doing::Answers);
    assert_eq!(bench.states(), [VisitState::Answered]);
    let states: Vec<_> = bench.after(ANSWER_TIMEOUT).iter().map(|visit| visit.state).collect();
    assert_eq!(states.last(), Some(&VisitState::Ringing));
    // The time in which nobody was rung does not count.
    let states: Vec<_> = bench.after(Duration::from_millis(1900)).iter().map(|visit| visit.state).collect();
    assert!(states.iter().all(|state| *state == VisitState::Ringing), "{states:?}");
    assert_eq!(bench.after(Duration::from_secs(1))[0].state, VisitState::Unanswered);

    let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
    bench.attends("anna", Doing::Answers);
    bench.input(Input::Ended(id("anna")));
    assert_eq!(bench.states().last(), Some(&VisitState::Ringing), "at once, where the call is known to be over");
}

#[test]
fn all_decline() {
    let mut bench = Bench::pressed(steps());
    bench.attends("kitchen", Doing::Rings);
    bench.drain();
    bench.attends("kitchen", Doing::Declines);
    let told = bench.told();
    assert_eq!(
        (told[0].rings.len(), told[0].declined.as_slice()),
        (2, ["kitchen".to_owned()].as_slice()),
        "the next at once"
    );
    bench.attends("anna", Doing::Rings);
    bench.attends("anna-2", Doing::Rings);
    assert!(bench.rings.list(bench.now)[0].phones == 3);
    bench.attends("anna-2", Doing::Declines);
    assert_eq!(bench.states().last(), Some(&VisitState::Declined), "a person declines on all their phones");
}

#[test]
fn it_is_taken_back() {
    let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
    bench.drain();
    bench.input(Input::Cancelled(Some("Back".to_owned())));
    assert_eq!(bench.states(), []);
    bench.input(Input::Cancelled(None));
    assert_eq!(bench.states(), [VisitState::Cancelled]);
    bench.attends("anna", Doing::Answers);
    assert!(bench.rings.is_onlooker(&id("anna")), "too late to be heard");
    bench.input(Input::Calls(id("anna")));
    assert!(!bench.rings.is_onlooker(&id("anna")), "but anybody may call");
}

#[test]
fn a_second_press_changes_nothing_and_another_bell_rings_beside() {
    let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
    bench.drain();
    bench.input(Input::Pressed { plan: Arc::new(Plan::everyone("Front", GIVE_UP)), id: VisitId::of(2) });
    let again = Event::RangAgain { visit: VisitId::of(1), bell: "Front".to_owned() };
    assert_eq!(bench.drain(), [Output::Report(again)]);
    bench.input(Input::Pressed { plan: Arc::new(Plan::everyone("Back", GIVE_UP)), id: VisitId::of(3) });
    assert_eq!(bench.told()[0].bell, "Back");
    assert_eq!(bench.rings.list(bench.now).len(), 2);
}

#[test]
fn one_call_may_be_for_two_bells() {
    let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
    bench.input(Input::Pressed { plan: Arc::new(Plan::everyone("Back", GIVE_UP)), id: VisitId::of(2) });
    bench.attends("anna", Doing::Answers);
    bench.visit = VisitId::of(2);
    bench.attends("anna", Doing::Answers);
    bench.input(Input::Connected(id("anna")));
    assert!(bench.rings.list(bench.now).iter().all(|visit| visit.by.as_deref() == Some("anna")));
    bench.input(Input::Ended(id("anna")));
    assert_eq!(bench.rings.list(bench.now), []);
}

#[test]
fn who_may_not_be_heard_does_not_answer() {
    let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
    let visit = bench.visit.clone();
    bench.input(Input::Attends { from: id("guest"), name: "Guest".into(), visit, does: Doing::Answers, heard: false });
    assert!(bench.rings.is_onlooker(&id("guest")));
    assert_eq!(bench.states(), [VisitState::Ringing]);
}

#[test]
fn of_what_is_long_over_nothing_is_known() {
    let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
    for number in 2..100 {
        bench.input(Input::Cancelled(None));
        bench.input(Input::Pressed { plan: Arc::new(Plan::everyone("Front", GIVE_UP)), id: VisitId::of(number) });
    }
    assert!(bench.rings.visits.len() <= MAX_OVER + 1);
    bench.drain();
    bench.attends("anna", Doing::Answers);
    let Some(Output::Reply { visit, .. }) = bench.drain().pop() else { panic!("no reply") };
    assert_eq!(visit.state, VisitState::Over);
    for number in 0..1000 {
        bench.attends(&format!("stranger-{number}"), Doing::Looks);
    }
    assert!(bench.rings.onlookers.len() <= MAX_ONLOOKERS);
}

/// docs/protocol.md says what each thing does to a visit in each state.
#[test]
fn the_documents_table_is_true() {
    const DOC: &str = include_str!("../../../docs/protocol.md");
    let (_, table) = DOC.split_once("| visit | `rings` |").expect("the table is there");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let (state, outcomes) = row.split_first().unwrap();
        assert_eq!(outcomes.len(), 8, "{state}");
        for (column, outcome) in outcomes.iter().enumerate() {
            let mut bench = Bench::pressed(Plan::everyone("Front", GIVE_UP));
            bench.attends("anna", Doing::Rings);
            let (state, by) = state.split_once(", by ").unwrap_or((state, "them"));
            let by = if by == "them" { "anna" } else { "ben" };
            match state {
                "ringing" => {}
                "over" => bench.input(Input::Cancelled(None)),
                _ => bench.attends(by, Doing::Answers),
            }
            if state == "answered" {
                bench.input(Input::Connected(id(by)));
            }
            match column {
                0 => bench.attends("anna", Doing::Rings),
                1 => bench.attends("anna", Doing::Looks),
                2 => bench.attends("anna", Doing::Answers),
                3 => bench.attends("anna", Doing::Declines),
                4 => bench.input(Input::Connected(id("anna"))),
                5 => bench.input(Input::Ended(id("anna"))),
                6 => {
                    bench.input(Input::Pressed { plan: Arc::new(Plan::everyone("Front", GIVE_UP)), id: VisitId::of(2) })
                }
                _ => bench.input(Input::Cancelled(None)),
            }
            let found = match bench.rings.visits[&VisitId::of(1)].state {
                State::Ringing => "ringing",
                State::Answering { .. } => "answering",
                State::Answered { .. } => "answered",
                State::Over { .. } => "over",
            };
            assert_eq!(found, *outcome, "{state} by {by}, column {column}");
        }
    }
}
