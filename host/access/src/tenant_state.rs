//! A tenant in memory: what requests need of it, without the store.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use caisson_registry::TenantId;

use crate::policies::OwnPolicies;
use crate::quotas::{OverQuota, Quota, Quotas};
use crate::tenants::{Settings, Status, TenantRecord};
use crate::usage::{Admission, Usage};

/// One tenant while the process runs. Whoever holds it sees changes as they are made.
pub struct TenantState {
    id: TenantId,
    /// Neither suspended nor deleted.
    active: AtomicBool,
    settings: ArcSwap<Settings>,
    usage: Usage,
    policies: ArcSwap<OwnPolicies>,
    /// Held over a change's commit and what follows from it in memory, so that memory ends as the
    /// store does.
    changing: Mutex<()>,
}

impl TenantState {
    pub(crate) fn new(record: &TenantRecord, defaults: &Quotas) -> Self {
        Self {
            id: record.id.clone(),
            active: AtomicBool::new(record.status == Status::Active),
            settings: ArcSwap::from_pointee(record.settings.clone()),
            usage: Usage::new(record.quotas.or(defaults)),
            policies: ArcSwap::from_pointee(OwnPolicies::none()),
            changing: Mutex::new(()),
        }
    }

    /// The record has become this. Called by who is changing it.
    pub(crate) fn apply(&self, record: &TenantRecord, defaults: &Quotas) {
        self.settings.store(Arc::new(record.settings.clone()));
        self.usage.set_quotas(record.quotas.or(defaults), Instant::now());
        self.set_active(record.status == Status::Active);
    }

    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Release);
    }

    pub(crate) fn own_policies(&self) -> arc_swap::Guard<Arc<OwnPolicies>> {
        self.policies.load()
    }

    pub(crate) fn set_policies(&self, policies: OwnPolicies) {
        self.policies.store(Arc::new(policies));
    }

    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// Neither suspended nor deleted.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Its settings as they are now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Its quotas as they are now, the host's defaults included.
    pub fn quotas(&self) -> Quotas {
        self.usage.quotas()
    }

    /// Let one request in, or say what it is too much for. `now` is the time; it need not be in
    /// order between threads.
    ///
    /// # Errors
    ///
    /// [`OverQuota`]: too many requests at once, a debt of CPU time, or too many a second.
    pub fn admit(&self, now: Instant) -> Result<Admission, OverQuota> {
        self.usage.admit(now)
    }

    /// Let one more part of a request in that was let in before and has many: by the rates alone.
    ///
    /// # Errors
    ///
    /// [`OverQuota`]: a debt of CPU time, or too many requests a second.
    pub fn pace(&self, now: Instant) -> Result<(), OverQuota> {
        self.usage.pace(now)
    }

    /// Let one change be made, or say when one may be. `now` as for [`Self::admit`].
    ///
    /// # Errors
    ///
    /// [`OverQuota`].
    pub fn admit_change(&self, now: Instant) -> Result<(), OverQuota> {
        self.usage.admit_change(now)
    }

    /// Would `amount` in total be within the quota? For what is stored and uploaded; the caller
    /// counts, and callers at the same time may each find room for one more.
    ///
    /// # Errors
    ///
    /// [`OverQuota`].
    pub fn check_amount(&self, quota: Quota, amount: u64) -> Result<(), OverQuota> {
        self.usage.check_amount(quota, amount)
    }

    /// Nanoseconds of CPU time that the tenant's plugins and models have used. Whoever runs them
    /// adds to it, and never takes away.
    pub fn cpu_meter(&self) -> &Arc<AtomicU64> {
        self.usage.cpu_meter()
    }

    /// Requests let in and not over.
    pub fn requests_in_progress(&self) -> u64 {
        self.usage.requests_in_progress()
    }
}

impl fmt::Debug for TenantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantState({})", self.id)
    }
}
