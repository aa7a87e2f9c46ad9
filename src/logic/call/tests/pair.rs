//! Two devices who call each other through a relay whose connections die without a word, bring messages late and twice,
//! and come back. Whatever happens: both end up in the same call, or both in none.

use std::collections::VecDeque;

use super::*;

/// Between two steps.
const STEP: Duration = Duration::from_millis(50);
const NAMES: [&str; 2] = ["alpha", "door"];

/// One side: its machine, and what its tasks would do.
struct Side {
    calls: Calls,
    link: Link,
    /// From the relay, in order.
    inbox: VecDeque<Message>,
    /// What connections and the data channel have to report.
    reports: VecDeque<Input>,
    conns: Vec<Conn>,
    /// Ends that nobody asked for.
    failures: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    /// Nobody has noticed yet.
    Dead,
    Down,
}

/// A peer connection, as far as signaling knows it.
struct Conn {
    key: CallKey,
    open: bool,
    up: bool,
    /// Each offer, and the answer to it once there is one.
    taken: Vec<(String, Option<String>)>,
    /// Our offer, and the answer accepted for it.
    made: Option<String>,
    accepted: Option<String>,
}

struct World {
    now: Instant,
    sides: [Side; 2],
    /// What still lies in buffers of connections that are gone.
    late: Vec<(usize, Message)>,
    texts: u64,
    /// Somebody hung up, or was told that there is nobody.
    over: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Dial(usize),
    PickUp(usize),
    HangUp(usize),
    Report(usize),
    Deliver(usize),
    DeliverTwice(usize),
    /// Something overtaken arrives after all.
    Late(usize),
    /// The connection dies without a word; what was on its way is lost (or comes late).
    Die(usize, bool),
    /// Its end is noticed.
    Notice(usize),
    Return(usize),
    /// The other side's connection makes another offer.
    Reoffer(usize),
}

impl World {
    fn new(policy: [AnswerPolicy; 2]) -> World {
        let side = |n: usize| Side {
            calls: Calls::new(id(NAMES[n]), policy[n], 4),
            link: Link::Down,
            inbox: VecDeque::new(),
            reports: VecDeque::new(),
            conns: Vec::new(),
            failures: Vec::new(),
        };
        let start = Door::new(AnswerPolicy::Auto, 1).now;
        let mut world = World { now: start, sides: [side(0), side(1)], late: Vec::new(), texts: 0, over: false };
        world.step(Step::Return(0));
        world.step(Step::Return(1));
        world
    }

    fn text(&mut self, what: &str) -> String {
        self.texts += 1;
        format!("{what} {}", self.texts)
    }

    fn step(&mut self, step: Step) {
        self.now += STEP;
        match step {
            Step::Dial(n) => {
                let call_id = self.text("call");
                self.tell(n, Input::Dial { user: id(NAMES[1 - n]), call_id });
            }
            Step::PickUp(n) => self.tell(n, Input::PickUp),
            Step::HangUp(n) => {
                self.over = true;
                self.tell(n, Input::HangUp);
            }
            Step::Report(n) => {
                if let Some(report) = self.sides[n].reports.pop_front() {
                    self.tell(n, report);
                }
            }
            Step::Deliver(n) | Step::DeliverTwice(n) => {
                if let Some(message) = self.sides[n].inbox.pop_front() {
                    if let Step::DeliverTwice(_) = step {
                        self.late.push((n, message.clone()));
                    }
                    self.hear(n, message);
                }
            }
            Step::Late(index) => {
                if !self.late.is_empty() {
                    let (n, message) = self.late.remove(index % self.late.len());
                    if self.sides[n].link == Link::Up {
                        self.hear(n, message);
                    }
                }
            }
            Step::Die(n, late) => {
                if self.sides[n].link == Link::Up {
                    self.sides[n].link = Link::Dead;
                    let lost = std::mem::take(&mut self.sides[n].inbox);
                    if late {
                        self.late.extend(lost.into_iter().map(|message| (n, message)));
                    }
                }
            }
            Step::Notice(n) => {
                if self.sides[n].link == Link::Dead {
                    self.sides[n].link = Link::Down;
                    self.tell(n, Input::SignalingDown);
                }
            }
            Step::Return(n) => {
                self.step_only_if_dead(n);
                if self.sides[n].link == Link::Down {
                    self.sides[n].link = Link::Up;
                    self.tell(n, Input::SignalingUp);
                    self.tell_online(1 - n);
                }
            }
            Step::Reoffer(n) => self.reoffer(n),
        }
        self.connect();
    }

    fn step_only_if_dead(&mut self, n: usize) {
        if self.sides[n].link == Link::Dead {
            self.step(Step::Notice(n));
        }
    }

    fn tell_online(&mut self, n: usize) {
        if self.sides[n].link == Link::Up {
            self.tell(n, Input::Online { user: id(NAMES[1 - n]) });
        }
    }

    fn tell(&mut self, n: usize, input: Input) {
        self.sides[n].calls.handle(input, self.now);
        while let Some(output) = self.sides[n].calls.poll_output() {
            self.carry_out(n, output);
        }
        assert!(self.sides[n].calls.list().len() <= 1, "two calls with one user");
    }

    fn carry_out(&mut self, n: usize, output: Output) {
        let conn = |key| Conn { key, open: true, up: false, taken: Vec::new(), made: None, accepted: None };
        match output {
            Output::Send(message) => self.relay(n, message),
            Output::Offer { key } => {
                let sdp = self.text("offer");
                self.sides[n].conns.push(Conn { made: Some(sdp.clone()), ..conn(key) });
                self.sides[n].reports.extend([Input::Offered { key, sdp }, found_here(key, 1)]);
            }
            Output::Answer { key, sdp } => {
                self.sides[n].conns.push(conn(key));
                self.negotiate(n, key, sdp);
            }
            Output::Renegotiate { key, sdp } => self.negotiate(n, key, sdp),
            Output::AcceptAnswer { key, sdp } => {
                let conn = self.conn(n, key);
                assert_eq!(conn.accepted, None, "one answer to one offer");
                conn.accepted = Some(sdp);
            }
            Output::AddCandidate { key, .. } => assert!(self.conn(n, key).open),
            Output::Close { key, goodbye } => self.close(n, key, goodbye),
            Output::Report { event: Event::Ended { code, why }, .. } => match code {
                EndCode::Error(ErrorCode::UnknownTarget) => self.over = true,
                EndCode::Error(_) | EndCode::Reason(_) => self.sides[n].failures.push(format!("{code}: {why}")),
            },
            Output::Report { .. } => {}
        }
    }

    fn conn(&mut self, n: usize, key: CallKey) -> &mut Conn {
        self.sides[n].conns.iter_mut().find(|conn| conn.key == key).expect("a connection that was asked for")
    }

    fn negotiate(&mut self, n: usize, key: CallKey, sdp: String) {
        let answer = self.text("answer");
        let conn = self.conn(n, key);
        assert!(conn.open);
        assert!(!conn.taken.iter().any(|(offer, _)| *offer == sdp), "{sdp:?} was negotiated twice");
        conn.taken.push((sdp, Some(answer.clone())));
        self.sides[n].reports.extend([Input::Answered { key, sdp: answer }, found_here(key, 2)]);
    }

    /// The page of a person would do so to look for another path; it works in the same way on the answering side.
    fn reoffer(&mut self, n: usize) {
        let Some((key, peer)) = self.linked(n) else { return };
        let sdp = self.text("offer");
        let call_id = self.sides[1 - n].calls.list().first().map(|call| call.call.clone());
        // Only what the machine is told matters here: devices do not offer again by themselves.
        if self.sides[n].link == Link::Up && self.conn(1 - n, peer).up && self.conn(n, key).up {
            let (from, kind) = (id(NAMES[1 - n]), Kind::Device);
            self.tell(n, Input::Offer { from, call_id, sdp, origin: Origin::default(), kind });
        }
    }

    fn close(&mut self, n: usize, key: CallKey, goodbye: bool) {
        let linked = self.linked(n).filter(|(ours, _)| *ours == key);
        if let Some(conn) = self.sides[n].conns.iter_mut().find(|conn| conn.key == key) {
            assert!(conn.open, "{key} was closed twice");
            conn.open = false;
        }
        if let Some((_, key)) = linked {
            let detail = "gone".to_owned();
            let end = if goodbye { Input::Goodbye { key } } else { Input::Closed { key, detail, blame: None } };
            self.sides[1 - n].reports.push_back(end);
        }
    }

    /// The open pair of connections, ours and theirs, that have each other's descriptions.
    fn linked(&self, n: usize) -> Option<(CallKey, CallKey)> {
        let open = |n: usize| self.sides[n].conns.iter().filter(|conn| conn.open);
        let fits = |offerer: &Conn, answerer: &Conn| {
            let pair = (offerer.made.clone(), offerer.accepted.clone());
            answerer
                .taken
                .iter()
                .any(|(offer, answer)| pair == (Some(offer.clone()), answer.clone()) && answer.is_some())
        };
        open(n).find_map(|ours| {
            let theirs = open(1 - n).find(|theirs| fits(ours, theirs) || fits(theirs, ours))?;
            Some((ours.key, theirs.key))
        })
    }

    fn connect(&mut self) {
        let Some((ours, theirs)) = self.linked(0) else { return };
        for (n, key) in [(0, ours), (1, theirs)] {
            if !std::mem::replace(&mut self.conn(n, key).up, true) {
                self.sides[n].reports.push_back(Input::Connected { key });
            }
        }
    }

    fn relay(&mut self, n: usize, message: Message) {
        assert_ne!(self.sides[n].link, Link::Down, "said into a void");
        if self.sides[n].link == Link::Dead {
            return;
        }
        match self.sides[1 - n].link {
            Link::Up => self.sides[1 - n].inbox.push_back(message),
            Link::Dead => {}
            Link::Down => {
                let (Message::Offer { call_id, .. } | Message::Answer { call_id, .. }) = message else { return };
                let unknown = Input::UnknownTarget { user: id(NAMES[1 - n]), call_id };
                // The server's answer comes before whatever happens next.
                self.sides[n].reports.push_front(unknown);
            }
        }
    }

    fn hear(&mut self, n: usize, message: Message) {
        let from = id(NAMES[1 - n]);
        let input = match message {
            Message::Offer { offer, kind, call_id, .. } => Input::Offer {
                from,
                call_id,
                sdp: offer.sdp,
                origin: Origin::default(),
                kind: kind.unwrap_or_default(),
            },
            Message::Answer { answer, call_id, .. } => {
                Input::Answer { from, call_id, sdp: answer.sdp, origin: Origin::default() }
            }
            Message::Candidate { candidate, call_id, .. } => Input::Candidate { from, call_id, candidate },
            Message::Ringing { call_id, .. } => Input::Ringing { from, call_id },
            Message::Leave { reason, call_id, .. } => Input::Leave { from, call_id, reason, to_us: true },
            Message::Error { code, message, call_id, .. } => Input::Rejected { from, call_id, code, detail: message },
            other => panic!("nobody says {other:?}"),
        };
        self.tell(n, input);
    }

    /// Both connections are fresh, and everything that is on its way arrives.
    fn settle(&mut self) {
        for n in [0, 1] {
            self.step(Step::Die(n, false));
            self.step(Step::Return(n));
        }
        for _ in 0..200 {
            for n in [0, 1] {
                self.step(Step::Report(n));
                self.step(Step::Deliver(n));
            }
        }
        assert!(
            self.sides.iter().all(|side| side.inbox.is_empty() && side.reports.is_empty()),
            "they never stop talking"
        );
    }
}

fn found_here(key: CallKey, n: u8) -> Input {
    Input::Found { key, candidate: candidate(&format!("{key} {n}")) }
}

fn any_step() -> impl Strategy<Value = Step> {
    (0..24u8, 0..2usize, any::<bool>(), 0..8usize).prop_map(|(which, n, flag, index)| match which {
        0..=1 => Step::Dial(n),
        2 => Step::PickUp(n),
        3 => Step::HangUp(n),
        4..=9 => Step::Report(n),
        10..=15 => Step::Deliver(n),
        16 => Step::DeliverTwice(n),
        17 => Step::Late(index),
        18..=19 => Step::Die(n, flag),
        20 => Step::Notice(n),
        21..=22 => Step::Return(n),
        _ => Step::Reoffer(n),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_are_in_the_same_call_or_both_in_none(
        steps in prop::collection::vec(any_step(), 1..60),
        rings in any::<[bool; 2]>(),
    ) {
        let mut world = World::new(rings.map(|rings| if rings { AnswerPolicy::Ring } else { AnswerPolicy::Auto }));
        let dialled = steps.iter().any(|step| matches!(step, Step::Dial(_)));
        steps.into_iter().for_each(|step| world.step(step));
        world.settle();
        let states: Vec<_> = world.sides.iter().map(|side| side.calls.list()).collect();
        prop_assert_eq!(states[0].len(), states[1].len(), "{:?}", states);
        if let (Some(ours), Some(theirs)) = (states[0].first(), states[1].first()) {
            prop_assert_eq!(&ours.call, &theirs.call);
            let pair = [ours.state, theirs.state];
            prop_assert!(
                pair == ["connected"; 2] || pair == ["calling", "ringing"] || pair == ["ringing", "calling"],
                "{:?}", pair
            );
        }
        if !world.over {
            prop_assert_eq!(states[0].len(), usize::from(dialled), "a call got lost");
            let failures: Vec<_> = world.sides.iter().flat_map(|side| &side.failures).collect();
            prop_assert!(failures.is_empty(), "{:?}", failures);
        }
        let open = world.sides.iter().map(|side| side.conns.iter().filter(|conn| conn.open).count());
        prop_assert!(open.eq(states.iter().map(|list| list.iter().filter(|call| call.state != "ringing").count())));
    }

    #[test]
    fn two_who_call_at_the_same_moment_end_up_in_one_call(order in prop::collection::vec(0..4u8, 0..60), rings in any::<bool>()) {
        let policy = if rings { AnswerPolicy::Ring } else { AnswerPolicy::Auto };
        let mut world = World::new([policy; 2]);
        for n in [0, 1] {
            world.step(Step::Dial(n));
            // Both offers are on their way before either arrives.
            world.step(Step::Report(n));
        }
        for step in order {
            let n = usize::from(step % 2);
            world.step(if step < 2 { Step::Report(n) } else { Step::Deliver(n) });
        }
        world.settle();
        for side in &world.sides {
            let states: Vec<_> = side.calls.list().iter().map(|call| call.state).collect();
            prop_assert_eq!(&states, &["connected"]);
            prop_assert!(side.failures.is_empty(), "{:?}", &side.failures);
        }
    }
}
