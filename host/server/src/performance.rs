//! How deployments with ground truth do: told at an interval, and when somebody asks.
//!
//! One deployment is looked at at a time. One that takes long is looked at less often, so that all of this
//! takes a tenth of a core at most. What a window is compared with is computed once for each revision: the
//! baseline's labelled rows, answered by the deployment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caisson_registry::TenantId;
use caisson_serving::Revision;
use caisson_truth::{Evaluation, GroundTruthSpec, Job, PerformanceSpec, Reference, TruthError};
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::MissedTickBehavior;

use crate::app::App;

/// A deployment rests for so many times as long as it took.
const REST: u32 = 9;

/// What is known of deployments beside what is stored.
#[derive(Default)]
pub(crate) struct Evaluator {
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
    of: Mutex<HashMap<(TenantId, String), Of>>,
}

#[derive(Clone, Default)]
struct Of {
    revision: u64,
    reference: Option<Arc<Reference>>,
    /// Why there is no reference, or why the last evaluation failed.
    problem: Option<String>,
    rests_until: Option<Instant>,
}

impl Evaluator {
    fn lock(&self) -> MutexGuard<'_, HashMap<(TenantId, String), Of>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, tenant: &TenantId, name: &str) -> Of {
        let key = (tenant.clone(), name.to_owned());
        self.lock().get(&key).cloned().unwrap_or_default()
    }

    fn set(&self, tenant: &TenantId, name: &str, of: Of) {
        self.lock().insert((tenant.clone(), name.to_owned()), of);
    }

    /// Of a deployment that is gone.
    pub(crate) fn forget(&self, tenant: &TenantId, name: &str) {
        self.lock().remove(&(tenant.clone(), name.to_owned()));
    }

    /// What keeps a deployment's performance from being told.
    pub(crate) fn problem(&self, tenant: &TenantId, name: &str) -> Option<String> {
        self.get(tenant, name).problem
    }
}

/// What a revision's file says of performance; none where it says nothing.
pub(crate) fn measured(revision: &Revision) -> Option<(&GroundTruthSpec, &PerformanceSpec)> {
    let spec = revision.spec();
    spec.ground_truth.as_ref().zip(spec.performance.as_ref())
}

impl App {
    /// Tell how a deployment does, as of now.
    ///
    /// # Errors
    ///
    /// The store; damaged files.
    pub(crate) async fn evaluate(
        self: &Arc<Self>,
        tenant: &TenantId,
        revision: &Arc<Revision>,
    ) -> Result<Evaluation, TruthError> {
        let _turn = self.evaluator.turn.lock().await;
        let name = revision.name().to_owned();
        let mut of = self.evaluator.get(tenant, &name);
        let start = Instant::now();
        if of.revision != revision.number() {
            of = self.reference(revision).await;
        }
        let (app, owner, live) = (Arc::clone(self), tenant.clone(), Arc::clone(revision));
        let reference = of.reference.clone();
        let work = move || {
            let spec = live.spec();
            let (Some(truth), Some(performance), Some(log)) =
                (&spec.ground_truth, &spec.performance, &spec.log)
            else {
                return Ok(Evaluation::default());
            };
            app.truth.evaluate(&Job {
                tenant: owner.as_str(),
                deployment: live.name(),
                truth,
                performance,
                log,
                revision_is_input: live.input().get("revision").is_some(),
                reference: reference.as_deref(),
                now: Timestamp::now(),
            })
        };
        // On the tenant's account, and behind requests.
        let evaluated = self.sandbox.aside(&self.meters.of(tenant), work).await;
        if let Err(error) = &evaluated {
            tracing::error!(%tenant, deployment = name, %error, "performance can't be told");
            of.problem = Some(error.to_string());
        }
        of.rests_until = Some(Instant::now() + start.elapsed() * REST);
        self.evaluator.set(tenant, &name, of);
        evaluated
    }

    /// What windows of a revision are compared with.
    async fn reference(&self, revision: &Arc<Revision>) -> Of {
        let mut of = Of {
            revision: revision.number(),
            ..Of::default()
        };
        let Some((truth, performance)) = measured(revision) else {
            return of;
        };
        let made = match self.serving.labelled_baseline(revision, &truth.label).await {
            Ok(None) => return of,
            Err(error) => Err(error.to_string()),
            Ok(Some(baseline)) => {
                let (truth, performance) = (truth.clone(), performance.clone());
                let made = spawn_blocking(move || {
                    let rows = (&baseline.input, &baseline.labels, &baseline.output);
                    Reference::new(&truth, &performance, rows, baseline.source)
                });
                match made.await {
                    Ok(made) => made.map_err(|e| e.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            }
        };
        match made {
            Ok(reference) => of.reference = Some(Arc::new(reference)),
            Err(error) => {
                let problem =
                    format!("the baseline can't be measured, and windows are compared without it: {error}");
                tracing::warn!(deployment = revision.name(), problem);
                of.problem = Some(problem);
            }
        }
        of
    }
}

/// The task that looks at all deployments, again and again.
pub(crate) struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    /// Start it. It looks for the first time once all deployments are `loaded`.
    pub(crate) fn start(app: &Arc<App>, interval: Duration, loaded: oneshot::Receiver<()>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let app = Arc::clone(app);
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                _ = loaded => {}
            }
            let mut turns = tokio::time::interval(interval);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // Its sender gone means the same.
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                    _ = turns.tick() => {}
                }
                for (tenant, revision) in app.serving.all() {
                    if measured(&revision).is_none() || *stopped.borrow() {
                        continue;
                    }
                    let rests = app.evaluator.get(&tenant, revision.name()).rests_until;
                    if rests.is_none_or(|until| until <= Instant::now()) {
                        // It is logged, and shown.
                        let _ = app.evaluate(&tenant, &revision).await;
                    }
                }
            }
        });
        Self { stop, task }
    }

    /// End it. What is being looked at is looked at again after the next start.
    pub(crate) async fn stop(self, app: &App) {
        self.stop.send_replace(true);
        app.truth.stop_evaluating();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "telling performance ended early");
        }
    }
}
