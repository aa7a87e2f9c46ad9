//! Who has come in and on what grounds, so that whoever is no longer welcome goes: a change of the memory, its end of time,
//! or a clock that was set brings a look at those whom it concerns.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::household::Now;
use super::{Household, devices};
use crate::base::lock::lock;
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Input};
use crate::protocol::{Key, UserId};
use crate::server::exchange::Shared;
use crate::server::listen::Tasks;
use crate::store::Timestamp;

/// How often it is looked whether somebody's time is over: their access ends within two seconds.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is noted that those who are here are still here.
const NOTE: Duration = Duration::from_secs(3600);
/// Sessions asked for at once, so that others find the memory's thread free in between.
const BATCH: usize = 128;
/// People who went and whose calls may still run, since media need no server; the longest gone is forgotten first.
const ABSENT: usize = 1024;

/// What lets a connection in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The session's ID.
    pub session: String,
    pub pass: Pass,
    /// The browser's own, as far as it has told us.
    pub key: Option<Box<Key>>,
    /// When it is over by itself.
    pub until: Option<Timestamp>,
}

#[derive(Default)]
pub struct Visits {
    /// By connection; without a visit where nothing was shown yet.
    present: Mutex<HashMap<ConnId, Option<Visit>>>,
    absent: Mutex<VecDeque<Visit>>,
}

impl Visits {
    /// Somebody is at the door, and has shown this or nothing.
    pub fn come(&self, conn: ConnId, visit: Option<Visit>) {
        lock(&self.present).insert(conn, None);
        if let Some(visit) = visit {
            self.enter(conn, visit);
        }
    }

    /// Somebody has shown what lets them in, unless they have gone meanwhile.
    pub fn enter(&self, conn: ConnId, visit: Visit) {
        if let Some(place) = lock(&self.present).get_mut(&conn) {
            lock(&self.absent).retain(|gone| gone.session != visit.session);
            *place = Some(visit);
        }
    }

    pub fn leave(&self, conn: ConnId) {
        let Some(Some(visit)) = lock(&self.present).remove(&conn) else { return };
        let mut absent = lock(&self.absent);
        absent.retain(|gone| gone.session != visit.session);
        if absent.len() >= ABSENT {
            absent.pop_front();
        }
        absent.push_back(visit);
    }

    /// Who is here now.
    pub fn sessions(&self) -> Vec<String> {
        lock(&self.present).values().flatten().map(|visit| visit.session.clone()).collect()
    }

    fn all(&self) -> Vec<(Option<ConnId>, Visit)> {
        let present = lock(&self.present);
        let here = present.iter().filter_map(|(conn, visit)| Some((Some(*conn), visit.clone()?)));
        let mut all: Vec<_> = here.collect();
        all.extend(lock(&self.absent).iter().map(|visit| (None, visit.clone())));
        all
    }

    fn changed(&self, conn: ConnId, visit: Option<Visit>) {
        if let Some(place) = lock(&self.present).get_mut(&conn) {
            *place = visit;
        }
    }

    /// What somebody who went counts for has changed; unless they are here again.
    fn still_away(&self, is: Option<Visit>) {
        let mut absent = lock(&self.absent);
        if let Some(is) = is
            && let Some(place) = absent.iter_mut().find(|gone| gone.session == is.session)
        {
            *place = is;
        }
    }

    fn forget_absent(&self, session: &str) {
        lock(&self.absent).retain(|gone| gone.session != session);
    }
}

/// Looks after all visits until the server ends.
pub async fn watch(household: Arc<Household>, shared: Arc<Shared>, tasks: Tasks) {
    let mut changes = household.changes();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut note = tokio::time::interval(NOTE);
    note.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopped = tasks.stopped();
    tokio::pin!(stopped);
    let mut again = false;
    loop {
        let all = again
            | tokio::select! {
                () = &mut stopped => return,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    true
                }
                _ = look.tick() => false,
                _ = note.tick() => {
                    if household.seen(household.visits.sessions()).await.is_err() {
                        continue;
                    }
                    false
                }
            };
        again = all && devices::review(&household, &shared).await.is_err();
        let now = Now::read().time;
        let is_due = |visit: &Visit| all || visit.until.is_some_and(|until| until <= now);
        let due: Vec<_> = household.visits.all().into_iter().filter(|(_, visit)| is_due(visit)).collect();
        for batch in due.chunks(BATCH) {
            let sessions = batch.iter().map(|(_, visit)| visit.session.clone()).collect();
            let Ok(looked) = household.look(sessions).await else {
                again = true;
                continue;
            };
            for ((conn, was), is) in batch.iter().zip(looked) {
                review(&household.visits, &shared, *conn, was, is);
            }
        }
    }
}

pub(super) fn review(visits: &Visits, shared: &Shared, conn: Option<ConnId>, was: &Visit, is: Option<Visit>) {
    if is.as_ref() == Some(was) {
        return;
    }
    match conn {
        Some(conn) => {
            shared.tell(Input::PassChanged(conn, is.as_ref().map_or(Pass::Nobody, |visit| visit.pass.clone())));
            visits.changed(conn, is);
        }
        // Who went and has another name or key since is still whom they talk to.
        None if is.as_ref().is_some_and(|is| is.pass.counts_as(&was.pass)) => visits.still_away(is),
        None => {
            if let Some(user) = user(was) {
                shared.tell(Input::Revoked(user));
            }
            visits.forget_absent(&was.session);
        }
    }
}

fn user(visit: &Visit) -> Option<UserId> {
    match &visit.pass {
        Pass::Person(person) => Some(person.user_id.clone()),
        Pass::Nobody | Pass::Anybody | Pass::Device(_) => None,
    }
}
