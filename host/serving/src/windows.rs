//! Windows of live answers: a revision's plan of them, its place on the request path, and the checks of
//! windows that closed.
//!
//! A request pays for a copy of what it sends and gets. Checks run behind the requests, on the tenant's
//! account and with its priority, one window of a revision at a time: plugins on a sample of the window's
//! rows, data quality on the sketches of all. Features aren't kept: the sample's rows go through the
//! transforms again.

use std::sync::{Arc, Weak};

use caisson_data::Batch;
use caisson_monitoring::quality::Quality;
use caisson_monitoring::spec::check_segment_columns;
use caisson_monitoring::{Checks, Done, Found, Gathered, Item, MonitorPlan, Needs, Plan, Reference, Tap};
use caisson_registry::{ModelRecord, RevisionRecord, TenantId};
use caisson_sandbox::{Meter, Sandbox};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::build::read_baseline;
use crate::error::{Kind, ServingError};
use crate::monitor::{Check, Monitor, damaged, verdicts_of};
use crate::pipeline::Pipeline;
use crate::serving::Parts;
use crate::spec::{DeploymentSpec, MonitorSpec, MonitorTarget};

/// Rows of a baseline that are shown beside the statistics, evenly taken: enough for its quantiles.
const BASELINE_ROWS: usize = 10_000;
/// Baselines that are read at a time, after a start of them all: each may have a million rows.
static BASELINES: Semaphore = Semaphore::const_new(1);

/// The windows of one revision.
pub(crate) struct Windows {
    tap: Arc<Tap>,
    /// The worker asks for it only as long as the revision is there.
    _checker: Arc<Checker>,
}

impl std::fmt::Debug for Windows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.tap.fmt(f)
    }
}

/// A revision that goes live.
#[derive(Clone, Copy)]
pub(crate) struct Live<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) record: &'a RevisionRecord,
    pub(crate) spec: &'a DeploymentSpec,
    pub(crate) pipeline: &'a Arc<Pipeline>,
    pub(crate) monitors: &'a Arc<Vec<Monitor>>,
}

/// Do windows, segments and times fit the columns, and the memory that they may have?
///
/// # Errors
///
/// What doesn't.
pub(crate) fn check(spec: &DeploymentSpec, pipeline: &Pipeline) -> Result<(), ServingError> {
    let (input, features, output) = (pipeline.input(), pipeline.features(), pipeline.output());
    let refuse = |message| ServingError::new(Kind::Unprocessable, "monitoring", message);
    spec.monitoring
        .check_columns(input, features, output)
        .map_err(refuse)?;
    let private = private(spec);
    let of_monitors = spec.monitors.iter().enumerate();
    let of_monitors = of_monitors.map(|(i, monitor)| (format!("monitors[{i}].segments"), &monitor.segments));
    let of_all = ("monitoring.segments".to_owned(), &spec.monitoring.segments);
    for (at, columns) in of_monitors.chain([of_all]) {
        check_segment_columns(&at, columns, input).map_err(refuse)?;
        if let Some(column) = columns.iter().find(|column| private.contains(column)) {
            return Err(refuse(format!(
                "{at}: `{column}` is among `log.redact` or `monitoring.private`, and segments show its values"
            )));
        }
    }
    plan(spec, pipeline, 0).check().map_err(refuse)
}

/// Columns of which no values are shown: what the log redacts, too.
pub(crate) fn private(spec: &DeploymentSpec) -> Vec<String> {
    let redacted = spec.log.iter().flat_map(|log| log.redact.keys());
    redacted.chain(&spec.monitoring.private).cloned().collect()
}

fn plan(spec: &DeploymentSpec, pipeline: &Pipeline, revision: u64) -> Plan {
    let log = spec.log.as_ref().and_then(|log| log.event_time.clone());
    Plan {
        revision,
        sample: spec.monitoring.sample,
        event_time: spec.monitoring.event_time.clone().or(log),
        input: Arc::clone(pipeline.input()),
        output: Arc::clone(pipeline.output()),
        categorical: spec.monitoring.categorical.clone(),
        private: private(spec),
        statistics: spec.monitoring.windows(),
        segments: spec.monitoring.segments.clone(),
        monitors: spec.monitors.iter().filter_map(monitor_plan).collect(),
    }
}

fn monitor_plan(monitor: &MonitorSpec) -> Option<MonitorPlan> {
    let is_plugin = monitor.check.is_none();
    Some(MonitorPlan {
        name: monitor.name.clone(),
        identity: json!(monitor).to_string(),
        window: monitor.window?,
        against: monitor.against,
        alarm: monitor.alarm.unwrap_or_default(),
        segments: monitor.segments.clone(),
        needs: Needs {
            input: !is_plugin && monitor.on == MonitorTarget::Input,
            output: !is_plugin && monitor.on == MonitorTarget::Predictions,
            sample: is_plugin || monitor.on == MonitorTarget::Features,
        },
    })
}

/// Remove what there is of a deployment that was deleted. A failure costs the room that it takes.
pub(crate) async fn forget(parts: &Parts, tenant: &TenantId, name: &str) {
    let (monitoring, owner, gone) = (parts.monitoring.clone(), tenant.to_string(), name.to_owned());
    let forgotten = tokio::task::spawn_blocking(move || monitoring.forget(&owner, &gone)).await;
    let error = match forgotten {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(%tenant, deployment = name, error, "windows of a deleted deployment can't be removed");
}

impl Windows {
    /// Gather from now on; none where the deployment's file says so.
    pub(crate) fn start(parts: &Parts, live: Live<'_>, measured: Option<ModelRecord>) -> Option<Self> {
        // Revisions are made on the runtime's threads.
        let runtime = Handle::try_current().ok()?;
        let Live {
            tenant,
            record,
            spec,
            pipeline,
            monitors,
        } = live;
        let plan = plan(spec, pipeline, record.number);
        let (is_on, meter) = (plan.is_on(), parts.meters.of(tenant));
        let checker = Arc::new(Checker {
            pipeline: Arc::clone(pipeline),
            monitors: Arc::clone(monitors),
            sandbox: parts.sandbox.clone(),
            meter: Arc::clone(&meter),
            turn: Arc::new(Semaphore::new(1)),
            runtime: runtime.clone(),
        });
        let checks: Arc<dyn Checks> = Arc::clone(&checker) as _;
        let checks: Weak<dyn Checks> = Arc::downgrade(&checks);
        let account = Arc::clone(meter.cpu_counter());
        // Also where nothing is gathered: what was gathered before ends with that.
        let tap = Arc::new(
            parts
                .monitoring
                .tap(tenant.as_str(), &record.name, plan, checks, account),
        );
        if !is_on {
            return None;
        }
        if let Some(measured) = measured.filter(|record| record.baseline.is_some()) {
            let (parts, checker, tap) = (parts.clone(), Arc::clone(&checker), Arc::downgrade(&tap));
            runtime.spawn(async move {
                if let Err(error) = baseline(&parts, &checker, &measured, &tap).await {
                    tracing::debug!(%error, "the baseline isn't shown beside the statistics");
                }
            });
        }
        Some(Self {
            tap,
            _checker: checker,
        })
    }

    /// A copy of what is sent, if the request is sampled.
    pub(crate) fn take(&self, input: &Batch) -> Option<Batch> {
        self.tap.take(input)
    }

    /// What was copied was answered with this.
    pub(crate) fn answered(&self, input: Batch, output: &Batch) {
        self.tap.answered(input, output);
    }
}

/// Put the baseline beside what is gathered, behind the requests.
async fn baseline(
    parts: &Parts,
    checker: &Arc<Checker>,
    measured: &ModelRecord,
    tap: &Weak<Tap>,
) -> Result<(), ServingError> {
    let Ok(_one) = BASELINES.acquire().await else {
        return Ok(());
    };
    let rows = read_baseline(parts, &checker.pipeline, measured).await?;
    let (this, tap) = (Arc::clone(checker), Weak::clone(tap));
    let run = async move {
        let step = rows.rows().div_ceil(BASELINE_ROWS).max(1);
        let positions: Vec<usize> = (0..rows.rows()).step_by(step).collect();
        let input = rows.select_rows(&positions).map_err(internal)?;
        drop(rows);
        let output = this
            .pipeline
            .run_to(MonitorTarget::Predictions, input.clone(), None)
            .await?;
        if let Some(tap) = tap.upgrade() {
            tap.set_baseline(&input, &output);
        }
        Ok(())
    };
    checker.sandbox.fair(&checker.meter, run).await
}

fn internal(error: impl std::fmt::Display) -> ServingError {
    ServingError::new(Kind::Internal, "internal", error.to_string())
}

/// Checks windows of one revision.
struct Checker {
    pipeline: Arc<Pipeline>,
    monitors: Arc<Vec<Monitor>>,
    sandbox: Sandbox,
    meter: Arc<Meter>,
    turn: Arc<Semaphore>,
    runtime: Handle,
}

impl Checks for Checker {
    fn check(self: Arc<Self>, items: Vec<Item>, done: Done) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            let Ok(_turn) = Arc::clone(&self.turn).acquire_owned().await else {
                return;
            };
            let this = Arc::clone(&self);
            let run = async move {
                let mut features = Features::new();
                let mut found = Vec::with_capacity(items.len());
                for item in &items {
                    let judged = this.judge(item, &mut features).await;
                    found.push(judged.map_err(|error| error.to_string()));
                }
                found
            };
            done.found(self.sandbox.fair(&self.meter, run).await);
        });
    }
}

/// Features of samples, with what they are a sample of: monitors of one window share them.
type Features = Vec<(Arc<Gathered>, Batch)>;

impl Checker {
    async fn judge(&self, item: &Item, features: &mut Features) -> Result<Found, ServingError> {
        let monitor = self
            .monitors
            .iter()
            .find(|monitor| monitor.name() == item.monitor);
        let monitor = monitor.ok_or_else(|| internal("the monitor isn't there any more"))?;
        match monitor.check() {
            Check::Plugin(_, stage) => {
                let Some(current) = self.rows(monitor.target(), &item.current, features).await? else {
                    return Ok(Found::default());
                };
                let report = match (&item.reference, monitor.fitted()) {
                    (Some(reference), _) => {
                        let reference = all(reference)?;
                        let Some(before) = self.rows(monitor.target(), &reference, features).await? else {
                            return Ok(Found::default());
                        };
                        stage.check(&stage.fit(&before).await?, &current).await?
                    }
                    (None, Some(fitted)) => stage.check(&fitted.bytes, &current).await?,
                    (None, None) => return Ok(Found::default()),
                };
                Ok(Found {
                    features: verdicts_of(report),
                    rows: current.rows() as u64,
                })
            }
            Check::Quality(name, quality) => self.quality(monitor, name, quality, item, features).await,
        }
    }

    async fn quality(
        &self,
        monitor: &Monitor,
        name: &str,
        quality: &Quality,
        item: &Item,
        features: &mut Features,
    ) -> Result<Found, ServingError> {
        let target = monitor.target();
        let Some((current, rows)) = self.sketches(target, quality, &item.current, features).await? else {
            return Ok(Found::default());
        };
        let (reference, alike) = match (&item.reference, monitor.fitted()) {
            (Some(reference), _) => {
                let newest = reference
                    .newest()
                    .ok_or_else(|| internal("a reference of no windows"))?;
                let before = self.sketches(target, quality, &all(reference)?, features).await?;
                let newest = self.sketches(target, quality, newest, features).await?;
                let (Some((before, _)), Some((newest, _))) = (before, newest) else {
                    return Ok(Found::default());
                };
                (before, newest)
            }
            (None, Some(fitted)) => {
                let baseline = quality.fitted(&fitted.bytes).map_err(|e| damaged(name, &e))?;
                (baseline.clone(), baseline)
            }
            (None, None) => return Ok(Found::default()),
        };
        Ok(Found {
            features: quality.compare(&reference, &alike, &current),
            rows,
        })
    }

    /// Sketches of what a monitor looks at: those of all rows, for features those of the sample.
    async fn sketches(
        &self,
        target: MonitorTarget,
        quality: &Quality,
        gathered: &Arc<Gathered>,
        features: &mut Features,
    ) -> Result<Option<(caisson_monitoring::Sketches, u64)>, ServingError> {
        let sketches = match target {
            MonitorTarget::Input => gathered.input().cloned(),
            MonitorTarget::Predictions => gathered.output().cloned(),
            MonitorTarget::Features => {
                let rows = self.rows(target, gathered, features).await?;
                return Ok(rows.map(|rows| (quality.summarize(&rows), rows.rows() as u64)));
            }
        };
        Ok(sketches.map(|sketches| (sketches, gathered.rows())))
    }

    /// The sampled rows of what a monitor looks at.
    async fn rows(
        &self,
        target: MonitorTarget,
        gathered: &Arc<Gathered>,
        features: &mut Features,
    ) -> Result<Option<Batch>, ServingError> {
        let Some((input, output)) = gathered.sample() else {
            return Ok(None);
        };
        match target {
            MonitorTarget::Input => Ok(Some(input)),
            MonitorTarget::Predictions => Ok(Some(output)),
            MonitorTarget::Features => {
                if let Some((_, batch)) = features.iter().find(|(of, _)| Arc::ptr_eq(of, gathered)) {
                    return Ok(Some(batch.clone()));
                }
                let batch = self.pipeline.run_to(target, input, None).await?;
                features.push((Arc::clone(gathered), batch.clone()));
                Ok(Some(batch))
            }
        }
    }
}

/// All windows of a reference together.
fn all(reference: &Reference) -> Result<Arc<Gathered>, ServingError> {
    let all = reference.all().map_err(internal)?;
    all.map(Arc::new)
        .ok_or_else(|| internal("a reference of no windows"))
}
