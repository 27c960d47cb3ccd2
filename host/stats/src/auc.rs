//! Area under the ROC curve, and how far from 0.5 it gets by chance.

/// An area under the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auc {
    /// Probability that a random positive scores above a random negative; ties count half.
    pub area: f64,
    /// Variance of `area` where the scores know nothing of the labels: that of the Mann–Whitney
    /// statistic, `(N + 1 − Σ (t³ − t) / (N (N − 1))) / (12 n₁ n₀)` with `t` the sizes of the ties.
    pub null_variance: f64,
}

/// The area of scores and labels (`sklearn.metrics.roc_auc_score`), by ranks. `None` where one of
/// the labels is absent. Scores are not NaN.
pub fn roc_auc(scored: &[(f64, bool)]) -> Option<Auc> {
    let mut sorted = scored.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total = sorted.len() as f64;
    let positives = sorted.iter().filter(|(_, label)| *label).count() as f64;
    let negatives = total - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    for group in sorted.chunk_by(|a, b| a.0 == b.0) {
        let size = group.len() as f64;
        let mean_rank = before + (size + 1.0) / 2.0;
        rank_sum += mean_rank * group.iter().filter(|(_, label)| *label).count() as f64;
        ties += size * (size * size - 1.0);
        before += size;
    }
    let pairs = positives * negatives;
    Some(Auc {
        area: (rank_sum - positives * (positives + 1.0) / 2.0) / pairs,
        null_variance: (total + 1.0 - ties / (total * (total - 1.0))) / (12.0 * pairs),
    })
}
