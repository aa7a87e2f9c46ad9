//! Any household in any order, against a model that is too simple to be wrong: nobody gets in by what was used up, has
//! ended or was taken back.
#![no_main]

use callbox::store::memory::{Invite, Memory};
use callbox::store::{Hash, Sqlite, Timestamp};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 3] = ["Anna", "Ben", "Cleo"];

#[derive(Default)]
struct Model {
    /// Of each invitation: whose, uses left, end.
    invitations: Vec<Option<(usize, u32, Option<i64>)>>,
    /// Of each session: whose, where it counts, and its ID.
    sessions: Vec<(Option<usize>, String)>,
    now: i64,
}

fn hash(of: &str, number: usize) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes[8..8 + of.len()].copy_from_slice(of.as_bytes());
    Hash(bytes)
}

fn turn(memory: &mut Sqlite, model: &mut Model, input: &mut Unstructured) -> Result<()> {
    let (what, nth) = (input.int_in_range(0..=6)?, input.int_in_range(0..=9)?);
    let (who, now) = (nth % NAMES.len(), Timestamp(1_800_000_000 + model.now));
    match what {
        0 if model.invitations.len() < 10 => {
            let (uses, end) = (input.int_in_range(1..=3)?, input.int_in_range(0..=20)?);
            let expires = (end > 0).then(|| model.now + end);
            let secret = hash("link", model.invitations.len());
            let invite = Invite {
                name: NAMES[who].to_owned(),
                role: None,
                grants: None,
                from: None,
                until: None,
                uses,
                expires: expires.map(|end| Timestamp(1_800_000_000 + end)),
            };
            memory.invite(&invite, secret, now).expect("an invitation");
            model.invitations.push(Some((who, uses, expires)));
        }
        1 | 2 => {
            let session = hash("session", model.sessions.len());
            let redeemed = memory.redeem(hash("link", nth), "fuzzer", session, None, now);
            let good = model.invitations.get(nth).copied().flatten();
            let good = good.filter(|(_, uses, expires)| *uses > 0 && expires.is_none_or(|end| model.now < end));
            assert_eq!(redeemed.is_ok(), good.is_some(), "{redeemed:?} {good:?}");
            if let (Ok(redeemed), Some((who, uses, expires))) = (redeemed, good) {
                model.invitations[nth] = Some((who, uses - 1, expires));
                model.sessions.push((Some(who), redeemed.session));
            }
        }
        3 => {
            let counts = model.sessions.get(nth).is_some_and(|(who, _)| who.is_some());
            assert_eq!(memory.session(hash("session", nth), now).unwrap().is_some(), counts);
        }
        4 => {
            let known = model.sessions.iter().any(|(of, _)| *of == Some(who))
                || model.invitations.iter().flatten().any(|(of, ..)| *of == who);
            // Somebody without a browser may be known all the same.
            assert!(memory.revoke(NAMES[who], true).is_ok() || !known);
            model.sessions.iter_mut().filter(|(of, _)| *of == Some(who)).for_each(|gone| gone.0 = None);
            model
                .invitations
                .iter_mut()
                .filter(|of| of.is_some_and(|(of, ..)| of == who))
                .for_each(|gone| *gone = None);
        }
        5 => {
            if let Some((who, id)) = model.sessions.get_mut(nth) {
                assert_eq!(memory.revoke(id, true).is_ok(), who.take().is_some());
            }
        }
        _ => model.now += input.int_in_range(0..=9)?,
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut memory = Sqlite::open(dir.path()).unwrap().memory;
    let (mut model, mut input) = (Model::default(), Unstructured::new(bytes.get(..200).unwrap_or(bytes)));
    while !input.is_empty() && turn(&mut memory, &mut model, &mut input).is_ok() {}
});
