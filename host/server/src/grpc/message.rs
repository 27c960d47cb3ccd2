//! How a call's message arrives, and what its answer was, in the words that the guard and the audit
//! log have.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::{Code, Status};

use crate::http::body::BODY_TIMEOUT;
use crate::http::error::ApiError;

/// Let a message arrive within the time that any body has, and say with every answer of failure which
/// error it was: gRPC's HTTP status is always 200.
pub(super) async fn arrive(State(bytes_max): State<usize>, request: Request, next: Next) -> Response {
    let mut response = next.run(request.map(|body| Body::new(Arriving::new(body)))).await;
    let Some(status) = response.extensions().get::<Status>() else {
        return response;
    };
    if let Some(error) = status_source(status) {
        response.extensions_mut().insert(error);
        return response;
    }
    if let Some(error) = of_tonic(status, bytes_max) {
        response = Status::from(error.clone()).into_http();
        response.extensions_mut().insert(error);
    } else {
        // A compression that isn't taken: tonic's own answer lists those that are.
        let error = ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported",
            status.message(),
        );
        response.extensions_mut().insert(error);
    }
    response
}

/// The error that a status was made of.
fn status_source(status: &Status) -> Option<ApiError> {
    let source = std::error::Error::source(status)?;
    source.downcast_ref::<ApiError>().cloned()
}

/// What tonic found wrong with a message, as the other edge would say it.
fn of_tonic(status: &Status, bytes_max: usize) -> Option<ApiError> {
    match status.code() {
        // Announced too long, and too long once unpacked.
        Code::OutOfRange | Code::ResourceExhausted => Some(ApiError::too_large(format!(
            "the message is larger than the {bytes_max} bytes that this method takes"
        ))),
        Code::Internal => Some(ApiError::bad_request(
            "bad-message",
            format!("the message can't be read: {}", status.message()),
        )),
        Code::DeadlineExceeded => Some(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-timeout",
            status.message(),
        )),
        Code::InvalidArgument => Some(ApiError::bad_request("body-cut-off", status.message())),
        _ => None,
    }
}

/// A message on its way in.
struct Arriving {
    body: Body,
    patience: Pin<Box<Sleep>>,
}

impl Arriving {
    fn new(body: Body) -> Self {
        Self {
            body,
            patience: Box::pin(tokio::time::sleep(BODY_TIMEOUT)),
        }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| {
                frame.map_err(|error| {
                    Status::invalid_argument(format!("the message broke off before its end: {error}"))
                })
            }));
        }
        if self.patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Status::deadline_exceeded(format!(
                "the message did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            )))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
