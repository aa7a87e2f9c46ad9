//! One WebSocket client, made to cost little: no buffer of its own while nothing is under way, writes straight from
//! whoever has something to send, and one scratch buffer that all clients read into.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::frame;
use crate::heard::{Ear, Heard};

/// From the connection to the end of the handshake.
const PATIENCE: Duration = Duration::from_secs(30);
/// A server that lets more pile up in front of one client has stopped reading.
const MOST_WAITING: usize = 8 << 20;
const SCRATCH: usize = 128 * 1024;
/// Reads in a row before others have their turn.
const READS: usize = 8;

/// Where a server is, and from how many addresses it is come to.
#[derive(Clone)]
pub struct Door {
    pub address: SocketAddr,
    pub tls: Option<TlsConnector>,
    /// 127.0.0.2 and up, in turn.
    pub sources: u32,
}

pub struct Client {
    wire: RefCell<Wire>,
    /// What the socket did not take at once.
    waiting: RefCell<Vec<u8>>,
    /// The beginning of a frame whose rest has not come.
    begun: RefCell<Vec<u8>>,
    /// The task in [`Client::attend`].
    waker: Cell<Option<Waker>>,
    pub ear: Ear,
    ended: Cell<bool>,
    heard: Rc<Heard>,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Client {
    /// Connects as the `number`th of all and opens the WebSocket. [`Client::attend`] must then run in a task.
    pub async fn connect(door: &Door, number: u32, heard: &Rc<Heard>) -> anyhow::Result<Rc<Client>> {
        let opening = async {
            let socket = TcpSocket::new_v4()?;
            let source = u32::from(Ipv4Addr::new(127, 0, 0, 2)) + number % door.sources.max(1);
            socket.bind((Ipv4Addr::from(source), 0).into())?;
            let stream = socket.connect(door.address).await.context("cannot connect")?;
            stream.set_nodelay(true)?;
            // The ports are free again at once, instead of a minute later.
            stream.set_zero_linger()?;
            let mut wire = match &door.tls {
                None => Wire::Plain(stream),
                Some(tls) => Wire::Tls(Box::new(tls.connect(door.address.ip().into(), stream).await.context("TLS")?)),
            };
            let begun = upgrade(&mut wire, door.address).await?;
            Ok(Rc::new(Client {
                wire: RefCell::new(wire),
                waiting: RefCell::default(),
                begun: RefCell::new(begun),
                waker: Cell::default(),
                ear: Ear::default(),
                ended: Cell::new(false),
                heard: heard.clone(),
            }))
        };
        tokio::time::timeout(PATIENCE, opening).await.context("no WebSocket in time")?
    }

    /// Sends whole frames, now if the socket takes them and otherwise as soon as it does.
    pub fn send(&self, frames: &[u8]) {
        if self.ended.get() {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        let mut rest = frames;
        if waiting.is_empty() {
            let mut cx = Context::from_waker(Waker::noop());
            while let (false, Poll::Ready(Ok(written))) = (rest.is_empty(), self.poll_write(&mut cx, rest)) {
                rest = &rest[written..];
            }
            // rustls hands on what it has encrypted when it is flushed.
            let flushed = Pin::new(&mut *self.wire.borrow_mut()).poll_flush(&mut cx).is_ready();
            if rest.is_empty() && flushed {
                return;
            }
        }
        waiting.extend(rest);
        // The noop waker has displaced the task's; it looks for itself again.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Reads, answers pings, and sends what waits, until the connection ends.
    pub async fn attend(self: Rc<Client>) {
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.ended.set(true);
        self.heard.end(&end, &self.ear);
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<String> {
        self.waker.set(Some(cx.waker().clone()));
        if let Err(end) = self.flush(cx) {
            return Poll::Ready(end);
        }
        thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]));
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..READS {
                let mut scratch = ReadBuf::new(buffer);
                let read = Pin::new(&mut *self.wire.borrow_mut()).poll_read(cx, &mut scratch);
                match read {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(error.kind().to_string()),
                    Poll::Ready(Ok(())) if scratch.filled().is_empty() => return Poll::Ready("end of stream".into()),
                    Poll::Ready(Ok(())) => {
                        if let Err(end) = self.take(scratch.filled()) {
                            return Poll::Ready(end);
                        }
                    }
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn flush(&self, cx: &mut Context<'_>) -> Result<(), String> {
        let mut waiting = self.waiting.borrow_mut();
        let mut sent = 0;
        while sent < waiting.len() {
            match self.poll_write(cx, &waiting[sent..]) {
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(error)) => return Err(error.kind().to_string()),
                Poll::Pending => break,
            }
        }
        waiting.drain(..sent);
        if waiting.is_empty() {
            waiting.shrink_to(0);
        }
        match Pin::new(&mut *self.wire.borrow_mut()).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error.kind().to_string()),
            _ if waiting.len() > MOST_WAITING => Err("the server does not read".to_owned()),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.wire.borrow_mut()).poll_write(cx, bytes)
    }

    /// Deals with the next bytes of the stream.
    fn take(&self, bytes: &[u8]) -> Result<(), String> {
        let now = self.heard.now();
        let mut begun = std::mem::take(&mut *self.begun.borrow_mut());
        let stream = match begun.is_empty() {
            true => bytes,
            false => {
                begun.extend(bytes);
                &begun
            }
        };
        let mut rest = stream;
        while let Some(frame) = frame::parse(rest).map_err(str::to_owned)? {
            match frame.opcode {
                frame::TEXT => self.heard.text(frame.payload, now, &self.ear),
                frame::PING => self.send(&frame::masked(frame::PONG, frame.payload)),
                frame::CLOSE => {
                    let code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Err(format!("closed with {code}"));
                }
                _ => {}
            }
            rest = &rest[frame.length..];
        }
        if !rest.is_empty() {
            *self.begun.borrow_mut() = rest.to_vec();
        }
        Ok(())
    }
}

/// Opens the WebSocket, and returns what the server has said after that.
async fn upgrade(wire: &mut Wire, address: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    wire.write_all(request.as_bytes()).await?;
    wire.flush().await?;
    let mut head = Vec::new();
    let end = loop {
        ensure!(wire.read_buf(&mut head).await? > 0, "the server closed the connection during the handshake");
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(head.len() < 16 * 1024, "an endless head");
    };
    let text = String::from_utf8_lossy(&head[..end]);
    if !text.starts_with("HTTP/1.1 101 ") {
        bail!("{}", text.lines().next().unwrap_or_default());
    }
    Ok(head.split_off(end))
}

/// A connector that takes any certificate: what is measured is the server's own authority, which nobody here knows.
pub fn any_certificate() -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    // Every connection is a stranger's first.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
