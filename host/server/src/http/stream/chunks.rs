//! The bytes of a stream of rows, as they come: from the client, or from a child that reads a file.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;

use super::super::error::ApiError;
use super::parquet::Reading;

/// How long a client may pause. Who has rows once a minute sends requests.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Where bytes come from.
pub(super) enum Chunks {
    /// The body of the request, decompressed where it was compressed.
    Body(Body),
    /// A file that a child reads.
    File(Box<Reading>),
}

impl Chunks {
    /// The next chunk; `None` at the end. May be dropped while it waits, and called again.
    ///
    /// # Errors
    ///
    /// 408 for a client that sends nothing for a while, 400 for a body that breaks off.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        match self {
            Self::Body(body) => next_of_body(body).await,
            Self::File(reading) => reading.next().await,
        }
    }
}

/// The next chunk of a body; `None` at its end.
pub(super) async fn next_of_body(body: &mut Body) -> Result<Option<Vec<u8>>, ApiError> {
    loop {
        let frame = tokio::time::timeout(PAUSE_MAX, body.frame()).await.map_err(|_| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-timeout",
                format!(
                    "nothing more of the body arrived within {} s",
                    PAUSE_MAX.as_secs()
                ),
            )
        })?;
        let Some(frame) = frame else {
            return Ok(None);
        };
        let frame = frame.map_err(|error| {
            ApiError::bad_request(
                "body-cut-off",
                format!("the body broke off before its end: {error}"),
            )
        })?;
        if let Ok(chunk) = frame.into_data()
            && !chunk.is_empty()
        {
            return Ok(Some(chunk.into()));
        }
    }
}
