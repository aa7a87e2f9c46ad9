//! What the tasks that own a state machine share: sleeping until it wants to be woken, and being asked for a sign of life.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// No task that is asked ever waits for anybody, so this is long even for a busy board.
const ANSWER: Duration = Duration::from_secs(3);

/// For ever without a time.
pub async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether the task behind `questions` answers. Takes seconds where it does not.
pub async fn answers<T>(questions: &mpsc::Sender<T>, question: impl FnOnce(oneshot::Sender<()>) -> T) -> bool {
    let (reply, answer) = oneshot::channel();
    let exchange = async { questions.send(question(reply)).await.is_ok() && answer.await.is_ok() };
    timeout(ANSWER, exchange).await.unwrap_or(false)
}

/// Does what may wait for a driver in a thread of its own, so that no task and no end of the program waits with it.
/// `None` where it panicked, or no thread could be started.
pub async fn apart<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    // Whoever asked may have stopped waiting.
    let thread = thread::Builder::new().name(what.to_owned()).spawn(move || drop(done.send(work())));
    if let Err(error) = thread {
        log::error!(thread = what, error:%; "no thread can be started");
    }
    result.await.ok()
}

#[cfg(test)]
mod tests {
    use super::super::latch::Latch;
    use super::*;

    #[tokio::test]
    async fn what_is_done_apart_holds_up_nobody() {
        let latch = Latch::shut();
        let gate = latch.gate();
        let mut waiting = std::pin::pin!(apart("apart", move || {
            gate.pass();
            7
        }));
        // The runtime has this one thread.
        assert!(timeout(Duration::from_millis(10), &mut waiting).await.is_err());
        latch.open();
        assert_eq!(waiting.await, Some(7));
        assert_eq!(apart::<()>("apart", || panic!("as a driver crate might")).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_task_that_answers_is_alive() {
        let (questions, mut asked) = mpsc::channel(1);
        let well = tokio::spawn(async move {
            let reply: oneshot::Sender<()> = asked.recv().await.unwrap();
            reply.send(()).unwrap();
            asked
        });
        assert!(answers(&questions, |reply| reply).await);
        // It takes questions and never answers; then it is gone.
        let asked = well.await.unwrap();
        assert!(!answers(&questions, |reply| reply).await);
        drop(asked);
        assert!(!answers(&questions, |reply| reply).await);
    }
}
