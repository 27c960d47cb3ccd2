//! Predictions in memory, and the labels that are found for them.
//!
//! Predictions are read into a chunk of bounded size; the labels stream past it. So memory is that of
//! the chunk, however many labels there are.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use caisson_predictions::{Hour, LogReader, files, read_file};
use caisson_store::Objects;

use crate::TruthError;
use crate::card::{Setup, Value};
use crate::cells::{Cells, entity};
use crate::file::decode;
use crate::label::{Hashes, Label, LabelKey};
use crate::spec::{GroundTruthSpec, JoinSpec, PerformanceSpec, REVISION, ScoreSpec};
use crate::truth::LABELS;

/// Bytes of names (labels, segments) with which a chunk is full, too.
const NAMES_BYTES_MAX: usize = 16 << 20;
/// A longer name stands for itself by its hash.
const NAME_BYTES_MAX: usize = 256;
/// Ends a list.
const NONE: u32 = u32::MAX;

/// A value that is predicted or came true, by the number of its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stored {
    Missing,
    Number(f64),
    Name(u32),
}

/// The label that counts for a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    value: Stored,
    received: i64,
    /// How much later than the prediction, of labels that are joined by key.
    distance: i64,
}

/// One prediction.
#[derive(Debug, Clone)]
pub(super) struct RowOf {
    pub(super) pane: i64,
    pub(super) time: i64,
    pub(super) received: i64,
    pub(super) revision: u64,
    pub(super) predicted: Stored,
    pub(super) found: Option<Found>,
    pub(super) restated: u32,
    /// Which series it is part of.
    pub(super) series: u64,
    /// The next row with the same key.
    next: u32,
}

impl RowOf {
    pub(super) fn label(&self) -> Stored {
        self.found.map_or(Stored::Missing, |found| found.value)
    }
}

/// Names by number.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, u32>,
    list: Vec<Arc<str>>,
    bytes: usize,
}

impl Names {
    fn number(&mut self, name: &str, hashes: &Hashes) -> u32 {
        let hashed;
        let name = match name.len() > NAME_BYTES_MAX {
            false => name,
            true => {
                hashed = format!("{:032x}", hashes.entity(name));
                &hashed
            }
        };
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.list.len()).unwrap_or(NONE);
        let name: Arc<str> = name.into();
        self.bytes += name.len() + 64;
        self.numbers.insert(Arc::clone(&name), number);
        self.list.push(name);
        number
    }

    pub(super) fn get(&self, number: u32) -> &str {
        self.list.get(number as usize).map_or("", |name| name)
    }

    pub(super) fn value(&self, stored: Stored) -> Option<Value<'_>> {
        match stored {
            Stored::Missing => None,
            Stored::Number(number) => Some(Value::Number(number)),
            Stored::Name(name) => Some(Value::Name(self.get(name))),
        }
    }
}

/// Which columns of the log an evaluation reads.
pub(super) struct Columns {
    keys: Option<Vec<String>>,
    prediction: Option<String>,
    scores: Vec<(String, Option<usize>)>,
    segments: Vec<String>,
}

impl Columns {
    pub(super) fn of(
        truth: &GroundTruthSpec,
        performance: &PerformanceSpec,
        revision_is_input: bool,
    ) -> Self {
        let input = |name: &String| format!("input_{name}");
        let score = |score: &ScoreSpec| match score {
            ScoreSpec::Column(column) => (format!("output_{column}"), None),
            ScoreSpec::Element { column, element } => (format!("output_{column}"), Some(*element as usize)),
        };
        Self {
            keys: match &truth.join {
                JoinSpec::RequestId => None,
                JoinSpec::Key(key) => Some(key.columns.iter().map(input).collect()),
            },
            prediction: performance
                .prediction
                .as_ref()
                .map(|name| format!("output_{name}")),
            scores: performance.scores.iter().map(score).collect(),
            segments: performance
                .segments
                .iter()
                .map(|name| match name == REVISION && !revision_is_input {
                    true => REVISION.to_owned(),
                    false => input(name),
                })
                .collect(),
        }
    }

    /// What is read of a file.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = vec!["revision", "event_time", "received_at"];
        match &self.keys {
            None => names.extend(["request_id", "row"]),
            Some(keys) => names.extend(keys.iter().map(String::as_str)),
        }
        names.extend(self.prediction.as_deref());
        names.extend(self.scores.iter().map(|(name, _)| name.as_str()));
        names.extend(self.segments.iter().map(String::as_str));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What joins, without the rest.
    pub(super) fn key_names(&self) -> Vec<&str> {
        let mut names = vec!["event_time", "received_at"];
        match &self.keys {
            None => names.extend(["request_id", "row"]),
            Some(keys) => names.extend(keys.iter().map(String::as_str)),
        }
        names
    }

    /// The keys of a batch's rows; none where a part of one is missing.
    pub(super) fn keys(&self, batch: &RecordBatch, hashes: &Hashes) -> Vec<Option<u128>> {
        match &self.keys {
            None => {
                let (ids, rows) = (Cells::of(batch, "request_id"), Cells::of(batch, "row"));
                (0..batch.num_rows())
                    .map(|row| Some(hashes.request(&ids.text(row)?, rows.int(row)?)))
                    .collect()
            }
            Some(names) => {
                let cells: Vec<_> = names.iter().map(|name| Cells::of(batch, name)).collect();
                (0..batch.num_rows())
                    .map(|row| Some(hashes.entity(&entity(&cells, row)?)))
                    .collect()
            }
        }
    }
}

/// What a file says of one row's time and place.
pub(super) struct Placed {
    pub(super) row: usize,
    pub(super) pane: i64,
    pub(super) time: i64,
    pub(super) received: i64,
}

/// Predictions that are looked at together.
pub(super) struct Chunk<'a> {
    setup: &'a Setup,
    truth: &'a GroundTruthSpec,
    columns: &'a Columns,
    hashes: &'a Hashes,
    pub(super) rows: Vec<RowOf>,
    /// Scores, as many as the setup has for each row.
    pub(super) scores: Vec<f64>,
    /// Numbers of the names of each row's segments.
    pub(super) segments: Vec<Option<u32>>,
    pub(super) names: Names,
    index: HashMap<u128, u32>,
    earliest: i64,
}

impl<'a> Chunk<'a> {
    pub(super) fn new(
        setup: &'a Setup,
        truth: &'a GroundTruthSpec,
        columns: &'a Columns,
        hashes: &'a Hashes,
    ) -> Self {
        Self {
            setup,
            truth,
            columns,
            hashes,
            rows: Vec::new(),
            scores: Vec::new(),
            segments: Vec::new(),
            names: Names::default(),
            index: HashMap::new(),
            earliest: i64::MAX,
        }
    }

    /// Take rows of a batch in.
    pub(super) fn extend(&mut self, batch: &RecordBatch, rows: impl Iterator<Item = Placed>) {
        let keys = self.columns.keys(batch, self.hashes);
        let revisions = Cells::of(batch, "revision");
        let prediction = self
            .columns
            .prediction
            .as_ref()
            .map(|name| Cells::of(batch, name));
        let scores: Vec<_> = self
            .columns
            .scores
            .iter()
            .map(|(name, element)| (Cells::of(batch, name), *element))
            .collect();
        let segments: Vec<_> = self
            .columns
            .segments
            .iter()
            .map(|name| Cells::of(batch, name))
            .collect();
        let wanted = self.setup.scores();
        for Placed {
            row,
            pane,
            time,
            received,
        } in rows
        {
            let predicted = match prediction {
                None => Stored::Missing,
                Some(cells) if self.setup.is_classification() => {
                    cells.text(row).map_or(Stored::Missing, |text| {
                        Stored::Name(self.names.number(&text, self.hashes))
                    })
                }
                Some(cells) => cells.number(row).map_or(Stored::Missing, Stored::Number),
            };
            let before = self.scores.len();
            for (cells, element) in &scores {
                cells.numbers(row, *element, &mut self.scores);
            }
            // A row without all of its scores has none.
            if self.scores.len() != before + wanted {
                self.scores.truncate(before);
                self.scores.extend(std::iter::repeat_n(f64::NAN, wanted));
            }
            for cells in &segments {
                let text = cells.text(row);
                self.segments
                    .push(text.map(|text| self.names.number(&text, self.hashes)));
            }
            let at = u32::try_from(self.rows.len()).unwrap_or(NONE);
            let key = keys.get(row).copied().flatten();
            let next = key.and_then(|key| self.index.insert(key, at)).unwrap_or(NONE);
            self.earliest = self.earliest.min(received);
            self.rows.push(RowOf {
                pane,
                time,
                received,
                revision: revisions
                    .int(row)
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or(0),
                predicted,
                found: None,
                restated: 0,
                series: match self.truth.join {
                    JoinSpec::RequestId => 0,
                    JoinSpec::Key(_) => key.unwrap_or(0) as u64,
                },
                next,
            });
        }
    }

    pub(super) fn is_full(&self, rows: usize) -> bool {
        self.rows.len() >= rows || self.names.bytes >= NAMES_BYTES_MAX
    }

    pub(super) fn scores_of(&self, row: usize) -> &[f64] {
        let wanted = self.setup.scores();
        self.scores
            .get(row * wanted..(row + 1) * wanted)
            .unwrap_or_default()
    }

    /// The number of a name.
    pub(super) fn name(&mut self, name: &str) -> Stored {
        Stored::Name(self.names.number(name, self.hashes))
    }

    /// Give a row its label.
    pub(super) fn set_label(&mut self, row: usize, value: Stored) {
        if let Some(row) = self.rows.get_mut(row) {
            row.take(value, 0, 0);
        }
    }

    /// Find the labels of all rows.
    pub(super) fn label(
        &mut self,
        objects: &Objects,
        tenant: &str,
        deployment: &str,
    ) -> Result<(), TruthError> {
        let lateness = self.truth.lateness_micros();
        let within = self.truth.within_micros();
        // A label of a request can't come before it, but for clocks that differ a little.
        let first = match self.truth.join {
            JoinSpec::RequestId => Some(Hour::of_micros(self.earliest.saturating_sub(HOUR))),
            JoinSpec::Key(_) => None,
        };
        labels(objects, tenant, deployment, first, |label| {
            let (key, time) = match &label.key {
                LabelKey::Request { id, row } => (self.hashes.request(id, *row), None),
                LabelKey::Entity { entity, time } => (self.hashes.entity(entity), Some(*time)),
            };
            let mut at = self.index.get(&key).copied().unwrap_or(NONE);
            if at == NONE {
                return;
            }
            let value = match self.setup.is_classification() {
                true => Stored::Name(self.names.number(&label.value, self.hashes)),
                false => match label.value.parse() {
                    Ok(number) => Stored::Number(number),
                    Err(_) => return,
                },
            };
            while let Some(row) = self.rows.get_mut(at as usize) {
                at = row.next;
                let distance = time.map_or(0, |time| time.saturating_sub(row.time));
                if (0..=within).contains(&distance)
                    && label.received_at <= row.received.saturating_add(lateness)
                {
                    row.take(value, label.received_at, distance);
                }
            }
        })
    }

    /// Make room for others.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.scores.clear();
        self.segments.clear();
        self.names = Names::default();
        self.index.clear();
        self.earliest = i64::MAX;
    }
}

const HOUR: i64 = 3_600_000_000;

impl RowOf {
    /// A label for the row: the nearest in time counts, and of those the newest.
    fn take(&mut self, value: Stored, received: i64, distance: i64) {
        match &self.found {
            Some(found) if distance > found.distance => {}
            Some(found) if distance == found.distance => {
                if found.value == value {
                    return;
                }
                self.restated += 1;
                if received >= found.received {
                    self.found = Some(Found {
                        value,
                        received,
                        distance,
                    });
                }
            }
            _ => {
                self.restated = 0;
                self.found = Some(Found {
                    value,
                    received,
                    distance,
                });
            }
        }
    }
}

/// Visit the labels of a deployment that came in an hour or later, in the order in which they came, but for
/// those of one file's time.
pub(super) fn labels(
    objects: &Objects,
    tenant: &str,
    deployment: &str,
    first: Option<Hour>,
    mut each: impl FnMut(&Label),
) -> Result<(), TruthError> {
    for file in files(objects, LABELS, tenant, deployment)? {
        if first.is_some_and(|first| file.hour < first) {
            continue;
        }
        // Gone: its time was over.
        let Some(rows) = read_file(objects, &file.path, None)? else {
            continue;
        };
        for batch in rows {
            decode(&batch?).for_each(|label| each(&label));
        }
    }
    Ok(())
}

/// The rows of a log's file, part by part.
pub(super) fn predictions(
    log: &LogReader,
    path: &str,
    columns: &[&str],
    mut each: impl FnMut(&RecordBatch),
) -> Result<(), TruthError> {
    let Some(rows) = log.rows(path, Some(columns))? else {
        return Ok(());
    };
    for batch in rows {
        each(&batch?);
    }
    Ok(())
}
