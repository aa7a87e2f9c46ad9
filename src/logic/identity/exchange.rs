//! What two sides show each other when a call begins. The machine hears what comes with descriptions, adds to ours what is to
//! be sent, and says whose connection may carry media.
//!
//! Who answers signs in the answer, who offers in a `proof` after that, each over what both have said. So nothing but an
//! offer is ever unsigned, and nothing flows on the word of an offer alone.
//!
//! What comes with a description counts when a connection takes the description, and not before: others that arrive, and
//! that nobody takes, change nothing. What was signed once is said again as it was, and never signed anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Half, Side, SigningKey, fingerprints, signed};
use crate::base::bytes::sha256;
use crate::protocol::{Identity, Key, Nonce, Signature, UserId};

/// How long the other side's proof may take once its connection is up: longer than signaling is away on a bad network.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(30);
/// Descriptions of one user of which it is kept what came with them; one more, and the oldest goes.
pub(super) const SHOWN_EACH: usize = 4;
/// The same of all users.
pub(super) const SHOWN: usize = 256;

/// What is done with those who do not show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// Calls go on without it. What is shown and wrong ends them all the same.
    Allow,
    Refuse,
}

/// What a description or a proof has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The other side is who it says: media may flow. To be sent to it, where we have offered: our proof.
    Verified(Option<Signature>),
    /// Nothing new.
    Pending,
    /// Nobody knows, and that is allowed.
    Unverified,
    /// The call must not go on, for this reason.
    Wrong(&'static str),
}

/// The exchange of one side with all others; `K` names a call.
pub struct Exchange<K> {
    me: UserId,
    signer: Arc<SigningKey>,
    /// The household's key, from a source in which the server of today has no say.
    household: Option<Key>,
    /// The household's word for our own key.
    vouch: Option<Signature>,
    unverified: Unverified,
    /// What came with descriptions, whether a connection takes them or not; the oldest first.
    pub(super) shown: VecDeque<Shown>,
    /// As many as there are connections.
    pub(super) calls: Vec<Call<K>>,
}

pub(super) struct Shown {
    pub from: UserId,
    description: [u8; 32],
    identity: Identity,
}

pub(super) struct Call<K> {
    key: K,
    user: UserId,
    call_id: Option<String>,
    side: Side,
    /// Our half of the exchange under way, and what went out with it for which description.
    ours: Option<(Half, [u8; 32], Option<Identity>)>,
    theirs: Option<Theirs>,
    /// Our proof, where we have offered.
    proof: Option<Signature>,
    trust: Trust,
    /// When a connection that is up and not trusted is given up.
    until: Option<Instant>,
    /// The other side's fingerprints, where they were found to be those of its key.
    verified: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
struct Theirs {
    half: Half,
    key: Key,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    None,
    /// Who the other side is, nobody knows or needs to.
    Allowed,
    Verified,
}

const NOT_SHOWN: &str = "the other side does not show who it is";
const NOT_VOUCHED_FOR: &str = "the household does not vouch for the key that the other side shows";
const NOT_SIGNED: &str = "the connection is not with the one who has the other side's key: somebody sits in between";

impl<K: Copy + PartialEq> Exchange<K> {
    /// `unverified`: `None` goes by whether there is a household that could vouch for anybody.
    pub fn new(
        me: UserId,
        signer: Arc<SigningKey>,
        household: Option<Key>,
        unverified: Option<Unverified>,
    ) -> Exchange<K> {
        let (shown, calls) = (VecDeque::new(), Vec::new());
        let mut exchange =
            Exchange { me, signer, household, vouch: None, unverified: Unverified::Refuse, shown, calls };
        exchange.set_unverified(unverified);
        exchange
    }

    /// For calls to come.
    pub fn set_unverified(&mut self, unverified: Option<Unverified>) {
        let usual = if self.household.is_some() { Unverified::Refuse } else { Unverified::Allow };
        self.unverified = unverified.unwrap_or(usual);
    }

    /// What the server says for our key, where it is the word of our household.
    pub fn set_vouch(&mut self, vouch: Option<Signature>) {
        let is_ours = |vouch: &Signature| {
            self.household.is_some_and(|household| household.vouches_for(&self.me, &self.signer.public(), vouch))
        };
        self.vouch = vouch.filter(is_ours);
    }

    /// Whether media may flow in that call.
    pub fn trusts(&self, key: K) -> bool {
        self.find(key).is_some_and(|call| call.trust != Trust::None)
    }

    /// Whether the other side of that call is known to be who it says.
    pub fn is_verified(&self, key: K) -> bool {
        self.find(key).is_some_and(|call| call.trust == Trust::Verified)
    }

    /// A description has come, with this.
    pub fn shows(&mut self, from: &UserId, sdp: &str, identity: Option<&Identity>) {
        let Some(identity) = identity.filter(|_| self.household.is_some()) else { return };
        let description = sha256(sdp.as_bytes());
        self.shown.retain(|shown| shown.from != *from || shown.description != description);
        if self.shown.iter().filter(|shown| shown.from == *from).count() >= SHOWN_EACH
            && let Some(at) = self.shown.iter().position(|shown| shown.from == *from)
        {
            self.shown.remove(at);
        }
        if self.shown.len() >= SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back(Shown { from: from.clone(), description, identity: identity.clone() });
    }

    /// Whether an offer shows so little that no call is to come of it.
    pub fn is_worthless(&self, from: &UserId, sdp: &str) -> Option<&'static str> {
        match self.identity(from, sdp) {
            Some(identity) => (!self.is_vouched_for(from, identity)).then_some(NOT_VOUCHED_FOR),
            None => (self.unverified == Unverified::Refuse).then_some(NOT_SHOWN),
        }
    }

    /// A connection takes the other side's offer.
    pub fn takes_offer(&mut self, key: K, from: &UserId, call_id: Option<&str>, sdp: &str, now: Instant) -> Heard {
        let shown = fingerprints(sdp);
        let theirs = match self.half(from, sdp, &shown) {
            Ok(theirs) => theirs,
            Err(why) => return self.wrong(key, why),
        };
        let earlier = self.take(key);
        let (verified, until) = earlier.map_or((None, None), |call| (call.verified, call.until.or(Some(now))));
        let trust = match (&theirs, self.unverified) {
            _ if verified.as_ref() == Some(&shown) => Trust::Verified,
            (Some(_), _) => Trust::None,
            (None, Unverified::Allow) if verified.is_none() => Trust::Allowed,
            (None, Unverified::Allow | Unverified::Refuse) => return Heard::Wrong(NOT_SHOWN),
        };
        // In a call that was up already time begins to run at once.
        let until = until.filter(|_| trust == Trust::None).map(|_| now + PROOF_TIMEOUT);
        let (user, call_id) = (from.clone(), call_id.map(str::to_owned));
        let (side, ours, proof) = (Side::Answers, None, None);
        self.calls.push(Call { key, user, call_id, side, ours, theirs, proof, trust, until, verified });
        match trust {
            Trust::None => Heard::Pending,
            Trust::Allowed => Heard::Unverified,
            Trust::Verified => Heard::Verified(None),
        }
    }

    /// We offer in a call.
    pub fn offers(&mut self, key: K, to: &UserId, call_id: Option<&str>) {
        let earlier = self.take(key);
        let (verified, trust) = earlier.map_or((None, Trust::None), |call| (call.verified, call.trust));
        let (user, call_id) = (to.clone(), call_id.map(str::to_owned));
        let (side, ours, theirs, proof, until) = (Side::Offers, None, None, None, None);
        self.calls.push(Call { key, user, call_id, side, ours, theirs, proof, trust, until, verified });
    }

    /// What goes with a description of ours: the same whenever it is said.
    pub fn says(&mut self, key: K, sdp: &str, nonce: Nonce) -> Option<Identity> {
        let (me, vouch, signer) = (self.me.clone(), self.vouch, self.signer.clone());
        let call = self.calls.iter_mut().find(|call| call.key == key)?;
        let description = sha256(sdp.as_bytes());
        if let Some((_, said, identity)) = &call.ours
            && *said == description
        {
            return identity.clone();
        }
        // Something else than what was said in this exchange is no part of it.
        if call.ours.is_some() && call.side == Side::Answers {
            return None;
        }
        let ours = Half { user: me, fingerprints: fingerprints(sdp), nonce };
        let signature = match (call.side, &call.theirs) {
            (Side::Offers, _) => Some(None),
            (Side::Answers, Some(theirs)) => {
                let text = signed(Side::Answers, call.call_id.as_deref(), &theirs.half, &ours);
                Some(Some(signer.sign(&text)))
            }
            (Side::Answers, None) => None,
        };
        let key = signer.public();
        let identity = signature.zip(vouch).map(|(signature, vouch)| Identity { key, vouch, nonce, signature });
        call.ours = Some((ours, description, identity.clone()));
        identity
    }

    /// A connection takes the answer to our offer.
    pub fn takes_answer(&mut self, key: K, sdp: &str) -> Heard {
        let Some(call) = self.find(key).filter(|call| call.side == Side::Offers) else {
            return self.wrong(key, NOT_SIGNED);
        };
        let (from, call_id, verified) = (call.user.clone(), call.call_id.clone(), call.verified.clone());
        let ours = call.ours.as_ref().map(|(ours, ..)| ours.clone());
        let shown = fingerprints(sdp);
        let identity = self.identity(&from, sdp).cloned();
        let theirs = match self.half(&from, sdp, &shown) {
            Ok(theirs) => theirs,
            Err(why) => return self.wrong(key, why),
        };
        let is_same = verified.as_ref() == Some(&shown);
        let (Some(theirs), Some(identity)) = (theirs, identity) else {
            return match (is_same, self.unverified) {
                (true, _) => self.trust(key, Trust::Verified, None, None),
                (false, Unverified::Allow) if verified.is_none() => self.trust(key, Trust::Allowed, None, None),
                (false, Unverified::Allow | Unverified::Refuse) => self.wrong(key, NOT_SHOWN),
            };
        };
        let (Some(ours), Some(signature)) = (ours, identity.signature) else { return self.wrong(key, NOT_SIGNED) };
        if !theirs.key.has_signed(&signed(Side::Answers, call_id.as_deref(), &ours, &theirs.half), &signature) {
            return self.wrong(key, NOT_SIGNED);
        }
        let proof = self.signer.sign(&signed(Side::Offers, call_id.as_deref(), &ours, &theirs.half));
        self.trust(key, Trust::Verified, Some(theirs), Some(proof))
    }

    /// The proof of one who has offered, and which call it is for. What comes for no call, or once more, proves nothing new.
    pub fn proved(&mut self, from: &UserId, call_id: Option<&str>, signature: &Signature) -> Option<(K, Heard)> {
        let is_meant = |call: &&Call<K>| {
            call.user == *from && (call.call_id.is_none() || call_id.is_none() || call.call_id.as_deref() == call_id)
        };
        let call = self.calls.iter().find(is_meant)?;
        let (Side::Answers, Trust::None, Some(theirs)) = (call.side, call.trust, call.theirs.clone()) else {
            return None;
        };
        let (ours, ..) = call.ours.as_ref()?;
        let text = signed(Side::Offers, call.call_id.as_deref(), &theirs.half, ours);
        let key = call.key;
        let heard = match theirs.key.has_signed(&text, signature) {
            true => self.trust(key, Trust::Verified, Some(theirs), None),
            false => self.wrong(key, NOT_SIGNED),
        };
        Some((key, heard))
    }

    /// Media has a way: from now on the other side has a time to show who it is.
    pub fn connected(&mut self, key: K, now: Instant) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.key == key && call.trust == Trust::None) {
            call.until.get_or_insert(now + PROOF_TIMEOUT);
        }
    }

    /// Proofs of ours, which may have been lost: of the calls with that user, or of all.
    pub fn proofs(&self, user: Option<&UserId>) -> Vec<(UserId, Option<String>, Signature)> {
        let with = |call: &&Call<K>| user.is_none_or(|user| call.user == *user);
        let proof = |call: &Call<K>| Some((call.user.clone(), call.call_id.clone(), call.proof?));
        self.calls.iter().filter(with).filter_map(proof).collect()
    }

    /// The call is over.
    pub fn ended(&mut self, key: K) {
        self.take(key);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.calls.iter().filter_map(|call| call.until).min()
    }

    /// A call whose other side did not show in time who it is; each is told once.
    pub fn late(&mut self, now: Instant) -> Option<K> {
        let key = self.calls.iter().find(|call| call.until.is_some_and(|until| until <= now))?.key;
        self.take(key);
        Some(key)
    }

    /// What came with a description of somebody's, where the household vouches for it.
    fn half(&self, from: &UserId, sdp: &str, fingerprints: &str) -> Result<Option<Theirs>, &'static str> {
        let Some(identity) = self.identity(from, sdp) else { return Ok(None) };
        if !self.is_vouched_for(from, identity) {
            return Err(NOT_VOUCHED_FOR);
        }
        let half = Half { user: from.clone(), fingerprints: fingerprints.to_owned(), nonce: identity.nonce };
        Ok(Some(Theirs { half, key: identity.key }))
    }

    fn is_vouched_for(&self, from: &UserId, identity: &Identity) -> bool {
        self.household.is_some_and(|household| household.vouches_for(from, &identity.key, &identity.vouch))
    }

    fn identity(&self, from: &UserId, sdp: &str) -> Option<&Identity> {
        let description = sha256(sdp.as_bytes());
        let shown = self.shown.iter().find(|shown| shown.from == *from && shown.description == description);
        shown.map(|shown| &shown.identity)
    }

    fn trust(&mut self, key: K, trust: Trust, theirs: Option<Theirs>, proof: Option<Signature>) -> Heard {
        if let Some(call) = self.calls.iter_mut().find(|call| call.key == key) {
            if let Some(theirs) = theirs {
                call.verified = Some(theirs.half.fingerprints.clone());
                call.theirs = Some(theirs);
            }
            (call.trust, call.until) = (trust, None);
            call.proof = proof.or(call.proof);
        }
        match trust {
            Trust::None => Heard::Pending,
            Trust::Allowed => Heard::Unverified,
            Trust::Verified => Heard::Verified(proof),
        }
    }

    /// After a single wrong word nothing counts any more that was said before.
    fn wrong(&mut self, key: K, why: &'static str) -> Heard {
        self.take(key);
        Heard::Wrong(why)
    }

    fn find(&self, key: K) -> Option<&Call<K>> {
        self.calls.iter().find(|call| call.key == key)
    }

    fn take(&mut self, key: K) -> Option<Call<K>> {
        let at = self.calls.iter().position(|call| call.key == key)?;
        Some(self.calls.swap_remove(at))
    }
}
