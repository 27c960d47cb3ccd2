//! Why answers are wrong, or don't come.

use crate::evidence::{Drift, Evidence, Feature, Performance, Stage, Target};
use crate::finding::{Draft, Finding, Severity};
use crate::slow::DEADLINES;
use crate::words::{duration, percent, short};

/// Rows below which a share of them says nothing.
const ROWS_MIN: u64 = 50;
/// Refused rows of all from which on somebody should look.
const REJECTED_SHARE: f64 = 0.01;
/// And now.
const REJECTED_SHARE_CRITICAL: f64 = 0.2;
/// A change of the rate of missing values, in parts of all rows, as drift checks have it.
const MISSING_CHANGE: f64 = 0.05;
/// A feature with less than this of all importance hardly moves the prediction.
const IMPORTANT_SHARE: f64 = 0.03;
/// With this it decides.
const DECISIVE_SHARE: f64 = 0.15;
/// Drifted features that get a finding each; the rest are one.
const FEATURES_MAX: usize = 8;
/// A model's age at which people look whether the world is still the same.
const STALE_SECONDS: f64 = 90.0 * 86_400.0;

pub(crate) fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(
        evidence
            .stages
            .iter()
            .filter_map(|stage| failing(evidence, stage)),
    );
    found.extend(
        evidence
            .performance
            .iter()
            .filter_map(|one| performance(evidence, one)),
    );
    found.extend(rejected(evidence));
    found.extend(drifted(evidence));
    found.extend(predictions(evidence));
    found.extend(missing(evidence));
    found.extend(stale(evidence));
    found
}

/// Traps and other failures that aren't about time.
fn failing(evidence: &Evidence, stage: &Stage) -> Option<Finding> {
    let causes: Vec<(&String, &u64)> = stage
        .failures
        .iter()
        .filter(|(cause, count)| **count > 0 && !DEADLINES.contains(&cause.as_str()))
        .collect();
    let all: u64 = causes.iter().map(|(_, count)| **count).sum();
    let (worst, _) = causes.iter().max_by_key(|(_, count)| **count)?;
    let sentence = format!("`{}` failed {all} times, mostly by `{worst}`.", stage.name);
    let mut draft = Draft::wrong("failures", Severity::Critical, sentence);
    for (cause, count) in &causes {
        draft = draft.linked(cause, count.to_string(), "/metrics".to_owned());
    }
    Some(draft.fact("calls", stage.calls.to_string()).next(format!(
        "Read the plugin's log lines and last words (`caisson predict {} …` shows them in the error), or go \
         back to the revision before (`caisson rollback {}`).",
        evidence.deployment, evidence.deployment
    )))
}

fn performance(evidence: &Evidence, one: &Performance) -> Option<Finding> {
    if one.is_worse != Some(true) {
        return None;
    }
    let of = one
        .segment
        .as_ref()
        .map_or_else(String::new, |segment| format!(" of {segment}"));
    let estimated = if one.estimated { ", as estimated" } else { "" };
    let sentence = match (one.value, one.baseline) {
        (Some(value), Some(baseline)) => format!(
            "{}{of} is worse than the baseline's{estimated}: {} against {}.",
            one.metric,
            short(value),
            short(baseline)
        ),
        _ => format!("{}{of} is worse than the baseline's{estimated}.", one.metric),
    };
    let severity = if one.estimated {
        Severity::Warning
    } else {
        Severity::Critical
    };
    let mut draft = Draft::wrong("performance", severity, sentence).linked(
        "rows with a label",
        one.rows.to_string(),
        evidence.link("performance"),
    );
    if let Some((low, high)) = one.interval {
        draft = draft.fact("interval", format!("{} to {}", short(low), short(high)));
    }
    if let Some(p) = one.p_value {
        draft = draft.fact("p", short(p));
    }
    Some(draft.next(
        "Look at the drifted features below and at recent changes; if neither explains it, the relation \
         itself has changed: train on newer data.",
    ))
}

fn rejected(evidence: &Evidence) -> Option<Finding> {
    let recent = evidence.recent().filter(|recent| recent.rows >= ROWS_MIN)?;
    let share = recent.rejected as f64 / recent.rows as f64;
    if share < REJECTED_SHARE {
        return None;
    }
    let severity = if share >= REJECTED_SHARE_CRITICAL {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let sentence = format!("Validators refuse {} of the rows.", percent(share));
    let draft = Draft::wrong("rejected-rows", severity, sentence)
        .linked("refused", recent.rejected.to_string(), "/metrics".to_owned())
        .fact("rows", recent.rows.to_string());
    Some(draft.next(
        "The errors name row, column and rule (`violations`): ask who sends them what changed, or correct \
         the rule.",
    ))
}

/// Drifted inputs, by what they matter to the model.
fn drifted(evidence: &Evidence) -> Vec<Finding> {
    let mut moved: Vec<&Feature> = evidence
        .features
        .iter()
        .filter(|feature| feature.target != Target::Predictions)
        .filter(|feature| matches!(feature.status, Drift::Drifted | Drift::Warn))
        .collect();
    // One that isn't known stands between those that matter and those that don't.
    let weight = |feature: &Feature| feature.importance.unwrap_or(IMPORTANT_SHARE);
    moved.sort_by(|a, b| {
        let drifted = |feature: &Feature| feature.status == Drift::Drifted;
        (drifted(b), weight(b))
            .partial_cmp(&(drifted(a), weight(a)))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let (matter, idle): (Vec<&Feature>, Vec<&Feature>) = moved
        .into_iter()
        .partition(|feature| weight(feature) >= IMPORTANT_SHARE);
    let mut found: Vec<Finding> = matter
        .iter()
        .take(FEATURES_MAX)
        .map(|feature| drifted_feature(evidence, feature))
        .collect();
    let rest: Vec<&Feature> = matter.into_iter().skip(FEATURES_MAX).collect();
    found.extend(together(
        evidence,
        "drift-more",
        Severity::Warning,
        "More features have drifted",
        &rest,
    ));
    found.extend(together(
        evidence,
        "drift-unimportant",
        Severity::Notice,
        "Features have drifted on which the prediction hardly depends",
        &idle,
    ));
    found
}

fn drifted_feature(evidence: &Evidence, feature: &Feature) -> Finding {
    let severity = match (feature.status, feature.importance) {
        (Drift::Drifted, Some(share)) if share >= DECISIVE_SHARE => Severity::Critical,
        (Drift::Drifted, _) => Severity::Warning,
        _ => Severity::Notice,
    };
    let verb = if feature.status == Drift::Drifted {
        "has drifted"
    } else {
        "is about to drift"
    };
    let matters = match feature.importance {
        Some(share) => format!(
            ", which makes {} of what the prediction depends on",
            percent(share)
        ),
        None => String::new(),
    };
    let sentence = format!("`{}`{matters}, {verb}.", feature.name);
    let sentence = if feature.importance.is_none() {
        format!("`{}` {verb}.", feature.name)
    } else {
        sentence
    };
    let mut draft = Draft::wrong("drift", severity, sentence).linked(
        &format!("{} of `{}`", feature.method, feature.monitor),
        feature.statistic.map_or_else(|| "—".to_owned(), short),
        evidence.link("drift"),
    );
    if let Some(threshold) = feature.threshold {
        draft = draft.fact("threshold", short(threshold));
    }
    if let Some(p) = feature.p_value {
        draft = draft.fact("p", short(p));
    }
    if let Some(share) = feature.importance {
        draft = draft.fact("importance", percent(share));
    }
    if !feature.detail.is_empty() {
        draft = draft.fact("in words", feature.detail.clone());
    }
    draft.next(format!(
        "Ask where `{}` comes from what changed there; if the change is real, train on data that has it.",
        feature.name
    ))
}

/// Several features in one finding.
fn together(
    evidence: &Evidence,
    code: &str,
    severity: Severity,
    what: &str,
    features: &[&Feature],
) -> Option<Finding> {
    /// Names in a sentence.
    const NAMES_MAX: usize = 6;
    if features.is_empty() {
        return None;
    }
    let names: Vec<String> = features
        .iter()
        .take(NAMES_MAX)
        .map(|feature| format!("`{}`", feature.name))
        .collect();
    let more = features.len().saturating_sub(NAMES_MAX);
    let and = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let draft = Draft::wrong(code, severity, format!("{what}: {}{and}.", names.join(", "))).linked(
        "features",
        features.len().to_string(),
        evidence.link("drift"),
    );
    Some(draft.next(match severity {
        Severity::Notice => {
            "Nothing, unless they should matter: then the model doesn't use what it was given."
        }
        _ => "Look at them after those above.",
    }))
}

fn predictions(evidence: &Evidence) -> Vec<Finding> {
    let moved = evidence
        .features
        .iter()
        .filter(|feature| feature.target == Target::Predictions && feature.status == Drift::Drifted);
    moved
        .map(|feature| {
            let sentence = format!("The prediction `{}` has shifted.", feature.name);
            let mut draft = Draft::wrong("prediction-shift", Severity::Warning, sentence).linked(
                &format!("{} of `{}`", feature.method, feature.monitor),
                feature.statistic.map_or_else(|| "—".to_owned(), short),
                evidence.link("drift"),
            );
            if let Some(threshold) = feature.threshold {
                draft = draft.fact("threshold", short(threshold));
            }
            if !feature.detail.is_empty() {
                draft = draft.fact("in words", feature.detail.clone());
            }
            draft.next(
                "With drifted inputs it follows them; without, look at what was deployed: the same inputs \
                 get other answers.",
            )
        })
        .collect()
}

fn missing(evidence: &Evidence) -> Vec<Finding> {
    let mut seen = std::collections::BTreeSet::new();
    let changed = evidence.features.iter().filter(|feature| {
        (feature.missing_now - feature.missing_before).abs() >= MISSING_CHANGE
            // Two monitors of a column say the same.
            && seen.insert(feature.name.clone())
    });
    changed
        .map(|feature| {
            let rises = feature.missing_now > feature.missing_before;
            let sentence = format!(
                "`{}` is missing {}: {} of the rows, {} in the reference.",
                feature.name,
                if rises { "more often" } else { "less often" },
                percent(feature.missing_now),
                percent(feature.missing_before)
            );
            let severity = if rises {
                Severity::Warning
            } else {
                Severity::Notice
            };
            let draft = Draft::wrong("missing-rate", severity, sentence)
                .linked(
                    "missing now",
                    percent(feature.missing_now),
                    evidence.link("drift"),
                )
                .fact("missing in the reference", percent(feature.missing_before));
            draft.next(format!(
                "Ask where `{}` comes from: a source that fails, a renamed field, a join that finds nothing.",
                feature.name
            ))
        })
        .collect()
}

fn stale(evidence: &Evidence) -> Option<Finding> {
    let model = evidence.model.as_ref()?;
    let age = evidence.now.duration_since(model.registered).as_secs_f64();
    let newer = model.newest > model.version;
    if age < STALE_SECONDS && !newer {
        return None;
    }
    let sentence = if newer {
        format!(
            "Version {} of `{}` answers, and version {} is there.",
            model.version, model.name, model.newest
        )
    } else {
        format!(
            "Version {} of `{}` was registered {} ago.",
            model.version,
            model.name,
            duration(age)
        )
    };
    let draft = Draft::wrong("stale-model", Severity::Notice, sentence)
        .linked(
            "registered",
            model.registered.to_string(),
            format!("/v1/models/{}/{}", model.name, model.version),
        )
        .fact("age", duration(age));
    Some(draft.next(if newer {
        "Compare both on labelled rows; if the newer one is better, move the alias to it and deploy."
    } else {
        "Train on newer data and compare, even if nothing has drifted."
    }))
}
