//! Distributions, tests and intervals against SciPy's values.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

use caisson_stats::bootstrap::{self, Resampling};
use caisson_stats::contingency::{chi_square, proportion_rise_p_value, two_proportions_p_value};
use caisson_stats::interval::wilson;
use caisson_stats::moments::{Moments, Welch};
use caisson_stats::ranks::{Area, average_precision, average_precision_bounds, ties};
use caisson_stats::rng::Rng;
use caisson_stats::tail::{chi_square_sf, normal_quantile, student_quantile, student_sf};
use proptest::prelude::*;
use serde_json::Value;

const METRICS: &str = include_str!("../../quality/tests/data/metrics.json");
const STATS: &str = include_str!("../../quality/tests/data/stats.json");

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn rows(section: &Value) -> &[Value] {
    let rows = section.as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    rows(value).iter().map(number).collect()
}

#[track_caller]
fn assert_close(found: f64, expected: f64, relative: f64, context: &str) {
    let allowed = relative * expected.abs().max(1e-12);
    assert!(
        (found - expected).abs() <= allowed,
        "{context}: {found:e} instead of {expected:e}"
    );
}

#[test]
fn tails_and_quantiles_agree_with_scipy() {
    let tails = &document(METRICS)["tails"];
    for case in rows(&tails["student_sf"]) {
        let (dof, expected) = (number(&case["dof"]), number(&case["p"]));
        let p = student_sf(number(&case["t"]), dof);
        // Past 1e8 it is the normal distribution's: within 1e-9 of all, not of the tail.
        let relative = if dof > 1e8 { 1e-9 / expected } else { 1e-9 };
        assert_close(p, expected, relative, &case.to_string());
    }
    for case in rows(&tails["student_quantile"]) {
        let t = student_quantile(number(&case["p"]), number(&case["dof"]));
        assert_close(t, number(&case["t"]), 1e-7, &case.to_string());
    }
    for case in rows(&tails["normal_quantile"]) {
        let z = normal_quantile(number(&case["p"]));
        assert_close(z, number(&case["z"]), 1e-9, &case.to_string());
    }
    assert_eq!(student_sf(3.0, 0.0), 1.0);
    assert_eq!(student_quantile(0.9, 0.0), f64::INFINITY);
    assert!(normal_quantile(0.0).is_finite() && normal_quantile(1.0).is_finite());
}

#[test]
fn intervals_of_proportions_agree_with_scipy() {
    for case in rows(&document(METRICS)["tails"]["wilson"]) {
        let interval = wilson(number(&case["hits"]), number(&case["rows"]), 0.95).unwrap();
        let expected = numbers(&case["interval"]);
        assert_close(interval.low, expected[0], 1e-9, &case.to_string());
        assert_close(interval.high, expected[1], 1e-9, &case.to_string());
    }
    assert_eq!(wilson(0.0, 0.0, 0.95), None);
}

#[test]
fn one_sided_tests_of_few_rows_agree_with_fishers() {
    for case in rows(&document(METRICS)["tails"]["rise"]) {
        let of = |key: &str| whole(&case[key]);
        let p = proportion_rise_p_value(of("a"), of("n"), of("b"), of("m"));
        assert_close(p, number(&case["p"]), 1e-8, &case.to_string());
    }
    // With many rows the z-test: half of the two-sided one, and its complement the other way.
    let p = proportion_rise_p_value(100, 1000, 130, 1000);
    assert_close(
        2.0 * p,
        two_proportions_p_value(100, 1000, 130, 1000),
        1e-12,
        "rise",
    );
    assert_close(
        proportion_rise_p_value(130, 1000, 100, 1000),
        1.0 - p,
        1e-12,
        "fall",
    );
    assert_eq!(proportion_rise_p_value(0, 0, 3, 5), 1.0);
}

#[test]
fn welchs_test_agrees_with_scipy() {
    for case in rows(&document(STATS)["ab"]) {
        let name = case["name"].as_str().unwrap();
        let of = |key: &str| numbers(&case[key]).into_iter().collect::<Moments>();
        let (control, treatment) = (of("control"), of("treatment"));
        let test = Welch::new(&control, &treatment).unwrap();
        assert_close(
            test.t,
            number(&case["welch_t_treatment_minus_control"]),
            1e-9,
            name,
        );
        assert_close(test.dof, number(&case["welch_df"]), 1e-9, name);
        assert_close(test.p_value(), number(&case["welch_p"]), 1e-9, name);
        assert_close(test.cohens_d, number(&case["cohens_d_pooled_ddof1"]), 1e-9, name);
        let (interval, expected) = (
            test.interval(0.95).unwrap(),
            numbers(&case["welch_ci95_difference"]),
        );
        assert_close(interval.low, expected[0], 1e-8, name);
        assert_close(interval.high, expected[1], 1e-8, name);
        let improvement = 100.0 * test.difference / control.mean().unwrap();
        assert_close(
            improvement,
            number(&case["relative_improvement_percent"]),
            1e-9,
            name,
        );
        // Student's test is Welch's with the variance of both together.
        let (n, m) = (control.count() as f64, treatment.count() as f64);
        let student = -test.cohens_d / (1.0 / n + 1.0 / m).sqrt();
        assert_close(
            student,
            number(&case["student_t_control_minus_treatment"]),
            1e-9,
            name,
        );
        let p = 2.0 * student_sf(student.abs(), n + m - 2.0);
        assert_close(p, number(&case["student_p"]), 1e-9, name);
        assert_close(
            test.rise_p_value().min(1.0 - test.rise_p_value()) * 2.0,
            test.p_value(),
            1e-9,
            name,
        );
    }
    let of = |values: &[f64]| values.iter().copied().collect::<Moments>();
    assert_eq!(Welch::new(&of(&[1.0]), &of(&[1.0, 2.0])), None);
    let same = Welch::new(&of(&[2.0; 5]), &of(&[2.0; 9])).unwrap();
    assert_eq!((same.t, same.cohens_d, same.p_value()), (0.0, 0.0, 1.0));
    let apart = Welch::new(&of(&[2.0; 5]), &of(&[3.0; 9])).unwrap();
    assert_eq!((apart.t, apart.rise_p_value()), (f64::INFINITY, 0.0));
}

#[test]
fn shares_of_a_split_agree_with_scipy() {
    for case in rows(&document(STATS)["sample_ratio"]) {
        let (observed, weights) = (numbers(&case["observed"]), numbers(&case["weights"]));
        let rows: f64 = observed.iter().sum();
        let terms = observed
            .iter()
            .zip(&weights)
            .map(|(o, w)| (o - w * rows).powi(2) / (w * rows));
        let statistic: f64 = terms.sum();
        assert_close(statistic, number(&case["chi2"]), 1e-9, "statistic");
        assert_close(
            chi_square_sf(statistic, observed.len() - 1),
            number(&case["p_value"]),
            1e-8,
            "p",
        );
    }
    assert_eq!(chi_square(&[3, 3], &[5, 5]).p_value, 1.0);
}

#[test]
fn areas_agree_with_all_pairs() {
    for case in rows(&document(METRICS)["binary"]) {
        let labels = numbers(&case["labels"]).into_iter().map(|label| label == 1.0);
        let scored: Vec<(f64, bool)> = numbers(&case["scores"]).into_iter().zip(labels).collect();
        let name = case["name"].as_str().unwrap();
        let Some(area) = Area::new(&ties(&scored)) else {
            assert!(case["roc_auc"].is_null(), "{name}");
            continue;
        };
        assert_close(area.area, number(&case["roc_auc"]), 1e-12, name);
        match area.variance {
            Some(variance) => assert!(
                (variance - number(&case["delong_variance"])).abs() < 1e-12,
                "{name}"
            ),
            None => assert!(case["delong_variance"].is_null(), "{name}"),
        }
    }
}

#[test]
fn resampled_intervals_agree_with_scipys() {
    for case in rows(&document(METRICS)["bootstrap"]) {
        let values = numbers(&case["values"]);
        let expected = numbers(&case["interval"]);
        let is_mean = case["statistic"] == "mean";
        let statistic = |rows: &[usize]| {
            let n = rows.len() as f64;
            let mean = rows.iter().map(|row| values[*row]).sum::<f64>() / n;
            let squares: f64 = rows.iter().map(|row| (values[*row] - mean).powi(2)).sum();
            Some(if is_mean { mean } else { (squares / n).sqrt() })
        };
        let resampling = Resampling {
            replicates: 10_000,
            seed: 5,
        };
        let found = bootstrap::interval(values.len(), 0.95, resampling, statistic).unwrap();
        let again = bootstrap::interval(values.len(), 0.95, resampling, statistic).unwrap();
        assert_eq!(found, again);
        // What two sets of 10,000 and 20,000 resamples differ by.
        let allowed = 0.04 * (expected[1] - expected[0]);
        assert!(
            (found.low - expected[0]).abs() < allowed,
            "{found:?} {expected:?}"
        );
        assert!(
            (found.high - expected[1]).abs() < allowed,
            "{found:?} {expected:?}"
        );
    }
}

#[test]
fn resampling_that_tells_nothing_gives_no_interval() {
    let few = Resampling::default();
    assert_eq!(bootstrap::interval(50, 0.95, few, |_| Some(1.0)), None);
    assert_eq!(bootstrap::interval(0, 0.95, few, |_| None), None);
    let whole_only = |rows: &[usize]| (rows.windows(2).all(|w| w[0] < w[1])).then_some(1.0);
    assert_eq!(bootstrap::interval(50, 0.95, few, whole_only), None);
    assert_eq!(
        bootstrap::rise_p_value((30, 30), few, |_| None, |_| Some(1.0)),
        None
    );
}

#[test]
fn resampled_tests_find_a_rise_and_hold_their_level() {
    let mut rng = Rng::new(9);
    let mut normal = |n: usize, mean: f64| -> Vec<f64> {
        let mut draw = || {
            (0..12)
                .map(|_| rng.below(1 << 30) as f64 / f64::from(1 << 30))
                .sum::<f64>()
                - 6.0
        };
        (0..n).map(|_| mean + draw()).collect()
    };
    let resampling = Resampling {
        replicates: 200,
        seed: 3,
    };
    let test = |a: &[f64], b: &[f64]| {
        let mean = |of: &[f64], rows: &[usize]| {
            Some(rows.iter().map(|row| of[*row]).sum::<f64>() / rows.len() as f64)
        };
        let rows = (a.len(), b.len());
        bootstrap::rise_p_value(rows, resampling, |rows| mean(a, rows), |rows| mean(b, rows)).unwrap()
    };
    assert!(test(&normal(80, 0.0), &normal(80, 1.0)) < 0.01);
    assert!(test(&normal(80, 1.0), &normal(80, 0.0)) > 0.99);
    let alarms = (0..300)
        .filter(|_| test(&normal(60, 0.0), &normal(90, 0.0)) <= 0.1)
        .count();
    assert!((12..50).contains(&alarms), "{alarms} of 300 at level 0.1");
}

#[test]
fn large_samples_are_resampled_in_part() {
    let rows = 400_000;
    let mean =
        |rows: &[usize]| Some(rows.iter().map(|row| (row % 2) as f64).sum::<f64>() / rows.len() as f64);
    let found = bootstrap::interval(rows, 0.95, Resampling::default(), mean).unwrap();
    // 1.96 × 0.5 / √400,000 = 0.00155
    let half = (found.high - found.low) / 2.0;
    assert!((half - 0.00155).abs() < 0.0003, "{found:?}");
}

proptest! {
    #[test]
    fn moments_merge_in_any_order(parts in prop::collection::vec(prop::collection::vec(-1e6..1e6f64, 0..20), 1..8)) {
        let all: Moments = parts.iter().flatten().copied().collect();
        let of = |part: &Vec<f64>| part.iter().copied().collect::<Moments>();
        let mut forward = Moments::default();
        parts.iter().for_each(|part| forward.merge(&of(part)));
        let mut backward = Moments::default();
        parts.iter().rev().for_each(|part| {
            let mut sum = of(part);
            sum.merge(&backward);
            backward = sum;
        });
        for merged in [forward, backward] {
            prop_assert_eq!(
                (merged.count(), merged.min(), merged.max()),
                (all.count(), all.min(), all.max())
            );
            if let (Some(a), Some(b)) = (merged.mean(), all.mean()) {
                prop_assert!((a - b).abs() <= 1e-9 * 1e6);
            }
            if let (Some(a), Some(b)) = (merged.variance(), all.variance()) {
                prop_assert!((a - b).abs() <= 1e-9 * 1e12);
            }
        }
    }

    #[test]
    fn average_precision_is_between_its_bounds(
        scored in prop::collection::vec((0u8..40, any::<bool>()), 1..120), width in 1u8..10,
    ) {
        let of = |width: u8| {
            let scored: Vec<_> = scored.iter().map(|(score, label)| (f64::from(score / width), *label)).collect();
            ties(&scored)
        };
        let (exact, binned) = (of(1), of(width));
        match (average_precision(&exact), average_precision_bounds(&binned)) {
            (Some(value), Some((low, high))) => {
                prop_assert!(low - 1e-9 <= value && value <= high + 1e-9, "{low} {value} {high}");
            }
            (None, None) => {}
            other => prop_assert!(false, "{other:?}"),
        }
        if let (Some(exact), Some(binned)) = (Area::new(&exact), Area::new(&binned)) {
            prop_assert!((exact.area - binned.area).abs() <= binned.tied + 1e-12);
        }
    }
}
