//! What the operator asks for.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Switchboard;
use crate::device::control::{Operation, Order};
use crate::device::session::{self, Session};
use crate::logic::call::Input;

impl Switchboard {
    pub(super) fn order(&mut self, order: Order) {
        let refuse = |reply: oneshot::Sender<Value>, error: &str| {
            // Whoever asked may have gone.
            drop(reply.send(json!({ "ok": false, "error": error })));
        };
        let Order { operation, reply } = order;
        match operation {
            Operation::Status => self.status(reply),
            Operation::Call { user } => {
                let list = self.calls.list();
                if user == self.settings.me {
                    return refuse(reply, "a device cannot call itself");
                }
                if !self.is_registered() {
                    return refuse(reply, "not registered at the signaling server: see 'callbox status'");
                }
                match list.iter().find(|c| c.user == user) {
                    // Who calls somebody that rings here picks up.
                    Some(call) if call.state == "ringing" => {}
                    Some(_) => return refuse(reply, &format!("there is a call with {user} already")),
                    None if self.calls.is_full() => {
                        return refuse(reply, "as many calls as [calls] max_calls allows are under way");
                    }
                    None => {}
                }
                self.input(Input::Dial { user: user.clone(), call_id: format!("{:016x}", fastrand::u64(..)) });
                match self.calls.list().iter().find(|c| c.user == user) {
                    Some(call) => drop(self.callers.insert(call.key, reply)),
                    None => refuse(reply, "the call could not be placed"),
                }
            }
            Operation::Answer => match self.calls.list().iter().any(|c| c.state == "ringing") {
                true => {
                    self.input(Input::PickUp);
                    drop(reply.send(json!({ "ok": true })));
                }
                false => refuse(reply, "nobody is ringing"),
            },
            Operation::Ring { bell, cancel: false } => match self.press(bell.as_deref()) {
                Ok(()) => drop(reply.send(json!({ "ok": true }))),
                Err(why) => refuse(reply, &why.to_string()),
            },
            Operation::Ring { bell, cancel: true } => match self.take_back(bell.as_deref()) {
                Ok(0) => refuse(reply, "no bell rings"),
                Ok(ended) => drop(reply.send(json!({ "ok": true, "ended": ended }))),
                Err(why) => refuse(reply, &why.to_string()),
            },
            Operation::Hangup => {
                let ended = self.calls.list().len();
                self.input(Input::HangUp);
                drop(reply.send(json!({ "ok": true, "ended": ended })));
            }
            Operation::Block if self.settings.debug_hooks => {
                log::warn!("the main loop is blocked, as was asked for");
                drop(reply.send(json!({ "ok": true })));
                loop {
                    std::thread::park();
                }
            }
            Operation::Block => refuse(reply, "only a daemon with CALLBOX_DEBUG_HOOKS=1 in its environment does that"),
        }
    }

    /// Gathers the figures in a task of its own, as connections answer in their own time.
    fn status(&self, reply: oneshot::Sender<Value>) {
        let now = Instant::now();
        let mut status = self.settings.about.clone();
        status["ok"] = json!(true);
        status["uptimeSeconds"] = json!((now - self.started).as_secs());
        status["signaling"]["registration"] = self.registration.figures(now);
        status["signaling"]["unreadable"] = json!(self.signaling.unreadable());
        if let Some(word) = (self.settings.certificate)() {
            status["certificate"] = json!(word);
        }
        status["visits"] = json!(self.rings.list(now));
        status["media"] = json!(self.studio.stats());
        let calls: Vec<_> = self
            .calls
            .list()
            .into_iter()
            .map(|call| {
                let mut value = json!(call);
                value["seconds"] = json!((now - call.since).as_secs());
                value["verified"] = json!(self.exchange.is_verified(call.key));
                (value, self.sessions.get(&call.key).map(Session::instructions))
            })
            .collect();
        tokio::spawn(async move {
            let mut list = Vec::new();
            for (mut value, instructions) in calls {
                if let Some(instructions) = instructions
                    && let Some(stats) = session::stats(&instructions).await
                {
                    value["stats"] = json!(stats);
                }
                list.push(value);
            }
            status["calls"] = json!(list);
            drop(reply.send(status));
        });
    }
}
