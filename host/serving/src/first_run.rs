//! A model's first run, on made-up input: it shows that the model runs here at all, and makes ONNX
//! Runtime do what it leaves for the first run (memory, kernels of a GPU).

use std::time::{Duration, Instant};

use caisson_data::Values;
use caisson_inference::{InferenceError, Input, Model, Selection, TensorSpec};
use schemars::JsonSchema;
use serde::Serialize;

/// The longest that it may take: a GPU's kernels are chosen and loaded meanwhile.
const DEADLINE: Duration = Duration::from_secs(60);
/// Elements of one made-up input: 64 MB of floats, more than a row of anything usual.
const ELEMENTS_MAX: usize = 16_000_000;

/// How a first run went.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirstRun {
    /// The model ran on one row of zeros.
    Ran {
        /// How long it took.
        milliseconds: f64,
    },
    /// Nothing could be made up for it.
    NotRun {
        /// Why.
        why: String,
    },
}

/// Run a model on one row of zeros, where its signature says what that is.
///
/// # Errors
///
/// The run failed.
pub(crate) async fn first_run(model: &Model) -> Result<FirstRun, InferenceError> {
    let specs = &model.signature().inputs;
    let shapes: Result<Vec<Vec<usize>>, String> = specs.iter().map(one_row).collect();
    let shapes = match shapes {
        Ok(shapes) => shapes,
        Err(why) => return Ok(FirstRun::NotRun { why }),
    };
    let inputs = specs
        .iter()
        .zip(&shapes)
        .map(|(spec, shape)| {
            let zeros = Values::zeroed(spec.data_type, shape.iter().product());
            Input::owned(&spec.name, shape, zeros)
        })
        .collect();
    let start = Instant::now();
    model.run(inputs, &Selection::ALL, start + DEADLINE).await?;
    Ok(FirstRun::Ran {
        milliseconds: start.elapsed().as_secs_f64() * 1000.0,
    })
}

/// The shape of one row: the first dimension is the rows'.
fn one_row(spec: &TensorSpec) -> Result<Vec<usize>, String> {
    let mut elements: usize = 1;
    let mut shape = Vec::with_capacity(spec.shape.len());
    for (i, &size) in spec.shape.iter().enumerate() {
        let size = match usize::try_from(size) {
            Ok(size) => size,
            Err(_) if i == 0 => 1,
            Err(_) => {
                return Err(format!(
                    "the model doesn't say the whole shape of its input {spec}"
                ));
            }
        };
        elements = elements.saturating_mul(size);
        shape.push(size);
    }
    if elements > ELEMENTS_MAX {
        return Err(format!("one row of the input {spec} has {elements} elements"));
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_data::DataType;

    #[test]
    fn one_row_of_a_signature() {
        let row = |shape: &[i64]| {
            one_row(&TensorSpec {
                name: "X".to_owned(),
                data_type: DataType::Fp32,
                shape: shape.to_vec(),
            })
        };
        assert_eq!(row(&[-1, 30]), Ok(vec![1, 30]));
        assert_eq!(row(&[]), Ok(vec![]));
        assert_eq!(row(&[8, 3, 224, 224]), Ok(vec![8, 3, 224, 224]));
        assert!(row(&[-1, -1]).unwrap_err().contains("X: fp32[?, ?]"));
        assert!(row(&[-1, i64::MAX, i64::MAX]).unwrap_err().contains("elements"));
    }
}
