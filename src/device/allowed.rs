//! What the person on the other side of a call may do here: what the server says of them, and no more than this device's own
//! configuration allows anybody.

use std::collections::HashMap;

use crate::logic::access::{Right, Rights};
use crate::net::peer::Equipment;
use crate::protocol::UserId;

/// People of whom it is remembered. More than there can be calls, so that only those are forgotten who have none.
const MOST: usize = 256;

pub struct Allowed {
    /// What this device lets anybody do.
    own: Rights,
    /// What the server said with the latest offer or answer.
    told: HashMap<UserId, Rights>,
}

impl Allowed {
    pub fn new(own: Rights) -> Allowed {
        Allowed { own, told: HashMap::new() }
    }

    /// For the calls to come.
    pub fn set_own(&mut self, own: Rights) {
        self.own = own;
    }

    /// Takes what came with an offer or an answer: nothing where the server knows nothing of rights. `in_call` are those who
    /// must not be forgotten.
    pub fn hear(&mut self, from: &UserId, rights: Option<Rights>, in_call: impl Fn(&UserId) -> bool) {
        match rights {
            Some(rights) => _ = self.told.insert(from.clone(), rights),
            None => _ = self.told.remove(from),
        }
        if self.told.len() > MOST {
            self.told.retain(|user, _| user == from || in_call(user));
        }
    }

    /// What of this device's equipment is for that person.
    pub fn equipment(&self, user: &UserId) -> Equipment {
        equipment(self.told.get(user).copied().unwrap_or(Rights::ALL).within(self.own))
    }

    /// What of it is for anybody.
    pub fn at_most(&self) -> Equipment {
        equipment(self.own)
    }
}

fn equipment(rights: Rights) -> Equipment {
    let sees = rights.has(Right::View);
    Equipment { camera: sees, microphone: sees, speaker: rights.has(Right::Talk) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> UserId {
        text.parse().unwrap()
    }

    #[test]
    fn the_server_and_the_device_must_both_agree() {
        let mut allowed = Allowed::new(Rights::of(&[Right::View, Right::Ring]));
        assert_eq!(allowed.equipment(&id("anna")), Equipment { camera: true, microphone: true, speaker: false });
        allowed.hear(&id("anna"), Some(Rights::of(&[Right::Talk])), |_| true);
        assert_eq!(allowed.equipment(&id("anna")), Equipment { camera: false, microphone: false, speaker: false });
        allowed.set_own(Rights::ALL);
        assert_eq!(allowed.equipment(&id("anna")), Equipment { camera: false, microphone: false, speaker: true });
        allowed.hear(&id("anna"), None, |_| true);
        assert_eq!(allowed.equipment(&id("anna")), Equipment::default());
    }

    #[test]
    fn those_in_a_call_are_not_forgotten() {
        let mut allowed = Allowed::new(Rights::ALL);
        allowed.hear(&id("anna"), Some(Rights::NONE), |_| true);
        for n in 0..2 * MOST {
            allowed.hear(&id(&format!("caller {n}")), Some(Rights::NONE), |user| *user == id("anna"));
        }
        assert!(!allowed.equipment(&id("anna")).camera);
        assert!(allowed.told.len() <= MOST + 1);
    }
}
