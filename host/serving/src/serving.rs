//! The table of live revisions, and what changes it.
//!
//! Readers (requests) take one atomic load. Writers build a revision completely, store it, and then
//! swap the table; the revision that was live is freed when its last request ends. A change is
//! acknowledged after it is stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use caisson_data::{Batch, Schema};
use caisson_registry::{DeploymentStore, Models, Plugins, RegistryError, RevisionRecord, TenantId};
use caisson_sandbox::{Meter, Sandbox};
use tokio::sync::Mutex;

use crate::build::{self, Built};
use crate::error::{Kind, ServingError};
use crate::meters::Meters;
use crate::models::ModelCache;
use crate::monitor::{self, Monitor, MonitorReport};
use crate::pipeline::{Pipeline, Prediction};
use crate::plan::Plan;
use crate::spec::DeploymentSpec;

/// What a [`Serving`] is put together from.
#[derive(Clone)]
pub struct Parts {
    /// Runs plugins.
    pub sandbox: Sandbox,
    /// What each tenant's plugins use.
    pub meters: Arc<Meters>,
    /// Loads models.
    pub cache: Arc<ModelCache>,
    /// Uploaded plugins.
    pub plugins: Plugins,
    /// Registered models.
    pub models: Models,
    /// Stored revisions.
    pub deployments: DeploymentStore,
}

impl Parts {
    /// Run a registry call off the request threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, ServingError> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map_err(ServingError::from),
            Err(error) => Err(ServingError::new(Kind::Internal, "internal", error.to_string())),
        }
    }
}

/// One immutable revision of a deployment, ready to serve.
#[derive(Debug)]
pub struct Revision {
    name: String,
    number: u64,
    created_at: String,
    spec: DeploymentSpec,
    pipeline: Pipeline,
    monitors: Vec<Monitor>,
    plan: Plan,
    sandbox: Sandbox,
    meter: Arc<Meter>,
    requests: metrics::Counter,
    failures: metrics::Counter,
    rows: metrics::Counter,
    seconds: metrics::Histogram,
}

impl Revision {
    fn new(parts: &Parts, tenant: &TenantId, built: Built, number: u64, created_at: String) -> Self {
        let name = built.spec.name.clone();
        Self {
            requests: metrics::counter!("caisson_requests_total", "deployment" => name.clone()),
            failures: metrics::counter!("caisson_request_failures_total", "deployment" => name.clone()),
            rows: metrics::counter!("caisson_rows_total", "deployment" => name.clone()),
            seconds: metrics::histogram!("caisson_request_seconds", "deployment" => name.clone()),
            name,
            number,
            created_at,
            spec: built.spec,
            pipeline: built.pipeline,
            monitors: built.monitors,
            plan: built.plan,
            sandbox: parts.sandbox.clone(),
            meter: parts.meters.of(tenant),
        }
    }

    /// The deployment's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counted from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was made, RFC 3339.
    pub fn created_at(&self) -> &str {
        &self.created_at
    }

    /// The spec, every reference pinned.
    pub fn spec(&self) -> &DeploymentSpec {
        &self.spec
    }

    /// Its stages and their schemas.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The columns that a caller sends.
    pub fn input(&self) -> &Arc<Schema> {
        self.pipeline.input()
    }

    /// The columns of an answer.
    pub fn output(&self) -> &Arc<Schema> {
        self.pipeline.output()
    }

    /// Answer a batch of the input schema.
    ///
    /// # Errors
    ///
    /// See [`Pipeline::predict`].
    pub async fn predict(self: &Arc<Self>, batch: Batch) -> Result<Prediction, ServingError> {
        let start = Instant::now();
        self.requests.increment(1);
        self.rows.increment(batch.rows() as u64);
        let this = Arc::clone(self);
        let call = async move { this.pipeline.predict(batch).await };
        let result = self.sandbox.fair(&self.meter, call).await;
        self.seconds.record(start.elapsed());
        if result.is_err() {
            self.failures.increment(1);
        }
        result
    }

    /// Every monitor's report on a batch of the input schema.
    ///
    /// # Errors
    ///
    /// The deployment has no monitors, or a stage failed.
    pub async fn drift(self: &Arc<Self>, current: Batch) -> Result<Vec<MonitorReport>, ServingError> {
        if self.monitors.is_empty() {
            return Err(ServingError::new(
                Kind::Unprocessable,
                "no-monitors",
                format!("`{}` has no monitors; add some to its deployment file", self.name),
            ));
        }
        let this = Arc::clone(self);
        let call = async move { monitor::check_all(&this.pipeline, &this.monitors, current).await };
        self.sandbox.fair(&self.meter, call).await
    }
}

/// How far a stored deployment is on its way to serving after a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadState {
    /// Being prepared.
    Loading,
    /// Serving.
    Ready,
    /// Can't be prepared, and why.
    Failed(String),
}

/// What [`Serving::apply`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyResult {
    /// The first revision.
    Created,
    /// A new revision.
    Updated,
    /// The live revision is that already.
    Unchanged,
}

/// An applied spec.
#[derive(Debug)]
pub struct Applied {
    /// What was done.
    pub result: ApplyResult,
    /// The live revision.
    pub revision: Arc<Revision>,
}

type Table = HashMap<TenantId, HashMap<String, Arc<Revision>>>;

/// The deployments that this process serves.
pub struct Serving {
    parts: Parts,
    live: ArcSwap<Table>,
    /// One change at a time, so that revisions are numbered and swapped in the same order.
    changing: Mutex<()>,
    states: StdMutex<BTreeMap<String, LoadState>>,
}

impl Serving {
    /// Nothing is served before [`Self::load`].
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            live: ArcSwap::from_pointee(HashMap::new()),
            changing: Mutex::new(()),
            states: StdMutex::new(BTreeMap::new()),
        }
    }

    /// The live revision of a deployment.
    pub fn live(&self, tenant: &TenantId, name: &str) -> Option<Arc<Revision>> {
        self.live.load().get(tenant)?.get(name).cloned()
    }

    /// All live revisions of a tenant, by name.
    pub fn list(&self, tenant: &TenantId) -> Vec<Arc<Revision>> {
        let table = self.live.load();
        let mut all: Vec<_> = table
            .get(tenant)
            .into_iter()
            .flat_map(HashMap::values)
            .cloned()
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Where each stored deployment is on its way to serving.
    pub fn load_states(&self) -> BTreeMap<String, LoadState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Check a spec and say what it would do; nothing is stored or changed.
    ///
    /// # Errors
    ///
    /// Whatever makes the spec unfit.
    pub async fn plan(&self, tenant: &TenantId, spec: DeploymentSpec) -> Result<Plan, ServingError> {
        Ok(self.build(tenant, spec).await?.plan)
    }

    /// Make a spec the live revision. The same spec again changes nothing.
    ///
    /// # Errors
    ///
    /// Whatever makes the spec unfit; the store. What was live stays live.
    pub async fn apply(
        &self,
        tenant: &TenantId,
        spec: DeploymentSpec,
        author: &str,
    ) -> Result<Applied, ServingError> {
        let _one = self.changing.lock().await;
        let built = self.build(tenant, spec).await?;
        let before = self.live(tenant, &built.spec.name);
        if let Some(revision) = before.as_ref().filter(|r| r.spec == built.spec) {
            return Ok(Applied {
                result: ApplyResult::Unchanged,
                revision: Arc::clone(revision),
            });
        }
        let stored = serde_json::to_value(&built.spec)
            .map_err(|e| ServingError::new(Kind::Internal, "internal", e.to_string()))?;
        let (deployments, owner, name, by) = (
            self.parts.deployments.clone(),
            tenant.clone(),
            built.spec.name.clone(),
            author.to_owned(),
        );
        let record = self
            .parts
            .blocking(move || deployments.append(&owner, &name, stored, &by))
            .await?;
        let revision = Arc::new(Revision::new(
            &self.parts,
            tenant,
            built,
            record.number,
            record.created_at,
        ));
        tracing::info!(%tenant, deployment = revision.name, revision = revision.number, "revision is live");
        self.publish(tenant, Arc::clone(&revision));
        let result = if before.is_some() {
            ApplyResult::Updated
        } else {
            ApplyResult::Created
        };
        Ok(Applied { result, revision })
    }

    /// Stop serving a deployment. Its stored history stays.
    ///
    /// # Errors
    ///
    /// There is none of that name; the store.
    pub async fn delete(&self, tenant: &TenantId, name: &str) -> Result<(), ServingError> {
        let _one = self.changing.lock().await;
        let (deployments, owner, gone) = (self.parts.deployments.clone(), tenant.clone(), name.to_owned());
        self.parts
            .blocking(move || deployments.delete(&owner, &gone))
            .await?;
        self.live.rcu(|table| {
            let mut table = Table::clone(table);
            if let Some(names) = table.get_mut(tenant) {
                names.remove(name);
            }
            table
        });
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        Ok(())
    }

    /// Name every stored deployment of a tenant as loading, so that the host isn't ready before
    /// they are; then prepare them with [`Self::load`].
    ///
    /// # Errors
    ///
    /// The store.
    pub async fn announce(&self, tenant: &TenantId) -> Result<Vec<RevisionRecord>, ServingError> {
        let (deployments, owner) = (self.parts.deployments.clone(), tenant.clone());
        let records = self.parts.blocking(move || deployments.list_live(&owner)).await?;
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.extend(records.iter().map(|r| (r.name.clone(), LoadState::Loading)));
        drop(states);
        Ok(records)
    }

    /// Prepare one stored revision. A failure is kept as the deployment's state and logged; it
    /// holds nothing else back.
    pub async fn load(&self, tenant: &TenantId, record: RevisionRecord) {
        let _one = self.changing.lock().await;
        if self.live(tenant, &record.name).is_some() {
            return; // Applied anew while we waited.
        }
        let name = record.name.clone();
        let state = match self.load_record(tenant, record).await {
            Ok(revision) => {
                self.publish(tenant, revision);
                return;
            }
            Err(error) => LoadState::Failed(error.to_string()),
        };
        tracing::error!(%tenant, deployment = name, ?state, "a stored deployment can't be served");
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, state);
    }

    async fn load_record(
        &self,
        tenant: &TenantId,
        record: RevisionRecord,
    ) -> Result<Arc<Revision>, ServingError> {
        let spec: DeploymentSpec = serde_json::from_value(record.spec).map_err(|e| {
            ServingError::new(Kind::Internal, "stored-deployment", format!("stored spec: {e}"))
        })?;
        let built = self.build(tenant, spec).await?;
        Ok(Arc::new(Revision::new(
            &self.parts,
            tenant,
            built,
            record.number,
            record.created_at,
        )))
    }

    /// Build a spec; a `configure` that burns gives way to requests.
    async fn build(&self, tenant: &TenantId, spec: DeploymentSpec) -> Result<Built, ServingError> {
        let (parts, owner) = (self.parts.clone(), tenant.clone());
        let build = async move { build::build(&parts, &owner, spec).await };
        self.parts
            .sandbox
            .fair(&self.parts.meters.of(tenant), build)
            .await
    }

    fn publish(&self, tenant: &TenantId, revision: Arc<Revision>) {
        let name = revision.name.clone();
        self.live.rcu(|table| {
            let mut table = Table::clone(table);
            table
                .entry(tenant.clone())
                .or_default()
                .insert(name.clone(), Arc::clone(&revision));
            table
        });
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, LoadState::Ready);
    }

    /// Bring the counters that stages keep themselves up to date in the metrics registry. Called
    /// when metrics are read, so that requests don't pay for it.
    pub fn publish_metrics(&self) {
        let table = self.live.load();
        for revision in table.values().flat_map(HashMap::values) {
            revision.pipeline.publish_metrics(&revision.name);
        }
    }
}
