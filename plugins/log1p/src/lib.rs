//! `log1p`: the natural logarithm of 1 + x, exact near 0, as `numpy.log1p`.
//!
//! ```text
//! y = ln(1 + x)                 NaN where x < −1, −∞ where x = −1
//! y = sign(x) · ln(1 + |x|)     with `signed: true`: defined everywhere, odd
//! ```
//!
//! `fp32` columns give `fp32`, all other numbers `fp64`, or the `type` of the config. The logarithm is
//! computed in `fp64` and, for `fp32`, rounded once: within 2 · 10⁻⁷ of NumPy's `fp32` result and
//! within 4 · 10⁻¹⁶ of its `fp64` result, relative to the larger of 1 and the result. Missing stays
//! missing. `invalid: error` refuses x < −1 and names the row instead of giving NaN. `suffix` keeps
//! the input and adds `<column><suffix>`.

use caisson_plugin::elementwise::{Elementwise, FloatType, Kernel, NEEDED, Target};
use caisson_plugin::prelude::*;
use caisson_plugin::show::{place_in_row, show};

/// Columns and form of the logarithm.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The columns; absent: every number column.
    #[serde(default)]
    columns: Columns,
    /// sign(x) · ln(1 + |x|) instead.
    #[serde(default)]
    signed: bool,
    /// What x < −1 does where `signed` is false.
    #[serde(default)]
    invalid: Invalid,
    /// Keep the inputs and add the results as `<column><suffix>` at the end.
    suffix: Option<String>,
    /// Type of the results.
    r#type: Option<FloatType>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Invalid {
    /// Gives NaN, as NumPy does.
    #[default]
    Nan,
    /// Refuses the request and names row and column.
    Error,
}

/// The configured plugin.
#[derive(Debug)]
pub struct Log1p {
    elementwise: Elementwise<Logarithm>,
    /// Columns whose values must not be below −1.
    checked: Vec<usize>,
}

impl Transform for Log1p {
    type Config = Config;

    const ABOUT: About = About {
        name: "log1p",
        version: env!("CARGO_PKG_VERSION"),
        help: "ln(1 + x), as numpy.log1p, or sign(x) * ln(1 + |x|) with `signed`. fp32 stays fp32, other \
               numbers become fp64. Missing stays missing; x < -1 gives NaN, or with `invalid: error` refuses \
               the request.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        let columns = config.columns.resolve(input, NEEDED)?;
        let fields = columns.iter().filter_map(|&index| input.field(index));
        let targets = fields.map(|field| Target {
            column: field.name.clone(),
            into: config
                .suffix
                .as_ref()
                .map(|suffix| format!("{}{suffix}", field.name)),
            result: config.r#type,
            kernel: Logarithm {
                signed: config.signed,
            },
        });
        let (elementwise, output) = Elementwise::new(input, targets.collect())?;
        let must_check = !config.signed && config.invalid == Invalid::Error;
        let checked = if must_check { columns } else { Vec::new() };
        Ok((Self { elementwise, checked }, output))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        for &index in &self.checked {
            let column = input.at(index)?;
            let below = column.numbers()?.position(|x| x.is_some_and(|x| x < -1.0));
            if let Some(element) = below {
                let field = column.field();
                return Err(Error::bad_input(
                    element / field.row_elements().max(1),
                    &field.name,
                    format!(
                        "{}{} has no logarithm of 1 + x: it is below -1",
                        show(&column, element),
                        place_in_row(field, element)
                    ),
                ));
            }
        }
        self.elementwise.apply(input)
    }
}

#[derive(Debug)]
struct Logarithm {
    signed: bool,
}

impl Logarithm {
    fn of(&self, x: f64) -> f64 {
        if self.signed {
            x.abs().ln_1p().copysign(x)
        } else {
            x.ln_1p()
        }
    }
}

impl Kernel for Logarithm {
    fn fp32(&self, values: &mut [f32]) {
        values.iter_mut().for_each(|x| *x = self.of(f64::from(*x)) as f32);
    }

    fn fp64(&self, values: &mut [f64]) {
        values.iter_mut().for_each(|x| *x = self.of(*x));
    }
}

caisson_plugin::export!(transform: Log1p);

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::{assert_column, batch, configure, json, schema};

    use super::*;

    #[test]
    fn numpy_gives_the_same() {
        reference_cases::check_transform::<Log1p>(include_str!("../../reference/log1p.json"));
    }

    #[test]
    fn small_numbers_lose_nothing_and_zero_keeps_its_sign() {
        let input = batch!["x": fp32 = [1e-10, -1e-10, -0.0, None]];
        for signed in [false, true] {
            let config = json!({"columns": ["x"], "signed": signed});
            let plugin = configure::<Log1p>(config, input.schema()).expect("fits");
            let output = plugin.apply(input.clone()).expect("computes");
            let x = output.column(0).expect("x");
            assert_eq!(x.fp32s().expect("fp32")[..2], [1e-10, -1e-10]);
            assert!(x.fp32s().expect("fp32")[2].is_sign_negative() && x.is_missing(3));
        }
    }

    #[test]
    fn what_has_no_logarithm_is_named_on_request() {
        let input = batch!["a": fp32 = [0.0, 1.0], "t": int32[2] = [0, 1, 2, -3]];
        let config = json!({"invalid": "error"});
        let plugin = configure::<Log1p>(config, input.schema()).expect("fits");
        let error = plugin.apply(input.clone()).expect_err("-3").to_string();
        assert_eq!(
            error,
            "bad input in row 1, column `t`: -3 at [1] has no logarithm of 1 + x: it is below -1"
        );
        let signed = json!({"signed": true, "invalid": "error"});
        let plugin = configure::<Log1p>(signed, input.schema()).expect("fits");
        let output = plugin.apply(input).expect("every number has one");
        assert_column(&output, "a", &[0.0, 2f64.ln()].map(Some), 1e-7);
        let gap = batch!["a": fp32 = [-1.0, f32::NAN, None]];
        let plugin = configure::<Log1p>(json!({"invalid": "error"}), gap.schema()).expect("fits");
        let output = plugin.apply(gap).expect("-1, NaN and missing pass");
        assert_column(
            &output,
            "a",
            &[Some(f64::NEG_INFINITY), Some(f64::NAN), None],
            0.0,
        );
    }

    #[test]
    fn empty_batches_and_wrong_columns() {
        let schema = schema!["x": fp32, "s": text, "x_log": fp32];
        let plugin = configure::<Log1p>(json!({}), &schema).expect("takes the numbers");
        assert_eq!(
            plugin
                .apply(Batch::empty(schema.clone()))
                .expect("nothing to do")
                .rows(),
            0
        );
        let refused = |config| {
            configure::<Log1p>(config, &schema)
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(json!({"columns": ["s"]})).contains("`s: text` is not fp32"));
        assert!(refused(json!({"columns": ["y"]})).contains("there is no column `y`"));
        assert!(refused(json!({"columns": ["x"], "suffix": "_log"})).contains("x_log"));
    }

    #[test]
    fn the_readme_example_works() {
        let output = reference_cases::readme_example::<Log1p>().to_string();
        assert!(output.contains("income_log: fp64"), "{output}");
    }
}
