//! The one task that owns the hub, and what the connections share with it: the directory of lines, by which they relay
//! without it, and the way to tell it what only it can decide.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::ServerSettings;
use super::authority::Authority;
use super::care::{Care, Finding};
use super::complaints::{Complaints, Places};
use super::line::{End, Ledger, Line, NO_ROOM, TOO_SLOW};
use super::listen::Tasks;
use crate::base::task::answers;
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Directory, Hub, HubSettings, Input, Origin, Output};
use crate::protocol::{IceServer, Kind, close};

/// Questions from around the server; when full, whoever asks waits.
const QUESTIONS: usize = 4;
/// Events taken in one turn, before the status is told.
const TURN: usize = 256;
/// How often all lines are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// When the hub waits for nothing.
const FAR: Duration = Duration::from_secs(3600);

/// What all connections share.
pub struct Shared {
    pub directory: Directory<Arc<Line>>,
    /// Without a limit of its own: each connection has at most a handful of events under way (that it is there, one
    /// question, what a token counts for, one sign of life, one frame of presence, that it has gone).
    events: mpsc::UnboundedSender<Event>,
    ledger: Arc<Ledger>,
    next: AtomicU64,
    full: AtomicBool,
}

pub enum Event {
    Connected(Arc<Line>, Origin, Pass),
    Hub(Input),
}

enum Question {
    /// Answered at once.
    Ping(oneshot::Sender<()>),
    IceServers(Vec<IceServer>),
}

/// What the process around the server asks of it while it runs; cheap to clone. It keeps no server alive.
#[derive(Clone)]
pub struct ServerHandle {
    questions: mpsc::Sender<Question>,
    status: watch::Receiver<String>,
}

impl ServerHandle {
    /// One line on who is online, and its changes.
    pub fn status(&self) -> watch::Receiver<String> {
        self.status.clone()
    }

    /// Whether the server works. Takes seconds where it does not.
    pub async fn answers(&self) -> bool {
        answers(&self.questions, Question::Ping).await
    }

    /// Resolves when the server has ended, by itself or since it was told to. Without it nobody can call, and the process
    /// has lost its purpose.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut status = self.status.clone();
        async move { while status.changed().await.is_ok() {} }
    }

    /// Hands these to everybody who joins from now on.
    pub async fn set_ice_servers(&self, servers: Vec<IceServer>) {
        // Fails when the server is ending, and then nobody joins any more.
        let _ = self.questions.send(Question::IceServers(servers)).await;
    }
}

/// Starts the hub's task.
pub fn start(
    settings: &ServerSettings,
    authority: Box<dyn Authority>,
    complaints: Arc<Complaints>,
    tasks: &Tasks,
) -> (Arc<Shared>, ServerHandle) {
    let (events, inbox) = mpsc::unbounded_channel();
    let (questions, asked) = mpsc::channel(QUESTIONS);
    let (desk, status) = Desk::open(settings, authority, complaints, events);
    let shared = desk.shared.clone();
    tasks.spawn(desk.run(inbox, asked, tasks.clone()));
    (shared, ServerHandle { questions, status })
}

impl Shared {
    /// The line of a new connection, and what counts for it.
    pub fn connect(&self, origin: Origin, pass: Pass) -> Arc<Line> {
        let id = ConnId(self.next.fetch_add(1, Relaxed));
        let line = Arc::new(Line::new(id, self.ledger.clone()));
        if self.events.send(Event::Connected(line.clone(), origin, pass)).is_err() {
            line.close(SHUTDOWN);
        }
        line
    }

    pub fn tell(&self, input: Input) {
        // Fails when the server is ending, and then there is nobody left to tell.
        let _ = self.events.send(Event::Hub(input));
    }

    /// Whether the next client would be refused.
    pub fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }
}

const SHUTDOWN: End = End { code: close::GOING_AWAY, reason: "the server is shutting down", at_once: false };
const SILENT: End = End { code: close::GOING_AWAY, reason: "no sign of life", at_once: true };

/// The hub with the lines that its outputs are for.
struct Desk {
    hub: Hub,
    shared: Arc<Shared>,
    lines: HashMap<ConnId, (Arc<Line>, Care)>,
    authority: Box<dyn Authority>,
    complaints: Arc<Complaints>,
    status: watch::Sender<String>,
    /// When the status was told last, and whether it has changed since.
    told: Option<Instant>,
    stale: bool,
}

impl Desk {
    fn open(
        settings: &ServerSettings,
        authority: Box<dyn Authority>,
        complaints: Arc<Complaints>,
        events: mpsc::UnboundedSender<Event>,
    ) -> (Desk, watch::Receiver<String>) {
        let shared = Arc::new(Shared {
            directory: Directory::default(),
            events,
            ledger: Arc::default(),
            next: AtomicU64::new(0),
            full: AtomicBool::new(false),
        });
        let ServerSettings { ice_servers, max_connections, .. } = settings.clone();
        let hub = Hub::new(&HubSettings { ice_servers, max_connections }, &shared.directory);
        let (tell, status) = watch::channel(describe(&hub));
        let lines = HashMap::new();
        (Desk { hub, shared, lines, authority, complaints, status: tell, told: None, stale: false }, status)
    }

    async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
        mut questions: mpsc::Receiver<Question>,
        until: Tasks,
    ) {
        let mut batch = Vec::with_capacity(TURN);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ledger = self.shared.ledger.clone();
        let stopped = until.stopped();
        tokio::pin!(stopped);
        let far = || tokio::time::Instant::now() + FAR;
        let timer = tokio::time::sleep_until(far());
        tokio::pin!(timer);
        loop {
            // Set back only, never forth: a timer that is set wakes the thread, and one that comes too early costs less.
            if let Some(due) = self.hub.poll_timeout().filter(|due| *due < timer.deadline().into_std()) {
                timer.as_mut().reset(due.into());
            }
            tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(question) = questions.recv() => match question {
                    // Whoever asked may have stopped waiting.
                    Question::Ping(reply) => _ = reply.send(()),
                    Question::IceServers(servers) => self.hub.set_ice_servers(&servers),
                },
                () = ledger.over.notified() => self.relieve(),
                _ = look.tick(), if self.stale || !self.lines.is_empty() => self.look(),
                () = &mut timer => {
                    timer.as_mut().reset(far());
                    // A sign of life that has come in time counts, though it is looked at later.
                    for _ in 0..events.len() {
                        let Ok(event) = events.try_recv() else { break };
                        self.take(event);
                    }
                    self.handle(Input::Timeout);
                }
                _ = events.recv_many(&mut batch, TURN) => {
                    for event in batch.drain(..) {
                        self.take(event);
                    }
                    self.tell_status();
                }
            }
        }
        // Whoever connects from here on finds the queue closed.
        events.close();
        while let Ok(event) = events.try_recv() {
            if let Event::Connected(line, ..) = event {
                line.close(SHUTDOWN);
            }
        }
        self.lines.values().for_each(|(line, _)| line.close(SHUTDOWN));
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Connected(line, origin, pass) => {
                let id = line.id;
                self.lines.insert(id, (line, Care::default()));
                self.handle(Input::Connected(id, origin, pass));
            }
            Event::Hub(input) => {
                if let Input::Gone(id) = input {
                    self.lines.remove(&id);
                }
                self.handle(input);
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.hub.handle(input, Instant::now());
        while let Some(output) = self.hub.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        let line = |id: &ConnId| self.lines.get(id).map(|(line, _)| line);
        match output {
            Output::Send { to, frame, presence } => {
                if let Some(line) = line(&to) {
                    line.send(frame, presence);
                }
            }
            Output::Ping(conn) => {
                if let Some(line) = line(&conn) {
                    line.ask();
                }
            }
            Output::Authorise { conn, user, shown } => self.authority.authorise(conn, user, shown, &self.shared),
            Output::Enter { user, pass, conn } => match line(&conn) {
                Some(line) => self.shared.directory.enter(user, pass, line.clone()),
                // It has gone, and the hub is about to hear it.
                None => self.shared.directory.remove(&user),
            },
            Output::Remove { user } => self.shared.directory.remove(&user),
            Output::Settled { conn, member } => {
                if let Some(line) = line(&conn) {
                    line.settle(member);
                }
            }
            Output::Full(whose) => self.complaints.full(Places::Clients, whose),
            Output::Close { conn, code, reason } => {
                if let Some((line, _)) = self.lines.remove(&conn) {
                    line.close(End { code, reason, at_once: false });
                }
            }
        }
    }

    /// Pings who is silent, and ends who is dead or stuck.
    fn look(&mut self) {
        self.tell_status();
        for (line, care) in self.lines.values_mut() {
            match care.look(line.pulse(), line.waiting() > 0) {
                Finding::Well => {}
                Finding::Silent => line.ping(),
                Finding::Dead => line.close(SILENT),
                Finding::Stalled => cut(line, TOO_SLOW, &self.complaints),
            }
        }
    }

    /// Cuts whoever takes the most, so that the others' messages find room. What those who are being closed still take is no
    /// reason to cut anybody else.
    fn relieve(&mut self) {
        let open = |line: &Arc<Line>| line.takes() > 0 && !line.is_ended();
        let all = self.lines.values().filter(|(line, _)| open(line)).map(|(line, _)| line.takes()).sum();
        let mut excess = self.shared.ledger.excess_of(all);
        while excess > 0 {
            let largest = self.lines.values().filter(|(line, _)| open(line)).max_by_key(|(line, _)| line.takes());
            let Some((line, _)) = largest else { return };
            let id = line.id;
            excess = excess.saturating_sub(line.takes());
            cut(line, if line.held() > line.waiting() { NO_ROOM } else { TOO_SLOW }, &self.complaints);
            self.lines.remove(&id);
            self.handle(Input::Gone(id));
        }
    }

    /// At once after a quiet time, and else with the next look: whoever follows it is woken each time, by every one of
    /// thousands who join at once.
    fn tell_status(&mut self) {
        self.shared.full.store(self.hub.is_full(), Relaxed);
        let now = Instant::now();
        self.stale = self.told.is_some_and(|told| now.saturating_duration_since(told) < LOOK / 2);
        if self.stale {
            return;
        }
        let text = describe(&self.hub);
        let changed = self.status.send_if_modified(|status| {
            let changed = *status != text;
            *status = text;
            changed
        });
        if changed {
            self.told = Some(now);
        }
    }
}

fn cut(line: &Line, end: End, complaints: &Complaints) {
    complaints.cut(line.id, end);
    line.close(end);
}

fn describe(hub: &Hub) -> String {
    let people = match hub.online_as(Kind::Person) {
        0 => "nobody".to_owned(),
        1 => "1 person".to_owned(),
        many => format!("{many} people"),
    };
    match hub.online_as(Kind::Device) {
        0 => format!("{people} online"),
        1 => format!("{people} and 1 device online"),
        many => format!("{people} and {many} devices online"),
    }
}

#[cfg(test)]
use super::authority::NoAuthority;

#[cfg(test)]
impl Desk {
    /// Without its task; what that would be told comes out here.
    fn alone() -> (Desk, watch::Receiver<String>, mpsc::UnboundedReceiver<Event>) {
        let settings = ServerSettings::new(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
        let (events, inbox) = mpsc::unbounded_channel();
        let (desk, status) = Desk::open(&settings, Box::new(NoAuthority), Arc::default(), events);
        (desk, status, inbox)
    }
}

#[cfg(test)]
impl Shared {
    /// Without a hub; what it would be told comes out here.
    pub fn alone() -> (Arc<Shared>, mpsc::UnboundedReceiver<Event>) {
        let (desk, _, inbox) = Desk::alone();
        (desk.shared, inbox)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::server::line::Waiting;

    /// How a line that was cut is closed.
    fn end_of(line: &Line) -> Option<u16> {
        line.take(&mut VecDeque::new()).map(|end| end.code)
    }

    #[test]
    fn those_who_take_the_most_are_cut_until_the_rest_has_room() {
        const MIB: usize = 1024 * 1024;
        let (mut desk, _status, mut inbox) = Desk::alone();
        let lines: Vec<_> = (0..5).map(|_| desk.shared.connect(Origin::Local, Pass::Anybody)).collect();
        while let Ok(event) = inbox.try_recv() {
            desk.take(event);
        }
        let [small, speaks, reads_not, middle, closing] = lines.as_slice() else { unreachable!() };
        small.holds(MIB);
        speaks.holds(14 * MIB);
        reads_not.charge(&Waiting { bytes: vec![0; 13 * MIB].into(), presence: false });
        middle.holds(12 * MIB);
        // It is over for this one, and what it takes is about to be given back.
        closing.holds(20 * MIB);
        closing.close(SHUTDOWN);
        desk.relieve();
        assert_eq!(end_of(speaks), Some(close::TRY_LATER), "it is 8 MiB too much");
        assert_eq!([end_of(reads_not), end_of(middle), end_of(small)], [None; 3]);
        small.holds(8 * MIB);
        desk.relieve();
        assert_eq!(end_of(reads_not), Some(close::TOO_SLOW));
        assert_eq!([end_of(middle), end_of(small)], [None; 2]);
        assert!(!desk.lines.contains_key(&speaks.id) && desk.lines.contains_key(&small.id));
        // What is given back is no reason either.
        lines.iter().for_each(|line| line.over());
        desk.relieve();
    }

    #[tokio::test]
    async fn the_end_of_the_hub_is_heard_even_by_a_panic() {
        let (mut desk, status, _inbox) = Desk::alone();
        let handle = ServerHandle { questions: mpsc::channel(1).0, status };
        let ended = tokio::spawn(handle.ended());
        let hub = tokio::spawn(async move {
            desk.tell_status();
            panic!("on purpose");
        });
        assert!(hub.await.unwrap_err().is_panic());
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it is over").unwrap();
        assert!(!handle.answers().await);
    }
}
