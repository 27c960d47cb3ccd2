//! What closed windows say, as values for rules.
//!
//! Only metrics that a rule of the deployment names are made into values: a deployment may have hundreds of
//! columns. A value is as of the time at which its window closed.

use std::collections::{BTreeMap, BTreeSet};

use caisson_alerts::{Kind, Labels, Metric, Observation, Rule, Unit, Window};
use caisson_monitoring::report::{
    Bounds, DriftWindow, FeatureVerdict, SegmentName, StatisticsWindow, Status,
};
use caisson_monitoring::{ColumnStatistics, Newest};
use caisson_serving::Revision;
use jiff::Timestamp;

use super::catalogue::MONITOR;
use super::round::observation;

/// Parameters of metrics of columns.
const COLUMN: &str = "column";
const FEATURE: &str = "feature";
const VALUE: &str = "value";

/// Metrics of windows that aren't those of reports, too.
pub(super) fn metrics() -> Vec<Metric> {
    vec![
        Metric::new(
            "drift_alarm",
            "alarm of a drift monitor",
            Kind::Drift,
            Unit::Count,
        )
        .with_param(MONITOR),
        Metric::new(
            "feature_drift_score",
            "drift statistic of a feature",
            Kind::Drift,
            Unit::Ratio,
        )
        .with_param(MONITOR)
        .with_param(FEATURE),
        Metric::new(
            "new_category_rate",
            "share of rows in new categories",
            Kind::DataQuality,
            Unit::Ratio,
        )
        .with_param(MONITOR)
        .with_param(COLUMN),
        Metric::new(
            "missing_rate",
            "share of rows without a value",
            Kind::DataQuality,
            Unit::Ratio,
        )
        .with_param(COLUMN),
        Metric::new("prediction_mean", "mean of predictions", Kind::Drift, Unit::Ratio).with_param(COLUMN),
        Metric::new(
            "prediction_share",
            "share of predictions of a class",
            Kind::Drift,
            Unit::Ratio,
        )
        .with_param(COLUMN)
        .with_param(VALUE),
        Metric::new(
            "window_rows",
            "rows of the statistics' newest window",
            Kind::Traffic,
            Unit::Count,
        ),
    ]
}

/// The values that rules of a deployment name, of the newest windows.
pub(super) fn values(rules: &[Rule], revision: &Revision, newest: &Newest) -> Vec<Observation> {
    let named: BTreeSet<&str> = rules
        .iter()
        .filter(|rule| rule.deployment.matches(revision.name()))
        .map(|rule| rule.metric.metric.as_str())
        .collect();
    let mut values = Values {
        revision,
        named,
        found: Vec::new(),
    };
    for window in newest.drift.values() {
        values.of_monitor(window);
    }
    for window in newest.statistics.values() {
        values.of_statistics(window);
    }
    values.found
}

struct Values<'a> {
    revision: &'a Revision,
    named: BTreeSet<&'a str>,
    found: Vec<Observation>,
}

/// Where a value comes from.
struct Source<'w> {
    segment: Option<&'w SegmentName>,
    bounds: &'w Bounds,
    at: Timestamp,
    path: &'static str,
}

impl Values<'_> {
    fn of_monitor(&mut self, window: &DriftWindow) {
        let Ok(at) = window.closed_at.parse() else {
            return;
        };
        let source = Source {
            segment: window.segment.as_ref(),
            bounds: &window.window,
            at,
            path: "drift",
        };
        let of = |more: &[(&str, &str)]| labels(&[&[(MONITOR, window.monitor.as_str())], more].concat());
        let status = match window.status {
            Status::Stable => Some(0.0),
            Status::Warn => Some(1.0),
            Status::Drifted => Some(2.0),
            Status::InsufficientData => None,
        };
        self.add("drift_score", of(&[]), window.score, &source);
        self.add("drift_status", of(&[]), status, &source);
        self.add(
            "drift_alarm",
            of(&[]),
            Some(f64::from(u8::from(window.alarm.raised))),
            &source,
        );
        for feature in &window.features {
            self.add(
                "feature_drift_score",
                of(&[(FEATURE, &feature.feature)]),
                feature.statistic,
                &source,
            );
            if let Some(rate) = new_rate(feature) {
                self.add(
                    "new_category_rate",
                    of(&[(COLUMN, &feature.feature)]),
                    Some(rate),
                    &source,
                );
            }
        }
    }

    fn of_statistics(&mut self, window: &StatisticsWindow) {
        let Some(Ok(at)) = window.closed_at.as_deref().map(str::parse) else {
            return;
        };
        let source = Source {
            segment: window.segment.as_ref(),
            bounds: &window.window,
            at,
            path: "statistics",
        };
        self.add("window_rows", Labels::new(), Some(window.rows as f64), &source);
        for column in window.input.iter().chain(&window.predictions) {
            let of = labels(&[(COLUMN, &column.column)]);
            self.add("missing_rate", of, Some(column.missing_rate), &source);
        }
        for column in &window.predictions {
            self.of_prediction(column, &source);
        }
    }

    fn of_prediction(&mut self, column: &ColumnStatistics, source: &Source<'_>) {
        let mean = column.number.as_ref().and_then(|number| number.mean);
        self.add(
            "prediction_mean",
            labels(&[(COLUMN, &column.column)]),
            mean,
            source,
        );
        for share in column.top.iter().flatten() {
            let of = labels(&[(COLUMN, &column.column), (VALUE, &share.value)]);
            self.add("prediction_share", of, Some(share.share), source);
        }
    }

    fn add(&mut self, metric: &str, params: Labels, value: Option<f64>, source: &Source<'_>) {
        let Some(value) = value.filter(|_| self.named.contains(metric)) else {
            return;
        };
        let segment = source
            .segment
            .map(|segment| (segment.column.clone(), segment.shown().to_owned()));
        let window = source.bounds.times().map(|(from, to)| Window { from, to });
        self.found.push(Observation {
            params,
            segment: BTreeMap::from_iter(segment),
            window,
            evidence: Some(format!(
                "/v1/deployments/{}/{}",
                self.revision.name(),
                source.path
            )),
            ..observation(metric, self.revision, value, source.at)
        });
    }
}

/// The share of rows in new categories: what the host's own check calls its statistic is the rise.
fn new_rate(feature: &FeatureVerdict) -> Option<f64> {
    (feature.method == "new-categories")
        .then_some(feature.statistic)
        .flatten()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
