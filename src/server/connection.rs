//! One client's WebSocket, in one task: frames in, frames out, and the right close code at its end.
//!
//! Nothing is held for a client that is silent. Reading happens in one buffer for each thread, from which messages are
//! relayed as they lie there; only the beginning of a frame whose rest has not come is kept. Writing takes everything
//! that waits at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::exchange::Shared;
use super::line::{End, Line, Waiting};
use crate::logic::hub::{Input, Reader, Step};
use crate::logic::websocket::{Decoder, Frame, MAX_HEADER, Received};
use crate::protocol::MAX_MESSAGE_BYTES;

/// For the beginning of the longest frame and as much again.
const BUFFER: usize = 2 * (MAX_MESSAGE_BYTES + MAX_HEADER);
/// Reads in a row before other connections have their turn.
const READS: usize = 4;
/// Frames in one write.
const SLICES: usize = 64;
/// How long the close frame may take on its way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A queue that has grown longer than this gives its memory back.
const SHORT_QUEUE: usize = 16;

thread_local!(static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into()));

pub struct Connection<S> {
    stream: S,
    line: Arc<Line>,
    shared: Arc<Shared>,
    reader: Reader,
    decoder: Decoder,
    /// What was read and not dealt with: the beginning of a frame, or what follows a question to the hub.
    kept: Vec<u8>,
    /// The hub has been asked something, and what comes after that waits for the answer.
    asking: bool,
    sending: VecDeque<Waiting>,
    /// Bytes of the first frame in `sending` that are written.
    written: usize,
    unflushed: bool,
    /// Runs once the connection is being closed.
    closing: Option<Pin<Box<Sleep>>>,
}

/// Why nothing more is read.
enum Stop {
    /// The connection broke.
    Broken,
    /// This is the last frame.
    Close(Frame),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// `begun`: what came right behind the request.
    pub fn new(stream: S, begun: Vec<u8>, line: Arc<Line>, shared: Arc<Shared>) -> Connection<S> {
        Connection {
            stream,
            line,
            shared,
            reader: Reader::new(Instant::now()),
            decoder: Decoder::default(),
            kept: begun,
            asking: false,
            sending: VecDeque::new(),
            written: 0,
            unflushed: false,
            closing: None,
        }
    }

    /// Serves the client to its end.
    pub async fn attend(mut self) {
        if let Err(stop) = self.resume()
            && self.stop(stop).is_break()
        {
            return;
        }
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.line.wake_with(cx.waker());
        if self.closing.is_none()
            && let Err(stop) = self.read(cx)
            && self.stop(stop).is_break()
        {
            return Poll::Ready(());
        }
        if self.closing.is_none() && self.line.is_ended() {
            self.part();
        }
        let written = self.write(cx);
        let Some(late) = &mut self.closing else {
            return if let Poll::Ready(Err(_)) = written { Poll::Ready(()) } else { Poll::Pending };
        };
        match (late.as_mut().poll(cx), written) {
            (Poll::Ready(()), _) | (Poll::Pending, Poll::Ready(Err(_))) => Poll::Ready(()),
            // The client sees an orderly end; what it still has under way is read while the socket lingers.
            (Poll::Pending, Poll::Ready(Ok(()))) => Pin::new(&mut self.stream).poll_shutdown(cx).map(drop),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        if self.asking {
            let Some(member) = self.line.settled() else { return self.wait(cx) };
            self.reader.settled(member);
            self.asking = false;
            self.resume()?;
        }
        for _ in 0..READS {
            if self.asking {
                return self.wait(cx);
            }
            let more = SCRATCH.with_borrow_mut(|scratch| {
                let begun = self.kept.len();
                let Some(fresh) = self.receive(cx, scratch.get_mut(begun..).unwrap_or_default())? else {
                    return Ok(false);
                };
                let length = begun + fresh;
                let Some(bytes) = scratch.get_mut(..length) else { return Err(Stop::Broken) };
                if let Some(place) = bytes.get_mut(..begun) {
                    place.copy_from_slice(&self.kept);
                }
                self.kept = Vec::new();
                let read = self.take(bytes);
                if self.line.has_heard() {
                    self.shared.tell(Input::Alive(self.line.id));
                }
                self.keep(bytes.get(read?..).unwrap_or_default().to_vec());
                Ok(true)
            })?;
            if !more {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Keeps what comes while the hub has been asked, a message's worth, so that the connection's end is noticed: a claim
    /// whose claimant has gone takes an ID from nobody.
    fn wait(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        while let Some(room) = MAX_MESSAGE_BYTES.checked_sub(self.kept.len()).filter(|room| *room > 0) {
            let mut kept = std::mem::take(&mut self.kept);
            let more = SCRATCH.with_borrow_mut(|scratch| {
                let scratch = scratch.get_mut(..room).unwrap_or_default();
                let fresh = self.receive(cx, scratch)?;
                kept.extend_from_slice(scratch.get(..fresh.unwrap_or(0)).unwrap_or_default());
                Ok(fresh.is_some())
            })?;
            self.keep(kept);
            if !more {
                break;
            }
            if self.line.has_heard() {
                self.shared.tell(Input::Alive(self.line.id));
            }
        }
        Ok(())
    }

    /// How many bytes have come, if there are any.
    fn receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Result<Option<usize>, Stop> {
        let mut fresh = ReadBuf::new(buffer);
        match Pin::new(&mut self.stream).poll_read(cx, &mut fresh) {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(())) if !fresh.filled().is_empty() => Ok(Some(fresh.filled().len())),
            Poll::Ready(Ok(()) | Err(_)) => Err(Stop::Broken),
        }
    }

    /// Goes on with what was kept.
    fn resume(&mut self) -> Result<(), Stop> {
        let mut kept = std::mem::take(&mut self.kept);
        let read = self.take(&mut kept)?;
        kept.drain(..read);
        kept.shrink_to_fit();
        self.keep(kept);
        Ok(())
    }

    fn keep(&mut self, kept: Vec<u8>) {
        self.kept = kept;
        self.line.holds(self.kept.capacity() + self.decoder.holds());
    }

    /// Deals with the frames in `bytes`, and says how many bytes they are.
    fn take(&mut self, bytes: &mut [u8]) -> Result<usize, Stop> {
        let mut at = 0;
        let now = Instant::now();
        while !self.asking && !self.line.is_ended() {
            let rest = bytes.get_mut(at..).unwrap_or_default();
            let received = match self.decoder.next(rest) {
                Ok(Some((length, received))) => {
                    at += length;
                    received
                }
                Ok(None) => break,
                Err(fault) => return Err(Stop::Close(Frame::close(fault.code, fault.reason))),
            };
            match received {
                Received::Text(text) => match self.reader.read(&text, &self.shared.directory, now) {
                    Step::Done => {}
                    Step::Answer(frame) => self.line.send(frame, false),
                    Step::Ask(request) => {
                        self.asking = true;
                        self.shared.tell(Input::Asked(self.line.id, request));
                    }
                    Step::Close { last, code, reason } => {
                        if let Some(last) = last {
                            self.line.send(last, false);
                        }
                        return Err(Stop::Close(Frame::close(code, reason)));
                    }
                },
                Received::Ping(payload) => {
                    if self.heed(now)? {
                        self.line.send(Frame::pong(payload), false);
                    }
                }
                Received::Pong | Received::Piece => _ = self.heed(now)?,
                Received::Close(code) => return Err(Stop::Close(Frame::echo(code))),
            }
        }
        Ok(at)
    }

    /// Whether a frame without a text is worth an answer; too many of them end the connection.
    fn heed(&mut self, now: Instant) -> Result<bool, Stop> {
        self.reader.heed(now).map_err(|(code, reason)| Stop::Close(Frame::close(code, reason)))
    }

    /// Reads no more, and writes no more than what waits. Breaks where that is nothing.
    fn stop(&mut self, stop: Stop) -> ControlFlow<()> {
        let Stop::Close(frame) = stop else { return ControlFlow::Break(()) };
        let mut waiting = VecDeque::new();
        self.line.take(&mut waiting);
        match self.line.waiting() > MAX_MESSAGE_BYTES {
            // Whoever closes does not wait for that much. A frame that was begun has to be finished.
            true => self.line.drops(self.sending.drain(usize::from(self.written > 0)..).chain(waiting)),
            false => self.sending.append(&mut waiting),
        }
        self.close(frame);
        self.line.end();
        self.shared.tell(Input::Gone(self.line.id));
        ControlFlow::Continue(())
    }

    /// The hub has ended the connection.
    fn part(&mut self) {
        let mut waiting = VecDeque::new();
        let Some(End { code, reason, at_once }) = self.line.take(&mut waiting) else { return };
        match at_once {
            // A frame that was begun has to be finished.
            true => self.line.drops(self.sending.drain(usize::from(self.written > 0)..)),
            false => self.sending.append(&mut waiting),
        }
        self.close(Frame::close(code, reason));
    }

    fn close(&mut self, frame: Frame) {
        // Nothing more is read.
        self.decoder = Decoder::default();
        self.keep(Vec::new());
        let frame = Waiting { bytes: frame.into_bytes(), presence: false };
        self.line.charge(&frame);
        self.sending.push_back(frame);
        self.closing = Some(Box::pin(sleep(CLOSE_TIMEOUT)));
    }

    /// Writes all that waits. Ready once it is out, or with an error.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            if self.sending.is_empty() && self.closing.is_none() {
                if self.sending.capacity() > SHORT_QUEUE {
                    self.sending = VecDeque::new();
                }
                // An end that comes with it wakes the task again.
                self.line.take(&mut self.sending);
            }
            if self.sending.is_empty() {
                break;
            }
            let written = ready!(self.write_some(cx))?;
            self.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn write_some(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        self.unflushed = true;
        let stream = Pin::new(&mut self.stream);
        let first = self.sending.front().and_then(|first| first.bytes.get(self.written..)).unwrap_or_default();
        let written = if self.sending.len() == 1 {
            ready!(stream.poll_write(cx, first))?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let waiting = self.sending.iter().skip(1).map(|frame| &*frame.bytes);
            let used = slices
                .iter_mut()
                .zip(std::iter::once(first).chain(waiting))
                .map(|(slice, frame)| *slice = IoSlice::new(frame))
                .count();
            ready!(stream.poll_write_vectored(cx, slices.get(..used).unwrap_or_default()))?
        };
        match written {
            0 => Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
            _ => Poll::Ready(Ok(written)),
        }
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        let mut released = 0;
        while let Some(first) = self.sending.front()
            && first.bytes.len() <= self.written
        {
            self.written -= first.bytes.len();
            released += first.takes();
            if first.presence {
                self.shared.tell(Input::Took(self.line.id));
            }
            self.sending.pop_front();
        }
        self.line.has_taken(released);
    }
}

/// However the task ends, by a panic for one.
impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.line.over();
        self.shared.tell(Input::Gone(self.line.id));
        log::debug!(connection = self.line.id.0; "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::logic::access::Pass;
    use crate::logic::hub::{ConnId, Origin, Standing};
    use crate::server::exchange::Event;

    /// A client's text, which is short.
    fn frame(text: &str) -> Vec<u8> {
        [&[0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0], text.as_bytes()].concat()
    }

    async fn heard(events: &mut mpsc::UnboundedReceiver<Event>) -> Input {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await.expect("in time");
            if let Event::Hub(input) = event.expect("somebody is there") {
                return input;
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_goes_while_the_hub_is_asked_is_gone() {
        let join = frame(r#"{"type":"join","userId":"anna"}"#);
        // Right behind the request, and later.
        for (begun, then) in [(join.clone(), frame(r#"{"type":"leave"}"#)), (Vec::new(), join)] {
            let (shared, mut events) = Shared::alone();
            let (mut client, stream) = tokio::io::duplex(100_000);
            let line = shared.connect(Origin::Local, Pass::Anybody);
            tokio::spawn(Connection::new(stream, begun, line, shared.clone()).attend());
            tokio::task::yield_now().await;
            client.write_all(&then).await.unwrap();
            assert!(matches!(heard(&mut events).await, Input::Asked(ConnId(0), _)));
            drop(client);
            assert!(matches!(heard(&mut events).await, Input::Gone(ConnId(0))));
        }
    }

    #[tokio::test]
    async fn what_comes_while_the_hub_is_asked_is_kept_and_bounded() {
        let (shared, mut events) = Shared::alone();
        let (mut client, stream) = tokio::io::duplex(MAX_MESSAGE_BYTES / 4);
        let line = shared.connect(Origin::Local, Pass::Anybody);
        let join = frame(r#"{"type":"join","userId":"anna"}"#);
        tokio::spawn(Connection::new(stream, join, line.clone(), shared.clone()).attend());
        assert!(matches!(heard(&mut events).await, Input::Asked(..)));
        client.write_all(&frame(r#"{"type":"leave"}"#)).await.unwrap();
        // More than is kept, and than lies in the socket.
        let pongs = [0x8a, 0x80, 0, 0, 0, 0].repeat(MAX_MESSAGE_BYTES / 4);
        let flood = tokio::spawn(async move { client.write_all(&pongs).await });
        let kept = async {
            while line.held() < MAX_MESSAGE_BYTES {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), kept).await.expect("a message's worth");
        assert!(line.held() <= 2 * MAX_MESSAGE_BYTES && !flood.is_finished(), "the rest waits in the socket");
        line.settle(Some(Standing { id: "anna".parse().unwrap(), pass: Arc::new(Pass::Anybody) }));
        assert!(matches!(heard(&mut events).await, Input::Asked(..)), "its next question");
    }
}
