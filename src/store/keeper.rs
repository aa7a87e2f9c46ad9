//! The memory among tasks: one thread owns it and does what it is asked, one thing after the other, so that no task waits for
//! the disk and no two changes mix.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep;

use super::Memory;

/// Questions that wait. When there are so many, whoever asks waits until there is room.
const QUEUE: usize = 64;
/// How soon what another process changed is noticed.
const LOOK: Duration = Duration::from_millis(500);

/// Asks the thread that owns the memory. Cheap to clone; the thread ends with the last one.
#[derive(Clone)]
pub struct Keeper {
    questions: mpsc::Sender<Question>,
    changes: Arc<watch::Sender<u64>>,
    subscribed: Arc<Notify>,
}

/// The memory gives no answer: answering panicked, or the thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the server remembers cannot be asked; the log says why")]
pub struct Gone;

type Question = Box<dyn FnOnce(&mut dyn Memory) + Send>;

impl Keeper {
    /// Fails where no thread can be started.
    pub fn start(memory: Box<dyn Memory>) -> io::Result<Keeper> {
        let (questions, asked) = mpsc::channel(QUEUE);
        let (changes, _) = watch::channel(0);
        let keeper = Keeper { questions, changes: Arc::new(changes), subscribed: Arc::default() };
        let (changes, subscribed) = (keeper.changes.clone(), keeper.subscribed.clone());
        let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
        let keep = move || runtime.block_on(keep(memory, asked, &changes, &subscribed));
        thread::Builder::new().name("memory".to_owned()).spawn(keep)?;
        Ok(keeper)
    }

    /// What is asked is done even if nobody waits for the answer any more. A panic in it ends nothing else.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Memory) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let (reply, answer) = oneshot::channel();
        let question = Box::new(move |memory: &mut dyn Memory| drop(reply.send(question(memory))));
        self.questions.send(question).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// A number that goes up after every change, whichever process made it, and now and then without one. Closed when the
    /// thread and all keepers are gone.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let changes = self.changes.subscribe();
        self.subscribed.notify_one();
        changes
    }
}

async fn keep(
    mut memory: Box<dyn Memory>,
    mut asked: mpsc::Receiver<Question>,
    changes: &watch::Sender<u64>,
    subscribed: &Notify,
) {
    let mut version = memory.version();
    loop {
        // Whoever is not subscribed wakes nobody.
        let watched = changes.receiver_count() > 0;
        tokio::select! {
            question = asked.recv() => match question {
                Some(question) => answer(memory.as_mut(), question),
                None => return,
            },
            () = sleep(LOOK), if watched => {}
            () = subscribed.notified() => {}
        }
        let newest = memory.version();
        if newest != version {
            version = newest;
            changes.send_modify(|changes| *changes += 1);
        }
    }
}

/// A transaction that a panic interrupts is rolled back, so the memory is as it was before.
fn answer(memory: &mut dyn Memory, question: Question) {
    if catch_unwind(AssertUnwindSafe(|| question(memory))).is_err() {
        log::error!("a question to the server's memory panicked");
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::channel;
    use tokio::time::timeout;

    use super::super::{Hash, Invite, Sqlite, Timestamp};
    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    fn anna() -> Invite {
        let name = "Anna".to_owned();
        Invite { name, role: None, grants: None, from: None, until: None, uses: 9, expires: None }
    }

    fn invite(memory: &mut dyn Memory, number: u8) {
        memory.invite(&anna(), Hash([number; 32]), Timestamp(0)).unwrap();
    }

    #[tokio::test]
    async fn it_answers_and_a_panic_ends_one_question_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(Box::new(Sqlite::open(dir.path()).unwrap().memory)).unwrap();
        keeper.ask(|memory| invite(memory, 1)).await.unwrap();
        assert_eq!(keeper.ask::<()>(|_| panic!("as a fault might")).await, Err(Gone));
        assert_eq!(keeper.clone().ask(|memory| memory.people().unwrap().len()).await, Ok(1));
    }

    #[tokio::test]
    async fn whoever_asks_when_the_queue_is_full_waits() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(Box::new(Sqlite::open(dir.path()).unwrap().memory)).unwrap();
        let (open, shut) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = channel::<()>();
        let busy = keeper.clone();
        let busy = tokio::spawn(async move {
            busy.ask(move |_| {
                begun.send(()).unwrap();
                shut.recv()
            })
            .await
        });
        has_begun.await.unwrap();
        let (done, mut answered) = mpsc::unbounded_channel();
        for _ in 0..=QUEUE {
            let (keeper, done) = (keeper.clone(), done.clone());
            tokio::spawn(async move { done.send(keeper.ask(|_| ()).await).unwrap() });
        }
        while keeper.questions.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(answered.try_recv().is_err());
        open.send(()).unwrap();
        for _ in 0..=QUEUE {
            assert_eq!(timeout(BOUND, answered.recv()).await.unwrap(), Some(Ok(())));
        }
        busy.await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn changes_are_told_whoever_made_them() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(Box::new(Sqlite::open(dir.path()).unwrap().memory)).unwrap();
        let mut changes = keeper.changes();
        keeper.ask(|memory| invite(memory, 1)).await.unwrap();
        timeout(BOUND, changes.changed()).await.unwrap().unwrap();
        changes.mark_unchanged();
        keeper.ask(|memory| memory.people().unwrap().len()).await.unwrap();
        assert!(!changes.has_changed().unwrap(), "looking is no change");
        let mut other = Sqlite::open(dir.path()).unwrap().memory;
        invite(&mut other, 2);
        timeout(BOUND, changes.changed()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_last_keeper() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(Box::new(Sqlite::open(dir.path()).unwrap().memory)).unwrap();
        let mut changes = keeper.changes();
        drop(keeper.clone());
        keeper.ask(|_| ()).await.unwrap();
        drop(keeper);
        assert!(timeout(BOUND, changes.changed()).await.unwrap().is_err());
    }
}
