//! `x · scale + offset` on every fp32 column, tensors included. Missing values stay missing.

use caisson_plugin::prelude::*;

/// Both default to changing nothing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default = "one")]
    scale: f32,
    #[serde(default)]
    offset: f32,
}

fn one() -> f32 {
    1.0
}

struct Affine {
    scale: f32,
    offset: f32,
    columns: Vec<usize>,
    output: Arc<Schema>,
}

impl Transform for Affine {
    type Config = Config;

    const ABOUT: About = About {
        name: "affine",
        version: "1.2.3",
        help: "x · scale + offset on every fp32 column.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        let columns: Vec<usize> = (0..input.len())
            .filter(|&i| input.field(i).is_some_and(|f| f.data_type == DataType::Fp32))
            .collect();
        if columns.is_empty() {
            return Err(Error::schema_mismatch("there is no fp32 column"));
        }
        if !config.scale.is_finite() {
            return Err(Error::invalid_config("scale must be finite"));
        }
        let affine = Self {
            scale: config.scale,
            offset: config.offset,
            columns,
            output: input.clone(),
        };
        Ok((affine, (**input).clone()))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let mut edit = BatchEditor::new(input, &self.output)?;
        for &column in &self.columns {
            for x in edit.slice_mut::<f32>(column)? {
                *x = *x * self.scale + self.offset;
            }
        }
        Ok(edit.finish())
    }
}

caisson_plugin::export!(transform: Affine);
