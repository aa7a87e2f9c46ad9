//! One call's connection: a task that owns the peer, carries the studio's pictures and voice to it and its voice to the
//! speaker, and reports to the call machine. Whatever goes wrong in it, a panic included, ends this call alone.
//!
//! Camera and microphone open when the other side has answered a connectivity check and shown who it is, where it has to: a
//! description alone, which anybody can send, switches nothing on.

mod flow;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::flow::{Flow, Piece, Place, next};
use super::studio::{Studio, Viewing, Watcher};
use crate::base::task::sleep_until;
use crate::logic::call::{CallKey, Input};
use crate::logic::picture::fanout::Next;
use crate::logic::picture::pace::KeyBudget;
use crate::media::voice::{CallerStats, CallerVoice};
use crate::net::peer::{CloseReason, Equipment, Peer, PeerError, PeerEvent, PeerSettings, PeerStats};
use crate::net::sdp::NoPicture;
use crate::protocol::{Candidate, ErrorCode, MAX_CANDIDATES};

/// Instructions waiting for the task: every candidate a caller may send, and some. When full the newest is dropped.
const INSTRUCTIONS: usize = MAX_CANDIDATES + 14;
/// Saying goodbye and closing may take this long together.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a session may take to tell its figures.
const STATS_TIMEOUT: Duration = Duration::from_millis(500);

/// Which side of the negotiation we are on.
pub enum Role {
    Answerer { offer: String },
    Offerer,
}

pub enum Instruction {
    /// `to`: what of our equipment is for the other side.
    AcceptAnswer {
        sdp: String,
        to: Equipment,
    },
    Renegotiate {
        sdp: String,
        to: Equipment,
    },
    AddCandidate(Option<Candidate>),
    Stats(oneshot::Sender<SessionStats>),
    Close {
        goodbye: bool,
    },
}

/// One call's figures for `callbox status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionStats {
    pub peer: PeerStats,
    /// Why the other side gets no pictures although it wants them.
    pub sound_only: Option<String>,
    pub voice: Option<CallerStats>,
}

/// Handle of the task. Dropping it ends the connection without a word.
pub struct Session {
    instructions: mpsc::Sender<Instruction>,
    /// Whether media may flow. Beside the instructions, so that it is never lost.
    trust: watch::Sender<bool>,
    /// Whether the other side's voice is for the door: whoever only looks is not heard.
    heard: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Session {
    pub fn start(
        key: CallKey,
        call: String,
        role: Role,
        trusted: bool,
        settings: PeerSettings,
        studio: Arc<Studio>,
        reports: mpsc::Sender<Input>,
    ) -> Session {
        let (instructions, orders) = mpsc::channel(INSTRUCTIONS);
        let trust = watch::Sender::new(trusted);
        let heard = Arc::new(AtomicBool::new(true));
        let ways = Ways { trust: trust.subscribe(), heard: heard.clone() };
        let run = run(key, call.clone(), (role, ways), settings, studio, orders, reports.clone());
        let task = tokio::spawn(async move {
            let end = AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
                log::error!(call; "a call ended in an internal error");
                Some(("internal error".to_owned(), None))
            });
            if let Some((detail, blame)) = end {
                // The machine may be gone already when the program ends.
                drop(reports.send(Input::Closed { key, detail, blame }).await);
            }
        });
        Session { instructions, trust, heard, task }
    }

    /// Whether there was room for it.
    #[must_use]
    pub fn tell(&self, instruction: Instruction) -> bool {
        let told = self.instructions.try_send(instruction).is_ok();
        if !told {
            log::debug!("a call does not keep up with its instructions");
        }
        told
    }

    /// Says whether media may flow, before what is told next.
    pub fn trust(&self, trusted: bool) {
        self.trust.send_replace(trusted);
    }

    /// Says whether the other side is heard at the door.
    pub fn hear(&self, heard: bool) {
        self.heard.store(heard, Ordering::Relaxed);
    }

    pub fn is_trusted(&self) -> bool {
        *self.trust.borrow()
    }

    pub fn instructions(&self) -> mpsc::Sender<Instruction> {
        self.instructions.clone()
    }

    /// Ends the connection and waits until nothing of it is left.
    pub async fn close(mut self, goodbye: bool) {
        let close = async {
            // An error means that the task has ended by itself.
            drop(self.instructions.send(Instruction::Close { goodbye }).await);
            drop((&mut self.task).await);
        };
        if timeout(2 * CLOSE_TIMEOUT, close).await.is_err() {
            log::warn!("a connection did not close in time and was cut");
            self.task.abort();
        }
    }
}

/// What is said beside the instructions.
struct Ways {
    trust: watch::Receiver<bool>,
    heard: Arc<AtomicBool>,
}

/// A session's figures, if it has time to tell them.
pub async fn stats(instructions: &mpsc::Sender<Instruction>) -> Option<SessionStats> {
    let (ask, answer) = oneshot::channel();
    instructions.try_send(Instruction::Stats(ask)).ok()?;
    timeout(STATS_TIMEOUT, answer).await.ok()?.ok()
}

/// Why a session ended by itself: words, and the code of the other side's mistake if it was one. `None`: the machine knows.
type End = Option<(String, Option<ErrorCode>)>;

async fn run(
    key: CallKey,
    call: String,
    (role, Ways { mut trust, heard }): (Role, Ways),
    settings: PeerSettings,
    studio: Arc<Studio>,
    mut orders: mpsc::Receiver<Instruction>,
    reports: mpsc::Sender<Input>,
) -> End {
    let peer = match &role {
        Role::Answerer { offer } => Peer::answer(&settings, offer).await,
        Role::Offerer => Peer::offer(&settings).await,
    };
    let (peer, sdp, events) = match peer {
        Ok(parts) => parts,
        Err(error) => return Some((error.to_string(), error.blame())),
    };
    let keys = KeyBudget::default();
    let allowed = settings.equipment;
    let mut line = Line {
        key,
        call,
        settings,
        allowed,
        peer,
        events,
        studio,
        trusted: *trust.borrow_and_update(),
        heard,
        path: Path::None,
        place: None,
        reports,
        flow: None,
        keys,
        told: Vec::new(),
    };
    let first = match role {
        Role::Answerer { .. } => {
            line.tell_why_no_picture();
            Input::Answered { key, sdp }
        }
        Role::Offerer => Input::Offered { key, sdp },
    };
    line.report(first).await;

    let end = loop {
        tokio::select! {
            biased;
            Ok(()) = trust.changed() => line.trust(*trust.borrow_and_update()),
            order = orders.recv() => match order {
                Some(Instruction::Close { goodbye }) => break Ending::Told { goodbye },
                Some(instruction) => if let Err(end) = line.obey(instruction).await { break end },
                None => break Ending::Told { goodbye: false },
            },
            event = line.events.recv() => match event {
                Some(event) => if let Err(end) = line.hear(event).await { break end },
                None => break Ending::Failed("the connection is gone".into(), None),
            },
            () = sleep_until(line.keys.poll_timeout()) => line.serve_key_frame(),
            piece = next(&mut line.flow) => line.send(piece).await,
        }
    };
    line.end(end).await
}

enum Ending {
    Told {
        goodbye: bool,
    },
    /// The other side closed the connection.
    Left,
    Failed(String, Option<ErrorCode>),
}

/// How far the way to the other side is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    None,
    /// A connectivity check was answered.
    Reached,
    Connected,
}

struct Line {
    key: CallKey,
    /// For the log.
    call: String,
    settings: PeerSettings,
    /// What of our equipment is for the other side.
    allowed: Equipment,
    peer: Peer,
    events: mpsc::Receiver<PeerEvent>,
    studio: Arc<Studio>,
    /// Whether the other side is who it says, or need not show it.
    trusted: bool,
    heard: Arc<AtomicBool>,
    path: Path,
    /// While there is a path, from the time on at which we trust whom it leads to.
    place: Option<Place>,
    reports: mpsc::Sender<Input>,
    flow: Option<Flow>,
    /// What this call may ask of the encoder that all share.
    keys: KeyBudget,
    /// Why the other side gets no pictures, each reason that stands in the log.
    told: Vec<NoPicture>,
}

impl Line {
    async fn report(&self, input: Input) {
        // The machine is gone only when the program ends.
        drop(self.reports.send(input).await);
    }

    async fn obey(&mut self, instruction: Instruction) -> Result<(), Ending> {
        let key = self.key;
        match instruction {
            Instruction::AcceptAnswer { sdp, to } => {
                self.confine(to);
                let accepted = self.peer.accept_answer(&sdp).await;
                accepted.map_err(|e| Ending::Failed(e.to_string(), Some(ErrorCode::BadSdp)))?;
                self.set_viewing();
            }
            Instruction::Renegotiate { sdp, to } => {
                self.confine(to);
                match self.renegotiate(&sdp).await {
                    Ok(sdp) => {
                        self.set_viewing();
                        self.report(Input::Answered { key, sdp }).await;
                    }
                    Err(PeerError::Closed | PeerError::Broken) => {}
                    Err(e) => {
                        self.report(Input::Refused { key, code: ErrorCode::BadSdp, detail: e.to_string() }).await;
                    }
                }
            }
            Instruction::AddCandidate(candidate) => match self.peer.add_candidate(candidate.as_ref()).await {
                Ok(()) | Err(PeerError::Closed | PeerError::Broken) => {}
                Err(e) => {
                    let detail = e.to_string();
                    self.report(Input::Refused { key, code: ErrorCode::BadCandidate, detail }).await;
                }
            },
            Instruction::Stats(reply) => {
                let stats = SessionStats {
                    peer: self.peer.stats().await,
                    sound_only: self.peer.no_picture().map(|why| why.to_string()),
                    voice: self.place.as_ref().and_then(|place| place.speaker.as_ref()).map(CallerVoice::stats),
                };
                // Whoever asked may have stopped waiting.
                drop(reply.send(stats));
            }
            Instruction::Close { goodbye } => return Err(Ending::Told { goodbye }),
        }
        Ok(())
    }

    fn trust(&mut self, trusted: bool) {
        self.trusted = trusted;
        match trusted {
            true => self.begin(),
            false => self.flow = None,
        }
    }

    fn confine(&mut self, to: Equipment) {
        self.allowed = self.settings.equipment.within(to);
        self.peer.confine(to);
    }

    /// Where the other side begins anew with its transport, so does this one.
    async fn renegotiate(&mut self, offer: &str) -> Result<String, PeerError> {
        if !self.peer.is_left_by(offer) {
            return self.peer.renegotiate(offer).await;
        }
        log::info!(call = self.call.as_str(); "the other side changes its transport");
        let settings = PeerSettings { equipment: self.allowed, ..self.settings.clone() };
        let (peer, answer, events) = Peer::answer(&settings, offer).await?;
        (self.peer, self.events, self.flow, self.path) = (peer, events, None, Path::None);
        self.report(Input::Disconnected { key: self.key }).await;
        Ok(answer)
    }

    async fn hear(&mut self, event: PeerEvent) -> Result<(), Ending> {
        let key = self.key;
        match event {
            PeerEvent::Candidate(candidate) => self.report(Input::Found { key, candidate }).await,
            // The camera warms up while DTLS is under way.
            PeerEvent::Reached => {
                self.path = self.path.max(Path::Reached);
                self.begin();
                self.report(Input::Reached { key }).await;
            }
            PeerEvent::Connected => {
                self.path = Path::Connected;
                match self.flow {
                    None => self.begin(),
                    // Back after a gap, of which the other side's decoder knows nothing.
                    Some(_) => self.request_key_frame(),
                }
                self.report(Input::Connected { key }).await;
            }
            PeerEvent::Disconnected => self.report(Input::Disconnected { key }).await,
            PeerEvent::KeyFrameWanted => self.request_key_frame(),
            PeerEvent::Voice(packet) => {
                // Whatever was negotiated: nobody is heard here who may not be.
                if let Some(Place { speaker: Some(speaker), .. }) = &self.place
                    && self.trusted
                    && self.allowed.speaker
                    && self.heard.load(Ordering::Relaxed)
                {
                    speaker.push(packet);
                }
            }
            PeerEvent::Goodbye => self.report(Input::Goodbye { key }).await,
            PeerEvent::Closed(CloseReason::Remote) => return Err(Ending::Left),
            PeerEvent::Closed(CloseReason::Local) => return Err(Ending::Failed("closed here".to_owned(), None)),
            PeerEvent::Closed(CloseReason::Failed(detail)) => return Err(Ending::Failed(detail, None)),
        }
        Ok(())
    }

    /// Opens devices, and lets media flow, as far as there is a path and trust.
    fn begin(&mut self) {
        if !self.trusted || self.path == Path::None {
            return;
        }
        let viewing = self.viewing();
        let place = self.place.get_or_insert_with(|| Place::take(&self.studio, viewing));
        if self.path == Path::Connected && self.flow.is_none() {
            self.flow = Some(Flow { voice: place.guest.listen(), pictures: None });
            self.show();
        }
    }

    /// Tells the studio what was negotiated, and starts or stops the pictures if that changed during the call.
    fn set_viewing(&mut self) {
        self.tell_why_no_picture();
        let viewing = self.viewing();
        if let Some(Place { guest, .. }) = &self.place {
            guest.set_viewing(viewing);
            self.show();
        }
    }

    /// What was negotiated.
    fn viewing(&self) -> Viewing {
        self.peer.pictures().map_or(Viewing::Nothing, Viewing::Level)
    }

    /// Once a call and reason.
    fn tell_why_no_picture(&mut self) {
        if let Some(why) = self.peer.no_picture().filter(|why| !self.told.contains(why)) {
            log::warn!(call = self.call.as_str(); "sound only: {why}");
            self.told.push(why);
        }
    }

    /// Starts or stops the pictures of a call that is connected, as was negotiated.
    fn show(&mut self) {
        let (Some(Place { guest, .. }), Some(flow)) = (&self.place, &mut self.flow) else { return };
        match (&flow.pictures, self.peer.pictures()) {
            (None, Some(_)) => {
                let pictures = guest.watch();
                let wants_key = pictures.wants_key();
                flow.pictures = Some(pictures);
                if wants_key {
                    self.request_key_frame();
                }
            }
            (Some(_), None) => flow.pictures = None,
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    async fn send(&mut self, piece: Piece) {
        match piece {
            // A connection that breaks says so by its events.
            Piece::Voice(packet) => drop(self.peer.send_voice(&packet).await),
            Piece::Picture(Next::Item(unit)) => drop(self.peer.send_video(&unit).await),
            Piece::Picture(Next::Lagged { .. }) => {
                if self.flow.iter().filter_map(|flow| flow.pictures.as_ref()).any(Watcher::wants_key) {
                    self.request_key_frame();
                }
            }
            Piece::Picture(Next::Empty) => {}
        }
    }

    fn request_key_frame(&mut self) {
        if self.keys.ask(Instant::now()) {
            self.pass_on_key_frame();
        }
    }

    /// The time of a request that had to wait has come.
    fn serve_key_frame(&mut self) {
        if self.keys.handle_timeout(Instant::now()) {
            self.pass_on_key_frame();
        }
    }

    fn pass_on_key_frame(&self) {
        if let Some(Place { guest, .. }) = &self.place {
            guest.request_key_frame();
        }
    }

    async fn end(self, ending: Ending) -> End {
        if let Ending::Left = ending {
            self.report(Input::Goodbye { key: self.key }).await;
        }
        let Line { peer, place, .. } = self;
        drop(place);
        let goodbye = matches!(ending, Ending::Told { goodbye: true });
        let close = async {
            if goodbye {
                peer.goodbye().await;
            }
            peer.close().await;
        };
        if timeout(CLOSE_TIMEOUT, close).await.is_err() {
            log::warn!("a connection did not close in time");
        }
        match ending {
            Ending::Told { .. } | Ending::Left => None,
            Ending::Failed(detail, blame) => Some((detail, blame)),
        }
    }
}
