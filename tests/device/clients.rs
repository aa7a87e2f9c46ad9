//! Other people's clients, as far as a person at the device has to hear of them.

use callbox::protocol::{ErrorCode, Message, Reason};

use crate::caller::{Caller, Door, at_callbox};

/// As the client's own line ends have them on the wire.
fn wire(sdp: &str) -> String {
    sdp.replace('\n', "\r\n")
}

const WITHOUT_H264: &str = include_str!("../../src/net/peer/tests/offers/libwebrtc-without-h264.sdp");
const WITHOUT_BUNDLE: &str = include_str!("../../src/net/peer/tests/offers/gstreamer.sdp");

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_without_h264_is_heard_and_the_status_says_why_it_sees_nothing() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    let offer = anna.offer(wire(WITHOUT_H264));
    anna.say(&offer).await;
    let answer = anna
        .hear("an answer", |m| match m {
            Message::Answer { answer, .. } => Some(answer.sdp),
            _ => None,
        })
        .await;
    assert!(answer.contains("m=audio 9") && answer.contains("m=video 0"), "{answer}");
    let told = |s: &serde_json::Value| s["calls"][0]["stats"]["soundOnly"] == "the browser has no H.264";
    let status = door.until("told that there is no picture", told).await;
    assert!(status["media"]["video"].is_null(), "the camera stays off: {status:#}");

    let mut ben = Caller::join(&server.url, "ben").await;
    let mut line = ben.call().await;
    let sees =
        |s: &serde_json::Value| s["calls"][1]["stats"].is_object() && s["calls"][1]["stats"]["soundOnly"].is_null();
    door.until("silent of a call with pictures", sees).await;
    line.hears(1).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_of_no_use_is_refused_before_anything_opens_or_rings() {
    let server = at_callbox().await;
    let foreign = WITHOUT_H264.replace("opus/48000", "L16/48000");
    for (name, answer) in [("anna", ""), ("ben", "calls = { answer = \"ring\" }")] {
        let door = Door::open(&server.url, answer).await;
        let mut caller = Caller::join(&server.url, name).await;
        for (sdp, reason) in [(WITHOUT_BUNDLE, "BUNDLE is required"), (foreign.as_str(), "nothing in the description")]
        {
            let offer = caller.offer(wire(sdp));
            caller.say(&offer).await;
            let refusal = caller
                .hear("an error", |m| match m {
                    Message::Error { code: ErrorCode::BadSdp, message, .. } => Some(message),
                    Message::Ringing { .. } => panic!("it rings"),
                    _ => None,
                })
                .await;
            assert!(refusal.contains(reason), "{refusal}");
            assert_eq!(caller.hear_leave().await, Some(Reason::Failed));
        }
        let status = door.status().await;
        assert!(
            status["media"]["microphone"].is_null() && status["calls"].as_array().unwrap().is_empty(),
            "{status:#}"
        );
        door.close().await;
    }
}
