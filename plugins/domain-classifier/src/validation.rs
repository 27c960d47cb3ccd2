//! How well a forest tells the two samples apart, on rows that it hasn't seen.
//!
//! The rows are dealt into folds, each class evenly. For each fold a forest is trained on the others
//! and scores the fold's rows; `AUC` is the mean of the folds' areas under the ROC curve.
//!
//! Under the null hypothesis, that a row's class is chance, each fold's area has the variance `v` of
//! the Mann–Whitney statistic, whatever the forest has learned, since it hasn't seen these labels.
//! The areas aren't independent, though: where two folds are alike by chance, each is easier to tell
//! for a forest that was trained on the other, so that every likeness counts twice. For a score that
//! is a sum over the training rows this makes the variance of the mean exactly `2 Σ v / folds²`, and
//! for forests it comes near to that (a test measures it). So `(AUC − 0.5) / √(2 Σ v / folds²)` is
//! taken as standard normal, and the p-value is its upper tail.

use drift_kit::rng::Rng;
use drift_kit::stats::auc::{Auc, roc_auc};
use drift_kit::stats::tail::normal_sf;

use crate::forest::{Table, Tree};

/// Any fixed number: the same data give the same report.
const SEED: u64 = 0x444f_4d41;

/// What cross-validation found.
#[derive(Debug)]
pub struct Validation {
    /// Mean area under the ROC curve over the folds.
    pub auc: f64,
    /// Probability of an area at least this large by chance.
    pub p_value: f64,
    /// By feature.
    pub importances: Vec<Importance>,
}

/// How much the area falls when a feature's codes are dealt out anew among the rows of a fold
/// (permutation importance). Near 0 also for a feature that another one can stand in for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Importance {
    /// On average over the folds.
    pub mean: f64,
    /// Standard error of that average, from the differences between the folds.
    pub error: f64,
}

impl Importance {
    fn of(falls: &[f64]) -> Self {
        let count = falls.len() as f64;
        let mean = falls.iter().sum::<f64>() / count;
        let squares: f64 = falls.iter().map(|fall| (fall - mean).powi(2)).sum();
        Self {
            mean,
            error: (squares / (count - 1.0) / count).sqrt(),
        }
    }

    /// Is it more than the folds' differences explain: two standard errors?
    pub fn is_clear(&self) -> bool {
        self.mean > 2.0 * self.error
    }
}

/// Cross-validate in two folds or more. Both classes need at least one row a fold.
pub fn cross_validate(table: &Table, positives: u32, folds: usize, trees: usize) -> Validation {
    let mut rng = Rng::new(SEED);
    let mut shuffled = |range: std::ops::Range<u32>| {
        let mut rows: Vec<u32> = range.collect();
        rng.shuffle(&mut rows);
        rows
    };
    let classes = [
        shuffled(0..table.negatives),
        shuffled(table.negatives..table.negatives + positives),
    ];
    let (mut area, mut variance) = (0.0, 0.0);
    let mut falls = vec![vec![0.0; folds]; table.features.len()];
    for fold in 0..folds {
        let [negatives, positives] = classes.each_ref().map(|rows| Split::of(rows, fold, folds));
        let forest: Vec<Tree> = (0..trees)
            .map(|_| Tree::grow(table, &negatives.train, &positives.train, &mut rng))
            .collect();
        let held_out = HeldOut::new(table, &forest, negatives.test, positives.test);
        let Some(found) = held_out.auc(None) else {
            continue;
        };
        area += found.area;
        variance += found.null_variance;
        for (feature, falls) in falls.iter_mut().enumerate() {
            if forest.iter().any(|tree| tree.uses(feature))
                && let Some(fall) = falls.get_mut(fold)
            {
                let dealt = held_out.deal(feature, &mut rng);
                let without = held_out.auc(Some((feature, &dealt)));
                *fall = found.area - without.map_or(found.area, |auc| auc.area);
            }
        }
    }
    let auc = area / folds as f64;
    let deviation = (2.0 * variance).sqrt() / folds as f64;
    Validation {
        auc,
        // Without any variance every score is the same: nothing was learned.
        p_value: if deviation > 0.0 {
            normal_sf((auc - 0.5) / deviation)
        } else {
            1.0
        },
        importances: falls.iter().map(|falls| Importance::of(falls)).collect(),
    }
}

/// Rows of one class, by use in a fold.
struct Split {
    train: Vec<u32>,
    test: Vec<u32>,
}

impl Split {
    fn of(rows: &[u32], fold: usize, folds: usize) -> Self {
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (position, &row) in rows.iter().enumerate() {
            if position % folds == fold {
                test.push(row)
            } else {
                train.push(row)
            }
        }
        Self { train, test }
    }
}

/// The rows of one fold and what each tree says of them.
struct HeldOut<'a> {
    table: &'a Table,
    forest: &'a [Tree],
    rows: Vec<u32>,
    /// Tree by tree, the score of each row.
    scores: Vec<Vec<f64>>,
}

impl<'a> HeldOut<'a> {
    fn new(table: &'a Table, forest: &'a [Tree], mut rows: Vec<u32>, positives: Vec<u32>) -> Self {
        rows.extend(positives);
        let score = |tree: &Tree| -> Vec<f64> {
            rows.iter()
                .map(|&row| tree.score(|feature| table.code(feature, row)))
                .collect()
        };
        let scores = forest.iter().map(score).collect();
        Self {
            table,
            forest,
            rows,
            scores,
        }
    }

    /// A feature's codes in these rows, in random order.
    fn deal(&self, feature: usize, rng: &mut Rng) -> Vec<u8> {
        let mut codes: Vec<u8> = self
            .rows
            .iter()
            .map(|&row| self.table.code(feature, row))
            .collect();
        rng.shuffle(&mut codes);
        codes
    }

    /// The area, perhaps with one feature's codes replaced.
    fn auc(&self, replaced: Option<(usize, &[u8])>) -> Option<Auc> {
        let mut sums = vec![0.0; self.rows.len()];
        for (tree, scores) in self.forest.iter().zip(&self.scores) {
            match replaced {
                // A tree that doesn't ask for the feature says the same as before.
                Some((asked, codes)) if tree.uses(asked) => {
                    for ((sum, &row), &own) in sums.iter_mut().zip(&self.rows).zip(codes) {
                        *sum += tree.score(|feature| {
                            if feature == asked {
                                own
                            } else {
                                self.table.code(feature, row)
                            }
                        });
                    }
                }
                _ => sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score),
            }
        }
        let label = |row: &u32| *row >= self.table.negatives;
        let scored: Vec<(f64, bool)> = sums.into_iter().zip(self.rows.iter().map(label)).collect();
        roc_auc(&scored)
    }
}

#[cfg(test)]
mod tests {
    use drift_kit::features::Kind;

    use super::*;

    /// Features that know nothing of the class.
    fn noise(seed: u64, negatives: u32, positives: u32) -> Table {
        let mut rng = Rng::new(seed);
        let mut codes = || (0..negatives + positives).map(|_| rng.below(12) as u8).collect();
        Table {
            features: (0..2).map(|_| (Kind::Number, codes())).collect(),
            negatives,
        }
    }

    #[test]
    fn p_values_hold_their_level() {
        let runs = 120;
        let found: Vec<Validation> = (0..runs)
            .map(|seed| cross_validate(&noise(seed, 120, 90), 90, 5, 10))
            .collect();
        let significant = found.iter().filter(|v| v.p_value <= 0.1).count();
        // 12 expected; 21 or more come about once in 100 times.
        assert!(significant <= 20, "{significant} of {runs} at level 0.1");
        // The null deviation of the mean area: near √2 times that of one Mann–Whitney statistic.
        let single = (211.0f64 / (12.0 * 120.0 * 90.0)).sqrt();
        let mean = found.iter().map(|v| v.auc).sum::<f64>() / runs as f64;
        let variance = found.iter().map(|v| (v.auc - mean).powi(2)).sum::<f64>() / runs as f64;
        let ratio = variance.sqrt() / single;
        assert!((1.1..1.6).contains(&ratio), "{ratio}");
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
    }

    #[test]
    fn a_feature_that_says_all_has_all_the_importance() {
        let mut table = noise(1, 100, 100);
        table.features.push((
            Kind::Number,
            (0..200).map(|row| 2 + u8::from(row >= 100)).collect(),
        ));
        let found = cross_validate(&table, 100, 5, 20);
        assert!(found.auc > 0.99 && found.p_value < 1e-9, "{found:?}");
        assert!(
            found.importances[2].mean > 0.2 && found.importances[2].is_clear(),
            "{found:?}"
        );
        assert!(
            found.importances[..2].iter().all(|i| i.mean.abs() < 0.02),
            "{found:?}"
        );
    }

    #[test]
    fn nothing_learned_is_no_evidence() {
        let table = Table {
            features: vec![(Kind::Number, vec![7; 80])],
            negatives: 40,
        };
        let found = cross_validate(&table, 40, 5, 5);
        let none = Importance {
            mean: 0.0,
            error: 0.0,
        };
        assert!(!none.is_clear());
        assert_eq!(
            (found.auc, found.p_value, found.importances),
            (0.5, 1.0, vec![none])
        );
    }
}
