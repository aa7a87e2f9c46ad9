//! Every message on the signaling WebSocket and every limit of it. docs/protocol.md tells the same story
//! with examples; `web/protocol.js` is the browser's side of it.
//!
//! Messages are JSON objects in text frames, camelCase, tagged by `type`. Five of them make a call through any relay
//! that forwards them to `targetId` and ignores the rest: [`join`](Message::Join), [`offer`](Message::Offer),
//! [`answer`](Message::Answer), [`candidate`](Message::Candidate) and [`leave`](Message::Leave). The others are
//! what Callbox's own server and clients add. Unknown fields are ignored and relayed untouched.

pub mod close;
mod complaint;
mod envelope;
mod glance;
mod identity;
mod ids;
mod limits;
mod message;
mod pairing;
mod rights;
mod token;
mod visit;

pub use self::complaint::{Complaint, PeerError, ServerError};
pub use self::envelope::{ParseError, TYPES, parse};
pub use self::glance::{Glance, Topic, glance};
pub use self::identity::{Challenge, Credential, Encoded, Identity, InvalidText, Key, Nonce, Signature};
pub use self::ids::{InvalidId, UserId};
pub use self::limits::*;
pub use self::message::*;
pub use self::pairing::Pairing;
pub use self::rights::{Grants, Right, Rights, Role, Unknown};
pub use self::token::{InvalidToken, Token};
pub use self::visit::{Answerer, Attendance, Doing, EVERYONE, InvalidVisit, Visit, VisitId, VisitState};
