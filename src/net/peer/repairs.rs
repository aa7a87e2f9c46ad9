//! How much is sent again. The stack repeats whatever it is asked for, and one packet of feedback can ask for five
//! thousand (RFC 4585, section 6.2.1): 6 MB for 1 kB, over the uplink that all calls share.

use std::time::Instant;

use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

/// Packets that are sent again for one peer, a second and at once: twice the packets of a stream of 2 Mbit/s. Who has
/// lost more is better served by the key picture that it asks for next.
pub(super) const REPAIRS: u32 = 500;

/// What is left of [`REPAIRS`].
pub(super) struct Repairs {
    left: u32,
    counted: Instant,
}

impl Repairs {
    pub(super) fn new(now: Instant) -> Repairs {
        Repairs { left: REPAIRS, counted: now }
    }

    /// The request without what is too much; `None` where all of it may pass.
    pub(super) fn cut(&mut self, request: &TransportLayerNack, now: Instant) -> Option<TransportLayerNack> {
        let fresh = now.saturating_duration_since(self.counted).as_secs_f64() * f64::from(REPAIRS);
        if fresh >= 1.0 {
            self.left = self.left.saturating_add(fresh as u32).min(REPAIRS);
            self.counted = now;
        }
        let affordable = request.nacks.iter().take_while(|pair| {
            let left = self.left.checked_sub(1 + pair.lost_packets.count_ones());
            left.inspect(|left| self.left = *left).is_some()
        });
        let nacks: Vec<_> = affordable.copied().collect();
        (nacks.len() < request.nacks.len()).then(|| TransportLayerNack { nacks, ..request.clone() })
    }
}
