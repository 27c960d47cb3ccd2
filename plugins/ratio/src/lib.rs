//! `ratio`: quotients of two columns.
//!
//! ```text
//! y = numerator / denominator
//! ```
//!
//! computed in `fp64` and rounded once, which for two `fp32` columns is the `fp32` quotient exactly
//! (as in NumPy). The result is `fp32` where both are, else `fp64`, or the `type` of the config. Where
//! either is missing, so is the quotient.
//!
//! `zero` says what a denominator of 0 (or −0) gives, whatever the numerator: `missing` (the
//! default), `error`, which refuses the request and names the row, `ieee` (±∞ or NaN, as NumPy), or a
//! number.

use caisson_plugin::elementwise::FloatType;
use caisson_plugin::prelude::*;

/// The quotients.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// They are added at the end, in this order.
    ratios: Vec<RatioOf>,
    /// Drop the columns that only these quotients need.
    #[serde(default)]
    drop_inputs: bool,
    /// Type of the results.
    r#type: Option<FloatType>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RatioOf {
    /// Name of the new column.
    name: String,
    /// Name of the column that is divided.
    numerator: String,
    /// Name of the column that it is divided by.
    denominator: String,
    /// What a denominator of 0 gives.
    #[serde(default)]
    zero: Zero,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Zero {
    Policy(Policy),
    /// This number.
    Number(f64),
}

impl Default for Zero {
    fn default() -> Self {
        Self::Policy(Policy::Missing)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Policy {
    /// A missing value.
    Missing,
    /// The request is refused.
    Error,
    /// ±∞ or NaN.
    Ieee,
}

/// The configured plugin.
#[derive(Debug)]
pub struct Ratio {
    steps: Vec<Step>,
    output: Output,
}

#[derive(Debug)]
struct Step {
    numerator: usize,
    denominator: usize,
    zero: Zero,
    to: usize,
}

impl Transform for Ratio {
    type Config = Config;

    const ABOUT: About = About {
        name: "ratio",
        version: env!("CARGO_PKG_VERSION"),
        help: "numerator / denominator as new columns. `zero` says what a denominator of 0 gives: missing (the \
               default), error, ieee (infinity or NaN) or a number. Where either column is missing, so is the \
               ratio.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if config.ratios.is_empty() {
            return Err(Error::invalid_config(
                "`ratios` is empty: there is nothing to divide",
            ));
        }
        let mut plan = OutputPlan::of(input);
        let mut found = Vec::with_capacity(config.ratios.len());
        let mut used: Vec<usize> = Vec::new();
        for ratio in config.ratios {
            let numerator = Need::NUMBER.find(input, &ratio.numerator)?;
            let denominator = Need::NUMBER.find(input, &ratio.denominator)?;
            let fields = [numerator, denominator].map(|index| input.field(index));
            let both_fp32 = fields.iter().flatten().all(|f| f.data_type == DataType::Fp32);
            let native = if both_fp32 {
                FloatType::Fp32
            } else {
                FloatType::Fp64
            };
            let mut field = Field::new(&ratio.name, config.r#type.unwrap_or(native).data_type());
            field.nullable =
                ratio.zero == Zero::Policy(Policy::Missing) || fields.iter().flatten().any(|f| f.nullable);
            plan.append(field);
            used.extend([numerator, denominator]);
            found.push((numerator, denominator, ratio.zero, ratio.name));
        }
        if config.drop_inputs {
            used.sort_unstable();
            used.dedup();
            for field in used.iter().filter_map(|&index| input.field(index)) {
                plan.remove(&field.name)?;
            }
        }
        let output = plan.finish()?;
        let steps = found.into_iter().map(|(numerator, denominator, zero, name)| {
            let to = output.index_of(&name)?;
            Ok(Step {
                numerator,
                denominator,
                zero,
                to,
            })
        });
        let steps = steps.collect::<Result<_, Error>>()?;
        let schema = output.to_schema();
        Ok((Self { steps, output }, schema))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let mut builder = self.output.begin(&input)?;
        for step in &self.steps {
            let denominator = input.at(step.denominator)?;
            if step.zero == Zero::Policy(Policy::Error)
                && let Some(row) = denominator.numbers()?.position(|x| x == Some(0.0))
            {
                return Err(Error::bad_input(
                    row,
                    &denominator.field().name,
                    "is 0, and a ratio is divided by it",
                ));
            }
            let pairs = input.at(step.numerator)?.numbers()?.zip(denominator.numbers()?);
            builder.fill_numbers(step.to, pairs.map(|(x, y)| divide(x?, y?, step.zero)))?;
        }
        Ok(builder.finish()?)
    }
}

fn divide(x: f64, y: f64, zero: Zero) -> Option<f64> {
    match zero {
        Zero::Policy(Policy::Missing) if y == 0.0 => None,
        Zero::Number(value) if y == 0.0 => Some(value),
        _ => Some(x / y),
    }
}

caisson_plugin::export!(transform: Ratio);

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::{assert_column, batch, configure, json, schema};

    use super::*;

    #[test]
    fn numpy_gives_the_same() {
        reference_cases::check_transform::<Ratio>(include_str!("../../reference/ratio.json"));
    }

    #[test]
    fn missing_and_zero() {
        let input = batch!["x": fp32 = [Some(1.0), None, Some(3.0)], "y": int8 = [Some(0), Some(0), None]];
        let one =
            |zero| json!({"ratios": [{"name": "r", "numerator": "x", "denominator": "y", "zero": zero}]});
        let plugin = configure::<Ratio>(one(json!(-1)), input.schema()).expect("fits");
        assert_column(
            &plugin.apply(input.clone()).expect("divides"),
            "r",
            &[Some(-1.0), None, None],
            0.0,
        );
        let plugin = configure::<Ratio>(one(json!("missing")), input.schema()).expect("fits");
        assert_column(
            &plugin.apply(input.clone()).expect("divides"),
            "r",
            &[None, None, None],
            0.0,
        );
        let plugin = configure::<Ratio>(one(json!("error")), input.schema()).expect("fits");
        let error = plugin.apply(input).expect_err("0").to_string();
        assert_eq!(
            error,
            "bad input in row 0, column `y`: is 0, and a ratio is divided by it"
        );
    }

    #[test]
    fn the_output_declares_what_can_happen() {
        let schema = schema!["a": fp32, "b": fp32, "c": int64?, "d": text];
        let declared = |config| {
            configure::<Ratio>(config, &schema)
                .expect("fits")
                .output()
                .to_string()
        };
        let ratio = |numerator: &str, denominator: &str, zero: &str| json!({"name": "r", "numerator": numerator, "denominator": denominator, "zero": zero});
        assert_eq!(
            declared(json!({"ratios": [ratio("a", "b", "ieee")]})),
            "(a: fp32, b: fp32, c: int64?, d: text, r: fp32)"
        );
        assert_eq!(
            declared(json!({"ratios": [ratio("a", "a", "missing")], "drop_inputs": true, "type": "fp64"})),
            "(b: fp32, c: int64?, d: text, r: fp64?)"
        );
        assert_eq!(
            declared(json!({"ratios": [ratio("a", "c", "error")], "drop_inputs": true})),
            "(b: fp32, d: text, r: fp64?)"
        );
    }

    #[test]
    fn empty_batches_and_wrong_columns() {
        let schema = schema!["a": fp32, "s": text, "t": fp32[2]];
        let of = |a: &str, b: &str, name: &str| json!({"ratios": [{"name": name, "numerator": a, "denominator": b}]});
        let plugin = configure::<Ratio>(of("a", "a", "r"), &schema).expect("fits");
        assert_eq!(
            plugin
                .apply(Batch::empty(schema.clone()))
                .expect("nothing to do")
                .rows(),
            0
        );
        let refused = |config| {
            configure::<Ratio>(config, &schema)
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(json!({"ratios": []})).contains("nothing to divide"));
        assert!(refused(of("a", "b", "r")).contains("there is no column `b`"));
        assert!(refused(of("s", "a", "r")).contains("`s: text` is not a scalar number"));
        assert!(refused(of("a", "t", "r")).contains("`t: fp32[2]` is not a scalar number"));
        assert!(refused(of("a", "a", "s")).contains("two fields are named `s`"));
    }

    #[test]
    fn the_readme_example_works() {
        let output = reference_cases::readme_example::<Ratio>().to_string();
        assert!(output.contains("spent_per_visit: fp64)"), "{output}");
    }
}
