//! `/v1/deployments/{name}/predict` and `…/drift`: rows in, rows out.
//!
//! Rows JSON, and CSV that is answered in rows JSON, are read, predicted and answered as a whole; all
//! else is a [`stream`].

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_access::Action;
use caisson_data::{Batch, DecodeLimits, csv, rows};
use caisson_sandbox::DriftStatus;
use caisson_serving::{CallOptions, MonitorReport, Prediction, Revision, worst};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::error::{ApiError, ViolationBody};
use super::extract::{Path, Query};
use super::stream::{self, Form};
use super::{Context, body, json, json_bytes, logged, sized};

/// Rows of a window given to `drift`. Sketches and tests settle long before; past it, a sample says
/// the same.
const DRIFT_ROWS_MAX: usize = 1_000_000;
/// Bytes of such a window, as numbers: a quarter of what a monitor's instance may have, which holds the
/// window and sorts it.
const DRIFT_BYTES_MAX: usize = 128 << 20;

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
    let (ticket, id) = logged::ticket(&revision, None, &headers)?;
    if !(from == Form::Json || (from, to) == (Form::Csv, Form::Json)) {
        let answer = stream::respond(
            context,
            caller,
            name,
            (revision, ticket),
            (from, to),
            &headers,
            body,
        );
        return Ok(id.named(answer.await?));
    }
    let limits = DecodeLimits::default();
    let is_csv = from == Form::Csv;
    let batch = read(&context, &caller, &headers, body, is_csv, &revision, limits).await?;
    let prediction = revision.predict_as(ticket, batch, CallOptions::default()).await?;
    if to != Form::Json {
        return Ok(id.named(stream::whole(to, &revision, prediction.batch)?));
    }
    let size = prediction.batch.byte_len();
    let out = sized(&context, caller.tenant(), size, move || {
        encode(&prediction, revision.number())
    })
    .await?;
    Ok(id.named(json_bytes(StatusCode::OK, out)))
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

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Drift")]
pub(crate) struct DriftBody {
    revision: u64,
    rows: usize,
    status: DriftStatus,
    monitors: Vec<MonitorReport>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskQuery {
    /// Is the answer what monitors say now, for metrics and alerts? Takes the right to evaluate. Without it,
    /// asking changes nothing.
    #[serde(default)]
    record: bool,
}

/// Run every monitor on the rows of the body.
pub(crate) async fn drift(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<AskQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    if query.record {
        // Before the body, which may be long.
        if let Err(error) = caller.allow(Action::DeploymentEvaluate, &name) {
            body::discard(&headers, body).await;
            return Err(error);
        }
    }
    let revision = context.live(caller.tenant(), &name)?;
    let form = match Form::of_body(&headers) {
        Ok(form) => form,
        Err(error) => {
            body::discard(&headers, body).await;
            return Err(error);
        }
    };
    let limits = DecodeLimits {
        rows_max: DRIFT_ROWS_MAX,
        ..DecodeLimits::default()
    };
    let batch = match form {
        Form::Json | Form::Csv => {
            let is_csv = form == Form::Csv;
            read(&context, &caller, &headers, body, is_csv, &revision, limits).await?
        }
        Form::Ndjson | Form::Arrow | Form::Parquet => {
            let limits = (DRIFT_ROWS_MAX, DRIFT_BYTES_MAX);
            stream::gather(&context, &caller, form, &headers, body, revision.input(), limits).await?
        }
    };
    let rows = batch.rows();
    let monitors = revision.drift(batch).await?;
    if query.record {
        revision.record_drift(&monitors);
    }
    let body = DriftBody {
        revision: revision.number(),
        rows,
        status: worst(&monitors),
        monitors,
    };
    Ok(json(StatusCode::OK, &body))
}

/// Read a body of one of the forms that are read whole, and decode it.
async fn read(
    context: &Context,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
    is_csv: bool,
    revision: &Arc<Revision>,
    limits: DecodeLimits,
) -> Result<Batch, ApiError> {
    let bytes = body::read(headers, body, body::PREDICT_BYTES_MAX).await?;
    let schema = Arc::clone(revision.input());
    let size = bytes.len();
    let decode = move || match is_csv {
        true => csv::decode(&schema, &bytes, &limits),
        false => rows::decode(&schema, &bytes, &limits).map(|rows| rows.batch),
    };
    Ok(sized(context, caller.tenant(), size, decode).await?)
}
