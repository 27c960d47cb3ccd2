//! Taking deployments out of service and back: the model repository extension of the Open Inference
//! Protocol, of which every protocol edge speaks.
//!
//! An unload frees what a deployment holds here, and changes nothing that is stored: the revision that
//! is live stays that. So it lasts until the deployment is loaded, applied or rolled back, or the host
//! starts again, for a start serves what is stored. Whoever wants it gone for good deletes it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use caisson_registry::{TenantId, shown};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Kind, ServingError};
use crate::revision::Revision;
use crate::serving::{LoadState, Serving};

/// Why a deployment that was unloaded doesn't serve.
pub const UNLOADED: &str = "it was unloaded";

/// Whether a deployment serves, in the protocol's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RepositoryState {
    /// It answers.
    Ready,
    /// It doesn't, and the entry says why.
    Unavailable,
    /// It is being prepared.
    Loading,
}

impl RepositoryState {
    /// `READY` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Loading => "LOADING",
        }
    }
}

/// One deployment of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryEntry {
    /// The deployment.
    pub name: String,
    /// The revision that serves; `None` while none does.
    pub version: Option<u64>,
    /// Whether it serves.
    pub state: RepositoryState,
    /// Why it doesn't; empty where it does.
    pub reason: String,
}

impl Serving {
    /// Every stored deployment of a tenant, by name, and whether it serves here.
    pub fn repository_index(&self, tenant: &TenantId) -> Vec<RepositoryEntry> {
        let states: BTreeMap<String, LoadState> = self
            .states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|((owner, _), _)| owner == tenant)
            .map(|((_, name), state)| (name.clone(), state.clone()))
            .collect();
        let entry = |(name, state): (String, LoadState)| {
            // What serves while it is prepared again is ready all along.
            let version = self.live(tenant, &name).map(|revision| revision.number());
            let (state, reason) = match state {
                _ if version.is_some() => (RepositoryState::Ready, String::new()),
                LoadState::Ready | LoadState::Loading | LoadState::Reloading => {
                    (RepositoryState::Loading, String::new())
                }
                LoadState::Failed(reason) | LoadState::Unloaded(reason) => {
                    (RepositoryState::Unavailable, reason)
                }
            };
            RepositoryEntry {
                name,
                version,
                state,
                reason,
            }
        };
        states.into_iter().map(entry).collect()
    }

    /// Stop serving a deployment here; see the module for how long. Requests in progress finish. Once
    /// more is no error.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub async fn unload(&self, tenant: &TenantId, name: &str) -> Result<(), ServingError> {
        let _one = self.changing.of((tenant.clone(), name.to_owned())).await;
        let Some(state) = self.load_state(tenant, name) else {
            return Err(no_deployment(name));
        };
        if matches!(state, LoadState::Unloaded(_)) {
            return Ok(());
        }
        // The state first: who finds no revision in the table learns why.
        self.set_state(tenant, name, LoadState::Unloaded(UNLOADED.to_owned()));
        self.withdraw(tenant, name);
        tracing::info!(%tenant, deployment = name, "unloaded");
        Ok(())
    }

    /// Prepare the stored live revision again and serve it. One that serves goes on until it is
    /// replaced.
    ///
    /// # Errors
    ///
    /// There is none of that name; whatever keeps it from being prepared, which is then also its
    /// state, unless it serves.
    pub async fn load_again(&self, tenant: &TenantId, name: &str) -> Result<Arc<Revision>, ServingError> {
        let _one = self.changing.of((tenant.clone(), name.to_owned())).await;
        let (deployments, owner, wanted) = (self.parts.deployments.clone(), tenant.clone(), name.to_owned());
        let record = self
            .parts
            .blocking(move || deployments.live(&owner, &wanted))
            .await?
            .ok_or_else(|| no_deployment(name))?;
        let mut reloading = Reloading::begin(self, tenant, name);
        match self.load_record(tenant, record).await {
            Ok(revision) => {
                reloading.after = None;
                self.publish(tenant, Arc::clone(&revision));
                Ok(revision)
            }
            Err(error) => {
                let why = format!("it could not be loaded again: {error}");
                if let Some(LoadState::Unloaded(reason) | LoadState::Failed(reason)) = &mut reloading.after {
                    *reason = why;
                }
                Err(error.refusing())
            }
        }
    }

    fn set_state(&self, tenant: &TenantId, name: &str, state: LoadState) {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((tenant.clone(), name.to_owned()), state);
    }
}

/// A deployment on its way back. When dropped, also by a caller who went away, it has the state
/// `after`.
struct Reloading<'a> {
    serving: &'a Serving,
    tenant: &'a TenantId,
    name: &'a str,
    after: Option<LoadState>,
}

impl<'a> Reloading<'a> {
    fn begin(serving: &'a Serving, tenant: &'a TenantId, name: &'a str) -> Self {
        let after = serving
            .load_state(tenant, name)
            .filter(|state| matches!(state, LoadState::Unloaded(_) | LoadState::Failed(_)));
        if after.is_some() {
            serving.set_state(tenant, name, LoadState::Reloading);
        }
        Self {
            serving,
            tenant,
            name,
            after,
        }
    }
}

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.after.take() {
            self.serving.set_state(self.tenant, self.name, state);
        }
    }
}

fn no_deployment(name: &str) -> ServingError {
    ServingError::new(
        Kind::NotFound,
        "not-found",
        format!("there is no deployment `{}`", shown(name)),
    )
}
