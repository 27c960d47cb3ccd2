//! One label: what came true of which prediction.

use std::hash::{BuildHasher as _, RandomState};

use arrow_array::RecordBatch;
use caisson_data::{Batch, arrow};
use jiff::Timestamp;

use crate::TruthError;
use crate::cells::{Cells, entity};
use crate::spec::{EVENT_TIME, GroundTruthSpec, JoinSpec, OBSERVED_AT, REQUEST_ID, ROW};

/// Bytes of a label or of a key: they are names, not texts.
const TEXT_BYTES_MAX: usize = 1024;

/// Which prediction a label is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelKey {
    /// A row of a request.
    Request {
        /// What the request is called.
        id: String,
        /// Its row, from 0.
        row: i64,
    },
    /// Something at a time.
    Entity {
        /// What it is.
        entity: String,
        /// Microseconds since 1970.
        time: i64,
    },
}

/// A label.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Of which prediction.
    pub key: LabelKey,
    /// The value, as text.
    pub value: String,
    /// When it was observed, as its sender says, in microseconds since 1970.
    pub observed_at: Option<i64>,
    /// When it came, in microseconds since 1970.
    pub received_at: i64,
    /// How often it came, with the same value each time.
    pub times: u64,
}

/// A row that is no label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the batch.
    pub row: usize,
    /// The column that is wrong.
    pub column: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// The labels in a batch of [`GroundTruthSpec::feedback_schema`], which came at this time, and the rows that
/// are none.
///
/// # Errors
///
/// A batch that Arrow can't hold.
pub fn labels_of(
    spec: &GroundTruthSpec,
    batch: &Batch,
    received: Timestamp,
) -> Result<(Vec<Label>, Vec<Refused>), TruthError> {
    let rows = arrow::record_batch(batch).map_err(|e| TruthError::Encode(e.to_string()))?;
    let reader = Reader::new(spec, &rows);
    let (mut labels, mut refused) = (Vec::with_capacity(batch.rows()), Vec::new());
    for row in 0..batch.rows() {
        match reader.label(row, received.as_microsecond()) {
            Ok(label) => labels.push(label),
            Err((column, why)) => refused.push(Refused { row, column, why }),
        }
    }
    Ok((labels, refused))
}

struct Reader<'a> {
    ids: Cells<'a>,
    rows: Cells<'a>,
    keys: Option<Vec<Cells<'a>>>,
    times: Cells<'a>,
    labels: Cells<'a>,
    observed: Cells<'a>,
}

type Bad = (&'static str, String);

impl<'a> Reader<'a> {
    fn new(spec: &GroundTruthSpec, batch: &'a RecordBatch) -> Self {
        Self {
            ids: Cells::of(batch, REQUEST_ID),
            rows: Cells::of(batch, ROW),
            keys: match &spec.join {
                JoinSpec::RequestId => None,
                JoinSpec::Key(key) => Some(key.columns.iter().map(|name| Cells::of(batch, name)).collect()),
            },
            times: Cells::of(batch, EVENT_TIME),
            labels: Cells::of(batch, &spec.label.name),
            observed: Cells::of(batch, OBSERVED_AT),
        }
    }

    fn label(&self, row: usize, received_at: i64) -> Result<Label, Bad> {
        let key = match &self.keys {
            None => self.request(row)?,
            Some(keys) => LabelKey::Entity {
                entity: entity(keys, row)
                    .filter(|text| text.len() <= TEXT_BYTES_MAX)
                    .ok_or_else(|| {
                        (
                            "key",
                            format!("a key is a value of at most {TEXT_BYTES_MAX} bytes"),
                        )
                    })?,
                time: time(EVENT_TIME, self.times, row)?
                    .ok_or_else(|| (EVENT_TIME, "say when it happened".to_owned()))?,
            },
        };
        let value = self.labels.text(row).ok_or_else(|| {
            let why = "a label is a value, and no NaN or infinity; leave out the rows that have none yet";
            ("label", why.to_owned())
        })?;
        if value.len() > TEXT_BYTES_MAX {
            let why = format!(
                "the label has {} bytes; it has at most {TEXT_BYTES_MAX}",
                value.len()
            );
            return Err(("label", why));
        }
        Ok(Label {
            key,
            value: value.into_owned(),
            observed_at: time(OBSERVED_AT, self.observed, row)?,
            received_at,
            times: 1,
        })
    }

    fn request(&self, row: usize) -> Result<LabelKey, Bad> {
        const ID_BYTES_MAX: usize = 128;
        let id = self.ids.text(row).unwrap_or_default();
        if !(1..=ID_BYTES_MAX).contains(&id.len()) || !id.bytes().all(|b| matches!(b, b' '..=b'~')) {
            let why = format!("a request's id has 1 to {ID_BYTES_MAX} characters that are printable ASCII");
            return Err((REQUEST_ID, why));
        }
        let place = self.rows.int(row).unwrap_or(0);
        if place < 0 {
            return Err((ROW, format!("{place}: rows of a request are counted from 0")));
        }
        Ok(LabelKey::Request {
            id: id.into_owned(),
            row: place,
        })
    }
}

fn time(column: &'static str, cells: Cells<'_>, row: usize) -> Result<Option<i64>, Bad> {
    let Some(text) = cells.text(row) else {
        return Ok(None);
    };
    match text.parse::<Timestamp>() {
        Ok(time) => Ok(Some(time.as_microsecond())),
        Err(_) => Err((
            column,
            format!(
                "`{}` is no time: write it as 2026-11-26T15:00:00Z",
                crate::spec::shown(&text)
            ),
        )),
    }
}

/// Keys as numbers that nobody outside can find two of. They are this process's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hashes(RandomState, RandomState);

impl Hashes {
    pub(crate) fn request(&self, id: &str, row: i64) -> u128 {
        self.both(&(id, row))
    }

    pub(crate) fn entity(&self, entity: &str) -> u128 {
        self.both(&entity)
    }

    fn both(&self, key: &impl std::hash::Hash) -> u128 {
        (u128::from(self.0.hash_one(key)) << 64) | u128::from(self.1.hash_one(key))
    }
}
