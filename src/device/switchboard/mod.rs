//! The task that owns the call machine: it feeds it what signaling, connections and the operator say, and carries out
//! what it decides. It never waits for any of them.

mod hearing;
mod orders;
mod verifying;
mod visits;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Terms;
use super::allowed::Allowed;
use super::commission::Standing;
use super::control::Order;
use super::handle::Request;
use super::news::{self, CallNews, Refusals, Registration, SELDOM};
use super::session::{Instruction, Role, Session};
use super::studio::Studio;
use crate::base::seldom::Seldom;
use crate::base::task::sleep_until;
use crate::logic::call::{CallInfo, CallKey, Calls, Event, Input, Output};
use crate::logic::identity::{Exchange, SigningKey};
use crate::logic::ring::{self, Plan, Rings};
use crate::net::peer::{Equipment, PeerSettings};
use crate::net::signaling::{Signaling, SignalingEvent};
use crate::protocol::{ErrorCode, IceServer, Key, Kind, Message, UserId};

/// Reports of all connections together; when full, connections wait.
const REPORTS: usize = 256;
/// Most people whose presence is remembered, with their names: it tells devices from people, and who has answered.
const MAX_PEOPLE: usize = 10_000;
/// Connections that may be on their way out. While there are as many, further calls fail at once: a caller who calls
/// again and again would use up the process' sockets otherwise.
const CLOSING: usize = 16;
/// How long the ending program waits for connections to say goodbye.
const FAREWELL: Duration = Duration::from_secs(4);

/// Something that is said when it is asked for.
pub type Word = Box<dyn Fn() -> Option<String> + Send + Sync>;

pub struct Settings {
    pub me: UserId,
    /// The device's own key.
    pub signer: Arc<SigningKey>,
    /// What vouches for it and for callers' keys, where there is a household.
    pub household: Option<Key>,
    /// The signaling server.
    pub url: String,
    /// What `status` says of the device itself,
    pub about: Value,
    /// and of its own server's certificate, where there is something to say.
    pub certificate: Word,
    /// Whether `block` is obeyed.
    pub debug_hooks: bool,
}

/// Somebody who is on line.
struct Known {
    kind: Kind,
    name: String,
}

pub struct Switchboard {
    settings: Settings,
    peer: PeerSettings,
    calls: Calls,
    rings: Rings,
    bells: Vec<Arc<Plan>>,
    sessions: HashMap<CallKey, Session>,
    closing: JoinSet<()>,
    reports: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    signaling: Signaling,
    studio: Arc<Studio>,
    people: HashMap<UserId, Known>,
    /// What the signaling server handed out last; the device's own configuration comes first.
    ice_servers: Vec<IceServer>,
    /// Whoever placed a call and waits to hear what becomes of it.
    callers: HashMap<CallKey, oneshot::Sender<Value>>,
    /// What callers may do here.
    allowed: Allowed,
    /// Who they are.
    exchange: Exchange<CallKey>,
    registration: Registration,
    status: watch::Sender<String>,
    standing: watch::Sender<Standing>,
    /// Calls that were connected and have not ended.
    talks: HashSet<CallKey>,
    refusals: Refusals,
    call_news: CallNews,
    complaints: Seldom,
    unheard: Seldom,
    doubts: Seldom,
    started: Instant,
}

impl Switchboard {
    pub fn new(
        settings: Settings,
        terms: Terms,
        signaling: Signaling,
        studio: Arc<Studio>,
        started: Instant,
    ) -> Switchboard {
        let registration = Registration::Connecting;
        let Terms { policy, max_calls, peer, rights, unverified, bells } = terms;
        let Settings { me, signer, household, .. } = &settings;
        let exchange = Exchange::new(me.clone(), signer.clone(), *household, unverified);
        Switchboard {
            calls: Calls::new(settings.me.clone(), policy, max_calls),
            rings: Rings::default(),
            bells,
            status: watch::Sender::new(registration.describe(&settings.url, 0)),
            settings,
            peer,
            sessions: HashMap::new(),
            closing: JoinSet::new(),
            reports: mpsc::channel(REPORTS),
            signaling,
            studio,
            people: HashMap::new(),
            ice_servers: Vec::new(),
            callers: HashMap::new(),
            allowed: Allowed::new(rights),
            exchange,
            registration,
            standing: watch::Sender::default(),
            talks: HashSet::new(),
            refusals: Refusals::default(),
            call_news: CallNews::default(),
            complaints: Seldom::every(SELDOM),
            unheard: Seldom::every(SELDOM),
            doubts: Seldom::every(SELDOM),
            started,
        }
    }

    /// One line on registration and calls, and its changes.
    pub fn watch_status(&self) -> watch::Receiver<String> {
        self.status.subscribe()
    }

    /// What the appliance has to show for itself, and its changes.
    pub fn watch_standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Runs until `shutdown` resolves, then hangs up everywhere and leaves signaling.
    pub async fn run(
        mut self,
        mut signals: mpsc::Receiver<SignalingEvent>,
        mut orders: mpsc::Receiver<Order>,
        mut requests: mpsc::Receiver<Request>,
        shutdown: impl Future<Output = ()>,
    ) {
        tokio::pin!(shutdown);
        loop {
            let timers = [self.calls.poll_timeout(), self.exchange.poll_timeout(), self.rings.poll_timeout()];
            let timer = timers.into_iter().flatten().min();
            tokio::select! {
                Some(event) = signals.recv() => self.signal(event),
                Some(report) = self.reports.1.recv() => self.input(report),
                Some(order) = orders.recv() => self.order(order),
                Some(request) = requests.recv() => self.request(request),
                () = sleep_until(timer) => {
                    self.calls.handle_timeout(Instant::now());
                    self.give_up_on_the_late();
                    self.ring_input(ring::Input::Timeout);
                }
                Some(_) = self.closing.join_next() => {}
                () = &mut shutdown => break,
            }
            self.carry_out();
            self.tell_status();
        }
        self.input(Input::Shutdown);
        self.carry_out();
        let farewell = async { while self.closing.join_next().await.is_some() {} };
        if timeout(FAREWELL, farewell).await.is_err() {
            log::warn!("some connections did not close in time");
        }
        self.signaling.shutdown().await;
    }

    fn input(&mut self, input: Input) {
        self.calls.handle(input, Instant::now());
    }

    fn request(&mut self, request: Request) {
        // Whoever asked may have stopped waiting.
        match request {
            Request::Ping(reply) => _ = reply.send(()),
            Request::Apply(terms, done) => {
                let Terms { policy, max_calls, peer, rights, unverified, bells } = *terms;
                self.bells = bells;
                self.exchange.set_unverified(unverified);
                self.allowed.set_own(rights);
                self.calls.set_rules(policy, max_calls);
                self.peer = peer;
                _ = done.send(());
            }
        }
    }

    fn is_registered(&self) -> bool {
        matches!(self.registration, Registration::Registered { .. })
    }

    fn tell_status(&self) {
        let status = self.registration.describe(&self.settings.url, self.calls.list().len());
        self.status.send_if_modified(|told| {
            let changed = *told != status;
            *told = status;
            changed
        });
        let registered = self.is_registered();
        self.standing
            .send_if_modified(|standing| std::mem::replace(&mut standing.registered, registered) != registered);
    }

    fn signal(&mut self, event: SignalingEvent) {
        match event {
            SignalingEvent::Up => {
                log::info!(id = self.settings.me.as_str(); "registered at the signaling server");
                self.registration = Registration::Registered { since: Instant::now() };
                self.input(Input::SignalingUp);
                self.prove_again(None);
            }
            SignalingEvent::Message(message) => self.message(message),
            SignalingEvent::ServerError(error) => self.server_error(error),
            SignalingEvent::PeerError(error) => self.peer_error(error),
            SignalingEvent::Malformed { from, error } => self.malformed(from, error),
            SignalingEvent::Down { error, retry_in } => {
                let (error, code) = (error.to_string(), error.code());
                // A server that stays away is reported once.
                let told = matches!(&self.registration, Registration::Lost { error: known } if *known == error);
                let level = if told { log::Level::Debug } else { log::Level::Warn };
                log::log!(level, code; "signaling: {error}; trying again in {:.1} s", retry_in.as_secs_f64());
                self.registration = Registration::Lost { error };
                self.people.clear();
                self.input(Input::SignalingDown);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.calls.poll_output() {
            match output {
                Output::Send(mut message) => {
                    self.sign(&mut message);
                    if let Message::Error { code, message, target_id: Some(to), call_id, .. } = &message {
                        self.refusals.log(to, call_id.as_deref(), *code, message);
                    }
                    self.signaling.send(message);
                }
                Output::Answer { key, sdp } => {
                    if self.takes_offer(key, &sdp) {
                        self.open(key, Role::Answerer { offer: sdp });
                    }
                }
                Output::Offer { key } => {
                    if let Some(CallInfo { user, call_id, .. }) = self.call(key) {
                        self.exchange.offers(key, &user, call_id.as_deref());
                    }
                    self.open(key, Role::Offerer);
                }
                Output::Renegotiate { key, sdp } => {
                    let to = self.equipment_for(key);
                    if self.takes_offer(key, &sdp) && !self.tell(key, Instruction::Renegotiate { sdp, to }) {
                        let detail = "too much came at once for this call".to_owned();
                        self.input(Input::Refused { key, code: ErrorCode::Other, detail });
                    }
                }
                Output::AcceptAnswer { key, sdp } => {
                    let to = self.equipment_for(key);
                    if self.takes_answer(key, &sdp) {
                        self.tell(key, Instruction::AcceptAnswer { sdp, to });
                    }
                }
                Output::AddCandidate { key, candidate } => _ = self.tell(key, Instruction::AddCandidate(candidate)),
                Output::Close { key, goodbye } => {
                    if let Some(session) = self.sessions.remove(&key) {
                        self.closing.spawn(session.close(goodbye));
                    }
                }
                Output::Report { key, call, user, event } => self.report(key, &call, &user, event),
            }
        }
    }

    fn open(&mut self, key: CallKey, role: Role) {
        if self.closing.len() >= CLOSING {
            let detail = "too many calls have just ended".to_owned();
            return self.input(Input::Closed { key, detail, blame: None });
        }
        let (mut peer, studio, reports) = (self.peer.clone(), self.studio.clone(), self.reports.0.clone());
        if peer.servers.is_empty() {
            peer.servers = self.ice_servers.clone();
        }
        peer.equipment = peer.equipment.within(match role {
            Role::Answerer { .. } => self.equipment_for(key),
            // What that person may do, comes with the answer.
            Role::Offerer => self.allowed.at_most(),
        });
        let call = self.call(key).map_or(String::new(), |call| call.call);
        let trusted = self.exchange.trusts(key);
        let session = Session::start(key, call, role, trusted, peer, studio, reports);
        session.hear(self.call(key).is_none_or(|call| !self.rings.is_onlooker(&call.user)));
        self.sessions.insert(key, session);
    }

    /// What of our equipment is for the other side of a call.
    fn equipment_for(&self, key: CallKey) -> Equipment {
        self.call(key).map_or(Equipment::NONE, |call| self.allowed.equipment(&call.user))
    }

    /// `false`: the connection does not keep up. One that is gone reports so itself.
    fn tell(&self, key: CallKey, instruction: Instruction) -> bool {
        self.sessions.get(&key).is_none_or(|session| session.tell(instruction))
    }

    fn report(&mut self, key: CallKey, call: &str, user: &UserId, event: Event) {
        let talked = self.talks.contains(&key);
        match event {
            Event::Connected => {
                self.talks.insert(key);
                self.exchange.connected(key, Instant::now());
            }
            Event::Ended { .. } if self.talks.remove(&key) => {
                self.exchange.ended(key);
                self.standing.send_if_modified(|standing| !std::mem::replace(&mut standing.call_completed, true));
            }
            Event::Yielded { to } => {
                if let Some(caller) = self.callers.remove(&key) {
                    self.callers.insert(to, caller);
                }
            }
            Event::Ended { .. } => self.exchange.ended(key),
            Event::Incoming | Event::Dialing | Event::RingBack | Event::Disconnected => {}
        }
        match event {
            Event::Connected => self.ring_input(ring::Input::Connected(user.clone())),
            Event::Ended { .. } => self.ring_input(ring::Input::Ended(user.clone())),
            Event::Incoming | Event::Dialing | Event::RingBack | Event::Disconnected | Event::Yielded { .. } => {}
        }
        self.call_news.log(call, user, &event, talked);
        if let Some(news) = news::for_caller(user, &event)
            && let Some(caller) = self.callers.remove(&key)
        {
            // Whoever asked may have stopped waiting.
            drop(caller.send(news));
        }
    }
}
