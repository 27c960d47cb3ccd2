//! What was changed shortly before something became worse.

use jiff::Timestamp;

use crate::evidence::{Drift, Evidence, Period};
use crate::finding::{Draft, Event, EventKind, Finding, Severity};
use crate::words::{duration, ms, percent};

/// Requests below which a period's times say nothing.
const REQUESTS_MIN: u64 = 20;
/// Times as slow as before that count as slower.
const SLOWER: f64 = 1.5;
/// And by so much, milliseconds: what nobody notices is no change.
const SLOWER_MS_MIN: f64 = 1.0;
/// Failed requests more than before, in parts of all.
const FAILING_MORE: f64 = 0.02;
/// How long before something became worse a change counts as its likely cause.
const BEFORE_SECONDS: f64 = 2.0 * 3600.0;
/// Times are rounded to windows, so a change may seem to come after its effect by as much.
const AFTER_SECONDS: f64 = 120.0;

pub(crate) fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(slower(evidence));
    found.extend(failing_more(evidence));
    found.extend(wrong_since(evidence));
    found
}

/// The latest change in the time before something became worse. Of kinds that can make it so.
fn culprit(evidence: &Evidence, since: Timestamp, can: fn(EventKind) -> bool) -> Option<&Event> {
    evidence
        .events
        .iter()
        .filter(|event| can(event.kind))
        .filter(|event| {
            let before = since.duration_since(event.at).as_secs_f64();
            (-AFTER_SECONDS..=BEFORE_SECONDS).contains(&before)
        })
        .max_by_key(|event| event.at)
}

/// The recent period and the first before it with requests enough.
fn two_periods(evidence: &Evidence) -> Option<(&Period, &Period)> {
    let mut with = evidence
        .periods
        .iter()
        .filter(|period| period.requests >= REQUESTS_MIN);
    let recent = with.next().filter(|first| Some(*first) == evidence.recent())?;
    Some((recent, with.next_back()?))
}

fn began(evidence: &Evidence, period: &Period) -> Timestamp {
    let ago = jiff::SignedDuration::from_secs_f64(period.starts_ago_seconds.clamp(0.0, 1e9));
    evidence.now.checked_sub(ago).unwrap_or(evidence.now)
}

fn slower(evidence: &Evidence) -> Option<Finding> {
    let (recent, before) = two_periods(evidence)?;
    let (now, then) = (recent.p95_ms?, before.p95_ms?);
    if now < then * SLOWER || now - then < SLOWER_MS_MIN {
        return None;
    }
    let cause = culprit(evidence, began(evidence, recent), EventKind::is_change);
    let sentence = match cause {
        Some(event) => format!(
            "Requests became slower, p95 {} after {}, around the time of: {}.",
            ms(now),
            ms(then),
            event.text
        ),
        None => format!("Requests became slower: p95 {} after {}.", ms(now), ms(then)),
    };
    let draft = Draft::slow("slower", Severity::Warning, sentence)
        .linked("p95 now", ms(now), "/metrics".to_owned())
        .fact("p95 before", ms(then))
        .fact("requests now", recent.requests.to_string());
    Some(with_cause(
        evidence,
        draft,
        cause,
        "Nothing was deployed around then: look at the load, the rows a \
         request, and what else the machine does.",
    ))
}

fn failing_more(evidence: &Evidence) -> Option<Finding> {
    let (recent, before) = two_periods(evidence)?;
    let rate = |period: &Period| period.failures as f64 / period.requests as f64;
    let (now, then) = (rate(recent), rate(before));
    if now - then < FAILING_MORE {
        return None;
    }
    let cause = culprit(evidence, began(evidence, recent), EventKind::changes_answers);
    let sentence = match cause {
        Some(event) => format!(
            "{} of the requests fail, {} before, around the time of: {}.",
            percent(now),
            percent(then),
            event.text
        ),
        None => format!("{} of the requests fail, {} before.", percent(now), percent(then)),
    };
    let draft = Draft::wrong("failing-more", Severity::Critical, sentence)
        .linked("failed", recent.failures.to_string(), "/metrics".to_owned())
        .fact("requests", recent.requests.to_string());
    Some(with_cause(
        evidence,
        draft,
        cause,
        "Look at which stage fails, above.",
    ))
}

/// A change shortly before the first window in which features drifted, or a metric was worse.
fn wrong_since(evidence: &Evidence) -> Option<Finding> {
    let drift = evidence
        .features
        .iter()
        .filter(|feature| feature.status == Drift::Drifted)
        .filter_map(|feature| feature.since);
    let worse = evidence
        .performance
        .iter()
        .filter(|one| one.is_worse == Some(true))
        .filter_map(|one| one.since);
    let since = drift.chain(worse).min()?;
    let event = culprit(evidence, since, EventKind::changes_answers)?;
    let sentence = format!(
        "Answers are in doubt since {since}, {}: {}.",
        match since.duration_since(event.at).as_secs_f64() {
            after if after >= 1.0 => format!("{} after a change", duration(after)),
            _ => "with a change".to_owned(),
        },
        event.text
    );
    let draft = Draft::wrong("after-a-change", Severity::Warning, sentence);
    Some(with_cause(evidence, draft, Some(event), ""))
}

fn with_cause(evidence: &Evidence, draft: Draft, cause: Option<&Event>, otherwise: &str) -> Finding {
    let Some(event) = cause else {
        return draft.next(otherwise);
    };
    let mut draft = draft
        .linked("changed", event.text.clone(), evidence.link("revisions"))
        .fact("at", event.at.to_string());
    if let Some(by) = &event.by {
        draft = draft.fact("by", by.clone());
    }
    let name = &evidence.deployment;
    draft.next(match event.kind {
        EventKind::Alias => {
            "Look at the two versions of the model; move the alias back if the new one is to blame."
                .to_owned()
        }
        _ => format!(
            "`caisson deployment diff {name}` shows what changed, `caisson rollback {name}` goes back."
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_period_is_no_change() {
        let evidence = Evidence {
            periods: vec![Period {
                requests: 1000,
                failures: 900,
                p95_ms: Some(1000.0),
                ..Period::default()
            }],
            ..Evidence::default()
        };
        let found = findings(&evidence);
        assert!(found.is_empty(), "{found:?}");
    }
}
