//! The statistics extension: what each deployment has done since its live revision began to serve.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use caisson_serving::{Revision, Spent};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::auth::Caller;
use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::{Context, json};
use super::Named;

#[derive(Serialize, JsonSchema)]
pub(crate) struct StatisticsAnswer {
    model_stats: Vec<ModelStatistics>,
}

/// What one deployment has done.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ModelStatistics {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Milliseconds since 1970.
    pub(crate) last_inference: u64,
    /// Rows that were answered.
    pub(crate) inference_count: u64,
    /// Runs of the stages.
    pub(crate) execution_count: u64,
    pub(crate) inference_stats: InferenceStatistics,
    /// Not counted by size: the histogram `caisson_batch_rows` in `/metrics` is.
    pub(crate) batch_stats: [(); 0],
}

/// Where the time went.
#[derive(Serialize, JsonSchema)]
pub(crate) struct InferenceStatistics {
    pub(crate) success: Spent,
    pub(crate) fail: Spent,
    pub(crate) queue: Spent,
    pub(crate) compute_input: Spent,
    pub(crate) compute_infer: Spent,
    pub(crate) compute_output: Spent,
    /// Answers that were kept, where the deployment keeps any.
    pub(crate) cache_hit: Spent,
    pub(crate) cache_miss: Spent,
}

impl ModelStatistics {
    /// That of a revision.
    pub(crate) fn of(revision: &Revision) -> Self {
        let read = revision.statistics().read();
        Self {
            name: revision.name().to_owned(),
            version: revision.number().to_string(),
            last_inference: read.last_ms,
            inference_count: read.rows,
            execution_count: read.runs,
            inference_stats: InferenceStatistics {
                success: read.success,
                fail: read.fail,
                queue: read.queue,
                compute_input: read.input,
                compute_infer: read.infer,
                compute_output: read.output,
                cache_hit: read.hit,
                cache_miss: read.miss,
            },
            batch_stats: [],
        }
    }
}

/// Of one deployment.
pub(crate) async fn show(
    State(context): State<Context>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    let revision = context.named(caller.tenant(), &named)?;
    let body = StatisticsAnswer {
        model_stats: vec![ModelStatistics::of(&revision)],
    };
    Ok(json(StatusCode::OK, &body))
}

/// Of all that serve.
pub(crate) async fn all(State(context): State<Context>, caller: Caller) -> Response {
    let live = context.app.serving.list(caller.tenant());
    let model_stats = live
        .iter()
        .map(|revision| ModelStatistics::of(revision))
        .collect();
    json(StatusCode::OK, &StatisticsAnswer { model_stats })
}
