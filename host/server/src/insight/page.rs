//! What was gathered, as a report lays it out.

use std::collections::BTreeMap;

use caisson_diagnosis::evidence::{Drift, Target};
use caisson_diagnosis::{Absent, Diagnosis, Question, Severity};
use caisson_monitoring::report::Status as DriftStatus;
use caisson_report::Report;
use caisson_report::model::{
    Distributions, Group, Latency, Limit, Part, Point, Series, StageTime, Status, Verdict,
};
use caisson_truth::{History, MetricValue, Standing};

use super::distributions::{self, Said};
use super::traffic::Minute;
use super::{Gathered, drift};

/// The page's data.
pub(super) fn report(gathered: &Gathered) -> Report {
    let diagnosis = gathered.diagnosis();
    let spec = gathered.revision.spec();
    Report {
        tenant: gathered.tenant.to_string(),
        deployment: spec.name.clone(),
        description: spec.description.clone(),
        revision: gathered.revision.number(),
        model: gathered
            .model
            .as_ref()
            .map(|model| format!("{}@{}", model.name, model.version)),
        made_at: gathered.evidence.now,
        verdicts: verdicts(gathered, &diagnosis),
        distributions: distributions(gathered),
        drift: drift_lines(gathered),
        performance: performance(gathered.performance.as_ref()),
        latency: latency(gathered),
        diagnosis,
    }
}

fn verdicts(gathered: &Gathered, diagnosis: &Diagnosis) -> Vec<Verdict> {
    let evidence = &gathered.evidence;
    let worst = |question| {
        let severities = diagnosis.of(question).map(|finding| finding.severity);
        match severities.max() {
            Some(Severity::Critical) => Status::Bad,
            Some(Severity::Warning) => Status::Warning,
            Some(Severity::Notice) | None => Status::Good,
        }
    };
    let recent = evidence.recent().filter(|recent| recent.requests > 0);
    let speed = match recent {
        None => (Status::Unknown, "no requests lately".to_owned()),
        Some(recent) => {
            let p95 = recent.p95_ms.map_or_else(String::new, |p95| {
                format!("p95 {} ms, ", caisson_report::number(p95))
            });
            (
                worst(Question::Slow),
                format!("{p95}{} requests lately", recent.requests),
            )
        }
    };
    let errors = match recent {
        None => (Status::Unknown, "no requests lately".to_owned()),
        Some(recent) if recent.failures == 0 => (Status::Good, "none lately".to_owned()),
        Some(recent) => (
            Status::Bad,
            format!("{} of {} requests failed", recent.failures, recent.requests),
        ),
    };
    let watched = evidence
        .features
        .iter()
        .filter(|feature| feature.target != Target::Predictions);
    let drifted = watched
        .clone()
        .filter(|feature| feature.status == Drift::Drifted)
        .count();
    let drift = match (watched.count(), drifted) {
        (0, _) => (Status::Unknown, "nothing is watched yet".to_owned()),
        (all, 0) => (Status::Good, format!("none of {all} features drifted")),
        (all, some) => (Status::Bad, format!("{some} of {all} features drifted")),
    };
    let worse = evidence
        .performance
        .iter()
        .filter(|one| one.is_worse == Some(true))
        .count();
    let judged = evidence
        .performance
        .iter()
        .filter(|one| one.is_worse.is_some())
        .count();
    let performance = match (evidence.performance.len(), judged, worse) {
        (0, _, _) => (Status::Unknown, "no labels yet".to_owned()),
        (all, 0, _) => (Status::Unknown, format!("{all} metrics, compared with nothing")),
        (_, all, 0) => (
            Status::Good,
            format!("none of {all} metrics is worse than the baseline"),
        ),
        (_, all, some) => (
            Status::Bad,
            format!("{some} of {all} metrics are worse than the baseline"),
        ),
    };
    [
        ("Speed", speed),
        ("Errors", errors),
        ("Drift", drift),
        ("Performance", performance),
    ]
    .map(|(label, (status, text))| Verdict {
        label: label.to_owned(),
        status,
        text,
    })
    .into()
}

/// The worst that monitors say of each column.
fn said(gathered: &Gathered, predictions: bool) -> Said {
    let mut said = Said::new();
    let features = gathered.evidence.features.iter();
    for feature in features.filter(|feature| (feature.target == Target::Predictions) == predictions) {
        let status = match feature.status {
            Drift::Stable => Status::Good,
            Drift::Unknown => Status::Unknown,
            Drift::Warn => Status::Warning,
            Drift::Drifted => Status::Bad,
        };
        let worse = said.get(&feature.name).is_none_or(|(known, _)| *known < status);
        if worse {
            let text = format!("{} ({} by `{}`)", feature.detail, feature.method, feature.monitor);
            said.insert(feature.name.clone(), (status, text));
        }
    }
    said
}

fn distributions(gathered: &Gathered) -> Part<Distributions> {
    let unknown = |what: &str, how: &str| {
        Part::Unknown(Absent {
            what: what.to_owned(),
            how: how.to_owned(),
        })
    };
    let statistics = &gathered.statistics;
    let Some(baseline) = &statistics.baseline else {
        return unknown(
            "There is nothing to compare with.",
            "Register the model version with a baseline: `caisson model push … --baseline baseline.csv`.",
        );
    };
    // The newest window that closed, or the one that is open where none has.
    let newest = statistics.windows.iter().chain(&statistics.open);
    let Some(current) = newest
        .into_iter()
        .find(|window| window.segment.is_none() && window.rows > 0)
    else {
        return unknown("No rows have come yet.", "Send requests, and ask again.");
    };
    let importance = gathered.importance.as_deref();
    let mut columns = distributions::columns(
        (&baseline.predictions, &current.predictions),
        Group::Prediction,
        &said(gathered, true),
        importance,
    );
    columns.extend(distributions::columns(
        (&baseline.input, &current.input),
        Group::Feature,
        &said(gathered, false),
        importance,
    ));
    let of = gathered.model.as_ref().map_or_else(String::new, |model| {
        format!(" of {}@{}", model.name, model.version)
    });
    let state = if current.closed_at.is_some() {
        ""
    } else {
        ", still open"
    };
    Part::Known(Distributions {
        reference: format!("baseline{of}, {} rows", baseline.rows),
        current: format!(
            "window {} to {}{state}, {} rows",
            current.window.start, current.window.end, current.rows
        ),
        columns,
    })
}

fn drift_lines(gathered: &Gathered) -> Part<Vec<Series>> {
    let lines = drift::lines(&gathered.drift);
    let mut series: Vec<Series> = lines
        .into_iter()
        .map(|((monitor, feature), windows)| {
            let newest = windows.last().map(|(_, verdict)| *verdict);
            let points = windows.iter().filter_map(|(window, verdict)| {
                Some(Point {
                    at: window.closed_at.parse().ok()?,
                    value: verdict.statistic,
                    interval: None,
                    status: match verdict.status {
                        DriftStatus::Stable => Status::Good,
                        DriftStatus::Warn => Status::Warning,
                        DriftStatus::Drifted => Status::Bad,
                        DriftStatus::InsufficientData => Status::Unknown,
                    },
                })
            });
            Series {
                title: feature,
                note: newest.map_or_else(String::new, |verdict| {
                    format!("{} by monitor {monitor}. {}", verdict.method, verdict.detail)
                }),
                unit: String::new(),
                points: points.collect(),
                limit: newest.and_then(|verdict| verdict.threshold).map(|value| Limit {
                    value,
                    label: "threshold".to_owned(),
                }),
            }
        })
        .collect();
    if series.is_empty() {
        return Part::Unknown(Absent {
            what: "No monitor has judged a window.".to_owned(),
            how: "Give monitors a `window:` in the deployment's file, and send requests.".to_owned(),
        });
    }
    let newest = |series: &Series| series.points.last().map_or(Status::Unknown, |point| point.status);
    series.sort_by_key(|one| std::cmp::Reverse(newest(one)));
    Part::Known(series)
}

fn performance(history: Option<&History>) -> Part<Vec<Series>> {
    let Some(history) = history else {
        return Part::Unknown(Absent {
            what: "Performance isn't measured.".to_owned(),
            how: "Add `ground_truth:` and `performance:` to the deployment's file, and send labels to \
                  `/v1/deployments/{name}/feedback`."
                .to_owned(),
        });
    };
    // By segment and metric; the newest window comes first.
    let mut lines: BTreeMap<(String, String), Series> = BTreeMap::new();
    for window in history.windows.iter().rev() {
        let at = window.window.end;
        for part in &window.parts {
            let of = part.segment.as_ref().map_or_else(String::new, |segment| {
                format!(
                    ", {} = {}",
                    segment.column,
                    segment.value.as_deref().unwrap_or("(missing)")
                )
            });
            let mut names: Vec<&String> = part.metrics.keys().chain(part.estimates.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let measured = part.metrics.get(name).filter(|value| value.value.is_some());
                let Some(value) = measured.or_else(|| part.estimates.get(name)) else {
                    continue;
                };
                let verdict = part.verdicts.get(name);
                let line = lines.entry((of.clone(), name.clone())).or_insert_with(|| Series {
                    title: format!("{name}{of}"),
                    note: String::new(),
                    unit: String::new(),
                    points: Vec::new(),
                    limit: None,
                });
                line.points
                    .push(point(at, value, verdict.map(|verdict| verdict.outcome)));
                line.note = note(value, part.labelled);
                if let Some(found) = verdict.and_then(|verdict| verdict.found.as_ref()) {
                    line.limit = Some(Limit {
                        value: found.baseline,
                        label: "baseline".to_owned(),
                    });
                }
            }
        }
    }
    if lines.is_empty() {
        return Part::Unknown(Absent {
            what: "No window has labels yet.".to_owned(),
            how: "Send them to `/v1/deployments/{name}/feedback`.".to_owned(),
        });
    }
    Part::Known(lines.into_values().collect())
}

fn point(at: jiff::Timestamp, value: &MetricValue, outcome: Option<Standing>) -> Point {
    Point {
        at,
        value: value.value,
        interval: value.low.zip(value.high),
        status: match outcome {
            Some(Standing::Good) => Status::Good,
            Some(Standing::Bad) => Status::Bad,
            Some(Standing::Unknown) | None => Status::Unknown,
        },
    }
}

fn note(value: &MetricValue, labelled: u64) -> String {
    let rows = value.rows.unwrap_or(labelled);
    if value.estimated {
        "The newest value is an estimate: its labels haven't come.".to_owned()
    } else {
        format!("The newest value is of {rows} labelled rows.")
    }
}

fn latency(gathered: &Gathered) -> Part<Latency> {
    let (evidence, times) = (&gathered.evidence, &gathered.latency);
    if times.requests == 0 {
        return Part::Unknown(Absent {
            what: "No requests came lately.".to_owned(),
            how: "Times are kept in memory for the last minutes: ask again when requests have come."
                .to_owned(),
        });
    }
    let total: f64 = evidence.stages.iter().map(|stage| stage.total_ms).sum();
    let stages = evidence.stages.iter().filter(|stage| stage.calls > 0);
    let line = |title: &str, of: fn(&Minute) -> Option<f64>| Series {
        title: title.to_owned(),
        note: "Minute by minute.".to_owned(),
        unit: "ms".to_owned(),
        points: times
            .minutes
            .iter()
            .map(|minute| Point {
                at: minute.at,
                value: of(minute),
                interval: None,
                status: Status::Good,
            })
            .collect(),
        limit: None,
    };
    Part::Known(Latency {
        of: format!("{} requests in {:.0} seconds.", times.requests, times.seconds),
        stages: stages
            .map(|stage| StageTime {
                name: stage.name.clone(),
                calls: stage.calls,
                mean_ms: stage.total_ms / stage.calls as f64,
                p95_ms: stage.p95_ms,
                share: if total > 0.0 { stage.total_ms / total } else { 0.0 },
            })
            .collect(),
        series: vec![
            line("Median of requests", |minute| minute.p50_ms),
            line("95th percentile of requests", |minute| minute.p95_ms),
        ],
    })
}
