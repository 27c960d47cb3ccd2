//! Scores of labelled rows: in bins, and one by one while they are few.

use caisson_quality::Answer;
use caisson_quality::accumulator::{Accumulator as _, Mismatch};
use caisson_quality::multiclass::{BinnedMulticlass, MulticlassMetric, MulticlassScores, ScoredClasses};
use caisson_quality::scores::{BinnedScores, ScoreMetric, Scored, Scores};
use caisson_stats::bootstrap::{REPLICATES_MIN, Resampling};
use caisson_stats::interval::LEVEL;

use super::NO_ROW;

/// Rows whose scores are kept one by one: 1.6 MB. Beyond, bins are within half a percent.
const EXACT_ROWS_MAX: usize = 100_000;
/// The same for several classes, where intervals of areas come from resampling.
const EXACT_MULTICLASS_ROWS_MAX: usize = 2_000;

#[derive(Debug, Clone)]
pub(super) struct BinaryScores {
    pub(super) binned: BinnedScores,
    /// All of them, unless there were too many.
    pub(super) exact: Option<Vec<(f64, bool)>>,
}

#[derive(Debug, Clone)]
pub(super) struct ClassScores {
    pub(super) binned: BinnedMulticlass,
    pub(super) exact: Option<Vec<(usize, Vec<f64>)>>,
}

impl BinaryScores {
    pub(super) fn add(&mut self, score: Option<&f64>, label: bool) -> bool {
        let score = score.copied().unwrap_or(f64::NAN);
        self.binned.add(Scored {
            score,
            label: Some(label),
        });
        if !score.is_finite() {
            return false;
        }
        match &mut self.exact {
            Some(exact) if exact.len() < EXACT_ROWS_MAX => exact.push((score, label)),
            exact => *exact = None,
        }
        true
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        self.binned.merge(&other.binned)?;
        self.exact = match (self.exact.take(), &other.exact) {
            (Some(mut ours), Some(theirs)) if ours.len() + theirs.len() <= EXACT_ROWS_MAX => {
                ours.extend_from_slice(theirs);
                Some(ours)
            }
            _ => None,
        };
        Ok(())
    }

    pub(super) fn measure(&self, metric: ScoreMetric) -> (Answer, Option<f64>) {
        match &self.exact {
            Some(exact) => {
                let scored = exact.iter().map(|(score, label)| Scored {
                    score: *score,
                    label: Some(*label),
                });
                (Scores::new(scored).measure(metric, LEVEL), None)
            }
            None => {
                let within = self.binned.area_error(metric).filter(|error| *error > 0.0);
                (self.binned.measure(metric, LEVEL), within)
            }
        }
    }
}

impl ClassScores {
    pub(super) fn add(&mut self, scores: &[f64], label: Option<usize>) -> bool {
        let before = self.binned.unusable();
        let row = ScoredClasses {
            label,
            probabilities: scores,
        };
        self.binned.add(row);
        if self.binned.unusable() > before {
            return false;
        }
        match (&mut self.exact, label) {
            (Some(exact), Some(label)) if exact.len() < EXACT_MULTICLASS_ROWS_MAX => {
                exact.push((label, scores.to_vec()));
            }
            (exact, _) => *exact = None,
        }
        true
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        self.binned.merge(&other.binned)?;
        self.exact = match (self.exact.take(), &other.exact) {
            (Some(mut ours), Some(theirs)) if ours.len() + theirs.len() <= EXACT_MULTICLASS_ROWS_MAX => {
                ours.extend_from_slice(theirs);
                Some(ours)
            }
            _ => None,
        };
        Ok(())
    }

    pub(super) fn measure(&self, metric: MulticlassMetric) -> (Answer, Option<f64>) {
        let is_area = matches!(metric, MulticlassMetric::RocAuc { .. });
        if let (Some(exact), true) = (&self.exact, is_area) {
            let rows = exact.iter().map(|(label, probabilities)| ScoredClasses {
                label: Some(*label),
                probabilities,
            });
            let resampling = Resampling {
                replicates: REPLICATES_MIN,
                ..Resampling::default()
            };
            let scores = MulticlassScores::new(self.binned.classes().len(), rows);
            return (scores.measure(metric, LEVEL, resampling), None);
        }
        let errors = self.binned.classes().iter();
        let within = errors
            .filter_map(|class| class.area_error(ScoreMetric::RocAuc))
            .reduce(f64::max)
            .filter(|error| is_area && *error > 0.0);
        let answer = self.binned.measure(metric, LEVEL);
        (answer.unwrap_or(Err(NO_ROW)), within)
    }
}
