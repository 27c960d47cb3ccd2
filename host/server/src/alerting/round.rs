//! One evaluation: every live deployment is sampled, and every rule gets the values of its window.
//!
//! A rule's values carry the rule's name, as two rules may look at one metric over different windows.
//! What monitors said is handed over once: it is as of the time at which they said it, and no news later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use caisson_alerts::{Alerts, OBSERVATIONS_MAX, Observation, Period, Rule, Window};
use caisson_registry::TenantId;
use caisson_serving::{Reading, Revision, Serving};
use jiff::Timestamp;

use super::catalogue::{MONITOR, measure, verdicts};
use super::windows;
use crate::app::App;

/// What was handed over before.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<TenantId, SeenOf>);

#[derive(Debug, Default)]
struct SeenOf {
    /// The rules that saw it; others have yet to.
    rules: Vec<Rule>,
    /// When the monitors of each deployment said what was handed over.
    drift: HashMap<String, SystemTime>,
}

/// Evaluate the rules of all tenants that serve something.
pub(super) fn run(app: &App, seen: &mut Seen) {
    let (serving, monitoring, alerts, truth) = (&app.serving, &app.monitoring, &app.alerts, &app.truth);
    let now = Now::read();
    let mut tenants: BTreeMap<TenantId, Vec<Arc<Revision>>> = BTreeMap::new();
    for (tenant, revision) in serving.all() {
        revision.vitals().sample(now.instant);
        tenants.entry(tenant).or_default().push(revision);
    }
    let catalogue = super::catalogue();
    let window = |rule: &Rule| catalogue.window(rule);
    end_gone(serving, alerts, now.time);
    seen.0.retain(|tenant, _| tenants.contains_key(tenant));
    for (tenant, revisions) in tenants {
        let rules = alerts.rules(tenant.as_str());
        if rules.is_empty() {
            seen.0.remove(&tenant);
            continue;
        }
        let of = seen.0.entry(tenant.clone()).or_default();
        if of.rules != rules {
            of.drift.clear();
            of.rules.clone_from(&rules);
        }
        of.drift
            .retain(|name, _| revisions.iter().any(|r| r.name() == name));
        let mut found = Vec::new();
        let mut newest = Vec::new();
        for revision in &revisions {
            found.extend(of_windows(&rules, window, revision, now));
            found.extend(super::performance::of(truth, &tenant, revision));
            // Values are taken in once, by their times.
            if let Some(newest) = monitoring.newest(tenant.as_str(), revision.name()) {
                found.extend(windows::values(&rules, revision, &newest));
            }
            if let Some((at, said)) = of_monitors(revision, of.drift.get(revision.name())) {
                found.extend(said);
                newest.push((revision.name().to_owned(), at));
            }
        }
        if hand_over(alerts, &tenant, &found, now.time) {
            of.drift.extend(newest);
        }
    }
}

/// End alerts on deployments that were deleted.
fn end_gone(serving: &Serving, alerts: &Alerts, now: Timestamp) {
    let exists = |tenant: &str, name: &str| serving.knows(tenant, name);
    if let Err(error) = alerts.retain_deployments(exists, now) {
        tracing::error!(%error, "alerts on deleted deployments can't be ended");
    }
}

/// One time on both clocks.
#[derive(Debug, Clone, Copy)]
struct Now {
    instant: Instant,
    time: Timestamp,
}

impl Now {
    fn read() -> Self {
        Self {
            instant: Instant::now(),
            time: Timestamp::now(),
        }
    }

    fn before(self, ago: Duration) -> Timestamp {
        self.time.saturating_sub(ago).unwrap_or(self.time)
    }
}

/// Take values in; false where that has to be done again.
fn hand_over(alerts: &Alerts, tenant: &TenantId, found: &[Observation], now: Timestamp) -> bool {
    let mut refused = 0;
    for chunk in found.chunks(OBSERVATIONS_MAX) {
        match alerts.observe(tenant.as_str(), chunk, now) {
            Ok(observed) => refused += observed.refused,
            Err(error) => {
                tracing::error!(%tenant, %error, "alert rules can't be compared with what was measured");
                return false;
            }
        }
    }
    if refused > 0 {
        tracing::warn!(%tenant, refused, "values were left out: the tenant has too many alerts; its rules should cover less");
    }
    true
}

/// The values of rules over windows.
fn of_windows(
    rules: &[Rule],
    window: impl Fn(&Rule) -> Option<Period>,
    revision: &Revision,
    now: Now,
) -> Vec<Observation> {
    let mut readings: BTreeMap<Period, Option<Reading>> = BTreeMap::new();
    let mut found = Vec::new();
    for rule in rules
        .iter()
        .filter(|rule| rule.deployment.matches(revision.name()))
    {
        let Some(length) = window(rule) else { continue };
        let read = || revision.vitals().over(length.get().unsigned_abs(), now.instant);
        let Some(reading) = readings.entry(length).or_insert_with(read) else {
            continue;
        };
        let Some(value) = measure(&rule.metric.metric, reading) else {
            continue;
        };
        let from = now.before(reading.starts_ago);
        let to = now.before(reading.ends_ago);
        found.push(Observation {
            rule: Some(rule.name.clone()),
            window: Some(Window { from, to }),
            ..observation(&rule.metric.metric, revision, value, to)
        });
    }
    found
}

/// The values of what monitors said since `before`, and when.
fn of_monitors(revision: &Revision, before: Option<&SystemTime>) -> Option<(SystemTime, Vec<Observation>)> {
    let drift = revision
        .vitals()
        .drift()
        .filter(|drift| Some(&drift.at) != before)?;
    let at = Timestamp::try_from(drift.at).ok()?;
    let said = drift.monitors.iter().flat_map(|said| {
        verdicts(said).map(move |(metric, value)| Observation {
            params: [(MONITOR.to_owned(), said.monitor.clone())].into(),
            ..observation(metric, revision, value, at)
        })
    });
    Some((drift.at, said.collect()))
}

pub(super) fn observation(metric: &str, revision: &Revision, value: f64, at: Timestamp) -> Observation {
    Observation {
        metric: metric.to_owned(),
        params: BTreeMap::new(),
        deployment: revision.name().to_owned(),
        segment: BTreeMap::new(),
        rule: None,
        value,
        at,
        window: None,
        evidence: Some(format!(
            "/v1/deployments/{}/revisions/{}",
            revision.name(),
            revision.number()
        )),
    }
}
