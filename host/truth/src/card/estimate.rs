//! Estimates of a card's rows before their labels come, and what those are calibrated on.
//!
//! Of two classes the score of the positive one is calibrated, and everything that the expected confusion
//! matrix gives is estimated. Of several classes it is how sure the model is of the class that it predicts,
//! against whether it was right (confidence calibration; C. Guo, G. Pleiss, Y. Sun and K. Weinberger, 2017),
//! and accuracy alone is estimated: the mean of what is calibrated.

use std::sync::Arc;

use caisson_quality::accumulator::{Accumulator as _, Mismatch};
use caisson_quality::calibrator::{Calibrator, Curve};
use caisson_quality::estimate::Estimate;
use caisson_stats::interval::LEVEL;

use super::names::estimated_metric;
use crate::metric::{Metric, Task};
use crate::result::MetricValue;

/// A sigmoid is fitted below, and any rising curve from here on.
const ISOTONIC_ROWS_MIN: usize = 1_000;
/// Rows that a calibration is fitted on: more change nothing.
pub(crate) const CALIBRATION_ROWS_MAX: usize = 20_000;
/// Fewer don't tell a calibration from chance.
pub(crate) const CALIBRATION_ROWS_MIN: usize = 200;
/// Rows of several classes that a card keeps for a calibration: 32 KB. There is a card for each part of a
/// window, and windows gather.
const CHECKED_MAX: usize = 2_000;

/// Calibrated scores.
#[derive(Debug, Clone)]
pub(crate) struct Estimator {
    calibrator: Calibrator,
    held_out_error: f64,
    /// What it was fitted on, in words.
    pub(crate) on: String,
}

impl Estimator {
    /// Fitted on scores and labels; none where these are too few, or of one label.
    pub(crate) fn fit(rows: &[(f64, bool)], on: String) -> Option<Self> {
        if rows.len() < CALIBRATION_ROWS_MIN {
            return None;
        }
        let curve = match rows.len() >= ISOTONIC_ROWS_MIN {
            true => Curve::Isotonic,
            false => Curve::Platt,
        };
        Some(Self {
            calibrator: Calibrator::fit(curve, rows).ok()?,
            held_out_error: Calibrator::held_out_error(curve, rows, 0).ok()?,
            on,
        })
    }
}

/// How sure the model is of a card's rows.
#[derive(Debug, Clone)]
pub(super) struct Confidence {
    estimate: Option<Box<Estimate>>,
    /// Of labelled rows of several classes: how sure it was, and whether it was right.
    checked: Vec<(f64, bool)>,
}

impl Confidence {
    /// Of no rows. From `threshold` on a score predicts what it is the probability of.
    pub(super) fn new(estimator: Option<&Arc<Estimator>>, task: Task, threshold: f64) -> Self {
        let estimate = estimator.map(|estimator| {
            let (calibrator, error) = (estimator.calibrator.clone(), estimator.held_out_error);
            let threshold = match task {
                Task::Binary => threshold,
                // Whatever is predicted is what the confidence is in.
                _ => f64::MIN,
            };
            Box::new(Estimate::new(calibrator, error, threshold))
        });
        Self {
            estimate,
            checked: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, confidence: Option<f64>) {
        if let (Some(estimate), Some(confidence)) = (&mut self.estimate, confidence) {
            estimate.add(confidence);
        }
    }

    /// A label says whether a prediction was right.
    pub(super) fn check(&mut self, confidence: Option<f64>, right: bool) {
        let confidence = confidence.filter(|c| c.is_finite() && self.checked.len() < CHECKED_MAX);
        self.checked.extend(confidence.map(|c| (c, right)));
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        if let (Some(ours), Some(theirs)) = (&mut self.estimate, &other.estimate) {
            ours.merge(theirs)?;
        }
        let room = CHECKED_MAX.saturating_sub(self.checked.len());
        self.checked.extend(other.checked.iter().take(room));
        Ok(())
    }

    pub(super) fn checked(&self) -> &[(f64, bool)] {
        &self.checked
    }

    /// Estimates of what is wanted.
    pub(super) fn estimates(
        &self,
        wanted: &[Metric],
        task: Task,
        estimator: Option<&Arc<Estimator>>,
    ) -> Vec<(Metric, MetricValue)> {
        let (Some(estimate), Some(estimator)) = (&self.estimate, estimator) else {
            return Vec::new();
        };
        let metrics = wanted
            .iter()
            .filter(|metric| task == Task::Binary || **metric == Metric::Accuracy)
            .filter_map(|metric| Some((*metric, estimated_metric(*metric)?)));
        let value = |(metric, estimated)| {
            let value = MetricValue {
                estimated: true,
                calibrated_on: Some(estimator.on.clone()),
                ..MetricValue::of(estimate.measure(estimated, LEVEL), None)
            };
            (metric, value)
        };
        metrics.map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Card, Row, Setup, Value};
    use super::*;

    fn setup() -> Setup {
        let spec = serde_json::json!({
            "task": "multiclass", "scores": ["p"], "classes": ["a", "b", "c"], "estimate": true,
            "window": {"rows": 100},
        });
        Setup::new(&serde_json::from_value(spec).unwrap())
    }

    /// Rows that say `b`, surely or not; of ten sure ones nine are right, of ten others five.
    fn add(card: &mut Card, setup: &Setup, rows: usize, sure: fn(usize) -> bool, labelled: bool) {
        for i in 0..rows {
            let (scores, wrong) = match sure(i) {
                true => ([0.01, 0.98, 0.01], i % 10 == 9),
                false => ([0.3, 0.4, 0.3], i % 10 >= 5),
            };
            card.add(
                setup,
                &Row {
                    predicted: None,
                    scores: &scores,
                    label: labelled.then_some(Value::Name(if wrong { "c" } else { "b" })),
                    before: None,
                    restated: 0,
                },
            );
        }
    }

    #[test]
    fn accuracy_of_several_classes_is_estimated_from_how_sure_the_model_is() {
        let mut setup = setup();
        let mut past = setup.card();
        let half = |i: usize| (i / 10).is_multiple_of(2);
        add(&mut past, &setup, 400, half, true);
        assert!(past.estimates(&[Metric::Accuracy], &setup).is_empty());
        // Merged as windows are.
        let mut merged = setup.card();
        add(&mut merged, &setup, 800, half, true);
        merged.merge(&past).unwrap();
        assert_eq!(merged.scored().len(), 1_200);
        setup.estimator = Estimator::fit(merged.scored(), "rows".to_owned()).map(Arc::new);

        let mut now = setup.card();
        add(&mut now, &setup, 400, |i| (i / 10).is_multiple_of(4), false);
        let all = [Metric::Accuracy, Metric::RecallMacro, Metric::LogLoss];
        let estimates = now.estimates(&all, &setup);
        let [(Metric::Accuracy, accuracy)] = estimates.as_slice() else {
            panic!("{estimates:?}");
        };
        // A quarter at 0.9, the others at 0.5.
        assert!((accuracy.value.unwrap() - 0.6).abs() < 1e-3, "{accuracy:?}");
        assert!(accuracy.estimated && accuracy.low.is_some());
    }

    #[test]
    fn what_is_kept_for_a_calibration_is_bounded() {
        let setup = setup();
        let mut card = setup.card();
        add(&mut card, &setup, CHECKED_MAX + 10, |_| true, true);
        let other = card.clone();
        card.merge(&other).unwrap();
        assert_eq!(card.scored().len(), CHECKED_MAX);
    }
}
