//! Somebody rings at the device: who is told, who is heard, and what becomes of it when nobody plays along.

use callbox::device::control::Operation;
use callbox::protocol::{Attendance, Doing, Message, Visit, VisitId, VisitState};
use serde_json::{Value, json};

use crate::caller::{Caller, Door, at_callbox, door};

async fn ring(door: &Door) -> Result<Value, String> {
    door.order(Operation::Ring { bell: None, cancel: false }).await
}

/// The next word of the door's in that state.
async fn word(caller: &mut Caller, state: VisitState) -> Visit {
    caller
        .hear("the door's word", |m| match m {
            Message::Visit { visit, .. } if visit.state == state => Some(visit),
            _ => None,
        })
        .await
}

async fn attend(caller: &mut Caller, visit: &VisitId, does: Doing) {
    let (user_id, visit) = (Some(caller.me.clone()), visit.clone());
    caller.say(&Message::Attend { user_id, target_id: door(), visit, does, rights: None }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_is_not_heard_until_they_answer() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    ring(&door).await.unwrap();
    let visit = word(&mut anna, VisitState::Ringing).await;
    anna.because = Some(Attendance { id: visit.id.clone(), does: Doing::Looks });
    let line = anna.call().await;
    line.speaks(100).await;
    let status = door.status().await;
    assert_eq!(status["calls"][0]["stats"]["voice"]["packets"], 0, "{status:#}");
    assert_eq!(status["visits"][0]["state"], "ringing");

    let mut ben = Caller::join(&server.url, "ben").await;
    word(&mut ben, VisitState::Ringing).await;
    attend(&mut anna, &visit.id, Doing::Answers).await;
    let told = word(&mut ben, VisitState::Answered).await;
    assert_eq!(told.by.unwrap().user_id, anna.me);
    line.speaks(100).await;
    door.until("anna is heard", |s| s["calls"][0]["stats"]["voice"]["packets"].as_u64() > Some(0)).await;

    // Ben is too late, and whatever he sends is not for the door.
    ben.because = Some(Attendance { id: visit.id.clone(), does: Doing::Answers });
    let late = ben.call().await;
    late.speaks(100).await;
    let status = door.status().await;
    let his = status["calls"].as_array().unwrap().iter().find(|call| call["user"] == "ben").unwrap();
    assert_eq!(his["stats"]["voice"]["packets"], 0, "{status:#}");
    late.close().await;
    line.close().await;
    door.until("the visit is over", |s| s["visits"] == json!([])).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_calls_without_a_visit_is_heard_as_ever() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    ring(&door).await.unwrap();
    let visit = word(&mut anna, VisitState::Ringing).await;
    attend(&mut anna, &visit.id, Doing::Looks).await;
    anna.hear("a reply", |m| matches!(m, Message::Visit { target_id: Some(_), .. }).then_some(())).await;
    let line = anna.call().await;
    line.speaks(100).await;
    door.until("anna is heard", |s| s["calls"][0]["stats"]["voice"]["packets"].as_u64() > Some(0)).await;
    line.close().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_say_of_visits_disturbs_nobody() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    // Of no visit, of one that is none, and of the door's own kind.
    attend(&mut anna, &VisitId::of(7), Doing::Answers).await;
    assert_eq!(word(&mut anna, VisitState::Over).await.id, VisitId::of(7));
    anna.say_raw(r#"{"type":"attend","targetId":"door","visit":"A B","does":"looks"}"#).await;
    anna.hear_error().await;
    let word_of_hers = json!({"id": "v1", "state": "ringing", "bell": "x", "rings": ["everyone"], "seconds": 0});
    anna.say_raw(&json!({"type": "visit", "visit": word_of_hers}).to_string()).await;
    anna.hear_error().await;
    ring(&door).await.unwrap();
    let visit = word(&mut anna, VisitState::Ringing).await;
    attend(&mut anna, &visit.id, Doing::Rings).await;
    attend(&mut anna, &visit.id, Doing::Declines).await;
    word(&mut anna, VisitState::Declined).await;
    assert!(ring(&door).await.is_ok(), "the next one");
    door.close().await;
}
