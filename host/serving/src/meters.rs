//! One [`Meter`] for each tenant, shared by all of its stages.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use caisson_registry::TenantId;
use caisson_sandbox::Meter;

/// Where a tenant's processor time is counted, in nanoseconds.
type Counter = dyn Fn(&TenantId) -> Arc<AtomicU64> + Send + Sync;

/// The meters of all tenants. Looked up when a deployment is built or a tenant's quotas change, never
/// by a request. A meter stays for the life of the process: a tenant that comes back goes on with
/// what it used, and a thousand of them are under 100 KB.
pub struct Meters {
    meters: Mutex<HashMap<TenantId, Arc<Meter>>>,
    counter: Box<Counter>,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl Meters {
    /// Meters that count where `counter` says.
    pub fn new(counter: impl Fn(&TenantId) -> Arc<AtomicU64> + Send + Sync + 'static) -> Self {
        Self {
            meters: Mutex::default(),
            counter: Box::new(counter),
        }
    }

    /// The meter of a tenant.
    pub fn of(&self, tenant: &TenantId) -> Arc<Meter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = meters.get(tenant) {
            return Arc::clone(meter);
        }
        let meter = Arc::new(Meter::adding_to((self.counter)(tenant)));
        meters.insert(tenant.clone(), Arc::clone(&meter));
        meter
    }
}
