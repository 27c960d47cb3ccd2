//! The Open Inference Protocol, version 2, over REST.
//!
//! A model is a deployment here, and its versions are revisions. What clients read first is in
//! `/v2`: only extensions that are there are listed.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use caisson_data::oip::{self, NanPolicy, ResponseHead};
use caisson_data::{DecodeLimits, Field, Schema, oip_binary};
use caisson_registry::TenantId;
use caisson_serving::{CallOptions, Revision};
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::Caller;
use super::error::ApiError;
use super::extract::Path;
use super::{Context, body, json, logged};

/// Bytes of the JSON part, where binary tensors follow it.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

#[derive(Serialize, JsonSchema)]
pub(crate) struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    extensions: &'static [&'static str],
}

/// What the server is.
pub(crate) async fn server_metadata() -> Response {
    json(
        StatusCode::OK,
        &ServerMetadata {
            name: "caisson",
            version: env!("CARGO_PKG_VERSION"),
            extensions: &["binary_tensor_data"],
        },
    )
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ModelMetadata<'a> {
    name: &'a str,
    versions: [String; 1],
    platform: &'static str,
    inputs: Vec<TensorMetadata<'a>>,
    outputs: Vec<TensorMetadata<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct TensorMetadata<'a> {
    name: &'a str,
    datatype: &'static str,
    /// -1 for the rows, then the column's own shape.
    shape: Vec<i64>,
}

impl<'a> TensorMetadata<'a> {
    fn of(schema: &'a Schema) -> Vec<Self> {
        schema.fields().iter().map(Self::of_field).collect()
    }

    fn of_field(field: &'a Field) -> Self {
        Self {
            name: &field.name,
            datatype: field.data_type.oip_name(),
            shape: std::iter::once(-1)
                .chain(field.shape.iter().map(|&d| i64::from(d)))
                .collect(),
        }
    }
}

fn metadata(revision: &Revision) -> Response {
    let body = ModelMetadata {
        name: revision.name(),
        versions: [revision.number().to_string()],
        platform: "caisson_pipeline",
        inputs: TensorMetadata::of(revision.input()),
        outputs: TensorMetadata::of(revision.output()),
    };
    json(StatusCode::OK, &body)
}

/// Inputs and outputs of a deployment.
pub(crate) async fn model_metadata(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    Ok(metadata(&*context.live(caller.tenant(), &name)?))
}

/// The same, of the revision that is live.
pub(crate) async fn version_metadata(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    Ok(metadata(&*context.live_version(
        caller.tenant(),
        &name,
        &version,
    )?))
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

/// 200 when the deployment serves.
pub(crate) async fn model_ready(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    context.live(caller.tenant(), &name)?;
    Ok(json(
        StatusCode::OK,
        &ModelReady {
            name: &name,
            ready: true,
        },
    ))
}

/// 200 when that revision serves.
pub(crate) async fn version_ready(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    context.live_version(caller.tenant(), &name, &version)?;
    Ok(json(
        StatusCode::OK,
        &ModelReady {
            name: &name,
            ready: true,
        },
    ))
}

/// Predict for tensors.
pub(crate) async fn infer(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    infer_on(&context.live(caller.tenant(), &name)?, &headers, body).await
}

/// Predict for tensors with the revision that is live.
pub(crate) async fn infer_version(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    infer_on(
        &context.live_version(caller.tenant(), &name, &version)?,
        &headers,
        body,
    )
    .await
}

async fn infer_on(revision: &Arc<Revision>, headers: &HeaderMap, body: Body) -> Result<Response, ApiError> {
    let bytes = body::read(headers, body, body::PREDICT_BYTES_MAX).await?;
    let limits = DecodeLimits::default();
    let request = match json_length(headers)? {
        None => oip::decode_request(revision.input(), &bytes, &limits)?,
        Some(length) => oip_binary::decode_request(revision.input(), &bytes, length, &limits)?,
    };
    // Before the work: an output that isn't there needs no prediction.
    let outputs = request.choose_outputs(revision.output())?;
    let (ticket, id) = logged::ticket(revision, request.id.as_deref(), headers)?;
    let prediction = revision
        .predict_as(ticket, request.batch, CallOptions::default())
        .await?;
    let version = revision.number().to_string();
    let head = ResponseHead {
        model_name: revision.name(),
        model_version: Some(&version),
        id: request.id.as_deref(),
    };
    let encoded = oip::encode_response(&head, &prediction.batch, &outputs, NanPolicy::Null);
    let media = if encoded.json_bytes.is_some() {
        "application/octet-stream"
    } else {
        "application/json"
    };
    let mut response = (StatusCode::OK, encoded.body).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Some(length) = encoded.json_bytes {
        response
            .headers_mut()
            .insert(JSON_LENGTH, HeaderValue::from(length));
    }
    Ok(id.named(response))
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

impl Context {
    /// The live revision, if it is the one of this number.
    fn live_version(
        &self,
        tenant: &TenantId,
        name: &str,
        version: &str,
    ) -> Result<std::sync::Arc<Revision>, ApiError> {
        let revision = self.live(tenant, name)?;
        if revision.number().to_string() == version {
            return Ok(revision);
        }
        Err(ApiError::not_found(format!(
            "`{name}` serves revision {}, not `{}`",
            revision.number(),
            version.escape_debug()
        )))
    }
}
