//! Labels by what became of them.
//!
//! Labels are held by key, a bounded number at a time; the log's keys stream past them. Where there are
//! more, the same is done for one part of the keys after the other.

use std::collections::HashMap;

use caisson_predictions::LogReader;
use caisson_store::Objects;

use super::chunk::{Columns, labels, predictions};
use super::state::leave_out;
use crate::TruthError;
use crate::cells::Cells;
use crate::label::{Hashes, LabelKey};
use crate::result::LabelCounts;
use crate::spec::GroundTruthSpec;

/// Keys that are held at a time: 100 MB.
const KEYS_AT_ONCE: u64 = 500_000;

/// What is known of one key's labels.
struct Of {
    /// Of labels that are joined by key, when.
    time: Option<i64>,
    /// The hash of the newest value.
    value: u128,
    /// When each statement came, of which the first is in most cases the only one.
    received: Vec<i64>,
    matched: bool,
    /// Since when none is waited for.
    until: Option<i64>,
}

pub(super) fn count(
    (objects, log): (&Objects, &LogReader),
    (tenant, deployment): (&str, &str),
    truth: &GroundTruthSpec,
    columns: &Columns,
    files: &[String],
) -> Result<LabelCounts, TruthError> {
    let hashes = Hashes::default();
    let mut statements: u64 = 0;
    labels(objects, tenant, deployment, None, |_| statements += 1)?;
    let parts = u128::from(statements.div_ceil(KEYS_AT_ONCE).max(1));
    let mut counts = LabelCounts::default();
    for part in 0..parts {
        let mut keys: HashMap<u128, Vec<Of>> = HashMap::new();
        labels(objects, tenant, deployment, None, |label| {
            let (key, time) = match &label.key {
                LabelKey::Request { id, row } => (hashes.request(id, *row), None),
                LabelKey::Entity { entity, time } => (hashes.entity(entity), Some(*time)),
            };
            if key % parts != part {
                return;
            }
            let value = hashes.entity(&label.value);
            counts.duplicates += label.times.saturating_sub(1);
            let all = keys.entry(key).or_default();
            match all.iter_mut().find(|of| of.time == time) {
                Some(of) if of.value == value => counts.duplicates += 1,
                Some(of) => {
                    of.value = value;
                    of.received.push(label.received_at);
                    counts.restated += 1;
                }
                None => all.push(Of {
                    time,
                    value,
                    received: vec![label.received_at],
                    matched: false,
                    until: None,
                }),
            }
        })?;
        for path in files {
            let read = predictions(log, path, &columns.key_names(), |batch| {
                let (times, received) = (Cells::of(batch, "event_time"), Cells::of(batch, "received_at"));
                for (row, key) in columns.keys(batch, &hashes).into_iter().enumerate() {
                    let Some(all) = key.and_then(|key| keys.get_mut(&key)) else {
                        continue;
                    };
                    let (Some(received), time) = (received.micros(row), times.micros(row)) else {
                        continue;
                    };
                    let until = received.saturating_add(truth.lateness_micros());
                    for of in all {
                        let fits = match (of.time, time) {
                            (None, _) => true,
                            (Some(label), Some(time)) => {
                                (0..=truth.within_micros()).contains(&(label - time))
                            }
                            (Some(_), None) => false,
                        };
                        if fits {
                            of.matched = true;
                            of.until = of.until.max(Some(until));
                        }
                    }
                }
            });
            leave_out(path, read)?;
        }
        for of in keys.values().flatten() {
            let number = of.received.len() as u64;
            counts.labels += number;
            match of.matched {
                true => counts.matched += number,
                false => counts.unmatched += number,
            }
            let late = |received: &&i64| of.until.is_some_and(|until| **received > until);
            counts.late += of.received.iter().filter(late).count() as u64;
        }
    }
    Ok(counts)
}
