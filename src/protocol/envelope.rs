//! From a text frame to a [`Message`] and back, and why a frame is none.

use serde::Deserialize;
use serde_json::Value;

use super::{
    ErrorCode, MAX_CALL_ID_BYTES, MAX_CANDIDATE_BYTES, MAX_ID_BYTES, MAX_NAME_BYTES, MAX_NONCE_BYTES, Message,
};

/// The `type` strings of [`Message`], to tell an unknown type from a malformed message of a known one.
pub const TYPES: [&str; 15] = [
    "join",
    "joined",
    "presence",
    "peers",
    "ping",
    "pong",
    "offer",
    "answer",
    "proof",
    "candidate",
    "ringing",
    "visit",
    "attend",
    "leave",
    "error",
];

/// Why a text frame is not a [`Message`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("not a JSON object with a \"type\" string")]
    NotAMessage,
    #[error("unknown message type {0:?}")]
    UnknownType(String),
    #[error("in {kind:?}: {detail}")]
    BadField { kind: String, detail: String },
}

impl ParseError {
    pub fn code(&self) -> ErrorCode {
        match self {
            ParseError::NotAMessage => ErrorCode::BadMessage,
            ParseError::UnknownType(_) => ErrorCode::UnknownType,
            ParseError::BadField { .. } => ErrorCode::BadField,
        }
    }

    /// The `type` that the refused message claimed.
    pub fn kind(&self) -> Option<&str> {
        match self {
            ParseError::NotAMessage => None,
            ParseError::UnknownType(kind) | ParseError::BadField { kind, .. } => Some(kind),
        }
    }
}

/// Reads one text frame. Also returns the JSON object, so that a relay can forward fields it does not know.
pub fn parse(text: &str) -> Result<(Message, Value), ParseError> {
    let value: Value = serde_json::from_str(text).map_err(|_| ParseError::NotAMessage)?;
    let Some(kind) = value.as_object().and_then(|o| o.get("type")).and_then(Value::as_str) else {
        return Err(ParseError::NotAMessage);
    };
    let kind: String = kind.chars().take(MAX_ID_BYTES).collect();
    if !TYPES.contains(&kind.as_str()) {
        return Err(ParseError::UnknownType(kind));
    }
    let bad = |detail: String| ParseError::BadField { kind: kind.clone(), detail };
    let message = Message::deserialize(&value).map_err(|e| bad(e.to_string()))?;
    message.check().map_err(|detail| bad(detail.to_owned()))?;
    Ok((message, value))
}

impl Message {
    /// The text frame of this message.
    pub fn to_text(&self) -> String {
        // Strings, numbers and lists only: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The limits that types alone do not keep.
    fn check(&self) -> Result<(), &'static str> {
        let call_id = match self {
            Message::Offer { call_id, .. }
            | Message::Answer { call_id, .. }
            | Message::Proof { call_id, .. }
            | Message::Candidate { call_id, .. }
            | Message::Ringing { call_id, .. }
            | Message::Leave { call_id, .. }
            | Message::Error { call_id, .. } => call_id.as_deref(),
            Message::Join { .. }
            | Message::Joined { .. }
            | Message::Presence { .. }
            | Message::Peers { .. }
            | Message::Visit { .. }
            | Message::Attend { .. }
            | Message::Ping { .. }
            | Message::Pong { .. } => None,
        };
        if call_id.is_some_and(|id| id.is_empty() || id.len() > MAX_CALL_ID_BYTES) {
            return Err("callId has 1 to 64 bytes");
        }
        match self {
            Message::Join { name: Some(name), .. }
                if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) =>
            {
                Err("name has at most 128 bytes and no control characters")
            }
            Message::Candidate { candidate: Some(c), .. } if c.len() > MAX_CANDIDATE_BYTES => {
                Err("a candidate has at most 1024 bytes")
            }
            Message::Ping { nonce: Some(nonce) } if nonce.len() > MAX_NONCE_BYTES => Err("nonce has at most 64 bytes"),
            Message::Offer { offer: d, .. } if d.kind != "offer" => Err("offer.type must be \"offer\""),
            Message::Answer { answer: d, .. } if d.kind != "answer" && d.kind != "pranswer" => {
                Err("answer.type must be \"answer\"")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Answerer, Attendance, Credential, Description, Doing, EVERYONE, Encoded, Grants, IceServer, Identity, Key,
        Kind, PeerInfo, Reason, Right, Rights, Role, UserId, Visit, VisitId, VisitState, You, accepts,
    };
    use super::*;

    #[test]
    fn reads_what_a_browser_sends() {
        let text = r#"{"type":"candidate","userId":"anna","targetId":"door","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"x"}}"#;
        let (message, value) = parse(text).unwrap();
        let Message::Candidate { candidate: Some(c), target_id, .. } = &message else { panic!("{message:?}") };
        assert_eq!((c.sdp_m_line_index, target_id.as_str()), (Some(0), "door"));
        assert_eq!(serde_json::from_str::<Value>(&message.to_text()).unwrap(), value);
    }

    #[test]
    fn every_type_is_listed_and_survives_a_round_trip() {
        let id: UserId = "anna".parse().unwrap();
        let user_id = Some(id.clone());
        let call_id = Some("c1".to_owned());
        let peer = PeerInfo { user_id: id.clone(), name: "Anna".into(), kind: Kind::Device };
        let offer = Description { kind: "offer".into(), sdp: "v=0".into() };
        let answer = Description { kind: "answer".into(), sdp: "v=0".into() };
        let ice = IceServer { urls: vec!["stun:a".into()], username: None, credential: None };
        let target_id = id.clone();
        let rights = Rights::of(&[Right::View, Right::Ring]);
        let (key, signature) = (Key::Ed25519([7; 32]), Encoded([7; 64]));
        let visit = Visit {
            id: VisitId::of(7),
            state: VisitState::Answered,
            number: 3,
            bell: "Front".into(),
            rings: vec![EVERYONE.to_owned()],
            declined: Vec::new(),
            by: Some(Answerer { user_id: id.clone(), name: "Anna".into() }),
            seconds: 4,
        };
        let messages = [
            Message::Join {
                user_id: id.clone(),
                name: Some("Anna".into()),
                kind: Kind::Person,
                accepts: vec![accepts::PEERS.to_owned()],
                token: Some("t0k3n".to_owned().try_into().unwrap()),
                credential: Some(Box::new(Credential { key, signature, pairing: None })),
            },
            Message::Joined {
                user_id: id.clone(),
                version: 1,
                peers: vec![peer.clone()],
                ice_servers: vec![ice],
                you: Some(You { name: "Anna".into(), role: Role::Guest, rights: Grants::everywhere(rights) }),
                vouch: Some(signature),
            },
            Message::Presence { peer: peer.clone(), online: true },
            Message::Peers { online: vec![peer], offline: vec![id.clone()] },
            Message::Ping { nonce: Some("1".to_owned()) },
            Message::Pong { nonce: None },
            Message::Offer {
                user_id: None,
                target_id: target_id.clone(),
                offer,
                kind: None,
                call_id: call_id.clone(),
                rights: Some(rights),
                identity: Some(Box::new(Identity { key, vouch: signature, nonce: Encoded([7; 16]), signature: None })),
                visit: Some(Attendance { id: VisitId::of(7), does: Doing::Looks }),
            },
            Message::Answer {
                user_id: user_id.clone(),
                target_id: target_id.clone(),
                answer,
                call_id: None,
                rights: None,
                identity: None,
            },
            Message::Proof { user_id: None, target_id: target_id.clone(), signature, call_id: call_id.clone() },
            Message::Candidate {
                user_id: user_id.clone(),
                target_id: target_id.clone(),
                candidate: None,
                call_id: None,
            },
            Message::Ringing { user_id: user_id.clone(), target_id: target_id.clone(), call_id: call_id.clone() },
            Message::Visit { user_id: user_id.clone(), target_id: None, visit },
            Message::Attend {
                user_id: user_id.clone(),
                target_id: target_id.clone(),
                visit: VisitId::of(7),
                does: Doing::Declines,
                rights: None,
            },
            Message::Leave { user_id, target_id: None, reason: Some(Reason::NoAnswer), call_id: None },
            Message::Error {
                code: ErrorCode::IdTaken,
                message: "taken".into(),
                user_id: None,
                target_id: Some(target_id),
                in_reply_to: Some("join".into()),
                call_id,
            },
        ];
        assert_eq!(messages.len(), TYPES.len());
        for (message, kind) in messages.iter().zip(TYPES) {
            let text = message.to_text();
            assert!(text.contains(&format!("\"type\":\"{kind}\"")), "{text}");
            assert_eq!(&parse(&text).unwrap().0, message);
        }
    }

    #[test]
    fn refuses_with_the_right_code() {
        let code = |text: &str| parse(text).unwrap_err().code();
        for text in ["", "{", "[]", "7", "{}", r#"{"type":7}"#, r#"{"userId":"anna"}"#] {
            assert_eq!(code(text), ErrorCode::BadMessage, "{text}");
        }
        assert_eq!(code(r#"{"type":"dance"}"#), ErrorCode::UnknownType);
        let long = "x".repeat(65);
        for text in [
            r#"{"type":"join"}"#.to_owned(),
            r#"{"type":"join","userId":7}"#.to_owned(),
            r#"{"type":"join","userId":""}"#.to_owned(),
            r#"{"type":"join","userId":" a"}"#.to_owned(),
            r#"{"type":"join","userId":"a\u0000"}"#.to_owned(),
            format!(r#"{{"type":"join","userId":"{long}"}}"#),
            r#"{"type":"offer","targetId":"door","offer":"v=0"}"#.to_owned(),
            r#"{"type":"offer","targetId":"door","offer":{"type":"answer","sdp":""}}"#.to_owned(),
            format!(r#"{{"type":"leave","targetId":"door","callId":"{long}"}}"#),
            format!(r#"{{"type":"candidate","targetId":"door","candidate":{{"candidate":"{}"}}}}"#, "x".repeat(1025)),
            format!(
                r#"{{"type":"candidate","targetId":"door","candidate":{{"candidate":"","sdpMid":"{}"}}}}"#,
                "x".repeat(1025)
            ),
        ] {
            assert_eq!(code(&text), ErrorCode::BadField, "{text}");
        }
    }

    #[test]
    fn what_nobody_sees_is_refused_in_ids_and_taken_out_of_names() {
        for id in ["an\\u200bna", "\\u202eanna", "anna\\u2066", "anna\\ufeff"] {
            let error = parse(&format!(r#"{{"type":"join","userId":"{id}"}}"#)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::BadField, "{id}");
            assert!(error.to_string().contains("invisible"), "{error}");
        }
        let (message, _) = parse(r#"{"type":"join","userId":"x","name":"\u202eFront\u200b door\u2069"}"#).unwrap();
        assert!(matches!(message, Message::Join { name: Some(name), .. } if name == "Front door"));
        let peer = r#"{"userId":"x","name":"An\u00adna","kind":"person"}"#;
        let (message, _) = parse(&format!(r#"{{"type":"presence","peer":{peer},"online":true}}"#)).unwrap();
        assert!(matches!(message, Message::Presence { peer, .. } if peer.name == "Anna"));
    }

    #[test]
    fn tolerates_what_later_versions_add() {
        let (message, _) = parse(r#"{"type":"leave","targetId":"door","reason":"eaten","mood":"sad"}"#).unwrap();
        assert!(matches!(message, Message::Leave { reason: Some(Reason::Other), .. }));
        let answer = r#"{"type":"answer","sdp":""}"#;
        let (message, _) =
            parse(&format!(r#"{{"type":"answer","targetId":"a","answer":{answer},"rights":["fly","view"]}}"#)).unwrap();
        assert!(matches!(message, Message::Answer { rights, .. } if rights == Some(Rights::of(&[Right::View]))));
        let (message, _) = parse(r#"{"type":"join","userId":"x","kind":"robot"}"#).unwrap();
        assert!(matches!(message, Message::Join { kind: Kind::Person, .. }));
    }
}
