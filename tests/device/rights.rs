//! What a caller may not do, they do not do, whatever their client tries.

use callbox::net::peer::Peer;
use callbox::protocol::Message;
use serde_json::json;

use crate::caller::{Caller, Door, at_callbox, ice};

/// The direction of each section of an answer, or "0" where it is rejected.
fn sections(sdp: &str) -> Vec<(String, String)> {
    let section = |text: &str| {
        let (medium, rest) = text.split_once(' ').unwrap();
        let directions = ["sendrecv", "sendonly", "recvonly", "inactive"];
        let direction = directions.into_iter().find(|name| text.contains(&format!("\na={name}")));
        let said = if rest.starts_with("0 ") { "0" } else { direction.unwrap_or("-") };
        (medium.to_owned(), said.to_owned())
    };
    sdp.split("m=").skip(1).map(section).collect()
}

async fn answer(caller: &mut Caller, offer: &Message) -> String {
    caller.say(offer).await;
    caller
        .hear("an answer", |m| match m {
            Message::Answer { answer, .. } => Some(answer.sdp),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_opens_its_own_part_of_a_call() {
    let server = at_callbox().await;
    for (rights, voice, pictures) in [
        ("'view', 'talk'", "sendrecv", "sendonly"),
        ("'view'", "sendonly", "sendonly"),
        ("'talk'", "recvonly", "inactive"),
    ] {
        let door = Door::open(&server.url, &format!("access = {{ rights = [{rights}] }}")).await;
        let mut anna = Caller::join(&server.url, "anna").await;
        let (peer, sdp, _events) = Peer::offer(&ice()).await.unwrap();
        // A stack like ours offers no video to a device; the section is asked for as a browser does.
        let sdp = sdp.replace("a=sendonly", "a=recvonly");
        let offer = anna.offer(sdp);
        let answer = answer(&mut anna, &offer).await;
        let said = sections(&answer);
        let find = |medium: &str| said.iter().find(|(name, _)| name == medium).map_or("-", |(_, said)| said);
        assert_eq!((find("audio"), find("video")), (voice, pictures), "{rights}: {answer}");
        peer.close().await;
        drop(anna);
        door.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_is_not_heard() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "access = { rights = ['view'] }").await;
    let mut mallory = Caller::join(&server.url, "mallory").await;
    let (peer, sdp, events) = Peer::offer(&ice()).await.unwrap();
    // The client says that it may, and sends whatever the answer says.
    let mut offer = serde_json::to_value(mallory.offer(sdp)).unwrap();
    offer["rights"] = json!(["view", "talk", "ring", "open", "manage"]);
    mallory.say_raw(&offer.to_string()).await;
    let answer = mallory
        .hear("an answer", |m| match m {
            Message::Answer { answer, .. } => Some(answer.sdp),
            _ => None,
        })
        .await;
    let (audio, rest) = answer.split_once("m=video").unwrap_or((&answer, ""));
    assert!(audio.contains("a=sendonly"), "{answer}");
    let forced = format!("{}m=video{rest}", audio.replace("a=sendonly", "a=sendrecv"));
    peer.accept_answer(&forced).await.unwrap();
    let line = mallory.talk(peer, events).await;
    line.speaks(100).await;
    let status = door.status().await;
    assert_eq!(status["calls"][0]["state"], "connected");
    assert_eq!(status["calls"][0]["stats"]["voice"]["packets"], 0, "{status:#}");
    line.close().await;
    door.close().await;

    // Where they may, they are.
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    let line = anna.call().await;
    line.speaks(100).await;
    door.until("anna is heard", |s| s["calls"][0]["stats"]["voice"]["packets"].as_u64() > Some(0)).await;
    line.close().await;
    door.close().await;
}
