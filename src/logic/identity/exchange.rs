//! What two sides show each other when a call begins. The machine hears what comes with descriptions, adds to ours what is to
//! be sent, and says whose connection may carry media.
//!
//! Who answers signs in the answer, who offers in a `proof` after that, each over what both have said. So nothing but an
//! offer is ever unsigned, and nothing flows on the word of an offer alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Half, Side, SigningKey, fingerprints, signed};
use crate::protocol::{Identity, Key, Nonce, Signature, UserId};

/// How long after our answer the other side's proof may take.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(15);
/// Calls of one user that are kept, ended or never begun ones among them; one more, and the oldest that is not verified goes.
const MOST_EACH: usize = 4;
/// Calls that are kept in all. More than there can be at once; one more, and the oldest goes of those who have none.
const MOST: usize = 256;

/// What is done with those who do not show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// Calls go on without it. What is shown and wrong ends them all the same.
    Allow,
    Refuse,
}

/// What a message has shown.
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

/// The exchange of one side with all others.
pub struct Exchange {
    me: UserId,
    signer: Arc<SigningKey>,
    /// The household's key, from a source in which the server of today has no say.
    household: Option<Key>,
    /// The household's word for our own key.
    vouch: Option<Signature>,
    unverified: Unverified,
    /// The oldest first.
    calls: VecDeque<Call>,
}

struct Call {
    user: UserId,
    call_id: Option<String>,
    side: Side,
    ours: Option<Half>,
    theirs: Option<Theirs>,
    state: State,
    /// The other side's fingerprints, where they were found to be those of its key.
    verified: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
struct Theirs {
    half: Half,
    key: Key,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// We have answered and signed.
    AwaitsProof {
        until: Instant,
    },
    /// Who the other side is, nobody knows or needs to.
    Allowed,
    Settled,
}

impl Exchange {
    /// `unverified`: `None` goes by whether there is a household that could vouch for anybody.
    pub fn new(
        me: UserId,
        signer: Arc<SigningKey>,
        household: Option<Key>,
        unverified: Option<Unverified>,
    ) -> Exchange {
        let calls = VecDeque::new();
        let mut exchange = Exchange { me, signer, household, vouch: None, unverified: Unverified::Refuse, calls };
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
    pub fn trusts(&self, user: &UserId, call_id: Option<&str>) -> bool {
        self.find(user, call_id).is_some_and(|call| call.state == State::Allowed || call.is_verified())
    }

    /// Whether the other side of that call is known to be who it says.
    pub fn is_verified(&self, user: &UserId, call_id: Option<&str>) -> bool {
        self.find(user, call_id).is_some_and(Call::is_verified)
    }

    /// An offer has come. `in_call` are those of whom nothing must be forgotten.
    pub fn offered(
        &mut self,
        from: &UserId,
        call_id: Option<&str>,
        sdp: &str,
        identity: Option<&Identity>,
        in_call: impl Fn(&UserId) -> bool,
    ) -> Heard {
        let heard = self.hear_offer(from, call_id, sdp, identity, in_call);
        self.unless_wrong(from, call_id, heard)
    }

    /// An answer has come.
    pub fn answered(&mut self, from: &UserId, call_id: Option<&str>, sdp: &str, identity: Option<&Identity>) -> Heard {
        let heard = self.hear_answer(from, call_id, sdp, identity);
        self.unless_wrong(from, call_id, heard)
    }

    /// The proof of one who has offered. What comes for no call, or once more, proves nothing new.
    pub fn proved(&mut self, from: &UserId, call_id: Option<&str>, signature: &Signature) -> Heard {
        let heard = self.hear_proof(from, call_id, signature);
        self.unless_wrong(from, call_id, heard)
    }

    /// After a single wrong word nothing counts any more that was said before.
    fn unless_wrong(&mut self, from: &UserId, call_id: Option<&str>, heard: Heard) -> Heard {
        if let Heard::Wrong(_) = heard
            && let Some(at) = self.at(from, call_id)
        {
            self.calls.remove(at);
        }
        heard
    }

    fn hear_offer(
        &mut self,
        from: &UserId,
        call_id: Option<&str>,
        sdp: &str,
        identity: Option<&Identity>,
        in_call: impl Fn(&UserId) -> bool,
    ) -> Heard {
        let shown = fingerprints(sdp);
        let verified = self.find(from, call_id).and_then(|call| call.verified.clone());
        let is_same = verified.as_ref() == Some(&shown);
        let theirs = match identity.filter(|_| self.household.is_some()) {
            Some(identity) => match self.known(from, &shown, identity) {
                Some(theirs) => Some(theirs),
                None => return Heard::Wrong(NOT_VOUCHED_FOR),
            },
            None => None,
        };
        let state = match (&theirs, self.unverified) {
            _ if is_same => State::Settled,
            (Some(_), _) => State::Open,
            (None, Unverified::Allow) if verified.is_none() => State::Allowed,
            (None, Unverified::Allow | Unverified::Refuse) => return Heard::Wrong(NOT_SHOWN),
        };
        // The same offer once more gets the same answer.
        let is_repeated = |call: &Call| call.side == Side::Answers && call.theirs.is_some() && call.theirs == theirs;
        if !self.find(from, call_id).is_some_and(is_repeated) {
            let ours = None;
            let call_id = call_id.map(str::to_owned);
            let call = Call { user: from.clone(), call_id, side: Side::Answers, ours, theirs, state, verified };
            self.keep(call, in_call);
        }
        match state {
            State::Settled => Heard::Verified(None),
            State::Allowed => Heard::Unverified,
            State::Open | State::AwaitsProof { .. } => Heard::Pending,
        }
    }

    /// What goes with our answer.
    pub fn answer(
        &mut self,
        to: &UserId,
        call_id: Option<&str>,
        sdp: &str,
        nonce: Nonce,
        now: Instant,
    ) -> Option<Identity> {
        let (me, vouch, signer) = (self.me.clone(), self.vouch, self.signer.clone());
        let call = self.find_mut(to, call_id).filter(|call| call.side == Side::Answers)?;
        let ours = call.says(me, sdp, nonce);
        let theirs = call.theirs.as_ref()?;
        let signature = signer.sign(&signed(Side::Answers, call_id, &theirs.half, &ours));
        if call.state == State::Open {
            call.state = State::AwaitsProof { until: now + PROOF_TIMEOUT };
        }
        Some(Identity { key: signer.public(), vouch: vouch?, nonce: ours.nonce, signature: Some(signature) })
    }

    /// What goes with our offer.
    pub fn offer(
        &mut self,
        to: &UserId,
        call_id: Option<&str>,
        sdp: &str,
        nonce: Nonce,
        in_call: impl Fn(&UserId) -> bool,
    ) -> Option<Identity> {
        if self.find(to, call_id).is_none_or(|call| call.side != Side::Offers) {
            let verified = self.find(to, call_id).and_then(|call| call.verified.clone());
            let (user, call_id) = (to.clone(), call_id.map(str::to_owned));
            let state = State::Open;
            let call = Call { user, call_id, side: Side::Offers, ours: None, theirs: None, state, verified };
            self.keep(call, in_call);
        }
        let (me, vouch, key) = (self.me.clone(), self.vouch, self.signer.public());
        let ours = self.find_mut(to, call_id)?.says(me, sdp, nonce);
        Some(Identity { key, vouch: vouch?, nonce: ours.nonce, signature: None })
    }

    fn hear_answer(&mut self, from: &UserId, call_id: Option<&str>, sdp: &str, identity: Option<&Identity>) -> Heard {
        let shown = fingerprints(sdp);
        let Some(call) = self.find(from, call_id).filter(|call| call.side == Side::Offers) else {
            return Heard::Pending;
        };
        let Some(identity) = identity.filter(|_| self.household.is_some()) else {
            if call.verified.as_ref() == Some(&shown) {
                return Heard::Verified(None);
            }
            if self.unverified == Unverified::Refuse || call.verified.is_some() {
                return Heard::Wrong(NOT_SHOWN);
            }
            if let Some(call) = self.find_mut(from, call_id) {
                call.state = State::Allowed;
            }
            return Heard::Unverified;
        };
        let Some(theirs) = self.known(from, &shown, identity) else { return Heard::Wrong(NOT_VOUCHED_FOR) };
        let (Some(ours), Some(signature)) = (&call.ours, identity.signature) else { return Heard::Wrong(NOT_SIGNED) };
        if !theirs.key.has_signed(&signed(Side::Answers, call_id, ours, &theirs.half), &signature) {
            return Heard::Wrong(NOT_SIGNED);
        }
        let proof = self.signer.sign(&signed(Side::Offers, call_id, ours, &theirs.half));
        if let Some(call) = self.find_mut(from, call_id) {
            call.settle(theirs);
        }
        Heard::Verified(Some(proof))
    }

    fn hear_proof(&mut self, from: &UserId, call_id: Option<&str>, signature: &Signature) -> Heard {
        let Some(call) = self.find_mut(from, call_id) else { return Heard::Pending };
        let State::AwaitsProof { .. } = call.state else { return Heard::Pending };
        let (Some(ours), Some(theirs)) = (&call.ours, call.theirs.clone()) else { return Heard::Pending };
        if !theirs.key.has_signed(&signed(Side::Offers, call_id, &theirs.half, ours), signature) {
            return Heard::Wrong(NOT_SIGNED);
        }
        call.settle(theirs);
        Heard::Verified(None)
    }

    /// The call is over.
    pub fn forget(&mut self, user: &UserId, call_id: Option<&str>) {
        self.calls.retain(|call| !call.is(user, call_id));
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.calls.iter().filter_map(Call::until).min()
    }

    /// A call whose proof did not come in time; each is told once.
    pub fn late(&mut self, now: Instant) -> Option<(UserId, Option<String>)> {
        let at = self.calls.iter().position(|call| call.until().is_some_and(|until| until <= now))?;
        self.calls.remove(at).map(|call| (call.user, call.call_id))
    }

    /// The other half, where the household vouches for its key.
    fn known(&self, from: &UserId, fingerprints: &str, identity: &Identity) -> Option<Theirs> {
        let vouched = self.household?.vouches_for(from, &identity.key, &identity.vouch);
        let half = Half { user: from.clone(), fingerprints: fingerprints.to_owned(), nonce: identity.nonce };
        vouched.then_some(Theirs { half, key: identity.key })
    }

    /// Basic clients send no call ID: then it is the latest with that user.
    fn at(&self, user: &UserId, call_id: Option<&str>) -> Option<usize> {
        let may_be = |call: &Call| call.user == *user && (call.call_id.is_none() || call_id.is_none());
        let exact = self.calls.iter().position(|call| call.is(user, call_id));
        exact.or_else(|| self.calls.iter().rposition(may_be))
    }

    fn find(&self, user: &UserId, call_id: Option<&str>) -> Option<&Call> {
        self.at(user, call_id).and_then(|at| self.calls.get(at))
    }

    fn find_mut(&mut self, user: &UserId, call_id: Option<&str>) -> Option<&mut Call> {
        self.at(user, call_id).and_then(|at| self.calls.get_mut(at))
    }

    fn keep(&mut self, call: Call, in_call: impl Fn(&UserId) -> bool) {
        self.forget(&call.user, call.call_id.as_deref());
        let of_them = self.calls.iter().filter(|other| other.user == call.user).count();
        let oldest = |other: &Call| other.user == call.user && other.verified.is_none();
        if of_them >= MOST_EACH
            && let Some(at) = self.calls.iter().position(oldest)
        {
            self.calls.remove(at);
        }
        if self.calls.len() >= MOST
            && let Some(at) = self.calls.iter().position(|other| !in_call(&other.user))
        {
            self.calls.remove(at);
        }
        self.calls.push_back(call);
    }
}

const NOT_SHOWN: &str = "the other side does not show who it is";
const NOT_VOUCHED_FOR: &str = "the household does not vouch for the key that the other side shows";
const NOT_SIGNED: &str = "the connection is not with the one who has the other side's key: somebody sits in between";

impl Call {
    fn is(&self, user: &UserId, call_id: Option<&str>) -> bool {
        self.user == *user && self.call_id.as_deref() == call_id
    }

    /// Our half; its nonce stays as long as what we say is the same.
    fn says(&mut self, me: UserId, sdp: &str, nonce: Nonce) -> Half {
        let fingerprints = fingerprints(sdp);
        let said = self.ours.take().filter(|ours| ours.fingerprints == fingerprints);
        let ours = said.unwrap_or(Half { user: me, fingerprints, nonce });
        self.ours = Some(ours.clone());
        ours
    }

    fn settle(&mut self, theirs: Theirs) {
        self.verified = Some(theirs.half.fingerprints.clone());
        (self.theirs, self.state) = (Some(theirs), State::Settled);
    }

    /// Whether what they say now is what was verified. Whoever has no key to a fingerprint gets no further than DTLS.
    fn is_verified(&self) -> bool {
        let is_said =
            |verified: &String| self.theirs.as_ref().is_none_or(|theirs| theirs.half.fingerprints == *verified);
        self.verified.as_ref().is_some_and(is_said)
    }

    fn until(&self) -> Option<Instant> {
        match self.state {
            State::AwaitsProof { until } => Some(until),
            State::Open | State::Allowed | State::Settled => None,
        }
    }
}
