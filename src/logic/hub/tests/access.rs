//! Who is let in, who hears whom, and what ends with the rights to it.

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use crate::logic::access::{Device, Grants, Pass, Person, Reach, Right, Rights, Role, know_each_other, reach};
use crate::logic::hub::{ConnId, Input, Origin};
use crate::protocol::{MAX_UNAUTHORIZED, UserId, close};

pub(super) fn id(text: &str) -> UserId {
    text.parse().unwrap()
}

pub(super) fn device(name: &str) -> Pass {
    Pass::Device(Device { id: id(name), vouch: None })
}

pub(super) fn person(name: &str, role: Role, grants: Grants) -> Pass {
    Pass::Person(Person { user_id: id(name), name: format!("{name}'s name"), role, grants, vouch: None })
}

fn guest(name: &str, rights: &[Right]) -> Pass {
    person(name, Role::Guest, Grants::everywhere(Rights::of(rights)))
}

pub(super) fn member(name: &str) -> Pass {
    person(name, Role::Member, Grants::everywhere(Role::Member.usual_rights()))
}

/// What is relayed of each kind, as its sender writes it.
pub(super) fn message(kind: &str, to: &str) -> Value {
    let mut message = json!({"type": kind, "targetId": to});
    match kind {
        "offer" | "answer" => message[kind] = json!({"type": kind, "sdp": "v=0"}),
        "candidate" => message[kind] = Value::Null,
        "visit" => message[kind] = json!({"id": "v1", "state": "ringing", "bell": "Front", "seconds": 0}),
        "attend" => (message["visit"], message["does"]) = ("v1".into(), "looks".into()),
        "error" => (message["code"], message["message"]) = ("badSdp".into(), "".into()),
        _ => {}
    }
    message
}

pub(super) const KINDS: [&str; 8] = ["offer", "answer", "candidate", "ringing", "visit", "attend", "leave", "error"];

impl World {
    /// Connects with that pass, and joins under its ID.
    pub(super) fn join_as(&mut self, conn: u64, pass: &Pass) {
        self.connect_with(conn, Origin::Local, pass.clone());
        let (kind, id) = pass.holder().unwrap();
        self.say(conn, json!({"type": "join", "userId": id, "kind": kind, "accepts": if conn.is_multiple_of(2) { json!(["peers"]) } else { json!([]) }}));
    }

    pub(super) fn change_pass(&mut self, conn: u64, pass: &Pass) {
        self.passes.insert(ConnId(conn), pass.clone());
        self.feed(Input::PassChanged(ConnId(conn), pass.clone()));
    }

    pub(super) fn view(&self, conn: u64) -> Vec<&str> {
        self.views.get(&ConnId(conn)).into_iter().flatten().map(|(id, _)| id.as_str()).collect()
    }

    /// A message has come from one connection to the other.
    pub(super) fn check_permit(&mut self, from: ConnId, to: ConnId, message: &Value) {
        let (sender, reader) = (&self.passes[&from], &self.passes[&to]);
        let kind = message["type"].as_str().unwrap();
        let pair = |a, b| (self.names[a].clone(), self.names[b].clone());
        let pairs = [pair(&from, &to), pair(&to, &from)];
        let allowed = match kind {
            "offer" => reach(sender, reader) == Reach::Calls,
            "visit" => reach(sender, reader) == Reach::Calls && !matches!(sender, Pass::Person(_)),
            "leave" => reach(sender, reader) > Reach::Unseen || self.calls.contains(&pairs[0]),
            _ => reach(sender, reader) > Reach::Unseen,
        };
        assert!(allowed, "{sender:?} to {reader:?}: {message}");
        let rights = match (sender, reader, kind) {
            (Pass::Person(person), Pass::Device(device), "offer" | "answer" | "attend")
            | (Pass::Device(device), Pass::Person(person), "offer" | "answer" | "attend") => {
                Some(serde_json::to_value(person.rights_at(&device.id)).unwrap())
            }
            _ => None,
        };
        assert_eq!(message.get("rights"), rights.as_ref(), "{message}");
        match kind {
            "offer" | "answer" => self.calls.extend(pairs),
            "leave" => pairs.iter().for_each(|pair| _ = self.calls.remove(pair)),
            _ => {}
        }
    }

    /// Nobody is told of somebody whom they may not know of, or were never allowed to.
    pub(super) fn check_presence(&self, to: ConnId, message: &Value) {
        let viewer = &self.passes[&to];
        let of = |value: &Value| value["userId"].as_str().map(str::to_owned).unwrap();
        let list = |key: &str| message[key].as_array().cloned().unwrap_or_default();
        let (online, offline) = match message["type"].as_str().unwrap() {
            "joined" => (list("peers").iter().map(of).collect(), Vec::new()),
            "peers" => (list("online").iter().map(of).collect(), list("offline")),
            "presence" if message["online"] == true => (vec![of(&message["peer"])], Vec::new()),
            "presence" => (Vec::new(), vec![message["peer"]["userId"].clone()]),
            _ => return,
        };
        for id in online {
            let pass = &self.passes[&self.holders[&id]];
            assert!(know_each_other(viewer, pass), "{viewer:?} is told of {pass:?}");
        }
        for id in offline {
            let ever = &self.ever[id.as_str().unwrap()];
            assert!(ever.iter().any(|pass| know_each_other(viewer, pass)), "{viewer:?} is told of {id}'s end");
        }
    }
}

#[test]
fn without_a_pass_nobody_is_let_in_and_the_third_time_is_the_last() {
    let mut world = World::new(9);
    world.join_as(1, &device("door"));
    world.connect_with(2, Origin::Local, Pass::Nobody);
    for n in 1..=MAX_UNAUTHORIZED {
        assert!(world.closed.is_empty());
        world.say(2, message("offer", "door"));
        // An ID that is on line and one that is not look the same.
        world.say(2, json!({"type": "join", "userId": if n == 1 { "door" } else { "anna" }}));
        let error = world.heard[&ConnId(2)].last().unwrap();
        assert_eq!((&error["code"], &error["inReplyTo"]), (&json!("unauthorized"), &json!("join")));
        assert!(error["message"].as_str().unwrap().contains("invitation"));
        assert_eq!(world.take(2), ["notJoined", "unauthorized"]);
    }
    assert_eq!(world.closed, [(ConnId(2), close::UNAUTHORIZED)]);
    assert!(world.pinged.is_empty() && world.take(1) == ["joined"]);
}

#[test]
fn a_token_lets_in_whom_it_is_for_where_nothing_else_does() {
    let mut world = World::new(9);
    world.tokens.insert("good".into(), guest("anna", &[Right::View]));
    world.join_as(1, &device("door"));
    let join = |user: &str, token: &str| json!({"type": "join", "userId": user, "token": token});
    world.connect_with(2, Origin::Local, Pass::Nobody);
    world.say(2, join("anna", "bad"));
    world.say(2, join("ben", "good"));
    assert!(world.heard[&ConnId(2)][1]["message"].as_str().unwrap().contains("anna"));
    // What a token counted for stays, and a further one is no longer looked at.
    world.say(2, join("anna", "bad"));
    assert_eq!(world.take(2), ["unauthorized", "unauthorized", "joined"]);
    world.connect(3);
    world.say(3, join("carl", "good"));
    assert_eq!(world.take(3), ["joined"]);
    assert_eq!(world.passes[&ConnId(3)], Pass::Anybody);
}

#[test]
fn a_token_that_is_looked_up_for_too_long_lets_nobody_in() {
    let mut world = World::new(9);
    world.feed(Input::Authorised(ConnId(1), device("door")));
    world.connect_with(1, Origin::Local, Pass::Nobody);
    world.feed(Input::Authorised(ConnId(1), device("door")));
    world.say(1, json!({"type": "join", "userId": "door", "kind": "device"}));
    assert_eq!(world.take(1), ["unauthorized"], "nobody asked");
    world.pass(crate::protocol::JOIN_TIMEOUT);
    assert_eq!(world.closed, [(ConnId(1), close::POLICY)]);
    world.feed(Input::Authorised(ConnId(1), device("door")));
    assert_eq!(world.hub.online(), 0);
}

#[test]
fn one_joins_under_the_own_id_and_name() {
    let mut world = World::new(9);
    world.connect_with(1, Origin::Local, device("door"));
    world.say(1, json!({"type": "join", "userId": "gate", "kind": "device"}));
    world.say(1, json!({"type": "join", "userId": "door"}));
    world.say(1, json!({"type": "join", "userId": "door", "kind": "device", "name": "Front door"}));
    assert_eq!(world.take(1), ["unauthorized", "unauthorized", "joined"]);
    let mut grants = Grants::everywhere(Rights::of(&[Right::View]));
    grants.at.insert(id("cellar"), Rights::NONE);
    grants.at.insert(id("gate"), Rights::ALL);
    world.connect_with(2, Origin::Local, person("anna", Role::Guest, grants));
    world.say(2, json!({"type": "join", "userId": "anna", "name": "The owner"}));
    world.settle();
    assert_eq!(world.views[&ConnId(1)]["anna"]["name"], "anna's name");
    assert_eq!(world.views[&ConnId(2)]["door"]["name"], "Front door");
    let rights = json!({"everywhere": ["view"], "at": {"gate": ["view", "talk", "ring", "open", "manage"]}});
    let you = json!({"name": "anna's name", "role": "guest", "rights": rights});
    assert_eq!(world.heard[&ConnId(2)][0]["you"], you);
    assert!(world.heard[&ConnId(1)].iter().all(|joined| joined.get("you").is_none()));
    // Who is turned away in the middle stays who they are.
    world.say(2, json!({"type": "join", "userId": "anna", "kind": "device"}));
    world.say(2, message("offer", "door"));
    assert_eq!(world.take(2).last().unwrap(), "unauthorized");
    assert_eq!(world.take(1).last().unwrap(), "offer");
}

#[test]
fn who_comes_once_more_replaces_themselves_at_once() {
    let mut world = World::new(9);
    for (conn, pass) in [(1, device("door")), (3, member("anna"))] {
        world.join_as(conn, &pass);
        world.join_as(conn + 1, &pass);
        assert_eq!(world.closed.pop(), Some((ConnId(conn), close::REPLACED)));
        assert_eq!(world.take(conn + 1)[0], "joined");
    }
    assert!(world.pinged.is_empty());
    // Somebody else still has to wait for a sign of life.
    world.join(5, "anna");
    assert_eq!(world.pinged, [ConnId(4)]);
}

/// Every kind of message between every two, read at a glance and in full: what arrives is checked by
/// [`World::check_permit`], and here that everything else is refused with the right words.
#[test]
fn what_is_relayed_between_whom() {
    let passes = [
        device("door"),
        device("gate"),
        person("olga", Role::Owner, Grants::default()),
        member("mia"),
        member("max"),
        person("mum", Role::Member, Grants::only_at([id("gate")], Rights::of(&[Right::Ring]))),
        guest("viewer", &[Right::View]),
        guest("talker", &[Right::Talk]),
        guest("ringer", &[Right::Ring]),
        guest("opener", &[Right::Open]),
        guest("manager", &[Right::Manage]),
        guest("shut out", &[]),
        person("gate guest", Role::Guest, Grants::only_at([id("gate")], Rights::ALL)),
        Pass::Anybody,
    ];
    let mut world = World::new(99);
    for (conn, pass) in (0..).zip(&passes) {
        match pass {
            Pass::Anybody => world.join(conn, "anybody"),
            Pass::Nobody | Pass::Device(_) | Pass::Person(_) => world.join_as(conn, pass),
        }
    }
    world.settle();
    let names: Vec<_> = (0..passes.len() as u64).map(|conn| world.names[&ConnId(conn)].clone()).collect();
    for (n, from) in passes.iter().enumerate() {
        for (m, to) in passes.iter().enumerate().filter(|(m, _)| *m != n) {
            for (kind, in_full) in KINDS.iter().flat_map(|kind| [(kind, false), (kind, true)]) {
                world.pass(Duration::from_secs(1));
                world.heard.clear();
                world.calls.clear();
                let mut said = message(kind, &names[m]);
                if in_full {
                    // A client may write there what it likes.
                    said["rights"] = json!(["view", "talk", "ring", "open", "manage"]);
                }
                world.say(n as u64, said.clone());
                let reached = reach(from, to);
                let passes = match *kind {
                    "offer" => reached == Reach::Calls,
                    "visit" => reached == Reach::Calls && !matches!(from, Pass::Person(_)),
                    _ => reached > Reach::Unseen,
                };
                assert_eq!(world.heard.contains_key(&ConnId(m as u64)), passes, "{from:?} to {to:?}: {said}");
                let mut answer = world.heard.remove(&ConnId(n as u64)).unwrap_or_default();
                if passes || *kind == "error" {
                    assert!(answer.is_empty(), "{answer:?}");
                } else if reached > Reach::Unseen {
                    assert_eq!(answer[0]["code"], "forbidden");
                    assert_eq!(answer[0]["message"], format!("you may not call {}", names[m]));
                } else {
                    // To the word as for nobody.
                    said["targetId"] = "ghost".into();
                    world.say(n as u64, said);
                    let nobody = world.heard[&ConnId(n as u64)][0].to_string();
                    assert_eq!(answer.remove(0).to_string(), nobody.replace("ghost", &names[m]));
                }
                // No pair stays in the record, which would let a `leave` pass.
                world.hub.calls.lock().unwrap().remove(&id(&names[n]), &id(&names[m]));
            }
        }
    }
}

#[test]
fn a_leave_within_a_call_passes_whatever_has_become_of_the_rights() {
    let mut world = World::new(9);
    world.join_as(1, &device("door"));
    world.join_as(2, &guest("anna", &[Right::View]));
    world.say(2, message("offer", "door"));
    // What she may do ends while she is away, and nobody has said so.
    world.gone(2);
    world.join_as(3, &guest("anna", &[]));
    world.take(1);
    world.say(3, message("candidate", "door"));
    world.say(3, message("leave", "door"));
    world.say(3, message("leave", "door"));
    assert_eq!(world.take(1), ["leave"]);
    assert_eq!(world.take(3), ["joined", "unknownTarget", "unknownTarget"]);
}

#[test]
fn each_is_told_of_those_whom_they_may_know_of() {
    let mut world = World::new(99);
    let passes = [
        device("door"),
        device("gate"),
        member("mia"),
        member("max"),
        person("gil", Role::Guest, Grants::only_at([id("gate")], Rights::of(&[Right::Open]))),
        guest("shut out", &[]),
    ];
    for (conn, pass) in (0..).zip(&passes) {
        world.join_as(conn, pass);
    }
    world.settle();
    assert_eq!(world.view(0), ["gate", "max", "mia"]);
    assert_eq!(world.view(1), ["door", "gil", "max", "mia"]);
    assert_eq!(world.view(2), ["door", "gate", "max"]);
    assert_eq!(world.view(4), ["gate"]);
    assert!(world.view(5).is_empty());
    world.heard.clear();
    world.gone(0);
    world.gone(2);
    world.settle();
    assert_eq!(world.view(1), ["gil", "max"]);
    assert!(!world.heard.contains_key(&ConnId(4)) && !world.heard.contains_key(&ConnId(5)));
}

/// Who comes back within a round of presence, as somebody whom not all may know of any more.
#[test]
fn who_may_no_longer_know_of_somebody_hears_that_they_went() {
    for by_claim in [true, false] {
        let mut world = World::new(99);
        world.join_as(1, &device("door"));
        world.join_as(2, &device("gate"));
        world.join_as(3, &guest("anna", &[Right::View]));
        world.settle();
        let at_gate = person("anna", Role::Guest, Grants::only_at([id("gate")], Rights::of(&[Right::Open])));
        if !by_claim {
            world.change_pass(3, &at_gate);
            assert_eq!(world.closed, [(ConnId(3), close::RIGHTS_CHANGED)]);
        }
        world.join_as(4, &at_gate);
        world.settle();
        assert_eq!(world.view(1), ["gate"]);
        assert_eq!(world.view(2), ["anna", "door"]);
        world.gone(4);
        world.settle();
        assert_eq!(world.view(2), ["door"]);
    }
}

#[test]
fn a_name_that_changes_is_told_and_nothing_ends() {
    let mut world = World::new(9);
    world.join_as(1, &device("door"));
    let mut anna = guest("anna", &[Right::View]);
    world.join_as(2, &anna);
    world.say(2, message("offer", "door"));
    world.take(1);
    world.change_pass(2, &anna.clone());
    assert!(world.take(1).is_empty(), "nothing has changed");
    let Pass::Person(person) = &mut anna else { unreachable!() };
    person.name = "Anna B.".into();
    world.change_pass(2, &anna);
    world.settle();
    assert_eq!(world.take(1), ["presence"]);
    assert_eq!(world.views[&ConnId(1)]["anna"]["name"], "Anna B.");
    world.say(2, json!({"type": "join", "userId": "anna", "name": "Anna"}));
    world.settle();
    assert_eq!(world.views[&ConnId(1)]["anna"]["name"], "Anna B.");
    assert!(world.closed.is_empty());
}

#[test]
fn calls_that_are_no_longer_what_they_were_end_with_the_rights() {
    let at = |rights: &[Right]| Grants {
        everywhere: Role::Member.usual_rights(),
        ..Grants::only_at([id("gate")], Rights::of(rights))
    };
    let mia = |rights: &[Right]| person("mia", Role::Member, at(rights));
    let all = [Right::View, Right::Talk];
    for (new, code, ended) in [
        (mia(&[Right::View, Right::Talk, Right::Open]), close::RIGHTS_CHANGED, vec![]),
        (mia(&[Right::View]), close::RIGHTS_CHANGED, vec!["gate"]),
        (mia(&[]), close::RIGHTS_CHANGED, vec!["gate"]),
        (person("mia", Role::Guest, at(&all)), close::RIGHTS_CHANGED, vec!["max"]),
        (Pass::Nobody, close::ACCESS_ENDED, vec!["door", "gate", "max"]),
    ] {
        let mut world = World::new(9);
        world.join_as(1, &device("door"));
        world.join_as(2, &device("gate"));
        world.join_as(3, &member("max"));
        world.join_as(4, &mia(&all));
        for partner in ["door", "gate", "max"] {
            world.say(4, message("offer", partner));
        }
        world.heard.clear();
        world.change_pass(4, &new);
        assert_eq!(world.closed, [(ConnId(4), code)]);
        let leave =
            |from: &str, to: &str| json!({"type": "leave", "userId": from, "targetId": to, "reason": "revoked"});
        let own: Vec<_> = ended.iter().map(|partner| leave(partner, "mia")).collect();
        let mut told = world.heard.remove(&ConnId(4)).unwrap_or_default();
        told.sort_by_key(|leave| leave["userId"].to_string());
        assert_eq!(told, own, "{new:?}");
        for (conn, partner) in [(1, "door"), (2, "gate"), (3, "max")] {
            let heard = world.heard.get(&ConnId(conn)).into_iter().flatten();
            let leaves: Vec<_> = heard.filter(|message| message["type"] == "leave").collect();
            assert_eq!(leaves.len(), usize::from(ended.contains(&partner)), "{new:?} at {partner}");
            assert!(leaves.iter().all(|message| **message == leave("mia", partner)));
        }
        assert_eq!(world.hub.calls.lock().unwrap().partners(&id("mia")).len(), 3 - ended.len());
    }
}

#[test]
fn who_is_away_when_a_call_is_revoked_is_told_later() {
    let mut world = World::new(9);
    world.join_as(1, &device("door"));
    world.join_as(2, &device("gate"));
    world.join_as(3, &guest("anna", &[Right::View]));
    world.say(3, message("offer", "door"));
    world.say(3, message("offer", "gate"));
    world.gone(3);
    world.heard.clear();
    world.feed(Input::Revoked(id("anna")));
    assert_eq!(world.heard[&ConnId(1)][0]["reason"], "revoked");
    assert_eq!(world.take(2)[0], "leave");
    // Her page hears of both calls, if it is let in again.
    world.join_as(4, &guest("anna", &[Right::View]));
    assert_eq!(world.take(4)[..3], ["joined", "leave", "leave"]);
    // And the other way round.
    world.say(4, message("offer", "door"));
    world.gone(1);
    world.change_pass(4, &Pass::Nobody);
    world.join_as(5, &device("door"));
    assert_eq!(
        world.heard[&ConnId(5)][1],
        json!({"type": "leave", "userId": "anna", "targetId": "door", "reason": "revoked"})
    );
    assert!(world.hub.calls.lock().unwrap().partners(&id("anna")).is_empty());
}

/// The page was loaded anew between the change and the word of it.
#[test]
fn calls_end_with_the_rights_of_the_connection_that_was_replaced() {
    let mut world = World::new(9);
    world.join_as(1, &device("door"));
    world.join_as(2, &guest("anna", &[Right::View, Right::Talk]));
    world.say(2, message("offer", "door"));
    world.take(1);
    world.join_as(3, &guest("anna", &[Right::View]));
    world.change_pass(2, &guest("anna", &[Right::View]));
    assert_eq!(world.take(3), ["joined", "leave"]);
    assert!(world.take(1).contains(&"leave".to_owned()));
    // With the same rights, nothing ends.
    world.say(3, message("offer", "door"));
    world.join_as(4, &guest("anna", &[Right::View]));
    assert_eq!(world.take(4), ["joined"]);
}

#[test]
fn a_stranger_takes_over_what_counts_for_it() {
    let mut world = World::new(9);
    world.connect_with(1, Origin::Local, Pass::Nobody);
    world.change_pass(1, &member("mia"));
    world.say(1, json!({"type": "join", "userId": "mia"}));
    assert_eq!(world.take(1), ["joined"]);
    world.connect_with(2, Origin::Local, member("max"));
    world.change_pass(2, &Pass::Nobody);
    assert_eq!(world.closed, [(ConnId(2), close::ACCESS_ENDED)]);
}
