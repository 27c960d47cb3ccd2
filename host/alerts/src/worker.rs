//! The one task that delivers.
//!
//! It takes what is due from the lanes, in turns of tenants, and delivers it in tasks of their own: each
//! receiver has its own limit, so one that hangs occupies nothing but that. A notification leaves the
//! store after its receiver took it; whenever the process ends before, it is delivered again with the
//! same id.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::{JoinSet, spawn_blocking};

use crate::alerts::{Alerts, lock};
use crate::keys;
use crate::notification::{Notification, Status};
use crate::receivers::{DeliveryError, ReceiverSpec};
use crate::tenant::{Receiver, Tenant};
use crate::{AlertsError, random};

/// Deliveries of all tenants side by side: each is a connection and some tens of kilobytes.
const DELIVERIES_MAX: usize = 512;
/// The longest sleep, if nothing wakes it.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after the store failed, so that a full disk isn't asked in a loop.
const STORE_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// One delivery.
struct Job {
    spec: Arc<ReceiverSpec>,
    work: Work,
    busy: Busy,
}

enum Work {
    /// What waited under this number.
    Waiting(u64, Box<Notification>),
    /// All that fires, for an Alertmanager.
    Refresh(Vec<Notification>),
}

/// Keeps the alerts of a delivery from being delivered twice at once; lets go of them however it ends.
struct Busy {
    alerts: Alerts,
    tenant: String,
    receiver: String,
    of: Vec<String>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(tenant) = self.alerts.known(&self.tenant)
            && let Some(receiver) = lock(&tenant).receivers.get_mut(&self.receiver)
        {
            receiver.lane.release(&self.of);
        }
        self.alerts.0.wake.notify_one();
    }
}

impl Alerts {
    /// Deliver until `shutdown` ends, and tick. What is being delivered then gets its time to end.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut tick = tokio::time::interval(self.0.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut deliveries = JoinSet::new();
        let mut turn = 0;
        loop {
            let room = DELIVERIES_MAX.saturating_sub(deliveries.len());
            let alerts = self.clone();
            let (jobs, next) = spawn_blocking(move || alerts.due(Timestamp::now(), room, turn))
                .await
                .unwrap_or_default();
            turn = turn.wrapping_add(1);
            for job in jobs {
                deliveries.spawn(job.run());
            }
            tokio::select! {
                () = &mut shutdown => break,
                () = self.0.wake.notified() => {}
                Some(_) = deliveries.join_next() => {}
                () = tokio::time::sleep(until(next)) => {}
                _ = tick.tick() => {
                    let alerts = self.clone();
                    match spawn_blocking(move || alerts.tick(Timestamp::now())).await {
                        Ok(Ok(())) => {}
                        Ok(Err(e)) => tracing::error!(error = %e, "alerts can't be kept up to date"),
                        Err(e) => tracing::error!(error = %e, "alerts can't be kept up to date"),
                    }
                }
            }
        }
        while deliveries.join_next().await.is_some() {}
    }

    /// What to deliver now, at most `room`, and when there will be more.
    fn due(&self, now: Timestamp, room: usize, turn: usize) -> (Vec<Job>, Option<Timestamp>) {
        let mut tenants = self.all();
        let first = turn.checked_rem(tenants.len()).unwrap_or_default();
        tenants.rotate_left(first);
        let mut jobs = Vec::new();
        let mut next: Option<Timestamp> = None;
        for tenant in &tenants {
            let mut tenant = lock(tenant);
            let Tenant { name, receivers, .. } = &mut *tenant;
            for receiver in receivers.values_mut() {
                while jobs.len() < room
                    && let Some((number, notification)) = receiver.lane.take(now)
                {
                    let of = vec![notification.alert.clone()];
                    jobs.push(self.job(name, receiver, of, Work::Waiting(number, Box::new(notification))));
                }
            }
            for receiver in receivers.keys().cloned().collect::<Vec<_>>() {
                if jobs.len() < room {
                    jobs.extend(self.refresh(&mut tenant, &receiver, now));
                }
            }
            next = tenant
                .receivers
                .values()
                .filter_map(|r| r.lane.next_at())
                .chain(next)
                .min();
        }
        (jobs, next)
    }

    fn job(&self, tenant: &str, receiver: &Receiver, of: Vec<String>, work: Work) -> Job {
        Job {
            spec: receiver.spec.clone(),
            work,
            busy: Busy {
                alerts: self.clone(),
                tenant: tenant.to_owned(),
                receiver: receiver.spec.name.clone(),
                of,
            },
        }
    }

    /// Tell an Alertmanager again of what fires, if it is time. What waits, or is being delivered, is left
    /// to that: sent beside its end it might come after it and fire for ever.
    fn refresh(&self, tenant: &mut Tenant, receiver: &str, now: Timestamp) -> Option<Job> {
        let known = tenant.receivers.get(receiver)?;
        let lane = &known.lane;
        known.spec.alertmanager.as_ref()?;
        if lane.resend_at.is_some_and(|at| now < at) || !lane.is_open(now) {
            return None;
        }
        let base = self.0.context.base_url.as_deref();
        let firing: Vec<Notification> = tenant
            .instances
            .values()
            .filter(|i| i.phase.is_firing() && i.notified && !tenant.is_silenced(i, now))
            .filter(|i| known.spec.wants(Status::Firing, &i.labels) && lane.is_idle(&i.id))
            .map(|i| Notification::of(i.id.clone(), Status::Firing, &tenant.name, i, base))
            .collect();
        let name = tenant.name.clone();
        let known = tenant.receivers.get_mut(receiver)?;
        let resend = SignedDuration::try_from(self.0.sender.resend).ok()?;
        known.lane.resend_at = now.checked_add(resend).ok();
        if firing.is_empty() {
            return None;
        }
        let of: Vec<String> = firing.iter().map(|n| n.alert.clone()).collect();
        known.lane.occupy(of.clone());
        Some(self.job(&name, known, of, Work::Refresh(firing)))
    }

    /// Write down how a delivery ended.
    fn record(
        &self,
        tenant: &str,
        receiver: &str,
        number: Option<u64>,
        result: Result<(), DeliveryError>,
    ) -> Result<(), AlertsError> {
        let Some(tenant) = self.known(tenant) else {
            return Ok(());
        };
        let mut tenant = lock(&tenant);
        let Tenant {
            name,
            receivers,
            counts,
            ..
        } = &mut *tenant;
        // Removed meanwhile, with all that waited for it.
        let Some(known) = receivers.get_mut(receiver) else {
            return Ok(());
        };
        let (now, random) = (Timestamp::now(), random::number());
        let retry = &self.0.context.retry;
        let store = &self.0.context.store;
        let of = match result {
            Ok(()) => &counts.delivered,
            Err(_) => &counts.failed,
        };
        of.fetch_add(1, Ordering::Relaxed);
        let key = |number| keys::outbox(name, receiver, number);
        match result {
            Ok(()) => {
                known.lane.succeeded(now);
                if let Some(number) = number {
                    keys::commit(store, &[keys::delete(key(number))])?;
                    known.lane.entries.remove(&number);
                    known.lane.delivered += 1;
                }
            }
            Err(e) => {
                tracing::info!(tenant = name, receiver, error = %e, "a notification wasn't delivered");
                known
                    .lane
                    .failed(retry, e.retry_after(), e.to_string(), now, random);
                if let Some(number) = number
                    && let Some(entry) = known.lane.retried(number, retry, now, random)
                {
                    let op = keys::put(key(number), &entry)?;
                    known.lane.entries.insert(number, entry);
                    keys::commit(store, &[op])?;
                    // Now rather than at the next tick: it might be tried once more until then.
                    known.give_up(&self.0.context, name, counts, now)?;
                }
            }
        }
        Ok(())
    }

    /// The store failed: what was delivered stays in it, and is tried again after a pause.
    fn postpone(&self, tenant: &str, receiver: &str, number: Option<u64>) {
        if let Some(tenant) = self.known(tenant)
            && let Some(number) = number
            && let Some(receiver) = lock(&tenant).receivers.get_mut(receiver)
            && let Some(entry) = receiver.lane.entries.get_mut(&number)
        {
            entry.next_at = Timestamp::now()
                .checked_add(STORE_PAUSE)
                .unwrap_or(Timestamp::MAX);
        }
    }
}

impl Job {
    async fn run(self) {
        let Self { spec, work, busy } = self;
        let sender = &busy.alerts.0.sender;
        let (number, result) = match &work {
            Work::Waiting(number, notification) => (
                Some(*number),
                sender.deliver(&spec, notification, Timestamp::now()).await,
            ),
            Work::Refresh(firing) => (None, sender.refresh(&spec, firing, Timestamp::now()).await),
        };
        let ended = spawn_blocking(move || {
            let Busy {
                alerts,
                tenant,
                receiver,
                ..
            } = &busy;
            if let Err(e) = alerts.record(tenant, receiver, number, result) {
                tracing::error!(tenant, receiver, error = %e, "the end of a delivery can't be stored");
                alerts.postpone(tenant, receiver, number);
            }
            drop(busy);
        });
        if let Err(e) = ended.await {
            tracing::error!(error = %e, "the end of a delivery can't be stored");
        }
    }
}

fn until(next: Option<Timestamp>) -> Duration {
    next.and_then(|at| Duration::try_from(at.duration_since(Timestamp::now())).ok())
        // What is due and can't be taken waits for a delivery to end, which wakes.
        .map_or(SLEEP_MAX, |wait| wait.clamp(Duration::from_millis(10), SLEEP_MAX))
}
