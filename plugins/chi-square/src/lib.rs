//! Drift check `chi-square`: Pearson's test of homogeneity on each categorical feature.
//!
//! Statistic: `χ² = Σ (observed − expected)² / expected` over the table of two samples by
//! categories, without Yates' correction (`scipy.stats.chi2_contingency(…, correction=False)`).
//! Categories that the reference doesn't have count as one, and so do those with fewer than five
//! expected rows.
//!
//! Effect size: Cramér's V of a table in which both samples weigh the same,
//! `√(½ Σ (p − q)² / (p + q))`, 0 to 1, which doesn't depend on the number of rows. Default threshold
//! 0.1; thresholds are compared with the effect size.
//!
//! P-value: of χ²; where the rare categories are too few for that, with Fisher's exact test
//! ([`drift_kit::stats::contingency::homogeneity`]).
//!
//! Columns: text and boolean; integer columns where `columns` names them. State: the counts of the
//! 1,000 most frequent categories.

use std::sync::Arc;

use caisson_plugin::{About, Batch, DataType, DriftCheck, DriftReport, Error, Need, Schema};
use drift_kit::categories::CategorySketch;
use drift_kit::check::{Method, PerFeature};
use drift_kit::config::{Defaults, RulesAlone};
use drift_kit::features::{CATEGORIES, Feature, Kind};
use drift_kit::sample::Values;
use drift_kit::stats::contingency::homogeneity;
use drift_kit::verdict::{Evidence, Finding};

/// The drift check.
#[derive(Debug)]
pub struct ChiSquare(PerFeature<Pearson>);

#[derive(Debug)]
struct Pearson;

/// Without a choice, integers stay out: most are amounts.
const TEXT_OR_BOOLEAN: Need = Need::new(
    "text or boolean (integers have to be named in `columns`)",
    |field| CATEGORIES.suits(field) && matches!(field.data_type, DataType::Text | DataType::Boolean),
);

impl Method for Pearson {
    const NAME: &'static str = "chi-square";
    const DEFAULTS: Defaults = Defaults {
        threshold: 0.1,
        warn_threshold: 0.05,
        effect_none: 0.0,
        effect_max: 1.0,
        min_count: 30,
    };
    type Sketch = CategorySketch;

    fn sketch(&self, _: &Feature, values: &Values) -> Option<CategorySketch> {
        values.categories().map(CategorySketch::of)
    }

    fn count(&self, _: &Feature, sketch: &CategorySketch) -> Option<u64> {
        sketch.is_sound().then(|| sketch.rows())
    }

    fn compare(&self, sketch: &CategorySketch, current: &Values) -> Option<Finding> {
        let current = current.categories()?;
        let aligned = sketch.align(current);
        let test = homogeneity(&aligned.reference, &aligned.current);
        Some(Finding {
            statistic: test.statistic,
            effect_size: test.effect,
            evidence: Evidence::Own(test.p_value),
            words: sketch.compare(current),
        })
    }
}

impl DriftCheck for ChiSquare {
    type Config = RulesAlone;

    const ABOUT: About = About {
        name: Pearson::NAME,
        version: env!("CARGO_PKG_VERSION"),
        help: "Pearson's chi-square test of homogeneity on each text or boolean feature, and on the integer \
               features that `columns` names. Statistic: chi-square over the table of both samples by \
               categories; those that the reference doesn't have, and those with fewer than five expected \
               rows, count as one. Effect size, compared with the thresholds: Cramer's V with both samples \
               weighted the same, 0 to 1. A feature is drifted where p <= alpha (default 0.05, \
               Benjamini-Hochberg over the features) and V >= threshold (default 0.1; from 0.05 on a \
               warning), and both samples have min_count values (default 30). The rate of missing values is \
               drift in itself where it changes by 5 points or more.",
    };

    fn configure(config: RulesAlone, input: &Arc<Schema>) -> Result<Self, Error> {
        let need = match config.rules.columns.names() {
            None => TEXT_OR_BOOLEAN,
            Some(_) => CATEGORIES,
        };
        PerFeature::new(Pearson, &config.rules, input, need, |_| Kind::Category).map(Self)
    }

    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        self.0.fit(reference)
    }

    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        self.0.check(state, current)
    }
}

caisson_plugin::export!(drift_check: ChiSquare);

#[cfg(test)]
mod tests {
    use caisson_plugin::DriftStatus;
    use caisson_plugin::testing::{Configured, batch, configure, json, schema};
    use drift_kit::testing::{
        assert_relative, categorical, categorical_schema, documented, documented_schema, number, numbers,
        only, reference,
    };

    use super::*;

    fn chi_square() -> Configured<ChiSquare> {
        configure(json!({}), &categorical_schema()).unwrap()
    }

    #[test]
    fn statistics_and_p_values_are_those_of_scipy() {
        for case in reference("categorical") {
            let [a, b] = ["reference_counts", "current_counts"].map(|key| numbers(&case, key));
            let found = only(chi_square().compare(&categorical(&a), &categorical(&b)).unwrap());
            assert_relative(found.statistic, number(&case, "chi2"), 1e-12, &case);
            assert_relative(found.p_value, number(&case, "p_value"), 1e-9, &case);
            if a.iter().sum::<f64>() == b.iter().sum::<f64>() {
                assert_relative(found.effect_size, number(&case, "cramers_v"), 1e-12, &case);
            }
        }
        let same = only(
            chi_square()
                .compare(&categorical(&[90.0, 90.0]), &categorical(&[60.0, 60.0]))
                .unwrap(),
        );
        assert_eq!(
            (same.statistic, same.p_value, same.effect_size),
            (Some(0.0), Some(1.0), Some(0.0))
        );
    }

    #[test]
    fn unseen_categories_are_drift() {
        let check = chi_square();
        let found = |b: &[f64]| {
            only(
                check
                    .compare(&categorical(&[500.0, 500.0]), &categorical(b))
                    .unwrap(),
            )
        };
        assert_eq!(found(&[100.0, 100.0]).status, DriftStatus::Stable);
        let unseen = found(&[90.0, 90.0, 10.0, 10.0]);
        assert_eq!(unseen.status, DriftStatus::Drifted);
        assert!(
            unseen
                .detail
                .contains("10 % in categories that the reference doesn't have"),
            "{unseen:?}"
        );
        // One category alone on both sides is no test at all.
        let one = only(
            check
                .compare(&categorical(&[50.0]), &categorical(&[70.0]))
                .unwrap(),
        );
        assert_eq!(
            (one.statistic, one.p_value, one.status),
            (Some(0.0), Some(1.0), DriftStatus::Stable)
        );
        let other = only(
            check
                .compare(&categorical(&[50.0]), &categorical(&[0.0, 70.0]))
                .unwrap(),
        );
        assert_eq!(
            (other.effect_size, other.status),
            (Some(1.0), DriftStatus::Drifted)
        );
    }

    #[test]
    fn many_rows_alone_are_no_drift() {
        let (a, b) = ([500_000.0, 500_000.0], [505_000.0, 495_000.0]);
        let found = only(chi_square().compare(&categorical(&a), &categorical(&b)).unwrap());
        assert!(found.p_value.unwrap() < 1e-10);
        assert_eq!(found.status, DriftStatus::Stable);
    }

    #[test]
    fn integers_are_categories_where_they_are_named() {
        let rows = batch!["id": int64 = [1, 2, 3], "paid": boolean = [true, false, true]];
        let names = |config| -> Vec<String> {
            let check: Configured<ChiSquare> = configure(config, rows.schema()).unwrap();
            let report = check.compare(&rows, &rows).unwrap();
            report.features.into_iter().map(|f| f.feature).collect()
        };
        assert_eq!(names(json!({})), ["paid"]);
        assert_eq!(names(json!({"columns": ["id"]})), ["id"]);
        let error = |schema| {
            configure::<ChiSquare>(json!({}), &schema)
                .unwrap_err()
                .to_string()
        };
        assert!(error(schema!["id": int64]).contains("integers have to be named in `columns`"));
        let error = configure::<ChiSquare>(json!({"columns": ["x"]}), &schema!["x": fp32]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`x: fp32` is not text, boolean or integer"),
            "{error}"
        );
    }

    #[test]
    fn documented_configs_are_accepted() {
        for config in documented("`chi-square`") {
            configure::<ChiSquare>(config, &documented_schema()).unwrap();
        }
    }
}
