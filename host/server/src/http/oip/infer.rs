//! Tensors in, tensors out.
//!
//! The body is JSON, or JSON with binary tensors behind it, or one raw tensor, as the header
//! `Inference-Header-Content-Length` says; `Content-Type` says nothing that this doesn't, and several
//! public clients send none. The header counts bytes before compression, in both directions.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use caisson_data::oip::{self, InferRequest, ResponseHead};
use caisson_data::{DecodeError, DecodeLimits, Schema, oip_binary};

use super::super::auth::Caller;
use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::{Context, body, encoding, logged, sized};
use super::Named;
use super::parameters::Parameters;

/// Bytes of the JSON part, where binary tensors follow it.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Predict for tensors.
pub(crate) async fn infer(
    State(context): State<Context>,
    caller: Caller,
    Path(named): Path<Named>,
    request: Request,
) -> Result<Response, ApiError> {
    let (Parts { headers, .. }, body) = request.into_parts();
    let (tenant, limit) = (caller.tenant(), body::PREDICT_BYTES_MAX);
    let revision = context.named(tenant, &named)?;
    let sent = body::read(&headers, body, limit).await?;
    let bytes = encoding::decode(&headers, sent, limit, &context, tenant).await?;

    let start = Instant::now();
    let (length, schema) = (json_length(&headers)?, Arc::clone(revision.input()));
    let request = sized(&context, tenant, bytes.len(), move || {
        decode(&schema, length, &bytes)
    })
    .await?;
    // Before the work: what can't be answered needs no prediction.
    let parameters = Parameters::of(&request)?;
    let outputs = request.choose_outputs(revision.output())?;
    revision.statistics().decoded(start.elapsed());
    let (ticket, shown) = logged::ticket(&revision, request.id.as_deref(), &headers)?;
    let prediction = revision
        .predict_as(ticket, request.batch, parameters.options)
        .await?;

    let start = Instant::now();
    let (id, answering) = (request.id, Arc::clone(&revision));
    let encoded = sized(&context, tenant, prediction.batch.byte_len(), move || {
        let head = ResponseHead {
            model_name: answering.name(),
            model_version: Some(&answering.number().to_string()),
            id: id.as_deref(),
        };
        oip::encode_response(&head, &prediction.batch, &outputs, parameters.nan)
    })
    .await;
    revision.statistics().encoded(start.elapsed());
    let (body, coding) = encoding::encode(&headers, encoded.body, &context, tenant).await?;

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
    Ok(shown.named(response))
}

/// What a body says whose JSON part has this length; `None`: all of it.
fn decode(schema: &Arc<Schema>, json: Option<usize>, bytes: &[u8]) -> Result<InferRequest, DecodeError> {
    let limits = DecodeLimits::default();
    match json {
        None => oip::decode_request(schema, bytes, &limits),
        Some(0) => oip_binary::decode_raw(schema, bytes, &limits),
        Some(length) => oip_binary::decode_request(schema, bytes, length, &limits),
    }
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
