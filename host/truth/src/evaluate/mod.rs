//! From labels and the log to statements about windows.
//!
//! An evaluation looks at the windows that are closed and not final. It reads the predictions of a few
//! windows at a time, finds their labels, puts the windows together from pieces, measures and compares
//! each, and stores what it says where that is new.

mod chunk;
mod counts;
mod due;
mod history;
mod latest;
mod reference;
mod state;
mod stored;
mod windows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use caisson_predictions::LogSpec;
use jiff::Timestamp;

use crate::TruthError;
use crate::card::{CALIBRATION_ROWS_MAX, Estimator, Setup};
use crate::label::Hashes;
use crate::result::WindowStatement;
use crate::spec::{GroundTruthSpec, PerformanceSpec, Span};
use crate::truth::Truth;
use chunk::{Chunk, Columns, predictions};
use due::{News, candidates, groups};
use history::statement;
pub use latest::Latest;
use latest::alarms;
pub use reference::Reference;
pub use state::Newest;
use state::{State, placed};
use stored::{Folder, WINDOWS_MAX, key};
use windows::{Gathered, KnownSegments, Pane, Series, fold, gather};

/// Predictions in memory at a time: at a hundred bytes each and their scores, 50 MB.
pub const ROWS_AT_ONCE: usize = 250_000;

/// What is evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// Of which deployment.
    pub deployment: &'a str,
    /// What its file says of labels.
    pub truth: &'a GroundTruthSpec,
    /// What its file says of performance.
    pub performance: &'a PerformanceSpec,
    /// What its file says of the log.
    pub log: &'a LogSpec,
    /// Is there an input column `revision`?
    pub revision_is_input: bool,
    /// The labelled baseline, where there is one.
    pub reference: Option<&'a Reference>,
    /// What time it is.
    pub now: Timestamp,
}

/// What an evaluation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Windows that were looked at.
    pub windows: usize,
    /// Statements that are new.
    pub statements: usize,
}

/// What is known of a deployment, and what others see of it while it is evaluated.
#[derive(Debug, Default)]
struct Known {
    state: Mutex<State>,
    shown: Mutex<(String, Latest)>,
}

impl Known {
    /// What was known after the last evaluation, and of which measure.
    fn shown(&self) -> (String, Latest) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// States by tenant and deployment.
#[derive(Default)]
pub(crate) struct States(Mutex<BTreeMap<(String, String), Arc<Known>>>);

impl States {
    fn of(&self, tenant: &str, deployment: &str) -> Arc<Known> {
        let key = (tenant.to_owned(), deployment.to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key).or_default())
    }

    pub(crate) fn forget(&self, is_meant: impl Fn(&str, &str) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(owner, name), _| !is_meant(owner, name));
    }
}

impl Truth {
    /// Look at all windows of a deployment of which there may be something new to say. It reads files, and
    /// may take minutes.
    ///
    /// # Errors
    ///
    /// The store; a damaged file of labels.
    pub fn evaluate(&self, job: &Job<'_>) -> Result<Evaluation, TruthError> {
        let of = self.0.states.of(job.tenant, job.deployment);
        let mut state = of.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(job.truth, job.performance, job.log.event_time.as_ref())?;
        let folder = Folder::new(self.0.store.objects(), job.tenant, job.deployment, &key);
        let rows_min = job.performance.degradation.rule().rows_min;
        if state.key != key {
            // Values that are looked at apart in the baseline are looked at apart here.
            let segments = match job.reference {
                Some(reference) => reference.known.clone(),
                None => KnownSegments::of(job.performance.segments.len()),
            };
            *state = State::load(key, &folder, segments, rows_min)?;
        }
        let evaluated = self.round(job, &mut state, &folder)?;
        let latest = Latest {
            labelled: state.labelled.values().cloned().collect(),
            estimated: state.estimated.values().cloned().collect(),
            alarms: alarms(&state, job.performance),
            evaluated_at: Some(job.now),
        };
        *of.shown.lock().unwrap_or_else(PoisonError::into_inner) = (state.key.clone(), latest);
        Ok(evaluated)
    }

    fn round(&self, job: &Job<'_>, state: &mut State, folder: &Folder) -> Result<Evaluation, TruthError> {
        let span = job.performance.window.span();
        let of = self.0.deployments.of(job.tenant, job.deployment);
        // Before the files are listed: what comes meanwhile is seen next time.
        let version = of.version();
        let files = state.list_files(&self.0.log, (job.tenant, job.deployment), &span)?;
        let news = News {
            labels: state.seen != Some(version),
            predictions: files.new,
            estimates: estimator(job, state).is_some(),
        };
        self.go_on()?;
        let candidates = candidates(state, &span, job, &news);
        let segments = state.list.segments.clone();
        let mut evaluation = Evaluation::default();
        if !candidates.is_empty() {
            let _reading = of.read();
            evaluation = self.windows(job, state, folder, &candidates)?;
        }
        if files.changed || segments != state.list.segments {
            folder.write_list(&state.list)?;
        }
        if news.labels || files.changed {
            let _reading = of.read();
            let columns = Columns::of(job.truth, job.performance, job.revision_is_input);
            let files: Vec<String> = state.list.files.iter().map(|file| file.path.clone()).collect();
            let objects = self.0.store.objects();
            let place = (job.tenant, job.deployment);
            of.set_counts(counts::count(
                (&objects, &self.0.log),
                place,
                job.truth,
                &columns,
                &files,
            )?);
        }
        if evaluation.statements > 0 {
            while state.known.len() > WINDOWS_MAX {
                let Some((at, _)) = state.known.pop_first() else {
                    break;
                };
                folder.remove(at)?;
            }
            of.set_results(folder.prune()?);
        }
        state.seen = Some(version);
        Ok(evaluation)
    }

    /// Evaluate windows, which are given in their order.
    fn windows(
        &self,
        job: &Job<'_>,
        state: &mut State,
        folder: &Folder,
        candidates: &BTreeSet<i64>,
    ) -> Result<Evaluation, TruthError> {
        let span = job.performance.window.span();
        let mut setup = Setup::new(job.performance);
        if let Some(reference) = job.reference {
            setup.naive_error = reference.naive_error;
        }
        setup.estimator = estimator(job, state);
        let rows_min = job.performance.degradation.rule().rows_min;
        // Windows before, which the first ones may be compared with.
        let trails = job.reference.is_none() && job.performance.reference.is_empty();
        let trailing = if trails { job.performance.trailing() } else { 0 };
        let overlap = usize::try_from(span.size / span.step).unwrap_or(1).max(1);
        let mut before: VecDeque<Gathered> = VecDeque::new();
        let mut evaluation = Evaluation::default();
        let mut pool = Vec::new();
        for group in groups(state, &span, candidates, trailing * overlap) {
            let panes = self.panes(job, state, &setup, &span, &group)?;
            for &window in &group {
                let Some(gathered) = gather(window, &span, &panes)? else {
                    continue;
                };
                if candidates.contains(&window) {
                    let trail: Vec<&Gathered> = before
                        .iter()
                        .rev()
                        .filter(|earlier| span.end(earlier.at) <= window * span.step)
                        .step_by(overlap)
                        .take(trailing)
                        .collect();
                    let final_at = gathered.received.saturating_add(job.truth.lateness_micros());
                    let is_final = job.now.as_microsecond() > final_at;
                    let said = statement(job, &setup, &span, &gathered, &trail, is_final)?;
                    let (said, is_new) = folder.state(window, said)?;
                    state.take(window, &said, final_at, rows_min);
                    evaluation.windows += 1;
                    evaluation.statements += usize::from(is_new);
                }
                if job.performance.estimate && job.reference.is_none() {
                    let scored = gathered.cards.get(&None).map(crate::card::Card::scored);
                    pool.extend_from_slice(scored.unwrap_or_default());
                    let extra = pool.len().saturating_sub(CALIBRATION_ROWS_MAX);
                    pool.drain(..extra);
                }
                if trailing > 0 {
                    before.push_back(gathered);
                    if before.len() > (trailing + 1) * overlap {
                        before.pop_front();
                    }
                }
            }
        }
        if !pool.is_empty() {
            state.pool = pool;
        }
        Ok(evaluation)
    }

    /// The pieces of a group of windows.
    fn panes(
        &self,
        job: &Job<'_>,
        state: &mut State,
        setup: &Setup,
        span: &Span,
        group: &[i64],
    ) -> Result<BTreeMap<i64, Pane>, TruthError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Ok(BTreeMap::new());
        };
        let range = span.panes_of(*first).start..span.panes_of(*last).end;
        let columns = Columns::of(job.truth, job.performance, job.revision_is_input);
        let (hashes, objects) = (Hashes::default(), self.0.store.objects());
        let mut chunk = Chunk::new(setup, job.truth, &columns, &hashes);
        let mut panes = BTreeMap::new();
        let mut series = Series::new();
        let mut known = std::mem::take(&mut state.list.segments);
        let mut read = || -> Result<(), TruthError> {
            for file in &state.list.files {
                self.go_on()?;
                let there = file.panes.first().zip(file.panes.last());
                if there.is_none_or(|(a, b)| *b < range.start || *a >= range.end) {
                    continue;
                }
                let mut number = file.first;
                let mut failed = None;
                let names = columns.names();
                let result = predictions(&self.0.log, &file.path, &names, |batch| {
                    let rows = placed(batch, number, span).filter(|row| range.contains(&row.pane));
                    chunk.extend(batch, rows);
                    number += i64::try_from(batch.num_rows()).unwrap_or(0);
                    if chunk.is_full(ROWS_AT_ONCE) {
                        let labelled = chunk.label(&objects, job.tenant, job.deployment);
                        fold(&mut chunk, setup, &mut known, &mut series, &mut panes);
                        failed = failed.take().or(labelled.err());
                    }
                });
                if let Some(error) = failed {
                    return Err(error);
                }
                state::leave_out(&file.path, result)?;
            }
            chunk.label(&objects, job.tenant, job.deployment)?;
            fold(&mut chunk, setup, &mut known, &mut series, &mut panes);
            Ok(())
        };
        let result = read();
        state.list.segments = known;
        result.map(|()| panes)
    }
}

/// Calibrated scores: of the baseline, or of labelled rows of windows before.
fn estimator(job: &Job<'_>, state: &State) -> Option<Arc<Estimator>> {
    if !job.performance.estimate {
        return None;
    }
    match job.reference {
        Some(reference) => reference.estimator.clone(),
        None => {
            let on = format!("{} labelled predictions of earlier windows", state.pool.len());
            Estimator::fit(&state.pool, on).map(Arc::new)
        }
    }
}

/// A statement that isn't stored yet has neither number nor time.
pub(super) fn unsaid(statement: WindowStatement) -> WindowStatement {
    WindowStatement {
        statement: 1,
        ..statement
    }
}
