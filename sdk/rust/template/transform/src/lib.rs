//! Adds the ratio of two columns.
//!
//! The struct holds what `configure` found out; `apply` then only computes. See the README for how
//! to test, build and push.

use caisson_plugin::prelude::*;

/// The settings that a deployment gives. Their JSON Schema, with these comments in it, is what the
/// host checks a deployment's config against.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The column above the line.
    numerator: String,
    /// The column below the line.
    denominator: String,
    /// Name of the column that is added.
    #[serde(default = "default_output")]
    output: String,
}

fn default_output() -> String {
    "ratio".to_owned()
}

struct Ratio {
    numerator: usize,
    denominator: usize,
    output: Output,
    /// Position of the added column in the output.
    ratio: usize,
}

impl Transform for Ratio {
    type Config = Config;

    const ABOUT: About = About {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        help: "Adds the ratio of two numeric columns, numerator / denominator, as fp32. It is \
               missing where either of the two is missing or the denominator is 0.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        let numerator = Need::NUMBER.find(input, &config.numerator)?;
        let denominator = Need::NUMBER.find(input, &config.denominator)?;
        let mut plan = OutputPlan::of(input);
        plan.append(Field::new(&config.output, DataType::Fp32).nullable());
        let output = plan.finish()?;
        let ratio = output.index_of(&config.output)?;
        let schema = output.to_schema();
        Ok((
            Self {
                numerator,
                denominator,
                output,
                ratio,
            },
            schema,
        ))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let above = input.at(self.numerator)?.numbers()?;
        let below = input.at(self.denominator)?.numbers()?;
        let ratios = above.zip(below).map(|pair| match pair {
            (Some(above), Some(below)) if below != 0.0 => Some(above / below),
            _ => None,
        });
        let mut batch = self.output.begin(&input)?;
        batch.fill_numbers(self.ratio, ratios)?;
        Ok(batch.finish()?)
    }
}

caisson_plugin::export!(transform: Ratio);

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::{assert_column, batch, configure, json, schema};

    use super::*;

    #[test]
    fn divides_row_by_row() {
        let input = batch![
            "spent": fp32 = [10.0, None, 3.0, 5.0],
            "visits": int64 = [4, 2, 0, 5],
        ];
        let config = json!({"numerator": "spent", "denominator": "visits"});
        let plugin = configure::<Ratio>(config, input.schema()).unwrap();
        let output = plugin.apply(input).unwrap();
        assert_column(&output, "ratio", &[Some(2.5), None, None, Some(1.0)], 1e-6);
        assert_column(
            &output,
            "visits",
            &[Some(4.0), Some(2.0), Some(0.0), Some(5.0)],
            0.0,
        );
    }

    #[test]
    fn refuses_a_column_that_is_not_there() {
        let config = json!({"numerator": "spend", "denominator": "visits"});
        let error = configure::<Ratio>(config, &schema!["spent": fp32, "visits": int64]);
        assert_eq!(
            error.err().unwrap(),
            Error::schema_mismatch("there is no column `spend`; the columns are `spent`, `visits`")
        );
    }
}
