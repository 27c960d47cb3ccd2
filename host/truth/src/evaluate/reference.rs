//! What windows are compared with: labelled rows of the model version's baseline.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{Field, Schema};
use caisson_data::{Batch, arrow};
use caisson_quality::regression::naive_error;

use super::chunk::{Chunk, Columns, Placed, Stored};
use super::windows::{KnownSegments, Pane, Place, Series, fold};
use crate::TruthError;
use crate::card::{CALIBRATION_ROWS_MAX, Card, Estimator, Setup};
use crate::label::Hashes;
use crate::spec::{GroundTruthSpec, JoinSpec, PerformanceSpec, REVISION};

/// How the deployment did on the labelled rows of a baseline.
#[derive(Debug, Clone)]
pub struct Reference {
    pub(super) cards: BTreeMap<Place, Card>,
    pub(super) known: KnownSegments,
    /// Where it comes from, in words.
    pub(super) source: String,
    pub(super) estimator: Option<Arc<Estimator>>,
    pub(super) naive_error: Option<f64>,
}

impl Reference {
    /// Of rows of a baseline: what was sent, what the deployment answers, and the labels in a batch of
    /// the label alone. `source` says which baseline.
    ///
    /// # Errors
    ///
    /// Batches that Arrow can't hold, or of different lengths.
    pub fn new(
        truth: &GroundTruthSpec,
        performance: &PerformanceSpec,
        (input, labels, output): (&Batch, &Batch, &Batch),
        source: String,
    ) -> Result<Self, TruthError> {
        let mut setup = Setup::new(performance);
        let labels = arrow::record_batch(labels).map_err(|e| TruthError::Encode(e.to_string()))?;
        let labels = crate::cells::Cells::of(&labels, &truth.label.name);
        if let Some(season) = performance.season {
            let series: Vec<f64> = (0..input.rows()).filter_map(|row| labels.number(row)).collect();
            setup.naive_error = naive_error(&series, season as usize);
        }
        let rows = joined(input, output)?;
        // Whatever the deployment's labels are joined by, these stand beside their rows.
        let by_row = GroundTruthSpec {
            join: JoinSpec::RequestId,
            ..truth.clone()
        };
        let columns = Columns::of(&by_row, performance, input.column_named(REVISION).is_some());
        let hashes = Hashes::default();
        let mut chunk = Chunk::new(&setup, &by_row, &columns, &hashes);
        let placed = (0..input.rows()).map(|row| Placed {
            row,
            pane: 0,
            time: i64::try_from(row).unwrap_or(i64::MAX),
            received: 0,
        });
        chunk.extend(&rows, placed);
        for row in 0..input.rows() {
            let value = match setup.is_classification() {
                true => labels.text(row).map(|text| chunk.name(&text)),
                false => labels.number(row).map(Stored::Number),
            };
            if let Some(value) = value {
                chunk.set_label(row, value);
            }
        }
        let mut known = KnownSegments::of(performance.segments.len());
        let mut panes: BTreeMap<i64, Pane> = BTreeMap::new();
        fold(&mut chunk, &setup, &mut known, &mut Series::new(), &mut panes);
        let cards = panes.into_values().next().unwrap_or_default().cards;
        let whole = cards.get(&None);
        let labelled = whole.map_or(0, |card| card.labelled);
        let source = format!("{source} ({labelled} labelled rows)");
        let estimator = whole.filter(|_| performance.estimate).and_then(|card| {
            let scored = card.scored();
            let first = scored.get(..CALIBRATION_ROWS_MAX.min(scored.len()))?;
            Estimator::fit(first, source.clone()).map(Arc::new)
        });
        Ok(Self {
            naive_error: setup.naive_error,
            cards,
            known,
            source,
            estimator,
        })
    }
}

/// Input and output beside each other, as the log has them.
fn joined(input: &Batch, output: &Batch) -> Result<RecordBatch, TruthError> {
    let rows = input.rows();
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (prefix, batch) in [("input_", input), ("output_", output)] {
        let plain = arrow::record_batch(batch).map_err(|e| TruthError::Encode(e.to_string()))?;
        for (field, array) in plain.schema().fields().iter().zip(plain.columns()) {
            fields.push(
                field
                    .as_ref()
                    .clone()
                    .with_name(format!("{prefix}{}", field.name())),
            );
            arrays.push(Arc::clone(array));
        }
    }
    let mut own = |name: &str, array: arrow_array::ArrayRef| {
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    };
    own("revision", Arc::new(Int64Array::from(vec![None::<i64>; rows])));
    own(
        "received_at",
        Arc::new(TimestampMicrosecondArray::from(vec![0; rows])),
    );
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
