//! docs/protocol.md tells the same story as src/protocol/: every message type, error code, reason, limit and close
//! code is in it, and its examples are messages.

use callbox::protocol::{self, Right, Role, close};

const DOC: &str = include_str!("../docs/protocol.md");
const SOURCE: &str = concat!(
    include_str!("../src/protocol/limits.rs"),
    include_str!("../src/protocol/close.rs"),
    include_str!("../src/protocol/envelope.rs"),
    include_str!("../src/protocol/message.rs"),
);

/// The rows of the tables in which both words stand in cells of their own.
fn has_row(name: &str, value: &str) -> bool {
    DOC.lines().filter(|line| line.starts_with('|')).any(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        cells.contains(&format!("`{name}`").as_str()) && cells.contains(&value)
    })
}

/// Names of the `pub const`s in the source, in order.
fn constants() -> Vec<&'static str> {
    let lines = SOURCE.lines().map(str::trim);
    lines.filter_map(|line| line.strip_prefix("pub const ")?.split(':').next()).collect()
}

/// The variants of an enum without fields, as they go over the wire.
fn variants(name: &str) -> Vec<String> {
    let (_, body) = SOURCE.split_once(&format!("pub enum {name} {{\n")).expect("the enum is in the source");
    let (body, _) = body.split_once("\n}").unwrap();
    let names = body.lines().map(str::trim).filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    let names = names.map(|name| name.trim_end_matches(','));
    names.map(|name| name[..1].to_lowercase() + &name[1..]).collect()
}

#[test]
fn every_limit_and_close_code_is_documented_with_its_value() {
    let seconds = |duration: std::time::Duration| duration.as_secs().to_string();
    let values = [
        ("VERSION", protocol::VERSION.to_string()),
        ("CHALLENGE", protocol::CHALLENGE.to_owned()),
        ("MAX_MESSAGE_BYTES", protocol::MAX_MESSAGE_BYTES.to_string()),
        ("MAX_ID_BYTES", protocol::MAX_ID_BYTES.to_string()),
        ("MAX_NAME_BYTES", protocol::MAX_NAME_BYTES.to_string()),
        ("MAX_CALL_ID_BYTES", protocol::MAX_CALL_ID_BYTES.to_string()),
        ("MAX_VISIT_ID_BYTES", protocol::MAX_VISIT_ID_BYTES.to_string()),
        ("VISIT_BURST", protocol::VISIT_BURST.to_string()),
        ("VISIT_PAUSE", protocol::VISIT_PAUSE.as_millis().to_string()),
        ("MAX_RUNG", protocol::MAX_RUNG.to_string()),
        ("MAX_TOKEN_BYTES", protocol::MAX_TOKEN_BYTES.to_string()),
        ("MAX_UNAUTHORIZED", protocol::MAX_UNAUTHORIZED.to_string()),
        ("MAX_NONCE_BYTES", protocol::MAX_NONCE_BYTES.to_string()),
        ("MAX_CANDIDATES", protocol::MAX_CANDIDATES.to_string()),
        ("MAX_CANDIDATE_BYTES", protocol::MAX_CANDIDATE_BYTES.to_string()),
        ("MESSAGE_BURST", protocol::MESSAGE_BURST.to_string()),
        ("MESSAGE_RATE", protocol::MESSAGE_RATE.to_string()),
        ("MAX_RATE_LIMITED", protocol::MAX_RATE_LIMITED.to_string()),
        ("JOIN_BURST", protocol::JOIN_BURST.to_string()),
        ("JOIN_PAUSE", protocol::JOIN_PAUSE.as_secs().to_string()),
        ("CALL_BURST", protocol::CALL_BURST.to_string()),
        ("CALL_PAUSE", seconds(protocol::CALL_PAUSE)),
        ("OFFERS_OF_A_CALL", protocol::OFFERS_OF_A_CALL.to_string()),
        ("MAX_CONNECTIONS_EACH", protocol::MAX_CONNECTIONS_EACH.to_string()),
        ("JOIN_TIMEOUT", protocol::JOIN_TIMEOUT.as_secs().to_string()),
        ("MAX_SINGLE_PRESENCE", protocol::MAX_SINGLE_PRESENCE.to_string()),
        ("PEERS_PAUSE", protocol::PEERS_PAUSE.as_millis().to_string()),
        ("MAX_MALFORMED", protocol::MAX_MALFORMED.to_string()),
        ("KEEPALIVE", seconds(protocol::KEEPALIVE)),
        ("RING_TIMEOUT", seconds(protocol::RING_TIMEOUT)),
        ("CONNECT_TIMEOUT", seconds(protocol::CONNECT_TIMEOUT)),
        ("CLAIM_TIMEOUT", seconds(protocol::CLAIM_TIMEOUT)),
        ("GOING_AWAY", close::GOING_AWAY.to_string()),
        ("PROTOCOL", close::PROTOCOL.to_string()),
        ("UNSUPPORTED", close::UNSUPPORTED.to_string()),
        ("INVALID", close::INVALID.to_string()),
        ("POLICY", close::POLICY.to_string()),
        ("TOO_BIG", close::TOO_BIG.to_string()),
        ("TRY_LATER", close::TRY_LATER.to_string()),
        ("REPLACED", close::REPLACED.to_string()),
        ("UNAUTHORIZED", close::UNAUTHORIZED.to_string()),
        ("ACCESS_ENDED", close::ACCESS_ENDED.to_string()),
        ("RIGHTS_CHANGED", close::RIGHTS_CHANGED.to_string()),
        ("TOO_SLOW", close::TOO_SLOW.to_string()),
    ];
    for name in constants() {
        // The types, and `peers` among them, have a section each.
        if ["TYPES", "PEERS"].contains(&name) {
            continue;
        }
        let (_, value) = values.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is new"));
        assert!(has_row(name, value), "docs/protocol.md has no row with `{name}` and {value}");
    }
}

#[test]
fn every_type_code_and_reason_is_documented() {
    for kind in protocol::TYPES {
        assert!(DOC.contains(&format!("\n### {kind}\n")), "{kind}");
    }
    let rows = |word: &String| DOC.contains(&format!("\n| `{word}` |"));
    for list in ["ErrorCode", "Reason"] {
        let words = variants(list);
        assert!(words.len() > 5, "{list}: {words:?}");
        for word in words {
            assert!(rows(&word), "{list} {word} has no row");
        }
    }
}

#[test]
fn every_right_and_role_is_documented() {
    for word in Right::ALL.map(Right::name).into_iter().chain([Role::Owner, Role::Member, Role::Guest].map(Role::name))
    {
        assert!(DOC.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn the_examples_are_messages() {
    let mut kinds = Vec::new();
    for block in DOC.split("```json\n").skip(1) {
        let (example, _) = block.split_once("```").unwrap();
        let (_, value) = protocol::parse(example).unwrap_or_else(|error| panic!("{error}: {example}"));
        kinds.push(value["type"].as_str().unwrap().to_owned());
    }
    for kind in protocol::TYPES {
        assert!(kinds.iter().any(|seen| seen == kind), "{kind} has no example");
    }
}
