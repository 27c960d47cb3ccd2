//! What is said of a deployment's performance against labels.

use caisson_diagnosis::Absent;
use caisson_diagnosis::evidence::Performance;
use caisson_registry::TenantId;
use caisson_serving::Revision;
use caisson_truth::{History, HistoryQuery, MetricValue, Part, Standing, WindowStatement};

use super::WINDOWS_MAX;
use crate::app::App;
use crate::http::error::ApiError;
use crate::performance::measured;

/// What was stated, the newest first; nothing where the deployment's file says nothing of labels.
pub(super) fn read(app: &App, tenant: &TenantId, revision: &Revision) -> Result<Option<History>, ApiError> {
    let spec = revision.spec();
    let (Some((labels, performance)), Some(log)) = (measured(revision), &spec.log) else {
        return Ok(None);
    };
    let query = HistoryQuery {
        limit: WINDOWS_MAX,
        ..HistoryQuery::default()
    };
    let of = (tenant.as_str(), revision.name());
    Ok(Some(app.truth.history(of, (labels, performance, log), &query)?))
}

/// The newest window that has something to say, metric by metric.
pub(super) fn evidence(revision: &Revision, history: Option<&History>) -> (Vec<Performance>, Vec<Absent>) {
    let absent = |how: &str| {
        let what = "Performance against labels.".to_owned();
        (
            Vec::new(),
            vec![Absent {
                what,
                how: how.to_owned(),
            }],
        )
    };
    let Some(history) = history else {
        return absent(
            "Add `ground_truth:` and `performance:` to the deployment's file, and send labels to \
                       `/v1/deployments/{name}/feedback`.",
        );
    };
    let with = history.windows.iter().find(|window| {
        let of = |part: &Part| !part.metrics.is_empty() || !part.estimates.is_empty();
        window.parts.iter().any(of)
    });
    let Some(window) = with else {
        return absent("No window has labels enough yet: send them to `/v1/deployments/{name}/feedback`.");
    };
    let Some((_, spec)) = measured(revision) else {
        return absent("The deployment's file says nothing of performance.");
    };
    let mut found = Vec::new();
    for part in &window.parts {
        for metric in spec.measured() {
            let name = metric.as_str();
            let (value, estimated) = match (part.metrics.get(name), part.estimates.get(name)) {
                (Some(value), _) if value.value.is_some() => (value, false),
                (_, Some(value)) => (value, true),
                (Some(value), None) => (value, false),
                (None, None) => continue,
            };
            found.push(one(window, part, name, value, estimated));
        }
    }
    (found, Vec::new())
}

fn one(
    window: &WindowStatement,
    part: &Part,
    name: &str,
    value: &MetricValue,
    estimated: bool,
) -> Performance {
    let verdict = part.verdicts.get(name);
    let found = verdict.and_then(|verdict| verdict.found.as_ref());
    Performance {
        metric: name.to_owned(),
        segment: part.segment.as_ref().map(|segment| {
            format!(
                "{} = {}",
                segment.column,
                segment.value.as_deref().unwrap_or("(missing)")
            )
        }),
        value: value.value,
        interval: value.low.zip(value.high),
        baseline: found.map(|found| found.baseline),
        is_worse: verdict.and_then(|verdict| match verdict.outcome {
            Standing::Good => Some(false),
            Standing::Bad => Some(true),
            Standing::Unknown => None,
        }),
        p_value: found.map(|found| found.p_value),
        rows: value.rows.unwrap_or(part.labelled),
        estimated,
        since: Some(window.window.start),
    }
}
