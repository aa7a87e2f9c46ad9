//! The thread that the server runs on, apart from those of the rest of the process: however many strangers shake hands
//! here, a device's packets are sent in time.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Signaling is light work: one thread carries tens of thousands of messages a second, and a third more of them for its
/// processor time than two that wake each other. And a flood takes one processor, never all.
const THREADS: usize = 1;

/// Ends all tasks on it when it is dropped.
pub struct Workers {
    handle: Handle,
    /// Until it is dropped.
    runtime: Option<Runtime>,
}

impl Workers {
    pub fn start() -> io::Result<Workers> {
        let runtime =
            Builder::new_multi_thread().worker_threads(THREADS).thread_name("signaling").enable_all().build()?;
        Ok(Workers { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // A runtime that waits for its tasks must not be dropped by a task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
