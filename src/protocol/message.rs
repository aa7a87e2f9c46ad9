//! The messages themselves.

use serde::{Deserialize, Deserializer, Serialize};

use super::rights::{self, Grants, Rights, Role};
use super::{Attendance, Credential, Doing, Identity, Signature, Token, UserId, Visit, VisitId};
use crate::base::unseen::without_unseen;

/// What sits behind a user ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Device,
    #[default]
    #[serde(other)]
    Person,
}

/// Words in `accepts` of `join`; a server ignores those it does not know.
pub mod accepts {
    /// Changes of presence as [`super::Message::Peers`] instead of one [`super::Message::Presence`] each.
    pub const PEERS: &str = "peers";
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
    pub(super) fn len(&self) -> usize {
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
    #[serde(deserialize_with = "name_as_seen")]
    pub name: String,
    pub kind: Kind,
}

/// What the household's server knows of a person who joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct You {
    pub name: String,
    pub role: Role,
    pub rights: Grants,
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
    /// Nobody answered within [`super::RING_TIMEOUT`].
    NoAnswer,
    /// The media connection did not come up, or broke.
    Failed,
    /// A newer call with the same person took this one's place.
    Replaced,
    /// The program is ending.
    Shutdown,
    /// From the server: what one of the two may do has been taken back.
    Revoked,
    /// The other side is not who it says, or does not show it.
    Unverified,
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
    /// An invitation or a token is needed to join, or to join under that ID.
    Unauthorized,
    /// The one who is called may not be called by the sender.
    Forbidden,
    /// Nobody of that ID is online, or nobody that the sender may know of.
    UnknownTarget,
    /// More messages than [`super::MESSAGE_RATE`] allows; this one was dropped.
    RateLimited,
    /// The server holds as many connections as it takes.
    ServerFull,
    /// The offer or answer cannot be used; the text says why.
    BadSdp,
    /// The candidate cannot be used.
    BadCandidate,
    /// An answer to no offer.
    UnexpectedAnswer,
    /// The callee takes calls of those only who show who they are.
    Unverified,
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
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_name_as_seen")]
        name: Option<String>,
        #[serde(default)]
        kind: Kind,
        /// What the client takes beyond the basic messages; see [`accepts`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        accepts: Vec<String>,
        /// What lets the client in, where its connection says nothing of who it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Token>,
        /// The same for a device that has a key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<Box<Credential>>,
    },
    /// Callbox's server to the joiner. No client depends on it.
    Joined {
        user_id: UserId,
        version: u32,
        /// Everybody else who is online, sorted by ID.
        peers: Vec<PeerInfo>,
        ice_servers: Vec<IceServer>,
        /// Who the joiner is to the household, where it is a person known to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        you: Option<You>,
        /// The household's word that the joiner's key is the joiner's, to be shown in calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vouch: Option<Signature>,
    },
    /// Callbox's server to all: somebody came, went, or changed name.
    Presence { peer: PeerInfo, online: bool },
    /// Callbox's server to those who accept [`accepts::PEERS`]: several of the same, coalesced.
    Peers {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        online: Vec<PeerInfo>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        offline: Vec<UserId>,
    },
    /// A client asks its server for a sign of life that programs in a browser can see.
    Ping {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
    },
    /// Callbox's server answers with the same `nonce`. A plain relay ignores the question.
    Pong {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
    },
    Offer {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        target_id: UserId,
        offer: Description,
        /// The sender's: in glare a person goes before a device, over a plain relay too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<Kind>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
        /// Between a person and a device, what the person may do there. Callbox's server writes it, whatever the sender
        /// wrote; over a plain relay it means nothing.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "rights::known")]
        rights: Option<Rights>,
        /// Who the sender is, for the other side to check.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<Box<Identity>>,
        /// Somebody calls a device because of a visit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        visit: Option<Attendance>,
    },
    Answer {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        target_id: UserId,
        answer: Description,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
        /// As in an offer.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "rights::known")]
        rights: Option<Rights>,
        /// As in an offer, and signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<Box<Identity>>,
    },
    /// Who offered signs the call once the answer's signature was found sound.
    Proof {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        target_id: UserId,
        signature: Signature,
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
    /// A device's word on a visit. Without `targetId` Callbox's server tells all whom it rings; a plain relay tells nobody.
    Visit {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_id: Option<UserId>,
        visit: Visit,
    },
    /// What somebody does who was rung.
    Attend {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
        target_id: UserId,
        visit: VisitId,
        does: Doing,
        /// As in an offer.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "rights::known")]
        rights: Option<Rights>,
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

impl Message {
    /// An offer with nothing that an offer can do without.
    pub fn offer(target_id: UserId, sdp: String, kind: Option<Kind>, call_id: Option<String>) -> Message {
        let offer = Description { kind: "offer".into(), sdp };
        Message::Offer { user_id: None, target_id, offer, kind, call_id, rights: None, identity: None, visit: None }
    }
}

/// Without the characters that nobody sees: they would make it look like another's. An ID with them is refused, a name
/// only loses them.
fn name_as_seen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|name| without_unseen(&name))
}

fn some_name_as_seen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|name| name.map(|name| without_unseen(&name)))
}
