//! What is around every request of a connection: its peer's address is noted, a panic is an answer like any
//! other, and a server that is about to stop says so.
//!
//! One service a connection, in front of the router.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::body::Incoming;
use tower_service::Service as _;

use super::auth::Peer;
use super::panicked;
use crate::app::App;

/// The edge of one connection.
#[derive(Clone)]
pub(crate) struct Edge {
    router: Router,
    app: Arc<App>,
    peer: Peer,
}

impl Edge {
    /// In front of the router, for a connection of this peer.
    pub(crate) fn new(router: Router, app: Arc<App>, peer: Peer) -> Self {
        Self { router, app, peer }
    }
}

impl hyper::service::Service<hyper::Request<Incoming>> for Edge {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Answering {
        request.extensions_mut().insert(self.peer);
        let mut router = self.router.clone();
        let answer = catch_unwind(AssertUnwindSafe(|| router.call(request)));
        Answering {
            answer: answer.map_err(|cause| Some(panicked(cause))),
            app: Arc::clone(&self.app),
        }
    }
}

/// A request on its way.
pub(crate) struct Answering {
    /// Or the answer that a panic became already.
    answer: Result<RouteFuture<Infallible>, Option<Response>>,
    app: Arc<App>,
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = match &mut self.answer {
            Ok(answer) => match catch_unwind(AssertUnwindSafe(|| Pin::new(answer).poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Ok(response))) => response,
                Err(cause) => panicked(cause),
            },
            Err(response) => match response.take() {
                Some(response) => response,
                None => return Poll::Pending, // It was given.
            },
        };
        // Its clients open their next connection elsewhere; those that are open are idle or gone when it
        // closes them.
        if self.app.is_draining() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Poll::Ready(Ok(response))
    }
}
