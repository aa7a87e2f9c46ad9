//! The Unix socket between the daemon and `callbox status`, `call`, `answer` and `hangup`: one JSON object a line, one
//! line of reply to each.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::protocol::UserId;

/// Connections served at a time; further ones wait.
const CONNECTIONS: usize = 16;
/// Orders waiting for the switchboard; when full, connections wait.
const ORDERS: usize = 16;
/// Longest request line in bytes.
const MAX_LINE: u64 = 4096;
/// How long a connection may stay silent, or leave its reply unread.
const IDLE: Duration = Duration::from_secs(10);
/// How long `call` waits to hear whether there is anybody to call.
const CALL_NEWS: Duration = Duration::from_secs(1);
/// How long the client waits for the daemon.
const REPLY: Duration = Duration::from_secs(10);

/// What the operator can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", deny_unknown_fields)]
pub enum Operation {
    Status,
    Call {
        user: UserId,
    },
    Answer,
    Hangup,
    /// Somebody is at the door, or not any more.
    Ring {
        bell: Option<String>,
        #[serde(default)]
        cancel: bool,
    },
    /// Blocks the main loop for good, to show that the watchdog finds out.
    Block,
}

/// A command on its way to the switchboard.
pub struct Order {
    pub operation: Operation,
    pub reply: oneshot::Sender<Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error(
        "no Callbox is running behind {path}: start it with 'callbox run', or name its configuration with --config"
    )]
    NotRunning { path: PathBuf },
    #[error("another Callbox is running behind {path}: stop it, or choose another [control] socket")]
    InUse { path: PathBuf },
    #[error("may not use {path}: be root or a member of the socket's group")]
    Forbidden { path: PathBuf },
    #[error("the control socket {path}: {error}. Choose another [control] socket")]
    Socket { path: PathBuf, error: io::Error },
    #[error("the daemon behind {path} does not answer")]
    NoAnswer { path: PathBuf },
    #[error("{0}")]
    Refused(String),
}

/// Sends one command to the running daemon and returns its reply.
pub async fn request(path: &Path, operation: &Operation) -> Result<Value, ControlError> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::NotRunning { path: path.into() },
        io::ErrorKind::PermissionDenied => ControlError::Forbidden { path: path.into() },
        _ => ControlError::Socket { path: path.into(), error },
    };
    let exchange = async {
        let mut stream = UnixStream::connect(path).await?;
        let line = serde_json::to_string(operation)?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).await?;
        Ok(serde_json::from_str::<Value>(&reply)?)
    };
    let reply = timeout(REPLY, exchange).await.map_err(|_| ControlError::NoAnswer { path: path.into() })?;
    let reply = reply.map_err(fail)?;
    match reply["ok"].as_bool() {
        Some(true) => Ok(reply),
        _ => Err(ControlError::Refused(reply["error"].as_str().unwrap_or("refused without a reason").to_owned())),
    }
}

/// The daemon's end. Dropping it removes the socket.
pub struct Control {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Control {
    /// Listens at `path` with mode 0660, replacing a socket that a dead process left behind.
    pub async fn listen(path: &Path) -> Result<(Control, mpsc::Receiver<Order>), ControlError> {
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => ControlError::Forbidden { path: path.into() },
            _ => ControlError::Socket { path: path.into(), error },
        };
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(fail)?;
        }
        match UnixStream::connect(path).await {
            Ok(_) => return Err(ControlError::InUse { path: path.into() }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                remove_socket(path).await.map_err(fail)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(fail)?;
        let (orders, receiver) = mpsc::channel(ORDERS);
        let task = tokio::spawn(accept(listener, orders));
        Ok((Control { path: path.into(), task }, receiver))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::debug!("the control socket could not be removed: {error}");
        }
    }
}

/// Linux refuses connections to any file in the same words, and only a socket is ours to remove.
async fn remove_socket(path: &Path) -> io::Result<()> {
    match tokio::fs::symlink_metadata(path).await?.file_type().is_socket() {
        true => tokio::fs::remove_file(path).await,
        false => Err(io::Error::other("there is a file of that name, and it is no socket")),
    }
}

async fn accept(listener: UnixListener, orders: mpsc::Sender<Order>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let orders = orders.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, orders).await {
                        log::debug!("a control connection broke: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                log::warn!("the control socket does not accept: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, orders: mpsc::Sender<Order>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut read).take(MAX_LINE);
        match timeout(IDLE, limited.read_until(b'\n', &mut line)).await {
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(length) => drop(length?),
        }
        let reply = match (line.last(), serde_json::from_slice::<Operation>(&line)) {
            (Some(b'\n'), Ok(operation)) => carry_out(operation, &orders).await,
            (Some(b'\n'), Err(error)) => json!({ "ok": false, "error": format!("not a command: {error}") }),
            _ => json!({ "ok": false, "error": "not a line of at most 4096 bytes" }),
        };
        timeout(IDLE, write.write_all(format!("{reply}\n").as_bytes())).await??;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
    }
}

async fn carry_out(operation: Operation, orders: &mpsc::Sender<Order>) -> Value {
    let patience = match operation {
        Operation::Call { .. } => CALL_NEWS,
        Operation::Status | Operation::Answer | Operation::Hangup | Operation::Ring { .. } | Operation::Block => REPLY,
    };
    let calling = matches!(operation, Operation::Call { .. });
    let (reply, answer) = oneshot::channel();
    if orders.send(Order { operation, reply }).await.is_err() {
        return json!({ "ok": false, "error": "Callbox is ending" });
    }
    match timeout(patience, answer).await {
        Ok(Ok(reply)) => reply,
        Err(_) if calling => json!({ "ok": true, "state": "calling" }),
        Ok(Err(_)) | Err(_) => json!({ "ok": false, "error": "Callbox does not answer" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn carries_commands_and_replaces_a_dead_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/callbox.sock");
        assert!(matches!(request(&path, &Operation::Status).await, Err(ControlError::NotRunning { .. })));
        std::fs::create_dir(folder.path().join("run")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

        let (control, mut orders) = Control::listen(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Control::listen(&path).await, Err(ControlError::InUse { .. })));
        tokio::spawn(async move {
            while let Some(order) = orders.recv().await {
                let reply = match order.operation {
                    Operation::Call { user } => json!({ "ok": true, "user": user }),
                    Operation::Hangup | Operation::Block => json!({ "ok": false, "error": "no" }),
                    Operation::Status | Operation::Answer | Operation::Ring { .. } => json!({ "ok": true }),
                };
                order.reply.send(reply).unwrap();
            }
        });
        let call = Operation::Call { user: "anna".parse().unwrap() };
        assert_eq!(request(&path, &call).await.unwrap()["user"], "anna");
        assert!(matches!(request(&path, &Operation::Hangup).await, Err(ControlError::Refused(why)) if why == "no"));

        let mut stream = BufReader::new(UnixStream::connect(&path).await.unwrap());
        for (line, part) in [("rubbish\n", "not a command"), (&*format!("{}\n", "x".repeat(5000)), "4096")] {
            stream.write_all(line.as_bytes()).await.unwrap();
            let mut reply = String::new();
            stream.read_line(&mut reply).await.unwrap();
            assert!(reply.contains(part), "{reply}");
        }
        drop(control);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn leaves_files_of_others_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        std::fs::write(&path, "Dear Anna").unwrap();
        let error = Control::listen(&path).await.err().unwrap().to_string();
        assert!(error.contains("letter.txt") && error.contains("[control] socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "Dear Anna");
    }
}
