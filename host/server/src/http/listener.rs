//! Accepts connections and serves them until told to stop.
//!
//! Bounded connections, of all peers and of each, time limits on request headers and on answers that
//! nobody reads, `TCP_NODELAY`, HTTP/1.1 and HTTP/2 with prior knowledge. On shutdown the listener closes first, requests in flight finish, and whatever
//! is left after the grace period is cut.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::auth::Peer;
use super::edge::Edge;
use super::peers::Peers;
use super::unread::Reading;
use crate::app::App;

/// Connections at once. Each costs a few tens of kilobytes of buffers and a file descriptor; the
/// usual descriptor limit is 1,024 to 65,536, and a load balancer keeps far fewer open.
pub(crate) const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take until it is known what it speaks, and over an answer to a ping.
const GREETING_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may wait for its next request, or be at its head. Clients and load balancers keep
/// what they don't use for a minute at most: who closes first must be they, since a request that meets a
/// connection as it is closed gets no answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How often an HTTP/2 client is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Bytes from which the protocol of a connection is known, so that its own time limits hold.
const PROTOCOL_BYTES: usize = 4;
/// Bytes of request line and headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Pause after `accept` fails, which it does when descriptors run out: without one the loop spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection too many is answered. It hasn't said which protocol it speaks; most speak this one,
/// and to the others it is an end like any.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 114\r\n\r\n\
    {\"error\":\"this address has as many connections as it may; use those, or close some\",\"code\":\"too-many-connections\"}";
/// How long such a connection has to read that.
const FAREWELL: Duration = Duration::from_secs(1);
/// Such connections at once. Those beyond are closed without a word.
const FAREWELLS_MAX: usize = 64;

/// What a client may take of the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections of each peer address.
    pub(crate) connections_per_peer: usize,
    /// How long a connection may take nothing of an answer.
    pub(crate) write_timeout: Duration,
    /// How long requests in flight may take once the listener is told to stop.
    pub(crate) grace: Duration,
}

/// Serve `router` on `listener` until `stop` completes, then finish what is in flight within the grace
/// period.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    app: &Arc<App>,
    stop: impl Future<Output = ()>,
    limits: Limits,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let farewells = Arc::new(Semaphore::new(FAREWELLS_MAX));
    let peers = Peers::new(limits.connections_per_peer);
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        // A client that has gone is noticed; one that only keeps a connection open has to answer.
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(GREETING_TIMEOUT);
    let mut stop = std::pin::pin!(stop);
    loop {
        // The slot comes first: past the limit, new connections wait in the kernel's queue.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = &mut stop => break,
        };
        let Ok(slot) = slot else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => (stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let Some(counted) = peers.admit(peer.ip()) else {
            tracing::debug!(%peer, "a connection too many of this address");
            if let Ok(turn) = Arc::clone(&farewells).try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(FAREWELL, refuse(stream)).await;
                    drop((turn, slot));
                });
            }
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let service = Edge::new(router.clone(), Arc::clone(app), Peer(peer));
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _held = (counted, slot);
            if !begins(&stream).await {
                return; // Silent, or gone.
            }
            let stream = Reading::new(stream, limits.write_timeout);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let connection = watcher.watch(connection.into_owned());
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
    drop(listener);
    let grace = limits.grace;
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            seconds = grace.as_secs(),
            "requests still in flight after the grace period were cut"
        );
    }
}

/// Say why, and close once the peer has: closing before it has sent what it wanted to would take the
/// answer back.
async fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(TOO_MANY).await?;
    stream.shutdown().await?;
    let mut sent = [0; 1024];
    while stream.read(&mut sent).await? > 0 {}
    Ok(())
}

/// Wait, for a bounded time, for the bytes by which a connection's protocol is known.
async fn begins(stream: &TcpStream) -> bool {
    let arrive = async {
        let mut first = [0; PROTOCOL_BYTES];
        loop {
            match stream.peek(&mut first).await {
                Ok(0) | Err(_) => return false,
                Ok(PROTOCOL_BYTES) => return true,
                // Who sends single bytes is asked again, not served.
                Ok(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    };
    tokio::time::timeout(GREETING_TIMEOUT, arrive)
        .await
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_gets_a_whole_answer() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "too-many-connections");
    }
}
