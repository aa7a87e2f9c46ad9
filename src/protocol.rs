//! Every message on the signaling WebSocket and every limit of it, on one page. docs/protocol.md tells the same story
//! with examples; `web/protocol.js` is the browser's side of it.
//!
//! Messages are JSON objects in text frames, camelCase, tagged by `type`. Five of them make a call through any relay
//! that forwards them to `targetId` and ignores the rest: [`join`](Message::Join), [`offer`](Message::Offer),
//! [`answer`](Message::Answer), [`candidate`](Message::Candidate) and [`leave`](Message::Leave). The others are
//! what Callbox's own server and clients add. Unknown fields are ignored and relayed untouched.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of what Callbox adds to the five basic messages; `joined` carries it.
pub const VERSION: u32 = 1;

/// Longest text frame in bytes, both ways. Longer ones close the connection with [`close::TOO_BIG`].
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest user ID in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 64;
/// Longest display name in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 128;
/// Longest call ID in bytes.
pub const MAX_CALL_ID_BYTES: usize = 64;
/// Most candidates a peer may send for one call; further ones are ignored.
pub const MAX_CANDIDATES: usize = 50;
/// Longest candidate in bytes: its line, `sdpMid` and `usernameFragment` together.
pub const MAX_CANDIDATE_BYTES: usize = 1024;
/// Messages a client may send in a burst before it is slowed down; beyond it each answers `rateLimited`.
pub const MESSAGE_BURST: u32 = 200;
/// Messages a second a client may send on average.
pub const MESSAGE_RATE: u32 = 50;
/// Messages a client may go on to send in spite of `rateLimited` before [`close::POLICY`].
pub const MAX_RATE_LIMITED: u32 = 3 * MESSAGE_BURST;
/// Malformed messages (`badMessage`, `badField`) a connection may send before [`close::POLICY`].
pub const MAX_MALFORMED: u32 = 50;
/// The server pings a silent connection after this long and cuts it when the same time passes again without a sign.
pub const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long an unanswered call rings.
pub const RING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the media connection may take to come up after the answer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the holder of an ID has to show life when another client claims the ID.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// WebSocket close codes (RFC 6455, section 7.4; 4000 and up are ours).
pub mod close {
    /// The server is shutting down: reconnect with backoff.
    pub const GOING_AWAY: u16 = 1001;
    /// The frames break RFC 6455.
    pub const PROTOCOL: u16 = 1002;
    /// Only text frames are understood.
    pub const UNSUPPORTED: u16 = 1003;
    /// The text was not UTF-8.
    pub const INVALID: u16 = 1007;
    /// The client went on after `rateLimited`, or sent too many malformed messages.
    pub const POLICY: u16 = 1008;
    /// The message was longer than [`super::MAX_MESSAGE_BYTES`].
    pub const TOO_BIG: u16 = 1009;
    /// The server is full: try again later.
    pub const TRY_LATER: u16 = 1013;
    /// Another connection took over this ID, since this one no longer showed life.
    pub const REPLACED: u16 = 4000;
    /// The client did not read what was sent to it.
    pub const TOO_SLOW: u16 = 4001;
}

/// Who somebody is at the signaling server: 1 to [`MAX_ID_BYTES`] bytes, no control characters, no spaces at the ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

impl UserId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        match text.trim() == text && (1..=MAX_ID_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
            true => Ok(UserId(text)),
            false => Err(InvalidId),
        }
    }
}

impl std::str::FromStr for UserId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.to_owned().try_into()
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> String {
        id.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ID has 1 to 64 bytes, no control characters, and no spaces at its ends")]
pub struct InvalidId;

/// What sits behind a user ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Device,
    #[default]
    #[serde(other)]
    Person,
}

/// A description as the browser's `RTCSessionDescription` writes it: `{type, sdp}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    #[serde(rename = "type")]
    pub kind: String,
    pub sdp: String,
}

/// A candidate as the browser's `RTCIceCandidate` writes it. An empty `candidate` ends the candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    pub candidate: String,
    #[serde(default)]
    pub sdp_mid: Option<String>,
    #[serde(default)]
    pub sdp_m_line_index: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

impl Candidate {
    /// Bytes of all its text.
    fn len(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.candidate.len() + optional(&self.sdp_mid) + optional(&self.username_fragment)
    }
}

/// One entry of the browser's `RTCConfiguration.iceServers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// Somebody who is online.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    pub user_id: UserId,
    /// Display name; the ID where none was given.
    pub name: String,
    pub kind: Kind,
}

/// Why a call ended, as told to the other side in `leave`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Somebody hung up a call, or gave up calling.
    Hangup,
    /// The callee said no.
    Declined,
    /// The callee has as many calls as it takes.
    Busy,
    /// Nobody answered within [`RING_TIMEOUT`].
    NoAnswer,
    /// The media connection did not come up, or broke.
    Failed,
    /// A newer call with the same person took this one's place.
    Replaced,
    /// The program is ending.
    Shutdown,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

/// Stable codes of `error`; the text beside a code is for people and may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorCode {
    /// Not JSON, not an object, or without a `type` string.
    BadMessage,
    /// A `type` nobody here knows.
    UnknownType,
    /// A field is missing or has the wrong type or an impossible value.
    BadField,
    /// Anything but `join` before `join`.
    NotJoined,
    /// A second `join` under another ID on one connection.
    AlreadyJoined,
    /// The ID belongs to another live connection.
    IdTaken,
    /// Nobody of that ID is online.
    UnknownTarget,
    /// More messages than [`MESSAGE_RATE`] allows; this one was dropped.
    RateLimited,
    /// The server holds as many connections as it takes.
    ServerFull,
    /// The offer or answer cannot be used; the text says why.
    BadSdp,
    /// The candidate cannot be used.
    BadCandidate,
    /// An answer to no offer.
    UnexpectedAnswer,
    /// A code that this version does not know.
    #[serde(other)]
    Other,
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// Every message. `user_id` is the sender: each client writes its own, Callbox's server overwrites it with the ID the
/// connection joined under, so that it cannot be forged. `call_id` tells the calls of one pair apart; basic clients
/// leave it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Message {
    /// First message of a connection: I am `userId`.
    Join {
        user_id: UserId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default)]
        kind: Kind,
    },
    /// Callbox's server to the joiner. No client depends on it.
    Joined {
        user_id: UserId,
        version: u32,
        /// Everybody else who is online, sorted by ID.
        peers: Vec<PeerInfo>,
        ice_servers: Vec<IceServer>,
    },
    /// Callbox's server to all: somebody came, went, or changed name.
    Presence { peer: PeerInfo, online: bool },
    Offer {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        target_id: UserId,
        offer: Description,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
    },
    Answer {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        target_id: UserId,
        answer: Description,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
    },
    Candidate {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        target_id: UserId,
        /// `null` ends the candidates, as an empty one does.
        candidate: Option<Candidate>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
    },
    /// The callee's side rings: the caller may play the ring-back tone.
    Ringing {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        target_id: UserId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
    },
    /// With `targetId`: the call with that user is over, or declined (`reason`). Without: the sender leaves signaling
    /// altogether; Callbox's server then tells everybody the sender was in a call with.
    Leave {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_id: Option<UserId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
    },
    /// Something sent was not accepted. From the server, or (`userId`, `targetId`) from a peer.
    Error {
        code: ErrorCode,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        /// From the server with `unknownTarget`: whom the refused message was for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_id: Option<UserId>,
        /// The `type` of the refused message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_reply_to: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
    },
}

/// The `type` strings of [`Message`], to tell an unknown type from a malformed message of a known one.
pub const TYPES: [&str; 9] =
    ["join", "joined", "presence", "offer", "answer", "candidate", "ringing", "leave", "error"];

/// Why a text frame is not a [`Message`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("not a JSON object with a \"type\" string")]
    NotAMessage,
    #[error("unknown message type {0:?}")]
    UnknownType(String),
    #[error("in {kind:?}: {detail}")]
    BadField { kind: String, detail: String },
}

impl ParseError {
    pub fn code(&self) -> ErrorCode {
        match self {
            ParseError::NotAMessage => ErrorCode::BadMessage,
            ParseError::UnknownType(_) => ErrorCode::UnknownType,
            ParseError::BadField { .. } => ErrorCode::BadField,
        }
    }

    /// The `type` that the refused message claimed.
    pub fn kind(&self) -> Option<&str> {
        match self {
            ParseError::NotAMessage => None,
            ParseError::UnknownType(kind) | ParseError::BadField { kind, .. } => Some(kind),
        }
    }
}

/// Reads one text frame. Also returns the JSON object, so that a relay can forward fields it does not know.
pub fn parse(text: &str) -> Result<(Message, Value), ParseError> {
    let value: Value = serde_json::from_str(text).map_err(|_| ParseError::NotAMessage)?;
    let Some(kind) = value.as_object().and_then(|o| o.get("type")).and_then(Value::as_str) else {
        return Err(ParseError::NotAMessage);
    };
    let kind: String = kind.chars().take(MAX_ID_BYTES).collect();
    if !TYPES.contains(&kind.as_str()) {
        return Err(ParseError::UnknownType(kind));
    }
    let bad = |detail: String| ParseError::BadField { kind: kind.clone(), detail };
    let message = Message::deserialize(&value).map_err(|e| bad(e.to_string()))?;
    message.check().map_err(|detail| bad(detail.to_owned()))?;
    Ok((message, value))
}

impl Message {
    /// The text frame of this message.
    pub fn to_text(&self) -> String {
        // Strings, numbers and lists only: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The limits that types alone do not keep.
    fn check(&self) -> Result<(), &'static str> {
        let call_id = match self {
            Message::Offer { call_id, .. }
            | Message::Answer { call_id, .. }
            | Message::Candidate { call_id, .. }
            | Message::Ringing { call_id, .. }
            | Message::Leave { call_id, .. }
            | Message::Error { call_id, .. } => call_id.as_deref(),
            Message::Join { .. } | Message::Joined { .. } | Message::Presence { .. } => None,
        };
        if call_id.is_some_and(|id| id.is_empty() || id.len() > MAX_CALL_ID_BYTES) {
            return Err("callId has 1 to 64 bytes");
        }
        match self {
            Message::Join { name: Some(name), .. }
                if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) =>
            {
                Err("name has at most 128 bytes and no control characters")
            }
            Message::Candidate { candidate: Some(c), .. } if c.len() > MAX_CANDIDATE_BYTES => {
                Err("a candidate has at most 1024 bytes")
            }
            Message::Offer { offer: d, .. } if d.kind != "offer" => Err("offer.type must be \"offer\""),
            Message::Answer { answer: d, .. } if d.kind != "answer" && d.kind != "pranswer" => {
                Err("answer.type must be \"answer\"")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_browser_sends() {
        let text = r#"{"type":"candidate","userId":"anna","targetId":"door","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"x"}}"#;
        let (message, value) = parse(text).unwrap();
        let Message::Candidate { candidate: Some(c), target_id, .. } = &message else { panic!("{message:?}") };
        assert_eq!((c.sdp_m_line_index, target_id.as_str()), (Some(0), "door"));
        assert_eq!(serde_json::from_str::<Value>(&message.to_text()).unwrap(), value);
    }

    #[test]
    fn every_type_is_listed_and_survives_a_round_trip() {
        let id: UserId = "anna".parse().unwrap();
        let user_id = Some(id.clone());
        let call_id = Some("c1".to_owned());
        let peer = PeerInfo { user_id: id.clone(), name: "Anna".into(), kind: Kind::Device };
        let offer = Description { kind: "offer".into(), sdp: "v=0".into() };
        let answer = Description { kind: "answer".into(), sdp: "v=0".into() };
        let ice = IceServer { urls: vec!["stun:a".into()], username: None, credential: None };
        let target_id = id.clone();
        let messages = [
            Message::Join { user_id: id.clone(), name: Some("Anna".into()), kind: Kind::Person },
            Message::Joined { user_id: id.clone(), version: 1, peers: vec![peer.clone()], ice_servers: vec![ice] },
            Message::Presence { peer, online: true },
            Message::Offer { user_id: None, target_id: target_id.clone(), offer, call_id: call_id.clone() },
            Message::Answer { user_id: user_id.clone(), target_id: target_id.clone(), answer, call_id: None },
            Message::Candidate {
                user_id: user_id.clone(),
                target_id: target_id.clone(),
                candidate: None,
                call_id: None,
            },
            Message::Ringing { user_id: user_id.clone(), target_id: target_id.clone(), call_id: call_id.clone() },
            Message::Leave { user_id, target_id: None, reason: Some(Reason::NoAnswer), call_id: None },
            Message::Error {
                code: ErrorCode::IdTaken,
                message: "taken".into(),
                user_id: None,
                target_id: Some(target_id),
                in_reply_to: Some("join".into()),
                call_id,
            },
        ];
        assert_eq!(messages.len(), TYPES.len());
        for (message, kind) in messages.iter().zip(TYPES) {
            let text = message.to_text();
            assert!(text.contains(&format!("\"type\":\"{kind}\"")), "{text}");
            assert_eq!(&parse(&text).unwrap().0, message);
        }
    }

    #[test]
    fn refuses_with_the_right_code() {
        let code = |text: &str| parse(text).unwrap_err().code();
        for text in ["", "{", "[]", "7", "{}", r#"{"type":7}"#, r#"{"userId":"anna"}"#] {
            assert_eq!(code(text), ErrorCode::BadMessage, "{text}");
        }
        assert_eq!(code(r#"{"type":"dance"}"#), ErrorCode::UnknownType);
        let long = "x".repeat(65);
        for text in [
            r#"{"type":"join"}"#.to_owned(),
            r#"{"type":"join","userId":7}"#.to_owned(),
            r#"{"type":"join","userId":""}"#.to_owned(),
            r#"{"type":"join","userId":" a"}"#.to_owned(),
            r#"{"type":"join","userId":"a\u0000"}"#.to_owned(),
            format!(r#"{{"type":"join","userId":"{long}"}}"#),
            r#"{"type":"offer","targetId":"door","offer":"v=0"}"#.to_owned(),
            r#"{"type":"offer","targetId":"door","offer":{"type":"answer","sdp":""}}"#.to_owned(),
            format!(r#"{{"type":"leave","targetId":"door","callId":"{long}"}}"#),
            format!(r#"{{"type":"candidate","targetId":"door","candidate":{{"candidate":"{}"}}}}"#, "x".repeat(1025)),
            format!(
                r#"{{"type":"candidate","targetId":"door","candidate":{{"candidate":"","sdpMid":"{}"}}}}"#,
                "x".repeat(1025)
            ),
        ] {
            assert_eq!(code(&text), ErrorCode::BadField, "{text}");
        }
    }

    #[test]
    fn tolerates_what_later_versions_add() {
        let (message, _) = parse(r#"{"type":"leave","targetId":"door","reason":"eaten","mood":"sad"}"#).unwrap();
        assert!(matches!(message, Message::Leave { reason: Some(Reason::Other), .. }));
        let (message, _) = parse(r#"{"type":"join","userId":"x","kind":"robot"}"#).unwrap();
        assert!(matches!(message, Message::Join { kind: Kind::Person, .. }));
    }
}
