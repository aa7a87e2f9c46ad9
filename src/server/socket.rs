//! One client's WebSocket: frames in, frames out, signs of life, and the right close code at its end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::CapacityError;

use super::exchange::{Exchange, Frame, Inbox, Line};
use super::hosts::Hosts;
use super::listen::Tasks;
use crate::protocol::{KEEPALIVE, MAX_MESSAGE_BYTES, close};

/// Signaling messages are short; the library's default of 128 KiB a connection adds up.
const READ_BUFFER: usize = 8 * 1024;
/// Frames are written out at once; this much may wait while the client does not read.
const WRITE_BUFFER: usize = 256 * 1024;
/// How long the close frame may take on its way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a WebSocket needs of the server.
#[derive(Clone)]
pub struct Doors {
    pub exchange: Exchange,
    pub tasks: Tasks,
    pub hosts: Arc<Hosts>,
}

/// Why a connection ends.
enum End {
    /// The client closed it, or it broke.
    Gone,
    Close {
        code: u16,
        reason: &'static str,
    },
}

pub fn upgrade(upgrade: WebSocketUpgrade, doors: Doors) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .max_message_size(MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| async move { doors.attend(socket).await })
}

impl Doors {
    /// Serves one client. Even a panic in there reaches the hub as the end of this connection, and of no other.
    async fn attend(self, socket: WebSocket) {
        let Some((line, inbox)) = self.exchange.connect().await else { return };
        self.tasks.run(serve(socket, line.clone(), inbox, self.tasks.clone())).await;
        line.gone().await;
        log::debug!(connection = line.id.0; "connection ended");
    }
}

async fn serve(socket: WebSocket, line: Line, mut inbox: Inbox, tasks: Tasks) {
    let (mut sink, mut stream) = socket.split();
    let (pings, mut pinged) = tokio::sync::mpsc::channel(1);
    let end = tokio::select! {
        end = read(&mut stream, &line, pings) => end,
        end = write(&mut sink, &mut inbox, &mut pinged) => end,
        () = tasks.stopped() => End::Close { code: close::GOING_AWAY, reason: "the server is shutting down" },
    };
    line.gone().await;
    let End::Close { code, reason } = end else { return };
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    let farewell = async {
        sink.send(Message::Close(Some(frame))).await?;
        // The client's own close frame, so that it sees an orderly end.
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<_, axum::Error>(())
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
}

async fn read(stream: &mut SplitStream<WebSocket>, line: &Line, pings: tokio::sync::mpsc::Sender<()>) -> End {
    let mut silent = false;
    loop {
        let message = match tokio::time::timeout(KEEPALIVE, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return broken(error),
            Ok(None) => return End::Gone,
            Err(_) if silent => return End::Close { code: close::GOING_AWAY, reason: "no sign of life" },
            Err(_) => {
                silent = true;
                // One waiting ping is enough.
                let _ = pings.try_send(());
                continue;
            }
        };
        silent = false;
        match message {
            Message::Text(text) => line.text(text.as_str().to_owned()).await,
            Message::Binary(_) => {
                return End::Close { code: close::UNSUPPORTED, reason: "only text frames are understood" };
            }
            Message::Ping(_) | Message::Pong(_) => line.alive().await,
            Message::Close(_) => return End::Gone,
        }
    }
}

async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    inbox: &mut Inbox,
    pings: &mut tokio::sync::mpsc::Receiver<()>,
) -> End {
    let too_slow = End::Close { code: close::TOO_SLOW, reason: "you do not read what is sent to you" };
    loop {
        let frame = tokio::select! {
            frame = inbox.next() => frame,
            Some(()) = pings.recv() => Some(Frame::Ping),
        };
        let message = match frame {
            Some(Frame::Text(text)) => Message::Text(Utf8Bytes::from(text.as_ref())),
            Some(Frame::Ping) => Message::Ping(bytes::Bytes::new()),
            Some(Frame::Close { code, reason }) => return End::Close { code, reason },
            // The hub drops a connection without a close frame only to cut it.
            None => return too_slow,
        };
        let sent = tokio::select! {
            sent = tokio::time::timeout(KEEPALIVE, sink.send(message)) => sent,
            () = inbox.cut.notified() => return too_slow,
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Gone,
            Err(_) => return too_slow,
        }
    }
}

/// The close code for what the WebSocket layer refused.
fn broken(error: axum::Error) -> End {
    let error = error.into_inner();
    match error.downcast_ref::<WsError>() {
        Some(WsError::Capacity(CapacityError::MessageTooLong { .. })) => {
            End::Close { code: close::TOO_BIG, reason: "a message has at most 65536 bytes" }
        }
        Some(WsError::Utf8(_)) => End::Close { code: close::INVALID, reason: "the text is not UTF-8" },
        Some(WsError::Protocol(_)) => End::Close { code: close::PROTOCOL, reason: "not a WebSocket frame" },
        _ => End::Gone,
    }
}
