//! What waits for one receiver, and in which order it goes.
//!
//! - Notifications of one alert go one after the other, in the order in which they were made.
//! - Those of different alerts go side by side, up to [`IN_FLIGHT_MAX`]; to a receiver that failed, or
//!   took nothing since the start, one at a time, and after a failure a pause that grows.
//! - Which one is tried next: the one that may be tried for longest. So one that a receiver refuses
//!   doesn't keep others back.
//!
//! Here is memory alone: who changes a lane writes to the store first.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use caisson_store::record::Record;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::notification::{Notification, Status};
use crate::receivers::Failure;

/// Notifications that wait for one receiver: with the receivers of a tenant, some tens of megabytes.
pub const WAITING_MAX: usize = 200;
/// Deliveries to one receiver side by side.
pub const IN_FLIGHT_MAX: usize = 4;

/// When what failed is tried again, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The pause after the first failure; each further failure doubles it.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Attempts after which a notification is given up.
    pub attempts_max: u32,
    /// The age at which a notification is given up: nobody needs to be woken for yesterday.
    pub age_max: SignedDuration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(15 * 60),
            attempts_max: 100,
            age_max: SignedDuration::from_hours(24),
        }
    }
}

impl Retry {
    /// After so many failures in a row: between half of the pause and all of it, so that what failed
    /// together isn't tried again together. `random` is any number.
    fn pause(&self, failures: u32, random: u32) -> SignedDuration {
        let doubled = self
            .first
            .saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(self.longest);
        let share = 0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX);
        SignedDuration::try_from(doubled.mul_f64(share)).unwrap_or(SignedDuration::MAX)
    }
}

/// A notification that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) notification: Notification,
    pub(crate) created_at: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) next_at: Timestamp,
}

impl Record for Entry {
    const KIND: &'static str = "notification";
    const FORMAT: u32 = 1;
}

impl Entry {
    pub(crate) fn new(notification: Notification, now: Timestamp) -> Self {
        Self {
            notification,
            created_at: now,
            attempts: 0,
            next_at: now,
        }
    }

    pub(crate) fn is_spent(&self, retry: &Retry, now: Timestamp) -> bool {
        self.attempts >= retry.attempts_max || now.duration_since(self.created_at) > retry.age_max
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// In the order in which they were made.
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// Alerts of which something is being delivered.
    busy: HashSet<String>,
    deliveries: usize,
    failures: u32,
    hold_until: Option<Timestamp>,
    /// When an Alertmanager is told again of what fires.
    pub(crate) resend_at: Option<Timestamp>,
    pub(crate) delivered: u64,
    pub(crate) failed_attempts: u64,
    pub(crate) given_up: u64,
    pub(crate) dropped: u64,
    pub(crate) last_delivery: Option<Timestamp>,
    pub(crate) last_failure: Option<Failure>,
}

impl Lane {
    /// May one more delivery begin?
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        let works = self.failures == 0 && self.last_delivery.is_some();
        let limit = if works { IN_FLIGHT_MAX } else { 1 };
        self.deliveries < limit && self.hold_until.is_none_or(|until| until <= now)
    }

    /// Is nothing of this alert waiting or being delivered?
    pub(crate) fn is_idle(&self, alert: &str) -> bool {
        !self.busy.contains(alert) && self.entries.values().all(|e| e.notification.alert != alert)
    }

    /// The next one to deliver, taken as being delivered until [`Self::release`].
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<(u64, Notification)> {
        if !self.is_open(now) {
            return None;
        }
        let (seq, entry) = self
            .first_of_each()
            .filter(|(_, e)| e.next_at <= now)
            .min_by_key(|(seq, e)| (e.next_at, *seq))?;
        let notification = entry.notification.clone();
        self.occupy([notification.alert.clone()]);
        Some((seq, notification))
    }

    /// The first of each alert of which nothing is being delivered.
    fn first_of_each(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let mut seen = HashSet::new();
        self.entries
            .iter()
            .filter(move |(_, entry)| seen.insert(&entry.notification.alert))
            .filter(|(_, entry)| !self.busy.contains(&entry.notification.alert))
            .map(|(seq, entry)| (*seq, entry))
    }

    /// One delivery begins, of these alerts.
    pub(crate) fn occupy(&mut self, alerts: impl IntoIterator<Item = String>) {
        self.deliveries += 1;
        self.busy.extend(alerts);
    }

    /// One delivery ended, however.
    pub(crate) fn release(&mut self, alerts: &[String]) {
        self.deliveries = self.deliveries.saturating_sub(1);
        for alert in alerts {
            self.busy.remove(alert);
        }
    }

    /// When something can be taken next, if nothing can now and no delivery ends before.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        let entry = self.first_of_each().map(|(_, entry)| entry.next_at).min();
        let next = entry.into_iter().chain(self.resend_at).min()?;
        Some(self.hold_until.map_or(next, |until| until.max(next)))
    }

    /// A delivery succeeded.
    pub(crate) fn succeeded(&mut self, now: Timestamp) {
        self.failures = 0;
        self.hold_until = None;
        self.last_failure = None;
        self.last_delivery = Some(now);
    }

    /// A delivery failed. Says how long to wait.
    pub(crate) fn failed(
        &mut self,
        retry: &Retry,
        asked: Option<Duration>,
        reason: String,
        now: Timestamp,
        random: u32,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.failed_attempts += 1;
        let pause = retry.pause(self.failures, random).max(
            asked
                .and_then(|wait| SignedDuration::try_from(wait).ok())
                .unwrap_or_default(),
        );
        self.hold_until = now.checked_add(pause).ok();
        self.last_failure = Some(Failure { at: now, reason });
    }

    /// An entry after one more failed attempt.
    pub(crate) fn retried(&self, seq: u64, retry: &Retry, now: Timestamp, random: u32) -> Option<Entry> {
        let mut entry = self.entries.get(&seq)?.clone();
        entry.attempts += 1;
        entry.next_at = now
            .checked_add(retry.pause(entry.attempts, random))
            .unwrap_or(Timestamp::MAX);
        Some(entry)
    }

    /// What has to go before one more may wait. None where there is room; else the first of these that
    /// there is, of what isn't being delivered:
    ///
    /// 1. the oldest pair of an alert that fired and resolved: its receiver knows nothing of either;
    /// 2. the oldest that resolved;
    /// 3. the oldest.
    pub(crate) fn victims(&self) -> Vec<u64> {
        if self.entries.len() < WAITING_MAX {
            return Vec::new();
        }
        let resolved: Vec<(u64, &str)> = self
            .entries
            .iter()
            .filter(|(_, e)| e.notification.status == Status::Resolved)
            .map(|(seq, e)| (*seq, e.notification.alert.as_str()))
            .filter(|(_, alert)| !self.busy.contains(*alert))
            .collect();
        let pair = resolved.iter().find_map(|(seq, alert)| {
            let (before, _) =
                self.entries.range(..seq).rev().find(|(_, e)| {
                    e.notification.alert == *alert && e.notification.status == Status::Firing
                })?;
            Some(vec![*before, *seq])
        });
        pair.or_else(|| resolved.first().map(|(seq, _)| vec![*seq]))
            .or_else(|| self.first_of_each().next().map(|(seq, _)| vec![seq]))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry(alert: &str, status: Status) -> Entry {
        let mut notification = Notification::test(alert.to_owned(), "acme", at(0));
        notification.status = status;
        Entry::new(notification, at(0))
    }

    fn lane(entries: impl IntoIterator<Item = (String, Status)>) -> Lane {
        let mut lane = Lane::default();
        for (seq, (alert, status)) in (0..).zip(entries) {
            lane.entries.insert(seq, entry(&alert, status));
        }
        lane
    }

    #[test]
    fn one_alert_goes_in_order_and_others_beside_it() {
        use Status::{Firing, Resolved};
        let mut lane = lane([("a", Firing), ("a", Resolved), ("b", Firing)].map(|(a, s)| (a.to_owned(), s)));
        lane.succeeded(at(0));
        assert_eq!(lane.take(at(0)).unwrap().0, 0);
        assert_eq!(lane.take(at(0)).unwrap().0, 2);
        assert_eq!(lane.take(at(0)), None);
        lane.entries.remove(&0);
        lane.release(&["a".to_owned()]);
        assert_eq!(lane.take(at(0)).unwrap().0, 1);
    }

    #[test]
    fn what_fails_is_tried_alone_and_later_and_after_the_others() {
        let retry = Retry::default();
        let mut lane = lane((0..9).map(|i| (format!("a{i}"), Status::Firing)));
        assert_eq!(lane.take(at(0)).unwrap().0, 0);
        assert_eq!(lane.take(at(0)), None, "nobody knows yet whether it works");
        lane.release(&["a0".to_owned()]);
        lane.succeeded(at(0));
        for seq in 0..IN_FLIGHT_MAX as u64 {
            assert_eq!(lane.take(at(0)).unwrap().0, seq);
        }
        assert_eq!(lane.take(at(0)), None, "too many side by side");
        for seq in 0..IN_FLIGHT_MAX as u64 {
            let entry = lane.retried(seq, &retry, at(0), u32::MAX).unwrap();
            lane.entries.insert(seq, entry);
            lane.failed(&retry, None, "down".to_owned(), at(0), u32::MAX);
            lane.release(&[format!("a{seq}")]);
        }
        // 1 s, 2 s, 4 s, 8 s: the receiver failed four times in a row.
        assert_eq!(lane.take(at(7)), None);
        assert_eq!(lane.next_at(), Some(at(8)));
        assert_eq!(lane.take(at(8)).unwrap().0, 4, "never tried yet");
        assert_eq!(lane.take(at(8)), None, "one at a time");
        lane.release(&["a4".to_owned()]);
        lane.succeeded(at(8));
        lane.entries.remove(&4);
        assert_eq!(lane.take(at(8)).unwrap().0, 5);
        assert_eq!(lane.take(at(8)).unwrap().0, 6);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_are_spread() {
        let retry = Retry::default();
        for (failures, longest) in [
            (1, 1),
            (2, 2),
            (5, 16),
            (10, 512),
            (11, 900),
            (50, 900),
            (u32::MAX, 900),
        ] {
            assert_eq!(
                retry.pause(failures, u32::MAX),
                SignedDuration::from_secs(longest)
            );
            assert_eq!(
                retry.pause(failures, 0),
                SignedDuration::from_millis(500 * longest)
            );
        }
        let mut lane = Lane::default();
        lane.failed(&retry, Some(Duration::from_secs(60)), "busy".to_owned(), at(0), 0);
        assert!(!lane.is_open(at(59)) && lane.is_open(at(60)));
    }

    #[test]
    fn a_full_lane_drops_what_is_missed_least() {
        use Status::{Firing, Resolved};
        let full = |begin: &[(&str, Status)]| {
            let begin = begin.iter().map(|(a, s)| ((*a).to_owned(), *s));
            lane(
                begin
                    .chain((0..).map(|i| (format!("x{i}"), Firing)))
                    .take(WAITING_MAX),
            )
        };
        assert!(
            lane((1..WAITING_MAX).map(|i| (format!("x{i}"), Firing)))
                .victims()
                .is_empty()
        );
        assert_eq!(
            full(&[("a", Firing), ("b", Resolved), ("a", Resolved)]).victims(),
            [0, 2]
        );
        assert_eq!(full(&[("a", Firing), ("b", Resolved)]).victims(), [1]);
        let mut busy = full(&[("a", Firing), ("b", Firing)]);
        assert_eq!(busy.victims(), [0]);
        assert_eq!(busy.take(at(0)).unwrap().0, 0);
        assert_eq!(busy.victims(), [1]);
    }
}
