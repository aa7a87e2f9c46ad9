//! Who is in a call with whom, as far as offers and answers tell: needed for a `leave` that names nobody.

use std::collections::{BTreeMap, VecDeque};

use crate::protocol::UserId;

/// Both directions of each pair, oldest first.
#[derive(Default)]
pub(super) struct Calls(BTreeMap<UserId, VecDeque<UserId>>);

/// Partners remembered for one user; the oldest is forgotten for a further one, and then has to notice the end of the
/// call by its media.
const MAX_PARTNERS: usize = 64;

impl Calls {
    pub(super) fn add(&mut self, a: &UserId, b: &UserId) {
        if self.0.get(a).is_some_and(|partners| partners.contains(b)) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            let partners = self.0.entry(from.clone()).or_default();
            partners.push_back(to.clone());
            if partners.len() > MAX_PARTNERS
                && let Some(oldest) = partners.front().cloned()
            {
                self.remove(from, &oldest);
            }
        }
    }

    /// Ends what two have with each other. Whether there was something.
    pub(super) fn remove(&mut self, a: &UserId, b: &UserId) -> bool {
        let had = self.0.get(a).is_some_and(|partners| partners.contains(b));
        for (from, to) in [(a, b), (b, a)] {
            if let Some(partners) = self.0.get_mut(from) {
                partners.retain(|id| id != to);
                if partners.is_empty() {
                    self.0.remove(from);
                }
            }
        }
        had
    }

    /// Whom one is in a call with, as far as is known.
    pub(super) fn partners(&self, user: &UserId) -> Vec<UserId> {
        self.0.get(user).into_iter().flatten().cloned().collect()
    }

    /// Ends all calls of one user and names the partners.
    pub(super) fn remove_all(&mut self, user: &UserId) -> Vec<UserId> {
        let partners = self.partners(user);
        for partner in &partners {
            self.remove(user, partner);
        }
        partners
    }

    /// A user went off line: pairs of which nobody is left on line are of no use.
    pub(super) fn forget_offline(&mut self, user: &UserId, online: impl Fn(&UserId) -> bool) {
        let partners: Vec<_> = self.0.get(user).into_iter().flatten().filter(|id| !online(id)).cloned().collect();
        for partner in partners {
            self.remove(user, &partner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> UserId {
        text.parse().unwrap()
    }

    #[test]
    fn pairs_are_kept_once_and_both_ways() {
        let mut calls = Calls::default();
        calls.add(&id("a"), &id("b"));
        calls.add(&id("b"), &id("a"));
        calls.add(&id("c"), &id("a"));
        assert_eq!(calls.remove_all(&id("a")), [id("b"), id("c")]);
        assert!(calls.0.is_empty());
    }

    #[test]
    fn the_record_is_bounded_both_ways() {
        let mut calls = Calls::default();
        for n in 0..200 {
            calls.add(&id(&format!("caller {n}")), &id("door"));
        }
        assert_eq!(calls.0.len(), MAX_PARTNERS + 1);
        assert_eq!(calls.remove_all(&id("door")).len(), MAX_PARTNERS);
        assert!(calls.0.is_empty());
    }

    #[test]
    fn pairs_off_line_are_forgotten() {
        let mut calls = Calls::default();
        calls.add(&id("a"), &id("b"));
        calls.add(&id("a"), &id("c"));
        calls.forget_offline(&id("a"), |other| *other == id("b"));
        assert_eq!(calls.remove_all(&id("a")), [id("b")]);
    }
}
