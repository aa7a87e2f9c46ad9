//! A house: one bell, phones that do what people do, and a network between them that loses, delays and repeats.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

const PHONES: usize = 5;
/// A phone that hears nothing for so long stops ringing.
const SILENCE: Duration = Duration::from_secs(3);
/// How long a message may be under way.
const SLOWEST: Duration = Duration::from_millis(400);
/// Until then people do things.
const ACTIVE: Duration = Duration::from_secs(60);
/// Nobody talks to nobody for longer; with half of all messages lost the last of them may be, too.
const LONELY: Duration = Duration::from_secs(10);
const END: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Told(usize, String),
    Said(usize, u8),
    Connected(usize),
    Ended(usize),
    Does(usize, u8),
    Repeats(usize),
    GivesUp(usize, u32),
    Presses,
}

struct Phone {
    rings: Option<Duration>,
    /// Has said that it answers, for the how manyth time; and whether the device has agreed.
    answers: Option<(u32, bool)>,
    tries: u32,
    in_call: bool,
    /// The newest word it has heard.
    newest: (VisitId, u32),
    /// Since when it takes itself for the one who answered, and is not.
    alone: Option<Duration>,
}

struct House {
    rings: Rings,
    start: Instant,
    now: Duration,
    random: fastrand::Rng,
    loss: f64,
    queue: BinaryHeap<Reverse<(Duration, u64, Happens)>>,
    count: u64,
    phones: Vec<Phone>,
    /// Since when nobody is rung.
    silent: Option<Duration>,
    answered: usize,
    visits: u64,
    over: usize,
}

impl Phone {
    fn new() -> Phone {
        let newest = (VisitId::of(0), 0);
        Phone { rings: None, answers: None, tries: 0, in_call: false, newest, alone: None }
    }
}

const DOINGS: [Doing; 4] = [Doing::Rings, Doing::Looks, Doing::Answers, Doing::Declines];

fn user(phone: usize) -> UserId {
    // Two phones are of one person.
    id(&format!("p{}-{phone}", phone / 2))
}

impl House {
    fn new(seed: u64, loss: f64) -> House {
        let mut house = House {
            rings: Rings::default(),
            start: Instant::now(),
            now: Duration::ZERO,
            random: fastrand::Rng::with_seed(seed),
            loss,
            queue: BinaryHeap::new(),
            count: 0,
            phones: (0..PHONES).map(|_| Phone::new()).collect(),
            silent: None,
            answered: 0,
            visits: 0,
            over: 0,
        };
        house.at(Duration::ZERO, Happens::Presses);
        for _ in 0..house.random.usize(0..4) {
            let when = house.sometime(ACTIVE);
            house.at(when, Happens::Presses);
        }
        for _ in 0..house.random.usize(0..20) {
            let (when, phone, does) = (house.sometime(ACTIVE), house.random.usize(0..PHONES), house.random.u8(1..4));
            house.at(when, Happens::Does(phone, does));
        }
        house
    }

    fn sometime(&mut self, within: Duration) -> Duration {
        within.mul_f64(self.random.f64())
    }

    fn at(&mut self, when: Duration, what: Happens) {
        self.count += 1;
        self.queue.push(Reverse((when, self.count, what)));
    }

    /// Over the network: not at all, once or twice, sooner or later.
    fn send(&mut self, what: &Happens) {
        for _ in 0..1 + usize::from(self.random.f64() < self.loss / 2.0) {
            if self.random.f64() >= self.loss {
                let when = self.now + self.sometime(SLOWEST);
                self.at(when, what.clone());
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.rings.handle(input, self.start + self.now);
        while let Some(output) = self.rings.poll_output() {
            match output {
                Output::Tell(visit) => {
                    self.silent = match visit.state {
                        VisitState::Ringing => None,
                        _ => self.silent.or(Some(self.now)),
                    };
                    let text = serde_json::to_string(&visit).unwrap();
                    (0..PHONES).for_each(|phone| self.send(&Happens::Told(phone, text.clone())));
                }
                Output::Reply { to, visit } => {
                    let phone = (0..PHONES).find(|phone| user(*phone) == to).unwrap();
                    self.send(&Happens::Told(phone, serde_json::to_string(&visit).unwrap()));
                }
                Output::Voice(_) => {}
                Output::Report(Event::Answered { .. }) => self.answered += 1,
                Output::Report(Event::Rang { .. }) => (self.answered, self.silent) = (0, None),
                Output::Report(Event::Ended { .. }) => self.over += 1,
                Output::Report(_) => {}
            }
        }
        assert!(self.answered <= 1, "one answer a visit");
    }

    fn hears(&mut self, phone: usize, visit: &Visit) {
        let name = format!("p{}", phone / 2);
        let mine = visit.by.as_ref().is_some_and(|by| by.user_id == user(phone));
        let state = &mut self.phones[phone];
        let word = (visit.id.clone(), visit.number);
        // A word about a visit of before is as old.
        if word < state.newest {
            return;
        }
        state.newest = word;
        match visit.state {
            VisitState::Ringing if !visit.declined.contains(&name) => {
                let first = state.rings.replace(self.now).is_none();
                if first {
                    self.send(&Happens::Said(phone, 0));
                }
            }
            _ => state.rings = None,
        }
        let state = &mut self.phones[phone];
        if let Some((_, agreed)) = &mut state.answers {
            match (mine, visit.state) {
                (true, VisitState::Answered) => *agreed = true,
                // The device may not have heard it yet.
                (_, VisitState::Ringing) if !*agreed => {}
                _ => self.hang_up(phone),
            }
        }
    }

    fn hang_up(&mut self, phone: usize) {
        self.phones[phone].answers = None;
        if std::mem::take(&mut self.phones[phone].in_call) {
            let when = self.now + Duration::from_millis(50);
            self.at(when, Happens::Ended(phone));
        }
    }

    fn does(&mut self, phone: usize, does: u8) {
        let doing = DOINGS[usize::from(does)];
        if self.phones[phone].rings.is_none() && doing != Doing::Looks {
            return;
        }
        self.send(&Happens::Said(phone, does));
        match doing {
            Doing::Declines => self.phones[phone].rings = None,
            Doing::Looks | Doing::Answers => {
                // Some say so, and their connection comes to nothing.
                let comes = self.random.f64() > 0.2;
                let later = self.now + Duration::from_millis(20) + self.sometime(Duration::from_millis(900));
                if comes && !self.phones[phone].in_call {
                    self.phones[phone].in_call = true;
                    self.at(later, Happens::Connected(phone));
                }
                if doing == Doing::Answers {
                    self.phones[phone].tries += 1;
                    let tries = self.phones[phone].tries;
                    self.phones[phone].answers = Some((tries, false));
                    self.at(self.now + Duration::from_secs(1), Happens::Repeats(phone));
                    let talk = self.now + Duration::from_secs(7) + self.sometime(Duration::from_secs(30));
                    self.at(talk, Happens::GivesUp(phone, tries));
                } else {
                    let tries = self.phones[phone].tries;
                    let looked = self.now + self.sometime(Duration::from_secs(40));
                    self.at(looked, Happens::GivesUp(phone, tries));
                }
            }
            Doing::Rings => {}
        }
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Presses => {
                self.visits += 1;
                let plan = Arc::new(Plan::everyone("Front", GIVE_UP));
                self.input(Input::Pressed { plan, id: VisitId::of(self.visits) });
            }
            Happens::Told(phone, text) => self.hears(phone, &serde_json::from_str(&text).unwrap()),
            Happens::Said(phone, does) => {
                let (does, visit) = (DOINGS[usize::from(does)], VisitId::of(self.visits));
                let name = format!("p{}", phone / 2);
                self.input(Input::Attends { from: user(phone), name, visit, does, heard: true });
            }
            Happens::Connected(phone) if self.phones[phone].in_call => self.input(Input::Connected(user(phone))),
            Happens::Connected(_) => {}
            Happens::Ended(phone) => self.input(Input::Ended(user(phone))),
            Happens::Does(phone, does) => self.does(phone, does),
            Happens::Repeats(phone) => {
                if let Some((_, false)) = self.phones[phone].answers {
                    self.send(&Happens::Said(phone, 2));
                    self.at(self.now + Duration::from_secs(1), Happens::Repeats(phone));
                }
            }
            Happens::GivesUp(phone, tries) => {
                if self.phones[phone].tries == tries {
                    self.hang_up(phone);
                }
            }
        }
    }

    /// Whoever takes itself for the one who answered is, or hears soon that it is not.
    fn look_for_the_lonely(&mut self) {
        for number in 0..PHONES {
            let user = user(number);
            let has_it = self.rings.visits.values().any(|visit| visit.is_answerer(&user));
            let phone = &mut self.phones[number];
            match phone.answers {
                Some((_, true)) if !has_it => {
                    let since = *phone.alone.get_or_insert(self.now);
                    assert!(self.now <= since + LONELY, "phone {number} talks to nobody since {since:?}");
                }
                _ => phone.alone = None,
            }
        }
    }

    fn run(&mut self) {
        loop {
            let due = self.rings.poll_timeout().map(|due| due.saturating_duration_since(self.start));
            let next = self.queue.peek().map(|Reverse((when, ..))| *when);
            let Some(now) = due.into_iter().chain(next).min().filter(|now| *now <= END) else { return };
            assert!(now >= self.now);
            self.now = now;
            for phone in 0..PHONES {
                if self.phones[phone].rings.is_some_and(|heard| self.now >= heard + SILENCE) {
                    self.phones[phone].rings = None;
                }
                // The word that was under way when it ended may come later.
                if let Some(silent) = self.silent.filter(|silent| self.now > *silent + SILENCE + SLOWEST) {
                    assert_eq!(self.phones[phone].rings, None, "phone {phone} rings on since {silent:?}");
                }
            }
            self.look_for_the_lonely();
            match self.queue.peek() {
                Some(Reverse((when, ..))) if due.is_none_or(|due| *when <= due) => {
                    let Some(Reverse((_, _, what))) = self.queue.pop() else { return };
                    self.happens(what);
                }
                _ => self.input(Input::Timeout),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens_there_is_one_answer_and_an_end(seed: u64, loss in 0.0..0.5) {
        let mut house = House::new(seed, loss);
        house.run();
        let now = house.start + house.now;
        prop_assert_eq!(house.rings.list(now), vec![], "every visit ends");
        prop_assert_eq!(house.rings.poll_timeout(), None);
        for phone in &house.phones {
            prop_assert!(phone.rings.is_none_or(|heard| heard + SILENCE < END));
            prop_assert_eq!(phone.answers, None, "nobody is left alone in a call");
        }
        prop_assert!(house.over > 0);
    }
}
