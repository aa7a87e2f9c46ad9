//! Other people's clients, as far as a person at the device has to hear of them.

use std::sync::Mutex;

use callbox::device::control::Operation;
use callbox::net::peer::Peer;
use callbox::protocol::{Description, ErrorCode, Message, Reason};

use crate::caller::{Caller, Door, at_callbox, door, ice, offer_from, soon};

/// As the client's own line ends have them on the wire.
fn wire(sdp: &str) -> String {
    sdp.replace('\n', "\r\n")
}

const CHROMIUM: &str = include_str!("../../src/net/peer/tests/offers/chromium.sdp");
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

/// What the log says of sound-only calls: call ID and words.
static LOGGED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "callbox::device::session"
    }

    fn log(&self, record: &log::Record<'_>) {
        if let Some(why) = record.args().to_string().strip_prefix("sound only: ") {
            let call = record.key_values().get("call".into()).map(|call| call.to_string());
            LOGGED.lock().unwrap().push((call.unwrap_or_default(), why.to_owned()));
        }
    }

    fn flush(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_for_a_call_without_pictures_is_in_the_status_and_once_in_the_log() {
    log::set_logger(&Logger).map(|()| log::set_max_level(log::LevelFilter::Warn)).unwrap();
    let server = at_callbox().await;
    let at_door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    let reasons = [
        ("the browser has no H.264", CHROMIUM.replace("H264/90000", "VP9/90000")),
        ("single NAL units only", CHROMIUM.replace("packetization-mode=1", "packetization-mode=0")),
        ("up to level 1.3 only", CHROMIUM.replace("1f\n", "0d\n")),
        ("leaves out the picture's section", CHROMIUM.replace("BUNDLE 0 1 2", "BUNDLE 0 2")),
    ];
    for (version, (why, sdp)) in reasons.iter().chain(&reasons).enumerate() {
        let sdp = wire(&sdp.replace("5731904462218730145 2", &format!("5731904462218730145 {version}")));
        anna.say(&offer_from("anna", sdp, Some("theirs"))).await;
        anna.hear("an answer", |m| matches!(m, Message::Answer { .. }).then_some(())).await;
        let told =
            |s: &serde_json::Value| s["calls"][0]["stats"]["soundOnly"].as_str().is_some_and(|w| w.contains(why));
        at_door.until(why, told).await;
    }

    let mut ben = Caller::join(&server.url, "ben").await;
    ben.hear("joined", |m| matches!(m, Message::Joined { .. }).then_some(())).await;
    let placed = soon("a call", at_door.order(Operation::Call { user: ben.me.clone() })).await.unwrap();
    let (sdp, call_id) = ben
        .hear("an offer", |m| match m {
            Message::Offer { offer, call_id, .. } => Some((offer.sdp, call_id)),
            _ => None,
        })
        .await;
    let (_peer, sdp, _events) = Peer::answer(&ice(), &sdp).await.unwrap();
    let answer = Description { kind: "answer".into(), sdp: sdp.replace("m=video 9", "m=video 0") };
    ben.say(&Message::Answer {
        user_id: Some(ben.me.clone()),
        target_id: door(),
        answer,
        call_id: call_id.clone(),
        rights: None,
        identity: None,
    })
    .await;
    let declined = |s: &serde_json::Value| {
        s["calls"][1]["stats"]["soundOnly"].as_str().is_some_and(|why| why.contains("declined the picture"))
    };
    at_door.until("declined", declined).await;
    at_door.close().await;

    let logged = LOGGED.lock().unwrap().clone();
    let of = |id: &str| logged.iter().filter(|(call, _)| call == id).map(|(_, why)| why.as_str()).collect::<Vec<_>>();
    let (theirs, ours) = (of("theirs"), of(call_id.as_deref().unwrap()));
    assert_eq!((theirs.len(), ours.len()), (reasons.len(), 1), "{placed}: {logged:?}");
    assert!(theirs.iter().zip(&reasons).all(|(logged, (why, _))| logged.contains(why)), "{theirs:?}");
    assert!(ours[0].contains("declined the picture"), "{ours:?}");
}
