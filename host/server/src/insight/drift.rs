//! What monitors said of windows.

use std::collections::BTreeMap;

use caisson_diagnosis::evidence::{Drift, Feature, Target};
use caisson_diagnosis::{Absent, Event, EventKind};
use caisson_monitoring::report::{DriftWindow, FeatureVerdict, Status};
use caisson_quality::hysteresis::Change;
use caisson_serving::{Importance, MonitorTarget, Revision};
use jiff::Timestamp;

/// The newest window of each monitor, feature by feature. Windows come the newest first.
pub(super) fn evidence(
    windows: &[DriftWindow],
    revision: &Revision,
    importance: Option<&Importance>,
) -> (Vec<Feature>, Vec<Absent>) {
    let mut absent = Vec::new();
    let mut features = Vec::new();
    let monitors = &revision.spec().monitors;
    if monitors.is_empty() {
        absent.push(Absent {
            what: "Drift.".to_owned(),
            how: "The deployment has no monitors: add `monitors:` with a `window:` to its file.".to_owned(),
        });
    }
    for monitor in monitors {
        let mut of = windows
            .iter()
            .filter(|window| window.monitor == monitor.name && window.segment.is_none());
        let Some(newest) = of.next() else {
            absent.push(Absent {
                what: format!("Drift by monitor `{}`.", monitor.name),
                how: if monitor.window.is_some() {
                    "None of its windows has closed yet.".to_owned()
                } else {
                    "It judges no windows of live answers: give it a `window:`.".to_owned()
                },
            });
            continue;
        };
        if let Some(error) = &newest.error {
            absent.push(Absent {
                what: format!("Drift by monitor `{}`.", monitor.name),
                how: format!("Its check failed: {error}"),
            });
        }
        for verdict in &newest.features {
            let share = importance.and_then(|known| known.share_of(monitor.on, &verdict.feature));
            let since = since(windows, &monitor.name, &verdict.feature);
            features.push(feature(&monitor.name, monitor.on, verdict, share, since));
        }
    }
    (features, absent)
}

/// When the unbroken run of windows began in which a feature was as bad as in the newest.
fn since(windows: &[DriftWindow], monitor: &str, feature: &str) -> Option<Timestamp> {
    let verdicts = windows
        .iter()
        .filter(|window| window.monitor == monitor && window.segment.is_none())
        .map(|window| {
            let of = window.features.iter().find(|one| one.feature == feature);
            (window, of.map(|one| one.status))
        });
    let drifted = verdicts.take_while(|(_, status)| *status == Some(Status::Drifted));
    let (first, _) = drifted.last()?;
    // Windows of rows have no times of their own.
    let began = first.window.times().map(|(start, _)| start);
    began.or_else(|| first.closed_at.parse().ok())
}

fn feature(
    monitor: &str,
    on: MonitorTarget,
    verdict: &FeatureVerdict,
    importance: Option<f64>,
    since: Option<Timestamp>,
) -> Feature {
    Feature {
        name: verdict.feature.clone(),
        target: match on {
            MonitorTarget::Input => Target::Input,
            MonitorTarget::Features => Target::Features,
            MonitorTarget::Predictions => Target::Predictions,
        },
        monitor: monitor.to_owned(),
        status: match verdict.status {
            Status::Stable => Drift::Stable,
            Status::Warn => Drift::Warn,
            Status::Drifted => Drift::Drifted,
            Status::InsufficientData => Drift::Unknown,
        },
        method: verdict.method.clone(),
        statistic: verdict.statistic,
        threshold: verdict.threshold,
        p_value: verdict.p_value,
        detail: verdict.detail.clone(),
        missing_before: verdict.reference_missing_rate,
        missing_now: verdict.current_missing_rate,
        importance,
        since,
    }
}

/// Alarms that were raised, and that ended.
pub(super) fn events(windows: &[DriftWindow]) -> Vec<Event> {
    windows
        .iter()
        .filter_map(|window| {
            let verb = match window.alarm.change {
                Change::None => return None,
                Change::Raised => "raised",
                Change::Ended => "ended",
            };
            let of = window.segment.as_ref().map_or_else(String::new, |segment| {
                format!(" for {} = {}", segment.column, segment.shown())
            });
            Some(Event {
                at: window.closed_at.parse().ok()?,
                kind: EventKind::Drift,
                text: format!("monitor `{}` {verb} its alarm{of}", window.monitor),
                by: None,
            })
        })
        .collect()
}

/// One line a monitor and feature: the statistic of its windows of all rows, in the order of time.
pub(super) fn lines(
    windows: &[DriftWindow],
) -> BTreeMap<(String, String), Vec<(&DriftWindow, &FeatureVerdict)>> {
    let mut lines: BTreeMap<(String, String), Vec<_>> = BTreeMap::new();
    for window in windows.iter().rev().filter(|window| window.segment.is_none()) {
        for verdict in &window.features {
            let key = (window.monitor.clone(), verdict.feature.clone());
            lines.entry(key).or_default().push((window, verdict));
        }
    }
    lines
}
