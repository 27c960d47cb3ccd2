//! A store with predictions and labels.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use caisson_data::{Batch, DataType, DecodeLimits, Field, Schema, rows};
use caisson_predictions::{Answer, Limits, LogSpec, Predictions, RowNumbers};
use caisson_store::Store;
use caisson_truth::{
    Evaluation, GroundTruthSpec, History, HistoryQuery, Job, Label, LabelKey, Part, PerformanceSpec,
    Reference, Truth, TruthError, WindowStatement,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Noon of some day, in microseconds.
pub(crate) const NOON: i64 = 1_767_268_800_000_000;
pub(crate) const SECOND: i64 = 1_000_000;

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

pub(crate) fn batch(fields: Vec<Field>, list: &[Value]) -> Batch {
    let schema = Arc::new(Schema::new(fields).unwrap());
    let body = json!({ "rows": list }).to_string();
    rows::decode(&schema, body.as_bytes(), &DecodeLimits::default())
        .unwrap()
        .batch
}

/// A prediction: when, where, its score and its number.
#[derive(Debug, Clone)]
pub(crate) struct Predicted {
    pub(crate) time: i64,
    pub(crate) region: Option<&'static str>,
    pub(crate) customer: i64,
    pub(crate) score: f64,
    pub(crate) number: f64,
}

pub(crate) fn predicted(time: i64, score: f64) -> Predicted {
    Predicted {
        time,
        region: None,
        customer: 0,
        score,
        number: score,
    }
}

pub(crate) struct Bench {
    _dir: Arc<TempDir>,
    pub(crate) store: Store,
    pub(crate) truth: Truth,
    pub(crate) ground: GroundTruthSpec,
    pub(crate) performance: PerformanceSpec,
    pub(crate) log: LogSpec,
}

impl Bench {
    pub(crate) fn new(ground: Value, performance: Value) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let store = Store::open(dir.path()).unwrap();
        Self {
            truth: Truth::open(store.clone(), |_, name| name != "gone").unwrap(),
            _dir: dir,
            store,
            ground: serde_json::from_value(ground).unwrap(),
            performance: serde_json::from_value(performance).unwrap(),
            log: serde_json::from_value(json!({"sample": 1, "event_time": {"column": "at"}})).unwrap(),
        }
    }

    /// Of two classes, by the score, in windows of ten seconds.
    pub(crate) fn binary(more: Value) -> Self {
        let mut performance = json!({
            "task": "binary", "scores": ["score"], "positive": 1, "window": {"seconds": 10},
        });
        for (key, value) in more.as_object().unwrap() {
            performance[key] = value.clone();
        }
        Self::new(json!({"label": {"name": "y", "type": "int64"}}), performance)
    }

    /// The same after a restart.
    pub(crate) fn restarted(self) -> Self {
        self.truth.close();
        Self {
            truth: Truth::open(self.store.clone(), |_, name| name != "gone").unwrap(),
            ..self
        }
    }

    /// Log requests, which came at the time of their first row.
    pub(crate) fn log(&self, requests: &[(&str, Vec<Predicted>)]) {
        self.log_of("t", "d", requests, 0);
    }

    pub(crate) fn log_of(
        &self,
        tenant: &str,
        deployment: &str,
        requests: &[(&str, Vec<Predicted>)],
        delay: i64,
    ) {
        let predictions = Predictions::open(self.store.clone(), Limits::default(), |_, _| true).unwrap();
        let log = predictions.log(tenant, deployment, 1, self.log.clone());
        for (id, list) in requests {
            let input: Vec<Value> = list
                .iter()
                .map(|p| json!({"at": at(p.time).to_string(), "region": p.region, "customer": p.customer}))
                .collect();
            let output: Vec<Value> = list
                .iter()
                .map(|p| json!({"score": p.score, "number": p.number}))
                .collect();
            let answer = Answer {
                request_id: (*id).into(),
                rows: RowNumbers::From(0),
                received: at(list[0].time + delay),
                latency: Duration::from_millis(1),
                stages: Vec::new(),
                input: batch(
                    vec![
                        Field::new("at", DataType::Text),
                        Field::new("region", DataType::Text).nullable(),
                        Field::new("customer", DataType::Int64),
                    ],
                    &input,
                ),
                features: None,
                output: batch(
                    vec![
                        Field::new("score", DataType::Fp64),
                        Field::new("number", DataType::Fp64),
                    ],
                    &output,
                ),
            };
            let space = log.reserve(list.len(), 100).unwrap();
            log.offer(answer, space);
        }
        predictions.close();
    }

    pub(crate) fn record(&self, labels: Vec<Label>) -> Result<u64, TruthError> {
        self.record_of("t", "d", labels)
    }

    pub(crate) fn record_of(
        &self,
        tenant: &str,
        deployment: &str,
        labels: Vec<Label>,
    ) -> Result<u64, TruthError> {
        let (done, told) = channel();
        let tell = Box::new(move |result| done.send(result).unwrap());
        self.truth
            .record(tenant, deployment, &self.ground, labels, tell)?;
        told.recv().unwrap().map(|recorded| recorded.labels)
    }

    pub(crate) fn evaluate(&self, now: i64) -> Evaluation {
        self.evaluate_with(now, None)
    }

    pub(crate) fn evaluate_with(&self, now: i64, reference: Option<&Reference>) -> Evaluation {
        self.truth
            .evaluate(&Job {
                tenant: "t",
                deployment: "d",
                truth: &self.ground,
                performance: &self.performance,
                log: &self.log,
                revision_is_input: false,
                reference,
                now: at(now),
            })
            .unwrap()
    }

    pub(crate) fn history(&self, statements: bool) -> History {
        let query = HistoryQuery {
            statements,
            limit: 1000,
            ..HistoryQuery::default()
        };
        self.truth
            .history(("t", "d"), (&self.ground, &self.performance, &self.log), &query)
            .unwrap()
    }

    /// The newest statement of each window, the oldest first.
    pub(crate) fn windows(&self) -> Vec<WindowStatement> {
        let mut windows = self.history(false).windows;
        windows.reverse();
        windows
    }
}

/// A label of a request's row.
pub(crate) fn label(id: &str, row: i64, value: &str, received_at: i64) -> Label {
    Label {
        key: LabelKey::Request { id: id.into(), row },
        value: value.into(),
        observed_at: None,
        received_at,
        times: 1,
    }
}

/// A metric of all rows.
pub(crate) fn metric(part: &Part, name: &str) -> f64 {
    part.metrics[name]
        .value
        .unwrap_or_else(|| panic!("{name}: {part:?}"))
}
