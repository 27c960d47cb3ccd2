//! Compares means: how far did each column's mean move, in standard deviations of the reference?
//!
//! `fit` sketches the reference into bytes that the host keeps; `check` compares current data with
//! them. See the README for how to test, build and push.

use caisson_plugin::prelude::*;
use caisson_plugin::serde_json;
use serde::Serialize;

/// The settings that a monitor gives. Their JSON Schema, with these comments in it, is what the
/// host checks a monitor's config against.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Columns to watch; every numeric column where absent.
    #[serde(default)]
    columns: Columns,
    /// Drift begins at a shift of this many standard deviations of the reference.
    #[serde(default = "default_threshold")]
    threshold: f64,
    /// Fewer values than this, in the reference or in the current data, give no verdict.
    #[serde(default = "default_min_count")]
    min_count: u64,
}

fn default_threshold() -> f64 {
    0.5
}

fn default_min_count() -> u64 {
    30
}

struct MeanShift {
    /// Position and name.
    columns: Vec<(usize, String)>,
    threshold: f64,
    min_count: u64,
}

/// What is kept of the reference.
#[derive(Serialize, Deserialize)]
struct State {
    /// Of this layout; raise it when the layout changes.
    version: u32,
    /// In the order of the config's columns.
    moments: Vec<Moments>,
}

const STATE_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Moments {
    count: u64,
    /// Values that aren't there or aren't finite.
    missing: u64,
    mean: f64,
    /// Standard deviation of the population; 0 for a constant column.
    deviation: f64,
}

impl Moments {
    fn of(column: &Column<'_>) -> Result<Self, Error> {
        let mut values = column.present_numbers()?;
        values.retain(|x| x.is_finite());
        let count = values.len() as f64;
        let mean = if values.is_empty() {
            0.0
        } else {
            values.iter().sum::<f64>() / count
        };
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Ok(Self {
            count: values.len() as u64,
            missing: (column.elements() - values.len()) as u64,
            mean,
            deviation: (squares / count.max(1.0)).sqrt(),
        })
    }

    fn missing_rate(&self) -> f64 {
        self.missing as f64 / ((self.count + self.missing) as f64).max(1.0)
    }
}

impl DriftCheck for MeanShift {
    type Config = Config;

    const ABOUT: About = About {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        help: "|mean of current - mean of reference| / standard deviation of reference, per column. \
               A change of a constant column has no such unit and counts as drift. NaN and infinite \
               values count as missing.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        let name = |&index: &usize| input.field(index).map(|field| (index, field.name.clone()));
        let columns = config.columns.resolve(input, Need::NUMBER)?;
        Ok(Self {
            columns: columns.iter().filter_map(name).collect(),
            threshold: config.threshold,
            min_count: config.min_count,
        })
    }

    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        let moments = |(index, _): &(usize, String)| Moments::of(&reference.at(*index)?);
        let state = State {
            version: STATE_VERSION,
            moments: self.columns.iter().map(moments).collect::<Result<_, _>>()?,
        };
        serde_json::to_vec(&state).map_err(|e| Error::internal(e.to_string()))
    }

    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        let state: State = serde_json::from_slice(state)
            .map_err(|e| Error::internal(format!("the reference's sketch can't be read: {e}")))?;
        if state.version != STATE_VERSION || state.moments.len() != self.columns.len() {
            return Err(Error::internal(
                "the reference was sketched by another version or config",
            ));
        }
        let mut features = Vec::with_capacity(self.columns.len());
        for ((index, name), reference) in self.columns.iter().zip(&state.moments) {
            let current = Moments::of(&current.at(*index)?)?;
            features.push(self.compare(name, reference, &current));
        }
        Ok(DriftReport::new(features))
    }
}

impl MeanShift {
    fn compare(&self, name: &str, reference: &Moments, current: &Moments) -> FeatureDrift {
        let enough = reference.count.min(current.count) >= self.min_count;
        let distance = (current.mean - reference.mean).abs();
        let shift = distance / reference.deviation;
        // A constant column: 0 / 0 where nothing moved, infinity where something did.
        let statistic = Some(shift).filter(|shift| enough && shift.is_finite());
        let moved = distance > 0.0 && shift >= self.threshold;
        FeatureDrift {
            feature: name.to_owned(),
            method: "mean-shift".to_owned(),
            statistic,
            threshold: self.threshold,
            p_value: None,
            effect_size: statistic,
            reference_count: reference.count,
            current_count: current.count,
            reference_missing_rate: reference.missing_rate(),
            current_missing_rate: current.missing_rate(),
            status: match (enough, moved) {
                (false, _) => DriftStatus::InsufficientData,
                (true, true) => DriftStatus::Drifted,
                (true, false) => DriftStatus::Stable,
            },
            detail: format!("the mean went from {} to {}", reference.mean, current.mean),
        }
    }
}

caisson_plugin::export!(drift_check: MeanShift);

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::{assert_close, batch, configure, json};

    use super::*;

    /// 100 rows: 0, 1, 0, 1, … plus `shift`. Mean 0.5 + shift, standard deviation 0.5.
    fn rows(shift: f64) -> Batch {
        batch!["x": fp64 = (0..100).map(|i| f64::from(i % 2) + shift)]
    }

    fn compare(reference: &Batch, current: &Batch) -> FeatureDrift {
        let plugin = configure::<MeanShift>(json!({}), reference.schema()).unwrap();
        plugin.compare(reference, current).unwrap().features.remove(0)
    }

    #[test]
    fn a_shift_is_drift() {
        let moved = compare(&rows(0.0), &rows(0.4));
        assert_close(moved.statistic.unwrap(), 0.8, 1e-12);
        assert_eq!(moved.status, DriftStatus::Drifted);
        assert_eq!(compare(&rows(0.0), &rows(0.1)).status, DriftStatus::Stable);
    }

    #[test]
    fn constant_columns_and_few_rows_have_defined_verdicts() {
        let constant = |x: f64| batch!["x": fp64 = vec![x; 50]];
        assert_eq!(
            compare(&constant(1.0), &constant(1.0)).status,
            DriftStatus::Stable
        );
        let moved = compare(&constant(1.0), &constant(2.0));
        assert_eq!((moved.status, moved.statistic), (DriftStatus::Drifted, None));
        let few = compare(&rows(0.0), &batch!["x": fp64 = [9.0]]);
        assert_eq!((few.status, few.statistic), (DriftStatus::InsufficientData, None));
    }
}
