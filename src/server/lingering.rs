//! A socket that ends well: whoever takes nothing is given up, and what a client has under way when the server closes is
//! still taken.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::lobby::Place;

/// A client that takes nothing of what it asked for is cut after this long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a closed connection still takes what the client had under way.
const LINGER: Duration = Duration::from_secs(1);

/// A connection that, once dropped, still takes what the client had under way: the kernel answers unread data with a
/// reset, which would destroy a close frame or a response before the client has seen it. Where too many do so already it
/// closes at once.
pub struct Lingering {
    open: Option<(TcpStream, Place)>,
    /// Runs while the client takes nothing, for [`WRITE_TIMEOUT`].
    patience: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    pub fn new(stream: TcpStream, place: Place) -> Lingering {
        // Small messages both ways: waiting to fill a segment helps nobody.
        let _ = stream.set_nodelay(true);
        Lingering { open: Some((stream, place)), patience: None }
    }

    /// Waits for something to read, and leaves it where it is.
    pub async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream()?.peek(buffer).await
    }

    fn write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = write(self.stream()?, cx) {
            self.patience = None;
            return Poll::Ready(written);
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        patience.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.open.as_mut().map(|(stream, _)| Pin::new(stream)).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let (Some((mut stream, place)), Ok(runtime)) = (self.open.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let Some(place) = place.linger() else { return };
        runtime.spawn(async move {
            let drain = async {
                stream.shutdown().await?;
                let mut waste = [0; 4096];
                while stream.read(&mut waste).await? > 0 {}
                io::Result::Ok(())
            };
            let _ = tokio::time::timeout(LINGER, drain).await;
            drop((stream, place));
        });
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::TcpListener;

    use super::*;
    use crate::server::lobby::Lobby;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let place = Lobby::new(1, 4, Arc::default()).place().await;
        let mut connection = Lingering::new(listener.accept().await.unwrap().0, place);
        let write = async {
            loop {
                if let Err(error) = connection.write_all(&[0; 65_536]).await {
                    return error.kind();
                }
            }
        };
        let end = tokio::time::timeout(2 * WRITE_TIMEOUT, write).await.expect("an end");
        assert_eq!(end, io::ErrorKind::TimedOut);
        drop(client);
    }
}
