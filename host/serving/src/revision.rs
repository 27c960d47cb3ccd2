//! One live revision: what a request calls.
//!
//! It never changes. A request goes from its answers cache, if it has one, to its batcher or straight to
//! its pipeline, and what happened is counted beside it; no store and no table is looked at.

use std::sync::Arc;
use std::time::Instant;

use caisson_data::{Batch, Schema};
use caisson_registry::{ModelRecord, Origin, RevisionRecord, TenantId};
use caisson_sandbox::{Meter, Sandbox};
use tokio::sync::OnceCell;

use crate::answers::Answers;
use crate::batching::{self, Batcher};
use crate::build::Built;
use crate::call::CallOptions;
use crate::error::{Kind, ServingError};
use crate::importance::Importance;
use crate::logging::{Logging, Ticket};
use crate::monitor::{self, Monitor, MonitorReport};
use crate::pipeline::{Pipeline, Prediction};
use crate::plan::Plan;
use crate::serving::Parts;
use crate::spec::{DeploymentSpec, MonitorTarget};
use crate::statistics::Statistics;
use crate::trail::{About, Trail};
use crate::vitals::Vitals;
use crate::windows::{Live, Windows};

/// One immutable revision of a deployment, ready to serve.
#[derive(Debug)]
pub struct Revision {
    pub(crate) record: RevisionRecord,
    spec: DeploymentSpec,
    pub(crate) pipeline: Arc<Pipeline>,
    /// Once somebody has asked.
    pub(crate) importance: OnceCell<Arc<Importance>>,
    batcher: Option<Arc<Batcher>>,
    statistics: Arc<Statistics>,
    answers: Option<Answers>,
    logging: Option<Logging>,
    pub(crate) monitors: Arc<Vec<Monitor>>,
    pub(crate) measured: Option<ModelRecord>,
    windows: Option<Windows>,
    plan: Plan,
    pub(crate) sandbox: Sandbox,
    pub(crate) meter: Arc<Meter>,
    vitals: Arc<Vitals>,
}

impl Revision {
    pub(crate) fn new(parts: &Parts, tenant: &TenantId, built: Built, mut record: RevisionRecord) -> Self {
        let Built {
            mut pipeline,
            mut monitors,
            measured,
            ..
        } = built;
        let vitals = parts.vitals.of(tenant, &record.name);
        pipeline.measure(&mut monitors, &vitals);
        let pipeline = Arc::new(pipeline);
        let meter = parts.meters.of(tenant);
        let statistics = Arc::new(Statistics::default());
        let rules = built.spec.batching.rules(built.spec.predictor.is_some());
        let sandboxed = !(pipeline.transforms.is_empty() && pipeline.post.is_empty());
        let batcher = rules.map(|rules| {
            let (sandbox, meter, pipeline) =
                (parts.sandbox.clone(), Arc::clone(&meter), Arc::clone(&pipeline));
            let counted = Arc::clone(&statistics);
            let run: batching::Run = Box::new(move |batch, trail| {
                let (sandbox, meter, pipeline) = (sandbox.clone(), Arc::clone(&meter), Arc::clone(&pipeline));
                let counted = Arc::clone(&counted);
                Box::pin(async move {
                    let start = Instant::now();
                    let run = async move {
                        let target = MonitorTarget::Predictions;
                        pipeline.run_to(target, batch, trail.as_deref()).await
                    };
                    let result = sandbox.fair(&meter, run).await;
                    counted.ran(start.elapsed());
                    result
                })
            });
            let counts = batching::Counts {
                vitals: Arc::clone(&vitals),
                statistics: Arc::clone(&statistics),
            };
            Batcher::new(rules, runs_max(), sandboxed, run, counts)
        });
        let cache = built.spec.cache;
        let answers = cache.map(|cache| Answers::new(cache.bytes_max(), cache.ttl()));
        let logging = built.spec.log.as_ref().map(|spec| {
            let (owner, name) = (tenant.as_str(), &record.name);
            let log = parts.predictions.log(owner, name, record.number, spec.clone());
            Logging::new(log, &pipeline, &parts.sandbox, &meter)
        });
        let monitors = Arc::new(monitors);
        let live = Live {
            tenant,
            record: &record,
            spec: &built.spec,
            pipeline: &pipeline,
            monitors: &monitors,
        };
        let windows = Windows::start(parts, live, measured.clone());
        // Here it is only kept as what it means.
        record.spec = serde_json::Value::Null;
        record.pins = Some(built.pins);
        Self {
            record,
            spec: built.spec,
            pipeline,
            importance: OnceCell::new(),
            batcher,
            statistics,
            answers,
            logging,
            monitors,
            windows,
            measured,
            plan: built.plan,
            sandbox: parts.sandbox.clone(),
            meter,
            vitals,
        }
    }

    /// The deployment's name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Counted from 1.
    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// When it was made, RFC 3339.
    pub fn created_at(&self) -> &str {
        &self.record.created_at
    }

    /// Who made it.
    pub fn author(&self) -> &str {
        &self.record.author
    }

    /// Why, in the author's words.
    pub fn message(&self) -> Option<&str> {
        self.record.message.as_deref()
    }

    /// How it came about.
    pub fn origin(&self) -> Origin {
        self.record.origin
    }

    /// The spec, every reference pinned.
    pub fn spec(&self) -> &DeploymentSpec {
        &self.spec
    }

    /// Its stages and their schemas.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What it has done since it began to serve.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The columns that a caller sends.
    pub fn input(&self) -> &Arc<Schema> {
        self.pipeline.input()
    }

    /// The columns of an answer.
    pub fn output(&self) -> &Arc<Schema> {
        self.pipeline.output()
    }

    /// How the deployment fares, this revision and those before it.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// The ticket of a request for [`Self::predict_as`], with the request's own id or a new one; none where
    /// the deployment has no log.
    ///
    /// # Errors
    ///
    /// An id that is none.
    pub fn ticket(&self, id: Option<&str>) -> Result<Option<Ticket>, ServingError> {
        self.logging
            .as_ref()
            .map(|logging| logging.ticket(id))
            .transpose()
    }

    /// Answer a batch of the input schema, which nobody logs.
    ///
    /// # Errors
    ///
    /// See [`Pipeline::predict`].
    pub async fn predict(
        self: &Arc<Self>,
        batch: Batch,
        options: CallOptions,
    ) -> Result<Prediction, ServingError> {
        self.predict_as(None, batch, options).await
    }

    /// Answer a batch of the input schema, and log it as its ticket says.
    ///
    /// # Errors
    ///
    /// See [`Pipeline::predict`].
    pub async fn predict_as(
        self: &Arc<Self>,
        ticket: Option<Ticket>,
        batch: Batch,
        options: CallOptions,
    ) -> Result<Prediction, ServingError> {
        let start = Instant::now();
        let followed = Trail::current();
        if let Some(trail) = &followed {
            trail.is_about(|| About {
                vitals: Arc::clone(&self.vitals),
                revision: self.number(),
                request_id: ticket.as_ref().map(|ticket| Arc::clone(ticket.id())),
            });
        }
        let logged = self.logging.as_ref().zip(ticket);
        let logged = logged.and_then(|(log, ticket)| Some((log, log.take(ticket, &batch, start)?)));
        let seen = self
            .windows
            .as_ref()
            .and_then(|windows| Some((windows, windows.take(&batch)?)));
        let rows = batch.rows();
        // What is logged has steps of its own: a request that is followed may have many parts.
        let own = logged.is_some().then(|| Trail::of_part(followed.as_ref()));
        let trail = own.clone().or_else(|| followed.clone());
        let mut kept = false;
        let result = match &self.answers {
            Some(answers) => {
                kept = true;
                let run = async |batch| {
                    kept = false;
                    self.run(batch, options, trail).await
                };
                let result = answers.get_or(batch, run).await;
                self.statistics.looked_up(kept, start.elapsed());
                self.vitals.looked_up(kept);
                result
            }
            None => self.run(batch, options, trail).await,
        };
        let took = start.elapsed();
        if !options.again {
            self.vitals.answered(rows, took, result.as_ref().err());
        }
        self.statistics.ended(rows, took, result.is_ok(), !kept);
        if let (Ok(prediction), Some((windows, input))) = (&result, seen) {
            windows.answered(input, &prediction.batch);
        }
        if let (Some(followed), Some(own)) = (&followed, &own) {
            followed.join(own);
        }
        if let (Ok(prediction), Some((log, taken))) = (&result, logged) {
            let stages = own.map(|own| own.times()).unwrap_or_default();
            log.answered(taken, &prediction.batch, stages);
        }
        result
    }

    async fn run(
        &self,
        batch: Batch,
        options: CallOptions,
        trail: Option<Arc<Trail>>,
    ) -> Result<Prediction, ServingError> {
        let rows = batch.rows();
        if let Some(batcher) = self.batcher.as_ref().filter(|b| b.takes(rows)) {
            return self.run_with_others(batcher, batch, options, trail).await;
        }
        let (pipeline, started) = (Arc::clone(&self.pipeline), Instant::now());
        let call = async move { pipeline.predict(batch, trail.as_deref()).await };
        let result = self.sandbox.fair(&self.meter, call).await;
        let took = started.elapsed();
        self.statistics.ran(took);
        if let (Some(batcher), Ok(_)) = (&self.batcher, &result) {
            batcher.note_alone(rows, took);
        }
        result
    }

    async fn run_with_others(
        &self,
        batcher: &Arc<Batcher>,
        batch: Batch,
        options: CallOptions,
        trail: Option<Arc<Trail>>,
    ) -> Result<Prediction, ServingError> {
        let (batch, warnings) = if self.pipeline.validators.is_empty() {
            (batch, Vec::new())
        } else {
            let (pipeline, trail) = (Arc::clone(&self.pipeline), trail.clone());
            let call = async move {
                let warnings = pipeline.validate(&batch, trail.as_deref()).await?;
                Ok::<_, ServingError>((batch, warnings))
            };
            self.sandbox.fair(&self.meter, call).await?
        };
        let batch = batcher.submit(batch, options, trail).await?;
        Ok(Prediction { batch, warnings })
    }

    /// Every monitor's report on a batch of the input schema.
    ///
    /// # Errors
    ///
    /// The deployment has no monitors, or a stage failed.
    pub async fn drift(self: &Arc<Self>, current: Batch) -> Result<Vec<MonitorReport>, ServingError> {
        if !self.monitors.iter().any(|monitor| monitor.fitted().is_some()) {
            return Err(ServingError::new(
                Kind::Unprocessable,
                "no-monitors",
                format!(
                    "`{}` has no monitors that compare with a baseline; add some to its deployment file",
                    self.name()
                ),
            ));
        }
        let this = Arc::clone(self);
        let call = async move { monitor::check_all(&this.pipeline, &this.monitors, current).await };
        self.sandbox.fair(&self.meter, call).await
    }

    /// Keep reports as what the monitors say now, for metrics and alerts.
    pub fn record_drift(&self, reports: &[MonitorReport]) {
        self.vitals.drifted(reports);
    }
}

/// Runs of one revision at the same time: more than cores only take turns.
fn runs_max() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
