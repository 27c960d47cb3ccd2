//! Accepts connections and serves them until told to stop.
//!
//! Bounded connections, a time limit on request headers, `TCP_NODELAY`, HTTP/1.1 and HTTP/2 with
//! prior knowledge. On shutdown the listener closes first, requests in flight finish, and whatever
//! is left after the grace period is cut.

use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower_layer::Layer as _;

use super::auth::Peer;

/// Connections at once. Each costs a few tens of kilobytes of buffers and a file descriptor; the
/// usual descriptor limit is 1,024 to 65,536, and a load balancer keeps far fewer open.
const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take over its request line and headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a client may leave an answer unread before its connection is cut: what the answer holds
/// (rows, a place in its tenant's quota) is given back then.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an HTTP/2 client is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Bytes from which the protocol of a connection is known, so that its own time limits hold.
const PROTOCOL_BYTES: usize = 4;
/// Bytes of request line and headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Pause after `accept` fails, which it does when descriptors run out: without one the loop spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serve `router` on `listener` until `stop` completes, then finish what is in flight within `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        // A client that has gone is noticed; one that only keeps a connection open has to answer.
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(HEADER_TIMEOUT);
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
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let service = TowerToHyperService::new(Extension(Peer(peer)).layer(router.clone()));
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        tokio::spawn(async move {
            if !begins(&stream).await {
                return; // Silent, or gone.
            }
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(WRITE_TIMEOUT));
            let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
            let connection = watcher.watch(connection.into_owned());
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            seconds = grace.as_secs(),
            "requests still in flight after the grace period were cut"
        );
    }
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
    tokio::time::timeout(HEADER_TIMEOUT, arrive)
        .await
        .unwrap_or(false)
}
