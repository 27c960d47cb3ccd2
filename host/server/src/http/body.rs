//! Request bodies, bounded before a byte is read.
//!
//! A body that announces more than its route takes is refused with 413 at once; one that turns out
//! larger, at the byte that is too much. A body that stops half-way is a 400. Deadlines of stages
//! start only after the body has arrived, so a slow client spends its own time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caisson_registry::{Digest, TenantId};
use http_body_util::BodyExt;

use super::error::ApiError;
use super::{Context, sized};

/// A prediction's body: 64 Mi of rows JSON is about a million rows of a small table, past which
/// batch scoring is the tool.
pub(crate) const PREDICT_BYTES_MAX: u64 = 64 << 20;
/// A deployment file. The largest that people write hold fitted vocabularies of plugins.
pub(crate) const SPEC_BYTES_MAX: u64 = 16 << 20;
/// Keys, policies, quotas, tags: forms that a person writes.
pub(crate) const SETTINGS_BYTES_MAX: u64 = 256 << 10;
/// A plugin component. Rust guests are tens of kilobytes, Python ones tens of megabytes.
pub(crate) const PLUGIN_BYTES_MAX: u64 = 64 << 20;
/// A model with its baseline. An ONNX file without external data can't pass 2 GiB.
pub(crate) const MODEL_BYTES_MAX: u64 = 2 << 30;
/// How long a body may take to arrive. 64 MiB in this time is 0.5 MiB/s, slower than any network
/// that carries predictions.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(120);
/// How much of a body that is too large is read and thrown away, so that a client which writes
/// before it reads sees the 413 rather than a reset connection.
const DRAIN_BYTES_MAX: u64 = 256 << 20;
/// The longest that throwing away may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Room reserved up front for a body of announced length; larger ones grow as they arrive, so an
/// announcement alone costs nothing.
const RESERVE_BYTES_MAX: u64 = 1 << 20;

/// Read a whole body of at most `limit` bytes.
///
/// # Errors
///
/// 413 past the limit, 400 for a body that breaks off, 408 for one that doesn't arrive in time.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, ApiError> {
    let announced = announced(headers);
    if let Some(length) = announced.filter(|&length| length > limit) {
        drain(body, length).await;
        return Err(too_large(length, limit));
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(body, announced, limit)).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::new(
            axum::http::StatusCode::REQUEST_TIMEOUT,
            "body-timeout",
            format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()),
        )),
    }
}

/// Refuse a body that announces more than `limit`, for routes that stream it themselves.
pub(crate) fn check_announced(headers: &HeaderMap, limit: u64) -> Result<(), ApiError> {
    match announced(headers) {
        Some(length) if length > limit => Err(too_large(length, limit)),
        _ => Ok(()),
    }
}

/// Hold a body against the digest that its sender announced (RFC 9530, `Content-Digest`), if any.
///
/// # Errors
///
/// 400 for another digest, for an algorithm that isn't known here, and for a header of another form.
pub(crate) async fn check_digest(
    context: &Context,
    owner: &TenantId,
    headers: &HeaderMap,
    bytes: &Bytes,
) -> Result<(), ApiError> {
    let Some(value) = headers.get("content-digest") else {
        return Ok(());
    };
    let wrong = |what: String| ApiError::bad_request("content-digest", what);
    let form = "the header is `Content-Digest: sha-256=:BASE64:`";
    let text = value.to_str().map_err(|_| wrong(form.to_owned()))?;
    let encoded = text
        .split(',')
        .find_map(|entry| entry.trim().strip_prefix("sha-256=:"))
        .and_then(|rest| rest.strip_suffix(':'))
        .ok_or_else(|| wrong(format!("{form}, and this one has no sha-256")))?;
    let announced = BASE64
        .decode(encoded)
        .map_err(|e| wrong(format!("{form}, and its value is no base64: {e}")))?;
    let body = bytes.clone();
    let found = sized(context, owner, bytes.len(), move || Digest::of(&body)).await;
    if announced == found.as_bytes() {
        return Ok(());
    }
    Err(wrong(format!(
        "the body has the digest {found}, and another was announced: it was damaged on its way, or is another file"
    )))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(length: u64, limit: u64) -> ApiError {
    ApiError::too_large(format!(
        "the body has {length} bytes; this route takes at most {limit}"
    ))
}

async fn collect(mut body: Body, announced: Option<u64>, limit: u64) -> Result<Bytes, ApiError> {
    let broken = |error: axum::Error| {
        ApiError::bad_request(
            "body-cut-off",
            format!("the body broke off before its end: {error}"),
        )
    };
    let mut first: Option<Bytes> = None;
    let mut whole: Vec<u8> = Vec::new();
    let mut length: u64 = 0;
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        length = length.saturating_add(chunk.len() as u64);
        if length > limit {
            return Err(ApiError::too_large(format!(
                "the body is larger than the {limit} bytes that this route takes"
            )));
        }
        // Most bodies come as one chunk, which then needs no copy at all.
        match first.take() {
            None if whole.is_empty() => first = Some(chunk),
            None => whole.extend_from_slice(&chunk),
            Some(head) => {
                let reserve = announced.unwrap_or(length).min(RESERVE_BYTES_MAX);
                whole.reserve(usize::try_from(reserve).unwrap_or(0));
                whole.extend_from_slice(&head);
                whole.extend_from_slice(&chunk);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.into()))
}

/// Read and throw away the body of a request that was refused before it, so that a client which writes
/// before it reads sees the answer.
pub(crate) async fn discard(headers: &HeaderMap, body: Body) {
    if let Some(length) = announced(headers) {
        drain(body, length).await;
    }
}

async fn drain(mut body: Body, length: u64) {
    if length > DRAIN_BYTES_MAX {
        return;
    }
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, async {
        while let Some(Ok(_)) = body.frame().await {}
    })
    .await;
}
