//! A server's windows, with a check that any test can foretell.

use std::sync::{Arc, Mutex};

use caisson_data::{Batch, BatchBuilder, DataType, Field, Schema};
use caisson_monitoring::report::{DriftWindow, FeatureVerdict, Status};
use caisson_monitoring::spec::{AgainstSpec, WindowsSpec};
use caisson_monitoring::{
    Checks, Done, Filter, Found, Gathered, Item, Limits, MonitorPlan, Monitoring, Needs, Plan, Tap,
};
use caisson_quality::hysteresis::AlarmSpec;
use caisson_store::Store;

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
/// A Monday, long ago.
pub const MONDAY: i64 = 1_704_067_200_000;

/// Means of `x`: drifted where it is more than half from that of the reference (the baseline's is 0).
#[derive(Debug, Default)]
pub struct Means {
    /// Means of `x` that were seen, with that of the reference.
    pub seen: Mutex<Vec<(f64, Option<f64>)>>,
}

fn mean(gathered: &Gathered) -> f64 {
    let (input, _) = gathered.sample().unwrap();
    let x = input.column_named("x").unwrap();
    (0..input.rows()).filter_map(|row| x.to_f64(row)).sum::<f64>() / input.rows() as f64
}

impl Checks for Means {
    fn check(self: Arc<Self>, items: Vec<Item>, done: Done) {
        let judge = |item: &Item| {
            let before = item
                .reference
                .as_ref()
                .map(|reference| mean(&reference.all().unwrap().unwrap()));
            let now = mean(&item.current);
            self.seen.lock().unwrap().push((now, before));
            let statistic = (now - before.unwrap_or(0.0)).abs();
            Ok(Found {
                features: vec![FeatureVerdict {
                    feature: "x".into(),
                    method: "means".into(),
                    statistic: Some(statistic),
                    threshold: Some(0.5),
                    p_value: None,
                    effect_size: None,
                    reference_count: 1,
                    current_count: item.current.rows(),
                    reference_missing_rate: 0.0,
                    current_missing_rate: 0.0,
                    status: if statistic > 0.5 {
                        Status::Drifted
                    } else {
                        Status::Stable
                    },
                    detail: String::new(),
                }],
                rows: item.current.sample().unwrap().0.rows() as u64,
            })
        };
        done.found(items.iter().map(judge).collect());
    }
}

pub fn schema(fields: &[(&str, DataType)]) -> Arc<Schema> {
    let fields = fields
        .iter()
        .map(|(name, kind)| Field::new(*name, *kind).nullable());
    Arc::new(Schema::new(fields.collect()).unwrap())
}

pub fn input() -> Arc<Schema> {
    schema(&[
        ("at", DataType::Int64),
        ("x", DataType::Fp64),
        ("country", DataType::Text),
    ])
}

pub fn output() -> Arc<Schema> {
    schema(&[("score", DataType::Fp64)])
}

/// Rows of a time, a number and a country, and what is answered to them.
pub fn rows(rows: &[(i64, f64, &str)]) -> (Batch, Batch) {
    let mut input = BatchBuilder::new(input(), rows.len()).unwrap();
    for (i, (at, x, _)) in rows.iter().enumerate() {
        input.int64s_mut(0).unwrap()[i] = *at;
        input.fp64s_mut(1).unwrap()[i] = *x;
    }
    for (i, (_, _, country)) in rows.iter().enumerate() {
        input.varlen_mut(2).unwrap().push(country.as_bytes()).unwrap();
        if country.is_empty() {
            input.set_missing(2, i);
        }
    }
    let mut output = BatchBuilder::new(output(), rows.len()).unwrap();
    for (i, (_, x, _)) in rows.iter().enumerate() {
        output.fp64s_mut(0).unwrap()[i] = *x / 2.0;
    }
    (input.finish().unwrap(), output.finish().unwrap())
}

/// `count` rows evenly over a time, `x` around a mean.
pub fn spread(from: i64, length: i64, count: i64, mean: f64) -> Vec<(i64, f64, &'static str)> {
    let row = |i: i64| {
        let x = mean + ((i * 37 % 101) as f64 - 50.0) / 500.0;
        (from + length * i / count, x, if i % 2 == 0 { "DE" } else { "FR" })
    };
    (0..count).map(row).collect()
}

pub fn windows(json: &str) -> WindowsSpec {
    serde_json::from_str(json).unwrap()
}

pub fn monitor(window: &str, against: AgainstSpec, alarm: (u8, u8), segments: &[&str]) -> MonitorPlan {
    MonitorPlan {
        name: "means".into(),
        identity: format!("{window}{against:?}{alarm:?}"),
        window: windows(window),
        against,
        alarm: AlarmSpec {
            n: alarm.0,
            m: alarm.1,
        },
        segments: segments.iter().map(|s| (*s).to_owned()).collect(),
        needs: Needs {
            sample: true,
            ..Needs::default()
        },
    }
}

pub fn plan(monitors: Vec<MonitorPlan>) -> Plan {
    Plan {
        revision: 1,
        sample: 1.0,
        event_time: serde_json::from_str(r#"{"column": "at", "unit": "milliseconds"}"#).unwrap(),
        input: input(),
        output: output(),
        categorical: Vec::new(),
        private: Vec::new(),
        statistics: windows(r#"{"size": "1d"}"#),
        segments: Vec::new(),
        monitors,
    }
}

/// The windows of a server with one deployment.
pub struct System {
    pub monitoring: Monitoring,
    pub checks: Arc<Means>,
    pub tap: Tap,
}

impl System {
    pub fn new(store: &Store, plan: Plan) -> Self {
        Self::with(store, plan, Limits::default())
    }

    pub fn with(store: &Store, plan: Plan, limits: Limits) -> Self {
        let monitoring = Monitoring::open(store.clone(), limits, |_, _| true).unwrap();
        let checks = Arc::new(Means::default());
        let tap = tap(&monitoring, "d", plan, &checks);
        Self {
            monitoring,
            checks,
            tap,
        }
    }

    pub fn send(&self, given: &[(i64, f64, &str)]) {
        send(&self.tap, given);
    }

    pub fn drift(&self) -> Vec<DriftWindow> {
        self.of(None)
    }

    /// Windows of a segment, oldest first.
    pub fn of(&self, segment: Option<&str>) -> Vec<DriftWindow> {
        self.monitoring.flush().unwrap();
        let filter = Filter {
            monitor: Some("means".into()),
            segment: segment.map(str::to_owned),
            limit: 100,
        };
        let mut windows = self.monitoring.drift_windows("t", "d", &filter).unwrap();
        windows.reverse();
        windows
    }
}

pub fn tap(monitoring: &Monitoring, deployment: &str, plan: Plan, checks: &Arc<Means>) -> Tap {
    let checks: Arc<dyn Checks> = Arc::clone(checks) as _;
    monitoring.tap("t", deployment, plan, Arc::downgrade(&checks), Arc::default())
}

pub fn send(tap: &Tap, given: &[(i64, f64, &str)]) {
    let (input, output) = rows(given);
    if let Some(taken) = tap.take(&input) {
        tap.answered(taken, &output);
    }
}

pub fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}
