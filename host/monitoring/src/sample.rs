//! A uniform sample of rows, what was sent with what was answered, that merges.
//!
//! Every row has a random number, and the sample is the rows with the smallest ones (bottom-k): so the
//! sample of two parts together is the smallest of both samples, and every row has the same chance.

use std::sync::Arc;

use caisson_data::{Batch, DecodeLimits, Schema, arrow};
use caisson_quality::accumulator::Mismatch;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a sample, from which it keeps fewer rows: 2,000 rows of 4 KB.
pub(crate) const SAMPLE_BYTES_MAX: usize = 8 << 20;
/// Rows that wait to be put into the sample's batches, at least: putting them in copies the batches.
const STAGED_MIN: usize = 64;
/// Samples that wait to be put together.
const MERGED_SAMPLES: usize = 4;

/// Rows, as a sample has them: each with its number, smallest number first.
#[derive(Debug, Clone, PartialEq)]
struct Rows {
    priorities: Vec<u64>,
    input: Batch,
    output: Batch,
}

/// A sample of at most `k` rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    k: usize,
    /// A row with a larger number isn't among them.
    limit: u64,
    rows: Option<Rows>,
    staged: Vec<Rows>,
    staged_rows: usize,
}

impl Sample {
    /// Without a row.
    pub(crate) fn new(k: usize) -> Self {
        Self {
            k,
            limit: u64::MAX,
            rows: None,
            staged: Vec::new(),
            staged_rows: 0,
        }
    }

    /// Offer a row with its random number.
    pub(crate) fn add(&mut self, priority: u64, input: &Batch, output: &Batch, row: usize) {
        if priority > self.limit {
            return;
        }
        let (Ok(input), Ok(output)) = (input.slice_rows(row..row + 1), output.slice_rows(row..row + 1))
        else {
            return; // No such row: the caller counts rows.
        };
        self.stage(Rows {
            priorities: vec![priority],
            input,
            output,
        });
        if self.staged_rows >= STAGED_MIN.max(self.k / 8) {
            self.settle();
        }
    }

    fn stage(&mut self, rows: Rows) {
        self.staged_rows += rows.priorities.len();
        self.staged.push(rows);
    }

    /// Put the rows that wait into the batches, and keep the smallest.
    fn settle(&mut self) {
        if self.staged.is_empty() {
            return;
        }
        let mut parts: Vec<Rows> = self.rows.take().into_iter().collect();
        parts.append(&mut self.staged);
        self.staged_rows = 0;
        self.rows = Rows::smallest(&parts, self.k);
        let Some(rows) = &mut self.rows else { return };
        rows.cut(self.limit);
        let is_large = rows.input.byte_len() + rows.output.byte_len() > SAMPLE_BYTES_MAX / 2;
        if rows.priorities.len() >= self.k || is_large {
            self.limit = rows.priorities.last().copied().unwrap_or(self.limit);
        }
    }

    /// Take in another sample.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        Mismatch::unless_same("the sample's size", &self.k, &other.k)?;
        self.limit = self.limit.min(other.limit);
        for rows in other.rows.iter().chain(&other.staged) {
            self.stage(rows.clone());
        }
        // Many parts at a time: each settling copies all rows.
        if self.staged_rows >= MERGED_SAMPLES * self.k {
            self.settle();
        }
        Ok(())
    }

    /// What was sent and what was answered, row by row; `None` without a row.
    pub(crate) fn rows(&self) -> Option<(Batch, Batch)> {
        let mut settled = self.clone();
        settled.settle();
        settled.rows.map(|rows| (rows.input, rows.output))
    }

    /// About how many bytes of memory it holds.
    pub(crate) fn bytes(&self) -> usize {
        let of = |rows: &Rows| 8 * rows.priorities.len() + rows.input.byte_len() + rows.output.byte_len();
        self.rows.iter().chain(&self.staged).map(of).sum()
    }
}

impl Rows {
    /// The `k` with the smallest numbers, fewer where they are large; `None` without a row, or for rows of
    /// different schemas, which the caller keeps apart.
    fn smallest(parts: &[Self], k: usize) -> Option<Self> {
        let inputs: Vec<&Batch> = parts.iter().map(|rows| &rows.input).collect();
        let outputs: Vec<&Batch> = parts.iter().map(|rows| &rows.output).collect();
        let (input, output) = (Batch::concat(&inputs).ok()?, Batch::concat(&outputs).ok()?);
        let priorities: Vec<u64> = parts
            .iter()
            .flat_map(|rows| rows.priorities.iter().copied())
            .collect();
        let mut order: Vec<(u64, usize)> = priorities.iter().copied().zip(0..).collect();
        order.sort_unstable();
        order.truncate(k);
        let bytes = input.byte_len() + output.byte_len();
        if bytes > SAMPLE_BYTES_MAX {
            let share = order.len() as f64 * SAMPLE_BYTES_MAX as f64 / bytes as f64;
            order.truncate((share as usize).max(1));
        }
        let positions: Vec<usize> = order.iter().map(|(_, position)| *position).collect();
        Some(Self {
            priorities: order.iter().map(|(priority, _)| *priority).collect(),
            input: input.select_rows(&positions).ok()?,
            output: output.select_rows(&positions).ok()?,
        })
    }

    /// Drop the rows with larger numbers.
    fn cut(&mut self, limit: u64) {
        let kept = self.priorities.partition_point(|priority| *priority <= limit);
        if kept < self.priorities.len()
            && let (Ok(input), Ok(output)) = (self.input.slice_rows(0..kept), self.output.slice_rows(0..kept))
        {
            self.priorities.truncate(kept);
            self.input = input;
            self.output = output;
        }
    }
}

/// A sample as it is kept. The batches are Arrow streams, beside their schemas in JSON.
#[derive(Serialize, Deserialize)]
struct Stored {
    k: usize,
    limit: u64,
    priorities: Vec<u64>,
    batches: Vec<(String, Vec<u8>)>,
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut settled = self.clone();
        settled.settle();
        let of = |batch: &Batch| {
            let schema = serde_json::to_string(&**batch.schema()).map_err(serde::ser::Error::custom)?;
            let bytes = arrow::encode(batch).map_err(serde::ser::Error::custom)?;
            Ok::<_, S::Error>((schema, bytes))
        };
        let (priorities, batches) = match &settled.rows {
            None => (Vec::new(), Vec::new()),
            Some(rows) => (rows.priorities.clone(), vec![of(&rows.input)?, of(&rows.output)?]),
        };
        let stored = Stored {
            k: settled.k,
            limit: settled.limit,
            priorities,
            batches,
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let of = |(schema, bytes): &(String, Vec<u8>)| {
            let schema: Schema = serde_json::from_str(schema).map_err(serde::de::Error::custom)?;
            let limits = DecodeLimits::default();
            arrow::decode(&Arc::new(schema), bytes, &limits).map_err(serde::de::Error::custom)
        };
        let rows = match stored.batches.as_slice() {
            [] => None,
            [input, output] => {
                let (input, output) = (of(input)?, of(output)?);
                let rows = stored.priorities.len();
                if input.rows() != rows || output.rows() != rows {
                    return Err(serde::de::Error::custom(
                        "a sample whose parts have different numbers of rows",
                    ));
                }
                Some(Rows {
                    priorities: stored.priorities,
                    input,
                    output,
                })
            }
            _ => return Err(serde::de::Error::custom("a sample of more than two batches")),
        };
        Ok(Self {
            k: stored.k,
            limit: stored.limit,
            rows,
            staged: Vec::new(),
            staged_rows: 0,
        })
    }
}
