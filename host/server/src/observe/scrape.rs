//! One reading of all metrics that a caller may see.
//!
//! It walks what there is: live deployments and known tenants. So nothing that a request names makes a
//! series, and what is deleted has none from then on. Nothing here is on the path of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use caisson_access::AccessError;
use caisson_metrics::{Exposition, catalogue as metric};
use caisson_registry::{RegistryError, TenantId};
use caisson_serving::LoadState;

use super::process;
use crate::app::App;

/// What a caller may see.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// All tenants, and the server.
    Everything,
    /// One tenant.
    Tenant(TenantId),
    /// Some deployments of one.
    Deployments(TenantId, BTreeSet<String>),
}

impl Seen {
    fn has(&self, tenant: &TenantId, deployment: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Tenant(own) => own == tenant,
            Self::Deployments(own, names) => own == tenant && names.contains(deployment),
        }
    }
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    /// The tenants can't be read.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// What a tenant has can't be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Read all that a caller may see. Reads the store; for threads that may wait.
///
/// # Errors
///
/// The store.
pub(crate) fn read(app: &App, seen: &Seen) -> Result<Exposition, ScrapeError> {
    let mut to = Exposition::default();
    deployments(app, seen, &mut to);
    match seen {
        Seen::Everything => {
            let tenants = app.access.tenants()?;
            to.count(&metric::TENANTS, &[], tenants.len() as u64);
            for record in tenants {
                tenant(app, &record.id, &mut to)?;
            }
            server(app, &mut to);
        }
        Seen::Tenant(own) => tenant(app, own, &mut to)?,
        Seen::Deployments(..) => {}
    }
    Ok(to)
}

fn deployments(app: &App, seen: &Seen, to: &mut Exposition) {
    let mut all = app.serving.all();
    // A scraper doesn't mind; who looks at it does.
    all.sort_by(|(a, x), (b, y)| (a, x.name()).cmp(&(b, y.name())));
    for (tenant, revision) in all {
        let (owner, name) = (tenant.as_str(), revision.name());
        if !seen.has(&tenant, name) {
            continue;
        }
        revision.vitals().expose(to);
        to.count(&metric::REVISION, &[owner, name], revision.number());
        if revision.spec().log.is_none() {
            continue;
        }
        let log = app.predictions.status(owner, name);
        to.count(&metric::LOG_ROWS, &[owner, name], log.rows.logged);
        to.count(&metric::LOG_WAITING_ROWS, &[owner, name], log.rows.waiting);
        to.count(&metric::LOG_STORED_BYTES, &[owner, name], log.stored_bytes);
        for (reason, rows) in log.rows.dropped.by_reason() {
            to.count(&metric::LOG_DROPPED_ROWS, &[owner, name, reason], rows);
        }
    }
}

fn tenant(app: &App, tenant: &TenantId, to: &mut Exposition) -> Result<(), ScrapeError> {
    let owner = tenant.as_str();
    let usage = caisson_registry::usage(&app.store, tenant)?;
    let stored = usage.stored_bytes + app.predictions.stored_bytes(owner);
    to.count(&metric::PLUGIN_VERSIONS, &[owner], usage.plugin_versions);
    to.count(&metric::MODEL_VERSIONS, &[owner], usage.model_versions);
    to.count(&metric::STORED_BYTES, &[owner], stored);
    let mut states: BTreeMap<&str, u64> = STATES.into_iter().map(|state| (state, 0)).collect();
    let all = app.serving.load_states();
    for (_, state) in all.iter().filter(|((of, _), _)| of == tenant) {
        *states.entry(named(state)).or_default() += 1;
    }
    for (state, count) in states {
        to.count(&metric::DEPLOYMENTS, &[owner, state], count);
    }
    let meter = app.meters.of(tenant);
    to.value(&metric::TENANT_CPU_SECONDS, &[owner], meter.cpu_ns() as f64 / 1e9);
    to.count(
        &metric::TENANT_MEMORY_BYTES,
        &[owner],
        meter.memory_bytes() as u64,
    );
    if let Ok(state) = app.access.tenant_state(tenant) {
        to.count(&metric::TENANT_REQUESTS, &[owner], state.requests_in_progress());
    }
    let alerts = app.alerts.standing(owner);
    for (metric, label, count) in [
        (metric::ALERTS, "pending", alerts.pending),
        (metric::ALERTS, "firing", alerts.firing),
        (metric::ALERT_DELIVERIES, "delivered", alerts.delivered),
        (metric::ALERT_DELIVERIES, "failed", alerts.failed),
        (metric::ALERT_NOTIFICATIONS_LOST, "given-up", alerts.given_up),
        (metric::ALERT_NOTIFICATIONS_LOST, "dropped", alerts.dropped),
    ] {
        to.count(&metric, &[owner, label], count);
    }
    Ok(())
}

const STATES: [&str; 5] = ["loading", "ready", "failed", "unloaded", "reloading"];

fn named(state: &LoadState) -> &'static str {
    match state {
        LoadState::Loading => "loading",
        LoadState::Ready => "ready",
        LoadState::Failed(_) => "failed",
        LoadState::Unloaded(_) => "unloaded",
        LoadState::Reloading => "reloading",
    }
}

fn server(app: &App, to: &mut Exposition) {
    to.count(&metric::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
    to.count(&metric::BLOB_BYTES, &[], app.blob_bytes.load(Ordering::Relaxed));
    if let Ok(bytes) = app.store.metadata_bytes() {
        to.count(&metric::METADATA_BYTES, &[], bytes);
    }
    if let Ok(bytes) = app.store.free_bytes() {
        to.count(&metric::DISK_FREE_BYTES, &[], bytes);
    }
    app.traces.expose(to);
    process::expose(to);
}
