//! `/v1/deployments/{name}/feedback` and `…/performance`: what came true, and how the deployment does by it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_access::Quota;
use caisson_data::{Batch, DecodeLimits, Schema, rows};
use caisson_serving::Revision;
use caisson_truth::{
    GroundTruthSpec, History, HistoryQuery, Label, LabelCounts, Metric, PerformanceSpec, Task, labels_of,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::stream::{self, Form, Source};
use super::{Context, blocking, body, json, sized};
use crate::performance::measured;

/// Rows that are refused and named.
const REFUSED_SHOWN_MAX: usize = 10;
/// About what a stored label takes; it is counted exactly once it is written.
const LABEL_BYTES: u64 = 64;
/// Windows of one answer.
const WINDOWS_MAX: usize = 1000;
/// Windows unless more are asked for.
const WINDOWS: usize = 100;

/// What became of labels.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Feedback {
    /// Labels that are kept: they survive a crash from now on.
    accepted: u64,
    /// Rows that are no labels.
    refused: u64,
    /// The first of those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<RefusedRow>,
}

/// A row that is no label.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefusedLabel")]
pub(crate) struct RefusedRow {
    /// Its place in the body, from 0.
    row: u64,
    /// What is wrong with it.
    error: String,
}

/// Take labels, in any form of rows.
pub(crate) async fn feedback(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let form = Form::of_body(&headers)?;
    let revision = context.live(caller.tenant(), &name)?;
    let spec = ground_truth(&revision)?;
    let schema = spec
        .feedback_schema(revision.input())
        .map_err(ApiError::internal)?;
    let taker = Taker {
        context: &context,
        caller: &caller,
        revision: &revision,
        spec,
    };
    let mut feedback = Feedback::default();
    let schema = Arc::new(schema);
    let taken = match form {
        Form::Json => taker.take_whole(&headers, body, schema, &mut feedback).await,
        form => {
            taker
                .take_stream(&headers, body, (form, schema), &mut feedback)
                .await
        }
    };
    match taken {
        Ok(()) => {}
        Err(error) if feedback.accepted == 0 => return Err(error),
        Err(error) => {
            let message = format!(
                "{} (the {} labels before it are kept; sending all again does no harm)",
                error.message(),
                feedback.accepted
            );
            return Err(error.saying(message));
        }
    }
    feedback.errors.sort_by_key(|error| error.row);
    // Nothing was a label: that is an error, of its first row.
    if let (0, Some(first)) = (feedback.accepted, feedback.errors.first()) {
        let message = match feedback.refused {
            1 => first.error.clone(),
            n => format!(
                "{} (the first of {n} rows, none of which is a label)",
                first.error
            ),
        };
        return Err(ApiError::bad_request("bad-label", message).in_row(first.row));
    }
    Ok(json(StatusCode::OK, &feedback))
}

/// Takes the labels of one request.
struct Taker<'a> {
    context: &'a Context,
    caller: &'a Caller,
    revision: &'a Arc<Revision>,
    spec: &'a GroundTruthSpec,
}

impl Taker<'_> {
    async fn take_whole(
        &self,
        headers: &HeaderMap,
        body: Body,
        schema: Arc<Schema>,
        feedback: &mut Feedback,
    ) -> Result<(), ApiError> {
        let bytes = body::read(headers, body, body::PREDICT_BYTES_MAX).await?;
        let size = bytes.len();
        let decode = move || rows::decode(&schema, &bytes, &DecodeLimits::default());
        let batch = sized(self.context, self.caller.tenant(), size, decode)
            .await?
            .batch;
        self.take(batch, |row| row as u64, feedback).await
    }

    async fn take_stream(
        &self,
        headers: &HeaderMap,
        body: Body,
        (form, schema): (Form, Arc<Schema>),
        feedback: &mut Feedback,
    ) -> Result<(), ApiError> {
        let mut source =
            stream::source(self.context, self.caller, form, (&schema, &schema), headers, body).await?;
        let taken = self.take_parts(&mut source, feedback).await;
        if taken.is_err() {
            source.discard(headers).await;
        }
        taken
    }

    async fn take_parts(&self, source: &mut Source, feedback: &mut Feedback) -> Result<(), ApiError> {
        while let Some(part) = source.next().await? {
            for (_, error) in &part.refused {
                let row = error.place().1.unwrap_or(part.first_row);
                feedback.refuse(row, error.message().to_owned());
            }
            // The places of the rows that could be read.
            let refused: Vec<usize> = part.refused.iter().map(|(at, _)| *at).collect();
            let rows = part.batch.rows() + refused.len();
            let places: Vec<u64> = (0..rows)
                .filter(|at| refused.binary_search(at).is_err())
                .map(|at| part.first_row + at as u64)
                .collect();
            let place = |row: usize| places.get(row).copied().unwrap_or(part.first_row);
            self.take(part.batch, place, feedback).await?;
        }
        Ok(())
    }

    /// Keep the labels in a batch.
    async fn take(
        &self,
        batch: Batch,
        place: impl Fn(usize) -> u64,
        feedback: &mut Feedback,
    ) -> Result<(), ApiError> {
        let (labels, refused) = labels_of(self.spec, &batch, Timestamp::now())?;
        for row in refused {
            let column = match row.column {
                "label" => &self.spec.label.name,
                column => column,
            };
            feedback.refuse(place(row.row), format!("column `{column}`: {}", row.why));
        }
        let count = labels.len() as u64;
        if count > 0 {
            self.keep(labels).await?;
        }
        feedback.accepted += count;
        Ok(())
    }

    async fn keep(&self, labels: Vec<Label>) -> Result<(), ApiError> {
        let tenant = self.caller.tenant();
        let usage = self.context.app.usage(tenant).await?;
        let bytes = usage
            .stored_bytes
            .saturating_add(labels.len() as u64 * LABEL_BYTES);
        let state = self.caller.principal().tenant();
        state.check_amount(Quota::StoredBytes, bytes)?;
        let (done, kept) = tokio::sync::oneshot::channel();
        let tell = Box::new(move |result| {
            // Who asked may have gone; the labels are kept all the same.
            let _ = done.send(result);
        });
        let truth = &self.context.app.truth;
        truth.record(tenant.as_str(), self.revision.name(), self.spec, labels, tell)?;
        kept.await.map_err(ApiError::internal)??;
        Ok(())
    }
}

impl Feedback {
    fn refuse(&mut self, row: u64, error: String) {
        self.refused += 1;
        if self.errors.len() < REFUSED_SHOWN_MAX {
            self.errors.push(RefusedRow { row, error });
        }
    }
}

fn ground_truth(revision: &Revision) -> Result<&GroundTruthSpec, ApiError> {
    revision.spec().ground_truth.as_ref().ok_or_else(|| {
        ApiError::not_found(format!(
            "`{}` takes no labels; give its deployment file a `ground_truth`",
            revision.name()
        ))
    })
}

/// How a deployment's labels stand.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Labels {
    /// The bytes that they and what was said by them take.
    stored_bytes: u64,
    /// By what became of them, as of the last evaluation since the server started; absent before the first.
    #[serde(flatten)]
    counts: Option<LabelCounts>,
}

/// How a deployment's labels stand.
pub(crate) async fn labels(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    ground_truth(&revision)?;
    let (stored_bytes, counts) = context
        .app
        .truth
        .status(caller.tenant().as_str(), revision.name());
    Ok(json(StatusCode::OK, &Labels { stored_bytes, counts }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PerformanceQuery {
    /// Windows that end after this time, RFC 3339.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    from: Option<Timestamp>,
    /// Windows that start before this time.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    to: Option<Timestamp>,
    /// Only this segment: `region=north`; `region=(missing)` and `region=(other)` for rows without one and
    /// with any that isn't looked at apart.
    segment: Option<String>,
    /// Only these metrics, with commas between them.
    metric: Option<String>,
    /// Every statement that was made of a window, not the newest alone.
    #[serde(default)]
    statements: bool,
    /// How many windows; 100 if left out.
    #[schemars(range(min = 1, max = WINDOWS_MAX))]
    limit: Option<usize>,
}

impl PerformanceQuery {
    fn of(self, performance: &PerformanceSpec) -> Result<HistoryQuery, ApiError> {
        let bad = |message: String| ApiError::bad_request("bad-query", message);
        let limit = self.limit.unwrap_or(WINDOWS);
        if !(1..=WINDOWS_MAX).contains(&limit) {
            return Err(bad(format!("`limit` is from 1 to {WINDOWS_MAX}")));
        }
        let segment = match self.segment {
            None => None,
            Some(text) => {
                let (column, value) = text
                    .split_once('=')
                    .ok_or_else(|| bad("`segment` is a column and a value: `region=north`".to_owned()))?;
                if !performance.segments.iter().any(|name| name == column) {
                    return Err(bad(format!(
                        "`segment`: `{}` isn't among the segments of the deployment's file, which are: {}",
                        caisson_registry::shown(column),
                        performance.segments.join(", ")
                    )));
                }
                Some((column.to_owned(), value.to_owned()))
            }
        };
        let metrics: Vec<String> = self
            .metric
            .iter()
            .flat_map(|list| list.split(','))
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        let known = performance.measured();
        let is_known = |name: &str| known.iter().any(|metric| metric.as_str() == name);
        if let Some(name) = metrics.iter().find(|name| !is_known(name)) {
            let all: Vec<&str> = known.iter().copied().map(Metric::as_str).collect();
            return Err(bad(format!(
                "`metric`: `{}` isn't measured; there are {}",
                caisson_registry::shown(name),
                all.join(", ")
            )));
        }
        Ok(HistoryQuery {
            from: self.from,
            to: self.to,
            segment,
            metrics,
            statements: self.statements,
            limit,
        })
    }
}

/// How a deployment does.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Performance {
    deployment: String,
    revision: u64,
    task: Task,
    /// What keeps it from being told, if anything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(flatten)]
    history: History,
}

fn performance_spec(revision: &Revision) -> Result<(&GroundTruthSpec, &PerformanceSpec), ApiError> {
    measured(revision).ok_or_else(|| {
        ApiError::not_found(format!(
            "nothing is measured of `{}`; give its deployment file a `performance`",
            revision.name()
        ))
    })
}

/// How a deployment did, window by window.
pub(crate) async fn performance(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PerformanceQuery>,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    let (_, performance) = performance_spec(&revision)?;
    let task = performance.task;
    let query = query.of(performance)?;
    let (truth, tenant, live) = (
        context.app.truth.clone(),
        caller.tenant().clone(),
        Arc::clone(&revision),
    );
    let history = blocking(move || {
        let spec = live.spec();
        match (&spec.ground_truth, &spec.performance, &spec.log) {
            (Some(labels), Some(performance), Some(log)) => {
                truth.history((tenant.as_str(), live.name()), (labels, performance, log), &query)
            }
            // Refused when it was deployed.
            _ => Ok(History::default()),
        }
    })
    .await??;
    let body = Performance {
        deployment: revision.name().to_owned(),
        revision: revision.number(),
        task,
        problem: context.app.evaluator.problem(caller.tenant(), revision.name()),
        history,
    };
    Ok(json(StatusCode::OK, &body))
}

/// What an evaluation did.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Evaluated {
    /// Windows that were looked at: those that are closed, and for which labels may still come.
    windows: usize,
    /// Statements that are new.
    statements: usize,
}

/// Tell how a deployment does, now.
pub(crate) async fn evaluate(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    performance_spec(&revision)?;
    let evaluation = context.app.evaluate(caller.tenant(), &revision).await?;
    let body = Evaluated {
        windows: evaluation.windows,
        statements: evaluation.statements,
    };
    Ok(json(StatusCode::OK, &body))
}
