//! A device's word on a visit, passed on to all whom it rings. The device repeats it, so nothing is remembered here.

use super::refusal::Refusal;
use super::{ConnId, Hub, Output, Standing, State};
use crate::logic::access::Pass;
use crate::logic::websocket::Frame;
use crate::protocol::{ErrorCode, Kind, Message, Visit};

impl Hub {
    pub(super) fn visit(&mut self, conn: ConnId, visit: Visit) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let State::Member(user) = &connection.state else { return };
        let (user, pass) = (user.clone(), connection.pass.clone());
        let is_device = match &*pass {
            Pass::Device(_) => true,
            Pass::Anybody => self.presence.kind_of(&user) == Some(Kind::Device),
            Pass::Nobody | Pass::Person(_) => false,
        };
        if is_device {
            let rung = self.presence.rung(&user, &pass, &visit.rings);
            let frame = Frame::text(&Message::Visit { user_id: Some(user.clone()), target_id: None, visit }.to_text());
            let told = rung.into_iter().map(|to| Output::Send { to, frame: frame.clone(), presence: false });
            self.outputs.extend(told);
        } else {
            let refusal = Refusal::new(ErrorCode::Forbidden, "only a device has visitors");
            self.refuse(conn, Refusal { kind: Some("visit".to_owned()), ..refusal });
        }
        self.outputs.push_back(Output::Settled { conn, member: Some(Standing { id: user, pass }) });
    }
}
