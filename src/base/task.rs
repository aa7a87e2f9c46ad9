//! What the tasks that own a state machine share: sleeping until it wants to be woken, and being asked for a sign of life.

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

#[cfg(test)]
mod tests {
    use super::*;

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
