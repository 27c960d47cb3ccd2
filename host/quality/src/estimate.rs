//! How well does the model do, before labels arrive? An estimate from calibrated probabilities.
//!
//! If a row's probability `p` is right, the row is positive `p` of the time: a row predicted positive
//! adds `p` to the expected true positives and `1 − p` to the false ones, and so on. The expected
//! confusion matrix gives accuracy, precision, recall and F1; the expected number of pairs in order
//! gives the area under the ROC curve (confidence-based performance estimation; J. Białek, W. Kuberski,
//! N. Perrakis and A. Bifet, 2023).
//!
//! **It is an estimate, and of one kind of change only.** It sees that rows moved to where the model is
//! less sure. It doesn't see that the same rows now have other labels (concept drift): only labels show
//! that. Its interval holds the chance in this window's labels, and the calibration's error on rows that
//! it hadn't seen.
//!
//! State is bins and sums: mergeable, at a size that doesn't grow (13 KB).

use caisson_stats::interval::{Interval, Method, logit, normal};
use caisson_stats::ranks::{Area, Tie};
use serde::{Deserialize, Serialize};

use crate::accumulator::{Accumulator, Mismatch};
use crate::answer::{Answer, Undefined, measure};
use crate::calibrator::Calibrator;
use crate::scores::{RANK_BINS, rank_bin};

/// What can be estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EstimatedMetric {
    /// Share of rows whose predicted label is right.
    Accuracy,
    /// Of the rows predicted positive, the share that is.
    Precision,
    /// Of the positive rows, the share that is predicted so.
    Recall,
    /// Harmonic mean of the two.
    F1,
    /// Area under the ROC curve.
    RocAuc,
}

/// Sums over rows with one predicted label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Side {
    rows: f64,
    /// Σ p.
    positives: f64,
    /// Σ p (1 − p).
    spread: f64,
}

impl Side {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.positives += other.positives;
        self.spread += other.spread;
    }

    fn of(probability: f64) -> Self {
        Self {
            rows: 1.0,
            positives: probability,
            spread: probability * (1.0 - probability),
        }
    }
}

/// Estimated performance of rows without labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    calibrator: Calibrator,
    held_out_error: f64,
    threshold: f64,
    /// Rows by calibrated probability.
    bins: Vec<Side>,
    predicted_positive: Side,
    predicted_negative: Side,
    unusable: u64,
}

impl Estimate {
    /// Of a model that predicts the positive label from a score of `threshold` on, with a calibrator
    /// fitted on its reference and that one's [`held_out_error`](Calibrator::held_out_error).
    pub fn new(calibrator: Calibrator, held_out_error: f64, threshold: f64) -> Self {
        Self {
            calibrator,
            held_out_error: held_out_error.clamp(0.0, 1.0),
            threshold,
            bins: vec![Side::default(); RANK_BINS],
            predicted_positive: Side::default(),
            predicted_negative: Side::default(),
            unusable: 0,
        }
    }

    /// Rows that were used.
    pub fn rows(&self) -> u64 {
        (self.predicted_positive.rows + self.predicted_negative.rows) as u64
    }

    /// Rows without a finite score.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }

    /// The expected confusion matrix, `[[true negatives, false positives], [false negatives, true
    /// positives]]`.
    pub fn expected(&self) -> [[f64; 2]; 2] {
        let (yes, no) = (self.predicted_positive, self.predicted_negative);
        [
            [no.rows - no.positives, yes.rows - yes.positives],
            [no.positives, yes.positives],
        ]
    }

    /// The estimate with its interval.
    ///
    /// # Errors
    ///
    /// [`Undefined`] without a row; precision where none is predicted positive; recall, F1 and the area
    /// where a label isn't expected at all.
    pub fn measure(&self, metric: EstimatedMetric, level: f64) -> Answer {
        let rows = self.rows();
        if rows == 0 {
            return Err(Undefined::TooFew { rows: 0, needed: 1 });
        }
        let (yes, no) = (self.predicted_positive, self.predicted_negative);
        let no_label = |label: &str| Undefined::NoLabel { label: label.into() };
        // Value, and how it moves with true positives and with false negatives.
        let (hits, misses) = (yes.positives, no.positives);
        let (value, by_hits, by_misses) = match metric {
            EstimatedMetric::RocAuc => return self.area(level),
            EstimatedMetric::Accuracy => {
                let n = rows as f64;
                ((hits + no.rows - misses) / n, 1.0 / n, -1.0 / n)
            }
            EstimatedMetric::Precision if yes.rows == 0.0 => {
                return Err(Undefined::NeverPredicted { label: "1".into() });
            }
            EstimatedMetric::Precision => (hits / yes.rows, 1.0 / yes.rows, 0.0),
            EstimatedMetric::Recall => {
                let all = hits + misses;
                if all <= 0.0 {
                    return Err(no_label("1"));
                }
                (hits / all, misses / (all * all), -hits / (all * all))
            }
            EstimatedMetric::F1 => {
                let all = yes.rows + hits + misses;
                if all <= 0.0 {
                    return Err(no_label("1"));
                }
                let value = 2.0 * hits / all;
                (value, (2.0 - value) / all, -value / all)
            }
        };
        // Each label is drawn by its own probability; the two sides are independent.
        let error = (by_hits * by_hits * yes.spread + by_misses * by_misses * no.spread).sqrt();
        let bias = self.held_out_error * (by_hits.abs() * yes.rows + by_misses.abs() * no.rows);
        let interval = normal(value, error, level, Method::Delta).map(|i| widen(i, bias));
        measure(value, interval, rows)
    }

    fn area(&self, level: f64) -> Answer {
        let tie = |bin: &Side| Tie {
            positives: bin.positives,
            negatives: bin.rows - bin.positives,
        };
        let ties: Vec<Tie> = self.bins.iter().filter(|bin| bin.rows > 0.0).map(tie).collect();
        let positives: f64 = ties.iter().map(|tie| tie.positives).sum();
        let negatives: f64 = ties.iter().map(|tie| tie.negatives).sum();
        let missing = || Undefined::NoLabel {
            label: if positives <= 0.0 { "1" } else { "0" }.into(),
        };
        let area = Area::new(&ties).ok_or_else(missing)?;
        // A row can't be in a pair with itself: such pairs are in a tie, where they count half.
        let with_itself: f64 = self.bins.iter().map(|bin| bin.spread).sum();
        let pairs = positives * negatives;
        if pairs <= with_itself {
            return Err(missing());
        }
        let value = (area.area * pairs - with_itself / 2.0) / (pairs - with_itself);
        let value = value.clamp(0.0, 1.0);
        let error = area.variance.map_or(f64::NAN, f64::sqrt);
        let interval = logit(value, error, level, Method::DeLong);
        let widened = interval.map(|i| widen(i, self.held_out_error));
        measure(value, widened, self.rows())
    }
}

fn widen(interval: Interval, by: f64) -> Interval {
    Interval {
        low: (interval.low - by).max(0.0),
        high: (interval.high + by).min(1.0),
        ..interval
    }
}

impl Accumulator for Estimate {
    type Row<'a> = f64;

    fn add(&mut self, score: f64) {
        let probability = self.calibrator.probability(score).filter(|_| score.is_finite());
        let Some(probability) = probability else {
            self.unusable += 1;
            return;
        };
        let row = Side::of(probability);
        if let Some(bin) = self.bins.get_mut(rank_bin(probability)) {
            bin.add(row);
        }
        if score >= self.threshold {
            self.predicted_positive.add(row);
        } else {
            self.predicted_negative.add(row);
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        Mismatch::unless_same("the threshold", &self.threshold, &other.threshold)?;
        if self.calibrator != other.calibrator {
            Mismatch::unless_same("the calibration", &"one", &"another")?;
        }
        for (ours, theirs) in self.bins.iter_mut().zip(&other.bins) {
            ours.add(*theirs);
        }
        self.predicted_positive.add(other.predicted_positive);
        self.predicted_negative.add(other.predicted_negative);
        self.unusable += other.unusable;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let knots = match &self.calibrator {
            Calibrator::Isotonic { knots } => 16 * knots.len(),
            Calibrator::Platt { .. } => 0,
        };
        size_of::<Self>() + size_of::<Side>() * self.bins.len() + knots
    }
}
