use caisson_quality::accumulator::Accumulator;
use caisson_quality::degradation::Rule;
use caisson_quality::drift::{Shift, cardinality, missing_rate, new_categories};
use caisson_quality::hysteresis::Outcome;
use caisson_quality::summary::{Cell, Column, Kind, Summary};
use caisson_stats::rng::Rng;

fn column(kind: Kind, cells: &[Cell<'_>]) -> Column {
    let mut summary = Summary::new(&[kind]).unwrap();
    cells.iter().for_each(|cell| summary.add(&[*cell]));
    summary.columns()[0].clone()
}

fn new(baseline: &Column, current: &Column) -> Option<Shift> {
    match (baseline, current) {
        (Column::Categories(baseline), Column::Categories(current)) => new_categories(baseline, current),
        other => panic!("{other:?}"),
    }
}

fn names(names: &[String]) -> Column {
    let cells: Vec<_> = names.iter().map(|name| Cell::Text(name)).collect();
    column(Kind::Category, &cells)
}

#[test]
fn a_change_in_missing_values_is_found() {
    let of = |rows: usize, missing: usize| {
        let cell = |i| {
            if i < missing {
                Cell::Missing
            } else {
                Cell::Number(i as f64)
            }
        };
        column(Kind::Number, &(0..rows).map(cell).collect::<Vec<_>>())
    };
    let rule = Rule::default();
    let shift = missing_rate(&of(1000, 20), &of(300, 40)).unwrap();
    assert_eq!(
        (shift.outcome(&rule), shift.baseline, shift.rows),
        (Outcome::Bad, 0.02, 300)
    );
    // To the other side too: a feature that suddenly has no gaps.
    assert_eq!(
        missing_rate(&of(300, 90), &of(300, 0)).unwrap().outcome(&rule),
        Outcome::Bad
    );
    assert_eq!(
        missing_rate(&of(1000, 20), &of(300, 7)).unwrap().outcome(&rule),
        Outcome::Good
    );
    assert_eq!(
        missing_rate(&of(1000, 20), &of(10, 10)).unwrap().outcome(&rule),
        Outcome::Unknown
    );
    assert_eq!(missing_rate(&of(0, 0), &of(10, 10)), None);
    let large = Rule {
        change_min: 0.2,
        ..rule
    };
    assert_eq!(shift.outcome(&large), Outcome::Good);
}

#[test]
fn new_categories_are_found_where_the_baseline_lists_all() {
    let of = |counts: &[(&str, usize)]| {
        let all: Vec<String> = counts
            .iter()
            .flat_map(|(name, count)| vec![(*name).to_owned(); *count])
            .collect();
        names(&all)
    };
    let rule = Rule::default();
    let baseline = of(&[("a", 500), ("b", 300), ("c", 3)]);
    let shift = new(&baseline, &of(&[("a", 150), ("b", 90), ("d", 12)])).unwrap();
    assert_eq!(
        (shift.outcome(&rule), shift.baseline, shift.current),
        (Outcome::Bad, 0.0, 12.0 / 252.0)
    );
    // One row of a new category is no alarm, and a category that vanished is none here.
    assert_eq!(
        new(&baseline, &of(&[("a", 150), ("d", 1)]))
            .unwrap()
            .outcome(&rule),
        Outcome::Good
    );
    assert_eq!(
        new(&baseline, &of(&[("a", 250)])).unwrap().outcome(&rule),
        Outcome::Good
    );
    assert_eq!(new(&baseline, &of(&[])), None);
}

#[test]
fn rare_categories_of_a_long_list_are_no_new_ones() {
    let mut rng = Rng::new(6);
    let mut draw = |rows: usize, spread: u64, prefix: &str| -> Vec<String> {
        (0..rows)
            .map(|_| format!("{prefix}{}", rng.below(spread) * rng.below(spread) / spread))
            .collect()
    };
    let rule = Rule::default();
    let baseline = names(&draw(20_000, 3000, "v"));
    let same = names(&draw(5000, 3000, "v"));
    assert_eq!(new(&baseline, &same).unwrap().outcome(&rule), Outcome::Good);
    // Most rows are of a few names that weren't there.
    let mut rows = draw(2000, 3000, "v");
    rows.extend(draw(3000, 4, "new"));
    let shift = new(&baseline, &names(&rows)).unwrap();
    assert!(shift.current > 0.5, "{shift:?}");
}

#[test]
fn a_change_in_the_number_of_different_values_is_found() {
    let mut rng = Rng::new(7);
    let mut of = |rows: usize, spread: u64| {
        let cells: Vec<_> = (0..rows)
            .map(|_| Cell::Number(rng.below(spread) as f64))
            .collect();
        column(Kind::Number, &cells)
    };
    let rule = Rule {
        change_min: 1.5f64.ln(),
        ..Rule::default()
    };
    let baseline = of(4000, 2000);
    for _ in 0..20 {
        assert_eq!(
            cardinality(&baseline, &of(4200, 2000)).unwrap().outcome(&rule),
            Outcome::Good
        );
    }
    let more = cardinality(&baseline, &of(4000, 50_000)).unwrap();
    assert_eq!(more.outcome(&rule), Outcome::Bad, "{more:?}");
    let fewer = cardinality(&baseline, &of(4000, 40)).unwrap();
    assert!(
        fewer.outcome(&rule) == Outcome::Bad && fewer.change < -2.0,
        "{fewer:?}"
    );
    // Windows of other sizes meet other numbers of rare values.
    assert_eq!(cardinality(&baseline, &of(9000, 2000)), None);
    assert_eq!(cardinality(&baseline, &of(0, 1)), None);
}
