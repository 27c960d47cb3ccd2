//! How much the prediction depends on each column: permutation importance, without labels.
//!
//! Rows of the model version's baseline are predicted, then predicted again with the values of one column
//! dealt out among them anew (L. Breiman, *Random forests*, 2001; here the change of the prediction stands
//! in the place of the loss of accuracy, as nobody has the labels). It holds for any model or predictor.
//! Two columns that say the same share what they matter, down to nothing.
//!
//! It is computed when somebody first asks, in the background, on the tenant's account and with its fair
//! share of the processor; and kept as long as the revision is in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use caisson_data::{Batch, BatchBuilder, BatchError, Schema};
use caisson_stats::moments::Moments;
use caisson_stats::rng::Rng;
use schemars::JsonSchema;
use serde::Serialize;

use crate::build;
use crate::error::{Kind, ServingError};
use crate::pipeline::{Core, Pipeline};
use crate::revision::Revision;
use crate::serving::{Parts, Serving};
use crate::spec::{DeploymentSpec, MonitorTarget};

/// Rows of the baseline: the mean of so many changes is right within a few hundredths.
const ROWS_MAX: usize = 500;
/// Times that each column is dealt out.
const REPEATS: u64 = 3;
/// The same answer every time.
const SEED: u64 = 0x1a57_0f1a_0b5e_12a7;
/// Columns: as many as a drift check looks at.
const COLUMNS_MAX: usize = 256;
/// The longest that computing may take; what isn't done then is left out.
const TIME_MAX: Duration = Duration::from_secs(60);

/// What each column is worth to the prediction.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Importance {
    /// Rows of the baseline that it was computed on.
    pub rows: usize,
    /// Columns that callers send, the most important first.
    pub input: Vec<ColumnImportance>,
    /// Columns that the model gets, the most important first; empty where there are no transforms.
    pub features: Vec<ColumnImportance>,
    /// Columns that there was no time for.
    pub left_out: usize,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ColumnImportance {
    /// Its name.
    pub column: String,
    /// How far the prediction moves, on average, when the column's values are another row's: in standard
    /// deviations of the prediction, or as the share of predicted categories that change.
    pub importance: f64,
    /// Of all columns' importance.
    pub share: f64,
}

/// Where the computation stands.
#[derive(Debug, Clone)]
pub enum ImportanceState {
    /// Done.
    Known(Arc<Importance>),
    /// Under way; ask again.
    Computing,
    /// Can't be computed, and why.
    Unknown(String),
}

impl Importance {
    /// The share of a feature by the name that a drift check gives it: `price`, or `pixels[3]`, which is
    /// a part of the column `pixels`.
    pub fn share_of(&self, target: MonitorTarget, feature: &str) -> Option<f64> {
        let list = match target {
            MonitorTarget::Input => &self.input,
            MonitorTarget::Features if self.features.is_empty() => &self.input,
            MonitorTarget::Features => &self.features,
            MonitorTarget::Predictions => return None,
        };
        let of = |name: &str| list.iter().find(|one| one.column == name).map(|one| one.share);
        of(feature).or_else(|| of(feature.split_once('[')?.0))
    }
}

impl Serving {
    /// What each column is worth to a revision's prediction; waits for it no longer than `patience`.
    pub async fn importance(&self, revision: &Arc<Revision>, patience: Duration) -> ImportanceState {
        let (parts, this) = (self.parts.clone(), Arc::clone(revision));
        // Spawned, so that it goes on when nobody waits any more.
        let computing = tokio::spawn(async move {
            let compute = async {
                let baseline = baseline(&parts, &this).await?;
                let (pipeline, spec) = (Arc::clone(&this.pipeline), this.spec().clone());
                let work = async move { compute(&pipeline, &spec, &baseline).await };
                let importance = this.sandbox.fair(&this.meter, work).await?;
                Ok::<_, ServingError>(Arc::new(importance))
            };
            this.importance.get_or_try_init(|| compute).await.map(Arc::clone)
        });
        match tokio::time::timeout(patience, computing).await {
            Err(_) => ImportanceState::Computing,
            Ok(Ok(Ok(importance))) => ImportanceState::Known(importance),
            Ok(Ok(Err(error))) => ImportanceState::Unknown(error.to_string()),
            Ok(Err(error)) => ImportanceState::Unknown(error.to_string()),
        }
    }
}

/// The rows that it is computed on.
async fn baseline(parts: &Parts, revision: &Revision) -> Result<Batch, ServingError> {
    let refuse = |code, why: &str| Err(ServingError::new(Kind::Unprocessable, code, why));
    if matches!(revision.pipeline.core, Core::Features) {
        return refuse(
            "no-model",
            "the deployment has no model, so no column matters to one",
        );
    }
    match &revision.measured {
        Some(record) if record.baseline.is_some() => {
            build::read_baseline(parts, &revision.pipeline, record).await
        }
        _ => refuse(
            "no-baseline",
            "the model version has no baseline: push it with --baseline",
        ),
    }
}

async fn compute(
    pipeline: &Pipeline,
    spec: &DeploymentSpec,
    baseline: &Batch,
) -> Result<Importance, ServingError> {
    let mut rng = Rng::new(SEED);
    let mut rows: Vec<usize> = (0..baseline.rows()).collect();
    rng.shuffle(&mut rows);
    rows.truncate(ROWS_MAX);
    let sample = baseline.select_rows(&rows).map_err(broken)?;
    let until = Instant::now() + TIME_MAX;
    let mut this = Computation {
        pipeline,
        kept: spec.model.as_ref().map_or(&[], |model| model.keep.as_slice()),
        rng,
        until,
        left_out: 0,
    };
    let input = this.columns(From::Input, &sample).await?;
    let features = if pipeline.transforms.is_empty() {
        Vec::new()
    } else {
        let features = pipeline
            .run_to(MonitorTarget::Features, sample.clone(), None)
            .await?;
        this.columns(From::Features, &features).await?
    };
    Ok(Importance {
        rows: sample.rows(),
        input,
        features,
        left_out: this.left_out,
    })
}

/// Where in the pipeline columns are dealt out.
#[derive(Clone, Copy)]
enum From {
    Input,
    Features,
}

struct Computation<'a> {
    pipeline: &'a Pipeline,
    /// Columns of an answer that are only passed along.
    kept: &'a [String],
    rng: Rng,
    until: Instant,
    left_out: usize,
}

impl Computation<'_> {
    async fn predict(&self, from: From, batch: Batch) -> Result<Batch, ServingError> {
        match from {
            From::Input => {
                self.pipeline
                    .run_to(MonitorTarget::Predictions, batch, None)
                    .await
            }
            From::Features => self.pipeline.run_from_features(batch, None).await,
        }
    }

    async fn columns(&mut self, from: From, batch: &Batch) -> Result<Vec<ColumnImportance>, ServingError> {
        let before = Predictions::of(&self.predict(from, batch.clone()).await?, self.kept);
        let names: Vec<String> = fields(batch.schema()).take(COLUMNS_MAX).collect();
        self.left_out += batch.schema().len() - names.len();
        let mut found = Vec::with_capacity(names.len());
        for (index, column) in names.into_iter().enumerate() {
            if Instant::now() > self.until {
                self.left_out += 1;
                continue;
            }
            let mut total = 0.0;
            for _ in 0..REPEATS {
                let dealt = self.deal_out(batch, index).map_err(broken)?;
                let after = self.predict(from, dealt).await?;
                total += before.change(&Predictions::of(&after, self.kept));
            }
            found.push((column, total / REPEATS as f64));
        }
        let sum: f64 = found.iter().map(|(_, importance)| importance).sum();
        let mut columns: Vec<ColumnImportance> = found
            .into_iter()
            .map(|(column, importance)| ColumnImportance {
                column,
                importance,
                share: if sum > 0.0 { importance / sum } else { 0.0 },
            })
            .collect();
        columns.sort_by(|a, b| b.importance.total_cmp(&a.importance));
        Ok(columns)
    }

    /// The same rows, one column's values in another order.
    fn deal_out(&mut self, batch: &Batch, column: usize) -> Result<Batch, BatchError> {
        let mut order: Vec<usize> = (0..batch.rows()).collect();
        self.rng.shuffle(&mut order);
        let other = batch.select_rows(&order)?;
        let mut builder = BatchBuilder::new(Arc::clone(batch.schema()), batch.rows())?;
        for index in 0..batch.schema().len() {
            let from = if index == column { &other } else { batch };
            if let Some(values) = from.column(index) {
                builder.copy_column(index, values)?;
            }
        }
        builder.finish()
    }
}

fn fields(schema: &Schema) -> impl Iterator<Item = String> + '_ {
    (0..schema.len()).filter_map(|index| Some(schema.field(index)?.name.clone()))
}

fn broken(error: BatchError) -> ServingError {
    ServingError::new(
        Kind::Internal,
        "internal",
        format!("dealing out a column: {error}"),
    )
}

/// What was predicted: a list of values a row for each element of each column.
struct Predictions(Vec<Predicted>);

enum Predicted {
    Numbers(Vec<Option<f64>>),
    Categories(Vec<Option<String>>),
}

impl Predictions {
    fn of(batch: &Batch, kept: &[String]) -> Self {
        let columns = (0..batch.schema().len()).filter_map(|index| batch.column(index));
        let predicted = columns.filter(|column| !kept.contains(&column.field().name));
        let mut all = Vec::new();
        for column in predicted {
            let width = column.field().row_elements();
            for element in 0..width {
                let places = (0..batch.rows()).map(|row| row * width + element);
                all.push(if column.field().data_type.width().is_some() {
                    Predicted::Numbers(
                        places
                            .map(|at| column.to_f64(at).filter(|value| value.is_finite()))
                            .collect(),
                    )
                } else {
                    let text = |at| {
                        column
                            .bytes(at)
                            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                    };
                    Predicted::Categories(places.map(text).collect())
                });
            }
        }
        Self(all)
    }

    /// How far others are from these, by what moved most.
    fn change(&self, other: &Self) -> f64 {
        let pairs = self.0.iter().zip(&other.0);
        pairs
            .map(|(before, after)| before.change(after))
            .fold(0.0, f64::max)
    }
}

impl Predicted {
    fn change(&self, other: &Self) -> f64 {
        match (self, other) {
            (Self::Numbers(before), Self::Numbers(after)) => {
                let spread = before.iter().flatten().copied().collect::<Moments>();
                let spread = spread.deviation().unwrap_or(0.0);
                // A prediction that is the same for every row has nothing to be measured in.
                if spread <= 0.0 {
                    return 0.0;
                }
                let moved = before.iter().zip(after).map(|(a, b)| match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() / spread,
                    (None, None) => 0.0,
                    // From a number to none, or back, is a change as large as is usual between two rows.
                    _ => 1.0,
                });
                moved.collect::<Moments>().mean().unwrap_or(0.0)
            }
            (Self::Categories(before), Self::Categories(after)) => {
                let moved = before.iter().zip(after).map(|(a, b)| f64::from(u8::from(a != b)));
                moved.collect::<Moments>().mean().unwrap_or(0.0)
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64]) -> Predicted {
        Predicted::Numbers(values.iter().map(|value| Some(*value)).collect())
    }

    #[test]
    fn a_change_is_in_standard_deviations_of_the_prediction() {
        let before = numbers(&[0.0, 2.0, 4.0, 6.0]);
        let spread = (20.0f64 / 3.0).sqrt();
        let change = before.change(&numbers(&[1.0, 2.0, 4.0, 6.0]));
        assert!((change - 0.25 / spread).abs() < 1e-12, "{change}");
        assert_eq!(before.change(&before), 0.0);
        assert_eq!(numbers(&[1.0, 1.0]).change(&numbers(&[5.0, 9.0])), 0.0);
    }

    #[test]
    fn categories_change_or_do_not() {
        let of =
            |names: &[&str]| Predicted::Categories(names.iter().map(|n| Some((*n).to_owned())).collect());
        assert_eq!(of(&["a", "b", "a", "b"]).change(&of(&["a", "a", "a", "b"])), 0.25);
    }

    #[test]
    fn a_feature_of_a_shaped_column_has_its_column_s_share() {
        let one = |column: &str, share| ColumnImportance {
            column: column.to_owned(),
            importance: share,
            share,
        };
        let importance = Importance {
            rows: 1,
            input: vec![one("pixels", 0.75), one("age", 0.25)],
            features: Vec::new(),
            left_out: 0,
        };
        assert_eq!(importance.share_of(MonitorTarget::Input, "pixels[3]"), Some(0.75));
        assert_eq!(importance.share_of(MonitorTarget::Features, "age"), Some(0.25));
        assert_eq!(importance.share_of(MonitorTarget::Input, "shop"), None);
        assert_eq!(importance.share_of(MonitorTarget::Predictions, "age"), None);
    }
}
