//! Values of performance: of the newest window that has enough labels, of all rows and of each segment.
//!
//! A window that gets more labels is stated anew, and its values are handed over again as of then.

use caisson_alerts::{Observation, Window};
use caisson_registry::TenantId;
use caisson_serving::Revision;
use caisson_truth::{MetricValue, Newest, SegmentName, Truth};

use super::catalogue::{DEGRADED, estimated};
use super::round::observation;
use crate::performance::measured;

/// What is known of a deployment.
pub(super) fn of(truth: &Truth, tenant: &TenantId, revision: &Revision) -> Vec<Observation> {
    if measured(revision).is_none() {
        return Vec::new();
    }
    let latest = truth.latest(tenant.as_str(), revision.name());
    let mut found = Vec::new();
    for newest in &latest.labelled {
        for (name, value) in &newest.part.metrics {
            found.extend(value_of(revision, newest, name, value));
        }
    }
    for newest in &latest.estimated {
        for (name, value) in &newest.part.estimates {
            let name = estimated(name);
            found.extend(name.and_then(|name| value_of(revision, newest, name, value)));
        }
    }
    if let Some(at) = latest.evaluated_at {
        found.extend(latest.alarms.iter().map(|alarm| Observation {
            segment: labels(alarm.segment.as_ref()),
            evidence: Some(evidence(revision)),
            ..observation(DEGRADED, revision, f64::from(u8::from(alarm.raised)), at)
        }));
    }
    found
}

fn value_of(revision: &Revision, newest: &Newest, name: &str, value: &MetricValue) -> Option<Observation> {
    Some(Observation {
        segment: labels(newest.part.segment.as_ref()),
        window: Some(Window {
            from: newest.window.start,
            to: newest.window.end,
        }),
        evidence: Some(evidence(revision)),
        ..observation(name, revision, value.value?, newest.evaluated_at)
    })
}

fn labels(segment: Option<&SegmentName>) -> std::collections::BTreeMap<String, String> {
    let label = segment.map(|segment| (segment.column.clone(), segment.text().to_owned()));
    label.into_iter().collect()
}

fn evidence(revision: &Revision) -> String {
    format!("/v1/deployments/{}/performance", revision.name())
}
