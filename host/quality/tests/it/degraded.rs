use caisson_quality::accumulator::Accumulator;
use caisson_quality::confusion::{Average, ClassMetric, Confusion, Labelled};
use caisson_quality::degradation::{self, Rule, Test, areas, intervals, means, proportions};
use caisson_quality::hysteresis::Outcome;
use caisson_quality::regression::{Predicted, Regression, RegressionMetric};
use caisson_quality::scores::{BinnedScores, ScoreMetric, Scored};
use caisson_quality::{Better, Measure, Undefined};
use caisson_stats::moments::Moments;
use caisson_stats::rng::Rng;

fn unit(rng: &mut Rng) -> f64 {
    rng.below(1 << 30) as f64 / f64::from(1 << 30)
}

/// Scores of a model that knows `skill` of the truth, and the labels.
fn scored(rng: &mut Rng, rows: usize, skill: f64) -> BinnedScores {
    let mut scores = BinnedScores::default();
    for _ in 0..rows {
        let truth = unit(rng);
        let score = skill * truth + (1.0 - skill) * unit(rng);
        let label = Some(unit(rng) < truth);
        scores.add(Scored { score, label });
    }
    scores
}

fn labelled(rng: &mut Rng, rows: usize, right: f64) -> Confusion {
    let mut confusion = Confusion::new(&["a", "b", "c"]);
    let names = ["a", "b", "c"];
    for _ in 0..rows {
        let actual = names[rng.below(3) as usize];
        let guess = names[rng.below(3) as usize];
        let predicted = if unit(rng) < right { actual } else { guess };
        confusion.add(Labelled {
            actual: Some(actual),
            predicted: Some(predicted),
        });
    }
    confusion
}

fn predicted(rng: &mut Rng, rows: usize, noise: f64, bias: f64) -> Regression {
    let mut regression = Regression::default();
    let mut before = None;
    for _ in 0..rows {
        let actual = 10.0 * unit(rng) + 1.0;
        let predicted = actual + bias + noise * (unit(rng) + unit(rng) - 1.0);
        regression.add(Predicted {
            actual,
            predicted,
            before,
        });
        before = Some((actual, predicted));
    }
    regression
}

#[test]
fn what_got_worse_is_found_and_by_the_right_test() {
    let rng = &mut Rng::new(4);
    let rule = Rule::default();
    let (good, bad) = (scored(rng, 3000, 0.9), scored(rng, 2000, 0.2));
    for (metric, test) in [
        (ScoreMetric::RocAuc, Test::DeLong),
        (ScoreMetric::AveragePrecision, Test::Intervals),
        (ScoreMetric::LogLoss, Test::Welch),
        (ScoreMetric::Brier, Test::Welch),
        (ScoreMetric::CalibrationError, Test::Intervals),
    ] {
        let worse = degradation::scores(metric, &good, &bad).unwrap();
        assert_eq!(
            (worse.outcome(&rule), worse.test, worse.rows),
            (Outcome::Bad, test, 2000),
            "{worse:?}"
        );
        assert!(worse.worse_by > 0.0 && worse.p_value < 1e-3);
        let better = degradation::scores(metric, &bad, &good).unwrap();
        assert_eq!(better.outcome(&rule), Outcome::Good, "{better:?}");
        assert!((better.worse_by + worse.worse_by).abs() < 1e-12 && better.p_value > 0.99);
    }
    let (good, bad) = (labelled(rng, 900, 0.8), labelled(rng, 900, 0.5));
    let a = || Average::Class("a".into());
    for (metric, test) in [
        (ClassMetric::Accuracy, Test::Proportions),
        (ClassMetric::Precision(a()), Test::Proportions),
        (ClassMetric::Recall(a()), Test::Proportions),
        (ClassMetric::F1(a()), Test::Intervals),
        (ClassMetric::F1(Average::Micro), Test::Proportions),
        (ClassMetric::F1(Average::Macro), Test::Intervals),
        (ClassMetric::Precision(Average::Weighted), Test::Intervals),
        (ClassMetric::Mcc, Test::Intervals),
    ] {
        let worse = degradation::classes(&metric, &good, &bad).unwrap();
        assert_eq!(
            (worse.outcome(&rule), worse.test),
            (Outcome::Bad, test),
            "{metric:?} {worse:?}"
        );
        assert_eq!(
            degradation::classes(&metric, &bad, &good).unwrap().outcome(&rule),
            Outcome::Good
        );
    }
    let (good, bad) = (predicted(rng, 800, 2.0, 0.1), predicted(rng, 800, 6.0, -1.0));
    for (metric, test) in [
        (RegressionMetric::Mae, Test::Welch),
        (RegressionMetric::Rmse, Test::Welch),
        (RegressionMetric::Mape, Test::Welch),
        (RegressionMetric::Smape, Test::Welch),
        (RegressionMetric::Bias, Test::Welch),
        (RegressionMetric::R2, Test::Intervals),
        (RegressionMetric::MedianAbsoluteError, Test::Intervals),
        (RegressionMetric::DirectionalAccuracy, Test::Proportions),
    ] {
        let worse = degradation::regression(metric, &good, &bad).unwrap();
        assert_eq!(
            (worse.outcome(&rule), worse.test),
            (Outcome::Bad, test),
            "{metric:?} {worse:?}"
        );
        let better = degradation::regression(metric, &bad, &good).unwrap();
        assert_eq!(better.outcome(&rule), Outcome::Good, "{metric:?} {better:?}");
        let value = |of: &Regression| of.measure(metric, 0.95).unwrap().value;
        assert_eq!((worse.baseline, worse.current), (value(&good), value(&bad)));
    }
}

#[test]
fn chance_alarms_no_more_often_than_alpha() {
    let rng = &mut Rng::new(8);
    let rule = Rule {
        alpha: 0.05,
        effect_min: 0.0,
        ..Rule::default()
    };
    let runs = 300;
    let mut alarms = [0; 7];
    for _ in 0..runs {
        let (a, b) = (scored(rng, 400, 0.7), scored(rng, 250, 0.7));
        let (c, d) = (labelled(rng, 400, 0.9), labelled(rng, 250, 0.9));
        let (e, f) = (predicted(rng, 400, 2.0, 0.3), predicted(rng, 250, 2.0, 0.3));
        let found = [
            degradation::scores(ScoreMetric::RocAuc, &a, &b),
            degradation::scores(ScoreMetric::LogLoss, &a, &b),
            degradation::scores(ScoreMetric::AveragePrecision, &a, &b),
            degradation::classes(&ClassMetric::Accuracy, &c, &d),
            degradation::classes(&ClassMetric::F1(Average::Macro), &c, &d),
            degradation::regression(RegressionMetric::Mae, &e, &f),
            degradation::regression(RegressionMetric::R2, &e, &f),
        ];
        for (alarms, found) in alarms.iter_mut().zip(found) {
            *alarms += usize::from(found.unwrap().outcome(&rule) == Outcome::Bad);
        }
    }
    // 15 expected of 300; 30 is four standard deviations above.
    for (at, alarms) in alarms.into_iter().enumerate() {
        assert!(
            (1..=30).contains(&alarms),
            "test {at}: {alarms} of {runs} at level 0.05"
        );
    }
}

#[test]
fn a_change_has_to_be_large_and_of_enough_rows() {
    // Significant with this many rows, and of no weight.
    let tiny = proportions((900_000, 1_000_000), (897_000, 1_000_000)).unwrap();
    assert!(tiny.p_value < 1e-9);
    assert_eq!(tiny.outcome(&Rule::default()), Outcome::Good);
    let any = Rule {
        effect_min: 0.0,
        ..Rule::default()
    };
    assert_eq!(tiny.outcome(&any), Outcome::Bad);
    let in_points = Rule {
        change_min: 0.01,
        ..any
    };
    assert_eq!(tiny.outcome(&in_points), Outcome::Good);
    // Large, and of too few rows.
    let few = proportions((900, 1000), (0, 20)).unwrap();
    assert_eq!((few.outcome(&any), few.rows), (Outcome::Unknown, 20));
    // Five of forty wrong is chance where one of ten is usual.
    let chance = proportions((900, 1000), (35, 40)).unwrap();
    assert_eq!(chance.outcome(&any), Outcome::Good);
    // Exact test: 2 of 30 wrong where 1,000 were right.
    let exact = proportions((1000, 1000), (28, 30)).unwrap();
    assert!(
        (exact.p_value - 30.0 * 29.0 / (1030.0 * 1029.0)).abs() < 1e-9,
        "{exact:?}"
    );
    assert_eq!(proportions((0, 0), (1, 2)), None);
}

#[test]
fn what_shows_no_spread_is_handled() {
    let of = |values: &[f64]| values.iter().copied().collect::<Moments>();
    let (zeros, ones) = (of(&[0.0; 40]), of(&[1.0; 40]));
    let same = means(&zeros, &zeros, Better::Lower).unwrap();
    assert_eq!(
        (same.worse_by, same.effect, same.outcome(&Rule::default())),
        (0.0, 0.0, Outcome::Good)
    );
    let worse = means(&zeros, &ones, Better::Lower).unwrap();
    assert_eq!(
        (worse.p_value, worse.outcome(&Rule::default())),
        (0.0, Outcome::Bad)
    );
    assert_eq!(
        means(&ones, &zeros, Better::Lower)
            .unwrap()
            .outcome(&Rule::default()),
        Outcome::Good
    );
    assert_eq!(
        means(&zeros, &ones, Better::Higher)
            .unwrap()
            .outcome(&Rule::default()),
        Outcome::Good
    );
    assert_eq!(means(&of(&[1.0]), &ones, Better::Lower), None);
    // A bias that changes its sign and stays as large is no worse.
    let (left, right) = (of(&[-1.0, -1.2, -0.8, -1.0]), of(&[1.0, 1.2, 0.8, 1.0]));
    let flipped = means(&left, &right, Better::Zero).unwrap();
    assert_eq!(
        flipped.outcome(&Rule {
            rows_min: 2,
            ..Rule::default()
        }),
        Outcome::Good
    );
    let perfect = [(0.1, false), (0.2, false), (0.8, true), (0.9, true)];
    let ties = caisson_stats::ranks::ties(&perfect);
    let same = areas(&ties, &ties).unwrap();
    assert_eq!((same.worse_by, same.p_value), (0.0, 1.0));
    assert_eq!(areas(&ties, &ties[..3]), None);
    let bare = Measure {
        value: 1.0,
        interval: None,
        rows: 50,
    };
    assert_eq!(intervals(&bare, &bare, Better::Higher), None);
    let mut perfect = Regression::default();
    perfect.extend_series([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]);
    let refused = degradation::regression(RegressionMetric::R2, &perfect, &perfect);
    assert_eq!(refused, Err(Undefined::NoSpread));
    let empty = Confusion::default();
    let refused = degradation::classes(&ClassMetric::Accuracy, &empty, &empty);
    assert_eq!(refused, Err(Undefined::TooFew { rows: 0, needed: 1 }));
}
