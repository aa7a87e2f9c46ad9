//! Any text frame: what a glance vouches for, reading in full finds the same.
#![no_main]

use callbox::protocol::{Message, Topic, UserId, glance, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(glance) = glance(text) else { return };
    // Whether what stands there are IDs is for the reader to judge.
    let Ok(target) = glance.target.parse::<UserId>() else { return };
    let claimed = glance.user.map(|span| serde_json::from_str::<Option<UserId>>(&text[span]));
    let Ok(user) = claimed.unwrap_or(Ok(None)) else { return };
    let call = glance.call.map(|call| call.into_owned());
    let (message, _) = parse(text).expect("a glance vouched for it");
    let read = match message {
        Message::Offer { user_id, target_id, call_id, .. } => (Topic::Offer, user_id, target_id, call_id),
        Message::Answer { user_id, target_id, call_id, .. } => (Topic::Answer, user_id, target_id, call_id),
        Message::Proof { user_id, target_id, call_id, .. } => (Topic::Proof, user_id, target_id, call_id),
        Message::Candidate { user_id, target_id, call_id, .. } => (Topic::Candidate, user_id, target_id, call_id),
        Message::Ringing { user_id, target_id, call_id, .. } => (Topic::Ringing, user_id, target_id, call_id),
        Message::Leave { user_id, target_id: Some(target_id), call_id, .. } => {
            (Topic::Leave, user_id, target_id, call_id)
        }
        other => panic!("{other:?} is for nobody"),
    };
    assert_eq!(read, (glance.topic, user, target, call));
});
