//! One [`Meter`] for each tenant, shared by all of its stages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use caisson_registry::TenantId;
use caisson_sandbox::Meter;

/// The meters of all tenants. Looked up when a deployment is built or a tenant's quotas change, never
/// by a request. A meter stays for the life of the process: a tenant that comes back goes on with
/// what it used, and a thousand of them are under 100 KB.
#[derive(Debug, Default)]
pub struct Meters(Mutex<HashMap<TenantId, Arc<Meter>>>);

impl Meters {
    /// The meter of a tenant.
    pub fn of(&self, tenant: &TenantId) -> Arc<Meter> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(meters.entry(tenant.clone()).or_default())
    }
}
