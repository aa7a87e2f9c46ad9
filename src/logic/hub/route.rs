//! What one client's text leads to: it is relayed, answered, or handed to the hub. Each connection has a [`Reader`] of
//! its own; a message from one client to another passes through here and nowhere else, whatever the number of members.

use std::time::Instant;

use serde_json::Value;

use super::bucket::{Bucket, Rate, Verdict};
use super::directory::Directory;
use super::refusal::Refusal;
use crate::logic::websocket::Frame;
use crate::protocol::{
    self, ErrorCode, Glance, MAX_MALFORMED, MAX_MESSAGE_BYTES, Message, PeerInfo, Topic, UserId, accepts, close,
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
    },
    /// The text of a `leave` that names nobody.
    Leave(String),
}

/// One connection's side of the relay.
#[derive(Debug)]
pub struct Reader {
    member: Option<Member>,
    messages: Bucket,
    /// Of frames without a text.
    frames: Bucket,
    joins: Bucket,
    malformed: u32,
}

#[derive(Debug)]
struct Member {
    id: UserId,
    /// The ID as JSON writes it.
    json: Box<str>,
}

impl Reader {
    pub fn new(now: Instant) -> Reader {
        Reader {
            member: None,
            messages: Bucket::new(Rate::MESSAGES, now),
            frames: Bucket::new(Rate::MESSAGES, now),
            joins: Bucket::new(Rate::JOINS, now),
            malformed: 0,
        }
    }

    /// The hub has answered: the connection is this member's from now on, or nobody's.
    pub fn settled(&mut self, member: Option<UserId>) {
        self.member = member.map(|id| Member { json: json(id.as_str()).into(), id });
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
        if let Some(member) = &self.member
            && let Some(glance) = protocol::glance(text)
            && let Some(step) = member.pass(text, &glance, directory)
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
            | ErrorCode::UnknownTarget
            | ErrorCode::RateLimited
            | ErrorCode::ServerFull
            | ErrorCode::BadSdp
            | ErrorCode::BadCandidate
            | ErrorCode::UnexpectedAnswer
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
        match (message, &self.member) {
            (Message::Join { user_id, name, kind: sort, accepts }, _) => self.join(user_id, name, sort, &accepts, now),
            (Message::Ping { nonce }, _) => Ok(Step::Answer(Frame::text(&Message::Pong { nonce }.to_text()))),
            (Message::Joined { .. } | Message::Presence { .. } | Message::Peers { .. } | Message::Pong { .. }, _) => {
                let message = format!("only the server sends {kind:?}");
                Err(Refusal { kind: Some(kind), ..Refusal::new(ErrorCode::UnknownType, message) })
            }
            // An error is never answered with an error: two programs could go on for ever.
            (Message::Error { code, target_id: Some(target), .. }, Some(member)) if is_a_peers(code) => {
                let _ = member.send(&target, value, kind, None, directory);
                Ok(Step::Done)
            }
            // Without a target, without a sender, or with a code that only a server may speak: it would end the
            // registration of whoever takes it for the server's.
            (Message::Error { .. }, _) => Ok(Step::Done),
            (Message::Leave { target_id: None, .. }, Some(_)) => Ok(Step::Ask(Request::Leave(text.to_owned()))),
            (
                Message::Offer { .. }
                | Message::Answer { .. }
                | Message::Candidate { .. }
                | Message::Ringing { .. }
                | Message::Leave { .. },
                None,
            ) => Err(Refusal { kind: Some(kind), ..Refusal::new(ErrorCode::NotJoined, "join first") }),
            (
                Message::Offer { target_id: target, call_id, .. } | Message::Answer { target_id: target, call_id, .. },
                Some(member),
            ) => {
                if target != member.id && directory.has(target.as_str()) {
                    directory.calls().add(&member.id, &target);
                }
                member.send(&target, value, kind, call_id, directory)
            }
            (
                Message::Candidate { target_id: target, call_id, .. }
                | Message::Ringing { target_id: target, call_id, .. },
                Some(member),
            ) => member.send(&target, value, kind, call_id, directory),
            (Message::Leave { target_id: Some(target), call_id, .. }, Some(member)) => {
                directory.calls().remove(&member.id, &target);
                member.send(&target, value, kind, call_id, directory)
            }
        }
    }

    fn join(
        &mut self,
        user_id: UserId,
        name: Option<String>,
        kind: protocol::Kind,
        accepted: &[String],
        now: Instant,
    ) -> Result<Step, Refusal> {
        let refusal = |code, message: String| Refusal { kind: Some("join".to_owned()), ..Refusal::new(code, message) };
        if let Verdict::Refuse | Verdict::Abuse = self.joins.take(now) {
            return Err(refusal(ErrorCode::RateLimited, "too many joins on one connection".to_owned()));
        }
        if let Some(current) = self.member.as_ref().map(|member| &member.id).filter(|current| **current != user_id) {
            let message = format!("this connection has joined as {current}; leave first");
            return Err(refusal(ErrorCode::AlreadyJoined, message));
        }
        let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| user_id.to_string());
        let lists = accepted.iter().any(|word| word == accepts::PEERS);
        Ok(Step::Ask(Request::Join { peer: PeerInfo { user_id, name, kind }, lists }))
    }
}

impl Member {
    /// Relays a message that was only glanced at: the sender's text with its true ID in it. `None`: something is unusual.
    fn pass<L: Line>(&self, text: &str, glance: &Glance, directory: &Directory<L>) -> Option<Step> {
        if glance.target == self.id.as_str() {
            return None;
        }
        let parts = match &glance.user {
            Some(span) if text.get(span.clone())? == &*self.json => [text, "", "", "", ""],
            Some(span) => {
                // Somebody else's ID is replaced; what is no ID at all is refused by those who read in full.
                serde_json::from_str::<Option<UserId>>(text.get(span.clone())?).ok()?;
                [text.get(..span.start)?, &self.json, text.get(span.end..)?, "", ""]
            }
            None => [text.get(..glance.inside)?, "\"userId\":", &self.json, ",", text.get(glance.inside..)?],
        };
        if parts.iter().map(|part| part.len()).sum::<usize>() > MAX_MESSAGE_BYTES {
            return None;
        }
        let taken = directory.with(&glance.target, |target, line| {
            match glance.topic {
                Topic::Offer | Topic::Answer => directory.calls().add(&self.id, target),
                Topic::Leave => directory.calls().remove(&self.id, target),
                Topic::Candidate | Topic::Ringing => {}
            }
            line.relay(Frame::joined(&parts.map(str::as_bytes)))
        })?;
        match taken {
            true => Some(Step::Done),
            // Whom and what it was about, its sender is told by those who read in full.
            false => None,
        }
    }

    /// Relays a message that was read in full.
    fn send<L: Line>(
        &self,
        target: &UserId,
        value: Value,
        kind: String,
        call_id: Option<String>,
        directory: &Directory<L>,
    ) -> Result<Step, Refusal> {
        let refusal = move |code, message: String| Refusal {
            kind: Some(kind),
            target: Some(target.clone()),
            call_id,
            ..Refusal::new(code, message)
        };
        if *target == self.id {
            return Err(refusal(ErrorCode::BadField, "targetId is your own ID".to_owned()));
        }
        if !directory.has(target.as_str()) {
            return Err(refusal(ErrorCode::UnknownTarget, format!("{target} is not online")));
        }
        let Some(frame) = addressed(value, &self.id, target) else {
            let message = format!("with the sender's ID the message has more than {MAX_MESSAGE_BYTES} bytes");
            return Err(refusal(ErrorCode::BadField, message));
        };
        match directory.with(target.as_str(), |_, line| line.relay(frame)) {
            Some(true) => Ok(Step::Done),
            Some(false) => {
                let message = format!("{target} does not read fast enough; this message was dropped");
                Err(refusal(ErrorCode::RateLimited, message))
            }
            None => Err(refusal(ErrorCode::UnknownTarget, format!("{target} is not online"))),
        }
    }
}

/// A message with its sender's and its reader's IDs in it. `None`: that makes it too long.
pub(super) fn addressed(mut value: Value, from: &UserId, to: &UserId) -> Option<Frame> {
    if let Some(object) = value.as_object_mut() {
        object.insert("userId".to_owned(), Value::from(from.as_str()));
        object.insert("targetId".to_owned(), Value::from(to.as_str()));
    }
    let text = value.to_string();
    (text.len() <= MAX_MESSAGE_BYTES).then(|| Frame::text(&text))
}

/// A text as JSON writes it.
pub(super) fn json(text: &str) -> String {
    Value::from(text).to_string()
}

/// Whether a peer may say that code to another.
fn is_a_peers(code: ErrorCode) -> bool {
    match code {
        ErrorCode::BadSdp | ErrorCode::BadCandidate | ErrorCode::UnexpectedAnswer | ErrorCode::Other => true,
        ErrorCode::BadMessage
        | ErrorCode::UnknownType
        | ErrorCode::BadField
        | ErrorCode::NotJoined
        | ErrorCode::AlreadyJoined
        | ErrorCode::IdTaken
        | ErrorCode::UnknownTarget
        | ErrorCode::RateLimited
        | ErrorCode::ServerFull => false,
    }
}
