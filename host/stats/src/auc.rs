//! Area under the ROC curve, and how far from 0.5 it gets by chance.

use crate::ranks::{Area, ties, totals};

/// An area under the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auc {
    /// Probability that a random positive scores above a random negative; ties count half.
    pub area: f64,
    /// Variance of `area` where the scores know nothing of the labels: that of the Mann–Whitney
    /// statistic, `(N + 1 − Σ (t³ − t) / (N (N − 1))) / (12 n₁ n₀)` with `t` the sizes of the ties.
    pub null_variance: f64,
}

/// The area of scores and labels (`sklearn.metrics.roc_auc_score`). `None` where one of the labels is
/// absent. Scores are not NaN.
pub fn roc_auc(scored: &[(f64, bool)]) -> Option<Auc> {
    let ties = ties(scored);
    let area = Area::new(&ties)?.area;
    let (positives, negatives) = totals(&ties);
    let total = positives + negatives;
    let sizes = ties.iter().map(|tie| tie.positives + tie.negatives);
    let tied: f64 = sizes.map(|size| size * (size * size - 1.0)).sum();
    Some(Auc {
        area,
        null_variance: (total + 1.0 - tied / (total * (total - 1.0))) / (12.0 * positives * negatives),
    })
}
