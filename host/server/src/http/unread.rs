//! Connections whose clients don't read.
//!
//! What the system's buffers don't take of an answer stays in this process. A client that asks and
//! doesn't read would keep it there; so a connection that takes nothing for a while is ended, and with it
//! what waited to be sent on it. An answer goes out in pieces ([`PIECE_BYTES_MAX`]) for the same reason:
//! it counts as one of its tenant's requests in progress until its last piece is taken, so a tenant can't
//! have more unread answers than requests.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes of an answer that are given to a connection at once: hyper buffers little more than that.
pub(crate) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// A connection that has to take what is written to it.
pub(crate) struct Reading<S> {
    stream: S,
    patience: Duration,
    /// Runs while the connection takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Reading<S> {
    /// `stream`, which may take nothing for `patience` at a time.
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            stalled: None,
        }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client doesn't read its answer",
            ))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reading<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reading<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn who_reads_slowly_is_served_and_who_does_not_read_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(10);
        let mut ours = Reading::new(ours, Duration::from_millis(200));
        let writing = tokio::spawn(async move { (ours.write_all(&[0; 60]).await, ours) });
        let mut piece = [0; 10];
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            theirs.read_exact(&mut piece).await.unwrap();
        }
        let (written, mut ours) = writing.await.unwrap();
        written.unwrap();
        let error = ours.write_all(&[0; 60]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
