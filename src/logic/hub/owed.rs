//! Ends of calls that could not be told, since who has to hear of them was off line while the media went on.

use std::collections::VecDeque;

use crate::protocol::UserId;

/// Pairs of who has to hear it and whose call it was. For a further one the oldest is forgotten, and its call ends by what
/// the other end does.
#[derive(Default)]
pub(super) struct Owed(VecDeque<(UserId, UserId)>);

const MAX_OWED: usize = 256;

impl Owed {
    pub(super) fn add(&mut self, reader: UserId, from: UserId) {
        if self.0.len() == MAX_OWED {
            self.0.pop_front();
        }
        self.0.push_back((reader, from));
    }

    /// Whose calls have ended for one who is here again.
    pub(super) fn take(&mut self, reader: &UserId) -> Vec<UserId> {
        let mut due = Vec::new();
        self.0.retain(|(whom, from)| {
            let is_due = whom == reader;
            if is_due {
                due.push(from.clone());
            }
            !is_due
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_bounded() {
        let (door, gate): (UserId, UserId) = ("door".parse().unwrap(), "gate".parse().unwrap());
        let caller = |n: usize| format!("caller {n}").parse::<UserId>().unwrap();
        let mut owed = Owed::default();
        owed.add(gate.clone(), caller(0));
        (1..=MAX_OWED).for_each(|n| owed.add(door.clone(), caller(n)));
        assert!(owed.take(&gate).is_empty(), "the oldest is forgotten");
        assert_eq!(owed.take(&door).len(), MAX_OWED);
        assert!(owed.take(&door).is_empty());
    }
}
