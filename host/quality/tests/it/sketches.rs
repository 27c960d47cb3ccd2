use caisson_quality::accumulator::{Accumulator, StateError, load, save};
use caisson_quality::distinct::Distinct;
use caisson_quality::frequent::{Frequent, KEPT};
use caisson_quality::quantiles::Quantiles;
use caisson_quality::summary::{Cell, Column, Kind, Summary};
use caisson_stats::rng::Rng;
use proptest::prelude::*;

/// Merge parts pairwise in an order that the seed gives.
fn merge_all<T: Clone>(mut parts: Vec<T>, seed: u64, mut merge: impl FnMut(&mut T, &T)) -> T {
    let mut rng = Rng::new(seed);
    while parts.len() > 1 {
        rng.shuffle(&mut parts);
        let other = parts.pop().unwrap();
        merge(parts.last_mut().unwrap(), &other);
    }
    parts.pop().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn quantiles_keep_their_error_through_any_merging(
        seed in any::<u64>(), parts in 1usize..12, size in 1usize..2500, spread in 1u64..1_000_000,
    ) {
        let mut rng = Rng::new(seed);
        let mut values = Vec::new();
        let sketches: Vec<Quantiles> = (0..parts).map(|_| {
            let mut sketch = Quantiles::default();
            for _ in 0..size {
                let value = rng.below(spread) as f64 - 100.0;
                sketch.add(value);
                values.push(value);
            }
            sketch
        }).collect();
        let merged = merge_all(sketches, seed, |a, b| a.merge(b).unwrap());
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        prop_assert_eq!(merged.count() as usize, values.len());
        // 1.3 % holds for 99 of 100; twice that for all but a few in a million.
        let allowed = 2.0 * merged.rank_error() + 1.0 / n;
        for p in [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0] {
            let found = merged.quantile(p).unwrap();
            let below = values.partition_point(|v| *v < found) as f64 / n;
            let at_most = values.partition_point(|v| *v <= found) as f64 / n;
            prop_assert!(below - allowed <= p && p <= at_most + allowed, "{p}: {below} {at_most} {allowed}");
            let share = merged.share_at_most(found).unwrap();
            prop_assert!((share - at_most).abs() <= allowed);
        }
        let again: Quantiles = load("q", &save("q", &merged).unwrap()).unwrap();
        prop_assert_eq!(again.quantile(0.3), merged.quantile(0.3));
        prop_assert!(merged.bytes() < 10_000);
    }

    #[test]
    fn distinct_counts_keep_their_error_through_any_merging(
        seed in any::<u64>(), parts in 1usize..10, size in 1usize..2000, spread in 1u64..30_000,
    ) {
        let mut rng = Rng::new(seed);
        let mut seen = std::collections::BTreeSet::new();
        let sets: Vec<Distinct> = (0..parts).map(|_| {
            let mut set = Distinct::default();
            for _ in 0..size {
                let value = rng.below(spread);
                set.add(value);
                seen.insert(value);
            }
            set
        }).collect();
        let merged = merge_all(sets.clone(), seed, Distinct::merge);
        let other_way = merge_all(sets, !seed, Distinct::merge);
        let truth = seen.len() as f64;
        for set in [&merged, &other_way] {
            // Five standard errors.
            prop_assert!((set.estimate() - truth).abs() <= 0.115 * truth + 0.5, "{} {truth}", set.estimate());
        }
        let again: Distinct = load("d", &save("d", &merged).unwrap()).unwrap();
        prop_assert_eq!(again.estimate(), merged.estimate());
        prop_assert!(merged.bytes() < 4096);
    }

    #[test]
    fn counts_of_values_keep_their_error_through_any_merging(
        seed in any::<u64>(), parts in 1usize..8, size in 1usize..2000, spread in 1u64..3000,
    ) {
        let mut rng = Rng::new(seed);
        let mut truth = std::collections::BTreeMap::<String, u64>::new();
        let sketches: Vec<Frequent> = (0..parts).map(|_| {
            let mut counts = Frequent::default();
            for _ in 0..size {
                // Skewed: the square of a uniform number.
                let at = rng.below(spread) * rng.below(spread) / spread;
                let value = format!("v{at}");
                counts.add(&value);
                *truth.entry(value).or_default() += 1;
            }
            counts
        }).collect();
        let merged = merge_all(sketches, seed, Frequent::merge);
        let total: u64 = truth.values().sum();
        prop_assert_eq!(merged.total(), total);
        prop_assert!(merged.error() as f64 <= 3.5 / 256.0 * total as f64);
        let list = merged.list();
        prop_assert!(list.len() <= KEPT);
        for row in &list {
            let count = truth[&row.value];
            prop_assert!(row.at_least <= count && count <= row.at_least + merged.error());
        }
        let listed: u64 = list.iter().map(|row| row.at_least).sum();
        prop_assert_eq!(merged.other(), total - listed);
        for (value, count) in &truth {
            prop_assert!(merged.lists(value) || *count <= merged.error());
        }
        if truth.len() <= KEPT {
            prop_assert!(merged.is_exact() && list.len() == truth.len());
        }
        let again: Frequent = load("f", &save("f", &merged).unwrap()).unwrap();
        prop_assert_eq!(again, merged);
    }
}

#[test]
fn few_values_are_exact() {
    let mut sketch = Quantiles::default();
    [5.0, 1.0, 4.0, 2.0, f64::NAN]
        .into_iter()
        .for_each(|v| sketch.add(v));
    assert_eq!((sketch.count(), sketch.rank_error()), (4, 0.0));
    assert_eq!(sketch.quantile(0.5), Some(3.0));
    assert_eq!(sketch.quantile(0.25), Some(1.0));
    assert_eq!(sketch.quantile(1.0), Some(5.0));
    assert_eq!(sketch.share_at_most(2.0), Some(0.5));
    assert_eq!(sketch.median_interval(0.95), None);
    assert_eq!(Quantiles::default().quantile(0.5), None);
    let mut texts = Frequent::default();
    texts.add(&"x".repeat(1000));
    texts.add("a");
    assert_eq!((texts.total(), texts.other(), texts.is_exact()), (2, 1, false));
}

#[test]
fn a_summary_counts_what_is_no_value() {
    let mut summary = Summary::new(&[Kind::Number, Kind::Category]).unwrap();
    let rows: [[Cell<'_>; 2]; 7] = [
        [Cell::Number(1.0), Cell::Text("a")],
        [Cell::Number(f64::NAN), Cell::Missing],
        [Cell::Missing, Cell::Number(f64::NAN)],
        [Cell::Number(f64::INFINITY), Cell::Number(7.0)],
        [Cell::Text("3"), Cell::Bool(true)],
        [Cell::Number(-0.0), Cell::Text("a")],
        [Cell::Number(0.0), Cell::Text("b")],
    ];
    rows.iter().for_each(|row| summary.add(row));
    summary.add(&[Cell::Number(1.0)]);
    assert_eq!(summary.misfits(), 1);
    let [Column::Numbers(numbers), Column::Categories(categories)] = summary.columns() else {
        panic!("{summary:?}");
    };
    assert_eq!(
        (
            numbers.rows,
            numbers.missing,
            numbers.nan,
            numbers.infinite,
            numbers.unusable
        ),
        (7, 1, 1, 1, 1)
    );
    assert_eq!(
        (
            numbers.moments.count(),
            numbers.moments.max(),
            numbers.quantiles.count()
        ),
        (3, Some(1.0), 4)
    );
    // −0 is 0.
    assert_eq!(numbers.distinct.estimate().round(), 3.0);
    assert_eq!((categories.rows, categories.missing), (7, 2));
    let list: Vec<_> = categories
        .frequent
        .list()
        .into_iter()
        .map(|row| (row.value, row.at_least))
        .collect();
    let expected = [("a", 2), ("7", 1), ("b", 1), ("true", 1)].map(|(value, rows)| (value.to_owned(), rows));
    assert_eq!(list, expected);
    let other = Summary::new(&[Kind::Number]).unwrap();
    let refused = summary.clone().merge(&other).unwrap_err().to_string();
    assert_eq!(
        refused,
        "can't merge: the columns is [Number, Category] here and [Number] there"
    );
    assert!(Summary::new(&[Kind::Number; 1001]).is_none());
}

#[test]
fn a_state_that_does_not_fit_says_why() {
    let mut summary = Summary::new(&[Kind::Number, Kind::Category]).unwrap();
    (0..500).for_each(|i| summary.add(&[Cell::Number(f64::from(i)), Cell::Text("a")]));
    let bytes = save("summary", &summary).unwrap();
    assert_eq!(load::<Summary>("summary", &bytes).unwrap(), summary);
    let kind = StateError::Kind {
        found: "summary".into(),
        expected: "other".into(),
    };
    assert_eq!(load::<Summary>("other", &bytes), Err(kind));
    assert_eq!(load::<Summary>("summary", b"something"), Err(StateError::Foreign));
    let mut old = bytes.clone();
    old[8] = 9;
    assert_eq!(load::<Summary>("summary", &old), Err(StateError::Version(9)));
    for place in 10..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        assert!(matches!(
            load::<Summary>("summary", &damaged),
            Err(StateError::Damaged(_))
        ));
    }
    for length in 8..bytes.len() {
        assert!(load::<Summary>("summary", &bytes[..length]).is_err());
    }
}
