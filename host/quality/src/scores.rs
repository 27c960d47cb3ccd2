//! Binary classification by scores: areas, losses, calibration.
//!
//! [`Scores`] are exact and hold every score; [`BinnedScores`] hold counts in bins, merge, and say how
//! far their areas can be from the exact ones. Losses and calibration are the same in both.
//!
//! A row without a label, or whose score isn't finite, isn't used, and counted. Scores may be any
//! numbers for the areas of [`Scores`]; all else needs probabilities.

use caisson_stats::interval::{Method, logit, wilson};
use caisson_stats::moments::Moments;
use caisson_stats::ranks::{self, Area, Tie, average_precision, average_precision_bounds};
use serde::{Deserialize, Serialize};

use crate::accumulator::{Accumulator, Mismatch};
use crate::answer::{Answer, Better, Undefined, measure};
use crate::calibration::{BINS, Calibration};

/// What can be asked of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreMetric {
    /// Area under the ROC curve.
    RocAuc,
    /// Area under the precision–recall curve, as average precision.
    AveragePrecision,
    /// Mean of −ln of the probability given to what happened.
    LogLoss,
    /// Mean squared distance of the probability from what happened.
    Brier,
    /// Expected calibration error.
    CalibrationError,
}

impl ScoreMetric {
    /// Which way it gets better.
    pub fn better(self) -> Better {
        match self {
            Self::RocAuc | Self::AveragePrecision => Better::Higher,
            Self::LogLoss | Self::Brier | Self::CalibrationError => Better::Lower,
        }
    }
}

/// A score and what happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The score; a probability of the positive label for all but areas.
    pub score: f64,
    /// Was it the positive label? `None` where the label is missing.
    pub label: Option<bool>,
}

/// Probabilities are held this far from 0 and 1 in the logarithm, as scikit-learn does.
pub const LOG_LOSS_EPSILON: f64 = f64::EPSILON;

/// −ln of the probability given to what happened.
pub fn log_loss_of(probability: f64) -> f64 {
    -probability.clamp(LOG_LOSS_EPSILON, 1.0 - LOG_LOSS_EPSILON).ln()
}

/// Losses and calibration: sums over rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Losses {
    log_loss: Moments,
    brier: Moments,
    calibration: Calibration,
}

impl Losses {
    fn new(bins: usize) -> Self {
        Self {
            log_loss: Moments::default(),
            brier: Moments::default(),
            calibration: Calibration::new(bins),
        }
    }

    fn add(&mut self, probability: f64, label: bool) {
        let truth = f64::from(u8::from(label));
        let given = if label { probability } else { 1.0 - probability };
        self.log_loss.add(log_loss_of(given));
        self.brier.add((probability - truth).powi(2));
        self.calibration.add(probability, label);
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        self.calibration.merge(&other.calibration)?;
        self.log_loss.merge(&other.log_loss);
        self.brier.merge(&other.brier);
        Ok(())
    }
}

/// Scores, all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    ties: Vec<Tie>,
    losses: Losses,
    rows: u64,
    unusable: u64,
    out_of_range: u64,
}

impl Scores {
    /// Of these rows, with [`BINS`] bins for calibration.
    pub fn new(rows: impl IntoIterator<Item = Scored>) -> Self {
        Self::with_bins(rows, BINS)
    }

    /// The same with other bins.
    pub fn with_bins(rows: impl IntoIterator<Item = Scored>, bins: usize) -> Self {
        let mut scores = Self {
            ties: Vec::new(),
            losses: Losses::new(bins),
            rows: 0,
            unusable: 0,
            out_of_range: 0,
        };
        let mut scored = Vec::new();
        for Scored { score, label } in rows {
            let (true, Some(label)) = (score.is_finite(), label) else {
                scores.unusable += 1;
                continue;
            };
            scored.push((score, label));
            if (0.0..=1.0).contains(&score) {
                scores.losses.add(score, label);
            } else {
                scores.out_of_range += 1;
            }
        }
        scores.rows = scored.len() as u64;
        scores.ties = ranks::ties(&scored);
        scores
    }

    /// Rows that were used.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows without a label or a finite score.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }

    /// Rows by probability.
    pub fn calibration(&self) -> &Calibration {
        &self.losses.calibration
    }

    /// Rows by score, lowest first.
    pub fn ties(&self) -> &[Tie] {
        &self.ties
    }

    /// The metric's value with its interval.
    ///
    /// # Errors
    ///
    /// [`Undefined`] without a row; for areas where a label is absent; for losses and calibration where
    /// a score is no probability.
    pub fn measure(&self, metric: ScoreMetric, level: f64) -> Answer {
        if self.rows == 0 {
            return Err(Undefined::too_few(0, 1));
        }
        let is_area = matches!(metric, ScoreMetric::RocAuc | ScoreMetric::AveragePrecision);
        if self.out_of_range > 0 && !is_area {
            return Err(Undefined::NotProbabilities {
                rows: self.out_of_range,
            });
        }
        answer(metric, &self.ties, &self.losses, self.rows, level)
    }

    /// Moments of each row's loss, for log loss and the Brier score: what a test of two means takes.
    pub fn loss(&self, metric: ScoreMetric) -> Option<&Moments> {
        loss(&self.losses, metric)
    }
}

fn loss(losses: &Losses, metric: ScoreMetric) -> Option<&Moments> {
    match metric {
        ScoreMetric::LogLoss => Some(&losses.log_loss),
        ScoreMetric::Brier => Some(&losses.brier),
        _ => None,
    }
}

fn answer(metric: ScoreMetric, ties: &[Tie], losses: &Losses, rows: u64, level: f64) -> Answer {
    let missing_label = || {
        let (positives, _) = ranks::totals(ties);
        let label = if positives == 0.0 { "1" } else { "0" };
        Undefined::NoLabel { label: label.into() }
    };
    match metric {
        ScoreMetric::RocAuc => {
            let area = Area::new(ties).ok_or_else(missing_label)?;
            measure(area.area, area.interval(level), rows)
        }
        ScoreMetric::AveragePrecision => {
            let value = average_precision(ties).ok_or_else(missing_label)?;
            let (positives, _) = ranks::totals(ties);
            // Binomial over the positives, on the logit scale (K. Boyd, K. H. Eng and C. D. Page, 2013);
            // at 1, where that has no width, Wilson's.
            let error = (value * (1.0 - value) / positives).sqrt();
            let interval = logit(value, error, level, Method::Delta);
            let at_an_end = || wilson(value * positives, positives, level);
            measure(value, interval.or_else(at_an_end), rows)
        }
        ScoreMetric::CalibrationError => {
            let value = losses.calibration.expected_error();
            let value = value.ok_or_else(|| Undefined::too_few(0, 1))?;
            measure(value, losses.calibration.interval(level), rows)
        }
        ScoreMetric::LogLoss | ScoreMetric::Brier => {
            let moments = loss(losses, metric).filter(|moments| moments.count() > 0);
            let moments = moments.ok_or_else(|| Undefined::too_few(0, 1))?;
            let interval = moments.interval(level).map(|i| i.map(|end| end.max(0.0)));
            measure(moments.mean().unwrap_or(0.0), interval, rows)
        }
    }
}

/// Bins for ranking: with probabilities spread over [0.001, 0.999] the area is within about 0.001.
pub const RANK_BINS: usize = 512;
/// Probabilities within `e⁻¹⁶` (1e-7) of 0 or 1 share a bin: `f32` models don't resolve them.
const LOGIT_MAX: f64 = 16.0;

/// The bin of a probability.
pub(crate) fn rank_bin(probability: f64) -> usize {
    let place = (probability / (1.0 - probability)).ln() / LOGIT_MAX;
    // From −∞ and ∞ too: a cast holds them in range.
    (((place + 1.0) / 2.0 * RANK_BINS as f64) as usize).min(RANK_BINS - 1)
}

/// Scores in bins: mergeable, at a size that doesn't grow.
///
/// Bins are of equal width in `ln(p / (1 − p))`, so that they resolve rare events, whose probabilities
/// are all near 0. How far areas can be from those of the scores themselves: [`Self::area_error`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BinnedScores {
    /// Positives and negatives by score, lowest first.
    bins: Vec<(u64, u64)>,
    losses: Losses,
    unusable: u64,
}

impl Default for BinnedScores {
    fn default() -> Self {
        Self::new(BINS)
    }
}

impl BinnedScores {
    /// With so many bins for calibration.
    pub fn new(calibration_bins: usize) -> Self {
        Self {
            bins: vec![(0, 0); RANK_BINS],
            losses: Losses::new(calibration_bins),
            unusable: 0,
        }
    }

    /// Rows that were used.
    pub fn rows(&self) -> u64 {
        self.losses.brier.count()
    }

    /// Rows without a label or without a probability.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }

    /// Rows by probability.
    pub fn calibration(&self) -> &Calibration {
        &self.losses.calibration
    }

    /// Rows by score, lowest first; a bin counts as one score.
    pub fn ties(&self) -> Vec<Tie> {
        let used = self.bins.iter().filter(|(p, n)| p + n > 0);
        used.map(|&(positives, negatives)| Tie {
            positives: positives as f64,
            negatives: negatives as f64,
        })
        .collect()
    }

    /// The metric's value with its interval; areas within [`Self::area_error`], all else exact.
    ///
    /// # Errors
    ///
    /// [`Undefined`] without a row, and for areas where a label is absent.
    pub fn measure(&self, metric: ScoreMetric, level: f64) -> Answer {
        if self.rows() == 0 {
            return Err(Undefined::too_few(0, 1));
        }
        answer(metric, &self.ties(), &self.losses, self.rows(), level)
    }

    /// How far the metric can be from that of the scores themselves, whatever they are inside of their
    /// bins: for the area under the ROC curve half the share of pairs of both labels that are in one
    /// bin; for average precision by the best and worst order inside of the bins. 0 for other metrics;
    /// `None` where the area doesn't exist.
    pub fn area_error(&self, metric: ScoreMetric) -> Option<f64> {
        let ties = self.ties();
        match metric {
            ScoreMetric::RocAuc => Some(Area::new(&ties)?.tied),
            ScoreMetric::AveragePrecision => {
                let (low, high) = average_precision_bounds(&ties)?;
                let value = average_precision(&ties)?;
                Some((high - value).max(value - low))
            }
            _ => Some(0.0),
        }
    }

    /// As [`Scores::loss`].
    pub fn loss(&self, metric: ScoreMetric) -> Option<&Moments> {
        loss(&self.losses, metric)
    }
}

impl Accumulator for BinnedScores {
    type Row<'a> = Scored;

    fn add(&mut self, Scored { score, label }: Scored) {
        let (true, Some(label)) = ((0.0..=1.0).contains(&score), label) else {
            self.unusable += 1;
            return;
        };
        if let Some((positives, negatives)) = self.bins.get_mut(rank_bin(score)) {
            *if label { positives } else { negatives } += 1;
        }
        self.losses.add(score, label);
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        Mismatch::unless_same("the number of ranking bins", &self.bins.len(), &other.bins.len())?;
        self.losses.merge(&other.losses)?;
        for (ours, theirs) in self.bins.iter_mut().zip(&other.bins) {
            ours.0 += theirs.0;
            ours.1 += theirs.1;
        }
        self.unusable += other.unusable;
        Ok(())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 16 * self.bins.len() + 24 * self.losses.calibration.bins().len()
    }
}
