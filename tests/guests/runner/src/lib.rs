//! A predictor that hands one column to one model and gives one of its outputs back.

use caisson_plugin::prelude::*;

/// Which model, and what goes in and out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name under which the deployment grants the model.
    model: String,
    /// The model's input; also the column, `fp32` with a shape, that it takes.
    input: String,
    /// The model's output, `fp32`; also the column that it becomes.
    output: String,
    /// The output's shape for one row.
    output_shape: Vec<u32>,
}

struct Runner {
    config: Config,
    column: usize,
    width: u32,
    output: Arc<Schema>,
}

impl Predictor for Runner {
    type Config = Config;

    const ABOUT: About = About {
        name: "runner",
        version: env!("CARGO_PKG_VERSION"),
        help: "Hands one column to one model and gives one of its outputs back.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        let missing = || Error::schema_mismatch(format!("no column `{}` in {input}", config.input));
        let column = input.index_of(&config.input).ok_or_else(missing)?;
        let width = input.field(column).map_or(1, |field| field.row_elements() as u32);
        let field = Field::new(config.output.clone(), DataType::Fp32).with_shape(config.output_shape.clone());
        let output = Schema::new(vec![field]).map_err(|e| Error::schema_mismatch(e.to_string()))?;
        let runner = Self {
            config,
            column,
            width,
            output: Arc::new(output.clone()),
        };
        Ok((runner, output))
    }

    fn predict(&self, models: &mut Models, input: &Batch) -> Result<Batch, Error> {
        let column = input
            .column(self.column)
            .ok_or_else(|| Error::internal("the column is gone"))?;
        let values = column
            .fp32s()
            .ok_or_else(|| Error::internal("the column is not fp32"))?;
        let shape = [input.rows() as u32, self.width];
        let model = models.load(&self.config.model)?;
        let outputs = model.run(&[(self.config.input.as_str(), &shape, values.into())])?;
        let given = outputs.get(&self.config.output)?.to_fp32s()?;
        let mut builder = BatchBuilder::new(Arc::clone(&self.output), input.rows())?;
        let place = builder
            .fp32s_mut(0)
            .ok_or_else(|| Error::internal("the output is not fp32"))?;
        if place.len() != given.len() {
            return Err(Error::internal(format!(
                "the model gave {} elements, not {}",
                given.len(),
                place.len()
            )));
        }
        place.copy_from_slice(&given);
        Ok(builder.finish()?)
    }
}

caisson_plugin::export!(predictor: Runner);
