//! Pages of constructed reports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod browser;
mod markup;

use caisson_diagnosis::evidence::{Drift, Evidence, Feature, Period, Stage, StageKind, Target};
use caisson_diagnosis::{Absent, Event, EventKind, diagnose};
use caisson_report::Report;
use caisson_report::model::{
    Bin, Category, Distribution, Distributions, Group, Latency, Limit, Part, Point, Series, Shape, StageTime,
    Status, Verdict,
};
use jiff::{SignedDuration, Timestamp};

pub fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

/// Shares of a normal distribution in bins.
fn bell(mean: f64, spread: f64) -> Vec<f64> {
    let raw: Vec<f64> = (0..24)
        .map(|i| (-0.5 * ((f64::from(i) / 4.0 - mean) / spread).powi(2)).exp())
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|share| share / sum).collect()
}

fn numbers(mean: f64, spread: f64) -> Shape {
    let (reference, current) = (bell(2.5, 0.8), bell(mean, spread));
    let bins = reference
        .iter()
        .zip(current)
        .enumerate()
        .map(|(i, (reference, current))| Bin {
            from: i as f64 / 4.0,
            to: (i + 1) as f64 / 4.0,
            reference: *reference,
            current,
        });
    Shape::Numbers(bins.collect())
}

fn column(name: &str, group: Group, status: Status, shape: Shape) -> Distribution {
    Distribution {
        name: name.to_owned(),
        group,
        status,
        detail: "mean 2.5 → 3.1, standard deviation 0.8 → 0.8".to_owned(),
        importance: Some(0.31),
        missing: Some((0.01, 0.12)),
        shape,
    }
}

fn line(title: &str, limit: f64, interval: bool) -> Series {
    let points = (0..48).map(|i| {
        let value = 0.05 + 0.002 * f64::from(i) + 0.01 * f64::from(i * 7 % 5);
        Point {
            at: ago(i64::from(48 - i) * 30),
            value: (i != 20).then_some(value),
            interval: interval.then_some((value - 0.02, value + 0.02)),
            status: if value > limit { Status::Bad } else { Status::Good },
        }
    });
    Series {
        title: title.to_owned(),
        note: "ks of monitor watch".to_owned(),
        unit: String::new(),
        points: points.collect(),
        limit: Some(Limit {
            value: limit,
            label: "threshold".to_owned(),
        }),
    }
}

/// A report in which everything is there, with this for every name and text that a tenant chooses.
pub fn full(name: &str) -> Report {
    let stage = |stage: &str, kind, total_ms| Stage {
        name: format!("{stage} {name}"),
        kind,
        calls: 5_000,
        total_ms,
        p95_ms: Some(total_ms / 2_500.0),
        failures: [("trap".to_owned(), 3)].into(),
        cold: None,
    };
    let evidence = Evidence {
        deployment: name.to_owned(),
        revision: 7,
        now: now(),
        periods: vec![Period {
            starts_ago_seconds: 300.0,
            requests: 5_000,
            rows: 50_000,
            rejected: 900,
            p95_ms: Some(14.0),
            ..Period::default()
        }],
        stages: vec![
            stage("transforms[0]", StageKind::Plugin, 900.0),
            stage("model", StageKind::Model, 21_000.0),
        ],
        features: vec![Feature {
            name: name.to_owned(),
            target: Target::Input,
            monitor: name.to_owned(),
            status: Drift::Drifted,
            method: "ks".to_owned(),
            statistic: Some(0.31),
            threshold: Some(0.1),
            p_value: Some(1e-9),
            detail: name.to_owned(),
            missing_before: 0.01,
            missing_now: 0.12,
            importance: Some(0.31),
            since: Some(ago(200)),
        }],
        events: vec![
            Event {
                at: ago(230),
                kind: EventKind::Deploy,
                text: format!("revision 7 went live: {name}"),
                by: Some(name.to_owned()),
            },
            Event {
                at: ago(100),
                kind: EventKind::AlertFiring,
                text: format!("alert {name} fires"),
                by: None,
            },
        ],
        absent: vec![Absent {
            what: "Labels".to_owned(),
            how: name.to_owned(),
        }],
        ..Evidence::default()
    };
    let mut columns = vec![
        column("score", Group::Prediction, Status::Warning, numbers(2.9, 0.9)),
        column(
            name,
            Group::Feature,
            Status::Unknown,
            Shape::Categories(
                (0..15)
                    .map(|i| Category {
                        name: format!("{name}{i}"),
                        reference: 0.2 / f64::from(i + 1),
                        current: 0.3 / f64::from(i + 1),
                    })
                    .collect(),
            ),
        ),
        column(
            "empty",
            Group::Feature,
            Status::Unknown,
            Shape::Nothing(name.to_owned()),
        ),
    ];
    columns.extend((0..6).map(|i| {
        let status = if i < 2 { Status::Bad } else { Status::Good };
        column(
            &format!("feature_{i}"),
            Group::Feature,
            status,
            numbers(3.4 - 0.15 * f64::from(i), 0.8),
        )
    }));
    Report {
        tenant: name.to_owned(),
        deployment: name.to_owned(),
        description: format!("Who buys again? {name}"),
        revision: 7,
        model: Some(format!("{name}@3")),
        made_at: now(),
        verdicts: [
            ("Speed", Status::Good, "p95 14 ms over 5 minutes"),
            ("Errors", Status::Bad, "0.1 % of 5,000 requests failed"),
            ("Drift", Status::Bad, "2 of 8 features drifted"),
            ("Performance", Status::Unknown, name),
        ]
        .map(|(label, status, text)| Verdict {
            label: label.to_owned(),
            status,
            text: text.to_owned(),
        })
        .into(),
        distributions: Part::Known(Distributions {
            reference: format!("baseline of {name}@3, 1,800 rows"),
            current: "the last window, 5,000 rows".to_owned(),
            columns,
        }),
        drift: Part::Known(vec![
            line(&format!("{name} (ks)"), 0.12, false),
            line("gap (ks)", 0.2, false),
        ]),
        performance: Part::Known(vec![
            line("accuracy", 0.1, true),
            line(&format!("f1 of {name}"), 0.2, true),
        ]),
        latency: Part::Known(Latency {
            of: "The last 5 minutes: 5,000 requests".to_owned(),
            stages: vec![
                StageTime {
                    name: format!("transforms[0] {name}"),
                    calls: 5_000,
                    mean_ms: 0.18,
                    p95_ms: Some(0.3),
                    share: 0.04,
                },
                StageTime {
                    name: "model churn@3".to_owned(),
                    calls: 5_000,
                    mean_ms: 4.2,
                    p95_ms: Some(8.4),
                    share: 0.96,
                },
            ],
            series: vec![line("p95", 0.3, false)],
        }),
        diagnosis: diagnose(&evidence),
    }
}

/// A report of which nothing is known.
pub fn bare() -> Report {
    let absent = |what: &str| Absent {
        what: format!("No {what}."),
        how: format!("Add {what} to the deployment's file."),
    };
    Report {
        distributions: Part::Unknown(absent("monitors")),
        drift: Part::Unknown(absent("windows")),
        performance: Part::Unknown(absent("labels")),
        latency: Part::Known(Latency {
            of: "No requests.".to_owned(),
            stages: Vec::new(),
            series: vec![Series {
                points: Vec::new(),
                ..line("p95", 0.3, false)
            }],
        }),
        diagnosis: diagnose(&Evidence::default()),
        ..full("bare")
    }
}
