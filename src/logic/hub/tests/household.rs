//! People with random rights and two devices, who come, go and talk while their rights change.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::World;
use super::access::{KINDS, device, id, member, message, person};
use crate::logic::access::{Grants, Pass, Right, Rights, Role, know_each_other};
use crate::logic::hub::{ConnId, Input, Origin};
use crate::protocol::Kind;

const PEOPLE: [&str; 4] = ["anna", "ben", "carl", "dora"];
const DEVICES: [&str; 2] = ["door", "gate"];

#[derive(Clone, Debug)]
enum Act {
    /// A connection comes with what counts for that one now, or with a token for it.
    Come(usize, bool),
    Gone(usize),
    /// Somebody says something to another, with rights of their own making or without.
    Say(usize, &'static str, usize, bool),
    LeaveAll(usize),
    Stranger(usize, &'static str),
    Change(usize, Option<(Role, u8, [u8; 2])>),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let who = 0..PEOPLE.len() + DEVICES.len();
    let role = prop::sample::select(vec![Role::Owner, Role::Member, Role::Guest]);
    let rights = prop_oneof![Just(0_u8), Just(0b11), 0..32_u8];
    let grants = prop::option::weighted(0.8, (role, rights.clone(), [rights.clone(), rights]));
    let kind = prop::sample::select(KINDS.to_vec());
    prop_oneof![
        4 => (who.clone(), any::<bool>()).prop_map(|(who, token)| Act::Come(who, token)),
        1 => who.clone().prop_map(Act::Gone),
        12 => (who.clone(), kind.clone(), who.clone(), any::<bool>()).prop_map(|(from, kind, to, forges)| Act::Say(from, kind, to, forges)),
        1 => who.clone().prop_map(Act::LeaveAll),
        1 => (who.clone(), kind).prop_map(|(to, kind)| Act::Stranger(to, kind)),
        3 => (0..PEOPLE.len(), grants).prop_map(|(who, grants)| Act::Change(who, grants)),
        2 => (0..100_u64).prop_map(Act::Pass),
    ]
}

/// A household: who it knows, and the latest connection of each.
struct House {
    world: World,
    passes: BTreeMap<usize, Pass>,
    conns: BTreeMap<usize, u64>,
    next: u64,
}

impl House {
    fn name(who: usize) -> &'static str {
        PEOPLE.iter().chain(&DEVICES).nth(who).unwrap()
    }

    fn take(&mut self, act: Act) {
        match act {
            Act::Come(who, by_token) => {
                self.next += 1;
                let pass = self.passes.get(&who).cloned().unwrap_or(Pass::Nobody);
                let kind = if who < PEOPLE.len() { Kind::Person } else { Kind::Device };
                let accepts = if self.next.is_multiple_of(2) { json!(["peers"]) } else { json!([]) };
                let name = House::name(who);
                self.world.tokens.insert(name.to_owned(), pass.clone());
                let shown = if by_token { Pass::Nobody } else { pass.clone() };
                self.world.connect_with(self.next, Origin::Local, shown);
                let token = if by_token { json!(name) } else { Value::Null };
                let join = json!({"type": "join", "userId": name, "kind": kind, "accepts": accepts, "token": token});
                self.world.say(self.next, join);
                let joined = self.world.names.contains_key(&ConnId(self.next));
                assert_eq!(joined, pass != Pass::Nobody, "{pass:?}");
                if joined {
                    self.conns.insert(who, self.next);
                }
            }
            Act::Gone(who) => {
                if let Some(conn) = self.conns.remove(&who) {
                    self.world.gone(conn);
                }
            }
            Act::Say(from, kind, to, forges) => {
                let mut said = message(kind, House::name(to));
                if forges {
                    said["rights"] = json!(["view", "manage"]);
                }
                if let Some(conn) = self.conns.get(&from) {
                    self.world.say(*conn, said);
                }
            }
            Act::LeaveAll(who) => {
                if let Some(conn) = self.conns.remove(&who) {
                    // Partners hear it, whatever they may do with each other by now.
                    self.world.say(conn, json!({"type": "leave"}));
                    self.world.gone(conn);
                }
            }
            Act::Stranger(to, kind) => {
                self.next += 1;
                self.world.connect_with(self.next, Origin::Local, Pass::Nobody);
                self.world.say(self.next, json!({"type": "join", "userId": House::name(to)}));
                self.world.say(self.next, message(kind, House::name(to)));
                self.world.settle();
                let heard = self.world.heard.remove(&ConnId(self.next)).unwrap_or_default();
                assert!(heard.iter().all(|message| message["type"] == "error"), "{heard:?}");
                assert!(heard.iter().all(|error| error["code"] == "unauthorized" || error["code"] == "notJoined"));
                self.world.gone(self.next);
            }
            Act::Change(who, grants) => {
                let set = |bits: u8| {
                    Rights::from(
                        Right::ALL.into_iter().filter(|right| bits >> *right as u8 & 1 == 1).collect::<Vec<_>>(),
                    )
                };
                let pass = grants.map_or(Pass::Nobody, |(role, everywhere, at)| {
                    let at = DEVICES.iter().zip(at).map(|(device, bits)| (id(device), set(bits)));
                    // Some devices are not named.
                    let at = at.filter(|(_, rights)| rights.has(Right::Manage) || everywhere % 2 == 0).collect();
                    person(House::name(who), role, Grants { everywhere: set(everywhere), at })
                });
                self.passes.insert(who, pass.clone());
                let old = self.conns.get(&who).map(|conn| self.world.passes[&ConnId(*conn)].clone());
                match self.conns.get(&who) {
                    Some(conn) => self.world.change_pass(*conn, &pass),
                    None => self.world.feed(Input::Revoked(id(House::name(who)))),
                }
                if old.is_some_and(|old| old != pass) {
                    self.conns.remove(&who);
                }
            }
            Act::Pass(millis) => self.world.pass(Duration::from_millis(millis)),
        }
        let open = |conn: &u64| self.world.open.contains(&ConnId(*conn));
        assert!(self.conns.values().all(open), "who may be here is sent away");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// `World::hears` asserts that nothing is relayed and nobody is told of against what counts at that moment; here, that
    /// in the end all know exactly of those whom they may know of.
    #[test]
    fn a_household_in_motion(acts in prop::collection::vec(act(), 1..150)) {
        let passes = (0..).zip(PEOPLE.map(member).into_iter().chain(DEVICES.map(device))).collect();
        let mut house = House { world: World::new(500), passes, conns: BTreeMap::new(), next: 0 };
        for act in acts {
            house.take(act);
        }
        let House { mut world, conns, .. } = house;
        world.settle();
        prop_assert_eq!(world.hub.online(), conns.len());
        for (who, conn) in &conns {
            let pass = &world.passes[&ConnId(*conn)];
            let others = conns.iter().filter(|(other, _)| *other != who);
            let known = others.filter(|(_, other)| know_each_other(pass, &world.passes[&ConnId(**other)]));
            let mut known: Vec<_> = known.map(|(other, _)| House::name(*other)).collect();
            known.sort_unstable();
            prop_assert_eq!(world.view(*conn), known, "{:?}", pass);
        }
    }
}
