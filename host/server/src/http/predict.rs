//! `/v1/deployments/{name}/predict` and `…/drift`: rows in, rows out.

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
use super::{Context, body, json, json_bytes, media_type};

/// Rows of a window given to `drift`. Sketches and tests settle long before; past it, a sample says
/// the same.
const DRIFT_ROWS_MAX: usize = 1_000_000;

/// Predict for rows JSON or CSV.
pub(crate) async fn predict(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    let bytes = body::read(&headers, body, body::PREDICT_BYTES_MAX).await?;
    let batch = decode(&headers, &bytes, &revision, &DecodeLimits::default())?;
    let prediction = revision.predict(batch, CallOptions::default()).await?;
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

/// Decode a body by its media type. Clients that say none mean JSON; `curl -d` says a form and
/// means JSON too.
fn decode(
    headers: &HeaderMap,
    bytes: &[u8],
    revision: &Revision,
    limits: &DecodeLimits,
) -> Result<Batch, ApiError> {
    match media_type(headers).as_deref() {
        None | Some("application/json" | "application/x-www-form-urlencoded" | "") => {
            Ok(rows::decode(revision.input(), bytes, limits)?.batch)
        }
        Some("text/csv") => Ok(csv::decode(revision.input(), bytes, limits)?),
        Some(other) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            format!(
                "this route takes application/json and text/csv, not `{}`",
                other.escape_debug()
            ),
        )),
    }
}
