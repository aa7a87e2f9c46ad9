//! What comes from the connection's task: states, candidates, voice, the data channel. Callbacks run on that task, so
//! they only put events into the queue or spawn.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rtc::peer_connection::transport::{RTCDtlsTransportState, RTCSctpTransportState};
use rtc::statistics::report::{RTCStatsReport, RTCStatsReportEntry};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelMessage};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCIceCandidateType, RTCIceGatheringState, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState, StatsSelector,
};

use super::consent::{Consent, Liveness, Standing};
use super::events::Events;
use super::gathering::Gathering;
use super::relays::Relays;
use super::socket::Traffic;
use super::{CloseReason, PeerEvent};
use crate::base::lock::lock;
use crate::net::sdp::{Description, Terms};
use crate::protocol::Candidate;

/// Label of our data channel. What others say is taken and thrown away.
pub(super) const CHANNEL: &str = "callbox";
/// Longest data channel message that is read.
pub(super) const MAX_TEXT: usize = 4096;
/// Tasks of one peer (its data channels, the watch). The stack keeps 256 messages of each channel that nobody reads, so
/// more channels than this at a time end the call.
const MAX_TASKS: usize = 16;
/// How often it is checked whether the other side has closed, and whether it answers: the stack has no events for either.
const WATCH: Duration = Duration::from_millis(250);
/// Before anything is proved each arrival may be the first check. Looked at this much later: after the stack, and once
/// for a burst. Somebody who goes on without proving anything gets a look every [`LATER_ARRIVAL`].
const ARRIVAL: Duration = Duration::from_millis(1);
const LATER_ARRIVAL: Duration = Duration::from_millis(10);
const FIRST_ARRIVALS: u32 = 50;
/// How soon after its transport went to another section the other side's close may be that of the old transport. Chromium
/// does so when the first section is stopped: it closes DTLS and begins anew under the same ICE password.
const MOVE: Duration = Duration::from_secs(5);

/// Everything that outlives a callback.
pub(super) struct Incoming {
    pub(super) events: Arc<Events>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) gathering: Gathering,
    relays: Relays,
    /// The section that our candidates belong to: its mid, if it has one, and its index.
    section: Mutex<(Option<String>, u16)>,
    /// When the other side's transport went to another section.
    moved: Mutex<Option<Instant>>,
    /// The other side took the section of the data channels away, and may end SCTP.
    data_is_over: AtomicBool,
    channel: Mutex<Option<Arc<dyn DataChannel>>>,
    tasks: Mutex<Option<Vec<AbortHandle>>>,
    /// There is something to look at.
    nudge: Notify,
}

impl Incoming {
    pub(super) fn new(events: Arc<Events>, relays: Relays, traffic: Arc<Traffic>) -> Incoming {
        let (channel, tasks) = (Mutex::new(None), Mutex::new(Some(Vec::new())));
        // Where we offer, the first one.
        let section = Mutex::new((Some("0".to_owned()), 0));
        let gathering = Gathering::new();
        let (moved, data_is_over, nudge) = (Mutex::default(), AtomicBool::new(false), Notify::new());
        Incoming { events, traffic, gathering, relays, section, moved, data_is_over, channel, tasks, nudge }
    }

    /// From now on candidates belong to the section of this offer that has the transport. Gives back the one before.
    pub(super) fn name_section(&self, offer: &Description<'_>, terms: &Terms) -> (Option<String>, u16) {
        let mut section = lock(&self.section);
        let before = section.clone();
        if let Some(index) = terms.transport {
            let mid = offer.sections.get(index).and_then(|section| section.mid);
            *section = (mid.map(str::to_owned), u16::try_from(index).unwrap_or_default());
        }
        before
    }

    /// The offer was refused: they belong where they belonged.
    pub(super) fn restore_section(&self, before: (Option<String>, u16)) {
        *lock(&self.section) = before;
    }

    /// A further offer counts from now on. `before`: where candidates belonged until then.
    pub(super) fn renegotiated(&self, before: &(Option<String>, u16), terms: &Terms) {
        if terms.data.is_none() {
            self.data_is_over.store(true, Ordering::Relaxed);
        }
        if *before != *lock(&self.section) {
            *lock(&self.moved) = Some(Instant::now());
        }
    }

    pub(super) fn is_data_over(&self) -> bool {
        self.data_is_over.load(Ordering::Relaxed)
    }

    /// The other side has closed the transport.
    fn closed(&self) {
        let reason = match *lock(&self.moved) {
            Some(moved) if moved.elapsed() < MOVE => {
                CloseReason::Failed("the other side stopped the section that carried the call's transport".to_owned())
            }
            Some(_) | None => CloseReason::Remote,
        };
        self.events.close(reason);
    }

    /// The index of the section that our candidates belong to.
    pub(super) fn section(&self) -> usize {
        usize::from(lock(&self.section).1)
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
                MAX_TASKS.. => {
                    self.events.close(CloseReason::Failed("more data channels than a call has".to_owned()));
                }
                _ => tasks.push(tokio::spawn(task).abort_handle()),
            }
        }
    }

    /// Reads a data channel until it ends. One that is not ours is read as well, since the stack keeps what nobody takes.
    pub(super) async fn serve(self: Arc<Self>, channel: Arc<dyn DataChannel>) {
        let mut is_ours = channel.label().await.is_ok_and(|label| label == CHANNEL);
        if is_ours {
            *lock(&self.channel) = Some(channel.clone());
        }
        while let Some(event) = channel.poll().await {
            match event {
                DataChannelEvent::OnMessage(message) if is_ours && is_goodbye(&message) => {
                    // The first one is the last word: a flood of them must not fill the queue of events.
                    is_ours = false;
                    self.events.tell(PeerEvent::Goodbye);
                    lock(&self.channel).take();
                    self.nudge.notify_one();
                }
                DataChannelEvent::OnClose => break,
                _ => {}
            }
        }
        if is_ours {
            lock(&self.channel).take();
            self.nudge.notify_one();
        }
    }

    /// Ends the peer when the other side closes DTLS or SCTP, and tells whether it still answers.
    pub(super) async fn watch(self: Arc<Self>, connection: Weak<dyn PeerConnection>, liveness: Liveness) {
        let pause = WATCH.min(liveness.lost_after / 4);
        let mut consent = None;
        let mut arrivals = 0_u32;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.nudge.notified() => {}
                () = self.traffic.arrival(), if !self.events.is_reached() => {
                    arrivals = arrivals.saturating_add(1);
                    let later = if arrivals > FIRST_ARRIVALS { LATER_ARRIVAL } else { ARRIVAL };
                    tokio::time::sleep(later).await;
                }
            }
            let Some(connection) = connection.upgrade() else { return };
            if is_closed(&*connection, !self.is_data_over()).await {
                return self.closed();
            }
            let now = Instant::now();
            let report = connection.get_stats(now, StatsSelector::None).await;
            match self.events.connected_since() {
                Some(since) => {
                    let consent = consent.get_or_insert_with(|| Consent::new(liveness, since));
                    consent.count(answers(&report), now);
                    self.tell(consent.standing(now));
                }
                None if any_check(&report) => self.events.reached(),
                None => {}
            }
        }
    }

    fn tell(&self, standing: Standing) {
        if self.traffic.is_muted() != (standing == Standing::Expired) {
            self.traffic.mute(standing == Standing::Expired);
        }
        match standing {
            Standing::Fresh => self.events.connected(),
            Standing::Lost | Standing::Expired => self.events.disconnected(),
        }
    }
}

/// The path in use, and how many of our checks were answered over it.
fn answers(report: &RTCStatsReport) -> Option<(String, u64)> {
    let path = &report.transport()?.selected_candidate_pair_id;
    match report.get(path) {
        Some(RTCStatsReportEntry::IceCandidatePair(pair)) => Some((path.clone(), pair.responses_received)),
        _ => None,
    }
}

/// Whether a check has come or was answered. Those that do not fit the passwords do not count.
fn any_check(report: &RTCStatsReport) -> bool {
    report.iter().any(|entry| match entry {
        RTCStatsReportEntry::IceCandidatePair(pair) => pair.requests_received + pair.responses_received > 0,
        _ => false,
    })
}

/// `data`: the call has data channels.
pub(super) async fn is_closed(connection: &dyn PeerConnection, data: bool) -> bool {
    if let Some(sctp) = connection.sctp().await
        // In this order: the handshake may end between the two questions.
        && let (Ok(channels), Ok(state)) = (sctp.max_channels().await, sctp.state().await)
        && has_ended(state, channels, data)
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

/// Whether an SCTP association is over. The side that did not begin it is CLOSED until the last step of the handshake as
/// well (RFC 9260, section 5.1), and only after that step are the streams of both sides known. Where its section was taken
/// away its end says nothing of the call.
fn has_ended(state: RTCSctpTransportState, channels: Option<u16>, data: bool) -> bool {
    data && state == RTCSctpTransportState::Closed && channels.is_some()
}

/// The connection's callbacks.
pub(super) struct Handler(pub(super) Arc<Incoming>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if event.candidate.typ == RTCIceCandidateType::Relay {
            self.0.relays.found();
        }
        // Without an address of a family the stack gives the socket's, "::", which leads nowhere.
        if event.candidate.address.parse().is_ok_and(|address: IpAddr| address.is_unspecified()) {
            return;
        }
        match event.candidate.to_json() {
            Ok(found) => {
                let (sdp_mid, index) = lock(&self.0.section).clone();
                let candidate = Candidate {
                    candidate: found.candidate,
                    sdp_mid,
                    sdp_m_line_index: Some(index),
                    username_fragment: found.username_fragment,
                };
                if !self.0.gathering.keep(&candidate) {
                    self.0.events.tell(PeerEvent::Candidate(Some(candidate)));
                }
            }
            Err(error) => log::warn!(error:% = error; "a local candidate could not be written"),
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            if !self.0.gathering.complete() {
                self.0.events.tell(PeerEvent::Candidate(None));
            }
            self.0.relays.gathered(&self.0.events);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            // Later ones are a restart's, and say nothing of whether anybody answers.
            RTCPeerConnectionState::Connected if self.0.events.connected_since().is_none() => self.0.events.connected(),
            RTCPeerConnectionState::Connected => self.0.nudge.notify_one(),
            RTCPeerConnectionState::Closed => self.0.closed(),
            // Whether a connection that is lost comes back is not the stack's to decide.
            _ => {}
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_association_that_is_not_up_yet_is_not_over() {
        assert!(!has_ended(RTCSctpTransportState::Closed, None, true));
        assert!(!has_ended(RTCSctpTransportState::Connecting, None, true));
        assert!(!has_ended(RTCSctpTransportState::Connected, Some(65535), true));
        assert!(has_ended(RTCSctpTransportState::Closed, Some(65535), true));
        assert!(!has_ended(RTCSctpTransportState::Closed, Some(65535), false), "the call goes on without");
    }
}
