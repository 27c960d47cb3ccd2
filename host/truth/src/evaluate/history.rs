//! What is said of one window, and what was said of all.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Job;
use super::stored::{Folder, key};
use super::windows::{Gathered, Place, merge, moment, name};
use crate::TruthError;
use crate::card::{Card, Setup};
use crate::metric::Metric;
use crate::result::{
    History, HistoryQuery, MetricValue, Part, Standing, Verdict, WindowSpan, WindowStatement,
};
use crate::spec::{GroundTruthSpec, PerformanceSpec, Span};
use crate::truth::Truth;

/// What windows are compared with.
enum Against<'a> {
    Cards(&'a BTreeMap<Place, Card>),
    Own(BTreeMap<Place, Card>),
    Values(&'a BTreeMap<Metric, f64>),
    Nothing,
}

/// What is said of a window.
pub(super) fn statement(
    job: &Job<'_>,
    setup: &Setup,
    span: &Span,
    gathered: &Gathered,
    trail: &[&Gathered],
    is_final: bool,
) -> Result<WindowStatement, TruthError> {
    let (against, source) = against(job, trail)?;
    let columns = &job.performance.segments;
    let start = gathered.at * span.step;
    let rows = |number: i64| Some(u64::try_from(number).unwrap_or(0));
    let window = match span.by_rows {
        true => WindowSpan {
            start: moment(gathered.first),
            end: moment(gathered.last),
            start_row: rows(start),
            end_row: rows(start + span.size),
        },
        false => WindowSpan {
            start: moment(start),
            end: moment(start + span.size),
            start_row: None,
            end_row: None,
        },
    };
    let parts = gathered.cards.iter().map(|(place, card)| {
        let (unusable, restated) = card.counts();
        let verdicts = verdicts(job.performance, setup, place, card, &against);
        let outcome = worst(verdicts.values().map(|verdict| verdict.outcome));
        let value = |metric: &Metric| {
            let (answer, within) = card.measure(*metric, setup);
            (metric.to_string(), MetricValue::of(answer, within))
        };
        let measured = job.performance.measured();
        let (confusion, classes) = card.classes().filter(|_| card.labelled > 0).unzip();
        let estimates = card.estimates(&measured, setup).into_iter();
        Part {
            segment: name(place, columns),
            predictions: card.predictions,
            labelled: card.labelled,
            unusable,
            restated,
            metrics: measured.iter().map(value).collect(),
            estimates: estimates
                .map(|(metric, value)| (metric.to_string(), value))
                .collect(),
            confusion,
            classes: classes.unwrap_or_default(),
            verdicts,
            outcome,
        }
    });
    Ok(super::unsaid(WindowStatement {
        window,
        statement: 1,
        evaluated_at: job.now,
        is_final,
        revisions: gathered.revisions.clone(),
        against: source,
        parts: parts.collect(),
    }))
}

fn against<'a>(job: &Job<'a>, trail: &[&Gathered]) -> Result<(Against<'a>, Option<String>), TruthError> {
    if let Some(reference) = job.reference {
        return Ok((Against::Cards(&reference.cards), Some(reference.source.clone())));
    }
    if !job.performance.reference.is_empty() {
        let source = "the values that the deployment's file gives".to_owned();
        return Ok((Against::Values(&job.performance.reference), Some(source)));
    }
    let mut cards = BTreeMap::new();
    for earlier in trail {
        merge(&mut cards, &earlier.cards)?;
    }
    Ok(match trail.len() {
        0 => (Against::Nothing, None),
        1 => (Against::Own(cards), Some("the window before".to_owned())),
        n => (Against::Own(cards), Some(format!("the {n} windows before"))),
    })
}

fn verdicts(
    performance: &PerformanceSpec,
    setup: &Setup,
    place: &Place,
    card: &Card,
    against: &Against<'_>,
) -> BTreeMap<String, Verdict> {
    let rule = performance.degradation.rule();
    let of_cards = |cards: &BTreeMap<Place, Card>, metric: Metric| {
        // A segment that wasn't there before is compared with nothing.
        let before = cards.get(place)?;
        Some(card.compare(metric, before, setup))
    };
    let mut verdicts = BTreeMap::new();
    for metric in performance.compared() {
        let found = match against {
            Against::Cards(cards) => of_cards(cards, metric),
            Against::Own(cards) => of_cards(cards, metric),
            Against::Values(values) => values
                .get(&metric)
                .map(|value| card.compare_with(metric, *value, setup)),
            Against::Nothing => None,
        };
        let verdict = match found {
            None => Verdict {
                outcome: Standing::Unknown,
                found: None,
                undefined: Some("there is nothing to compare it with".to_owned()),
            },
            Some(Ok(found)) => Verdict {
                outcome: found.outcome(&rule).into(),
                found: Some(found.into()),
                undefined: None,
            },
            Some(Err(why)) => Verdict {
                outcome: Standing::Unknown,
                found: None,
                undefined: Some(why.to_string()),
            },
        };
        verdicts.insert(metric.to_string(), verdict);
    }
    verdicts
}

/// Bad where one is, good where one is and none is bad.
fn worst(outcomes: impl Iterator<Item = Standing>) -> Standing {
    let rank = |standing: &Standing| match standing {
        Standing::Unknown => 0,
        Standing::Good => 1,
        Standing::Bad => 2,
    };
    outcomes.max_by_key(rank).unwrap_or(Standing::Unknown)
}

impl Truth {
    /// What was said of a deployment's windows. It reads files.
    ///
    /// # Errors
    ///
    /// The store; a damaged record.
    pub fn history(
        &self,
        (tenant, deployment): (&str, &str),
        (truth, performance, log): (&GroundTruthSpec, &PerformanceSpec, &caisson_predictions::LogSpec),
        query: &HistoryQuery,
    ) -> Result<History, TruthError> {
        let key = key(truth, performance, log.event_time.as_ref())?;
        let (shown, latest) = self.0.states.of(tenant, deployment).shown();
        // What was measured before the file was changed isn't what is asked for.
        let (evaluated_at, alarms) = match shown == key {
            true => (latest.evaluated_at, latest.alarms),
            false => (None, Vec::new()),
        };
        let folder = Folder::new(self.0.store.objects(), tenant, deployment, &key);
        let span = performance.window.span();
        let mut history = History {
            evaluated_at,
            alarms,
            windows: Vec::new(),
            truncated: false,
        };
        let mut windows = 0;
        for at in folder.windows()?.into_iter().rev() {
            if !span.by_rows && !query.covers(moment(at * span.step), moment(span.end(at))) {
                continue;
            }
            let Some(stored) = folder.read(at)? else {
                continue;
            };
            let wanted = if query.statements { usize::MAX } else { 1 };
            let said = stored.statements.into_iter().take(wanted);
            let said: Vec<_> = said.filter_map(|statement| query.narrow(statement)).collect();
            if said.is_empty() {
                continue;
            }
            if windows == query.limit {
                history.truncated = true;
                break;
            }
            windows += 1;
            history.windows.extend(said);
        }
        Ok(history)
    }
}

impl HistoryQuery {
    fn covers(&self, start: Timestamp, end: Timestamp) -> bool {
        self.from.is_none_or(|from| end > from) && self.to.is_none_or(|to| start < to)
    }

    /// What is asked for of a statement; none where it has nothing of that.
    fn narrow(&self, mut statement: WindowStatement) -> Option<WindowStatement> {
        if !self.covers(statement.window.start, statement.window.end) {
            return None;
        }
        if let Some((column, value)) = &self.segment {
            let is_it = |part: &Part| {
                let segment = part.segment.as_ref();
                segment.is_some_and(|segment| segment.column == *column && segment.text() == value)
            };
            statement.parts.retain(is_it);
            if statement.parts.is_empty() {
                return None;
            }
        }
        if !self.metrics.is_empty() {
            let wanted = |name: &str| self.metrics.iter().any(|metric| metric == name);
            for part in &mut statement.parts {
                part.metrics.retain(|name, _| wanted(name));
                part.estimates.retain(|name, _| wanted(name));
                part.verdicts.retain(|name, _| wanted(name));
            }
        }
        Some(statement)
    }
}
