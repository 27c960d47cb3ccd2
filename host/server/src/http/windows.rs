//! `GET /v1/deployments/{name}/drift` and `…/statistics`: windows of live answers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use caisson_monitoring::report::{DriftWindow, DroppedRows, RowCounts};
use caisson_monitoring::spec::{AgainstSpec, WindowsSpec};
use caisson_monitoring::{Filter, MonitoringError, StatisticsReport};
use caisson_quality::hysteresis::AlarmSpec;
use caisson_serving::{MonitorTarget, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::{Context, blocking, json};

/// Windows in one answer: as many as are kept of one monitor.
const WINDOWS_MAX: usize = caisson_monitoring::SERIES_MAX;
/// Windows of an answer that doesn't say how many it wants.
const WINDOWS: usize = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DriftQuery {
    /// Only windows of this monitor.
    monitor: Option<String>,
    /// Windows of this segment, a value of the column that segments are made by, `(missing)` or `(other)`; `*`
    /// for those of every segment. Windows of all rows if left out.
    segment: Option<String>,
    /// How many, the newest; 20 if left out.
    #[schemars(range(min = 1, max = WINDOWS_MAX))]
    limit: Option<usize>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatisticsQuery {
    /// As for drift.
    segment: Option<String>,
    /// How many windows that closed, the newest; 20 if left out.
    #[schemars(range(min = 1, max = WINDOWS_MAX))]
    limit: Option<usize>,
}

/// What monitors said of live answers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DriftHistory")]
pub(crate) struct DriftHistory<'a> {
    revision: u64,
    /// Every monitor, with what it said last.
    monitors: Vec<MonitorBody<'a>>,
    /// Rows that came to windows.
    rows: RowCounts,
    /// Rows that were dropped before they came to any.
    dropped: DroppedRows,
    /// The newest first.
    windows: Vec<DriftWindow>,
}

/// A monitor.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WindowedMonitor")]
struct MonitorBody<'a> {
    name: &'a str,
    /// Its plugin, `ks@0.1.0`, or `data-quality`.
    check: &'a str,
    on: MonitorTarget,
    /// Absent: it judges no windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<WindowsSpec>,
    against: AgainstSpec,
    alarm: AlarmSpec,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    segments: &'a [String],
    /// What it said of the newest window, of all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<Arc<DriftWindow>>,
}

/// A deployment in numbers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeploymentStatistics")]
pub(crate) struct StatisticsBody<'a> {
    revision: u64,
    /// The share of requests that is looked at.
    sample: f64,
    /// The windows.
    window: WindowsSpec,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    segments: &'a [String],
    #[serde(flatten)]
    report: StatisticsReport,
}

/// What monitors said of windows.
pub(crate) async fn drift(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<DriftQuery>,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    let filter = Filter {
        limit: limit(query.limit)?,
        monitor: query.monitor,
        segment: query.segment,
    };
    if let Some(wanted) = &filter.monitor
        && !revision
            .spec()
            .monitors
            .iter()
            .any(|monitor| monitor.name == *wanted)
    {
        return Err(ApiError::not_found(format!(
            "`{}` has no monitor `{}`",
            revision.name(),
            caisson_registry::shown(wanted)
        )));
    }
    let windows = read(&context, &caller, &revision, move |monitoring, tenant, name| {
        monitoring.drift_windows(tenant, name, &filter)
    })
    .await?;
    let (tenant, monitoring) = (caller.tenant().as_str(), &context.app.monitoring);
    let newest = monitoring.newest(tenant, revision.name()).unwrap_or_default();
    let monitors = revision.spec().monitors.iter().map(|monitor| MonitorBody {
        name: &monitor.name,
        check: monitor.check_name(),
        on: monitor.on,
        window: monitor.window,
        against: monitor.against,
        alarm: monitor.alarm.unwrap_or_default(),
        segments: &monitor.segments,
        newest: newest.drift.get(&(monitor.name.clone(), None)).cloned(),
    });
    let (rows, dropped) = monitoring.counts(tenant, revision.name());
    let body = DriftHistory {
        revision: revision.number(),
        monitors: monitors.collect(),
        rows,
        dropped,
        windows,
    };
    Ok(json(StatusCode::OK, &body))
}

/// What is sent and answered, in numbers.
pub(crate) async fn statistics(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<StatisticsQuery>,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    let filter = Filter {
        limit: limit(query.limit)?,
        monitor: None,
        segment: query.segment,
    };
    let report = read(&context, &caller, &revision, move |monitoring, tenant, name| {
        monitoring.statistics(tenant, name, &filter)
    })
    .await?;
    let spec = &revision.spec().monitoring;
    let body = StatisticsBody {
        revision: revision.number(),
        sample: spec.sample,
        window: spec.windows(),
        segments: &spec.segments,
        report,
    };
    Ok(json(StatusCode::OK, &body))
}

fn limit(given: Option<usize>) -> Result<usize, ApiError> {
    let limit = given.unwrap_or(WINDOWS);
    match (1..=WINDOWS_MAX).contains(&limit) {
        true => Ok(limit),
        false => Err(ApiError::bad_request(
            "bad-query",
            format!("`limit` is from 1 to {WINDOWS_MAX}"),
        )),
    }
}

async fn read<T: Send + 'static>(
    context: &Context,
    caller: &Caller,
    revision: &Revision,
    read: impl FnOnce(&caisson_monitoring::Monitoring, &str, &str) -> Result<T, MonitoringError> + Send + 'static,
) -> Result<T, ApiError> {
    let (monitoring, tenant, name) = (
        context.app.monitoring.clone(),
        caller.tenant().clone(),
        revision.name().to_owned(),
    );
    let found = blocking(move || read(&monitoring, tenant.as_str(), &name)).await?;
    found.map_err(ApiError::internal)
}
