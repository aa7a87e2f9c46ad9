//! A call's place in the studio, and what comes from there to be sent.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::device::studio::{Guest, Studio, Viewing, Watcher};
use crate::logic::picture::fanout::Next;
use crate::logic::unit::{AccessUnit, VoicePacket};
use crate::media::voice::CallerVoice;

/// What flows to the other side while it is connected.
pub(super) struct Flow {
    pub voice: broadcast::Receiver<VoicePacket>,
    pub pictures: Option<Watcher>,
}

/// A call's place in the studio, and its voice in the mix.
pub(super) struct Place {
    pub guest: Guest,
    pub speaker: Option<CallerVoice>,
}

impl Place {
    pub(super) fn take(studio: &Arc<Studio>, viewing: Viewing) -> Place {
        let guest = studio.enter(viewing);
        let speaker = guest.speak();
        Place { guest, speaker }
    }
}

pub(super) enum Piece {
    Voice(VoicePacket),
    Picture(Next<AccessUnit>),
}

/// What is to be sent next; voice goes first. Nothing before the connection is up.
pub(super) async fn next(flow: &mut Option<Flow>) -> Piece {
    match flow {
        Some(Flow { voice, pictures }) => tokio::select! {
            biased;
            packet = next_packet(voice) => Piece::Voice(packet),
            picture = next_picture(pictures) => Piece::Picture(picture),
        },
        None => std::future::pending().await,
    }
}

/// What a slow connection missed is skipped: old voice is worth nothing.
async fn next_packet(voice: &mut broadcast::Receiver<VoicePacket>) -> VoicePacket {
    loop {
        match voice.recv().await {
            Ok(packet) => return packet,
            Err(RecvError::Lagged(lost)) => log::debug!(lost; "voice packets were dropped for a slow connection"),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn next_picture(pictures: &mut Option<Watcher>) -> Next<AccessUnit> {
    match pictures {
        Some(pictures) => pictures.next().await,
        None => std::future::pending().await,
    }
}
