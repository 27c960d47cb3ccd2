//! What is newest: for rules that watch it, and while an evaluation is under way.

use std::collections::BTreeMap;

use caisson_quality::hysteresis::Hysteresis;
use jiff::Timestamp;

use super::state::{Newest, State};
use crate::result::{Alarm, SegmentName};
use crate::spec::PerformanceSpec;
use crate::truth::Truth;

/// The alarms of a deployment, all rows first.
pub(super) fn alarms(state: &State, performance: &PerformanceSpec) -> Vec<Alarm> {
    let mut all: BTreeMap<Option<SegmentName>, Hysteresis> = BTreeMap::new();
    for known in state.known.values() {
        for (segment, standing) in &known.outcomes {
            if !all.contains_key(segment) {
                // The numbers were checked.
                let Ok(new) = performance.alarm.hysteresis() else {
                    return Vec::new();
                };
                all.insert(segment.clone(), new);
            }
            if let Some(alarm) = all.get_mut(segment) {
                alarm.observe((*standing).into());
            }
        }
    }
    all.into_iter()
        .filter(|(segment, alarm)| segment.is_none() || alarm.recent().1 > 0)
        .map(|(segment, alarm)| Alarm {
            segment,
            raised: alarm.is_raised(),
            bad: alarm.recent().0,
            of: alarm.recent().1,
        })
        .collect()
}

/// What is newest, for rules that watch it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latest {
    /// Of each part the newest window with enough labels.
    pub labelled: Vec<Newest>,
    /// Of each part the newest window with estimates.
    pub estimated: Vec<Newest>,
    /// All alarms.
    pub alarms: Vec<Alarm>,
    /// When it was evaluated.
    pub evaluated_at: Option<Timestamp>,
}

impl Truth {
    /// What is newest of a deployment; nothing before its first evaluation since the start.
    pub fn latest(&self, tenant: &str, deployment: &str) -> Latest {
        self.0.states.of(tenant, deployment).shown().1
    }
}
