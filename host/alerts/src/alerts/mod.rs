//! The alerts of all tenants: the crate's front.

mod receivers;
mod silences;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use caisson_store::Store;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};

use crate::AlertsError;
use crate::instance::{Instance, Observation, Window};
use crate::keys;
use crate::lane::{Entry, Lane, Retry};
use crate::name::{self, Labels};
use crate::network::Network;
use crate::phase::Phase;
use crate::receivers::{ReceiverRecord, Sender};
use crate::rules::{Catalogue, Rule, RulesFile, Severity};
use crate::silence::Silence;
use crate::tenant::{Context, Observed, Receiver, RulesRecord, Standing, Tenant};

/// Observations in one call.
pub const OBSERVATIONS_MAX: usize = 1000;
/// How far a value's time may be ahead of the clock: what clocks of one installation differ by. What is
/// further ahead would keep all later values out.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// How alerts are opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The metrics that rules may name.
    pub catalogue: Catalogue,
    /// Where receivers may be.
    pub network: Network,
    /// Certificates that receivers' TLS trusts beside those of the machine: a company's own authority.
    pub roots: Vec<CertificateDer<'static>>,
    /// Put before evidence links that are paths: `https://caisson.example.org`.
    pub base_url: Option<String>,
    /// How long a delivery may take.
    pub timeout: Duration,
    /// When what failed is tried again.
    pub retry: Retry,
    /// How often an Alertmanager is told again of what fires. It takes an alert as resolved after four
    /// of these, and a shorter one costs more requests.
    pub resend: Duration,
    /// How often [`Alerts::run`] calls [`Alerts::tick`].
    pub tick: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            catalogue: Catalogue::default(),
            network: Network::default(),
            roots: Vec::new(),
            base_url: None,
            timeout: Duration::from_secs(10),
            retry: Retry::default(),
            resend: Duration::from_secs(60),
            tick: Duration::from_secs(5),
        }
    }
}

/// An alert that is pending, fires, or resolved lately.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Alert {
    /// Its id.
    pub id: String,
    /// Its rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// Its labels.
    pub labels: Labels,
    /// Where it stands.
    #[serde(flatten)]
    pub phase: Phase,
    /// Does a silence cover it now?
    pub silenced: bool,
    /// The latest value.
    pub value: Option<f64>,
    /// Why, in words.
    pub reason: String,
    /// The time that the value was computed over.
    pub window: Option<Window>,
    /// Where to see more.
    pub evidence: Option<String>,
}

/// The alerts of all tenants. Clones are handles on the same. One data folder has one of these: two
/// would not see each other's changes.
#[derive(Clone)]
pub struct Alerts(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) context: Context,
    pub(crate) sender: Sender,
    pub(crate) tick: Duration,
    /// Tenants that have, or had, anything.
    tenants: RwLock<BTreeMap<String, Arc<Mutex<Tenant>>>>,
    /// Something waits to be delivered.
    pub(crate) wake: Notify,
    tests: Semaphore,
}

pub(crate) fn lock(tenant: &Mutex<Tenant>) -> MutexGuard<'_, Tenant> {
    // Memory changes after a commit, in steps that don't panic.
    tenant.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Alerts {
    /// Read everything back from the store. Waits for the disk, as every call that isn't `async`.
    ///
    /// # Errors
    ///
    /// The store; [`AlertsError::Tls`] where the machine's certificates can't be read.
    pub fn open(store: Store, options: Options) -> Result<Self, AlertsError> {
        let sender = Sender::new(options.network, options.roots, options.timeout, options.resend)?;
        let alerts = Self(Arc::new(Inner {
            context: Context {
                store,
                catalogue: options.catalogue,
                base_url: options.base_url,
                retry: options.retry,
            },
            sender,
            tick: options.tick,
            tenants: RwLock::default(),
            wake: Notify::new(),
            tests: Semaphore::new(receivers::TESTS_MAX),
        }));
        alerts.load(Timestamp::now())?;
        Ok(alerts)
    }

    fn load(&self, now: Timestamp) -> Result<(), AlertsError> {
        let store = &self.0.context.store;
        for (tenant, record) in keys::load::<RulesRecord>(store, keys::RULES)? {
            lock(&self.tenant(&tenant)).rules = record.file;
        }
        for (key, mut instance) in keys::load::<Instance>(store, keys::STATE)? {
            instance.seen_at = now;
            instance.stored = true;
            lock(&self.tenant(owner(&key)))
                .instances
                .insert(instance.id.clone(), instance);
        }
        for (key, silence) in keys::load::<Silence>(store, keys::SILENCE)? {
            lock(&self.tenant(owner(&key)))
                .silences
                .insert(silence.id.clone(), silence);
        }
        for (key, record) in keys::load::<ReceiverRecord>(store, keys::RECEIVER)? {
            let spec = record.into_spec();
            let receiver = Receiver {
                spec: Arc::new(spec),
                lane: Lane::default(),
            };
            lock(&self.tenant(owner(&key)))
                .receivers
                .insert(receiver.spec.name.clone(), receiver);
        }
        for (key, entry) in keys::load::<Entry>(store, keys::OUTBOX)? {
            let mut parts = key.split('/').skip(1);
            let (receiver, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let tenant = self.tenant(owner(&key));
            let mut tenant = lock(&tenant);
            let known = u64::from_str_radix(number, 16)
                .ok()
                .zip(tenant.receivers.get_mut(receiver));
            let Some((number, receiver)) = known else {
                // Its receiver was removed, and the process ended before all of this was.
                keys::commit(store, &[keys::delete(format!("{}{key}", keys::OUTBOX))])?;
                continue;
            };
            receiver.lane.entries.insert(number, entry);
            tenant.next_number = tenant.next_number.max(number + 1);
        }
        Ok(())
    }

    /// A tenant that may be new.
    fn tenant(&self, name: &str) -> Arc<Mutex<Tenant>> {
        if let Some(tenant) = self.known(name) {
            return tenant;
        }
        let mut tenants = self.0.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Mutex::new(Tenant::new(name))))
            .clone()
    }

    /// A tenant that has something.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<Mutex<Tenant>>> {
        let tenants = self.0.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mutex<Tenant>>> {
        let tenants = self.0.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.values().cloned().collect()
    }

    /// Replace all rules of a tenant by those of a file. Alerts of rules that stay keep their states;
    /// those that no rule looks at any more end, and receivers are told.
    ///
    /// # Errors
    ///
    /// [`AlertsError::Rules`] with the line; the store.
    pub fn put_rules(&self, tenant: &str, file: &str, now: Timestamp) -> Result<Vec<Rule>, AlertsError> {
        name::check("tenant", tenant)?;
        let file = RulesFile::parse(file, &self.0.context.catalogue)?;
        let key = keys::rules(tenant);
        let tenant = self.tenant(tenant);
        let mut tenant = lock(&tenant);
        let record = RulesRecord { file };
        keys::commit(&self.0.context.store, &[keys::put(key, &record)?])?;
        tenant.rules = record.file;
        tenant.unreconciled = true;
        tenant.reconcile(&self.0.context, now)?;
        self.0.wake.notify_one();
        Ok(tenant.rules.rules.clone())
    }

    /// A tenant's rules.
    pub fn rules(&self, tenant: &str) -> Vec<Rule> {
        self.known(tenant)
            .map_or_else(Vec::new, |t| lock(&t).rules.rules.clone())
    }

    /// Compare values with the tenant's rules. A call that fails can be made again with the same values:
    /// what was taken in is left out.
    ///
    /// # Errors
    ///
    /// Values that can't be any, before one is taken in; [`AlertsError::TooMany`]; the store.
    pub fn observe(
        &self,
        tenant: &str,
        observations: &[Observation],
        now: Timestamp,
    ) -> Result<Observed, AlertsError> {
        if observations.len() > OBSERVATIONS_MAX {
            return Err(AlertsError::TooMany {
                what: format!("{} observations", observations.len()),
                max: OBSERVATIONS_MAX,
            });
        }
        for observation in observations {
            observation.check()?;
            self.0.context.catalogue.known(&observation.metric)?;
            if observation.at.duration_since(now) > AHEAD_MAX {
                return Err(AlertsError::Invalid(format!(
                    "a value of {} is of {}, which is still to come",
                    observation.metric, observation.at
                )));
            }
        }
        let mut observed = Observed::default();
        let Some(tenant) = self.known(tenant) else {
            return Ok(observed);
        };
        let mut tenant = lock(&tenant);
        for observation in observations {
            tenant.observe(&self.0.context, observation, now, &mut observed)?;
        }
        if observed.fired + observed.resolved > 0 {
            self.0.wake.notify_one();
        }
        Ok(observed)
    }

    /// A tenant's alerts that are pending, fire, or resolved within the last day.
    pub fn alerts(&self, tenant: &str, now: Timestamp) -> Vec<Alert> {
        let Some(tenant) = self.known(tenant) else {
            return Vec::new();
        };
        let tenant = lock(&tenant);
        tenant
            .instances
            .values()
            .filter(|i| i.phase != Phase::Inactive)
            .map(|i| Alert {
                id: i.id.clone(),
                rule: i.rule.clone(),
                severity: i.severity,
                labels: i.labels.clone(),
                phase: i.phase,
                silenced: tenant.is_silenced(i, now),
                value: i.value,
                reason: i.reason.clone(),
                window: i.window,
                evidence: i.evidence.clone(),
            })
            .collect()
    }

    /// How a tenant's alerts and notifications stand, for metrics.
    pub fn standing(&self, tenant: &str) -> Standing {
        self.known(tenant)
            .map(|tenant| lock(&tenant).standing())
            .unwrap_or_default()
    }

    /// Remove everything of a tenant.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn forget(&self, tenant: &str) -> Result<(), AlertsError> {
        name::check("tenant", tenant)?;
        let known = self.known(tenant);
        // Nothing is written meanwhile, and nothing afterwards: what holds the lock empties it.
        let mut held = known.as_deref().map(lock);
        let store = &self.0.context.store;
        keys::delete_all(store, [keys::rules(tenant)])?;
        for kind in [keys::RECEIVER, keys::OUTBOX, keys::STATE, keys::SILENCE] {
            keys::delete_all(store, keys::keys(store, &format!("{kind}{tenant}/"))?)?;
        }
        if let Some(held) = &mut held {
            // What is being delivered ends under a number that nothing else has.
            let next_number = held.next_number;
            **held = Tenant::new(tenant);
            held.next_number = next_number;
        }
        Ok(())
    }

    /// End all alerts on deployments that aren't there any more, and tell receivers. `exists` is asked with
    /// tenant and deployment.
    ///
    /// # Errors
    ///
    /// The store: the first failure, after all tenants had their turn.
    pub fn retain_deployments(
        &self,
        exists: impl Fn(&str, &str) -> bool,
        now: Timestamp,
    ) -> Result<(), AlertsError> {
        let mut result = Ok(());
        for tenant in self.all() {
            let mut tenant = lock(&tenant);
            let owner = tenant.name.clone();
            result = result.and(tenant.retain(&self.0.context, |name| exists(&owner, name), now));
        }
        self.0.wake.notify_one();
        result
    }

    /// What time alone brings, for all tenants: values that don't come, silences that end, notifications
    /// that are given up.
    ///
    /// # Errors
    ///
    /// The store: the first failure, after all tenants had their turn.
    pub fn tick(&self, now: Timestamp) -> Result<(), AlertsError> {
        let mut result = Ok(());
        for tenant in self.all() {
            result = result.and(lock(&tenant).tick(&self.0.context, now));
        }
        self.0.wake.notify_one();
        result
    }
}

/// The tenant in the rest of a key.
fn owner(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}
