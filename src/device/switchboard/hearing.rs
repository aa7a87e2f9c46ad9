//! What comes from signaling.

use std::time::Instant;

use super::{Known, MAX_PEOPLE, Switchboard};
use crate::logic::call::{Input, Origin};
use crate::logic::ring;
use crate::net::sdp;
use crate::protocol::{ErrorCode, Message, ParseError, PeerError, PeerInfo, ServerError, UserId};

impl Switchboard {
    pub(super) fn message(&mut self, message: Message) {
        let me = &self.settings.me;
        match message {
            Message::Joined { peers, ice_servers, vouch, .. } => {
                self.exchange.set_vouch(vouch);
                self.people.clear();
                peers.into_iter().for_each(|peer| self.remember(peer));
                self.ice_servers = ice_servers;
            }
            Message::Presence { peer, online: true } => self.came(peer),
            Message::Presence { peer, online: false } => _ = self.people.remove(&peer.user_id),
            Message::Peers { online, offline } => {
                offline.iter().for_each(|id| _ = self.people.remove(id));
                online.into_iter().for_each(|peer| self.came(peer));
            }
            Message::Offer { user_id: Some(from), target_id, offer, kind, call_id, rights, identity, visit }
                if target_id == *me && from != *me =>
            {
                if !self.hears(&from) {
                    return;
                }
                self.allowed.hear(&from, rights, |user| self.calls.has(user));
                let (origin, sdp) = (origin(&offer.sdp), offer.sdp);
                self.exchange.shows(&from, &sdp, identity.as_deref());
                let has_begun = self.calls.has_begun(&from, &call_id, &origin);
                let checked = match has_begun {
                    true => sdp::check(&sdp),
                    false => sdp::check_first(&sdp),
                };
                if let Err(error) = checked {
                    let (code, detail) = (ErrorCode::BadSdp, error.to_string());
                    return self.input(Input::BadOffer { from, call_id, code, detail });
                }
                if !has_begun && let Some(why) = self.exchange.is_worthless(&from, &sdp) {
                    return self.refuse_offer(from, call_id, why);
                }
                match visit {
                    Some(visit) => self.attends(&from, visit.id, visit.does),
                    None if !has_begun => self.ring_input(ring::Input::Calls(from.clone())),
                    None => {}
                }
                let kind = kind.or_else(|| self.people.get(&from).map(|person| person.kind)).unwrap_or_default();
                self.input(Input::Offer { from, call_id, origin, sdp, kind });
            }
            Message::Answer { user_id: Some(from), target_id, answer, call_id, rights, identity }
                if target_id == *me =>
            {
                if self.hears(&from) {
                    self.allowed.hear(&from, rights, |user| self.calls.has(user));
                    self.exchange.shows(&from, &answer.sdp, identity.as_deref());
                    self.input(Input::Answer { from, call_id, origin: origin(&answer.sdp), sdp: answer.sdp });
                }
            }
            Message::Proof { user_id: Some(from), target_id, signature, call_id } if target_id == *me => {
                self.proved(&from, call_id.as_deref(), &signature);
            }
            Message::Candidate { user_id: Some(from), target_id, candidate, call_id } if target_id == *me => {
                self.input(Input::Candidate { from, call_id, candidate });
            }
            Message::Ringing { user_id: Some(from), target_id, call_id } if target_id == *me => {
                if self.hears(&from) {
                    self.input(Input::Ringing { from, call_id });
                }
            }
            Message::Attend { user_id: Some(from), target_id, visit, does, rights } if target_id == *me => {
                if self.hears(&from) {
                    self.allowed.hear(&from, rights, |user| self.calls.has(user));
                    self.attends(&from, visit, does);
                }
            }
            Message::Leave { user_id: Some(from), target_id, reason, call_id } => {
                let to_us = target_id.as_ref() == Some(me);
                if to_us || target_id.is_none() {
                    self.input(Input::Leave { from, call_id, reason, to_us });
                }
            }
            // Not for us, or without a sender to answer to.
            Message::Join { .. }
            | Message::Ping { .. }
            | Message::Pong { .. }
            | Message::Offer { .. }
            | Message::Answer { .. }
            | Message::Proof { .. }
            | Message::Candidate { .. }
            | Message::Ringing { .. }
            | Message::Visit { .. }
            | Message::Attend { .. }
            | Message::Leave { .. }
            | Message::Error { .. } => log::debug!("a signaling message that is not for us was ignored"),
        }
    }

    pub(super) fn server_error(&mut self, error: ServerError) {
        let ServerError { code, message, target_id, call_id, .. } = error;
        match (code, target_id) {
            (ErrorCode::UnknownTarget, Some(user)) => self.input(Input::UnknownTarget { user, call_id }),
            (ErrorCode::Forbidden, Some(user)) => self.input(Input::Forbidden { user, call_id }),
            (code, _) => {
                if let Some(untold) = self.complaints.due(Instant::now()) {
                    log::warn!(code:%, untold; "the server did not accept a message: {message}");
                }
            }
        }
    }

    /// Anybody can send any number of these.
    pub(super) fn peer_error(&mut self, error: PeerError) {
        let PeerError { from, code, message: detail, call_id, .. } = error;
        let Some(from) = from else { return };
        log::debug!(code:%, peer = from.as_str(); "{from} did not accept a message: {detail}");
        self.input(Input::Rejected { from, call_id, code, detail });
    }

    fn remember(&mut self, PeerInfo { user_id, name, kind }: PeerInfo) {
        if self.people.len() < MAX_PEOPLE {
            self.people.insert(user_id, Known { kind, name });
        }
    }

    fn came(&mut self, peer: PeerInfo) {
        let user = peer.user_id.clone();
        self.remember(peer);
        self.prove_again(Some(&user));
        self.input(Input::Online { user });
    }

    pub(super) fn malformed(&mut self, from: Option<UserId>, error: ParseError) {
        log::debug!("a signaling message was not understood: {error}");
        // A type we do not know belongs to a later version or another kind of client: no mistake to complain of.
        let (Some(from), ParseError::BadField { kind, .. }) = (from, &error) else { return };
        if self.hears(&from) {
            self.input(Input::Malformed { from, kind: kind.clone(), detail: error.to_string() });
        }
    }

    /// Whether something that wants a reply is taken. Anybody can send any number of these.
    fn hears(&mut self, from: &UserId) -> bool {
        let now = Instant::now();
        let heard = self.calls.hears(from, now);
        if !heard && let Some(untold) = self.unheard.due(now) {
            let peer = from.as_str();
            log::info!(peer, untold; "{peer} sends more than is replied to; the rest is dropped");
        }
        heard
    }
}

fn origin(sdp: &str) -> Origin {
    Origin { session: sdp::session_id(sdp).map(str::to_owned), version: sdp::session_version(sdp) }
}
