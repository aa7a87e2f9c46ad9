//! Who the other side of a call is: what comes with descriptions is checked, ours get what the other side checks.

use std::time::Instant;

use ring::rand::{SecureRandom, SystemRandom};

use super::Switchboard;
use crate::device::session::Instruction;
use crate::logic::call::{CallKey, Input};
use crate::logic::identity::Heard;
use crate::protocol::{Encoded, ErrorCode, Identity, Message, Nonce, Signature, UserId};

impl Switchboard {
    /// Whether an offer may go on to become a call.
    pub(super) fn knows_caller(
        &mut self,
        from: &UserId,
        call_id: Option<&str>,
        sdp: &str,
        identity: Option<&Identity>,
    ) -> bool {
        match self.exchange.offered(from, call_id, sdp, identity, |user| self.calls.has(user)) {
            Heard::Verified(_) | Heard::Pending | Heard::Unverified => true,
            Heard::Wrong(why) => {
                self.distrust(from, call_id, why);
                false
            }
        }
    }

    /// Whether an answer may be taken. The other side gets our proof.
    pub(super) fn knows_callee(
        &mut self,
        from: &UserId,
        call_id: Option<&str>,
        sdp: &str,
        identity: Option<&Identity>,
    ) -> bool {
        match self.exchange.answered(from, call_id, sdp, identity) {
            Heard::Verified(proof) => {
                if let Some(signature) = proof {
                    log::info!(peer = from.as_str(); "{from} is verified");
                    self.signaling.send(Message::Proof {
                        user_id: Some(self.settings.me.clone()),
                        target_id: from.clone(),
                        signature,
                        call_id: call_id.map(str::to_owned),
                    });
                }
                true
            }
            Heard::Pending | Heard::Unverified => true,
            Heard::Wrong(why) => {
                self.distrust(from, call_id, why);
                false
            }
        }
    }

    pub(super) fn proved(&mut self, from: &UserId, call_id: Option<&str>, signature: &Signature) {
        match self.exchange.proved(from, call_id, signature) {
            Heard::Verified(_) => {
                log::info!(peer = from.as_str(); "{from} is verified");
                if let Some(key) = self.key_of(from, call_id) {
                    self.tell(key, Instruction::Trust(true));
                }
            }
            Heard::Pending | Heard::Unverified => {}
            Heard::Wrong(why) => self.distrust(from, call_id, why),
        }
    }

    /// Ends what there is of a call, or begins none.
    fn distrust(&mut self, from: &UserId, call_id: Option<&str>, why: &'static str) {
        if let Some(untold) = self.doubts.due(Instant::now()) {
            log::warn!(peer = from.as_str(), untold; "no call with {from}: {why}");
        }
        let input = match self.key_of(from, call_id) {
            Some(key) => Input::Unverified { key, detail: why },
            None => {
                let (from, call_id) = (from.clone(), call_id.map(str::to_owned));
                Input::BadOffer { from, call_id, code: ErrorCode::Unverified, detail: why.to_owned() }
            }
        };
        self.input(input);
    }

    /// Calls whose other side has not shown in time who it is.
    pub(super) fn give_up_on_the_late(&mut self) {
        while let Some((user, call_id)) = self.exchange.late(Instant::now()) {
            self.distrust(&user, call_id.as_deref(), "the other side did not show in time who it is");
        }
    }

    /// Before a connection gets another description: whether media may flow by it.
    pub(super) fn tell_trust(&self, key: CallKey) {
        let trusted = self.trusts(key);
        self.tell(key, Instruction::Trust(trusted));
    }

    pub(super) fn trusts(&self, key: CallKey) -> bool {
        let call = self.calls.list().into_iter().find(|call| call.key == key);
        call.is_some_and(|call| self.exchange.trusts(&call.user, call.call_id.as_deref()))
    }

    /// Adds to a description of ours what the other side checks.
    pub(super) fn sign(&mut self, message: &mut Message) {
        let Some(nonce) = nonce() else { return };
        match message {
            Message::Offer { target_id, offer, call_id, identity, .. } => {
                let in_call = |user: &UserId| self.calls.has(user);
                let shown = self.exchange.offer(target_id, call_id.as_deref(), &offer.sdp, nonce, in_call);
                *identity = shown.map(Box::new);
            }
            Message::Answer { target_id, answer, call_id, identity, .. } => {
                let now = Instant::now();
                let shown = self.exchange.answer(target_id, call_id.as_deref(), &answer.sdp, nonce, now);
                *identity = shown.map(Box::new);
            }
            Message::Join { .. }
            | Message::Joined { .. }
            | Message::Presence { .. }
            | Message::Peers { .. }
            | Message::Ping { .. }
            | Message::Pong { .. }
            | Message::Proof { .. }
            | Message::Candidate { .. }
            | Message::Ringing { .. }
            | Message::Leave { .. }
            | Message::Error { .. } => {}
        }
    }

    fn key_of(&self, user: &UserId, call_id: Option<&str>) -> Option<CallKey> {
        let agree = |ours: Option<&str>| ours.is_none() || call_id.is_none() || ours == call_id;
        let calls = self.calls.list();
        calls.iter().find(|call| call.user == *user && agree(call.call_id.as_deref())).map(|call| call.key)
    }
}

/// `None` where the system gives no random numbers: then nothing is signed.
fn nonce() -> Option<Nonce> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(Encoded(bytes))
}
