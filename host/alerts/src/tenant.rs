//! All of one tenant's: rules, alerts, silences, receivers, and what waits to be delivered.
//!
//! Every change is one commit: a state and the notifications of it are on disk together before anybody
//! can see either. A commit that fails leaves memory as it was, so the caller can try again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caisson_store::record::Record;
use caisson_store::{Op, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::instance::{Instance, Observation, covers};
use crate::keys;
use crate::lane::{Entry, Lane, Retry};
use crate::notification::{Notification, Status};
use crate::phase::Phase;
use crate::receivers::ReceiverSpec;
use crate::rules::{Catalogue, Rule, RulesFile};
use crate::silence::Silence;
use crate::{AlertsError, random};

/// Alerts of a tenant, in whatever state: what one look at a screen and one pager can't hold, by far.
pub const INSTANCES_MAX: usize = 1000;
/// Receivers of a tenant. One commit has a notification and two dropped ones for each.
pub const RECEIVERS_MAX: usize = 20;
/// How long an alert is shown after it resolved, and a value remembered that nobody was told of.
const RESOLVED_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// What every tenant needs.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) catalogue: Catalogue,
    pub(crate) base_url: Option<String>,
    pub(crate) retry: Retry,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RulesRecord {
    pub(crate) file: RulesFile,
}

impl Record for RulesRecord {
    const KIND: &'static str = "alert rules";
    const FORMAT: u32 = 1;
}

pub(crate) struct Receiver {
    pub(crate) spec: Arc<ReceiverSpec>,
    pub(crate) lane: Lane,
}

impl Receiver {
    /// Drop what was tried too often or waits for too long.
    pub(crate) fn give_up(
        &mut self,
        context: &Context,
        tenant: &str,
        counts: &Counts,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let name = &self.spec.name;
        let lane = &mut self.lane;
        let spent: Vec<u64> = lane
            .entries
            .iter()
            .filter(|(_, e)| e.is_spent(&context.retry, now))
            .map(|(number, _)| *number)
            .collect();
        if spent.is_empty() {
            return Ok(());
        }
        keys::delete_all(
            &context.store,
            spent.iter().map(|number| keys::outbox(tenant, name, *number)),
        )?;
        lane.given_up += spent.len() as u64;
        lane.entries.retain(|number, _| !spent.contains(number));
        tracing::warn!(
            tenant,
            receiver = name,
            notifications = spent.len(),
            "given up: tried too often, or too old"
        );
        counts.given_up.fetch_add(spent.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// What observing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Pairs of a value and a rule that looks at it.
    pub compared: usize,
    /// Of these, values that weren't later than what was seen; left out.
    pub late: usize,
    /// Alerts that began to fire.
    pub fired: usize,
    /// Alerts that resolved.
    pub resolved: usize,
    /// Values left out because the tenant has too many alerts.
    pub refused: usize,
}

pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) rules: RulesFile,
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) silences: BTreeMap<String, Silence>,
    pub(crate) receivers: BTreeMap<String, Receiver>,
    pub(crate) next_number: u64,
    /// Rules changed, or were loaded, since alerts were compared with them.
    pub(crate) unreconciled: bool,
    pub(crate) counts: Arc<Counts>,
}

/// What became of notifications since the start, whatever became of their receivers.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

/// How a tenant's alerts and notifications stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Alerts whose condition holds, not yet for long enough.
    pub pending: u64,
    /// Alerts that fire.
    pub firing: u64,
    /// Deliveries that succeeded, since the start.
    pub delivered: u64,
    /// Deliveries that failed, of which most are tried again.
    pub failed: u64,
    /// Notifications that were tried too often, or waited for too long.
    pub given_up: u64,
    /// Notifications that found too many waiting.
    pub dropped: u64,
}

impl Tenant {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rules: RulesFile::default(),
            instances: BTreeMap::new(),
            silences: BTreeMap::new(),
            receivers: BTreeMap::new(),
            next_number: 0,
            unreconciled: true,
            counts: Arc::default(),
        }
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let in_phase =
            |is: fn(&Phase) -> bool| self.instances.values().filter(|i| is(&i.phase)).count() as u64;
        Standing {
            pending: in_phase(|phase| matches!(phase, Phase::Pending { .. })),
            firing: in_phase(|phase| matches!(phase, Phase::Firing { .. })),
            delivered: load(&self.counts.delivered),
            failed: load(&self.counts.failed),
            given_up: load(&self.counts.given_up),
            dropped: load(&self.counts.dropped),
        }
    }

    fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.rules.iter().find(|rule| rule.name == name)
    }

    pub(crate) fn is_silenced(&self, instance: &Instance, now: Timestamp) -> bool {
        self.silences.values().any(|s| s.covers(&instance.labels, now))
    }

    /// Compare one value with all rules that look at it.
    pub(crate) fn observe(
        &mut self,
        context: &Context,
        observation: &Observation,
        now: Timestamp,
        observed: &mut Observed,
    ) -> Result<(), AlertsError> {
        let metric = context.catalogue.known(&observation.metric)?;
        let subject = observation.subject();
        let rules: Vec<Rule> = self
            .rules
            .rules
            .iter()
            .filter(|rule| observation.is_for(rule, &subject))
            .cloned()
            .collect();
        for rule in rules {
            observed.compared += 1;
            let fresh = Instance::new(&self.name, &rule, subject.clone(), now);
            let known = self.instances.get(&fresh.id).cloned();
            if known.is_none() && !self.make_room(context)? {
                observed.refused += 1;
                continue;
            }
            let mut instance = known.unwrap_or(fresh);
            let before = instance.phase;
            if !instance.observe(&self.name, &rule, metric, observation, now) {
                observed.late += 1;
            }
            match (before.is_firing(), instance.phase.is_firing()) {
                (false, true) => observed.fired += 1,
                (true, false) => observed.resolved += 1,
                _ => {}
            }
            self.save(context, instance, now)?;
        }
        Ok(())
    }

    /// Is there room for one more alert, or was some made by forgetting one that is over? The longest
    /// unseen goes first; one that fires, is pending or watches for absence never does.
    fn make_room(&mut self, context: &Context) -> Result<bool, StoreError> {
        if self.instances.len() < INSTANCES_MAX {
            return Ok(true);
        }
        let over = self
            .instances
            .values()
            .filter(|i| match i.phase {
                Phase::Inactive => !i.stored,
                Phase::Resolved { .. } => !i.notified,
                Phase::Pending { .. } | Phase::Firing { .. } => false,
            })
            .min_by_key(|i| (i.phase != Phase::Inactive, i.seen_at))
            .map(|i| i.id.clone());
        match over {
            None => Ok(false),
            Some(id) => self.forget(context, &id).map(|()| true),
        }
    }

    fn forget(&mut self, context: &Context, id: &str) -> Result<(), StoreError> {
        if self.instances.get(id).is_some_and(|i| i.stored) {
            keys::commit(&context.store, &[keys::delete(keys::state(&self.name, id))])?;
        }
        self.instances.remove(id);
        Ok(())
    }

    /// Keep an alert as it is now, with the notifications that it needs.
    fn save(&mut self, context: &Context, mut instance: Instance, now: Timestamp) -> Result<(), AlertsError> {
        let status = instance.settle(self.is_silenced(&instance, now));
        let before = self.instances.get(&instance.id);
        let changed = before.is_none_or(|b| b.phase != instance.phase || b.notified != instance.notified);
        let policy = self.rule(&instance.rule).map(|rule| rule.no_data);
        let kept = instance.is_kept(policy);
        let mut ops = Vec::new();
        let key = keys::state(&self.name, &instance.id);
        if kept && (changed || !instance.stored) {
            ops.push(keys::put(key, &instance)?);
        } else if !kept && instance.stored {
            ops.push(keys::delete(key));
        }
        instance.stored = kept;
        let outgoing = match status {
            Some(status) => self.outgoing(context, status, &instance, now, &mut ops)?,
            None => Vec::new(),
        };
        keys::commit(&context.store, &ops)?;
        self.instances.insert(instance.id.clone(), instance);
        for Outgoing {
            receiver,
            number,
            entry,
            victims,
        } in outgoing
        {
            let Some(receiver) = self.receivers.get_mut(&receiver) else {
                continue;
            };
            for victim in &victims {
                receiver.lane.entries.remove(victim);
                receiver.lane.dropped += 1;
            }
            if !victims.is_empty() {
                tracing::warn!(
                    tenant = self.name,
                    receiver = receiver.spec.name,
                    dropped = victims.len(),
                    "too many notifications wait for a receiver; the least missed were dropped"
                );
                let dropped = &self.counts.dropped;
                dropped.fetch_add(victims.len() as u64, Ordering::Relaxed);
            }
            receiver.lane.entries.insert(number, entry);
        }
        Ok(())
    }

    /// What goes to each receiver, and the operations that store it.
    fn outgoing(
        &mut self,
        context: &Context,
        status: Status,
        instance: &Instance,
        now: Timestamp,
        ops: &mut Vec<Op>,
    ) -> Result<Vec<Outgoing>, AlertsError> {
        let mut outgoing = Vec::new();
        for (name, receiver) in &self.receivers {
            if !receiver.spec.wants(status, &instance.labels) {
                continue;
            }
            let base = context.base_url.as_deref();
            let notification = Notification::of(random::id()?, status, &self.name, instance, base);
            let entry = Entry::new(notification, now);
            let victims = receiver.lane.victims();
            let number = self.next_number;
            self.next_number += 1;
            ops.push(keys::put(keys::outbox(&self.name, name, number), &entry)?);
            ops.extend(
                victims
                    .iter()
                    .map(|v| keys::delete(keys::outbox(&self.name, name, *v))),
            );
            outgoing.push(Outgoing {
                receiver: name.clone(),
                number,
                entry,
                victims,
            });
        }
        Ok(outgoing)
    }

    /// What time alone brings: absent values, ends of silences, and what is old enough to go.
    pub(crate) fn tick(&mut self, context: &Context, now: Timestamp) -> Result<(), AlertsError> {
        self.reconcile(context, now)?;
        let due: Vec<String> = self
            .instances
            .values()
            .filter(|i| self.is_absent(i, now) || is_over(i, now) || self.is_untold(i, now))
            .map(|i| i.id.clone())
            .collect();
        for id in due {
            let Some(mut instance) = self.instances.get(&id).cloned() else {
                continue;
            };
            if let Some(rule) = self.rule(&instance.rule)
                && self.is_absent(&instance, now)
            {
                instance.no_data(rule, &context.catalogue, now);
            }
            if is_over(&instance, now) {
                self.forget(context, &id)?;
            } else {
                self.save(context, instance, now)?;
            }
        }
        self.end_silences(context, now)?;
        for receiver in self.receivers.values_mut() {
            receiver.give_up(context, &self.name, &self.counts, now)?;
        }
        Ok(())
    }

    /// Did no value come for as long as the rule allows?
    fn is_absent(&self, instance: &Instance, now: Timestamp) -> bool {
        !instance.ended
            && self
                .rule(&instance.rule)
                .is_some_and(|rule| now.duration_since(instance.seen_at) >= rule.no_data_after.get())
    }

    /// Does it fire, and nobody was told because of a silence that is over?
    fn is_untold(&self, instance: &Instance, now: Timestamp) -> bool {
        instance.phase.is_firing() && !instance.notified && !self.is_silenced(instance, now)
    }

    /// End what no rule looks at any more. Also after a start: the last one may have ended between a
    /// change of the rules and this.
    pub(crate) fn reconcile(&mut self, context: &Context, now: Timestamp) -> Result<(), AlertsError> {
        if !self.unreconciled {
            return Ok(());
        }
        let orphans: Vec<Instance> = self
            .instances
            .values()
            .filter(|i| self.rule(&i.rule).is_none_or(|rule| !covers(rule, &i.subject)))
            .cloned()
            .collect();
        for mut instance in orphans {
            instance.abandon(now);
            self.save(context, instance, now)?;
        }
        self.unreconciled = false;
        Ok(())
    }

    /// End what looks at deployments that aren't there.
    pub(crate) fn retain(
        &mut self,
        context: &Context,
        exists: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<(), AlertsError> {
        let gone: Vec<Instance> = self
            .instances
            .values()
            .filter(|i| !i.ended && !exists(i.deployment()))
            .cloned()
            .collect();
        for mut instance in gone {
            instance.outlive(now);
            self.save(context, instance, now)?;
        }
        Ok(())
    }

    fn end_silences(&mut self, context: &Context, now: Timestamp) -> Result<(), StoreError> {
        let old: Vec<String> = self
            .silences
            .values()
            .filter(|s| s.is_old(now))
            .map(|s| s.id.clone())
            .collect();
        keys::delete_all(&context.store, old.iter().map(|id| keys::silence(&self.name, id)))?;
        self.silences.retain(|id, _| !old.contains(id));
        Ok(())
    }
}

/// Was it over for so long that it isn't shown any more?
fn is_over(instance: &Instance, now: Timestamp) -> bool {
    let since = match instance.phase {
        Phase::Resolved { at, .. } if !instance.notified => at.max(instance.seen_at),
        Phase::Inactive if !instance.stored => instance.seen_at,
        _ => return false,
    };
    now.duration_since(since) > RESOLVED_KEPT
}

/// A notification on its way into a lane.
struct Outgoing {
    receiver: String,
    number: u64,
    entry: Entry,
    victims: Vec<u64>,
}
