//! From a method's findings to the report: when is a change drift?
//!
//! A change is drift where it is both significant and large. With many rows a change that matters
//! to nobody is significant; with few rows a large one is chance. So, with the p-value corrected for
//! the number of features:
//!
//! | | effect below `warn_threshold` | below `threshold` | from `threshold` on |
//! | --- | --- | --- | --- |
//! | `p <= alpha` | stable | warn | **drifted** |
//! | `alpha < p <= warn_alpha` | stable | stable | warn |
//! | `p > warn_alpha` | stable | stable | stable |
//!
//! A change in the rate of missing values is drift in itself, by the same table: significant in a
//! test of two proportions, its effect the difference of the two rates. The same goes for values
//! that the method can't compare (NaN). A feature's status is the worst of these.
//!
//! Where either sample has fewer than `min_count` values to compare there is no statistic, and the
//! status is at least `insufficient-data`.

use caisson_plugin::{DriftReport, DriftStatus, FeatureDrift};

use crate::config::{Correction, Limits, MissingPolicy, Policy};
use crate::rates::Rates;
use crate::stats::contingency::two_proportions_p_value;
use crate::stats::correction::benjamini_hochberg;
use crate::words::{p_value, percent, short};

/// What a method found on one feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The statistic.
    pub statistic: f64,
    /// What is compared with the thresholds.
    pub effect_size: f64,
    /// Whether it may be chance.
    pub evidence: Evidence,
    /// What moved, in words.
    pub words: String,
}

/// How likely a change at least this large is by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evidence {
    /// The p-value of the feature's own test.
    Own(f64),
    /// Another entry's verdict on all features together: this one's is no worse.
    Joint(DriftStatus),
}

/// One feature on its way into the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name, `*` for all together.
    pub feature: String,
    /// What it is compared with.
    pub limits: Limits,
    /// The reference's rows.
    pub reference: Rates,
    /// The current rows.
    pub current: Rates,
    /// Absent where there are too few values.
    pub finding: Option<Finding>,
}

impl Entry {
    /// Do both samples have the values that a verdict needs?
    pub fn has_enough(limits: &Limits, reference: &Rates, current: &Rates) -> bool {
        reference.values().min(current.values()) >= limits.min_count
    }
}

/// Judge all features. `method` names the statistic, `unusable` the values that it can't compare,
/// as a sentence has it ("NaN").
pub fn report(method: &str, unusable: &str, policy: &Policy, entries: Vec<Entry>) -> DriftReport {
    let own = |entry: &Entry| match entry.finding.as_ref().map(|finding| finding.evidence) {
        Some(Evidence::Own(p)) => Some(p),
        _ => None,
    };
    let p_values = correct(policy, entries.iter().map(own).collect());
    let missing = corrected_rates(policy, &entries, |rates| rates.missing);
    let without = corrected_rates(policy, &entries, |rates| rates.unusable);
    let features = entries
        .into_iter()
        .zip(p_values)
        .zip(missing.into_iter().zip(without));
    let features = features.map(|((entry, p), (missing, without))| {
        let changes = [
            rate_change(
                "missing",
                policy,
                missing,
                [&entry.reference, &entry.current].map(Rates::missing_rate),
            ),
            rate_change(
                unusable,
                policy,
                without,
                [&entry.reference, &entry.current].map(Rates::unusable_rate),
            ),
        ];
        judge(method, policy, entry, p, changes.into_iter().flatten())
    });
    DriftReport::new(features.collect())
}

/// A change of a rate that doesn't go without saying.
struct RateChange {
    status: DriftStatus,
    words: String,
}

fn judge(
    method: &str,
    policy: &Policy,
    entry: Entry,
    p: Option<f64>,
    changes: impl Iterator<Item = RateChange>,
) -> FeatureDrift {
    let Entry {
        feature,
        limits,
        reference,
        current,
        finding,
    } = entry;
    let (mut status, mut detail) = match &finding {
        None => (
            DriftStatus::InsufficientData,
            format!(
                "too few values for a verdict: {} in the reference and {} now, where {} are needed",
                reference.values(),
                current.values(),
                limits.min_count
            ),
        ),
        Some(finding) => {
            let (status, why) = match finding.evidence {
                Evidence::Own(raw) => {
                    let p = p.unwrap_or(raw);
                    let status = status(p, finding.effect_size, &limits, policy);
                    (status, reason(p, finding.effect_size, &limits, policy))
                }
                Evidence::Joint(all) => {
                    let own = status(0.0, finding.effect_size, &limits, policy);
                    (own.min(all), String::new())
                }
            };
            (status, finding.words.clone() + &why)
        }
    };
    for change in changes {
        status = status.max(change.status);
        detail.push_str("; ");
        detail.push_str(&change.words);
    }
    FeatureDrift {
        feature,
        method: method.to_owned(),
        statistic: finding.as_ref().map(|f| f.statistic),
        threshold: limits.threshold,
        p_value: p,
        effect_size: finding.as_ref().map(|f| f.effect_size),
        reference_count: reference.values(),
        current_count: current.values(),
        reference_missing_rate: reference.missing_rate(),
        current_missing_rate: current.missing_rate(),
        status,
        detail,
    }
}

/// The table at the head of this file.
pub fn status(p: f64, effect: f64, limits: &Limits, policy: &Policy) -> DriftStatus {
    if p <= policy.alpha && effect >= limits.threshold {
        DriftStatus::Drifted
    } else if (p <= policy.alpha && effect >= limits.warn_threshold)
        || (p <= policy.warn_alpha && effect >= limits.threshold)
    {
        DriftStatus::Warn
    } else {
        DriftStatus::Stable
    }
}

/// Why a change that looks like drift in one of the two senses isn't.
fn reason(p: f64, effect: f64, limits: &Limits, policy: &Policy) -> String {
    if effect >= limits.threshold && p > policy.alpha {
        format!(" (large, but perhaps by chance: p = {})", p_value(p))
    } else if p <= policy.alpha && effect < limits.warn_threshold {
        format!(
            " (significant, but small: {} of {})",
            short(effect),
            short(limits.threshold)
        )
    } else {
        String::new()
    }
}

/// The p-values of the rates' change, corrected as a family of their own; `None` where there are
/// too few rows or nothing to test.
fn corrected_rates(policy: &Policy, entries: &[Entry], part: fn(&Rates) -> u64) -> Vec<Option<f64>> {
    let test = |entry: &Entry| {
        let (a, b) = (&entry.reference, &entry.current);
        let any = part(a) + part(b) > 0;
        let enough = a.rows.min(b.rows) >= entry.limits.min_count;
        (any && enough).then(|| two_proportions_p_value(part(a), a.rows, part(b), b.rows))
    };
    correct(policy, entries.iter().map(test).collect())
}

fn rate_change(name: &str, policy: &Policy, p: Option<f64>, [before, now]: [f64; 2]) -> Option<RateChange> {
    let limits = Limits {
        threshold: policy.missing_threshold,
        warn_threshold: policy.missing_threshold / 2.0,
        min_count: 0,
    };
    let found = status(p?, (now - before).abs(), &limits, policy);
    let status = match policy.missing {
        MissingPolicy::Drift => found,
        MissingPolicy::Warn => found.min(DriftStatus::Warn),
        MissingPolicy::Ignore => DriftStatus::Stable,
    };
    (found > DriftStatus::Stable).then(|| RateChange {
        status,
        words: format!("{name} {} → {}", percent(before), percent(now)),
    })
}

/// Correct the p-values that are there for their number.
fn correct(policy: &Policy, p_values: Vec<Option<f64>>) -> Vec<Option<f64>> {
    if policy.correction == Correction::None {
        return p_values;
    }
    let present: Vec<f64> = p_values.iter().flatten().copied().collect();
    let mut adjusted = benjamini_hochberg(&present).into_iter();
    p_values
        .into_iter()
        .map(|p| p.and_then(|_| adjusted.next()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        threshold: 0.1,
        warn_threshold: 0.05,
        min_count: 30,
    };
    const POLICY: Policy = Policy {
        alpha: 0.05,
        warn_alpha: 0.1,
        correction: Correction::BenjaminiHochberg,
        missing: MissingPolicy::Drift,
        missing_threshold: 0.05,
    };
    const FULL: Rates = Rates {
        rows: 1000,
        missing: 0,
        unusable: 0,
    };

    fn entry(effect: f64, p: f64) -> Entry {
        Entry {
            feature: "x".into(),
            limits: LIMITS,
            reference: FULL,
            current: FULL,
            finding: Some(Finding {
                statistic: effect,
                effect_size: effect,
                evidence: Evidence::Own(p),
                words: "moved".into(),
            }),
        }
    }

    fn one(entry: Entry, policy: &Policy) -> FeatureDrift {
        report("m", "NaN", policy, vec![entry]).features.remove(0)
    }

    #[test]
    fn drift_is_both_significant_and_large() {
        use DriftStatus::{Drifted, Stable, Warn};
        for (effect, p, expected) in [
            (0.3, 0.001, Drifted),
            (0.1, 0.05, Drifted),
            (0.0999, 0.05, Warn),
            (0.05, 0.05, Warn),
            // A huge window: significant beyond doubt, and nothing.
            (0.0499, 1e-200, Stable),
            (0.1, 0.0501, Warn),
            (0.1, 0.1, Warn),
            (0.1, 0.101, Stable),
            (0.0999, 0.0501, Stable),
        ] {
            assert_eq!(
                one(entry(effect, p), &POLICY).status,
                expected,
                "effect {effect}, p {p}"
            );
        }
        let small = one(entry(0.02, 1e-200), &POLICY);
        assert_eq!(small.detail, "moved (significant, but small: 0.02 of 0.1)");
        let chance = one(entry(0.2, 0.4), &POLICY);
        assert_eq!(chance.detail, "moved (large, but perhaps by chance: p = 0.4)");
    }

    #[test]
    fn p_values_are_corrected_for_their_number() {
        let entries = || vec![entry(0.3, 0.04), entry(0.3, 0.3), entry(0.3, 0.5)];
        let corrected = report("m", "NaN", &POLICY, entries());
        let p = corrected.features[0].p_value.unwrap();
        assert!((p - 0.12).abs() < 1e-12, "{p}");
        assert_eq!(corrected.features[0].status, DriftStatus::Stable);
        let raw = Policy {
            correction: Correction::None,
            ..POLICY
        };
        let raw = report("m", "NaN", &raw, entries());
        assert_eq!(raw.features[0].p_value, Some(0.04));
        assert_eq!(
            (raw.features[0].status, raw.status),
            (DriftStatus::Drifted, DriftStatus::Drifted)
        );
    }

    #[test]
    fn a_joint_test_lends_its_evidence() {
        use DriftStatus::{Drifted, InsufficientData, Stable, Warn};
        for (effect, all, expected) in [
            (0.3, Drifted, Drifted),
            (0.3, Warn, Warn),
            (0.3, Stable, Stable),
            (0.07, Drifted, Warn),
            (0.01, Drifted, Stable),
            (0.3, InsufficientData, InsufficientData),
        ] {
            let mut joint = entry(effect, 0.5);
            joint.finding.as_mut().unwrap().evidence = Evidence::Joint(all);
            let found = one(joint, &POLICY);
            assert_eq!(
                (found.status, found.p_value),
                (expected, None),
                "effect {effect}, {all:?}"
            );
        }
    }

    #[test]
    fn missing_values_are_drift_in_themselves() {
        let with = |missing: u64, unusable: u64| {
            let mut entry = entry(0.0, 1.0);
            entry.current = Rates {
                rows: 1000,
                missing,
                unusable,
            };
            entry
        };
        let drifted = one(with(80, 0), &POLICY);
        assert_eq!(drifted.status, DriftStatus::Drifted);
        assert_eq!(drifted.detail, "moved; missing 0 % → 8 %");
        assert_eq!((drifted.current_count, drifted.current_missing_rate), (920, 0.08));
        assert_eq!(one(with(30, 0), &POLICY).status, DriftStatus::Warn);
        // Significant, and less than half of what matters.
        assert_eq!(one(with(20, 0), &POLICY).status, DriftStatus::Stable);
        let nan = one(with(0, 80), &POLICY);
        assert_eq!(
            (nan.status, nan.current_missing_rate),
            (DriftStatus::Drifted, 0.0)
        );
        assert_eq!(nan.detail, "moved; NaN 0 % → 8 %");
        let warn = Policy {
            missing: MissingPolicy::Warn,
            ..POLICY
        };
        assert_eq!(one(with(80, 0), &warn).status, DriftStatus::Warn);
        let ignore = Policy {
            missing: MissingPolicy::Ignore,
            ..POLICY
        };
        assert_eq!(one(with(80, 0), &ignore).status, DriftStatus::Stable);
        // Few rows: 3 of 40 may be chance.
        let mut few = entry(0.0, 1.0);
        few.reference = Rates { rows: 40, ..FULL };
        few.current = Rates {
            rows: 40,
            missing: 3,
            unusable: 0,
        };
        assert_eq!(one(few, &POLICY).status, DriftStatus::Stable);
    }

    #[test]
    fn too_few_values_give_no_statistic() {
        let mut few = entry(0.0, 1.0);
        few.finding = None;
        few.current = Rates { rows: 29, ..FULL };
        assert!(!Entry::has_enough(&LIMITS, &few.reference, &few.current));
        let found = one(few.clone(), &POLICY);
        assert_eq!(found.status, DriftStatus::InsufficientData);
        assert_eq!(
            (found.statistic, found.p_value, found.effect_size),
            (None, None, None)
        );
        assert!(
            found
                .detail
                .contains("1000 in the reference and 29 now, where 30 are needed")
        );
        // All rows lost their value: no statistic, and drift all the same.
        few.current = Rates {
            rows: 1000,
            missing: 1000,
            unusable: 0,
        };
        assert_eq!(one(few, &POLICY).status, DriftStatus::Drifted);
        assert_eq!(report("m", "NaN", &POLICY, vec![]).status, DriftStatus::Stable);
    }
}
