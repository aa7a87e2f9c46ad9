//! How much somebody may have at a stretch, and how fast it grows back, in terms of time: each thing costs a while, and
//! nobody may be ahead of the clock by more than a limit.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// Until when everything that was taken is paid for.
    paid: Option<Instant>,
}

impl Allowance {
    /// Takes what costs `cost`, if that leaves it no more than `depth` ahead of the clock.
    pub fn take(&mut self, cost: Duration, depth: Duration, now: Instant) -> bool {
        let paid = self.paid.map_or(now, |paid| paid.max(now)) + cost;
        let granted = paid.saturating_duration_since(now) <= depth;
        if granted {
            self.paid = Some(paid);
        }
        granted
    }
}

/// Allowances of many, of whom few are remembered.
#[derive(Debug)]
pub struct Allowances<K> {
    each: HashMap<K, Allowance>,
    /// When there are as many, whoever has taken least is forgotten for a newcomer.
    most: usize,
}

impl<K: Clone + Eq + Hash> Allowances<K> {
    pub fn new(most: usize) -> Allowances<K> {
        Allowances { each: HashMap::new(), most }
    }

    /// As [`Allowance::take`], from that of `who`.
    pub fn take(&mut self, who: &K, cost: Duration, depth: Duration, now: Instant) -> bool {
        if let Some(allowance) = self.each.get_mut(who) {
            return allowance.take(cost, depth, now);
        }
        if self.each.len() >= self.most {
            self.each.retain(|_, allowance| allowance.paid.is_some_and(|paid| paid > now));
        }
        if self.each.len() >= self.most {
            let least = self.each.iter().min_by_key(|(_, allowance)| allowance.paid).map(|(who, _)| who.clone());
            least.map(|who| self.each.remove(&who));
        }
        self.each.entry(who.clone()).or_default().take(cost, depth, now)
    }

    /// Gives back what `who` has taken.
    pub fn forget(&mut self, who: &K) {
        self.each.remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn grants_a_burst_and_then_as_much_as_grows_back() {
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let mut granted = |now| (0..100).filter(|_| allowance.take(SECOND, 10 * SECOND, now)).count();
        assert_eq!(granted(start), 10);
        assert_eq!(granted(start + SECOND / 2), 0);
        assert_eq!(granted(start + 3 * SECOND), 3);
        assert_eq!(granted(start + 3600 * SECOND), 10);
    }

    #[test]
    fn remembers_few_and_those_who_took_most() {
        let (mut allowances, start) = (Allowances::new(2), Instant::now());
        for _ in 0..5 {
            assert!(allowances.take(&"greedy", SECOND, 5 * SECOND, start));
        }
        for who in ["a", "b", "c"] {
            assert!(allowances.take(&who, SECOND, 5 * SECOND, start));
        }
        assert_eq!(allowances.each.len(), 2);
        assert!(!allowances.take(&"greedy", SECOND, 5 * SECOND, start));
    }
}
