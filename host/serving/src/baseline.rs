//! The baseline of a deployment's model version, with its labels and the deployment's answers.

use std::sync::Arc;

use caisson_data::{Batch, DataType, DecodeLimits, Field, Schema, csv};

use crate::error::{Kind, ServingError};
use crate::revision::Revision;
use crate::serving::Serving;
use crate::spec::MonitorTarget;

/// Rows of a baseline that are predicted to measure by: intervals of a tenth of a percent.
const ROWS_MAX: usize = 200_000;

/// Rows of a baseline that has labels.
#[derive(Debug)]
pub struct LabelledBaseline {
    /// What would be sent.
    pub input: Batch,
    /// The label alone.
    pub labels: Batch,
    /// What the deployment answers.
    pub output: Batch,
    /// Which model version's it is: `the baseline of churn@3`.
    pub source: String,
}

impl Serving {
    /// The baseline of a revision's model version, if it has this column; the deployment answers it, on its
    /// tenant's account.
    ///
    /// # Errors
    ///
    /// The store; rows that aren't the deployment's; a stage that fails.
    pub async fn labelled_baseline(
        &self,
        revision: &Arc<Revision>,
        label: &Field,
    ) -> Result<Option<LabelledBaseline>, ServingError> {
        let Some(record) = revision
            .measured
            .clone()
            .filter(|record| record.baseline.is_some())
        else {
            return Ok(None);
        };
        let source = format!("the baseline of {}@{}", record.name, record.version);
        let (models, input_schema) = (self.parts.models.clone(), Arc::clone(revision.input()));
        let bytes = self.parts.blocking(move || models.baseline(&record)).await?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        if !has_column(&bytes, &label.name) {
            return Ok(None);
        }
        let limits = DecodeLimits {
            rows_max: crate::build::BASELINE_ROWS_MAX,
            ..DecodeLimits::default()
        };
        let (label, of) = (label.clone().nullable(), source.clone());
        let read = move || {
            let refuse = |why: String| {
                ServingError::new(Kind::Unprocessable, "baseline-mismatch", format!("{of}: {why}"))
            };
            let schema = Schema::new(vec![label]).map_err(|e| refuse(e.to_string()))?;
            let labels =
                csv::decode_known(&Arc::new(schema), &bytes, &limits).map_err(|e| refuse(e.to_string()))?;
            let input =
                csv::decode_known(&input_schema, &bytes, &limits).map_err(|e| refuse(e.to_string()))?;
            let rows = 0..input.rows().min(labels.rows()).min(ROWS_MAX);
            let cut = |batch: &Batch| batch.slice_rows(rows.clone()).map_err(|e| refuse(e.to_string()));
            Ok::<_, ServingError>((cut(&input)?, cut(&labels)?))
        };
        let (input, labels) = revision.sandbox.aside(&revision.meter, read).await?;
        let (pipeline, batch) = (Arc::clone(&revision.pipeline), input.clone());
        let run = async move { pipeline.run_to(MonitorTarget::Predictions, batch, None).await };
        let output = revision.sandbox.fair(&revision.meter, run).await?;
        if output.rows() != input.rows() {
            let message = format!("{source}: {} rows have {} answers", input.rows(), output.rows());
            return Err(ServingError::new(
                Kind::Unprocessable,
                "baseline-mismatch",
                message,
            ));
        }
        Ok(Some(LabelledBaseline {
            input,
            labels,
            output,
            source,
        }))
    }
}

/// Does a table have a column of this name? Asked of its header alone.
fn has_column(bytes: &[u8], name: &str) -> bool {
    let header = bytes
        .split(|&b| b == b'\n' || b == b'\r')
        .next()
        .unwrap_or_default();
    let schema = Schema::new(vec![Field::new(name, DataType::Text)]);
    schema.is_ok_and(|schema| csv::decode_known(&Arc::new(schema), header, &DecodeLimits::default()).is_ok())
}
