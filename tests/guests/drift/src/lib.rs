//! Compares the means of its first column; can answer with NaN.

use caisson_plugin::prelude::*;

/// Nothing to set, usually.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Report NaN, against the contract.
    #[serde(default)]
    nan: bool,
}

struct Means {
    nan: bool,
}

fn mean(batch: &Batch) -> Result<f64, Error> {
    let column = batch.column(0).and_then(|c| c.fp32s());
    let values = column.ok_or_else(|| Error::internal("no fp32 column"))?;
    Ok(values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64)
}

impl DriftCheck for Means {
    type Config = Config;

    const ABOUT: About = About {
        name: "means",
        version: "0.1.0",
        help: "Difference of means; drifted above 1.",
    };

    fn configure(config: Config, _: &Arc<Schema>) -> Result<Self, Error> {
        Ok(Self { nan: config.nan })
    }

    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        Ok(mean(reference)?.to_le_bytes().to_vec())
    }

    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        let reference = <[u8; 8]>::try_from(state)
            .map(f64::from_le_bytes)
            .map_err(|_| Error::internal("not a sketch of this plugin"))?;
        let difference = mean(current)? - reference;
        let drifted = difference.abs() > 1.0;
        Ok(DriftReport::new(vec![FeatureDrift {
            feature: "x".to_owned(),
            method: "mean".to_owned(),
            statistic: Some(if self.nan { f64::NAN } else { difference }),
            threshold: 1.0,
            p_value: None,
            effect_size: Some(difference),
            reference_count: 1,
            current_count: current.rows() as u64,
            reference_missing_rate: 0.0,
            current_missing_rate: 0.0,
            status: if drifted {
                DriftStatus::Drifted
            } else {
                DriftStatus::Stable
            },
            detail: format!("the mean moved by {difference}"),
        }]))
    }
}

caisson_plugin::export!(drift_check: Means);
