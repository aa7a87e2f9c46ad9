//! What comes from the connection's task: states, candidates, voice, the data channel. Callbacks run on that task, so
//! they only put events into the queue or spawn.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rtc::peer_connection::transport::{RTCDtlsTransportState, RTCSctpTransportState};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelMessage};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCIceCandidateType, RTCIceGatheringState, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState,
};

use super::events::Events;
use super::relays::Relays;
use super::{CloseReason, PeerEvent};
use crate::base::lock::lock;
use crate::logic::unit::ReceivedVoice;
use crate::protocol::Candidate;

/// Label of our data channel; others are left alone.
pub(super) const CHANNEL: &str = "callbox";
/// Longest data channel message that is read.
const MAX_TEXT: usize = 4096;
/// Tasks of one peer (its voice, its data channel, the watch). The other side can make tracks and channels come and go,
/// so more than this are not served.
const MAX_TASKS: usize = 16;
/// How often it is checked whether the other side has closed: the stack has no event for it.
const WATCH: Duration = Duration::from_millis(250);

/// Everything that outlives a callback.
pub(super) struct Incoming {
    pub(super) events: Arc<Events>,
    relays: Relays,
    channel: Mutex<Option<Arc<dyn DataChannel>>>,
    tasks: Mutex<Option<Vec<AbortHandle>>>,
    channel_closed: Notify,
}

impl Incoming {
    pub(super) fn new(events: Arc<Events>, relays: Relays) -> Incoming {
        let (channel, tasks) = (Mutex::new(None), Mutex::new(Some(Vec::new())));
        Incoming { events, relays, channel, tasks, channel_closed: Notify::new() }
    }

    pub(super) fn channel(&self) -> Option<Arc<dyn DataChannel>> {
        lock(&self.channel).clone()
    }

    /// Ends the tasks and lets go of the channel, which holds the connection.
    pub(super) fn release(&self) {
        for task in lock(&self.tasks).take().unwrap_or_default() {
            task.abort();
        }
        lock(&self.channel).take();
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = &mut *lock(&self.tasks) {
            tasks.retain(|task| !task.is_finished());
            match tasks.len() {
                MAX_TASKS.. => log::debug!("a caller opened more tracks and channels than are served"),
                _ => tasks.push(tokio::spawn(task).abort_handle()),
            }
        }
    }

    /// Reads our data channel until it ends.
    pub(super) async fn serve(self: Arc<Self>, channel: Arc<dyn DataChannel>) {
        if !channel.label().await.is_ok_and(|label| label == CHANNEL) {
            return;
        }
        *lock(&self.channel) = Some(channel.clone());
        while let Some(event) = channel.poll().await {
            match event {
                DataChannelEvent::OnMessage(message) if is_goodbye(&message) => {
                    // The first one is the last word: a flood of them must not fill the queue of events.
                    self.events.tell(PeerEvent::Goodbye);
                    break;
                }
                DataChannelEvent::OnClose => break,
                _ => {}
            }
        }
        lock(&self.channel).take();
        self.channel_closed.notify_one();
    }

    /// Ends the peer when the other side closes DTLS or SCTP.
    pub(super) async fn watch(self: Arc<Self>, connection: Weak<dyn PeerConnection>) {
        loop {
            let _ = tokio::time::timeout(WATCH, self.channel_closed.notified()).await;
            let Some(connection) = connection.upgrade() else { return };
            if is_closed(&*connection).await {
                return self.events.close(CloseReason::Remote);
            }
        }
    }
}

async fn is_closed(connection: &dyn PeerConnection) -> bool {
    if let Some(sctp) = connection.sctp().await
        && matches!(sctp.state().await, Ok(RTCSctpTransportState::Closed))
    {
        return true;
    }
    for sender in connection.get_senders().await {
        if let Ok(Some(dtls)) = sender.transport().await {
            return matches!(dtls.state().await, Ok(RTCDtlsTransportState::Closed));
        }
    }
    false
}

/// The connection's callbacks.
pub(super) struct Handler(pub(super) Arc<Incoming>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if event.candidate.typ == RTCIceCandidateType::Relay {
            self.0.relays.found();
        }
        match event.candidate.to_json() {
            Ok(found) => self.0.events.tell(PeerEvent::Candidate(Some(Candidate {
                candidate: found.candidate,
                // Everything is bundled, so that the first section's transport is the only one.
                sdp_mid: found.sdp_mid.filter(|mid| !mid.is_empty()),
                sdp_m_line_index: Some(found.sdp_mline_index.unwrap_or(0)),
                username_fragment: found.username_fragment,
            }))),
            Err(error) => log::warn!(error:% = error; "a local candidate could not be written"),
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.0.events.tell(PeerEvent::Candidate(None));
            self.0.relays.gathered(&self.0.events);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => self.0.events.connected(),
            RTCPeerConnectionState::Disconnected => self.0.events.disconnected(),
            RTCPeerConnectionState::Failed => self.0.events.close(CloseReason::Failed(
                "no network path between the two sides was found, or it was lost; a TURN server may be needed"
                    .to_owned(),
            )),
            RTCPeerConnectionState::Closed => self.0.events.close(CloseReason::Remote),
            _ => {}
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let incoming = self.0.clone();
        self.0.spawn(async move {
            let voice = track.kind().await == RtpCodecKind::Audio;
            while let Some(event) = track.poll().await {
                match event {
                    TrackRemoteEvent::OnRtpPacket(packet) if voice && !packet.payload.is_empty() => {
                        incoming.events.voice(ReceivedVoice {
                            sequence: packet.header.sequence_number,
                            timestamp: packet.header.timestamp,
                            payload: packet.payload,
                        });
                    }
                    TrackRemoteEvent::OnEnded => return,
                    _ => {}
                }
            }
        });
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.0.spawn(self.0.clone().serve(channel));
    }
}

/// `{"type":"goodbye"}`, whatever else is in it.
fn is_goodbye(message: &RTCDataChannelMessage) -> bool {
    message.data.len() <= MAX_TEXT
        && serde_json::from_slice::<serde_json::Value>(&message.data)
            .is_ok_and(|value| value.get("type").and_then(|kind| kind.as_str()) == Some("goodbye"))
}
