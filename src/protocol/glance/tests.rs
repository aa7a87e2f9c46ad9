//! What a glance vouches for, held to what reading in full says.

use proptest::prelude::*;

use super::*;
use crate::protocol::{Message, UserId, parse};

/// Holds a glance to what reading in full says. Whether it vouched for the text.
fn check(text: &str) -> bool {
    let Some(glance) = glance(text) else { return false };
    let id = |text: &str| text.parse::<UserId>().ok();
    // IDs are for the reader to judge: one that is none belongs to nobody.
    let Some(target) = id(&glance.target) else { return true };
    let claimed = glance.user.clone().map(|span| serde_json::from_str::<Option<UserId>>(&text[span]));
    let Some(user) = claimed.unwrap_or(Ok(None)).ok() else { return true };
    let (message, _) = parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let read = match message {
        Message::Offer { user_id, target_id, .. } => (Topic::Offer, user_id, target_id),
        Message::Answer { user_id, target_id, .. } => (Topic::Answer, user_id, target_id),
        Message::Candidate { user_id, target_id, .. } => (Topic::Candidate, user_id, target_id),
        Message::Ringing { user_id, target_id, .. } => (Topic::Ringing, user_id, target_id),
        Message::Leave { user_id, target_id: Some(target_id), .. } => (Topic::Leave, user_id, target_id),
        other => panic!("{other:?}"),
    };
    assert_eq!(read, (glance.topic, user, target), "{text}");
    assert_eq!(text[..glance.inside].trim_start(), "{");
    true
}

#[test]
fn what_clients_send_is_understood_at_a_glance() {
    for text in [
        r#"{"type":"offer","userId":"anna","targetId":"door","callId":"c1","offer":{"type":"offer","sdp":"v=0\r\na=x\r\n"},"kind":"person"}"#,
        r#"{"type":"offer","targetId":"door","offer":{"sdp":"","type":"offer","more":{"type":"x"}},"kind":null,"callId":null}"#,
        r#"{"targetId":"anna","answer":{"type":"pranswer","sdp":"v=0"},"type":"answer"}"#,
        r#"{"type":"candidate","targetId":"door","candidate":{"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"u"}}"#,
        r#"{"type":"candidate","targetId":"door","candidate":{"candidate":"","sdpMid":null,"sdpMLineIndex":null}}"#,
        r#"{"type":"candidate","targetId":"door","candidate":null}"#,
        r#"{"type":"candidate","targetId":"door"}"#,
        r#"{"type":"ringing","userId":null,"targetId":"d\u00f6\ud83d\udd14r"}"#,
        r#" { "type" : "leave" , "targetId" : "door" , "reason" : "hangup", "x" : [ ] , "y" : [ { } , [ 1 , -2.5e3 , true , false , null ] ] } "#,
    ] {
        assert!(check(text), "{text}");
    }
}

#[test]
fn the_rest_is_left_to_those_who_read_in_full() {
    let deep = format!(r#"{{"type":"ringing","targetId":"door","x":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let long =
        format!(r#"{{"type":"candidate","targetId":"door","candidate":{{"candidate":"{}"}}}}"#, "x".repeat(1025));
    let call = format!(r#"{{"type":"ringing","targetId":"door","callId":"{}"}}"#, "x".repeat(65));
    for text in [
        "",
        "{",
        "{}",
        "[]",
        "7",
        r#"{"type":"ringing"}"#,
        r#"{"type":"dance","targetId":"door"}"#,
        r#"{"type":"join","userId":"anna"}"#,
        r#"{"type":"ringing","targetId":"door"} x"#,
        r#"{"type":"ringing","targetId":"door",}"#,
        r#"{"type":"ringing","targetId":"door","x":[1,]}"#,
        r#"{"type":"ringing","targetId":"door","x":[1}]"#,
        r#"{"type":"ringing","targetId":"door","x":{"a" 1}}"#,
        r#"{"type":"ringing","targetId":"door","x":01}"#,
        r#"{"type":"ringing","targetId":"door","x":1e999}"#,
        r#"{"type":"ringing","targetId":"door","x":.5}"#,
        r#"{"type":"ringing","targetId":"door","x":nul}"#,
        r#"{"type":"ringing","targetId":"door","x":"\ud800"}"#,
        r#"{"type":"ringing","targetId":"door","x":"\udc00"}"#,
        r#"{"type":"ringing","targetId":"door","x":"\x"}"#,
        "{\"type\":\"ringing\",\"targetId\":\"door\",\"x\":\"\n\"}",
        r#"{"type":"ringing","targetId":"door","targetId":"anna"}"#,
        r#"{"type":"ringing","t\u0061rgetId":"door"}"#,
        r#"{"type":"ringing","targetId":["door"]}"#,
        r#"{"type":"ringing","targetId":"door","userId":7}"#,
        r#"{"type":"ringing","targetId":"door","callId":""}"#,
        r#"{"type":"offer","targetId":"door","offer":"v=0"}"#,
        r#"{"type":"offer","targetId":"door","offer":{"type":"answer","sdp":""}}"#,
        r#"{"type":"offer","targetId":"door","offer":{"type":"offer","sdp":7}}"#,
        r#"{"type":"offer","targetId":"door","offer":{"type":"offer","sdp":"","sdp":7}}"#,
        r#"{"type":"offer","targetId":"door","offer":{"type":"offer","sdp":""},"kind":7}"#,
        r#"{"type":"candidate","targetId":"door","candidate":{"candidate":"x","sdpMLineIndex":65536}}"#,
        r#"{"type":"candidate","targetId":"door","candidate":{"candidate":"x","sdpMLineIndex":-1}}"#,
        r#"{"type":"leave","targetId":"door","reason":7}"#,
        r#"{"type":"offer","targetId":"door","offer":{"type":"offer","sdp":""},"rights":["view"]}"#,
        r#"{"type":"ringing","targetId":"door","rights":null}"#,
        r#"{"type":"ringing","targetId":"door","right\u0073":[]}"#,
        &deep,
        &long,
        &call,
    ] {
        assert_eq!(glance(text), None, "{text}");
    }
}

/// A value of JSON, sound or not quite.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-0",
        "1e2",
        "65536",
        "-1",
        "1e999",
        "1.",
        "\"\"",
        r#""anna""#,
        r#""door""#,
        r#""offer""#,
        r#""answer""#,
        r#""b\u00fc\n""#,
        r#""\ud83d\udd14""#,
        r#""\ud83d""#,
        r#"" a""#,
        "nul",
        "\"\u{1}\"",
        "\"\u{fc}\"",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 5, |inner| {
        let keys = prop::sample::select(vec![
            "type",
            "sdp",
            "candidate",
            "sdpMid",
            "sdpMLineIndex",
            "usernameFragment",
            "x",
            r"typ\u0065",
        ]);
        let members = prop::collection::vec((keys, inner.clone()), 0..5).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        let items = prop::collection::vec(inner, 0..4).prop_map(|items| format!("[ {}]", items.join(" ,")));
        prop_oneof![3 => members, 1 => items]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever a glance vouches for, reading in full finds the same.
    #[test]
    fn a_glance_and_a_reading_agree(
        topic in prop::sample::select(vec!["offer", "answer", "candidate", "ringing", "leave", "join", "error"]),
        fields in prop::collection::vec((prop::sample::select(vec![
            "userId", "targetId", "callId", "offer", "answer", "candidate", "kind", "reason", "type", "rights", "x", r"user\u0049d",
        ]), value()), 0..6),
        sound in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut members = vec![format!("\"type\":\"{topic}\"")];
        if sound {
            members.push(r#""targetId":"door""#.to_owned());
            match topic {
                "offer" | "answer" => members.push(format!(r#""{topic}":{{"type":"{topic}","sdp":"v=0"}}"#)),
                _ => {}
            }
        }
        members.extend(fields.iter().map(|(key, value)| format!("\"{key}\" :{value}")));
        let at = cut.index(members.len());
        members.rotate_left(at);
        let text = format!("{{{}}}", members.join(" , "));
        check(&text);
        // And with a byte missing.
        let at = cut.index(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            check(&format!("{}{}", &text[..at], &text[at + 1..]));
        }
    }
}
