//! Drift check `domain-classifier`: can a classifier tell the current rows from the reference?
//!
//! A random forest ([`forest`]) learns to tell them apart, on all features together, and is judged
//! on rows that it hasn't seen ([`validation`]). It finds what no check of single features can:
//! features whose relation has changed while each alone looks as before.
//!
//! Entry `*`: statistic and effect size are the cross-validated area under the ROC curve, 0.5 for
//! samples that can't be told apart and 1 for samples that don't overlap. Default threshold 0.55,
//! from 0.525 on a warning; the p-value is that of an area above 0.5.
//!
//! One entry a feature: statistic and effect size are its permutation importance, the fall of the area
//! when the feature's values are dealt out anew among the rows. Default threshold 0.01, half of it for
//! a warning; no p-value, and a status no worse than that of `*`; stable where the importance is less
//! than twice its standard error over the folds. The rate of missing values is watched as by every drift check, and a missing value is a value like any other to the classifier.
//!
//! State: up to [`ROWS_MAX`] rows of the reference, a byte a value, and the bins and categories by
//! which values are encoded. As many rows of the current data are used; both are chosen at random
//! with a fixed seed.

pub mod encode;
pub mod forest;
pub mod validation;

use std::sync::Arc;

use caisson_plugin::{About, Batch, DriftCheck, DriftReport, DriftStatus, Error, Schema};
use drift_kit::config::{Defaults, Limits, Policy, Rules};
use drift_kit::features::{COMPARABLE, Feature, Kind, for_each_cell, kinds, select};
use drift_kit::rates::Rates;
use drift_kit::rng::Rng;
use drift_kit::sample::{Infinity, Sample, samples};
use drift_kit::state;
use drift_kit::verdict::{Entry, Evidence, Finding, report, status};
use drift_kit::words::{quoted, short};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encode::Encoder;
use crate::forest::Table;
use crate::validation::{Validation, cross_validate};

const NAME: &str = "domain-classifier";
/// The feature's name of the entry on all of them.
const ALL: &str = "*";
/// Rows of either sample that the classifier sees. The area is then known within 0.006, far less
/// than the threshold asks for, and a check takes well under a second.
pub const ROWS_MAX: usize = 5_000;
/// Trees of a forest unless the config says otherwise.
const TREES: usize = 50;
/// More trees than this only cost time.
const TREES_MAX: usize = 500;
/// Parts into which the rows are dealt unless the config says otherwise.
const FOLDS: usize = 5;
/// More parts than this only cost time.
const FOLDS_MAX: usize = 10;
/// Rows of each sample in a fold at the least.
const FOLD_ROWS_MIN: u64 = 4;
/// Features that the sentence on all of them names.
const NAMED_MAX: usize = 3;
/// Any fixed number.
const SEED: u64 = 0x524f_5753;

const AUC: Defaults = Defaults {
    threshold: 0.55,
    warn_threshold: 0.525,
    effect_none: 0.5,
    effect_max: 1.0,
    min_count: 100,
};
const IMPORTANCE: Defaults = Defaults {
    threshold: 0.01,
    warn_threshold: 0.005,
    effect_none: 0.0,
    effect_max: 0.5,
    min_count: 100,
};

/// Settings of `domain-classifier`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns and thresholds. `threshold` and `warn_threshold` are areas under the curve; in
    /// `per_column` they are importances.
    #[serde(flatten)]
    pub rules: Rules,
    /// From this permutation importance on a feature is drifted where all together are. 0.01 unless
    /// set.
    pub importance_threshold: Option<f64>,
    /// Integer columns whose values are names rather than amounts.
    #[serde(default)]
    pub categorical: Vec<String>,
    /// Trees of the forest, 1 to 500. 50 unless set.
    pub trees: Option<usize>,
    /// Parts for the cross-validation, 2 to 10. 5 unless set.
    pub folds: Option<usize>,
}

/// The drift check.
#[derive(Debug)]
pub struct DomainClassifier {
    features: Vec<Feature>,
    /// Of the area, and of each feature's importance.
    limits: Limits,
    importance_limits: Vec<Limits>,
    policy: Policy,
    trees: usize,
    folds: usize,
}

#[derive(Serialize, Deserialize)]
struct Reference {
    rows: u64,
    features: Vec<Fitted>,
}

#[derive(Serialize, Deserialize)]
struct Fitted {
    name: String,
    is_category: bool,
    rates: Rates,
    encoder: Encoder,
    /// Of the chosen rows, the same rows for every feature.
    codes: Vec<u8>,
}

impl DriftCheck for DomainClassifier {
    type Config = Config;

    const ABOUT: About = About {
        name: NAME,
        version: env!("CARGO_PKG_VERSION"),
        help: "Trains a random forest to tell current rows from reference rows, on all features together, \
               and so finds changes that no single feature shows. Entry `*`: statistic and effect size are \
               the cross-validated area under the ROC curve, 0.5 where the samples can't be told apart; \
               drifted where p <= alpha (default 0.05) and the area is at least threshold (default 0.55; \
               from half-way to it on a warning), and both samples have min_count rows (default 100). One \
               entry a feature: statistic and effect size are its permutation importance, the fall of the \
               area when its values are dealt out anew; drifted from importance_threshold (default 0.01) on \
               where `*` is. Uses up to 5,000 rows of each sample, chosen with a fixed seed. The rate of \
               missing values, or of NaN, is drift in itself where it changes by 5 points or more.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        let rules = &config.rules;
        let kinds = kinds(input, &config.categorical)?;
        let features = select(input, &rules.columns, COMPARABLE, kinds)?;
        rules.check_columns(&features)?;
        let importance = Rules {
            threshold: config.importance_threshold,
            warn_threshold: None,
            ..rules.clone()
        };
        let limits = features
            .iter()
            .map(|feature| importance.limits_of(&feature.column, IMPORTANCE));
        let check = Self {
            limits: rules.limits(AUC)?,
            importance_limits: limits.collect::<Result<_, _>>()?,
            policy: rules.policy()?,
            trees: config.trees.unwrap_or(TREES),
            folds: config.folds.unwrap_or(FOLDS),
            features,
        };
        if !(1..=TREES_MAX).contains(&check.trees) {
            let message = format!("trees is {}; it must be 1 to {TREES_MAX}", check.trees);
            return Err(Error::invalid_config(message));
        }
        if !(2..=FOLDS_MAX).contains(&check.folds) {
            let message = format!("folds is {}; it must be 2 to {FOLDS_MAX}", check.folds);
            return Err(Error::invalid_config(message));
        }
        let needed = check.folds as u64 * FOLD_ROWS_MIN;
        if check.limits.min_count < needed {
            let found = check.limits.min_count;
            return Err(Error::invalid_config(format!(
                "min_count is {found}; {} folds need at least {needed}",
                check.folds
            )));
        }
        Ok(check)
    }

    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        let samples = samples(reference, &self.features, Infinity::Keep)?;
        let encoders: Vec<Encoder> = samples.iter().map(|sample| Encoder::of(&sample.values)).collect();
        let codes = self.encode(reference, &encoders)?;
        let fitted = self.features.iter().zip(samples).zip(encoders).zip(codes);
        let features = fitted.map(|(((feature, sample), encoder), codes)| Fitted {
            name: feature.name.clone(),
            is_category: feature.kind == Kind::Category,
            rates: sample.rates,
            encoder,
            codes,
        });
        let rows = reference.rows() as u64;
        state::encode(
            NAME,
            &Reference {
                rows,
                features: features.collect(),
            },
        )
    }

    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        let reference = self.decode(state)?;
        let samples = samples(current, &self.features, Infinity::Keep)?;
        let rows = |rows: u64| Rates {
            rows,
            ..Rates::default()
        };
        let (before, now) = (rows(reference.rows), rows(current.rows() as u64));
        let found = if Entry::has_enough(&self.limits, &before, &now) {
            Some(self.validate(&reference, current)?)
        } else {
            None
        };
        let mut entries = vec![Entry {
            feature: ALL.to_owned(),
            limits: self.limits,
            reference: before,
            current: now,
            finding: found.as_ref().map(|found| self.finding_on_all(found)),
        }];
        let joint = found.as_ref().map_or(DriftStatus::Stable, |found| {
            status(found.p_value, found.auc, &self.limits, &self.policy)
        });
        for (position, (fitted, sample)) in reference.features.iter().zip(&samples).enumerate() {
            let importance = found.as_ref().and_then(|found| found.importances.get(position));
            let (Some(feature), Some(limits)) =
                (self.features.get(position), self.importance_limits.get(position))
            else {
                continue;
            };
            entries.push(Entry {
                feature: feature.name.clone(),
                limits: *limits,
                reference: fitted.rates,
                current: sample.rates,
                finding: importance.map(|importance| Finding {
                    statistic: importance.mean,
                    effect_size: importance.mean,
                    evidence: Evidence::Joint(if importance.is_clear() {
                        joint
                    } else {
                        DriftStatus::Stable
                    }),
                    words: words(importance.mean, fitted, sample),
                }),
            });
        }
        Ok(report(NAME, "NaN", &self.policy, entries))
    }
}

/// What one feature's entry says.
fn words(importance: f64, fitted: &Fitted, sample: &Sample) -> String {
    let moved = fitted.encoder.compare(&sample.values).unwrap_or_default();
    format!(
        "the area falls by {} without it; {moved}",
        short(round(importance.max(0.0)))
    )
}

/// To three decimals: what repetition would confirm.
fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

impl DomainClassifier {
    fn finding_on_all(&self, found: &Validation) -> Finding {
        let mut ranked: Vec<_> = self.features.iter().zip(&found.importances).collect();
        ranked.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
        let shown: Vec<String> = ranked
            .iter()
            .take(NAMED_MAX)
            .filter(|(_, importance)| importance.is_clear() && importance.mean >= IMPORTANCE.warn_threshold)
            .map(|(feature, importance)| {
                format!("{} ({})", quoted(&feature.name), short(round(importance.mean)))
            })
            .collect();
        let by = if shown.is_empty() {
            String::new()
        } else {
            format!(", most by {}", shown.join(", "))
        };
        Finding {
            statistic: found.auc,
            effect_size: found.auc,
            evidence: Evidence::Own(found.p_value),
            words: format!(
                "a classifier tells current from reference rows with an area of {} under the curve{by}",
                short(round(found.auc))
            ),
        }
    }

    /// The codes of up to [`ROWS_MAX`] random rows, by feature; rows in their order.
    fn encode(&self, batch: &Batch, encoders: &[Encoder]) -> Result<Vec<Vec<u8>>, Error> {
        let chosen = choose(batch.rows());
        let coders: Vec<_> = encoders.iter().map(Encoder::codes).collect();
        let mut all = vec![Vec::with_capacity(ROWS_MAX.min(batch.rows())); encoders.len()];
        let mut rows = vec![0usize; encoders.len()];
        for_each_cell(batch, &self.features, |position, cell| {
            if let (Some(codes), Some(coder), Some(row)) = (
                all.get_mut(position),
                coders.get(position),
                rows.get_mut(position),
            ) {
                if chosen.get(*row).is_some_and(|&is_chosen| is_chosen) {
                    codes.push(coder.of(cell));
                }
                *row += 1;
            }
        })?;
        Ok(all)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Reference, Error> {
        let reference: Reference = state::decode(NAME, bytes)?;
        let known = reference
            .features
            .iter()
            .map(|one| (one.name.as_str(), one.is_category));
        state::same_features(known, self.features.iter())?;
        let sampled = reference.rows.min(ROWS_MAX as u64);
        for one in &reference.features {
            let sound = one.encoder.is_sound()
                && one.rates.rows == reference.rows
                && one.codes.len() as u64 == sampled
                && matches!(one.encoder, Encoder::Categories(_)) == one.is_category;
            if !sound {
                return Err(state::unsound(&format!(
                    "the sketch of `{}` contradicts itself",
                    one.name
                )));
            }
        }
        Ok(reference)
    }

    fn validate(&self, reference: &Reference, current: &Batch) -> Result<Validation, Error> {
        let encoders: Vec<Encoder> = reference.features.iter().map(|one| one.encoder.clone()).collect();
        let current_codes = self.encode(current, &encoders)?;
        let negatives = reference.rows.min(ROWS_MAX as u64) as u32;
        let positives = current.rows().min(ROWS_MAX) as u32;
        let features = self.features.iter().zip(&reference.features).zip(current_codes);
        let features = features.map(|((feature, one), codes)| {
            let mut all = one.codes.clone();
            all.extend(codes);
            (feature.kind, all)
        });
        let table = Table {
            features: features.collect(),
            negatives,
        };
        Ok(cross_validate(&table, positives, self.folds, self.trees))
    }
}

/// Which of so many rows are used: all, or [`ROWS_MAX`] of them at random.
fn choose(rows: usize) -> Vec<bool> {
    if rows <= ROWS_MAX {
        return vec![true; rows];
    }
    let mut chosen = vec![false; rows];
    chosen.iter_mut().take(ROWS_MAX).for_each(|row| *row = true);
    Rng::new(SEED).shuffle(&mut chosen);
    chosen
}

caisson_plugin::export!(drift_check: DomainClassifier);
