//! `one-hot`: encodes categories as numbers that are 1 for the category and 0 elsewhere, as
//! scikit-learn's `OneHotEncoder` does after fitting.
//!
//! ```text
//! y_c = 1  where x is c, or c is the infrequent category and x is one of those
//! y_c = 0  elsewhere
//! ```
//!
//! The config holds what was fitted: `categories` (`categories_`), in the order of the outputs, and
//! `infrequent` (`infrequent_categories_`), which share one output behind all others. `drop` leaves
//! one output out, after that grouping. A category `null` stands for missing values; without it a
//! missing value is an unknown category, as in scikit-learn, and so is NaN always.
//!
//! `handle_unknown` says what an unknown category does: `error` refuses the request and names row and
//! column; `ignore` gives zeros; `infrequent_if_exist` gives the infrequent category where there is
//! one, else zeros.
//!
//! The outputs stand where the input stood: columns `<column>_<category>`, `<column>_infrequent`,
//! `<column>_missing`, or with `output: tensor` one column of shape `[outputs]` under the input's
//! name.

mod encoder;

use std::collections::BTreeMap;

use caisson_plugin::elementwise::FloatType;
use caisson_plugin::literal::Literal;
use caisson_plugin::prelude::*;

use crate::encoder::Encoder;

/// The fitted categories.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Categories by column.
    columns: BTreeMap<String, Categories>,
    /// What a value that is no category does.
    #[serde(default)]
    handle_unknown: Unknown,
    /// Form of the result.
    #[serde(default)]
    output: Form,
    /// Type of the result; `fp32` where absent.
    r#type: Option<FloatType>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Categories {
    /// All categories, in the order of the outputs; `null` for missing values.
    pub(crate) categories: Vec<Option<Literal>>,
    /// Those of the categories that share the infrequent output.
    #[serde(default)]
    pub(crate) infrequent: Vec<Option<Literal>>,
    /// The output that is left out.
    #[serde(default)]
    pub(crate) drop: Drop,
}

#[derive(Debug, Default, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Drop {
    /// None.
    #[default]
    None,
    /// The first.
    First,
    /// The first, where there are two.
    IfBinary,
    /// That of this category.
    Category(Literal),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unknown {
    /// The request is refused; row and column are named.
    #[default]
    Error,
    /// All outputs are 0.
    Ignore,
    /// The infrequent output is 1 where there is one, else all are 0.
    InfrequentIfExist,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// A column for each output.
    #[default]
    Columns,
    /// One column with the outputs as its shape.
    Tensor,
}

/// The configured plugin.
#[derive(Debug)]
pub struct OneHot {
    steps: Vec<Step>,
    output: Output,
    form: Form,
    result: FloatType,
}

#[derive(Debug)]
struct Step {
    from: usize,
    /// The first of the output columns.
    to: usize,
    encoder: Encoder,
}

const NEEDED: Need = Need::new("a scalar of any type but fp16 and bf16", |field| {
    field.is_scalar() && !matches!(field.data_type, DataType::Fp16 | DataType::Bf16)
});

impl Transform for OneHot {
    type Config = Config;

    const ABOUT: About = About {
        name: "one-hot",
        version: env!("CARGO_PKG_VERSION"),
        help: "A column of 0 and 1 for each category, or one tensor column, as scikit-learn's OneHotEncoder \
               fitted them: `categories`, `infrequent` (which share one output), `drop`, `handle_unknown`. \
               A category null stands for missing values; without it a missing value is unknown.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if config.columns.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is empty: there is nothing to encode",
            ));
        }
        let result = config.r#type.unwrap_or(FloatType::Fp32);
        let mut plan = OutputPlan::of(input);
        let mut found = Vec::with_capacity(config.columns.len());
        for (name, categories) in &config.columns {
            let from = NEEDED.find(input, name)?;
            let Some(field) = input.field(from) else { continue };
            let (encoder, names) = Encoder::new(field, categories, config.handle_unknown)?;
            let fields: Vec<Field> = match config.output {
                Form::Columns => names
                    .into_iter()
                    .map(|n| Field::new(n, result.data_type()))
                    .collect(),
                Form::Tensor => {
                    vec![Field::new(name, result.data_type()).with_shape([encoder.outputs() as u32])]
                }
            };
            let first = fields.first().map(|field| field.name.clone());
            plan.replace_with(name, fields)?;
            found.push((from, first, encoder));
        }
        let output = plan.finish()?;
        let steps = found.into_iter().map(|(from, first, encoder)| {
            // An encoder without outputs writes nowhere.
            let to = first.map_or(Ok(0), |name| output.index_of(&name))?;
            Ok(Step { from, to, encoder })
        });
        let steps = steps.collect::<Result<_, Error>>()?;
        let schema = output.to_schema();
        Ok((
            Self {
                steps,
                output,
                form: config.output,
                result,
            },
            schema,
        ))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let mut builder = self.output.begin(&input)?;
        for step in &self.steps {
            let places = step.encoder.encode(&input.at(step.from)?)?;
            match (self.form, self.result) {
                (Form::Columns, FloatType::Fp32) => step.columns::<f32>(&places, &mut builder)?,
                (Form::Columns, FloatType::Fp64) => step.columns::<f64>(&places, &mut builder)?,
                (Form::Tensor, FloatType::Fp32) => step.tensor::<f32>(&places, &mut builder)?,
                (Form::Tensor, FloatType::Fp64) => step.tensor::<f64>(&places, &mut builder)?,
            }
        }
        Ok(builder.finish()?)
    }
}

impl Step {
    fn columns<T: caisson_plugin::Element + From<u8>>(
        &self,
        places: &[u32],
        builder: &mut BatchBuilder,
    ) -> Result<(), Error> {
        for output in 0..self.encoder.outputs() {
            let own = builder.slice_mut::<T>(self.to + output)?;
            for (own, &place) in own.iter_mut().zip(places) {
                *own = T::from(u8::from(place as usize == output));
            }
        }
        Ok(())
    }

    fn tensor<T: caisson_plugin::Element + From<u8>>(
        &self,
        places: &[u32],
        builder: &mut BatchBuilder,
    ) -> Result<(), Error> {
        let rows = builder
            .slice_mut::<T>(self.to)?
            .chunks_mut(self.encoder.outputs().max(1));
        for (row, &place) in rows.zip(places) {
            if let Some(own) = row.get_mut(place as usize) {
                *own = T::from(1);
            }
        }
        Ok(())
    }
}

caisson_plugin::export!(transform: OneHot);

#[cfg(test)]
mod tests;
