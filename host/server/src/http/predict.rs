//! `/v1/deployments/{name}/predict` and `…/drift`: rows in, rows out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_data::{Batch, DecodeLimits, csv, rows};
use caisson_sandbox::DriftStatus;
use caisson_serving::{CallOptions, MonitorReport, Prediction, Revision, worst};
use serde::Serialize;

use super::auth::Caller;
use super::error::{ApiError, ViolationBody};
use super::extract::Path;
use super::{Context, body, json, json_bytes, media_type, sized};

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
    let batch = read(
        &context,
        &caller,
        &headers,
        body,
        &revision,
        DecodeLimits::default(),
    )
    .await?;
    let prediction = revision.predict(batch, CallOptions::default()).await?;
    let size = prediction.batch.byte_len();
    let out = sized(&context, caller.tenant(), size, move || {
        encode(&prediction, revision.number())
    })
    .await?;
    Ok(json_bytes(StatusCode::OK, out))
}

fn encode(prediction: &Prediction, revision: u64) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(64 + prediction.batch.byte_len() * 4);
    out.extend_from_slice(b"{\"rows\":");
    rows::encode_array(&prediction.batch, &mut out);
    out.extend_from_slice(format!(",\"revision\":{revision}").as_bytes());
    if !prediction.warnings.is_empty() {
        let warnings: Vec<ViolationBody> = prediction.warnings.iter().map(ViolationBody::from).collect();
        out.extend_from_slice(b",\"warnings\":");
        serde_json::to_writer(&mut out, &warnings).map_err(ApiError::internal)?;
    }
    out.push(b'}');
    Ok(out)
}

#[derive(Serialize)]
struct DriftBody {
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
    let limits = DecodeLimits {
        rows_max: DRIFT_ROWS_MAX,
        ..DecodeLimits::default()
    };
    let batch = read(&context, &caller, &headers, body, &revision, limits).await?;
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

/// Read a body and decode it by its media type. Clients that say none mean JSON; `curl -d` says a form
/// and means JSON too.
async fn read(
    context: &Context,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
    revision: &Arc<Revision>,
    limits: DecodeLimits,
) -> Result<Batch, ApiError> {
    let is_csv = match media_type(headers).as_deref() {
        None | Some("application/json" | "application/x-www-form-urlencoded" | "") => false,
        Some("text/csv") => true,
        Some(other) => {
            let message = format!(
                "this route takes application/json and text/csv, not `{}`",
                other.escape_debug()
            );
            body::discard(headers, body).await;
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                message,
            ));
        }
    };
    let bytes = body::read(headers, body, body::PREDICT_BYTES_MAX).await?;
    let schema = Arc::clone(revision.input());
    let size = bytes.len();
    let decode = move || match is_csv {
        true => csv::decode(&schema, &bytes, &limits),
        false => rows::decode(&schema, &bytes, &limits).map(|rows| rows.batch),
    };
    Ok(sized(context, caller.tenant(), size, decode).await?)
}
