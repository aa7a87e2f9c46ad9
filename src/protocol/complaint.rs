//! Whose word an `error` is. The wire has one type for both; what follows from the server's and from a peer's is not the
//! same, and a peer behind a plain relay can write anything.

use super::{ErrorCode, Message, UserId};

/// Longest text of an error that is passed on, in characters.
const MAX_TEXT: usize = 200;

/// An `error`, by who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    Server(ServerError),
    Peer(PeerError),
}

/// The server did not accept something of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    pub code: ErrorCode,
    /// For people; one line of moderate length.
    pub message: String,
    /// Whom the refused message was for.
    pub target_id: Option<UserId>,
    /// Its `type`.
    pub in_reply_to: Option<String>,
    /// Its call.
    pub call_id: Option<String>,
}

/// A peer did not accept something of ours, or claims so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerError {
    /// Who; some do not say.
    pub from: Option<UserId>,
    pub code: ErrorCode,
    /// For people; one line of moderate length.
    pub message: String,
    pub in_reply_to: Option<String>,
    pub call_id: Option<String>,
}

impl Complaint {
    /// `None` for what is no `error`. `me`: the reader. Relays route by `targetId`, so what a peer wrote either names its
    /// sender or is addressed to the reader.
    pub fn of(message: &Message, me: Option<&UserId>) -> Option<Complaint> {
        let Message::Error { code, message, user_id, target_id, in_reply_to, call_id } = message else { return None };
        let (code, message) = (*code, one_line(message));
        let (in_reply_to, call_id) = (in_reply_to.clone(), call_id.clone());
        let relayed = target_id.is_some() && target_id.as_ref() == me;
        Some(if user_id.is_some() || relayed {
            Complaint::Peer(PeerError { from: user_id.clone(), code, message, in_reply_to, call_id })
        } else {
            Complaint::Server(ServerError { code, message, target_id: target_id.clone(), in_reply_to, call_id })
        })
    }
}

/// Others' text goes to logs and terminals.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn complaint(text: &str) -> Option<Complaint> {
        let me = "door".parse().unwrap();
        Complaint::of(&parse(text).unwrap().0, Some(&me))
    }

    #[test]
    fn a_peers_error_names_its_sender_or_its_reader() {
        for text in [
            r#"{"type":"error","code":"idTaken","message":"x","inReplyTo":"join","userId":"anna"}"#,
            r#"{"type":"error","code":"idTaken","message":"x","inReplyTo":"join","targetId":"door"}"#,
            r#"{"type":"error","code":"badSdp","message":"x","userId":"anna","targetId":"door","callId":"c1"}"#,
        ] {
            assert!(matches!(complaint(text), Some(Complaint::Peer(_))), "{text}");
        }
        for text in [
            r#"{"type":"error","code":"idTaken","message":"x","inReplyTo":"join"}"#,
            r#"{"type":"error","code":"unknownTarget","message":"x","targetId":"anna","inReplyTo":"offer"}"#,
        ] {
            assert!(matches!(complaint(text), Some(Complaint::Server(_))), "{text}");
        }
        assert_eq!(complaint(r#"{"type":"leave","userId":"anna"}"#), None);
    }

    #[test]
    fn its_text_is_one_line() {
        let long = "x".repeat(1000);
        let text = format!(r#"{{"type":"error","code":"other","message":"a\nb\u001b[31m{long}"}}"#);
        let Some(Complaint::Server(error)) = complaint(&text) else { panic!("{text}") };
        assert!(error.message.starts_with("a b [31mx"), "{}", error.message);
        assert_eq!(error.message.chars().count(), MAX_TEXT);
    }
}
