//! Whether one may say something to another, and what the server adds to it.

use crate::logic::access::{Pass, Reach, Rights, reach};
use crate::protocol::Topic;

/// What becomes of a message between two who are on line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// It is relayed, with the server's word on what the person of the two may do with the device.
    Relay(Option<Rights>),
    /// The sender knows of the other, and may not call.
    Forbidden,
    /// For the sender there is nobody of that ID.
    Unseen,
}

/// `topic` is `None` for an error.
pub(super) fn permit(topic: Option<Topic>, from: &Pass, to: &Pass) -> Permit {
    // Where nobody is asked who they are, this is all.
    if let (Pass::Anybody, Pass::Anybody) = (from, to) {
        return Permit::Relay(None);
    }
    match (reach(from, to), topic) {
        (Reach::Unseen, _) => Permit::Unseen,
        (Reach::Seen, Some(Topic::Offer | Topic::Visit)) => Permit::Forbidden,
        (Reach::Seen | Reach::Calls, Some(Topic::Offer | Topic::Answer | Topic::Attend)) => {
            Permit::Relay(rights(from, to))
        }
        // Only a device has visitors.
        (Reach::Calls, Some(Topic::Visit)) if matches!(from, Pass::Person(_)) => Permit::Forbidden,
        (Reach::Calls, Some(Topic::Visit)) => Permit::Relay(None),
        (Reach::Seen | Reach::Calls, Some(Topic::Proof | Topic::Candidate | Topic::Ringing | Topic::Leave) | None) => {
            Permit::Relay(None)
        }
    }
}

/// Between a person and a device: whoever of the two reads it has to know.
fn rights(from: &Pass, to: &Pass) -> Option<Rights> {
    match (from, to) {
        (Pass::Person(person), Pass::Device(device)) | (Pass::Device(device), Pass::Person(person)) => {
            Some(person.rights_at(&device.id))
        }
        (Pass::Nobody | Pass::Anybody | Pass::Device(_) | Pass::Person(_), _) => None,
    }
}
