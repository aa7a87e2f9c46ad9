//! The one task that owns the hub, and the bounded queues between it and the connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::ServerSettings;
use super::listen::Tasks;
use crate::base::task::{answers, sleep_until};
use crate::logic::hub::{ConnId, Hub, HubSettings, Input, Output};
use crate::protocol::{IceServer, Kind, close};

/// Events from all connections. When it is full, connections wait, and with them their senders.
const EVENTS: usize = 1024;
/// Frames that wait for one client. A client that lets more pile up does not read: it is cut.
const WAITING_FRAMES: usize = 1024;
/// Bytes that wait for one client; likewise.
const WAITING_BYTES: usize = 256 * 1024;

/// The way to the hub; cheap to clone.
#[derive(Clone)]
pub struct Exchange {
    events: mpsc::Sender<Event>,
    status: watch::Receiver<String>,
    next: Arc<AtomicU64>,
}

enum Event {
    Connected(ConnId, Outbox),
    Hub(Input),
    /// Answered at once.
    Ping(oneshot::Sender<()>),
    IceServers(Vec<IceServer>),
}

/// What the process around the server asks of it while it runs; cheap to clone. It keeps no server alive.
#[derive(Clone)]
pub struct ServerHandle {
    events: mpsc::WeakSender<Event>,
    status: watch::Receiver<String>,
}

impl ServerHandle {
    /// One line on who is online, and its changes.
    pub fn status(&self) -> watch::Receiver<String> {
        self.status.clone()
    }

    /// Whether the server works. Takes seconds where it does not.
    pub async fn answers(&self) -> bool {
        match self.events.upgrade() {
            Some(events) => answers(&events, Event::Ping).await,
            None => false,
        }
    }

    /// Hands these to everybody who joins from now on.
    pub async fn set_ice_servers(&self, servers: Vec<IceServer>) {
        self.tell(Event::IceServers(servers)).await;
    }

    async fn tell(&self, event: Event) -> bool {
        match self.events.upgrade() {
            Some(events) => events.send(event).await.is_ok(),
            None => false,
        }
    }
}

/// One connection's line to the hub.
#[derive(Clone)]
pub struct Line {
    pub id: ConnId,
    events: mpsc::Sender<Event>,
}

/// What waits to be sent to one client.
pub struct Inbox {
    frames: mpsc::Receiver<Frame>,
    waiting: Arc<AtomicUsize>,
    /// The client was cut since it does not read.
    pub cut: Arc<Notify>,
}

pub enum Frame {
    Text(Arc<str>),
    Ping,
    Close { code: u16, reason: &'static str },
}

struct Outbox {
    frames: mpsc::Sender<Frame>,
    waiting: Arc<AtomicUsize>,
    cut: Arc<Notify>,
}

impl Exchange {
    pub fn start(settings: &ServerSettings, tasks: &Tasks) -> Exchange {
        let (events, inbox) = mpsc::channel(EVENTS);
        let hub = Hub::new(HubSettings {
            ice_servers: settings.ice_servers.clone(),
            max_connections: settings.max_connections,
        });
        let (tell, status) = watch::channel(describe(&hub));
        tasks.spawn(run(hub, inbox, tell));
        Exchange { events, status, next: Arc::default() }
    }

    pub fn handle(&self) -> ServerHandle {
        ServerHandle { events: self.events.downgrade(), status: self.status.clone() }
    }

    /// `None` when the server is ending.
    pub async fn connect(&self) -> Option<(Line, Inbox)> {
        let id = ConnId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, frames) = mpsc::channel(WAITING_FRAMES);
        let cut = Arc::new(Notify::new());
        let waiting = Arc::new(AtomicUsize::new(0));
        let outbox = Outbox { frames: sender, waiting: waiting.clone(), cut: cut.clone() };
        self.events.send(Event::Connected(id, outbox)).await.ok()?;
        Some((Line { id, events: self.events.clone() }, Inbox { frames, waiting, cut }))
    }
}

impl Line {
    pub async fn text(&self, text: String) {
        self.tell(Input::Text(self.id, text)).await;
    }

    pub async fn alive(&self) {
        self.tell(Input::Alive(self.id)).await;
    }

    pub async fn gone(&self) {
        self.tell(Input::Gone(self.id)).await;
    }

    async fn tell(&self, input: Input) {
        // Fails when the server is ending, and then there is nobody left to tell.
        let _ = self.events.send(Event::Hub(input)).await;
    }
}

impl Inbox {
    /// `None` once the hub has forgotten the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let frame = self.frames.recv().await?;
        self.waiting.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }
}

impl Frame {
    fn len(&self) -> usize {
        match self {
            Frame::Text(text) => text.len(),
            Frame::Ping | Frame::Close { .. } => 0,
        }
    }
}

impl Outbox {
    /// `Err` when the queue is full or the connection has ended.
    fn push(&self, frame: Frame) -> Result<(), ()> {
        let length = frame.len();
        let waiting = self.waiting.fetch_add(length, Ordering::Relaxed);
        match waiting + length > WAITING_BYTES {
            true => Err(()),
            false => self.frames.try_send(frame).map_err(|_| ()),
        }
    }
}

async fn run(mut hub: Hub, mut events: mpsc::Receiver<Event>, status: watch::Sender<String>) {
    let mut outboxes: HashMap<ConnId, Outbox> = HashMap::new();
    let mut online = hub.online();
    loop {
        let input = tokio::select! {
            event = events.recv() => match event {
                Some(Event::Connected(id, outbox)) => {
                    outboxes.insert(id, outbox);
                    Input::Connected(id)
                }
                Some(Event::Hub(input)) => input,
                Some(Event::Ping(reply)) => {
                    // Whoever asked may have stopped waiting.
                    _ = reply.send(());
                    continue;
                }
                Some(Event::IceServers(servers)) => {
                    hub.set_ice_servers(servers);
                    continue;
                }
                None => return,
            },
            () = sleep_until(hub.poll_timeout()) => Input::Timeout,
        };
        if let Input::Gone(id) = input {
            outboxes.remove(&id);
        }
        hub.handle(input, Instant::now());
        deliver(&mut hub, &mut outboxes);
        let now = hub.online();
        if now != online {
            online = now;
            status.send_replace(describe(&hub));
        }
    }
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

fn deliver(hub: &mut Hub, outboxes: &mut HashMap<ConnId, Outbox>) {
    while let Some(output) = hub.poll_output() {
        let (id, frame) = match output {
            Output::Send { to, text } => (to, Frame::Text(text)),
            Output::Ping(id) => (id, Frame::Ping),
            Output::Close { conn, code, reason } => (conn, Frame::Close { code, reason }),
        };
        let last = matches!(frame, Frame::Close { .. });
        let Some(outbox) = outboxes.get(&id) else { continue };
        let fits = outbox.push(frame).is_ok();
        // A connection that has just ended by itself takes no more either; it is about to say so.
        if !fits && !outbox.frames.is_closed() {
            log::warn!(connection = id.0, code = close::TOO_SLOW; "client does not read and is cut");
            outbox.cut.notify_one();
        }
        if !fits || last {
            outboxes.remove(&id);
            hub.handle(Input::Gone(id), Instant::now());
        }
    }
}
