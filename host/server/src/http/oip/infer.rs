//! Tensors in, tensors out.
//!
//! The body is JSON, or JSON with binary tensors behind it, or one raw tensor, as the header
//! `Inference-Header-Content-Length` says; `Content-Type` says nothing that this doesn't, and several
//! public clients send none. The header counts bytes before compression, in both directions.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use caisson_data::oip::{self, InferRequest, ResponseHead};
use caisson_data::{DecodeLimits, oip_binary};
use caisson_serving::Revision;

use super::super::auth::Caller;
use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::{Context, body, encoding};
use super::Named;
use super::parameters::Parameters;

/// Bytes of the JSON part, where binary tensors follow it.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Predict for tensors.
pub(crate) async fn infer(
    State(context): State<Context>,
    caller: Caller,
    Path(named): Path<Named>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let revision = context.named(caller.tenant(), &named)?;
    let meter = context.app.meters.of(caller.tenant());
    let sent = body::read(&headers, body, body::PREDICT_BYTES_MAX).await?;
    let bytes = encoding::decode(&headers, sent, body::PREDICT_BYTES_MAX, &meter).await?;

    let start = Instant::now();
    let request = decode(&revision, &headers, &bytes)?;
    drop(bytes);
    // Before the work: what can't be answered needs no prediction.
    let parameters = Parameters::of(&request)?;
    let outputs = request.choose_outputs(revision.output())?;
    revision.statistics().decoded(start.elapsed());
    let prediction = revision.predict(request.batch, parameters.options).await?;

    let start = Instant::now();
    let version = revision.number().to_string();
    let head = ResponseHead {
        model_name: revision.name(),
        model_version: Some(&version),
        id: request.id.as_deref(),
    };
    let encoded = oip::encode_response(&head, &prediction.batch, &outputs, parameters.nan);
    drop(prediction);
    revision.statistics().encoded(start.elapsed());
    let (body, coding) = encoding::encode(&headers, encoded.body, &meter).await?;

    let mut response = (StatusCode::OK, body).into_response();
    let into = response.headers_mut();
    let media = match encoded.json_bytes {
        Some(_) => "application/octet-stream",
        None => "application/json",
    };
    into.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Some(length) = encoded.json_bytes {
        into.insert(JSON_LENGTH, HeaderValue::from(length));
    }
    if let Some(coding) = coding {
        into.insert(header::CONTENT_ENCODING, coding);
    }
    Ok(response)
}

fn decode(revision: &Arc<Revision>, headers: &HeaderMap, bytes: &[u8]) -> Result<InferRequest, ApiError> {
    let (schema, limits) = (revision.input(), DecodeLimits::default());
    Ok(match json_length(headers)? {
        None => oip::decode_request(schema, bytes, &limits)?,
        Some(0) => oip_binary::decode_raw(schema, bytes, &limits)?,
        Some(length) => oip_binary::decode_request(schema, bytes, length, &limits)?,
    })
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, ApiError> {
    let Some(value) = headers.get(JSON_LENGTH) else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .map(Some)
        .ok_or_else(|| {
            ApiError::bad_request(
                "bad-request",
                format!("header {JSON_LENGTH} is no number of bytes"),
            )
        })
}
