//! A business rule around a model: rows that lack a value get a default score, the model scores the
//! rest.
//!
//! The model runs in the host; the deployment grants it by name. See the README for how to test,
//! build and push.

use caisson_plugin::prelude::*;

/// The settings that a deployment gives. Their JSON Schema, with these comments in it, is what the
/// host checks a deployment's config against.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Name of the model; the deployment must grant it.
    model: String,
    /// The model's input, an fp32 tensor [rows, columns].
    input: String,
    /// The model's output, an fp32 tensor [rows] or [rows, 1].
    output: String,
    /// Columns to give to the model, in its order; every scalar fp32 column where absent.
    #[serde(default)]
    columns: Columns,
    /// The score of a row that lacks a value.
    default_score: f32,
}

struct Guarded {
    config: Config,
    columns: Vec<usize>,
    output: Arc<Schema>,
}

impl Predictor for Guarded {
    type Config = Config;

    const ABOUT: About = About {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        help: "`score`, fp32: what the model gives for a row whose columns are all present, \
               `default_score` for any other row.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        let fp32 = Need::new("a scalar fp32", |field| {
            field.is_scalar() && field.data_type == DataType::Fp32
        });
        let columns = config.columns.resolve(input, fp32)?;
        let output = Schema::new(vec![Field::new("score", DataType::Fp32)])?;
        let plugin = Self {
            config,
            columns,
            output: Arc::new(output.clone()),
        };
        Ok((plugin, output))
    }

    fn predict(&self, models: &mut Models, input: &Batch) -> Result<Batch, Error> {
        let columns = self.columns.iter().map(|&index| input.at(index));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let is_complete = |row: &usize| columns.iter().all(|column| !column.is_missing(*row));
        let complete: Vec<usize> = (0..input.rows()).filter(is_complete).collect();

        let mut scores = vec![self.config.default_score; input.rows()];
        if !complete.is_empty() {
            let features = self.features(&columns, &complete)?;
            let dimensions = [complete.len() as u32, self.columns.len() as u32];
            let model = models.load(&self.config.model)?;
            let outputs = model.run(&[(&self.config.input, &dimensions, (&features).into())])?;
            let found = outputs.get(&self.config.output)?.to_fp32s()?;
            if found.len() != complete.len() {
                return Err(Error::internal(format!(
                    "the model gave {} scores for {} rows",
                    found.len(),
                    complete.len()
                )));
            }
            for (row, found) in complete.into_iter().zip(found) {
                if let Some(score) = scores.get_mut(row) {
                    *score = found;
                }
            }
        }
        let mut batch = BatchBuilder::new(self.output.clone(), input.rows())?;
        batch.slice_mut::<f32>(0)?.copy_from_slice(&scores);
        Ok(batch.finish()?)
    }
}

impl Guarded {
    /// The chosen rows of all columns, row-major, as the model takes them.
    fn features(&self, columns: &[Column<'_>], rows: &[usize]) -> Result<Vec<f32>, Error> {
        let mut features = vec![0.0; rows.len() * columns.len()];
        for (k, column) in columns.iter().enumerate() {
            let values = column.slice::<f32>()?;
            let target = features.iter_mut().skip(k).step_by(columns.len());
            for (slot, value) in target.zip(rows.iter().filter_map(|&row| values.get(row))) {
                *slot = *value;
            }
        }
        Ok(features)
    }
}

caisson_plugin::export!(predictor: Guarded);

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::{assert_column, batch, configure, json, models};

    use super::*;

    /// A model that adds up each row.
    fn sum() -> Models {
        models("sum", |inputs| match inputs {
            [("X", [rows, columns], Elements::Fp32(x))] => {
                let sums: Vec<f32> = x.chunks(*columns as usize).map(|row| row.iter().sum()).collect();
                Ok(Outputs::new(vec![(
                    "y".into(),
                    Tensor::new(&[*rows], (&sums).into())?,
                )]))
            }
            _ => Err(Error::internal("the model takes one fp32 matrix `X`")),
        })
    }

    fn config() -> caisson_plugin::serde_json::Value {
        json!({"model": "sum", "input": "X", "output": "y", "default_score": 0.5})
    }

    #[test]
    fn scores_complete_rows_with_the_model() {
        let input = batch!["a": fp32 = [1.0, None, 3.0], "b": fp32 = [10.0, 20.0, 30.0]];
        let plugin = configure::<Guarded>(config(), input.schema()).unwrap();
        let output = plugin.predict(&mut sum(), &input).unwrap();
        assert_column(&output, "score", &[Some(11.0), Some(0.5), Some(33.0)], 1e-6);
    }

    #[test]
    fn leaves_the_model_alone_when_no_row_is_complete() {
        let input = batch!["a": fp32 = [None]];
        let plugin = configure::<Guarded>(config(), input.schema()).unwrap();
        let output = plugin.predict(&mut models("none", |_| Err(Error::internal("called"))), &input);
        assert_column(&output.unwrap(), "score", &[Some(0.5)], 0.0);
    }
}
