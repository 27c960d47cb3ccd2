//! Receivers of a tenant.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Alerts, lock};
use crate::name;
use crate::notification::Notification;
use crate::receivers::{DeliveryError, ReceiverRecord, ReceiverSpec, ReceiverView};
use crate::tenant::{RECEIVERS_MAX, Receiver, Tenant};
use crate::{AlertsError, keys, random};

/// Receivers that are tried at once, by all tenants together.
pub(super) const TESTS_MAX: usize = 16;

impl Alerts {
    /// Add a receiver, or replace the one of this name in full, secrets included. What waits for it goes
    /// to the new one. It hears of what begins to fire from now on.
    ///
    /// # Errors
    ///
    /// [`AlertsError::Invalid`], [`AlertsError::TooMany`]; the store.
    pub fn put_receiver(&self, tenant: &str, mut spec: ReceiverSpec) -> Result<ReceiverView, AlertsError> {
        name::check("tenant", tenant)?;
        spec.check(self.0.sender.network())?;
        let tenant = self.tenant(tenant);
        let mut tenant = lock(&tenant);
        if !tenant.receivers.contains_key(&spec.name) && tenant.receivers.len() >= RECEIVERS_MAX {
            return Err(AlertsError::TooMany {
                what: "receivers".to_owned(),
                max: RECEIVERS_MAX,
            });
        }
        let key = keys::receiver(&tenant.name, &spec.name);
        keys::commit(
            &self.0.context.store,
            &[keys::put(key, &ReceiverRecord::new(&spec))?],
        )?;
        let lane = tenant
            .receivers
            .remove(&spec.name)
            .map(|r| r.lane)
            .unwrap_or_default();
        let receiver = Receiver {
            spec: Arc::new(spec),
            lane,
        };
        let shown = view(&receiver);
        tenant.receivers.insert(receiver.spec.name.clone(), receiver);
        self.0.wake.notify_one();
        Ok(shown)
    }

    /// Remove a receiver and what waits for it.
    ///
    /// # Errors
    ///
    /// [`AlertsError::NotFound`]; the store.
    pub fn remove_receiver(&self, tenant: &str, receiver: &str) -> Result<(), AlertsError> {
        let missing = || no_receiver(receiver, &[]);
        let tenant = self.known(tenant).ok_or_else(missing)?;
        let mut tenant = lock(&tenant);
        let Some(known) = tenant.receivers.get(receiver) else {
            return Err(no_receiver(receiver, &names(&tenant)));
        };
        let waiting: Vec<u64> = known.lane.entries.keys().copied().collect();
        // The receiver first: what is left of the others after a crash is removed at the next start.
        let keys = std::iter::once(keys::receiver(&tenant.name, receiver)).chain(
            waiting
                .into_iter()
                .map(|number| keys::outbox(&tenant.name, receiver, number)),
        );
        keys::delete_all(&self.0.context.store, keys)?;
        tenant.receivers.remove(receiver);
        Ok(())
    }

    /// A tenant's receivers and how they fare. No secrets.
    pub fn receivers(&self, tenant: &str) -> Vec<ReceiverView> {
        self.known(tenant)
            .map_or_else(Vec::new, |t| lock(&t).receivers.values().map(view).collect())
    }

    /// Send a test to a receiver now, once, not through the queue.
    ///
    /// # Errors
    ///
    /// [`AlertsError::NotFound`], [`AlertsError::TooMany`]. The inner result says how it went.
    pub async fn test_receiver(
        &self,
        tenant: &str,
        receiver: &str,
    ) -> Result<Result<(), DeliveryError>, AlertsError> {
        let spec = {
            let known = self.known(tenant).ok_or_else(|| no_receiver(receiver, &[]))?;
            let known = lock(&known);
            match known.receivers.get(receiver) {
                Some(found) => found.spec.clone(),
                None => return Err(no_receiver(receiver, &names(&known))),
            }
        };
        let Ok(_permit) = self.0.tests.try_acquire() else {
            return Err(AlertsError::TooMany {
                what: "tests of receivers at once".to_owned(),
                max: TESTS_MAX,
            });
        };
        let now = Timestamp::now();
        let notification = Notification::test(random::id()?, tenant, now);
        Ok(self.0.sender.deliver(&spec, &notification, now).await)
    }
}

fn names(tenant: &Tenant) -> Vec<String> {
    tenant.receivers.keys().cloned().collect()
}

fn no_receiver(name: &str, known: &[String]) -> AlertsError {
    AlertsError::NotFound {
        what: "receiver",
        name: name::shown(name),
        hint: match known.is_empty() {
            true => String::new(),
            false => format!("; there are {}", known.join(", ")),
        },
    }
}

fn view(receiver: &Receiver) -> ReceiverView {
    let lane = &receiver.lane;
    ReceiverView {
        receiver: receiver.spec.shown(),
        waiting: lane.entries.len(),
        delivered: lane.delivered,
        failed_attempts: lane.failed_attempts,
        given_up: lane.given_up,
        dropped: lane.dropped,
        last_delivery: lane.last_delivery,
        last_failure: lane.last_failure.clone(),
    }
}
