//! What is known of a deployment between evaluations. All of it can be made again, but for the numbers of
//! rows whose files are gone, which is why the list of files is stored.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use caisson_predictions::{LogFile, LogReader};
use caisson_store::record::Record;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chunk::{Placed, predictions};
use super::stored::Folder;
use super::windows::KnownSegments;
use crate::TruthError;
use crate::cells::Cells;
use crate::result::{Part, SegmentName, Standing, WindowSpan, WindowStatement};
use crate::spec::Span;

/// Pieces of time that are remembered of one file, the newest: a file of an hour whose events were in
/// thousands of others is a backfill of old times.
const PANES_OF_FILE_MAX: usize = 4_096;
/// How far ahead of its request an event may be; further is a wrong clock, which would close all windows.
const AHEAD: i64 = 60_000_000;

/// A file of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) path: String,
    /// The number of its first row.
    pub(super) first: i64,
    pub(super) rows: i64,
    /// Its newest event.
    pub(super) newest: Option<i64>,
    /// Where its rows are, ascending.
    pub(super) panes: Vec<i64>,
}

/// The files of the log, and the values that are looked at apart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct List {
    pub(super) files: Vec<Listed>,
    pub(super) next: i64,
    pub(super) newest: Option<i64>,
    pub(super) segments: KnownSegments,
}

impl Record for List {
    const KIND: &'static str = "list of a log's files";
    const FORMAT: u32 = 1;
}

/// What was said of a window.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) is_final: bool,
    /// When no label is waited for any more.
    pub(super) final_at: i64,
    pub(super) estimated: bool,
    pub(super) outcomes: Vec<(Option<SegmentName>, Standing)>,
}

/// One part of the newest window that has enough labels, or estimates.
#[derive(Debug, Clone, PartialEq)]
pub struct Newest {
    /// Which window.
    pub window: WindowSpan,
    /// When it was stated.
    pub evaluated_at: Timestamp,
    /// What was stated.
    pub part: Part,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// What is measured; another one is another state.
    pub(super) key: String,
    pub(super) list: List,
    pub(super) known: BTreeMap<i64, Known>,
    pub(super) labelled: BTreeMap<Option<SegmentName>, Newest>,
    pub(super) estimated: BTreeMap<Option<SegmentName>, Newest>,
    /// Labels' version, as of the last evaluation.
    pub(super) seen: Option<u64>,
    /// Scores and labels of the newest windows, for a calibration.
    pub(super) pool: Vec<(f64, bool)>,
}

impl State {
    /// What was said before, from the store.
    pub(super) fn load(
        key: String,
        folder: &Folder,
        segments: KnownSegments,
        rows_min: u64,
    ) -> Result<Self, TruthError> {
        let mut state = Self {
            list: folder.read_list().unwrap_or_else(|| List {
                segments,
                ..List::default()
            }),
            key,
            ..Self::default()
        };
        for at in folder.windows()? {
            let stored = match folder.read(at) {
                Ok(stored) => stored,
                Err(error) => {
                    tracing::error!(%error, "statements of a window can't be read");
                    continue;
                }
            };
            if let Some(statement) = stored.and_then(|stored| stored.statements.into_iter().next()) {
                // What isn't final is evaluated again, which says when it will be.
                state.take(at, &statement, i64::MAX, rows_min);
            }
        }
        Ok(state)
    }

    /// Remember a statement. Windows come in their order.
    pub(super) fn take(&mut self, at: i64, statement: &WindowStatement, final_at: i64, rows_min: u64) {
        let parts = &statement.parts;
        self.known.insert(
            at,
            Known {
                is_final: statement.is_final,
                final_at,
                estimated: parts.iter().any(|part| !part.estimates.is_empty()),
                outcomes: parts
                    .iter()
                    .map(|part| (part.segment.clone(), part.outcome))
                    .collect(),
            },
        );
        for part in parts {
            let newest = Newest {
                window: statement.window,
                evaluated_at: statement.evaluated_at,
                part: part.clone(),
            };
            let is_newer = |map: &BTreeMap<Option<SegmentName>, Newest>| {
                let before = map.get(&part.segment);
                before.is_none_or(|before| before.window.start <= newest.window.start)
            };
            if part.labelled >= rows_min.max(1) && is_newer(&self.labelled) {
                self.labelled.insert(part.segment.clone(), newest.clone());
            }
            if !part.estimates.is_empty() && is_newer(&self.estimated) {
                self.estimated.insert(part.segment.clone(), newest);
            }
        }
    }

    /// Bring the list of files up to date.
    pub(super) fn list_files(
        &mut self,
        log: &LogReader,
        (tenant, deployment): (&str, &str),
        span: &Span,
    ) -> Result<Files, TruthError> {
        let files = log.files(tenant, deployment)?;
        let there: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let before = self.list.files.len();
        self.list.files.retain(|file| there.contains(file.path.as_str()));
        let mut all = Files {
            changed: self.list.files.len() != before,
            new: BTreeSet::new(),
        };
        let listed: HashSet<String> = self.list.files.iter().map(|file| file.path.clone()).collect();
        let mut new: Vec<LogFile> = files
            .into_iter()
            .filter(|file| !listed.contains(&file.path))
            .collect();
        // In the order in which they were written, which is in their names: rows are numbered by it.
        let name = |file: &LogFile| file.path.rsplit('/').next().map(str::to_owned);
        new.sort_by_key(name);
        for file in new {
            let mut listed = Listed {
                path: file.path,
                first: self.list.next,
                rows: 0,
                newest: None,
                panes: Vec::new(),
            };
            let mut panes = BTreeSet::new();
            let read = predictions(log, &listed.path, &["event_time", "received_at"], |batch| {
                let first = listed.first + listed.rows;
                for placed in placed(batch, first, span) {
                    listed.newest = Some(
                        listed
                            .newest
                            .map_or(placed.time, |newest| newest.max(placed.time)),
                    );
                    panes.insert(placed.pane);
                    if panes.len() > PANES_OF_FILE_MAX {
                        panes.pop_first();
                    }
                }
                listed.rows += i64::try_from(batch.num_rows()).unwrap_or(0);
            });
            leave_out(&listed.path, read)?;
            all.new.extend(&panes);
            listed.panes = panes.into_iter().collect();
            self.list.next += listed.rows;
            self.list.newest = self.list.newest.max(listed.newest);
            self.list.files.push(listed);
            all.changed = true;
        }
        Ok(all)
    }
}

/// What is new in a log.
pub(super) struct Files {
    /// Files came or went.
    pub(super) changed: bool,
    /// Where the rows of new ones are.
    pub(super) new: BTreeSet<i64>,
}

/// A damaged file of the log is left out. One that can't be had just now ends the evaluation, which would
/// miss its rows.
pub(super) fn leave_out(path: &str, read: Result<(), TruthError>) -> Result<(), TruthError> {
    match read {
        Err(TruthError::Read(error)) => {
            tracing::error!(
                path,
                error,
                "a file of a prediction log is left out of performance"
            );
            Ok(())
        }
        other => other,
    }
}

/// The rows of a part of a file by where they are; those without a time, or of a time to come, are nowhere.
pub(super) fn placed(
    batch: &arrow_array::RecordBatch,
    first: i64,
    span: &Span,
) -> impl Iterator<Item = Placed> + use<> {
    let (times, received) = (Cells::of(batch, "event_time"), Cells::of(batch, "received_at"));
    let places: Vec<Placed> = (0..batch.num_rows())
        .filter_map(|row| {
            let received = received.micros(row)?;
            let number = first + i64::try_from(row).ok()?;
            let time = match times.micros(row) {
                Some(time) if time <= received.saturating_add(AHEAD) => time,
                _ if span.by_rows => received,
                _ => return None,
            };
            let at = if span.by_rows { number } else { time };
            Some(Placed {
                row,
                pane: at.div_euclid(span.pane()),
                time,
                received,
            })
        })
        .collect();
    places.into_iter()
}
