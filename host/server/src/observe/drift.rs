//! Drift among the metrics: what each monitor said last, of a window or when it was asked.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use caisson_metrics::{Exposition, catalogue as metric};
use caisson_monitoring::report::{DriftWindow, Status};
use caisson_sandbox::DriftStatus;
use caisson_serving::Revision;
use jiff::Timestamp;

use crate::app::App;

/// What a monitor said.
struct Said {
    /// Since 1970.
    at: Duration,
    score: Option<f64>,
    /// None without enough data.
    status: Option<u64>,
}

pub(super) fn expose(app: &App, tenant: &str, revision: &Revision, to: &mut Exposition) {
    let name = revision.name();
    let (rows, dropped) = app.monitoring.counts(tenant, name);
    for (outcome, rows) in [("taken", rows.taken), ("late", rows.late), ("ahead", rows.ahead)] {
        to.count(&metric::MONITORING_ROWS, &[tenant, name, outcome], rows);
    }
    let reasons = [
        ("memory", dropped.memory),
        ("rows", dropped.rows),
        ("revision", dropped.revision),
    ];
    for (reason, rows) in reasons {
        to.count(&metric::MONITORING_DROPPED_ROWS, &[tenant, name, reason], rows);
    }
    let windows = app.monitoring.dropped_windows(tenant, name);
    to.count(&metric::MONITORING_DROPPED_WINDOWS, &[tenant, name], windows);

    let newest = app.monitoring.newest(tenant, name);
    let whole = newest
        .iter()
        .flat_map(|newest| &newest.drift)
        .filter(|((_, segment), _)| segment.is_none())
        .map(|(_, window)| window);
    let mut latest = asked(revision);
    for window in whole {
        let alarm = u64::from(window.alarm.raised);
        to.count(&metric::DRIFT_ALARM, &[tenant, name, &window.monitor], alarm);
        let Some(said) = of_window(window) else { continue };
        if latest
            .get(&window.monitor)
            .is_none_or(|asked| asked.at <= said.at)
        {
            latest.insert(window.monitor.clone(), said);
        }
    }
    for (monitor, said) in &latest {
        let labels = [tenant, name, monitor.as_str()];
        to.value(&metric::DRIFT_CHECKED_SECONDS, &labels, said.at.as_secs_f64());
        if let Some(score) = said.score {
            to.value(&metric::DRIFT_SCORE, &labels, score);
        }
        if let Some(status) = said.status {
            to.count(&metric::DRIFT_STATUS, &labels, status);
        }
    }
}

/// What monitors said when a caller asked them.
fn asked(revision: &Revision) -> BTreeMap<String, Said> {
    let Some(seen) = revision.vitals().drift() else {
        return BTreeMap::new();
    };
    let at = seen.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let said = seen.monitors.iter().map(|said| {
        let status = match said.status {
            DriftStatus::Stable => Some(0),
            DriftStatus::Warn => Some(1),
            DriftStatus::Drifted => Some(2),
            DriftStatus::InsufficientData => None,
        };
        let score = said.score;
        (said.monitor.clone(), Said { at, score, status })
    });
    said.collect()
}

fn of_window(window: &DriftWindow) -> Option<Said> {
    let at: Timestamp = window.closed_at.parse().ok()?;
    Some(Said {
        at: at.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs(),
        score: window.score,
        status: match window.status {
            Status::Stable => Some(0),
            Status::Warn => Some(1),
            Status::Drifted => Some(2),
            Status::InsufficientData => None,
        },
    })
}
