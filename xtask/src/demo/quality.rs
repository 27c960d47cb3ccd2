//! How good are predicted probabilities, against what really happened?

/// Share with the outcome among the tenth of the cases that have the highest probabilities: whom a
/// shop would write to if it could write to one customer in ten. `NaN` below ten cases.
pub(crate) fn hit_rate(cases: &[(f64, bool)]) -> f64 {
    let mut sorted = cases.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted.truncate(cases.len() / 10);
    base_rate(&sorted)
}

/// Share of cases with the outcome. `NaN` without cases.
pub(crate) fn base_rate(cases: &[(f64, bool)]) -> f64 {
    cases.iter().filter(|case| case.1).count() as f64 / cases.len() as f64
}

/// Area under the receiver operating characteristic: the chance that a case with the outcome has a
/// higher probability than one without, ties counting half (the Mann-Whitney statistic over the
/// number of pairs). `NaN` where only one outcome occurs.
pub(crate) fn auc(cases: &[(f64, bool)]) -> f64 {
    let mut sorted = cases.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum, mut below) = (0.0, 0usize);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let positives = tied.iter().filter(|case| case.1).count();
        // Ranks count from 1; each of the tied cases has the mean of theirs.
        let mean_rank = below as f64 + (tied.len() as f64 + 1.0) / 2.0;
        rank_sum += mean_rank * positives as f64;
        below += tied.len();
    }
    let positives = cases.iter().filter(|case| case.1).count() as f64;
    let negatives = cases.len() as f64 - positives;
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    /// The definition, pair by pair.
    fn auc_by_pairs(cases: &[(f64, bool)]) -> f64 {
        let (mut pairs, mut won) = (0.0, 0.0);
        for with in cases.iter().filter(|case| case.1) {
            for without in cases.iter().filter(|case| !case.1) {
                pairs += 1.0;
                won += if with.0 > without.0 {
                    1.0
                } else if with.0 == without.0 {
                    0.5
                } else {
                    0.0
                };
            }
        }
        won / pairs
    }

    #[test]
    fn auc_is_what_its_definition_says() {
        // A full period of a linear congruential generator: 0, 1, …, 63 in mixed order.
        let mut x = 7usize;
        let mut cases = Vec::new();
        for _ in 0..64 {
            x = (x * 5 + 3) % 64;
            cases.push(((x / 4) as f64 / 16.0, x.is_multiple_of(3) || x > 50));
        }
        assert!(
            close(auc(&cases), auc_by_pairs(&cases)),
            "{} {}",
            auc(&cases),
            auc_by_pairs(&cases)
        );
        assert!(auc(&cases) > 0.5 && auc(&cases) < 1.0);
    }

    #[test]
    fn rates() {
        // 30 cases, every third with the outcome; of the three most probable (29, 28, 27) one.
        let cases: Vec<_> = (0..30).map(|n| (f64::from(n) / 30.0, n % 3 == 0)).collect();
        assert!(close(base_rate(&cases), 1.0 / 3.0));
        assert!(close(hit_rate(&cases), 1.0 / 3.0));
        let better: Vec<_> = cases
            .iter()
            .map(|&(p, outcome)| (p, outcome || p > 0.9))
            .collect();
        assert!(close(hit_rate(&better), 1.0));
        assert!(hit_rate(&cases[..9]).is_nan());
    }

    #[test]
    fn order_is_all_that_counts() {
        let perfect = [(0.2, false), (0.21, true), (0.1, false), (0.9, true)];
        assert!(close(auc(&perfect), 1.0));
        assert!(close(auc(&perfect.map(|(p, o)| (p, !o))), 0.0));
        assert!(close(auc(&perfect.map(|(_, o)| (0.3, o))), 0.5));
        assert!(auc(&perfect.map(|(p, _)| (p, true))).is_nan());
    }
}
