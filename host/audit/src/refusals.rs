//! Refusals on their way to the log, which anyone may cause as often as they like.
//!
//! Repeats within a second become one record with a count. Each tenant, and all requests without
//! one together, may cause so many records at once and so many a second; what goes beyond is
//! counted, and the count is a record too. So a flood costs a record in ten seconds, hides no other
//! tenant's refusals, and waits for nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::record::{Actor, Event, Outcome};

/// For how long repeats are gathered.
const WINDOW: Duration = Duration::from_secs(1);
/// Records that one tenant's refusals may make at once: a script that tries every name of a page.
const BURST: u32 = 100;
/// Records a second that one tenant's refusals may make for long: 6 MB a day, of which a log of the
/// default size holds half a year.
const RECORDS_PER_SECOND: f64 = 0.1;
/// Distinct refusals gathered at a time, of all tenants: about 4 MB.
const PENDING_MAX: usize = 4096;
/// Tenants with a rate of their own at a time; those beyond share that of requests without one.
const TENANTS_MAX: usize = 4096;

/// A refusal and how often it happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gathered {
    pub(crate) event: Event,
    /// When it happened first.
    pub(crate) time: Timestamp,
    pub(crate) count: u64,
}

/// What makes two refusals the same: tenant, actor, action, resource and code.
type Key = (Option<String>, Actor, String, String, Option<String>);

/// The refusals of the current window.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    pending: Vec<Gathered>,
    /// Where in `pending` each is.
    places: HashMap<Key, usize>,
    rates: HashMap<Option<String>, Rate>,
    /// When the window began.
    began: Option<Instant>,
}

/// What one tenant may still write.
#[derive(Debug)]
struct Rate {
    tokens: f64,
    at: Instant,
    /// Refusals beyond the rate, not yet on the record.
    beyond: u64,
}

impl Rate {
    fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * RECORDS_PER_SECOND;
        self.tokens = (self.tokens + earned).min(f64::from(BURST));
        self.at = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    /// Nothing that would be lost with it?
    fn is_idle(&self, now: Instant) -> bool {
        let full_after = (f64::from(BURST) - self.tokens) / RECORDS_PER_SECOND;
        self.beyond == 0 && now.saturating_duration_since(self.at).as_secs_f64() >= full_after
    }
}

impl Refusals {
    /// Take a refusal, within the limits on its texts. Is it the first of a window?
    pub(crate) fn add(&mut self, event: Event, time: Timestamp, now: Instant) -> bool {
        let opens = self.began.is_none();
        self.began.get_or_insert(now);
        let key = (
            event.tenant.clone(),
            event.actor.clone(),
            event.action.clone(),
            event.resource.clone(),
            event.code.clone(),
        );
        if let Some(gathered) = self.places.get(&key).and_then(|at| self.pending.get_mut(*at)) {
            gathered.count = gathered.count.saturating_add(1);
            return opens;
        }
        let room = self.pending.len() < PENDING_MAX;
        let rate = self.rate(event.tenant.clone(), now);
        // Once some were only counted, the next record is that count.
        if !room || rate.beyond > 0 || !rate.take(now) {
            rate.beyond = rate.beyond.saturating_add(1);
            return opens;
        }
        self.places.insert(key, self.pending.len());
        self.pending.push(Gathered {
            event,
            time,
            count: 1,
        });
        opens
    }

    fn rate(&mut self, tenant: Option<String>, now: Instant) -> &mut Rate {
        let full = self.rates.len() >= TENANTS_MAX && !self.rates.contains_key(&tenant);
        match self.rates.entry(if full { None } else { tenant }) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Rate {
                tokens: f64::from(BURST),
                at: now,
                beyond: 0,
            }),
        }
    }

    /// How long until the window ends; none where there is nothing to write.
    pub(crate) fn due_in(&self, now: Instant) -> Option<Duration> {
        self.began
            .map(|began| WINDOW.saturating_sub(now.saturating_duration_since(began)))
    }

    /// End the window: what is to be written, in the order in which it began. `all` writes the
    /// counts of what went beyond a rate even where the rate doesn't allow it yet.
    pub(crate) fn take(&mut self, time: Timestamp, now: Instant, all: bool) -> Vec<Gathered> {
        self.places.clear();
        let mut taken = std::mem::take(&mut self.pending);
        for (tenant, rate) in &mut self.rates {
            if rate.beyond > 0 && (rate.take(now) || all) {
                taken.push(Gathered {
                    event: beyond(tenant.clone()),
                    time,
                    count: std::mem::take(&mut rate.beyond),
                });
            }
        }
        let waiting = self.rates.values().any(|rate| rate.beyond > 0);
        self.began = waiting.then_some(now);
        self.rates.retain(|_, rate| !rate.is_idle(now));
        taken
    }

    /// What could not be written is counted, to be written when that works again.
    pub(crate) fn put_back(&mut self, taken: Vec<Gathered>, now: Instant) {
        for gathered in taken {
            let rate = self.rate(gathered.event.tenant, now);
            rate.beyond = rate.beyond.saturating_add(gathered.count);
            self.began.get_or_insert(now);
        }
    }
}

/// The record of refusals that were only counted.
fn beyond(tenant: Option<String>) -> Event {
    let mut event = Event::of_host(
        "audit.refusals-counted",
        String::new(),
        Outcome::Refused,
        "more refusals than are recorded singly, or that could not be written when they happened".to_owned(),
    );
    event.tenant = tenant;
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(tenant: Option<&str>, resource: &str) -> Event {
        let mut event = Event::of_host("x", resource.to_owned(), Outcome::Refused, String::new());
        event.tenant = tenant.map(str::to_owned);
        event
    }

    fn counts(taken: &[Gathered]) -> Vec<(Option<&str>, &str, u64)> {
        taken
            .iter()
            .map(|g| (g.event.tenant.as_deref(), g.event.resource.as_str(), g.count))
            .collect()
    }

    #[test]
    fn repeats_become_one_record_with_a_count() {
        let (start, time) = (Instant::now(), Timestamp::now());
        let mut refusals = Refusals::default();
        assert_eq!(refusals.due_in(start), None);
        assert!(refusals.add(refusal(Some("a"), "r"), time, start));
        assert!(!refusals.add(refusal(Some("a"), "r"), time, start));
        assert!(!refusals.add(refusal(Some("b"), "r"), time, start));
        assert!(!refusals.add(refusal(None, "s"), time, start));
        let late = start + Duration::from_millis(400);
        assert_eq!(refusals.due_in(late), Some(Duration::from_millis(600)));
        assert_eq!(
            counts(&refusals.take(time, late, false)),
            [(Some("a"), "r", 2), (Some("b"), "r", 1), (None, "s", 1)]
        );
        assert_eq!(refusals.due_in(late), None);
    }

    #[test]
    fn a_flood_costs_a_record_in_ten_seconds_and_hides_no_other_tenant() {
        let (start, time) = (Instant::now(), Timestamp::now());
        let mut refusals = Refusals::default();
        let mut records = 0;
        let mut counted = 0;
        for second in 0..100 {
            let now = start + second * WINDOW;
            for n in 0..1000 {
                refusals.add(refusal(None, &format!("{second}/{n}")), time, now);
            }
            refusals.add(refusal(Some("quiet"), &format!("{second}")), time, now);
            let taken = refusals.take(time, now + WINDOW, second == 99);
            let (quiet, flood): (Vec<_>, Vec<_>) = counts(&taken)
                .into_iter()
                .partition(|(tenant, ..)| tenant.is_some());
            assert_eq!(quiet.len(), 1, "{quiet:?}");
            records += flood.len();
            counted += flood.iter().map(|(_, _, count)| count).sum::<u64>();
        }
        assert_eq!(counted, 100_000);
        assert!(records <= BURST as usize + 11, "{records}");
        // Idle tenants are forgotten.
        refusals.take(time, start + Duration::from_secs(5000), false);
        assert!(refusals.rates.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let (start, time) = (Instant::now(), Timestamp::now());
        let mut refusals = Refusals::default();
        let total = 3 * TENANTS_MAX as u64;
        for n in 0..total {
            refusals.add(refusal(Some(&n.to_string()), "r"), time, start);
        }
        assert!(refusals.pending.len() <= PENDING_MAX && refusals.rates.len() <= TENANTS_MAX + 1);
        let counted: u64 = refusals.take(time, start, true).iter().map(|g| g.count).sum();
        assert_eq!(counted, total);
    }

    #[test]
    fn what_could_not_be_written_is_counted() {
        let (start, time) = (Instant::now(), Timestamp::now());
        let mut refusals = Refusals::default();
        refusals.add(refusal(Some("a"), "r"), time, start);
        refusals.add(refusal(Some("a"), "s"), time, start);
        let taken = refusals.take(time, start, false);
        refusals.put_back(taken, start);
        assert_eq!(counts(&refusals.take(time, start, false)), [(Some("a"), "", 2)]);
    }
}
