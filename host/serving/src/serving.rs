//! The table of live revisions, and what changes it.
//!
//! Readers (requests) take one atomic load. Writers build a revision completely, store it, and then
//! swap the table; the revision that was live is freed when its last request ends. A change is
//! acknowledged after it is stored.
//!
//! A revision is pinned: plugins by digest, models by version. What is stored is held to that at every
//! start, and a rollback prepares the old revision again from its pins before anything is switched.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use arc_swap::ArcSwap;
use caisson_inference::Model;
use caisson_monitoring::Monitoring;
use caisson_predictions::Predictions;
use caisson_registry::{
    AliasChange, DeploymentStore, ModelRecord, Models, NewRevision, Origin, Plugins, RegistryError,
    RevisionRecord, TenantId, VersionRef,
};
use caisson_sandbox::Sandbox;
use schemars::JsonSchema;
use serde::Serialize;

use crate::build::{self, Built, Earlier};
use crate::error::{Kind, ServingError};
use crate::first_run::{FirstRun, first_run};
use crate::meters::Meters;
use crate::models::ModelCache;
use crate::monitor::{self, Monitor};
use crate::pipeline::model_error;
use crate::plan::Plan;
use crate::revision::Revision;
use crate::spec::DeploymentSpec;
use crate::turns::Turns;
use crate::vitals::VitalsTable;
use crate::windows;

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
    /// How deployments fare.
    pub vitals: Arc<VitalsTable>,
    /// The prediction log.
    pub predictions: Predictions,
    /// Windows of live answers.
    pub monitoring: Monitoring,
}

impl Parts {
    /// Run a registry call off the request threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, ServingError> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map_err(ServingError::from),
            Err(error) => Err(internal(error)),
        }
    }

    /// Load a model version, or find it loaded.
    pub(crate) async fn load_model(
        &self,
        tenant: &TenantId,
        record: &ModelRecord,
    ) -> Result<Arc<Model>, ServingError> {
        let (models, cache, wanted) = (self.models.clone(), Arc::clone(&self.cache), record.clone());
        let name = format!("model {}@{}", record.name, record.version);
        let file = self.blocking(move || models.model_path(&wanted)).await?;
        let key = (tenant.clone(), record.digest.to_string());
        let account = Arc::clone(self.meters.of(tenant).cpu_counter());
        tokio::task::spawn_blocking(move || cache.get(&key, &file, account))
            .await
            .map_err(internal)?
            .map_err(|e| model_error(&name, &e))
    }
}

fn internal(error: impl ToString) -> ServingError {
    ServingError::new(Kind::Internal, "internal", error.to_string())
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
    /// Taken out of service by [`Serving::unload`], and why it isn't back. That is its tenant's own
    /// wish, so the host is as ready as before.
    Unloaded(String),
    /// On its way back from that.
    Reloading,
}

/// Who changes a deployment, and why.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Who.
    pub author: &'a str,
    /// Why, in the author's words.
    pub message: Option<&'a str>,
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

/// A moved alias.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AliasMoved {
    /// The move.
    #[serde(flatten)]
    pub change: AliasChange,
    /// How the version ran before the alias moved to it; absent when the alias was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_run: Option<FirstRun>,
}

/// An applied spec.
#[derive(Debug)]
pub struct Applied {
    /// What was done.
    pub result: ApplyResult,
    /// The live revision.
    pub revision: Arc<Revision>,
}

/// What a build of another revision may take over from the live one.
fn earlier(live: Option<&Revision>) -> Earlier {
    let Some(live) = live else {
        return Earlier::default();
    };
    let fitted = live.monitors.iter().filter_map(Monitor::fitted);
    Earlier {
        pins: live.record.pins.clone().unwrap_or_default(),
        unpinned: false,
        fitted: fitted.map(|state| (state.key, Arc::clone(state))).collect(),
    }
}

type Table = HashMap<TenantId, HashMap<String, Arc<Revision>>>;

/// The deployments that this process serves.
pub struct Serving {
    pub(crate) parts: Parts,
    live: ArcSwap<Table>,
    /// One change of a deployment at a time, so that its revisions are numbered and swapped in the same
    /// order. Another tenant's slow `configure` keeps nobody waiting.
    pub(crate) changing: Turns<(TenantId, String)>,
    pub(crate) states: StdMutex<BTreeMap<(TenantId, String), LoadState>>,
}

impl Serving {
    /// Nothing is served before [`Self::load`].
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            live: ArcSwap::from_pointee(HashMap::new()),
            changing: Turns::default(),
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
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// All live revisions of all tenants.
    pub fn all(&self) -> Vec<(TenantId, Arc<Revision>)> {
        let table = self.live.load();
        let of = |(tenant, revisions): (&TenantId, &HashMap<String, Arc<Revision>>)| {
            let all = revisions
                .values()
                .map(|revision| (tenant.clone(), Arc::clone(revision)));
            all.collect::<Vec<_>>()
        };
        table.iter().flat_map(of).collect()
    }

    /// Where each stored deployment is on its way to serving.
    pub fn load_states(&self) -> BTreeMap<(TenantId, String), LoadState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Is there a stored deployment of this name, served or not?
    pub fn knows(&self, tenant: &str, name: &str) -> bool {
        let Ok(tenant) = tenant.parse() else {
            return false;
        };
        self.load_state(&tenant, name).is_some()
    }

    /// Where one stored deployment is on its way to serving; `None` if there is none.
    pub fn load_state(&self, tenant: &TenantId, name: &str) -> Option<LoadState> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&(tenant.clone(), name.to_owned())).cloned()
    }

    /// Check a spec and say what it would do; nothing is stored or changed.
    ///
    /// # Errors
    ///
    /// Whatever makes the spec unfit.
    pub async fn plan(&self, tenant: &TenantId, spec: DeploymentSpec) -> Result<Plan, ServingError> {
        let earlier = earlier(self.live(tenant, &spec.name).as_deref());
        Ok(self.build(tenant, spec, earlier).await?.plan)
    }

    /// Make a spec the live revision. The same spec again changes nothing. A yanked plugin may stay
    /// where the live revision has that very version.
    ///
    /// # Errors
    ///
    /// Whatever makes the spec unfit; the store. What was live stays live.
    pub async fn apply(
        &self,
        tenant: &TenantId,
        spec: DeploymentSpec,
        change: Change<'_>,
    ) -> Result<Applied, ServingError> {
        let _one = self.changing.of((tenant.clone(), spec.name.clone())).await;
        let before = self.live(tenant, &spec.name);
        let built = self.build(tenant, spec, earlier(before.as_deref())).await?;
        if let Some(revision) = before.as_ref().filter(|r| *r.spec() == built.spec) {
            return Ok(Applied {
                result: ApplyResult::Unchanged,
                revision: Arc::clone(revision),
            });
        }
        let replaced = before.map(|revision| revision.number());
        self.make_live(tenant, built, change, Origin::Apply, replaced)
            .await
    }

    /// Go back to an earlier revision (`None`: the one before the live one): prepare it from what it
    /// was pinned to, completely, and then make it live as a new revision. Also for a deployment whose
    /// live revision can't be loaded, and, with a number, for one that was deleted.
    ///
    /// # Errors
    ///
    /// There is no such revision, or nothing to go back to; a model version of it was deleted;
    /// whatever keeps it from being prepared; the store. What was live stays live.
    pub async fn rollback(
        &self,
        tenant: &TenantId,
        name: &str,
        to: Option<u64>,
        change: Change<'_>,
    ) -> Result<Applied, ServingError> {
        let _one = self.changing.of((tenant.clone(), name.to_owned())).await;
        let (deployments, owner, wanted) = (self.parts.deployments.clone(), tenant.clone(), name.to_owned());
        let (live, target) = self
            .parts
            .blocking(move || {
                deployments.latest_number(&owner, &wanted)?;
                let live = deployments.live_number(&owner, &wanted)?;
                let number = to.or(live.and_then(|live| live.checked_sub(1)).filter(|&n| n > 0));
                let target = number.map(|number| deployments.revision(&owner, &wanted, number));
                Ok((live, target.transpose()?))
            })
            .await?;
        let Some(target) = target else {
            let why = match live {
                Some(_) => "its live revision is the first",
                None => "it was deleted; name the number of a revision",
            };
            return Err(ServingError::new(
                Kind::NotFound,
                "no-earlier-revision",
                format!("`{}` can't be rolled back: {why}", name.escape_debug()),
            ));
        };
        let of = target.number;
        if let Some(revision) = self.live(tenant, name).filter(|r| r.number() == of) {
            return Ok(Applied {
                result: ApplyResult::Unchanged,
                revision,
            });
        }
        let built = self.build_stored(tenant, target).await?;
        self.make_live(tenant, built, change, Origin::Rollback { of }, live)
            .await
    }

    /// Store what was built as a new revision, and switch to it.
    async fn make_live(
        &self,
        tenant: &TenantId,
        built: Built,
        change: Change<'_>,
        origin: Origin,
        replaced: Option<u64>,
    ) -> Result<Applied, ServingError> {
        let revision = NewRevision {
            spec: serde_json::to_value(&built.spec).map_err(internal)?,
            pins: built.pins.clone(),
            author: change.author.to_owned(),
            message: change.message.map(str::to_owned),
            origin,
        };
        let (deployments, owner, name) = (
            self.parts.deployments.clone(),
            tenant.clone(),
            built.spec.name.clone(),
        );
        let record = self
            .parts
            .blocking(move || deployments.append(&owner, &name, revision))
            .await?;
        let revision = Arc::new(Revision::new(&self.parts, tenant, built, record));
        tracing::info!(%tenant, deployment = revision.name(), revision = revision.number(), ?origin, "revision is live");
        self.publish(tenant, Arc::clone(&revision));
        let all = revision.monitors.iter();
        self.keep_monitors(tenant, &revision, all, replaced).await;
        let result = match replaced {
            Some(_) => ApplyResult::Updated,
            None => ApplyResult::Created,
        };
        Ok(Applied { result, revision })
    }

    /// Keep what monitors of a revision computed, for the next start, and forget that of the revision
    /// that it replaced.
    async fn keep_monitors<'r>(
        &self,
        tenant: &TenantId,
        revision: &Revision,
        monitors: impl Iterator<Item = &'r Monitor>,
        replaced: Option<u64>,
    ) {
        let states: Vec<_> = monitors
            .filter_map(|monitor| Some((monitor.name().to_owned(), Arc::clone(monitor.fitted()?))))
            .collect();
        let (deployments, owner, name, number) = (
            self.parts.deployments.clone(),
            tenant.clone(),
            revision.name().to_owned(),
            revision.number(),
        );
        let kept = self.parts.blocking(move || {
            monitor::keep(&deployments, &owner, &name, number, &states);
            if let Some(before) = replaced {
                monitor::forget(&deployments, &owner, &name, before);
            }
            Ok(())
        });
        if let Err(error) = kept.await {
            tracing::error!(%tenant, deployment = revision.name(), %error, "keeping monitors' states");
        }
    }

    /// Move an alias of a model to a version (`None`: remove it), if it points where `expect` says.
    /// The version is loaded and run once before, so an alias never moves to a model that this host
    /// can't load. It stays loaded for as long as a deployment uses it.
    ///
    /// # Errors
    ///
    /// No such version; it can't be loaded, or fails its first run; those of
    /// [`Models::set_alias`], which moves an alias without looking.
    pub async fn set_alias(
        &self,
        tenant: &TenantId,
        model: &str,
        alias: &str,
        to: Option<u64>,
        expect: Option<u64>,
        by: &str,
    ) -> Result<AliasMoved, ServingError> {
        let (models, owner, name) = (self.parts.models.clone(), tenant.clone(), model.to_owned());
        let first_run = match to {
            None => None,
            Some(version) => {
                let wanted = VersionRef::Number(version);
                let (models, owner, name) = (models.clone(), owner.clone(), name.clone());
                let record = self
                    .parts
                    .blocking(move || models.resolve(&owner, &name, &wanted))
                    .await?;
                let loaded = self.parts.load_model(tenant, &record).await;
                let loaded = loaded.map_err(ServingError::refusing)?;
                let ran = first_run(&loaded).await;
                let name = format!("model {model}@{version}");
                Some(ran.map_err(|e| model_error(&name, &e).refusing())?)
            }
        };
        let (alias, by) = (alias.to_owned(), by.to_owned());
        let change = self
            .parts
            .blocking(move || models.set_alias(&owner, &name, &alias, to, expect, &by))
            .await?;
        Ok(AliasMoved { change, first_run })
    }

    /// Stop serving a deployment. Its stored history stays.
    ///
    /// # Errors
    ///
    /// There is none of that name; the store.
    pub async fn delete(&self, tenant: &TenantId, name: &str) -> Result<(), ServingError> {
        let _one = self.changing.of((tenant.clone(), name.to_owned())).await;
        let (deployments, owner, gone) = (self.parts.deployments.clone(), tenant.clone(), name.to_owned());
        self.parts
            .blocking(move || {
                let live = deployments.live_number(&owner, &gone)?;
                deployments.delete(&owner, &gone)?;
                if let Some(number) = live {
                    monitor::forget(&deployments, &owner, &gone, number);
                }
                Ok(())
            })
            .await?;
        self.withdraw(tenant, name);
        windows::forget(&self.parts, tenant, name).await;
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(tenant.clone(), name.to_owned()));
        Ok(())
    }

    /// Take a deployment out of the table. Requests that have its revision finish on it.
    pub(crate) fn withdraw(&self, tenant: &TenantId, name: &str) {
        self.live.rcu(|table| {
            let mut table = Table::clone(table);
            if let Some(names) = table.get_mut(tenant) {
                names.remove(name);
            }
            table
        });
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
        states.extend(
            records
                .iter()
                .map(|r| ((tenant.clone(), r.name.clone()), LoadState::Loading)),
        );
        drop(states);
        Ok(records)
    }

    /// Prepare one stored revision. A failure is kept as the deployment's state and logged; it
    /// holds nothing else back.
    pub async fn load(&self, tenant: &TenantId, record: RevisionRecord) {
        let _one = self.changing.of((tenant.clone(), record.name.clone())).await;
        if self.live(tenant, &record.name).is_some() {
            return; // Applied anew while we waited.
        }
        if let Some(LoadState::Unloaded(_)) = self.load_state(tenant, &record.name) {
            return; // Unloaded while we waited.
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
            .insert((tenant.clone(), name), state);
    }

    pub(crate) async fn load_record(
        &self,
        tenant: &TenantId,
        record: RevisionRecord,
    ) -> Result<Arc<Revision>, ServingError> {
        let built = self.build_stored(tenant, record.clone()).await?;
        let revision = Arc::new(Revision::new(&self.parts, tenant, built, record));
        let new = revision.monitors.iter().filter(|monitor| monitor.is_new());
        self.keep_monitors(tenant, &revision, new, None).await;
        Ok(revision)
    }

    /// Prepare a stored revision from what it was pinned to.
    async fn build_stored(&self, tenant: &TenantId, record: RevisionRecord) -> Result<Built, ServingError> {
        let spec: DeploymentSpec = serde_json::from_value(record.spec).map_err(|e| {
            ServingError::new(Kind::Internal, "stored-deployment", format!("stored spec: {e}"))
        })?;
        let (deployments, owner, of) = (self.parts.deployments.clone(), tenant.clone(), spec.clone());
        let fitted = self
            .parts
            .blocking(move || Ok(monitor::kept(&deployments, &owner, &of, record.number)))
            .await?;
        let earlier = Earlier {
            unpinned: record.pins.is_none(),
            pins: record.pins.unwrap_or_default(),
            fitted,
        };
        self.build(tenant, spec, earlier).await
    }

    /// Build a spec; a `configure` that burns gives way to requests.
    async fn build(
        &self,
        tenant: &TenantId,
        spec: DeploymentSpec,
        earlier: Earlier,
    ) -> Result<Built, ServingError> {
        let (parts, owner) = (self.parts.clone(), tenant.clone());
        let build = async move { build::build(&parts, &owner, spec, earlier).await };
        self.parts
            .sandbox
            .fair(&self.parts.meters.of(tenant), build)
            .await
    }

    pub(crate) fn publish(&self, tenant: &TenantId, revision: Arc<Revision>) {
        let name = revision.name().to_owned();
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
            .insert((tenant.clone(), name), LoadState::Ready);
    }
}
