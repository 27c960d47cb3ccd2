//! The statistics against values of SciPy and scikit-learn, and the properties that they must have.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

use drift_kit::rng::Rng;
use drift_kit::stats::auc::roc_auc;
use drift_kit::stats::contingency::{chi_square, homogeneity, two_proportions_p_value};
use drift_kit::stats::correction::benjamini_hochberg;
use drift_kit::stats::divergence::{ZeroPolicy, jensen_shannon_distance, psi};
use drift_kit::stats::kolmogorov::kolmogorov_sf;
use drift_kit::stats::ks::{ks_p_value, ks_statistic};
use drift_kit::stats::tail::{chi_square_sf, normal_sf};
use drift_kit::stats::wasserstein::{wasserstein_distance, wasserstein_p_value};
use proptest::prelude::*;
use serde_json::Value;

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn stats() -> Value {
    document(include_str!("../reference/stats.json"))
}

fn more() -> Value {
    document(include_str!("../reference/more.json"))
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
    value.as_array().unwrap().iter().map(number).collect()
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(whole).collect()
}

fn sorted(value: &Value) -> Vec<f64> {
    let mut values = numbers(value);
    values.sort_by(f64::total_cmp);
    values
}

#[track_caller]
fn assert_close(found: f64, expected: f64, relative: f64, context: &str) {
    let allowed = relative * expected.abs() + 1e-300;
    assert!(
        (found - expected).abs() <= allowed,
        "{context}: {found:e} instead of {expected:e}"
    );
}

#[test]
fn two_samples_agree_with_scipy() {
    for case in rows(&stats()["two_sample"]) {
        let name = case["name"].as_str().unwrap();
        let (a, b) = (sorted(&case["reference"]), sorted(&case["current"]));
        let d = ks_statistic(&a, &b);
        assert_close(d, number(&case["ks_statistic"]), 1e-12, name);
        let p = ks_p_value(d, a.len() as u64, b.len() as u64);
        assert_close(p, number(&case["ks_p_value_auto"]), 1e-9, name);
        assert_close(
            wasserstein_distance(&a, &b),
            number(&case["wasserstein_distance"]),
            1e-12,
            name,
        );
    }
}

#[test]
fn ks_p_values_agree_with_scipy_from_the_centre_to_the_tail() {
    for case in rows(&more()["ks_p_values"]) {
        let (n, m, d) = (whole(&case["n"]), whole(&case["m"]), number(&case["d"]));
        let p = number(&case["p"]);
        // Where counting all paths would take too long the asymptotic form stands in: p < 1e-30.
        let far = n.max(m) <= 10_000 && p < 1e-28;
        let relative = if far { 0.2 } else { 1e-6 };
        assert_close(ks_p_value(d, n, m), p, relative, &case.to_string());
    }
}

#[test]
fn tails_agree_with_scipy() {
    for case in rows(&more()["chi_square_sf"]) {
        let p = chi_square_sf(number(&case["x"]), whole(&case["dof"]) as usize);
        assert_close(p, number(&case["p"]), 1e-10, &case.to_string());
    }
    for case in rows(&more()["normal_sf"]) {
        assert_close(
            normal_sf(number(&case["z"])),
            number(&case["p"]),
            1e-10,
            &case.to_string(),
        );
    }
    for case in rows(&more()["kolmogorov_sf"]) {
        let p = kolmogorov_sf(whole(&case["n"]), number(&case["d"]));
        assert_close(p, number(&case["p"]), 1e-7, &case.to_string());
    }
}

#[test]
fn population_stability_agrees_with_the_reference_values() {
    for case in rows(&stats()["psi"]) {
        let (a, b) = (counts(&case["reference_counts"]), counts(&case["current_counts"]));
        let floor = ZeroPolicy::Floor(number(&case["floor"]));
        assert_close(
            psi(&a, &b, floor),
            number(&case["psi"]),
            1e-12,
            &case["name"].to_string(),
        );
    }
}

#[test]
fn an_unseen_bin_with_one_percent_of_the_traffic_is_no_alarm() {
    let (reference, current) = ([5000, 5000, 0], [4950, 4950, 100]);
    for policy in [
        ZeroPolicy::default(),
        ZeroPolicy::Floor(1e-4),
        ZeroPolicy::Smooth(0.5),
    ] {
        let value = psi(&reference, &current, policy);
        assert!((0.03..0.08).contains(&value), "{policy:?}: {value}");
    }
    // What these avoid.
    assert!(psi(&reference, &current, ZeroPolicy::Floor(1e-300)) > 6.0);
    // More rows don't make more of it, and an empty bin of a small sample says less.
    let millions = psi(
        &[5_000_000, 5_000_000, 0],
        &[4_950_000, 4_950_000, 100_000],
        ZeroPolicy::default(),
    );
    assert!(millions < 0.08, "{millions}");
    assert!(psi(&[50, 50, 0], &[99, 99, 2], ZeroPolicy::default()) < 0.01);
    // A category that is rare in a large reference and absent in a small window says nothing.
    assert!(psi(&[9990, 10], &[100, 0], ZeroPolicy::default()) < 1e-4);
}

#[test]
fn categories_agree_with_scipy() {
    for case in rows(&stats()["categorical"]) {
        let name = case["name"].as_str().unwrap();
        let (a, b) = (counts(&case["reference_counts"]), counts(&case["current_counts"]));
        let test = chi_square(&a, &b);
        assert_close(test.statistic, number(&case["chi2"]), 1e-12, name);
        assert_eq!(test.dof as u64, whole(&case["dof"]));
        assert_close(test.p_value, number(&case["p_value"]), 1e-11, name);
        assert_close(test.cramers_v, number(&case["cramers_v"]), 1e-12, name);
        let distance = number(&case["jensen_shannon_distance_base2"]);
        assert_close(jensen_shannon_distance(&a, &b), distance, 1e-12, name);
    }
    let two = &more()["chi_square_two_categories"];
    let test = chi_square(&counts(&two["reference_counts"]), &counts(&two["current_counts"]));
    assert_close(test.statistic, number(&two["chi2"]), 1e-12, "two");
    assert_close(test.p_value, number(&two["p_value"]), 1e-11, "two");
}

#[test]
fn shares_agree_with_scipy() {
    for section in ["fisher", "two_proportions"] {
        for case in rows(&more()[section]) {
            let [a, n, b, m] = ["a", "n", "b", "m"].map(|key| whole(&case[key]));
            let p = number(&case["p"]);
            assert_close(two_proportions_p_value(a, n, b, m), p, 1e-8, &case.to_string());
            assert_close(two_proportions_p_value(b, m, a, n), p, 1e-8, &case.to_string());
        }
    }
    assert_eq!(two_proportions_p_value(0, 100, 0, 50), 1.0);
    assert_eq!(two_proportions_p_value(100, 100, 50, 50), 1.0);
    assert_eq!(two_proportions_p_value(0, 0, 3, 50), 1.0);
}

#[test]
fn the_correction_agrees_with_scipy() {
    let (stats, more) = (stats(), more());
    let sections = rows(&more["benjamini_hochberg"])
        .iter()
        .chain([&stats["benjamini_hochberg"]]);
    for case in sections {
        let found = benjamini_hochberg(&numbers(&case["p_values"]));
        for (found, expected) in found.iter().zip(numbers(&case["adjusted"])) {
            assert_close(*found, expected, 1e-12, &case.to_string());
        }
    }
    assert!(benjamini_hochberg(&[]).is_empty());
}

#[test]
fn the_area_under_the_curve_agrees_with_scikit_learn() {
    let scored = |case: &Value| -> Vec<(f64, bool)> {
        let labels = counts(&case["labels"]).into_iter().map(|l| l == 1);
        numbers(&case["scores"]).into_iter().zip(labels).collect()
    };
    for case in rows(&stats()["roc_auc"]) {
        let auc = roc_auc(&scored(case)).unwrap();
        assert_close(
            auc.area,
            number(&case["roc_auc"]),
            1e-12,
            &case["name"].to_string(),
        );
    }
    for case in rows(&more()["auc"]) {
        let auc = roc_auc(&scored(case)).unwrap();
        assert_close(auc.area, number(&case["auc"]), 1e-12, &case["name"].to_string());
        if let Some(p) = case["p_greater"].as_f64() {
            assert_close(
                normal_sf((auc.area - 0.5) / auc.null_variance.sqrt()),
                p,
                1e-9,
                "p",
            );
        } else {
            assert_eq!((auc.area, auc.null_variance), (0.5, 0.0));
        }
    }
    assert_eq!(roc_auc(&[(0.3, true)]), None);
}

#[test]
fn permutation_p_values_agree_with_scipy_within_their_resolution() {
    for case in rows(&more()["wasserstein_p_values"]) {
        let (a, b) = (sorted(&case["reference"]), sorted(&case["current"]));
        let found = wasserstein_p_value(&a, &b, (a.len() as u64, b.len() as u64));
        let p = number(&case["p"]);
        // Three standard errors of 199 relabellings.
        let allowed = 3.0 * (p * (1.0 - p) / 199.0).sqrt() + 0.005;
        assert!(
            (found - p).abs() < allowed,
            "{}: {found} instead of {p}",
            case["name"]
        );
    }
}

#[test]
fn permutation_p_values_hold_their_level() {
    // Skewed samples of one distribution, sizes that are thinned in part.
    for (n, m, runs) in [(60, 90, 200), (6000, 9000, 60)] {
        let mut rng = Rng::new(5);
        let mut sample = |size: usize| {
            let mut values: Vec<f64> = (0..size)
                .map(|_| -((rng.below(1 << 30) + 1) as f64 / (1u64 << 30) as f64).ln())
                .collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let rejected = (0..runs)
            .filter(|_| wasserstein_p_value(&sample(n), &sample(m), (n as u64, m as u64)) <= 0.1)
            .count() as f64;
        let expected = 0.1 * f64::from(runs);
        let allowed = 3.5 * (expected * 0.9).sqrt();
        assert!(
            (rejected - expected).abs() < allowed,
            "{rejected} of {runs} at level 0.1"
        );
    }
}

#[test]
fn empty_constant_and_infinite_samples_give_numbers() {
    let (three, four) = ([3.0; 40], [4.0; 30]);
    assert_eq!(ks_statistic(&three, &three), 0.0);
    assert_eq!(ks_statistic(&three, &four), 1.0);
    assert_eq!(ks_statistic(&[], &three), 0.0);
    assert_eq!(ks_p_value(0.0, 40, 40), 1.0);
    assert_eq!(ks_p_value(0.5, 0, 40), 1.0);
    let infinite = [f64::NEG_INFINITY, 0.0, f64::INFINITY, f64::INFINITY];
    assert_eq!(ks_statistic(&infinite, &[0.0, 1.0]), 0.5);
    assert_eq!(wasserstein_distance(&three, &three), 0.0);
    assert_eq!(wasserstein_distance(&three, &four), 1.0);
    assert_eq!(wasserstein_distance(&[0.0; 3], &[0.0; 9]), 0.0);
    assert_eq!(wasserstein_distance(&[], &three), 0.0);
    assert_eq!(wasserstein_p_value(&three, &three, (40, 40)), 1.0);
    assert!(wasserstein_p_value(&three, &four, (40, 30)) < 1e-3);
    assert_eq!(wasserstein_p_value(&[0.0; 5], &[0.0; 5], (5, 5)), 1.0);
    let (low, high) = ([-f64::MAX; 3], [f64::MAX; 3]);
    assert_eq!(wasserstein_distance(&low, &high), f64::MAX);
    let empty = chi_square(&[0, 0], &[3, 4]);
    assert_eq!(
        (empty.statistic, empty.dof, empty.p_value, empty.cramers_v),
        (0.0, 0, 1.0, 0.0)
    );
    let one = chi_square(&[7, 0], &[3, 0]);
    assert_eq!((one.statistic, one.dof, one.p_value), (0.0, 0, 1.0));
    assert_eq!(psi(&[0, 0], &[1, 2], ZeroPolicy::default()), 0.0);
    assert_eq!(jensen_shannon_distance(&[0, 0], &[1, 2]), 0.0);
    assert_eq!(jensen_shannon_distance(&[5, 0], &[0, 2]), 1.0);
}

#[test]
fn rare_categories_are_tested_together() {
    // A hundred new categories of one row each: none is significant, all together are.
    let mut reference = vec![500, 500];
    let mut current = vec![450, 450];
    reference.extend([0; 100]);
    current.extend([1; 100]);
    let together = homogeneity(&reference, &current);
    assert_eq!(
        together.statistic,
        chi_square(&[500, 500, 0], &[450, 450, 100]).statistic
    );
    assert!(together.p_value < 1e-20);
    // Nothing rare: Pearson's test as it is.
    let (plain, test) = (
        homogeneity(&[120, 80], &[90, 70]),
        chi_square(&[120, 80], &[90, 70]),
    );
    assert_eq!((plain.statistic, plain.p_value), (test.statistic, test.p_value));
    // Two rows of a new category among 32: Fisher's exact test, 496 / 531,996.
    let two = homogeneity(&[1000, 0], &[30, 2]);
    assert!((two.p_value - 496.0 / 531_996.0).abs() < 1e-9, "{}", two.p_value);
    // Beside common categories that didn't change: twice that.
    let three = homogeneity(&[500, 500, 0], &[15, 15, 2]);
    assert!(
        (three.p_value - 2.0 * two.p_value).abs() < 1e-9,
        "{}",
        three.p_value
    );
    assert_eq!(homogeneity(&[0, 7], &[0, 3]).p_value, 1.0);
    assert_eq!(homogeneity(&[], &[]), homogeneity(&[0], &[4]));
}

#[test]
fn the_effect_size_does_not_depend_on_the_window() {
    let (large, small) = (
        homogeneity(&[800, 200], &[600, 400]),
        homogeneity(&[80_000, 20_000], &[60, 40]),
    );
    assert!((large.effect - small.effect).abs() < 1e-12);
    assert!((large.effect - chi_square(&[800, 200], &[600, 400]).cramers_v).abs() < 1e-12);
    assert!(chi_square(&[80_000, 20_000], &[60, 40]).cramers_v < large.effect / 5.0);
    assert_eq!(homogeneity(&[90, 90, 0, 0], &[0, 0, 90, 90]).effect, 1.0);
}

#[test]
fn p_values_of_few_rows_hold_their_level() {
    // Ten categories, most of them rare, windows of 40 rows from the reference's own distribution.
    let weights = [500u64, 300, 100, 40, 20, 15, 10, 8, 5, 2];
    let mut rng = Rng::new(3);
    let mut window = |rows: u64| {
        let mut counts = vec![0; weights.len()];
        for _ in 0..rows {
            let mut left = rng.below(1000);
            let drawn = weights.iter().position(|&w| {
                let hit = left < w;
                left = left.saturating_sub(w);
                hit
            });
            counts[drawn.unwrap()] += 1;
        }
        counts
    };
    let runs = 2000;
    let false_alarms = (0..runs)
        .filter(|_| homogeneity(&window(2000), &window(40)).p_value <= 0.05)
        .count();
    assert!(
        false_alarms < runs * 7 / 100,
        "{false_alarms} of {runs} at level 0.05"
    );
}

fn sample() -> impl Strategy<Value = Vec<f64>> {
    // Few distinct values, so that ties are common, and some wild ones.
    let value = prop_oneof![4 => (-5i32..5).prop_map(f64::from), 1 => -1e300..1e300];
    prop::collection::vec(value, 1..60).prop_map(|mut values| {
        values.sort_by(f64::total_cmp);
        values
    })
}

proptest! {
    #[test]
    fn distances_are_symmetric_and_zero_for_the_same(a in sample(), b in sample()) {
        let (n, m) = (a.len() as u64, b.len() as u64);
        let d = ks_statistic(&a, &b);
        prop_assert_eq!(d, ks_statistic(&b, &a));
        prop_assert!((0.0..=1.0).contains(&d));
        prop_assert_eq!(ks_statistic(&a, &a), 0.0);
        let (p, q) = (ks_p_value(d, n, m), ks_p_value(d, m, n));
        prop_assert!((0.0..=1.0).contains(&p));
        prop_assert_eq!(p, q);
        let w = wasserstein_distance(&a, &b);
        prop_assert!((w - wasserstein_distance(&b, &a)).abs() <= w * 1e-9);
        prop_assert!(w.is_finite() && w >= 0.0);
        prop_assert_eq!(wasserstein_distance(&a, &a), 0.0);
        let p = wasserstein_p_value(&a, &b, (n, m));
        prop_assert!((0.0..=1.0).contains(&p));
        prop_assert_eq!(wasserstein_p_value(&a, &a, (n, n)), 1.0);
    }

    #[test]
    fn a_shift_moves_the_wasserstein_distance_by_itself(a in prop::collection::vec(-10i32..10, 1..50), shift in 1i32..9) {
        let mut a: Vec<f64> = a.into_iter().map(f64::from).collect();
        a.sort_by(f64::total_cmp);
        let b: Vec<f64> = a.iter().map(|v| v + f64::from(shift)).collect();
        prop_assert!((wasserstein_distance(&a, &b) - f64::from(shift)).abs() < 1e-9);
    }

    #[test]
    fn counts_give_numbers_in_range(pairs in prop::collection::vec((0u64..50, 0u64..50), 1..20)) {
        let (a, b): (Vec<u64>, Vec<u64>) = pairs.into_iter().unzip();
        for policy in [ZeroPolicy::default(), ZeroPolicy::Floor(1e-4)] {
            let value = psi(&a, &b, policy);
            prop_assert!(value.is_finite() && value >= 0.0);
            prop_assert!((value - psi(&b, &a, policy)).abs() < 1e-9);
            prop_assert!(psi(&a, &a, policy).abs() < 1e-12);
            // The same shares in a window of another size.
            let tripled: Vec<u64> = a.iter().map(|count| 3 * count).collect();
            prop_assert!(psi(&a, &tripled, policy).abs() < 1e-12);
        }
        let js = jensen_shannon_distance(&a, &b);
        prop_assert!((0.0..=1.0).contains(&js));
        prop_assert!((js - jensen_shannon_distance(&b, &a)).abs() < 1e-9);
        prop_assert_eq!(jensen_shannon_distance(&a, &a), 0.0);
        let test = chi_square(&a, &b);
        prop_assert!(test.statistic.is_finite() && (0.0..=1.0).contains(&test.p_value));
        prop_assert!((0.0..=1.0).contains(&test.cramers_v));
        let (test, other_way) = (homogeneity(&a, &b), homogeneity(&b, &a));
        prop_assert!((0.0..=1.0).contains(&test.p_value) && (0.0..=1.0).contains(&test.effect));
        prop_assert!((test.p_value - other_way.p_value).abs() < 1e-9);
        prop_assert!((test.effect - other_way.effect).abs() < 1e-9);
        let same = homogeneity(&a, &a);
        prop_assert!(same.statistic.abs() < 1e-9 && same.p_value > 0.999 && same.effect < 1e-9);
    }
}
