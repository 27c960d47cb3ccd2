//! The metrics that rules may name, and how each is read.

use caisson_alerts::{Catalogue, Kind, Metric, Period, Unit};
use caisson_sandbox::DriftStatus;
use caisson_serving::{MonitorDrift, Reading};
use caisson_truth::Metric as Measured;

use super::windows;

/// The windows that rules choose from, the first unless they do. The longest is what deployments
/// remember.
pub(super) const WINDOWS: [Period; 3] = [Period::secs(300), Period::secs(60), Period::secs(900)];

/// A metric of a window: its name, its words, what it is of, and how it is read.
type Measure = (
    &'static str,
    &'static str,
    Kind,
    Unit,
    fn(&Reading) -> Option<f64>,
);

const MEASURES: [Measure; 7] = [
    (
        "error_rate",
        "share of requests that failed",
        Kind::Errors,
        Unit::Ratio,
        Reading::error_rate,
    ),
    (
        "latency_p50_ms",
        "median latency",
        Kind::Latency,
        Unit::Milliseconds,
        |r| r.latency_ms(0.5),
    ),
    (
        "latency_p95_ms",
        "95th percentile of latency",
        Kind::Latency,
        Unit::Milliseconds,
        |r| r.latency_ms(0.95),
    ),
    (
        "latency_p99_ms",
        "99th percentile of latency",
        Kind::Latency,
        Unit::Milliseconds,
        |r| r.latency_ms(0.99),
    ),
    (
        "queue_wait_p95_ms",
        "95th percentile of the time in the queue",
        Kind::Latency,
        Unit::Milliseconds,
        |r| r.queue_wait_ms(0.95),
    ),
    (
        "rejected_rate",
        "share of rows that validators refused",
        Kind::DataQuality,
        Unit::Ratio,
        Reading::rejected_rate,
    ),
    (
        "requests_per_second",
        "requests in each second",
        Kind::Traffic,
        Unit::Count,
        Reading::requests_per_second,
    ),
];

/// A metric of what a monitor said last.
type Verdict = (&'static str, &'static str, Unit, fn(&MonitorDrift) -> Option<f64>);

const VERDICTS: [Verdict; 2] = [
    ("drift_score", "largest drift statistic", Unit::Ratio, |m| m.score),
    ("drift_status", "drift status", Unit::Count, |m| match m.status {
        DriftStatus::Stable => Some(0.0),
        DriftStatus::Warn => Some(1.0),
        DriftStatus::Drifted => Some(2.0),
        DriftStatus::InsufficientData => None,
    }),
];

/// Metrics that are estimated before labels come, by the names that rules have for them.
const ESTIMATED: [(Measured, &str, &str); 5] = [
    (Measured::Accuracy, "estimated_accuracy", "estimated accuracy"),
    (Measured::Precision, "estimated_precision", "estimated precision"),
    (Measured::Recall, "estimated_recall", "estimated recall"),
    (Measured::F1, "estimated_f1", "estimated F1 score"),
    (
        Measured::RocAuc,
        "estimated_roc_auc",
        "estimated area under the ROC curve",
    ),
];

/// 1 while worse windows are an alarm.
pub(super) const DEGRADED: &str = "degraded";

/// What a rule calls the estimate of a metric.
pub(super) fn estimated(metric: &str) -> Option<&'static str> {
    let of = ESTIMATED.iter().find(|(of, ..)| of.as_str() == metric);
    of.map(|(_, name, _)| *name)
}

/// Metrics of performance, of all rows and of segments.
fn performance() -> impl Iterator<Item = Metric> {
    let measured = Measured::ALL
        .iter()
        .map(|metric| (metric.as_str(), metric.title()));
    let estimated = ESTIMATED.iter().map(|(_, name, title)| (*name, *title));
    measured
        .chain(estimated)
        .map(|(name, title)| Metric::new(name, title, Kind::Performance, Unit::Ratio))
        .chain([Metric::new(
            DEGRADED,
            "degradation",
            Kind::Performance,
            Unit::Count,
        )])
}

/// The parameter of metrics of monitors.
pub(super) const MONITOR: &str = "monitor";

/// Everything that rules may name.
pub(crate) fn catalogue() -> Catalogue {
    let measures = MEASURES
        .iter()
        .map(|(name, title, kind, unit, _)| Metric::new(name, title, *kind, *unit).with_windows(&WINDOWS));
    let verdicts = VERDICTS
        .iter()
        .map(|(name, title, unit, _)| Metric::new(name, title, Kind::Drift, *unit).with_param(MONITOR));
    let measures = measures.map(Metric::without_segments);
    Catalogue::new(
        measures
            .chain(verdicts)
            .chain(windows::metrics())
            .chain(performance()),
    )
}

/// The value of a metric in a window; none where it can't be said, or isn't one of windows.
pub(super) fn measure(metric: &str, reading: &Reading) -> Option<f64> {
    let (.., read) = MEASURES.iter().find(|(name, ..)| *name == metric)?;
    read(reading)
}

/// The values of what a monitor said.
pub(super) fn verdicts(said: &MonitorDrift) -> impl Iterator<Item = (&'static str, f64)> {
    VERDICTS
        .iter()
        .filter_map(|(name, _, _, read)| Some((*name, read(said)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_is_remembered() {
        let longest = WINDOWS.iter().max().unwrap().get();
        assert_eq!(longest.unsigned_abs(), caisson_serving::WINDOW_MAX);
    }

    #[test]
    fn every_metric_is_in_the_readme() {
        let readme = include_str!("../../README.md");
        for metric in catalogue().metrics() {
            let name = match metric.params.as_slice() {
                [] => format!("| `{}` |", metric.name),
                params => format!("| `{}{{{}=…}}` |", metric.name, params.join(",")),
            };
            assert!(readme.contains(&name), "{name}");
        }
    }
}
