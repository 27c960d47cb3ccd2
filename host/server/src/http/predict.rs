//! `/v1/deployments/{name}/predict` and `…/drift`: rows in, rows out.
//!
//! Rows JSON, and CSV that is answered in rows JSON, are read, predicted and answered as a whole; all
//! else is a [`stream`].

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_data::{Batch, DecodeLimits, csv, rows};
use caisson_sandbox::DriftStatus;
use caisson_serving::{CallOptions, MonitorReport, Revision, worst};
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::Caller;
use super::error::{ApiError, ViolationBody};
use super::extract::Path;
use super::stream::{self, Form};
use super::{Context, body, json, json_bytes, media_type};

/// Rows of a window given to `drift`. Sketches and tests settle long before; past it, a sample says
/// the same.
const DRIFT_ROWS_MAX: usize = 1_000_000;

/// Predict, for a body in any form and in the form that the client takes.
pub(crate) async fn predict(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let from = Form::of_body(&headers)?;
    let to = from.of_answer(&headers)?;
    let revision = context.live(caller.tenant(), &name)?;
    if !(from == Form::Json || (from, to) == (Form::Csv, Form::Json)) {
        return stream::respond(context, caller, name, revision, (from, to), &headers, body).await;
    }
    let bytes = body::read(&headers, body, body::PREDICT_BYTES_MAX).await?;
    let batch = decode(&headers, &bytes, &revision, &DecodeLimits::default())?;
    let prediction = revision.predict(batch, CallOptions::default()).await?;
    if to != Form::Json {
        return stream::whole(to, &revision, prediction.batch);
    }
    let mut out = Vec::with_capacity(64 + prediction.batch.byte_len() * 4);
    out.extend_from_slice(b"{\"rows\":");
    rows::encode_array(&prediction.batch, &mut out);
    out.extend_from_slice(format!(",\"revision\":{}", revision.number()).as_bytes());
    if !prediction.warnings.is_empty() {
        let warnings: Vec<ViolationBody> = prediction.warnings.iter().map(ViolationBody::from).collect();
        out.extend_from_slice(b",\"warnings\":");
        serde_json::to_writer(&mut out, &warnings).map_err(ApiError::internal)?;
    }
    out.push(b'}');
    Ok(json_bytes(StatusCode::OK, out))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Drift")]
pub(crate) struct DriftBody {
    revision: u64,
    rows: usize,
    status: DriftStatus,
    monitors: Vec<MonitorReport>,
}

/// Run every monitor on the rows of the body.
pub(crate) async fn drift(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    let bytes = body::read(&headers, body, body::PREDICT_BYTES_MAX).await?;
    let limits = DecodeLimits {
        rows_max: DRIFT_ROWS_MAX,
        ..DecodeLimits::default()
    };
    let batch = decode(&headers, &bytes, &revision, &limits)?;
    let rows = batch.rows();
    let monitors = revision.drift(batch).await?;
    let body = DriftBody {
        revision: revision.number(),
        rows,
        status: worst(&monitors),
        monitors,
    };
    Ok(json(StatusCode::OK, &body))
}

/// Decode a body of one of the forms that are read whole.
fn decode(
    headers: &HeaderMap,
    bytes: &[u8],
    revision: &Revision,
    limits: &DecodeLimits,
) -> Result<Batch, ApiError> {
    match Form::of_body(headers) {
        Ok(Form::Json) => Ok(rows::decode(revision.input(), bytes, limits)?.batch),
        Ok(Form::Csv) => Ok(csv::decode(revision.input(), bytes, limits)?),
        _ => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            format!(
                "this route takes application/json and text/csv, not `{}`",
                media_type(headers).unwrap_or_default().escape_debug()
            ),
        )),
    }
}
