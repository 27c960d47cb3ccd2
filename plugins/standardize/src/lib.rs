//! `standardize`: centres and scales numbers, as scikit-learn's `StandardScaler` does after fitting.
//!
//! ```text
//! y = (x − mean) / scale
//! ```
//!
//! The config holds the fitted numbers, `StandardScaler.mean_` and `.scale_`, one a column, or for a
//! column with a shape one for each element if you like. An absent mean is 0 (`with_mean=False`), an
//! absent scale 1 (`with_std=False`), and a scale of 0, which a column without variance has, counts
//! as 1, as in scikit-learn.
//!
//! Arithmetic is scikit-learn's, operation by operation: `fp32` columns in `fp32`, with mean and
//! scale rounded to it, all others in `fp64`, so results are equal bit for bit. Missing stays
//! missing, NaN stays NaN. Float columns are changed in place; where a column changes its type (an
//! integer column, or `type` in the config) the batch is copied once.

use std::collections::BTreeMap;
use std::ops::{Div, Sub};

use caisson_plugin::elementwise::{Elementwise, FloatType, Kernel, NEEDED, Target};
use caisson_plugin::literal::PerElement;
use caisson_plugin::prelude::*;

/// The fitted numbers of each column.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Mean and scale by column.
    columns: BTreeMap<String, Fitted>,
    /// Type of the results; where absent `fp32` columns stay and all others become `fp64`.
    /// `fp64` and integer columns are scaled before they are rounded to `fp32`.
    r#type: Option<FloatType>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fitted {
    /// Subtracted. Absent: 0.
    #[serde(default = "zero")]
    mean: PerElement<f64>,
    /// Divided by; not negative. Absent or 0: 1.
    #[serde(default = "one")]
    scale: PerElement<f64>,
}

fn zero() -> PerElement<f64> {
    PerElement::All(0.0)
}

fn one() -> PerElement<f64> {
    PerElement::All(1.0)
}

/// The configured plugin.
#[derive(Debug)]
pub struct Standardize(Elementwise<Affine>);

impl Transform for Standardize {
    type Config = Config;

    const ABOUT: About = About {
        name: "standardize",
        version: env!("CARGO_PKG_VERSION"),
        help: "(x - mean) / scale with fixed numbers, one pair a column or one an element: what \
               scikit-learn's StandardScaler fitted as mean_ and scale_. A scale of 0 counts as 1. \
               fp32 columns are computed in fp32, all others in fp64. Missing stays missing.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if config.columns.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is empty: there is nothing to scale",
            ));
        }
        let mut targets = Vec::with_capacity(config.columns.len());
        for (column, fitted) in config.columns {
            let index = NEEDED.find(input, &column)?;
            let Some(field) = input.field(index) else { continue };
            let kernel = Affine::new(field, &fitted)?;
            targets.push(Target {
                column,
                into: None,
                result: config.r#type,
                kernel,
            });
        }
        let (elementwise, output) = Elementwise::new(input, targets)?;
        Ok((Self(elementwise), output))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        self.0.apply(input)
    }
}

/// Means and scales in both precisions: one each, or as many as a row has elements.
#[derive(Debug)]
struct Affine {
    fp32: (Vec<f32>, Vec<f32>),
    fp64: (Vec<f64>, Vec<f64>),
}

impl Affine {
    fn new(field: &Field, fitted: &Fitted) -> Result<Self, Error> {
        let (mean, scale) = (
            fitted.mean.of(field, "the mean")?,
            fitted.scale.of(field, "the scale")?,
        );
        if let Some(bad) = scale.iter().find(|scale| **scale < 0.0) {
            return Err(Error::invalid_config(format!(
                "column `{}`: the scale {bad} is negative",
                field.name
            )));
        }
        // One for all or one each, but both alike.
        let width = mean.len().max(scale.len());
        let spread = |list: &[f64]| -> Vec<f64> { list.iter().copied().cycle().take(width).collect() };
        let mean = spread(mean);
        let scale: Vec<f64> = spread(scale)
            .into_iter()
            .map(|s| if s == 0.0 { 1.0 } else { s })
            .collect();
        let narrow = |list: &[f64]| -> Vec<f32> { list.iter().map(|&x| x as f32).collect() };
        let fp32 = (narrow(&mean), narrow(&scale));
        let usable = fp32.0.iter().all(|m| m.is_finite()) && fp32.1.iter().all(|s| s.is_finite() && *s > 0.0);
        if field.data_type == DataType::Fp32 && !usable {
            return Err(Error::invalid_config(format!(
                "column `{}` is fp32, which can't hold its mean or scale: they overflow, or the scale rounds to 0",
                field.name
            )));
        }
        Ok(Self {
            fp32,
            fp64: (mean, scale),
        })
    }
}

impl Kernel for Affine {
    fn fp32(&self, values: &mut [f32]) {
        scale(values, &self.fp32.0, &self.fp32.1);
    }

    fn fp64(&self, values: &mut [f64]) {
        scale(values, &self.fp64.0, &self.fp64.1);
    }
}

fn scale<T: Copy + Sub<Output = T> + Div<Output = T>>(values: &mut [T], mean: &[T], scale: &[T]) {
    if let ([mean], [scale]) = (mean, scale) {
        values.iter_mut().for_each(|x| *x = (*x - *mean) / *scale);
        return;
    }
    for row in values.chunks_mut(mean.len().max(1)) {
        for ((x, mean), scale) in row.iter_mut().zip(mean).zip(scale) {
            *x = (*x - *mean) / *scale;
        }
    }
}

caisson_plugin::export!(transform: Standardize);

#[cfg(test)]
mod tests;
