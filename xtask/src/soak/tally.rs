//! What each kind of client saw.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Problems that are kept to be told; the others are only counted.
const TOLD_MAX: usize = 5;

/// Counts that threads share.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

/// How often what was answered, and what should not have been.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) statuses: BTreeMap<u16, u64>,
    /// Cut off on purpose, so there was no answer.
    pub(super) unanswered: u64,
    pub(super) problems: u64,
    pub(super) told: Vec<String>,
}

impl Tally {
    /// One request: its status, nothing where none was waited for, or what is wrong.
    pub(super) fn note(&self, outcome: anyhow::Result<Option<u16>>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(Some(status)) => *counts.statuses.entry(status).or_default() += 1,
            Ok(None) => counts.unanswered += 1,
            Err(why) => {
                counts.problems += 1;
                if counts.told.len() < TOLD_MAX {
                    counts.told.push(format!("{why:#}"));
                }
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Counts {
    pub(super) fn requests(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.unanswered + self.problems
    }

    /// `200 × 51, 409 × 3`.
    pub(super) fn answers(&self) -> String {
        let mut all: Vec<String> = self
            .statuses
            .iter()
            .map(|(status, count)| format!("{status} × {count}"))
            .collect();
        if self.unanswered > 0 {
            all.push(format!("cut off × {}", self.unanswered));
        }
        all.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn everything_is_counted_and_some_is_told() {
        let tally = Tally::default();
        tally.note(Ok(Some(200)));
        tally.note(Ok(Some(200)));
        tally.note(Ok(Some(404)));
        tally.note(Ok(None));
        for number in 0..10 {
            tally.note(Err(anyhow!("wrong {number}")));
        }
        let counts = tally.counts();
        assert_eq!((counts.requests(), counts.problems), (14, 10));
        assert_eq!(counts.answers(), "200 × 2, 404 × 1, cut off × 1");
        assert_eq!(counts.told.len(), TOLD_MAX);
    }
}
