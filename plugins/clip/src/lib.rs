//! `clip`: limits numbers to a range, as `numpy.clip` does.
//!
//! ```text
//! y = min  where x < min
//! y = max  where x > max
//! y = x    elsewhere, NaN included
//! ```
//!
//! Bounds are inclusive, each is optional, and for a column with a shape each may be a list with one
//! for each element. They are values of the column's own type: rounded to it for floats, exact or
//! refused for integers. Types stay, missing stays missing, and everything happens in place.

use std::collections::BTreeMap;

use caisson_plugin::elementwise::NUMBERS;
use caisson_plugin::literal::{Literal, PerElement, values};
use caisson_plugin::prelude::*;
use caisson_plugin::{Element, Values};

/// The range of each column.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Bounds by column.
    columns: BTreeMap<String, Range>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Range {
    /// The least value; absent: no limit.
    min: Option<PerElement<Literal>>,
    /// The greatest value; absent: no limit.
    max: Option<PerElement<Literal>>,
}

/// The configured plugin.
#[derive(Debug)]
pub struct Clip {
    steps: Vec<Step>,
    output: Arc<Schema>,
}

#[derive(Debug)]
struct Step {
    index: usize,
    /// One for all, or one for each element of a row; empty for no limit.
    min: Values,
    max: Values,
}

impl Transform for Clip {
    type Config = Config;

    const ABOUT: About = About {
        name: "clip",
        version: env!("CARGO_PKG_VERSION"),
        help: "Limits numbers to [min, max], one range a column or one an element, as numpy.clip: smaller \
               values become min, greater ones max. NaN stays NaN, missing stays missing, types stay.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if config.columns.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is empty: there is nothing to clip",
            ));
        }
        let mut steps = Vec::with_capacity(config.columns.len());
        for (name, range) in &config.columns {
            let index = NUMBERS.find(input, name)?;
            let Some(field) = input.field(index) else { continue };
            let bound = |bound: &Option<PerElement<Literal>>, which: &str| match bound {
                None => Ok(Values::empty(field.data_type)),
                Some(bound) => values(
                    bound.of(field, which)?,
                    field.data_type,
                    &format!("column `{name}`: {which}"),
                ),
            };
            let (min, max) = (bound(&range.min, "min")?, bound(&range.max, "max")?);
            if min.is_empty() && max.is_empty() && field.row_elements() > 0 {
                return Err(Error::invalid_config(format!(
                    "column `{name}` has neither `min` nor `max`"
                )));
            }
            if !in_order(&min, &max) {
                return Err(Error::invalid_config(format!(
                    "column `{name}`: `min` is greater than `max`"
                )));
            }
            steps.push(Step { index, min, max });
        }
        Ok((
            Self {
                steps,
                output: input.clone(),
            },
            Schema::clone(input),
        ))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let mut editor = BatchEditor::new(input, &self.output)?;
        for step in &self.steps {
            step.clip(&mut editor)?;
        }
        Ok(editor.finish())
    }
}

/// Run an expression on two lists of one type of number.
macro_rules! numbers {
    ($a:expr, $b:expr, ($x:ident, $y:ident) => $run:expr, _ => $other:expr) => {
        match ($a, $b) {
            (Values::Uint8($x), Values::Uint8($y)) => $run,
            (Values::Uint16($x), Values::Uint16($y)) => $run,
            (Values::Uint32($x), Values::Uint32($y)) => $run,
            (Values::Uint64($x), Values::Uint64($y)) => $run,
            (Values::Int8($x), Values::Int8($y)) => $run,
            (Values::Int16($x), Values::Int16($y)) => $run,
            (Values::Int32($x), Values::Int32($y)) => $run,
            (Values::Int64($x), Values::Int64($y)) => $run,
            (Values::Fp32($x), Values::Fp32($y)) => $run,
            (Values::Fp64($x), Values::Fp64($y)) => $run,
            _ => $other,
        }
    };
}

fn in_order(min: &Values, max: &Values) -> bool {
    let width = min.len().max(max.len());
    numbers!(
        min, max,
        (min, max) => min.iter().cycle().zip(max.iter().cycle()).take(width).all(|(min, max)| min <= max),
        _ => true
    )
}

impl Step {
    fn clip(&self, editor: &mut BatchEditor) -> Result<(), Error> {
        numbers!(
            &self.min, &self.max,
            (min, max) => {
                let elements = editor.slice_mut(self.index)?;
                limit(elements, min, |x, min| if x < min { min } else { x });
                limit(elements, max, |x, max| if x > max { max } else { x });
                Ok(())
            },
            _ => Err(Error::internal("bounds of different types"))
        )
    }
}

/// Apply a bound, or one for each element of a row, or none.
fn limit<T: Element>(elements: &mut [T], bounds: &[T], apply: impl Fn(T, T) -> T) {
    match bounds {
        [] => {}
        [bound] => elements.iter_mut().for_each(|x| *x = apply(*x, *bound)),
        _ => {
            for row in elements.chunks_mut(bounds.len()) {
                row.iter_mut()
                    .zip(bounds)
                    .for_each(|(x, bound)| *x = apply(*x, *bound));
            }
        }
    }
}

caisson_plugin::export!(transform: Clip);

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::{assert_column, batch, configure, json, schema};

    use super::*;

    #[test]
    fn numpy_gives_the_same() {
        reference_cases::check_transform::<Clip>(include_str!("../../reference/clip.json"));
    }

    #[test]
    fn sixty_four_bit_bounds_keep_every_bit() {
        let input = batch!["n": int64 = [i64::MAX, i64::MIN, 0]];
        let (low, high) = (-(1i64 << 53) - 1, (1i64 << 53) + 1);
        let config = json!({"columns": {"n": {"min": low, "max": high}}});
        let plugin = configure::<Clip>(config, input.schema()).expect("fits");
        let output = plugin.apply(input).expect("clips");
        assert_eq!(output.column(0).expect("n").int64s(), Some(&[high, low, 0][..]));
    }

    #[test]
    fn one_bound_for_all_meets_one_for_each() {
        let input = batch!["t": fp32[2] = [-5.0, 5.0, None, None], "s": text = ["a", None]];
        let config = json!({"columns": {"t": {"min": -1, "max": [0, 3]}}});
        let plugin = configure::<Clip>(config, input.schema()).expect("fits");
        assert_eq!(plugin.output(), input.schema());
        let output = plugin.apply(input).expect("clips");
        assert_column(&output, "t", &[Some(-1.0), Some(3.0), None, None], 0.0);
    }

    #[test]
    fn empty_batches_and_batches_of_gaps_work() {
        let gaps = batch!["x": fp32 = [None, None]];
        let plugin = configure::<Clip>(json!({"columns": {"x": {"min": 1}}}), gaps.schema()).expect("fits");
        assert_eq!(
            plugin
                .apply(Batch::empty(gaps.schema().clone()))
                .expect("nothing to do")
                .rows(),
            0
        );
        assert_column(&plugin.apply(gaps).expect("clips"), "x", &[None, None], 0.0);
    }

    #[test]
    fn what_does_not_fit_is_refused_at_configure() {
        let schema = schema!["x": fp32, "n": uint8, "s": text, "t": fp32[2]];
        let refused = |config| {
            configure::<Clip>(config, &schema)
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(json!({"columns": {}})).contains("nothing to clip"));
        assert!(refused(json!({"columns": {"y": {"min": 0}}})).contains("there is no column `y`"));
        assert!(refused(json!({"columns": {"s": {"min": 0}}})).contains("`s: text` is not an integer type"));
        assert!(refused(json!({"columns": {"x": {}}})).contains("neither `min` nor `max`"));
        assert!(refused(json!({"columns": {"x": {"min": 2, "max": 1}}})).contains("greater than `max`"));
        assert!(refused(json!({"columns": {"t": {"min": 2, "max": [3, 1]}}})).contains("greater than `max`"));
        assert!(
            refused(json!({"columns": {"n": {"max": 256}}})).contains("max: 256 is no value of type uint8")
        );
        assert!(refused(json!({"columns": {"n": {"min": 0.5}}})).contains("0.5 is no value of type uint8"));
    }

    #[test]
    fn the_readme_example_works() {
        let output = reference_cases::readme_example::<Clip>().to_string();
        assert!(
            output.contains("(age: fp32?, city: text?, embedding: fp32[2]?"),
            "{output}"
        );
    }
}
