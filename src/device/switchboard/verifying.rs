//! Who the other side of a call is: what comes with descriptions is checked when a connection takes them, ours get what the
//! other side checks.

use std::time::Instant;

use super::Switchboard;
use crate::base::bytes;
use crate::logic::call::{CallInfo, CallKey, Input};
use crate::logic::identity::Heard;
use crate::protocol::{Encoded, ErrorCode, Message, Signature, UserId};

impl Switchboard {
    /// No call comes of an offer.
    pub(super) fn refuse_offer(&mut self, from: UserId, call_id: Option<String>, why: &str) {
        self.doubt(&from, why);
        self.input(Input::BadOffer { from, call_id, code: ErrorCode::Unverified, detail: why.to_owned() });
    }

    /// Whether the connection of that call may take an offer. Ends the call if not.
    pub(super) fn takes_offer(&mut self, key: CallKey, sdp: &str) -> bool {
        let Some(CallInfo { user, call_id, .. }) = self.call(key) else { return true };
        let heard = self.exchange.takes_offer(key, &user, call_id.as_deref(), sdp, Instant::now());
        self.heed(key, &user, call_id, heard)
    }

    /// Whether it may take an answer. The other side gets our proof.
    pub(super) fn takes_answer(&mut self, key: CallKey, sdp: &str) -> bool {
        let Some(CallInfo { user, call_id, .. }) = self.call(key) else { return true };
        let heard = self.exchange.takes_answer(key, sdp);
        self.heed(key, &user, call_id, heard)
    }

    pub(super) fn proved(&mut self, from: &UserId, call_id: Option<&str>, signature: &Signature) {
        if let Some((key, heard)) = self.exchange.proved(from, call_id, signature) {
            self.heed(key, from, None, heard);
        }
    }

    fn heed(&mut self, key: CallKey, user: &UserId, call_id: Option<String>, heard: Heard) -> bool {
        let was = self.sessions.get(&key).is_some_and(|session| session.is_trusted());
        let wrong = match heard {
            Heard::Verified(proof) => {
                if !was {
                    log::info!(peer = user.as_str(); "{user} is verified");
                }
                if let Some(signature) = proof {
                    self.say_proof(user.clone(), call_id, signature);
                }
                None
            }
            Heard::Pending | Heard::Unverified => None,
            Heard::Wrong(why) => Some(why),
        };
        if let Some(session) = self.sessions.get(&key) {
            session.trust(self.exchange.trusts(key));
        }
        if let Some(why) = wrong {
            self.doubt(user, why);
            self.input(Input::Unverified { key, detail: why });
        }
        wrong.is_none()
    }

    fn doubt(&mut self, user: &UserId, why: &str) {
        if let Some(untold) = self.doubts.due(Instant::now()) {
            log::warn!(peer = user.as_str(), untold; "no call with {user}: {why}");
        }
    }

    /// Says again what may be lost, to that user or to all.
    pub(super) fn prove_again(&self, user: Option<&UserId>) {
        for (user, call_id, signature) in self.exchange.proofs(user) {
            self.say_proof(user, call_id, signature);
        }
    }

    fn say_proof(&self, target_id: UserId, call_id: Option<String>, signature: Signature) {
        let user_id = Some(self.settings.me.clone());
        self.signaling.send(Message::Proof { user_id, target_id, signature, call_id });
    }

    /// Ends the calls whose other side has not shown in time who it is. That may be the network's doing.
    pub(super) fn give_up_on_the_late(&mut self) {
        while let Some(key) = self.exchange.late(Instant::now()) {
            let detail = "the other side did not show in time who it is".to_owned();
            self.input(Input::Closed { key, detail, blame: None });
        }
    }

    /// Adds to a description of ours what the other side checks.
    pub(super) fn sign(&mut self, message: &mut Message) {
        let (Message::Offer { target_id, offer: description, call_id, identity, .. }
        | Message::Answer { target_id, answer: description, call_id, identity, .. }) = message
        else {
            return;
        };
        let is_it = |call: &CallInfo| call.user == *target_id && call.call_id == *call_id;
        // Without random numbers nothing is signed.
        if let Some(call) = self.calls.list().into_iter().find(is_it)
            && let Ok(nonce) = bytes::random()
        {
            *identity = self.exchange.says(call.key, &description.sdp, Encoded(nonce)).map(Box::new);
        }
    }

    pub(super) fn call(&self, key: CallKey) -> Option<CallInfo> {
        self.calls.list().into_iter().find(|call| call.key == key)
    }
}
