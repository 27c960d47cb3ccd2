//! Reference against current, column by column, from what windows keep: quantiles and frequent values.
//!
//! Shares of bins come from the distribution function through the quantiles, straight between two of them,
//! for the reference and the current rows alike.

use std::collections::BTreeMap;

use caisson_monitoring::{CategoryShare, ColumnStatistics, NumberStatistics};
use caisson_report::model::{Bin, Category, Distribution, Group, Shape, Status};
use caisson_serving::{Importance, MonitorTarget};

/// Bins of a chart: as fine as nine quantiles bear.
const BINS: usize = 18;
/// What a category is called that stands for all that aren't among the frequent ones.
const OTHERS: &str = "(others)";

/// What is said of a column beside its distribution.
pub(super) type Said = BTreeMap<String, (Status, String)>;

/// The columns of either group, those that drifted and matter most first.
pub(super) fn columns(
    (reference, current): (&[ColumnStatistics], &[ColumnStatistics]),
    group: Group,
    said: &Said,
    importance: Option<&Importance>,
) -> Vec<Distribution> {
    let mut columns: Vec<Distribution> = current
        .iter()
        .map(|now| {
            let before = reference.iter().find(|one| one.column == now.column);
            let (status, detail) = said
                .get(&now.column)
                .cloned()
                .unwrap_or((Status::Unknown, String::new()));
            Distribution {
                name: now.column.clone(),
                group,
                status,
                detail,
                importance: importance
                    .filter(|_| group == Group::Feature)
                    .and_then(|known| known.share_of(MonitorTarget::Input, &now.column)),
                missing: before.map(|before| (before.missing_rate, now.missing_rate)),
                shape: shape(before, now),
            }
        })
        .collect();
    columns.sort_by(|a, b| {
        let weight = |column: &Distribution| column.importance.unwrap_or(0.0);
        b.status.cmp(&a.status).then(weight(b).total_cmp(&weight(a)))
    });
    columns
}

fn shape(before: Option<&ColumnStatistics>, now: &ColumnStatistics) -> Shape {
    let Some(before) = before else {
        return Shape::Nothing("The baseline doesn't have this column.".to_owned());
    };
    if let (Some(a), Some(b)) = (&before.number, &now.number) {
        return numbers(a, b);
    }
    match (&before.top, &now.top) {
        (Some(a), Some(b)) if !b.is_empty() => {
            let share = |list: &[CategoryShare], name: &str| {
                list.iter()
                    .find(|one| one.value == name)
                    .map_or(0.0, |one| one.share)
            };
            let mut names: Vec<&str> = b.iter().chain(a).map(|one| one.value.as_str()).collect();
            let mut seen = std::collections::BTreeSet::new();
            names.retain(|name| seen.insert(*name));
            let mut list: Vec<Category> = names
                .into_iter()
                .map(|name| Category {
                    name: name.to_owned(),
                    reference: share(a, name),
                    current: share(b, name),
                })
                .collect();
            let rest = |of: fn(&Category) -> f64| (1.0_f64 - list.iter().map(of).sum::<f64>()).max(0.0);
            let (reference, current) = (rest(|one| one.reference), rest(|one| one.current));
            if reference.max(current) > 0.005 {
                list.push(Category {
                    name: OTHERS.to_owned(),
                    reference,
                    current,
                });
            }
            Shape::Categories(list)
        }
        _ => Shape::Nothing("No values are kept of this column.".to_owned()),
    }
}

/// Knots of a distribution function: values, and the share of rows up to them.
fn knots(of: &NumberStatistics) -> Vec<(f64, f64)> {
    let ends = [of.min.map(|min| (min, 0.0)), of.max.map(|max| (max, 1.0))];
    let mut all: Vec<(f64, f64)> = of
        .quantiles
        .iter()
        .filter_map(|quantile| Some((quantile.value?, quantile.p)))
        .chain(ends.into_iter().flatten())
        .filter(|(value, _)| value.is_finite())
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    // A sketch may say 0.9 at a value below that of 0.75.
    let mut most = 0.0f64;
    for knot in &mut all {
        most = most.max(knot.1);
        knot.1 = most;
    }
    all
}

/// The share of rows below a value.
fn below(knots: &[(f64, f64)], value: f64) -> f64 {
    let after = knots.partition_point(|(at, _)| *at < value);
    match (after.checked_sub(1).and_then(|i| knots.get(i)), knots.get(after)) {
        (None, _) => 0.0,
        (Some((_, share)), None) => *share,
        (Some((a, p)), Some((b, q))) if b > a => p + (q - p) * (value - a) / (b - a),
        (Some((_, share)), Some(_)) => *share,
    }
}

fn numbers(before: &NumberStatistics, now: &NumberStatistics) -> Shape {
    let (a, b) = (knots(before), knots(now));
    // The outermost hundredth may lie far out; it is counted in the outermost bins.
    let inner = |knots: &[(f64, f64)]| {
        let low = knots
            .iter()
            .find(|(_, share)| *share >= 0.01)
            .map(|(value, _)| *value);
        let high = knots
            .iter()
            .rev()
            .find(|(_, share)| *share <= 0.99)
            .map(|(value, _)| *value);
        Some((low?, high?))
    };
    let (Some((a_low, a_high)), Some((b_low, b_high))) = (inner(&a), inner(&b)) else {
        return Shape::Nothing("There are no numbers yet.".to_owned());
    };
    let (low, high) = (a_low.min(b_low), a_high.max(b_high));
    if low >= high {
        return Shape::Nothing(format!("All values are {}.", caisson_report::number(low)));
    }
    let width = (high - low) / BINS as f64;
    let edge = |i: usize| low + width * i as f64;
    let share = |knots: &[(f64, f64)], i: usize| {
        let from = if i == 0 { 0.0 } else { below(knots, edge(i)) };
        let to = if i + 1 == BINS {
            1.0
        } else {
            below(knots, edge(i + 1))
        };
        (to - from).max(0.0)
    };
    let bin = |i| Bin {
        from: edge(i),
        to: edge(i + 1),
        reference: share(&a, i),
        current: share(&b, i),
    };
    Shape::Numbers((0..BINS).map(bin).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_quantiles() {
        let knots = [(0.0, 0.0), (1.0, 0.25), (3.0, 0.75), (3.0, 0.9), (4.0, 1.0)];
        let found: Vec<f64> = [-1.0, 0.5, 1.0, 2.0, 3.0, 3.5, 9.0]
            .map(|value| below(&knots, value))
            .into();
        assert_eq!(found, [0.0, 0.125, 0.25, 0.5, 0.75, 0.95, 1.0]);
    }
}
