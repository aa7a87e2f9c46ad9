//! The task that owns the call machine: it feeds it what signaling, connections and the operator say, and carries out
//! what it decides. It never waits for any of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Terms;
use super::allowed::Allowed;
use super::commission::Standing;
use super::control::{Operation, Order};
use super::handle::Request;
use super::news::{self, CallNews, Refusals, Registration, Seldom};
use super::session::{self, Instruction, Role, Session};
use super::studio::Studio;
use crate::base::task::sleep_until;
use crate::logic::call::{CallKey, Calls, Event, Input, Origin, Output};
use crate::net::peer::{Equipment, PeerSettings};
use crate::net::sdp;
use crate::net::signaling::{Signaling, SignalingEvent};
use crate::protocol::{ErrorCode, IceServer, Kind, Message, ParseError, PeerError, PeerInfo, ServerError, UserId};

/// Reports of all connections together; when full, connections wait.
const REPORTS: usize = 256;
/// Most people whose presence is remembered; it is only used to tell devices from people.
const MAX_PEOPLE: usize = 10_000;
/// Connections that may be on their way out. While there are as many, further calls fail at once: a caller who calls
/// again and again would use up the process' sockets otherwise.
const CLOSING: usize = 16;
/// How long the ending program waits for connections to say goodbye.
const FAREWELL: Duration = Duration::from_secs(4);

pub struct Settings {
    pub me: UserId,
    /// The signaling server.
    pub url: String,
    /// What `status` says of the device itself.
    pub about: Value,
    /// Whether `block` is obeyed.
    pub debug_hooks: bool,
}

pub struct Switchboard {
    settings: Settings,
    peer: PeerSettings,
    calls: Calls,
    sessions: HashMap<CallKey, Session>,
    closing: JoinSet<()>,
    reports: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    signaling: Signaling,
    studio: Arc<Studio>,
    people: HashMap<UserId, Kind>,
    /// What the signaling server handed out last; the device's own configuration comes first.
    ice_servers: Vec<IceServer>,
    /// Whoever placed a call and waits to hear what becomes of it.
    callers: HashMap<CallKey, oneshot::Sender<Value>>,
    /// What callers may do here.
    allowed: Allowed,
    registration: Registration,
    status: watch::Sender<String>,
    standing: watch::Sender<Standing>,
    /// Calls that were connected and have not ended.
    talks: HashSet<CallKey>,
    refusals: Refusals,
    call_news: CallNews,
    complaints: Seldom,
    unheard: Seldom,
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
        let Terms { policy, max_calls, peer, rights } = terms;
        Switchboard {
            calls: Calls::new(settings.me.clone(), policy, max_calls),
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
            registration,
            standing: watch::Sender::default(),
            talks: HashSet::new(),
            refusals: Refusals::default(),
            call_news: CallNews::default(),
            complaints: Seldom::default(),
            unheard: Seldom::default(),
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
            let timer = self.calls.poll_timeout();
            tokio::select! {
                Some(event) = signals.recv() => self.signal(event),
                Some(report) = self.reports.1.recv() => self.input(report),
                Some(order) = orders.recv() => self.order(order),
                Some(request) = requests.recv() => self.request(request),
                () = sleep_until(timer) => self.calls.handle_timeout(Instant::now()),
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
                let Terms { policy, max_calls, peer, rights } = *terms;
                self.allowed.set_own(rights);
                self.calls.set_rules(policy, max_calls);
                self.peer = peer;
                _ = done.send(());
            }
        }
    }

    fn tell_status(&self) {
        let status = self.registration.describe(&self.settings.url, self.calls.list().len());
        self.status.send_if_modified(|told| {
            let changed = *told != status;
            *told = status;
            changed
        });
        let registered = matches!(self.registration, Registration::Registered { .. });
        self.standing
            .send_if_modified(|standing| std::mem::replace(&mut standing.registered, registered) != registered);
    }

    fn signal(&mut self, event: SignalingEvent) {
        match event {
            SignalingEvent::Up => {
                log::info!(id = self.settings.me.as_str(); "registered at the signaling server");
                self.registration = Registration::Registered { since: Instant::now() };
                self.input(Input::SignalingUp);
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

    fn message(&mut self, message: Message) {
        let me = &self.settings.me;
        match message {
            Message::Joined { peers, ice_servers, .. } => {
                self.people = peers.into_iter().take(MAX_PEOPLE).map(|p| (p.user_id, p.kind)).collect();
                self.ice_servers = ice_servers;
            }
            Message::Presence { peer: PeerInfo { user_id, kind, .. }, online } => match online {
                true => self.came(user_id, kind),
                false => drop(self.people.remove(&user_id)),
            },
            Message::Peers { online, offline } => {
                offline.iter().for_each(|id| _ = self.people.remove(id));
                online.into_iter().for_each(|peer| self.came(peer.user_id, peer.kind));
            }
            Message::Offer { user_id: Some(from), target_id, offer, kind, call_id, rights }
                if target_id == *me && from != *me =>
            {
                if !self.hears(&from) {
                    return;
                }
                self.allowed.hear(&from, rights, |user| self.calls.has(user));
                let (origin, sdp) = (origin(&offer.sdp), offer.sdp);
                let checked = match self.calls.has_begun(&from, &call_id, &origin) {
                    true => sdp::check(&sdp),
                    false => sdp::check_first(&sdp),
                };
                let input = match checked {
                    Ok(()) => {
                        let kind = kind.or_else(|| self.people.get(&from).copied()).unwrap_or_default();
                        Input::Offer { from, call_id, origin, sdp, kind }
                    }
                    Err(error) => Input::BadOffer { from, call_id, detail: error.to_string() },
                };
                self.input(input);
            }
            Message::Answer { user_id: Some(from), target_id, answer, call_id, rights } if target_id == *me => {
                if self.hears(&from) {
                    self.allowed.hear(&from, rights, |user| self.calls.has(user));
                    self.input(Input::Answer { from, call_id, origin: origin(&answer.sdp), sdp: answer.sdp });
                }
            }
            Message::Candidate { user_id: Some(from), target_id, candidate, call_id } if target_id == *me => {
                self.input(Input::Candidate { from, call_id, candidate });
            }
            Message::Ringing { user_id: Some(from), target_id, call_id } if target_id == *me => {
                if self.hears(&from) {
                    self.input(Input::Ringing { from, call_id });
                }
            }
            Message::Leave { user_id: Some(from), target_id, reason, call_id } => {
                let to_us = target_id.as_ref() == Some(me);
                if to_us || target_id.is_none() {
                    self.input(Input::Leave { from, call_id, reason, to_us });
                }
            }
            // Not for us, or without a sender to answer to.
            Message::Join { .. }
            | Message::Ping { .. }
            | Message::Pong { .. }
            | Message::Offer { .. }
            | Message::Answer { .. }
            | Message::Candidate { .. }
            | Message::Ringing { .. }
            | Message::Leave { .. }
            | Message::Error { .. } => log::debug!("a signaling message that is not for us was ignored"),
        }
    }

    fn server_error(&mut self, error: ServerError) {
        let ServerError { code, message, target_id, call_id, .. } = error;
        match (code, target_id) {
            (ErrorCode::UnknownTarget, Some(user)) => self.input(Input::UnknownTarget { user, call_id }),
            (ErrorCode::Forbidden, Some(user)) => self.input(Input::Forbidden { user, call_id }),
            (code, _) => {
                if let Some(untold) = self.complaints.due(Instant::now()) {
                    log::warn!(code:%, untold; "the server did not accept a message: {message}");
                }
            }
        }
    }

    /// Anybody can send any number of these.
    fn peer_error(&mut self, error: PeerError) {
        let PeerError { from, code, message: detail, call_id, .. } = error;
        let Some(from) = from else { return };
        log::debug!(code:%, peer = from.as_str(); "{from} did not accept a message: {detail}");
        self.input(Input::Rejected { from, call_id, code, detail });
    }

    fn came(&mut self, user: UserId, kind: Kind) {
        if self.people.len() < MAX_PEOPLE {
            self.people.insert(user.clone(), kind);
        }
        self.input(Input::Online { user });
    }

    fn malformed(&mut self, from: Option<UserId>, error: ParseError) {
        log::debug!("a signaling message was not understood: {error}");
        // A type we do not know belongs to a later version or another kind of client: no mistake to complain of.
        let (Some(from), ParseError::BadField { kind, .. }) = (from, &error) else { return };
        if self.hears(&from) {
            self.input(Input::Malformed { from, kind: kind.clone(), detail: error.to_string() });
        }
    }

    /// Whether something that wants a reply is taken. Anybody can send any number of these.
    fn hears(&mut self, from: &UserId) -> bool {
        let now = Instant::now();
        let heard = self.calls.hears(from, now);
        if !heard && let Some(untold) = self.unheard.due(now) {
            let peer = from.as_str();
            log::info!(peer, untold; "{peer} sends more than is replied to; the rest is dropped");
        }
        heard
    }

    fn order(&mut self, order: Order) {
        let refuse = |reply: oneshot::Sender<Value>, error: &str| {
            // Whoever asked may have gone.
            drop(reply.send(json!({ "ok": false, "error": error })));
        };
        let Order { operation, reply } = order;
        match operation {
            Operation::Status => self.status(reply),
            Operation::Call { user } => {
                let list = self.calls.list();
                if user == self.settings.me {
                    return refuse(reply, "a device cannot call itself");
                }
                if !matches!(self.registration, Registration::Registered { .. }) {
                    return refuse(reply, "not registered at the signaling server: see 'callbox status'");
                }
                match list.iter().find(|c| c.user == user) {
                    // Who calls somebody that rings here picks up.
                    Some(call) if call.state == "ringing" => {}
                    Some(_) => return refuse(reply, &format!("there is a call with {user} already")),
                    None if self.calls.is_full() => {
                        return refuse(reply, "as many calls as [calls] max_calls allows are under way");
                    }
                    None => {}
                }
                self.input(Input::Dial { user: user.clone(), call_id: format!("{:016x}", fastrand::u64(..)) });
                match self.calls.list().iter().find(|c| c.user == user) {
                    Some(call) => drop(self.callers.insert(call.key, reply)),
                    None => refuse(reply, "the call could not be placed"),
                }
            }
            Operation::Answer => match self.calls.list().iter().any(|c| c.state == "ringing") {
                true => {
                    self.input(Input::PickUp);
                    drop(reply.send(json!({ "ok": true })));
                }
                false => refuse(reply, "nobody is ringing"),
            },
            Operation::Hangup => {
                let ended = self.calls.list().len();
                self.input(Input::HangUp);
                drop(reply.send(json!({ "ok": true, "ended": ended })));
            }
            Operation::Block if self.settings.debug_hooks => {
                log::warn!("the main loop is blocked, as was asked for");
                drop(reply.send(json!({ "ok": true })));
                loop {
                    std::thread::park();
                }
            }
            Operation::Block => refuse(reply, "only a daemon with CALLBOX_DEBUG_HOOKS=1 in its environment does that"),
        }
    }

    /// Gathers the figures in a task of its own, as connections answer in their own time.
    fn status(&self, reply: oneshot::Sender<Value>) {
        let now = Instant::now();
        let mut status = self.settings.about.clone();
        status["ok"] = json!(true);
        status["uptimeSeconds"] = json!((now - self.started).as_secs());
        status["signaling"]["registration"] = self.registration.figures(now);
        status["signaling"]["unreadable"] = json!(self.signaling.unreadable());
        status["media"] = json!(self.studio.stats());
        let calls: Vec<_> = self
            .calls
            .list()
            .into_iter()
            .map(|call| {
                let mut value = json!(call);
                value["seconds"] = json!((now - call.since).as_secs());
                (value, self.sessions.get(&call.key).map(Session::instructions))
            })
            .collect();
        tokio::spawn(async move {
            let mut list = Vec::new();
            for (mut value, instructions) in calls {
                if let Some(instructions) = instructions
                    && let Some(stats) = session::stats(&instructions).await
                {
                    value["stats"] = json!(stats);
                }
                list.push(value);
            }
            status["calls"] = json!(list);
            drop(reply.send(status));
        });
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.calls.poll_output() {
            match output {
                Output::Send(message) => {
                    if let Message::Error { code, message, target_id: Some(to), call_id, .. } = &message {
                        self.refusals.log(to, call_id.as_deref(), *code, message);
                    }
                    self.signaling.send(message);
                }
                Output::Answer { key, sdp } => self.open(key, Role::Answerer { offer: sdp }),
                Output::Offer { key } => self.open(key, Role::Offerer),
                Output::Renegotiate { key, sdp } => {
                    let to = self.equipment_for(key);
                    if !self.tell(key, Instruction::Renegotiate { sdp, to }) {
                        let detail = "too much came at once for this call".to_owned();
                        self.input(Input::Refused { key, code: ErrorCode::Other, detail });
                    }
                }
                Output::AcceptAnswer { key, sdp } => {
                    let to = self.equipment_for(key);
                    self.tell(key, Instruction::AcceptAnswer { sdp, to });
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
        let call = self.calls.list().into_iter().find(|call| call.key == key).map_or(String::new(), |call| call.call);
        self.sessions.insert(key, Session::start(key, call, role, peer, studio, reports));
    }

    /// What of our equipment is for the other side of a call.
    fn equipment_for(&self, key: CallKey) -> Equipment {
        let user = self.calls.list().into_iter().find(|call| call.key == key).map(|call| call.user);
        user.map_or(Equipment::NONE, |user| self.allowed.equipment(&user))
    }

    /// `false`: the connection does not keep up. One that is gone reports so itself.
    fn tell(&self, key: CallKey, instruction: Instruction) -> bool {
        self.sessions.get(&key).is_none_or(|session| session.tell(instruction))
    }

    fn report(&mut self, key: CallKey, call: &str, user: &UserId, event: Event) {
        let talked = self.talks.contains(&key);
        match event {
            Event::Connected => _ = self.talks.insert(key),
            Event::Ended { .. } if self.talks.remove(&key) => {
                self.standing.send_if_modified(|standing| !std::mem::replace(&mut standing.call_completed, true));
            }
            Event::Yielded { to } => {
                if let Some(caller) = self.callers.remove(&key) {
                    self.callers.insert(to, caller);
                }
            }
            Event::Incoming | Event::Dialing | Event::RingBack | Event::Disconnected | Event::Ended { .. } => {}
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

fn origin(sdp: &str) -> Origin {
    Origin { session: sdp::session_id(sdp).map(str::to_owned), version: sdp::session_version(sdp) }
}
