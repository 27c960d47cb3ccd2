//! How a deployment fares: requests, failures, refused rows, times in all and by stage, and the newest drift
//! report. It is what `/metrics` shows of a deployment, what alert rules look at, and what says why it is slow.
//!
//! Requests add to atomics; nothing here takes a lock on their path. Whoever watches calls
//! [`Vitals::sample`] at an interval, and asks for [`Vitals::over`] the last minutes. A deployment keeps
//! its vitals across revisions, and loses them when it is deleted; nothing of them is stored.

mod expose;
mod history;
mod stage;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use caisson_metrics::Histogram;
use caisson_registry::TenantId;
use caisson_sandbox::DriftStatus;

use crate::error::{Kind, ServingError};
use crate::monitor::MonitorReport;
use history::History;
pub use history::{Reading, WINDOW_MAX};
pub use stage::{Role, StageReading, StageVitals};

/// What an infinite statistic counts as: comparisons and messages need a number.
const SCORE_MAX: f64 = 1e9;

/// How one deployment fares.
#[derive(Debug)]
pub struct Vitals {
    tenant: Arc<str>,
    deployment: Arc<str>,
    /// Of requests; their number is that of all durations.
    latency: Histogram,
    /// In the queue of a deployment with batching.
    waits: Histogram,
    /// Of shared runs.
    batch_rows: Histogram,
    batch_splits: AtomicU64,
    queue_refusals: AtomicU64,
    failures: AtomicU64,
    /// Requests that were refused for what they asked.
    refusals: AtomicU64,
    rows: AtomicU64,
    rejected: AtomicU64,
    violations: Violations,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    streams: Streams,
    /// Of the revisions that there are.
    stages: Mutex<Vec<Arc<StageVitals>>>,
    drift: Mutex<Option<Arc<SeenDrift>>>,
    history: Mutex<History>,
}

/// Violations by what they do.
#[derive(Debug, Default)]
struct Violations {
    reject: AtomicU64,
    warn: AtomicU64,
}

/// What is counted of streams.
#[derive(Debug, Default)]
pub struct Streams {
    open: AtomicU64,
    answered: AtomicU64,
    errors: AtomicU64,
}

impl Streams {
    /// Rows of a stream were answered, so many of them with an error.
    pub fn answered(&self, rows: usize, errors: usize) {
        self.answered.fetch_add(rows as u64, Ordering::Relaxed);
        self.errors.fetch_add(errors as u64, Ordering::Relaxed);
    }
}

/// A stream that is being answered, until it is dropped.
#[derive(Debug)]
pub struct OpenStream(Arc<Vitals>);

impl OpenStream {
    /// What is counted of it.
    pub fn counts(&self) -> &Streams {
        &self.0.streams
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What monitors said last.
#[derive(Debug)]
pub struct SeenDrift {
    /// When.
    pub at: SystemTime,
    /// Monitor by monitor.
    pub monitors: Vec<MonitorDrift>,
}

/// What one monitor said.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitorDrift {
    /// The monitor's name.
    pub monitor: String,
    /// The largest statistic of its features; none where none could be computed.
    pub score: Option<f64>,
    /// Its verdict.
    pub status: DriftStatus,
}

impl Vitals {
    pub(crate) fn new(tenant: &str, deployment: &str, now: Instant) -> Self {
        Self {
            tenant: tenant.into(),
            deployment: deployment.into(),
            latency: Histogram::default(),
            waits: Histogram::default(),
            batch_rows: Histogram::default(),
            batch_splits: AtomicU64::default(),
            queue_refusals: AtomicU64::default(),
            failures: AtomicU64::default(),
            refusals: AtomicU64::default(),
            rows: AtomicU64::default(),
            rejected: AtomicU64::default(),
            violations: Violations::default(),
            cache_hits: AtomicU64::default(),
            cache_misses: AtomicU64::default(),
            streams: Streams::default(),
            stages: Mutex::default(),
            drift: Mutex::default(),
            history: Mutex::new(History::new(now)),
        }
    }

    /// Whose deployment it is.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// The deployment's name.
    pub fn deployment(&self) -> &Arc<str> {
        &self.deployment
    }

    /// The stages of the revisions that there are.
    pub fn stages(&self) -> Vec<Arc<StageVitals>> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        // Held by no revision any more: nothing runs it.
        stages.retain(|stage| Arc::strong_count(stage) > 1);
        stages.clone()
    }

    /// The stage of this name, which revisions that have it share.
    pub fn stage(&self, name: &Arc<str>, role: Role) -> Arc<StageVitals> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stage) = stages.iter().find(|stage| stage.name() == name) {
            return Arc::clone(stage);
        }
        let stage = Arc::new(StageVitals::new(Arc::clone(name), role));
        stages.push(Arc::clone(&stage));
        stage
    }

    /// A stream to this deployment begins.
    pub fn open_stream(self: &Arc<Self>) -> OpenStream {
        self.streams.open.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(self))
    }

    /// A request was answered.
    pub fn answered(&self, rows: usize, took: Duration, error: Option<&ServingError>) {
        self.latency.add(took);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        let Some(error) = error else { return };
        let of = match is_failure(error.kind) {
            true => &self.failures,
            false => &self.refusals,
        };
        of.fetch_add(1, Ordering::Relaxed);
        let rejected = rejected_rows(error, rows);
        if rejected > 0 {
            self.rejected.fetch_add(rejected, Ordering::Relaxed);
        }
    }

    /// A request's turn in the queue came.
    pub fn waited(&self, wait: Duration) {
        self.waits.add(wait);
    }

    /// A run of so many rows was shared.
    pub(crate) fn batched(&self, rows: usize) {
        self.batch_rows.add_size(rows as u64);
    }

    /// A shared run failed.
    pub(crate) fn split(&self) {
        self.batch_splits.fetch_add(1, Ordering::Relaxed);
    }

    /// The queue had no place for a request, or its time in it was over.
    pub(crate) fn queue_refused(&self) {
        self.queue_refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Kept answers had this one, or not.
    pub(crate) fn looked_up(&self, kept: bool) {
        let of = if kept {
            &self.cache_hits
        } else {
            &self.cache_misses
        };
        of.fetch_add(1, Ordering::Relaxed);
    }

    /// Validators found something.
    pub(crate) fn violated(&self, rejects: usize, warnings: usize) {
        let violations = &self.violations;
        violations.reject.fetch_add(rejects as u64, Ordering::Relaxed);
        violations.warn.fetch_add(warnings as u64, Ordering::Relaxed);
    }

    /// Monitors said something.
    pub(crate) fn drifted(&self, reports: &[MonitorReport]) {
        let monitors = reports.iter().map(|r| MonitorDrift {
            monitor: r.name.clone(),
            score: (r.report.features.iter())
                .filter_map(|f| f.statistic)
                .map(|s| s.clamp(-SCORE_MAX, SCORE_MAX))
                .reduce(f64::max),
            status: r.report.status,
        });
        let seen = SeenDrift {
            at: SystemTime::now(),
            monitors: monitors.collect(),
        };
        *self.drift.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(seen));
    }

    /// What monitors said last, since the start.
    pub fn drift(&self) -> Option<Arc<SeenDrift>> {
        self.drift.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Note where the counts stand now. Windows begin and end where this was called.
    pub fn sample(&self, now: Instant) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.sample(self, now);
    }

    /// The window that ends with the latest sample; none before there is one. Right after the start, or
    /// the deployment's first revision, it is as short as that is ago.
    pub fn over(&self, window: Duration, now: Instant) -> Option<Reading> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.over(window, now)
    }

    /// What happened from the first to the second of these ages on, in whole samples; none where no sample
    /// ends between them.
    pub fn between(&self, until: Duration, since: Duration, now: Instant) -> Option<Reading> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.between(until, since, now)
    }
}

/// Does it count against the deployment? What a caller's rows are refused for doesn't.
fn is_failure(kind: Kind) -> bool {
    match kind {
        Kind::Busy | Kind::Deadline | Kind::Stage | Kind::Full | Kind::Internal => true,
        Kind::Invalid
        | Kind::Unprocessable
        | Kind::NotFound
        | Kind::Conflict
        | Kind::TooLarge
        | Kind::Quota => false,
    }
}

/// Rows that validators refused: those with a violation, or all where one is of the whole.
fn rejected_rows(error: &ServingError, rows: usize) -> u64 {
    if error.violations.iter().any(|v| v.row.is_none()) {
        return rows as u64;
    }
    let mut refused: Vec<_> = error.violations.iter().filter_map(|v| v.row).collect();
    refused.sort_unstable();
    refused.dedup();
    refused.len() as u64
}

/// The vitals of all deployments that there are.
#[derive(Debug, Default)]
pub struct VitalsTable(Mutex<HashMap<(TenantId, String), Weak<Vitals>>>);

impl VitalsTable {
    /// Those of a deployment; its revisions share them, and hold them.
    pub fn of(&self, tenant: &TenantId, deployment: &str) -> Arc<Vitals> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), deployment.to_owned());
        if let Some(vitals) = table.get(&key).and_then(Weak::upgrade) {
            return vitals;
        }
        table.retain(|_, vitals| vitals.strong_count() > 0);
        let vitals = Arc::new(Vitals::new(tenant.as_str(), deployment, Instant::now()));
        table.insert(key, Arc::downgrade(&vitals));
        vitals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_sandbox::{Severity, Violation};

    const SECOND: Duration = Duration::from_secs(1);

    fn vitals(now: Instant) -> Vitals {
        Vitals::new("acme", "churn", now)
    }

    fn violation(row: Option<u32>) -> Violation {
        Violation {
            row,
            column: None,
            code: "range".to_owned(),
            message: "too large".to_owned(),
            severity: Severity::Reject,
        }
    }

    #[test]
    fn a_window_counts_what_was_in_it_and_no_more() {
        let start = Instant::now();
        let vitals = vitals(start);
        assert!(vitals.over(60 * SECOND, start).is_none());
        let failed = ServingError::new(Kind::Stage, "trap", "it trapped");
        let refused = ServingError::new(Kind::Unprocessable, "validation-failed", "no")
            .with_violations(vec![violation(Some(1)), violation(Some(1)), violation(Some(3))]);
        for minute in 0..20u32 {
            for _ in 0..9 {
                vitals.answered(10, Duration::from_millis(20), None);
            }
            let error = if minute < 19 { &failed } else { &refused };
            vitals.answered(10, Duration::from_millis(500), Some(error));
            vitals.waited(Duration::from_millis(3));
            vitals.sample(start + SECOND * 60 * (minute + 1));
        }
        let now = start + SECOND * 60 * 20;
        let one = vitals.over(SECOND * 60, now).unwrap();
        assert_eq!(
            (one.requests(), one.failures, one.rows, one.rejected),
            (10, 0, 100, 2)
        );
        assert_eq!((one.starts_ago, one.ends_ago), (SECOND * 60, Duration::ZERO));
        assert_eq!(one.requests_per_second(), Some(10.0 / 60.0));
        let five = vitals.over(SECOND * 300, now).unwrap();
        assert_eq!((five.requests(), five.failures), (50, 4));
        assert_eq!(
            (five.error_rate(), five.rejected_rate()),
            (Some(0.08), Some(2.0 / 500.0))
        );
        let near = |found: Option<f64>, exact: f64| (found.unwrap() - exact).abs() < exact * 0.032;
        assert!(near(five.latency_ms(0.5), 20.0) && near(five.latency_ms(0.95), 500.0));
        assert!(near(five.queue_wait_ms(0.95), 3.0));
        let last = vitals.between(Duration::ZERO, SECOND * 60, now).unwrap();
        assert_eq!((last.requests(), last.rejected), (10, 2));
        let before = vitals.between(SECOND * 300, SECOND * 900, now).unwrap();
        assert_eq!((before.requests(), before.failures), (100, 10));
        assert_eq!((before.starts_ago, before.ends_ago), (SECOND * 900, SECOND * 300));
        assert!(vitals.between(SECOND * 3000, SECOND * 4000, now).is_none());
        // Nothing is kept for longer than anybody may ask.
        assert_eq!(vitals.over(SECOND * 3600, now).unwrap().requests(), 150);
    }

    #[test]
    fn a_window_has_its_stages_and_a_stage_ends_with_its_last_revision() {
        let start = Instant::now();
        let vitals = vitals(start);
        let (model, old) = ("model m@2".into(), "transforms[0] a@1".into());
        let (model, old) = (
            vitals.stage(&model, Role::Model),
            vitals.stage(&old, Role::Transform),
        );
        assert!(Arc::ptr_eq(&model, &vitals.stage(model.name(), Role::Model)));
        model.ran(Duration::from_millis(8));
        old.ran(Duration::from_millis(2));
        vitals.batched(12);
        vitals.sample(start + SECOND);
        drop(old);
        model.ran(Duration::from_millis(8));
        vitals.sample(start + 2 * SECOND);
        let reading = vitals.over(60 * SECOND, start + 2 * SECOND).unwrap();
        let seen: Vec<_> = reading.stages.iter().map(|s| (&*s.name, s.runs())).collect();
        assert_eq!(seen, [("transforms[0] a@1", 1), ("model m@2", 2)]);
        assert_eq!((reading.batches(), reading.batch_rows(0.5)), (1, Some(12.0)));
        let left: Vec<_> = vitals.stages().iter().map(|s| s.name().to_string()).collect();
        assert_eq!(left, ["model m@2"]);
    }

    #[test]
    fn an_idle_window_has_a_rate_and_no_shares() {
        let start = Instant::now();
        let vitals = vitals(start);
        vitals.sample(start + SECOND);
        let reading = vitals.over(60 * SECOND, start + SECOND).unwrap();
        assert_eq!(reading.requests_per_second(), Some(0.0));
        assert_eq!(reading.error_rate(), None);
        assert_eq!(reading.latency_ms(0.5), None);
        assert_eq!(reading.queue_wait_ms(0.95), None);
    }

    #[test]
    fn a_violation_of_the_whole_refuses_every_row() {
        let error = ServingError::new(Kind::Unprocessable, "validation-failed", "no")
            .with_violations(vec![violation(Some(1)), violation(None)]);
        assert_eq!(rejected_rows(&error, 7), 7);
    }

    #[test]
    fn vitals_last_as_long_as_their_deployment() {
        let table = VitalsTable::default();
        let tenant: TenantId = "acme".parse().unwrap();
        let first = table.of(&tenant, "churn");
        let second = table.of(&tenant, "churn");
        assert!(Arc::ptr_eq(&first, &second));
        first.answered(1, SECOND, None);
        drop((first, second));
        let anew = table.of(&tenant, "churn");
        anew.sample(Instant::now() + SECOND);
        let reading = anew.over(60 * SECOND, Instant::now() + SECOND).unwrap();
        assert_eq!(reading.requests(), 0);
        table.of(&tenant, "other");
        assert_eq!(table.0.lock().unwrap().len(), 2);
    }

    /// Recording is on every request's path; the bound is far above what it takes even without
    /// optimisation, and far below what a lock with waiters does.
    #[test]
    fn recording_is_cheap_from_many_threads() {
        let vitals = vitals(Instant::now());
        let rounds = 20_000u32;
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..rounds).for_each(|i| vitals.answered(1, Duration::from_micros(i.into()), None))
                });
            }
        });
        let each = start.elapsed() / rounds;
        assert!(each < Duration::from_micros(50), "{each:?}");
        vitals.sample(Instant::now());
        let reading = vitals.over(WINDOW_MAX, Instant::now()).unwrap();
        assert_eq!(reading.requests(), 4 * u64::from(rounds));
    }
}
