use caisson_quality::Undefined;
use caisson_quality::accumulator::Accumulator;
use caisson_quality::regression::{Predicted, Regression, RegressionMetric, ZeroActuals, naive_error};
use proptest::prelude::*;
use serde_json::Value;

use crate::reference::{assert_interval, assert_near, assert_value, cases, metrics, numbers, stats};

const LEVEL: f64 = 0.95;

fn series(case: &Value) -> Vec<(f64, f64)> {
    numbers(&case["actual"])
        .into_iter()
        .zip(numbers(&case["predicted"]))
        .collect()
}

fn gather(zeros: ZeroActuals, naive: Option<f64>, series: &[(f64, f64)]) -> Regression {
    let mut regression = Regression::new(zeros, naive);
    regression.extend_series(series.iter().copied());
    regression
}

#[test]
fn errors_are_scikit_learns() {
    for case in cases(&metrics("regression")) {
        let name = &case["name"];
        let naive = case
            .get("training")
            .and_then(|training| naive_error(&numbers(training), 1));
        if let Some(naive) = naive {
            assert_near(naive, &case["naive_error"], "naive error");
        }
        let series = series(case);
        let found = gather(ZeroActuals::LeaveOut, naive, &series);
        for (metric, key) in [
            (RegressionMetric::Mae, "mae"),
            (RegressionMetric::Rmse, "rmse"),
            (RegressionMetric::Mape, "mape_without_zeros"),
            (RegressionMetric::Smape, "smape"),
            (RegressionMetric::Mase, "mase"),
            (RegressionMetric::R2, "r2"),
            (RegressionMetric::DirectionalAccuracy, "directional_accuracy"),
            (RegressionMetric::Bias, "bias"),
            (RegressionMetric::MedianAbsoluteError, "median_absolute_error"),
        ] {
            let what = format!("{name} {key}");
            let answer = found.measure(metric, LEVEL);
            let wanted = case.get(key).unwrap_or(&Value::Null);
            assert_value(answer.clone(), wanted, &what);
            if key != "mae" || case["mae_interval"][0].as_f64().unwrap() >= 0.0 {
                assert_interval(answer, &case[format!("{key}_interval")], &what);
            }
        }
        let like_sklearn = gather(ZeroActuals::Epsilon, None, &series);
        assert_value(
            like_sklearn.measure(RegressionMetric::Mape, LEVEL),
            &case["mape_sklearn"],
            "epsilon",
        );
        if let Some(error) = case["r2_error"].as_f64().filter(|error| *error > 0.0) {
            let r2 = found.measure(RegressionMetric::R2, LEVEL).unwrap();
            let half = r2.value - r2.interval.unwrap().low;
            let allowed = if name == "far from zero" { 1e-6 } else { 1e-9 };
            assert!(
                (half / 1.959_963_984_540_054 - error).abs() < allowed * error.max(1.0),
                "{name}"
            );
        }
    }
}

#[test]
fn conformance_values_of_regression() {
    let case = stats("regression");
    let found = gather(ZeroActuals::LeaveOut, None, &series(&case));
    for (metric, key) in [
        (RegressionMetric::Mae, "mae"),
        (RegressionMetric::Rmse, "rmse"),
        (RegressionMetric::Mape, "mape_fraction"),
        (RegressionMetric::Smape, "smape_fraction_0_to_2"),
        (RegressionMetric::R2, "r2"),
        (RegressionMetric::MedianAbsoluteError, "median_absolute_error"),
        (RegressionMetric::DirectionalAccuracy, "directional_accuracy"),
        (RegressionMetric::Bias, "bias_mean_predicted_minus_actual"),
    ] {
        assert_value(found.measure(metric, LEVEL), &case[key], key);
    }
}

#[test]
fn what_has_no_value_says_why() {
    let of = |series: &[(f64, f64)]| gather(ZeroActuals::LeaveOut, None, series);
    let too_few = |rows, needed| Err(Undefined::TooFew { rows, needed });
    assert_eq!(of(&[]).measure(RegressionMetric::Mae, LEVEL), too_few(0, 1));
    let one = of(&[(1.0, 2.0)]);
    assert_eq!(one.measure(RegressionMetric::R2, LEVEL), too_few(1, 2));
    assert_eq!(one.measure(RegressionMetric::Mae, LEVEL).unwrap().interval, None);
    assert_eq!(
        one.measure(RegressionMetric::DirectionalAccuracy, LEVEL),
        too_few(0, 1)
    );
    assert_eq!(
        one.measure(RegressionMetric::Mase, LEVEL),
        Err(Undefined::NoNaiveError)
    );
    let zeros = of(&[(0.0, 1.0), (0.0, 0.0)]);
    assert_eq!(
        zeros.measure(RegressionMetric::Mape, LEVEL),
        Err(Undefined::ZeroActual { rows: 2 })
    );
    assert_eq!(
        zeros.measure(RegressionMetric::R2, LEVEL),
        Err(Undefined::Constant)
    );
    let some = [(0.0, 1.0), (2.0, 1.0)];
    let left_out = of(&some).measure(RegressionMetric::Mape, LEVEL).unwrap();
    assert_eq!((left_out.value, left_out.rows), (0.5, 1));
    let refused = gather(ZeroActuals::Refuse, None, &some).measure(RegressionMetric::Mape, LEVEL);
    assert_eq!(refused, Err(Undefined::ZeroActual { rows: 1 }));
    let huge = of(&[(1e308, -1e308), (-1e308, 1e308)]);
    for metric in [
        RegressionMetric::Mae,
        RegressionMetric::Rmse,
        RegressionMetric::R2,
    ] {
        assert_eq!(
            huge.measure(metric, LEVEL),
            Err(Undefined::Overflow),
            "{metric:?}"
        );
    }
    assert_eq!(naive_error(&[1.0], 1), None);
    assert_eq!(naive_error(&[2.0, 2.0, 2.0], 1), None);
    assert_eq!(naive_error(&[1.0, 5.0, 2.0, 7.0], 2), Some(1.5));
}

#[test]
fn values_that_are_not_finite_are_counted() {
    let junk = [
        (f64::NAN, 1.0),
        (1.0, f64::INFINITY),
        (2.0, 3.0),
        (f64::NEG_INFINITY, 1.0),
        (4.0, 4.0),
    ];
    let found = gather(ZeroActuals::LeaveOut, None, &junk);
    assert_eq!((found.rows(), found.unusable()), (2, 3));
    assert_eq!(found.measure(RegressionMetric::Mae, LEVEL).unwrap().value, 0.5);
    // Neither row has a usable one before it.
    assert!(
        found
            .measure(RegressionMetric::DirectionalAccuracy, LEVEL)
            .is_err()
    );
}

proptest! {
    #[test]
    fn merging_is_adding_all(
        series in prop::collection::vec((-1e3..1e3f64, -1e3..1e3f64), 3..120),
        first in 0usize..120,
        second in 0usize..120,
    ) {
        let rows: Vec<Predicted> = series.iter().enumerate().map(|(i, &(actual, predicted))| Predicted {
            actual,
            predicted,
            before: i.checked_sub(1).map(|i| series[i]),
        }).collect();
        let of = |rows: &[Predicted]| {
            let mut regression = Regression::new(ZeroActuals::LeaveOut, Some(2.0));
            rows.iter().for_each(|row| regression.add(*row));
            regression
        };
        let cut = |at: usize| at.min(rows.len());
        let (low, high) = (cut(first.min(second)), cut(first.max(second)));
        let (a, b, c) = (of(&rows[..low]), of(&rows[low..high]), of(&rows[high..]));
        let merged = |parts: [&Regression; 3]| {
            let mut sum = parts[0].clone();
            sum.merge(parts[1]).unwrap();
            sum.merge(parts[2]).unwrap();
            sum
        };
        let mut right = b.clone();
        right.merge(&c).unwrap();
        let mut nested = a.clone();
        nested.merge(&right).unwrap();
        let whole = of(&rows);
        for sum in [merged([&a, &b, &c]), merged([&c, &a, &b]), nested] {
            for metric in [
                RegressionMetric::Mae, RegressionMetric::Rmse, RegressionMetric::Mape, RegressionMetric::Smape,
                RegressionMetric::Mase, RegressionMetric::R2, RegressionMetric::DirectionalAccuracy,
                RegressionMetric::Bias, RegressionMetric::MedianAbsoluteError,
            ] {
                match (sum.measure(metric, LEVEL), whole.measure(metric, LEVEL)) {
                    (Ok(a), Ok(b)) => {
                        prop_assert!((a.value - b.value).abs() <= 1e-8 * b.value.abs().max(1.0), "{metric:?} {a:?} {b:?}");
                        let ends = |m: caisson_quality::Measure| m.interval.map_or((0.0, 0.0), |i| (i.low, i.high));
                        let (x, y) = (ends(a), ends(b));
                        prop_assert!((x.0 - y.0).abs() <= 1e-6 * y.0.abs().max(1.0), "{metric:?} {x:?} {y:?}");
                        prop_assert!((x.1 - y.1).abs() <= 1e-6 * y.1.abs().max(1.0), "{metric:?} {x:?} {y:?}");
                    }
                    (a, b) => prop_assert_eq!(a, b),
                }
            }
        }
    }
}
