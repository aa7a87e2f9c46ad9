//! Why a message is refused, and the `error` that says so to its sender.

use crate::logic::websocket::Frame;
use crate::protocol::{ErrorCode, Message, ParseError, UserId};

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) kind: Option<String>,
    pub(super) target: Option<UserId>,
    pub(super) call_id: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), kind: None, target: None, call_id: None }
    }

    pub(super) fn frame(self) -> Frame {
        let error = Message::Error {
            code: self.code,
            message: self.message,
            user_id: None,
            target_id: self.target,
            in_reply_to: self.kind,
            call_id: self.call_id,
        };
        Frame::text(&error.to_text())
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Refusal {
        let kind = error.kind().map(str::to_owned);
        Refusal { kind, ..Refusal::new(error.code(), error.to_string()) }
    }
}
