//! Which windows are looked at, and which of them together.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Job;
use super::state::State;
use super::stored::WINDOWS_MAX;
use crate::spec::Span;

/// Pieces of windows in memory at a time; one window has 48 at most.
const PANES_AT_ONCE: i64 = 96;
/// Rows that were answered and aren't in a file yet may wait so long beside the time that the log says.
const FLUSH_MARGIN: Duration = Duration::from_secs(2);

/// What is new since the last evaluation.
pub(super) struct News {
    /// Labels came, or all is new after a start.
    pub(super) labels: bool,
    /// Where predictions came.
    pub(super) predictions: BTreeSet<i64>,
    /// There is a calibration.
    pub(super) estimates: bool,
}

/// The windows that are closed and of which there may be something new to say.
pub(super) fn candidates(state: &State, span: &Span, job: &Job<'_>, news: &News) -> BTreeSet<i64> {
    let closed_until = match (span.by_rows, &job.log.event_time) {
        (true, _) => state.list.next,
        (false, Some(_)) => state
            .list
            .newest
            .unwrap_or(i64::MIN)
            .saturating_sub(span.lateness),
        (false, None) => {
            let waits = job.log.flush_every() + FLUSH_MARGIN;
            let waits = i64::try_from(waits.as_micros()).unwrap_or(i64::MAX);
            job.now
                .as_microsecond()
                .saturating_sub(span.lateness)
                .saturating_sub(waits)
        }
    };
    let now = job.now.as_microsecond();
    let is_open = |window: &i64| match state.known.get(window) {
        None => true,
        Some(known) => {
            let estimates = news.estimates && !known.estimated;
            let predictions = || news.predictions.range(span.panes_of(*window)).next().is_some();
            !known.is_final && (news.labels || estimates || now > known.final_at || predictions())
        }
    };
    // A pruned window isn't evaluated again.
    let oldest = match state.known.len() >= WINDOWS_MAX {
        true => state.known.first_key_value().map(|(at, _)| *at),
        false => None,
    };
    let mut windows = BTreeSet::new();
    for pane in state.list.files.iter().flat_map(|file| &file.panes) {
        for window in span.windows_of(*pane) {
            if span.end(window) <= closed_until
                && oldest.is_none_or(|oldest| window >= oldest)
                && is_open(&window)
            {
                windows.insert(window);
                if windows.len() > WINDOWS_MAX {
                    windows.pop_first();
                }
            }
        }
    }
    windows
}

/// Windows that are put together at a time, in their order. Those before the first one with rows, as many as
/// are asked for, are put together too, and nothing is said of them.
pub(super) fn groups(state: &State, span: &Span, candidates: &BTreeSet<i64>, before: usize) -> Vec<Vec<i64>> {
    let mut all = candidates.clone();
    if let Some(first) = candidates.first() {
        let there: BTreeSet<i64> = state
            .list
            .files
            .iter()
            .flat_map(|file| &file.panes)
            .flat_map(|pane| span.windows_of(*pane))
            .collect();
        // Also between candidates: what is compared with is what came before.
        if before > 0 {
            all.extend(
                there
                    .range(first..)
                    .filter(|window| candidates.last() >= Some(window)),
            );
            all.extend(there.range(..first).rev().take(before));
        }
    }
    let panes = |first: i64, last: i64| span.panes_of(last).end - span.panes_of(first).start;
    let mut groups: Vec<Vec<i64>> = Vec::new();
    for window in all {
        match groups.last_mut() {
            Some(group)
                if group
                    .first()
                    .is_some_and(|first| panes(*first, window) <= PANES_AT_ONCE) =>
            {
                group.push(window);
            }
            _ => groups.push(vec![window]),
        }
    }
    groups
}
