//! What is gathered of rows: their number, sketches of what was sent and answered, and a sample.

use caisson_data::Batch;
use caisson_quality::accumulator::{Accumulator, Mismatch};
use caisson_quality::summary::{Cell, Summary};
use serde::{Deserialize, Serialize};

use crate::sample::Sample;

/// Rows of a pane, a window, or a part of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gathered {
    rows: u64,
    input: Option<Summary>,
    output: Option<Summary>,
    sample: Option<Sample>,
}

/// One answered row.
pub struct Row<'a> {
    /// What was sent, column by column.
    pub(crate) input: &'a [Cell<'a>],
    /// What was answered, column by column.
    pub(crate) output: &'a [Cell<'a>],
    /// Where it stands.
    pub(crate) batches: (&'a Batch, &'a Batch),
    /// At which position.
    pub(crate) position: usize,
    /// Its random number.
    pub(crate) priority: u64,
}

impl Gathered {
    /// No row, and what will be gathered of them.
    pub(crate) fn new(input: Option<Summary>, output: Option<Summary>, sample_rows: Option<usize>) -> Self {
        Self {
            rows: 0,
            input,
            output,
            sample: sample_rows.map(Sample::new),
        }
    }

    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Sketches of what was sent.
    pub fn input(&self) -> Option<&Summary> {
        self.input.as_ref()
    }

    /// Sketches of what was answered.
    pub fn output(&self) -> Option<&Summary> {
        self.output.as_ref()
    }

    /// A uniform sample: what was sent, and what was answered. `None` where there is no sample or no row.
    pub fn sample(&self) -> Option<(Batch, Batch)> {
        self.sample.as_ref()?.rows()
    }
}

fn both<'a, T>(
    what: &'static str,
    ours: &'a mut Option<T>,
    theirs: &'a Option<T>,
) -> Result<Option<(&'a mut T, &'a T)>, Mismatch> {
    Mismatch::unless_same(what, &ours.is_some(), &theirs.is_some())?;
    Ok(ours.as_mut().zip(theirs.as_ref()))
}

impl Accumulator for Gathered {
    type Row<'a> = &'a Row<'a>;

    fn add(&mut self, row: &Row<'_>) {
        self.rows += 1;
        if let Some(input) = &mut self.input {
            input.add(row.input);
        }
        if let Some(output) = &mut self.output {
            output.add(row.output);
        }
        if let Some(sample) = &mut self.sample {
            let (input, output) = row.batches;
            sample.add(row.priority, input, output, row.position);
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        if let Some((ours, theirs)) = both("sketches of the input", &mut self.input, &other.input)? {
            ours.merge(theirs)?;
        }
        if let Some((ours, theirs)) = both("sketches of the answers", &mut self.output, &other.output)? {
            ours.merge(theirs)?;
        }
        if let Some((ours, theirs)) = both("the sample", &mut self.sample, &other.sample)? {
            ours.merge(theirs)?;
        }
        self.rows += other.rows;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let summaries = self
            .input
            .iter()
            .chain(&self.output)
            .map(Summary::bytes)
            .sum::<usize>();
        size_of::<Self>() + summaries + self.sample.as_ref().map_or(0, Sample::bytes)
    }
}
