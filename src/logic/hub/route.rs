//! What one client's text leads to: it is relayed, answered, or handed to the hub. Each connection has a [`Reader`] of
//! its own; a message from one client to another passes through here and nowhere else, whatever the number of members.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::bucket::{Bucket, Rate, Verdict};
use super::callers::Begun;
use super::directory::Directory;
use super::permit::{Permit, permit};
use super::refusal::Refusal;
use crate::logic::access::{Pass, Right, Rights};
use crate::logic::websocket::Frame;
use crate::protocol::{
    self, Credential, ErrorCode, Glance, MAX_MALFORMED, MAX_MESSAGE_BYTES, Message, PeerInfo, Token, Topic, UserId,
    Visit, accepts, close,
};

/// The way to one client, as the shell provides it.
pub trait Line {
    /// Takes a frame from another client. `false`: too much waits for this one already, and the frame is dropped.
    fn relay(&self, frame: Frame) -> bool;
}

/// What is to be done about a text.
#[derive(Debug)]
pub enum Step {
    /// Nothing more.
    Done,
    /// Tell the sender.
    Answer(Frame),
    /// Tell the hub, and read no further text of this client before [`Reader::settled`].
    Ask(Request),
    /// Tell the sender, if there is something to tell, and close the connection.
    Close { last: Option<Frame>, code: u16, reason: &'static str },
}

/// What only the hub can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Join {
        peer: PeerInfo,
        /// The client takes changes of presence as lists.
        lists: bool,
        /// By a client that hopes to be let in for it.
        shown: Option<Shown>,
    },
    /// The text of a `leave` that names nobody.
    Leave(String),
    /// A device's word on a visit, for all whom it rings.
    Visit(Visit),
}

/// What a client shows to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    Token(Token),
    Credential(Credential),
}

/// Who a connection is, from the hub's answer on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub id: UserId,
    pub pass: Arc<Pass>,
}

/// One connection's side of the relay.
#[derive(Debug)]
pub struct Reader {
    member: Option<Member>,
    messages: Bucket,
    /// Of frames without a text.
    frames: Bucket,
    joins: Bucket,
    visits: Bucket,
    malformed: u32,
}

#[derive(Debug)]
struct Member {
    id: UserId,
    /// The ID as JSON writes it.
    json: Box<str>,
    pass: Arc<Pass>,
    begun: Begun,
}

impl Reader {
    pub fn new(now: Instant) -> Reader {
        Reader {
            member: None,
            messages: Bucket::new(Rate::MESSAGES, now),
            frames: Bucket::new(Rate::MESSAGES, now),
            joins: Bucket::new(Rate::JOINS, now),
            visits: Bucket::new(Rate::VISITS, now),
            malformed: 0,
        }
    }

    /// The hub has answered: the connection is this member's from now on, or nobody's.
    pub fn settled(&mut self, member: Option<Standing>) {
        self.member = member.map(|Standing { id, pass }| Member {
            json: json(id.as_str()).into(),
            id,
            pass,
            begun: Begun::default(),
        });
    }

    /// Takes note of a ping, a pong or a piece of a message. `false`: it is one too many, and needs no answer. `Err`: there
    /// were so many that the connection is to be closed.
    pub fn heed(&mut self, now: Instant) -> Result<bool, (u16, &'static str)> {
        match self.frames.take(now) {
            Verdict::Accept => Ok(true),
            Verdict::Refuse => Ok(false),
            Verdict::Abuse => Err((close::POLICY, "too many frames")),
        }
    }

    /// Reads a text frame of at most [`MAX_MESSAGE_BYTES`].
    pub fn read<L: Line>(&mut self, text: &str, directory: &Directory<L>, now: Instant) -> Step {
        match self.messages.take(now) {
            Verdict::Accept => {}
            Verdict::Refuse => {
                let message = format!("more than {} messages a second", protocol::MESSAGE_RATE);
                return Step::Answer(Refusal::new(ErrorCode::RateLimited, message).frame());
            }
            Verdict::Abuse => return Step::Close { last: None, code: close::POLICY, reason: "too many messages" },
        }
        if let Some(member) = &mut self.member
            && let Some(glance) = protocol::glance(text)
            && let Some(step) = member.pass(text, &glance, directory, now)
        {
            return step;
        }
        self.read_in_full(text, directory, now)
    }

    fn read_in_full<L: Line>(&mut self, text: &str, directory: &Directory<L>, now: Instant) -> Step {
        let result = match protocol::parse(text) {
            Ok((message, value)) => self.obey(message, value, text, directory, now),
            Err(error) => Err(error.into()),
        };
        let refusal = match result {
            Ok(step) => return step,
            // An error is never answered with an error: two programs could go on for ever.
            Err(refusal) if refusal.kind.as_deref() == Some("error") => return Step::Done,
            Err(refusal) => refusal,
        };
        self.malformed += match refusal.code {
            ErrorCode::BadMessage | ErrorCode::BadField => 1,
            ErrorCode::UnknownType
            | ErrorCode::NotJoined
            | ErrorCode::AlreadyJoined
            | ErrorCode::IdTaken
            | ErrorCode::Unauthorized
            | ErrorCode::Forbidden
            | ErrorCode::UnknownTarget
            | ErrorCode::RateLimited
            | ErrorCode::ServerFull
            | ErrorCode::BadSdp
            | ErrorCode::BadCandidate
            | ErrorCode::UnexpectedAnswer
            | ErrorCode::Unverified
            | ErrorCode::Other => 0,
        };
        let frame = refusal.frame();
        match self.malformed > MAX_MALFORMED {
            true => Step::Close { last: Some(frame), code: close::POLICY, reason: "too many malformed messages" },
            false => Step::Answer(frame),
        }
    }

    fn obey<L: Line>(
        &mut self,
        message: Message,
        value: Value,
        text: &str,
        directory: &Directory<L>,
        now: Instant,
    ) -> Result<Step, Refusal> {
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match (message, &mut self.member) {
            (Message::Join { user_id, name, kind: sort, accepts, token, credential }, _) => {
                let shown = credential.map(|shown| Shown::Credential(*shown)).or(token.map(Shown::Token));
                self.join(PeerInfo { user_id, name: name.unwrap_or_default(), kind: sort }, &accepts, shown, now)
            }
            (Message::Ping { nonce }, _) => Ok(Step::Answer(Frame::text(&Message::Pong { nonce }.to_text()))),
            (Message::Joined { .. } | Message::Presence { .. } | Message::Peers { .. } | Message::Pong { .. }, _) => {
                let message = format!("only the server sends {kind:?}");
                Err(Refusal { kind: Some(kind), ..Refusal::new(ErrorCode::UnknownType, message) })
            }
            // An error is never answered with an error: two programs could go on for ever.
            (Message::Error { code, target_id: Some(target), .. }, Some(member)) if is_a_peers(code) => {
                let _ = member.send(Letter { topic: None, target, value, kind, call_id: None }, directory, now);
                Ok(Step::Done)
            }
            // Without a target, without a sender, or with a code that only a server may speak: it would end the
            // registration of whoever takes it for the server's.
            (Message::Error { .. }, _) => Ok(Step::Done),
            (Message::Leave { target_id: None, .. }, Some(_)) => Ok(Step::Ask(Request::Leave(text.to_owned()))),
            (
                Message::Offer { .. }
                | Message::Answer { .. }
                | Message::Proof { .. }
                | Message::Candidate { .. }
                | Message::Ringing { .. }
                | Message::Visit { .. }
                | Message::Attend { .. }
                | Message::Leave { .. },
                None,
            ) => Err(Refusal { kind: Some(kind), ..Refusal::new(ErrorCode::NotJoined, "join first") }),
            (Message::Offer { target_id: target, call_id, .. }, Some(member)) => {
                member.send(Letter { topic: Some(Topic::Offer), target, value, kind, call_id }, directory, now)
            }
            (Message::Answer { target_id: target, call_id, .. }, Some(member)) => {
                member.send(Letter { topic: Some(Topic::Answer), target, value, kind, call_id }, directory, now)
            }
            (Message::Proof { target_id: target, call_id, .. }, Some(member)) => {
                member.send(Letter { topic: Some(Topic::Proof), target, value, kind, call_id }, directory, now)
            }
            (Message::Candidate { target_id: target, call_id, .. }, Some(member)) => {
                member.send(Letter { topic: Some(Topic::Candidate), target, value, kind, call_id }, directory, now)
            }
            (Message::Ringing { target_id: target, call_id, .. }, Some(member)) => {
                member.send(Letter { topic: Some(Topic::Ringing), target, value, kind, call_id }, directory, now)
            }
            (Message::Visit { target_id: None, visit, .. }, Some(_)) => match self.visits.take(now) {
                Verdict::Accept => Ok(Step::Ask(Request::Visit(visit))),
                Verdict::Refuse | Verdict::Abuse => {
                    let refusal = Refusal::new(ErrorCode::RateLimited, "too many words on visits");
                    Err(Refusal { kind: Some(kind), ..refusal })
                }
            },
            (Message::Visit { target_id: Some(target), .. }, Some(member)) => {
                member.send(Letter { topic: Some(Topic::Visit), target, value, kind, call_id: None }, directory, now)
            }
            (Message::Attend { target_id: target, .. }, Some(member)) => {
                member.send(Letter { topic: Some(Topic::Attend), target, value, kind, call_id: None }, directory, now)
            }
            (Message::Leave { target_id: Some(target), call_id, .. }, Some(member)) => {
                member.send(Letter { topic: Some(Topic::Leave), target, value, kind, call_id }, directory, now)
            }
        }
    }

    fn join(
        &mut self,
        mut peer: PeerInfo,
        accepted: &[String],
        shown: Option<Shown>,
        now: Instant,
    ) -> Result<Step, Refusal> {
        let refusal = |code, message: String| Refusal { kind: Some("join".to_owned()), ..Refusal::new(code, message) };
        if let Verdict::Refuse | Verdict::Abuse = self.joins.take(now) {
            return Err(refusal(ErrorCode::RateLimited, "too many joins on one connection".to_owned()));
        }
        if let Some(current) = self.member.as_ref().map(|member| &member.id).filter(|id| **id != peer.user_id) {
            let message = format!("this connection has joined as {current}; leave first");
            return Err(refusal(ErrorCode::AlreadyJoined, message));
        }
        if peer.name.trim().is_empty() {
            peer.name = peer.user_id.to_string();
        }
        let lists = accepted.iter().any(|word| word == accepts::PEERS);
        Ok(Step::Ask(Request::Join { peer, lists, shown }))
    }
}

impl Member {
    /// Relays a message that was only glanced at: the sender's text with its true ID in it. `None`: something is unusual.
    fn pass<L: Line>(&mut self, text: &str, glance: &Glance, directory: &Directory<L>, now: Instant) -> Option<Step> {
        if glance.target == self.id.as_str() {
            return None;
        }
        let head = text.get(..glance.inside)?;
        let rest = match &glance.user {
            Some(span) if text.get(span.clone())? == &*self.json => [text.get(glance.inside..)?, "", "", ""],
            Some(span) => {
                // Somebody else's ID is replaced; what is no ID at all is refused by those who read in full.
                serde_json::from_str::<Option<UserId>>(text.get(span.clone())?).ok()?;
                [text.get(glance.inside..span.start)?, &self.json, text.get(span.end..)?, ""]
            }
            None => ["\"userId\":", &self.json, ",", text.get(glance.inside..)?],
        };
        // Whom and what it was about where it does not pass, its sender is told by those who read in full.
        let taken = directory.with(&glance.target, |target, to| {
            let rights = match permit(Some(glance.topic), &self.pass, &to.pass) {
                Permit::Relay(None) => String::new(),
                Permit::Relay(Some(rights)) => format!("\"rights\":{},", as_list(rights)),
                Permit::Forbidden | Permit::Unseen => return false,
            };
            let [a, b, c, d] = rest;
            let parts = [head, &rights, a, b, c, d];
            if parts.iter().map(|part| part.len()).sum::<usize>() > MAX_MESSAGE_BYTES {
                return false;
            }
            // Nothing is taken where it is one too many, and nothing is lost by asking once more in full.
            if glance.topic == Topic::Offer
                && !directory.callers().may_offer(&self.pass, &mut self.begun, target, glance.call.as_deref(), now)
            {
                return false;
            }
            note(glance.topic, &self.id, target, directory);
            to.line.relay(Frame::joined(&parts.map(str::as_bytes)))
        })?;
        taken.then_some(Step::Done)
    }

    /// Relays a message that was read in full.
    fn send<L: Line>(&mut self, letter: Letter, directory: &Directory<L>, now: Instant) -> Result<Step, Refusal> {
        let Letter { topic, target, value, kind, call_id } = letter;
        let refusal = |code, message: String| Refusal {
            kind: Some(kind),
            target: Some(target.clone()),
            call_id: call_id.clone(),
            ..Refusal::new(code, message)
        };
        if target == self.id {
            return Err(refusal(ErrorCode::BadField, "targetId is your own ID".to_owned()));
        }
        // The end of a call is told, whatever has become of the rights to it; and it ends for those who are off line too.
        let ends = topic == Some(Topic::Leave) && directory.calls().remove(&self.id, &target);
        let sent = directory.with(target.as_str(), |target, to| {
            let rights = match permit(topic, &self.pass, &to.pass) {
                Permit::Relay(rights) => rights,
                Permit::Unseen if ends => None,
                Permit::Forbidden => return Sent::Forbidden,
                Permit::Unseen => return Sent::ToNobody,
            };
            let Some(frame) = addressed(value, &self.id, target, rights) else { return Sent::TooLong };
            if topic == Some(Topic::Offer)
                && !directory.callers().may_offer(&self.pass, &mut self.begun, target, call_id.as_deref(), now)
            {
                return Sent::TooOften;
            }
            if let Some(topic) = topic {
                note(topic, &self.id, target, directory);
            }
            if to.line.relay(frame) { Sent::Taken } else { Sent::Dropped }
        });
        // Whom the sender may not know of is as good as off line, to the word.
        match sent.unwrap_or(Sent::ToNobody) {
            Sent::Taken => Ok(Step::Done),
            Sent::Dropped => {
                let message = format!("{target} does not read fast enough; this message was dropped");
                Err(refusal(ErrorCode::RateLimited, message))
            }
            Sent::TooOften => {
                let message = format!(
                    "you have called too often; one call more is possible every {} seconds",
                    protocol::CALL_PAUSE.as_secs()
                );
                Err(refusal(ErrorCode::RateLimited, message))
            }
            Sent::TooLong => {
                let message = format!("with the sender's ID the message has more than {MAX_MESSAGE_BYTES} bytes");
                Err(refusal(ErrorCode::BadField, message))
            }
            Sent::Forbidden => Err(refusal(ErrorCode::Forbidden, format!("you may not call {target}"))),
            Sent::ToNobody => Err(refusal(ErrorCode::UnknownTarget, format!("{target} is not online"))),
        }
    }
}

/// A message from one client to another that was read in full.
struct Letter {
    /// None for an error.
    topic: Option<Topic>,
    target: UserId,
    value: Value,
    kind: String,
    call_id: Option<String>,
}

/// What became of it.
enum Sent {
    Taken,
    /// The reader takes no more.
    Dropped,
    TooLong,
    /// Its sender has called too often.
    TooOften,
    Forbidden,
    ToNobody,
}

/// Keeps the record of calls.
fn note<L>(topic: Topic, from: &UserId, to: &UserId, directory: &Directory<L>) {
    match topic {
        Topic::Offer | Topic::Answer => directory.calls().add(from, to),
        Topic::Leave => _ = directory.calls().remove(from, to),
        Topic::Proof | Topic::Candidate | Topic::Ringing | Topic::Visit | Topic::Attend => {}
    }
}

/// A message with its sender's and its reader's IDs in it, and of rights what the server says. `None`: that makes it too
/// long.
pub(super) fn addressed(mut value: Value, from: &UserId, to: &UserId, rights: Option<Rights>) -> Option<Frame> {
    if let Some(object) = value.as_object_mut() {
        object.insert("userId".to_owned(), Value::from(from.as_str()));
        object.insert("targetId".to_owned(), Value::from(to.as_str()));
        object.remove("rights");
        if let Some(rights) = rights {
            object.insert("rights".to_owned(), rights.iter().map(Right::name).collect());
        }
    }
    let text = value.to_string();
    (text.len() <= MAX_MESSAGE_BYTES).then(|| Frame::text(&text))
}

/// Rights as JSON writes them.
fn as_list(rights: Rights) -> String {
    // Words only: there is nothing in it that JSON cannot say.
    serde_json::to_string(&rights).unwrap_or_else(|_| "[]".to_owned())
}

/// A text as JSON writes it.
pub(super) fn json(text: &str) -> String {
    Value::from(text).to_string()
}

/// Whether a peer may say that code to another.
fn is_a_peers(code: ErrorCode) -> bool {
    match code {
        ErrorCode::BadSdp
        | ErrorCode::BadCandidate
        | ErrorCode::UnexpectedAnswer
        | ErrorCode::Unverified
        | ErrorCode::Other => true,
        ErrorCode::BadMessage
        | ErrorCode::UnknownType
        | ErrorCode::BadField
        | ErrorCode::NotJoined
        | ErrorCode::AlreadyJoined
        | ErrorCode::IdTaken
        | ErrorCode::Unauthorized
        | ErrorCode::Forbidden
        | ErrorCode::UnknownTarget
        | ErrorCode::RateLimited
        | ErrorCode::ServerFull => false,
    }
}
