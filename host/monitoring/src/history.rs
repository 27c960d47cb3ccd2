//! Windows that closed, as records.
//!
//! Key `monitoring-window/{tenant}/{deployment}/{number}`, numbers in the order in which windows were
//! judged. Of each monitor, and of the statistics, in each segment, the latest [`SERIES_MAX`] are kept, and of
//! a deployment the latest [`RECORDS_MAX`] within [`RECORD_BYTES_MAX`]; the oldest go first. A record carries
//! the alarm as it stood, which goes on from there after a restart.

use std::collections::{HashMap, VecDeque};

use caisson_quality::hysteresis::Hysteresis;
use caisson_store::record::{self, Record};
use caisson_store::{COMMIT_OPS_MAX, Expect, Op, PAGE_ENTRIES_MAX, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::deployment::Kept;
use crate::report::{DriftWindow, SegmentName, StatisticsWindow};

/// Windows of one monitor in one segment: three months of days, four days of hours.
pub const SERIES_MAX: usize = 100;
/// Windows of one deployment.
pub const RECORDS_MAX: usize = 4000;
/// Bytes of them.
pub const RECORD_BYTES_MAX: u64 = 32 << 20;
/// Bytes of one record, in a value of at most 112 KiB; features or columns beyond are left out and counted.
const ONE_BYTES_MAX: usize = 96 << 10;
/// Records written in one commit: sixteen of the largest fit one.
const COMMIT_RECORDS: usize = 16;

const KIND: &str = "monitoring-window";

/// A window that closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredWindow {
    pub(crate) number: u64,
    pub(crate) what: Told,
}

/// What was said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// By a monitor.
    Drift {
        /// What it said.
        window: Box<DriftWindow>,
        /// The alarm after it.
        alarm: Hysteresis,
        /// What made the verdict.
        identity: String,
    },
    /// In numbers.
    Statistics(Box<StatisticsWindow>),
}

impl Record for StoredWindow {
    const KIND: &'static str = "monitoring window";
    const FORMAT: u32 = 1;
}

impl Told {
    /// Which monitor, and which rows.
    pub(crate) fn series(&self) -> (Option<&str>, Option<&SegmentName>) {
        match self {
            Self::Drift { window, .. } => (Some(&window.monitor), window.segment.as_ref()),
            Self::Statistics(window) => (None, window.segment.as_ref()),
        }
    }

    /// Leave the last thing of its list out; false where nothing is left to leave out.
    fn shorten(&mut self) -> bool {
        match self {
            Self::Drift { window, .. } => {
                let keep = window.features.len() / 2;
                let cut = window.features.len() - keep;
                window.features.truncate(keep);
                window.features_left_out += cut as u64;
                cut > 0
            }
            Self::Statistics(window) => {
                let longer = match window.input.len() > window.predictions.len() {
                    true => &mut window.input,
                    false => &mut window.predictions,
                };
                let keep = longer.len() / 2;
                let cut = longer.len() - keep;
                longer.truncate(keep);
                window.columns_left_out += cut as u64;
                cut > 0
            }
        }
    }
}

fn folder(tenant: &str, deployment: &str) -> String {
    format!("{KIND}/{tenant}/{deployment}/")
}

fn key(tenant: &str, deployment: &str, number: u64) -> String {
    format!("{}{number:020}", folder(tenant, deployment))
}

/// Write windows down, oldest first, and remove those that are too many by then.
///
/// # Errors
///
/// The store; what was written by then is in `kept`.
pub(crate) fn append(
    store: &Store,
    (tenant, deployment): (&str, &str),
    kept: &mut VecDeque<Kept>,
    windows: Vec<Told>,
) -> Result<(), StoreError> {
    let mut number = kept.back().map_or(0, |last| last.number);
    let mut fresh = Vec::with_capacity(windows.len());
    for what in windows {
        number += 1;
        let mut window = StoredWindow { number, what };
        let mut bytes = record::encode(&window)?;
        while bytes.len() > ONE_BYTES_MAX && window.what.shorten() {
            bytes = record::encode(&window)?;
        }
        let (monitor, segment) = window.what.series();
        let entry = Kept {
            number,
            bytes: bytes.len() as u64,
            monitor: monitor.map(str::to_owned),
            segment: segment.cloned(),
        };
        let put = Op::put(key(tenant, deployment, number), Expect::Any, bytes);
        fresh.push((entry, put));
    }
    while !fresh.is_empty() {
        let rest = fresh.split_off(fresh.len().min(COMMIT_RECORDS));
        let (entries, ops): (Vec<Kept>, Vec<Op>) = fresh.into_iter().unzip();
        // Nothing is expected, so nothing conflicts.
        let _done = store.metadata().commit(&ops)?;
        kept.extend(entries);
        fresh = rest;
    }
    let gone = surplus(kept);
    remove(store, gone.iter().map(|number| key(tenant, deployment, *number)))?;
    kept.retain(|entry| !gone.contains(&entry.number));
    Ok(())
}

/// Numbers of the windows that are too many.
fn surplus(kept: &VecDeque<Kept>) -> std::collections::HashSet<u64> {
    let mut series: HashMap<(Option<&str>, Option<&SegmentName>), usize> = HashMap::new();
    let (mut records, mut bytes) = (0usize, 0u64);
    let mut gone = std::collections::HashSet::new();
    for entry in kept.iter().rev() {
        let of = series
            .entry((entry.monitor.as_deref(), entry.segment.as_ref()))
            .or_default();
        if *of >= SERIES_MAX || records >= RECORDS_MAX || bytes + entry.bytes > RECORD_BYTES_MAX {
            gone.insert(entry.number);
            continue;
        }
        *of += 1;
        records += 1;
        bytes += entry.bytes;
    }
    gone
}

fn remove(store: &Store, keys: impl Iterator<Item = String>) -> Result<(), StoreError> {
    let ops: Vec<Op> = keys.map(|key| Op::delete(key, Expect::Any)).collect();
    for part in ops.chunks(COMMIT_OPS_MAX) {
        let _done = store.metadata().commit(part)?;
    }
    Ok(())
}

/// Every window that is kept of a deployment, oldest first. One that can't be read is named in the log.
///
/// # Errors
///
/// The store.
pub(crate) fn all(store: &Store, tenant: &str, deployment: &str) -> Result<Vec<(Kept, Told)>, StoreError> {
    let prefix = folder(tenant, deployment);
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store
            .metadata()
            .scan(prefix.as_bytes(), after.as_deref(), PAGE_ENTRIES_MAX)?;
        for (key, value) in page.entries {
            match record::decode::<StoredWindow>(&key, &value) {
                Ok(stored) => {
                    let (monitor, segment) = stored.what.series();
                    let kept = Kept {
                        number: stored.number,
                        bytes: value.len() as u64,
                        monitor: monitor.map(str::to_owned),
                        segment: segment.cloned(),
                    };
                    all.push((kept, stored.what));
                }
                Err(error) => tracing::warn!(%error, "a window of a deployment can't be read"),
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// The window of a number; none where it went meanwhile.
///
/// # Errors
///
/// The store; a record that can't be read.
pub(crate) fn one(
    store: &Store,
    tenant: &str,
    deployment: &str,
    number: u64,
) -> Result<Option<Told>, StoreError> {
    let key = key(tenant, deployment, number);
    let stored = record::get::<StoredWindow>(store.metadata(), &key)?;
    Ok(stored.map(|stored| stored.record.what))
}

/// Remove all windows of a deployment, or of a tenant.
///
/// # Errors
///
/// The store.
pub(crate) fn forget(store: &Store, tenant: &str, deployment: Option<&str>) -> Result<(), StoreError> {
    let prefix = match deployment {
        Some(deployment) => folder(tenant, deployment),
        None => format!("{KIND}/{tenant}/"),
    };
    loop {
        let page = store.metadata().scan(prefix.as_bytes(), None, COMMIT_OPS_MAX)?;
        let ops: Vec<Op> = page
            .entries
            .into_iter()
            .map(|(key, _)| Op::delete(key, Expect::Any))
            .collect();
        if ops.is_empty() {
            return Ok(());
        }
        let _done = store.metadata().commit(&ops)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u64, monitor: Option<&str>, bytes: u64) -> Kept {
        Kept {
            number,
            bytes,
            monitor: monitor.map(str::to_owned),
            segment: None,
        }
    }

    #[test]
    fn a_chatty_monitor_does_not_push_the_others_out() {
        let mut all: VecDeque<Kept> = (0..3).map(|n| kept(n, Some("daily"), 10)).collect();
        all.extend((3..503).map(|n| kept(n, Some("chatty"), 10)));
        let gone = surplus(&all);
        assert_eq!(gone.len(), 400);
        assert!((3..403).all(|number| gone.contains(&number)));
    }

    #[test]
    fn bytes_are_bounded_and_the_oldest_go() {
        let all: VecDeque<Kept> = (0..10).map(|n| kept(n, None, RECORD_BYTES_MAX / 4)).collect();
        let gone = surplus(&all);
        assert_eq!(gone, (0..6).collect());
    }
}
