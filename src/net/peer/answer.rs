//! Offers and answers: the terms of a call are found in the other side's description, the stack is told of the transport
//! alone, and our own description is written over the stack's.

use rtc::peer_connection::sdp::RTCSessionDescription;

use super::PeerError;
use super::connection::{Connection, Negotiated};
use super::incoming::CHANNEL;
use super::stack::{self, DataChannels};
use crate::net::sdp::{self, Description, Kind, Local, Remote, SdpError, Setup, Terms};

/// Where the other side says nothing (RFC 8841, sections 5 and 6).
const SCTP_PORT: u16 = 5000;
const MAX_MESSAGE_SIZE: u32 = 64 * 1024;

impl Connection {
    /// Applies an offer, first or further, and answers it: the caller hears us and we hear the caller; the caller sees us;
    /// video from the caller is declined. An offer that cannot be used leaves a running call as it was.
    pub(super) async fn answer(&self, offer: &str) -> Result<String, PeerError> {
        let _one = self.negotiation.lock().await;
        let offer = Description::read(offer)?;
        let terms = Terms::of(&offer, Kind::Offer, self.equipment())?;
        let known = self.negotiated();
        let terms = match &known {
            // The stack opens SCTP with the first descriptions or not at all, and once.
            Some(Negotiated { data: None, .. }) => terms.without_data(&offer),
            Some(Negotiated { data: Some(_), .. }) if self.incoming.is_data_over() => terms.without_data(&offer),
            Some(Negotiated { data: Some(_), .. }) | None => terms,
        };
        if known.is_none() && terms.is_empty() {
            return Err(SdpError::NothingInCommon.into());
        }
        let is_first = known.is_none();
        let next = Negotiated::of(&offer, &terms, Kind::Offer, known)?;
        let section = self.incoming.name_section(&offer, &terms);
        let told = stack::description(Kind::Offer, &next.remote, opposite(next.setup), next.data);
        let own = match self.apply(told).await {
            Ok(own) => own,
            Err(error) => {
                self.incoming.restore_section(section);
                if let Ok(rollback) = RTCSessionDescription::rollback(None) {
                    let _ = self.connection.set_remote_description(rollback).await;
                }
                return Err(refused(error));
            }
        };
        if !is_first {
            self.incoming.renegotiated(&section, &terms);
        }
        let own = Description::read(&own)?;
        let answer = sdp::answer(&offer, &terms, &self.local(&own, next.setup)?);
        self.settle(next, &offer, &terms, Kind::Offer).await;
        Ok(answer)
    }

    pub(super) fn is_left_by(&self, offer: &str) -> bool {
        let Ok(offer) = Description::read(offer) else { return false };
        let Ok(terms) = Terms::of(&offer, Kind::Offer, self.equipment()) else { return false };
        let Some(Negotiated { remote, .. }) = self.negotiated() else { return false };
        let is_theirs = |fingerprint: &str| fingerprint.eq_ignore_ascii_case(&remote.fingerprint);
        let [old, new] = [Some(self.incoming.section()), terms.transport].map(|index| offer.sections.get(index?));
        old.is_some_and(|section| section.rejected && !section.candidates.is_empty())
            && new.is_some_and(|section| {
                section.candidates.is_empty() && section.transport.fingerprint.is_some_and(is_theirs)
            })
    }

    async fn apply(&self, told: String) -> webrtc::error::Result<String> {
        self.connection.set_remote_description(RTCSessionDescription::offer(told)?).await?;
        let answer = self.connection.create_answer(None).await?;
        let text = answer.sdp.clone();
        self.connection.set_local_description(answer).await?;
        Ok(text)
    }

    pub(super) async fn offer(&self) -> Result<String, PeerError> {
        let _one = self.negotiation.lock().await;
        let channel = self.connection.create_data_channel(CHANNEL, None).await?;
        self.incoming.spawn(self.incoming.clone().serve(channel));
        let offer = self.connection.create_offer(None).await?;
        let text = offer.sdp.clone();
        self.connection.set_local_description(offer).await?;
        let own = Description::read(&text)?;
        Ok(sdp::offer(self.equipment(), &self.local(&own, Setup::ActPass)?))
    }

    pub(super) async fn accept_answer(&self, answer: &str) -> Result<(), PeerError> {
        let _one = self.negotiation.lock().await;
        let answer = Description::read(answer)?;
        let terms = Terms::of(&answer, Kind::Answer, self.equipment())?;
        if terms.is_empty() {
            return Err(SdpError::NothingInCommon.into());
        }
        let next = Negotiated::of(&answer, &terms, Kind::Answer, self.negotiated())?;
        let told = stack::description(Kind::Answer, &next.remote, opposite(next.setup), next.data);
        let description = RTCSessionDescription::answer(told).map_err(refused)?;
        self.connection.set_remote_description(description).await.map_err(refused)?;
        self.settle(next, &answer, &terms, Kind::Answer).await;
        Ok(())
    }

    /// Puts the terms into force.
    async fn settle(&self, next: Negotiated, theirs: &Description<'_>, terms: &Terms, kind: Kind) {
        self.agree(next, terms, kind);
        let mut candidates = Vec::new();
        for (index, section) in theirs.sections.iter().enumerate() {
            if terms.takes(index) {
                candidates.extend_from_slice(&section.candidates);
            }
        }
        self.described(candidates).await;
    }

    /// What the stack's own description says of us.
    fn local<'a>(&self, own: &Description<'a>, setup: Setup) -> Result<Local<'a>, PeerError> {
        let missing = || PeerError::Stack("its own description is not complete".to_owned());
        let transport = own.sections.first().ok_or_else(missing)?.transport;
        let candidates = own.sections.iter().flat_map(|section| &section.candidates);
        let [video, voice] = &self.streams;
        Ok(Local {
            origin: own.origin,
            ufrag: transport.ufrag.ok_or_else(missing)?,
            password: transport.password.ok_or_else(missing)?,
            fingerprint: transport.fingerprint.ok_or_else(missing)?,
            setup,
            candidates: candidates.filter_map(|candidate| sdp::usable(candidate).ok()).collect(),
            voice_ssrc: voice.ssrc,
            video_ssrc: video.ssrc,
            max_message_size: own
                .sections
                .iter()
                .find_map(|section| section.max_message_size)
                .unwrap_or(MAX_MESSAGE_SIZE),
        })
    }
}

impl Negotiated {
    /// What follows from a description for the transport, which outlives every section. `known`: what was negotiated before.
    fn of(
        theirs: &Description<'_>,
        terms: &Terms,
        kind: Kind,
        known: Option<Negotiated>,
    ) -> Result<Negotiated, SdpError> {
        let section = terms.transport.and_then(|index| theirs.sections.get(index));
        let remote = match (&section, &known) {
            (None, Some(known)) => known.remote.clone(),
            (Some(_), _) | (None, None) => Remote::of(theirs, terms)?,
        };
        if known.as_ref().is_some_and(|known| !known.remote.fingerprint.eq_ignore_ascii_case(&remote.fingerprint)) {
            return Err(SdpError::OtherCertificate);
        }
        let said = section.and_then(|section| section.transport.setup);
        let setup = match (&known, said, kind) {
            // Roles are for the life of the association (RFC 8842, section 5.5).
            (Some(known), ..) => known.setup,
            (None, Some(Setup::Active), _) => Setup::Passive,
            (None, Some(Setup::Passive), _) => Setup::Active,
            (None, Some(Setup::ActPass) | None, Kind::Offer) => Setup::Active,
            (None, Some(Setup::ActPass) | None, Kind::Answer) => Setup::Passive,
        };
        let data = terms.data.and_then(|index| theirs.sections.get(index)).map(|section| DataChannels {
            port: section.sctp_port.unwrap_or(SCTP_PORT),
            max_message_size: section.max_message_size.unwrap_or(MAX_MESSAGE_SIZE),
        });
        // SCTP goes on for as long as the connection.
        let data = known.map_or(data, |known| known.data);
        Ok(Negotiated { remote, setup, data })
    }
}

fn opposite(setup: Setup) -> Setup {
    match setup {
        Setup::Active => Setup::Passive,
        Setup::Passive => Setup::Active,
        Setup::ActPass => Setup::ActPass,
    }
}

fn refused(error: webrtc::error::Error) -> PeerError {
    PeerError::Negotiation(error.to_string())
}
