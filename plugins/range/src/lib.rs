//! `range`: checks that numbers lie in a range.
//!
//! ```text
//! min ≤ x ≤ max     or with `strict_min`, `strict_max`    min < x, x < max
//! ```
//!
//! Bounds are values of the column's own type (rounded to it for floats, exact or refused for
//! integers), so 64-bit integers are compared exactly. In a column with a shape every element must
//! lie in the range. Missing values pass: whether a value may be missing is for the validator
//! `schema` to say. NaN lies in no range and is a violation unless `nan: allow`.
//!
//! Codes: `out-of-range`, `not-a-number`.

use std::collections::BTreeMap;

use caisson_plugin::elementwise::NUMBERS;
use caisson_plugin::literal::{Literal, values};
use caisson_plugin::prelude::*;
use caisson_plugin::show::{place_in_row, show};
use caisson_plugin::violations::Violations;
use caisson_plugin::{Element, Values};

/// The range of each column.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Bounds by column.
    columns: BTreeMap<String, Bounds>,
    /// What a violation does, unless its column says otherwise.
    severity: Option<Severity>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bounds {
    /// The least value; absent: no limit.
    min: Option<Literal>,
    /// The greatest value; absent: no limit.
    max: Option<Literal>,
    /// Is `min` itself out of range?
    #[serde(default)]
    strict_min: bool,
    /// Is `max` itself out of range?
    #[serde(default)]
    strict_max: bool,
    /// What NaN is.
    #[serde(default)]
    nan: Nan,
    /// What a violation does.
    severity: Option<Severity>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Nan {
    /// A violation.
    #[default]
    Reject,
    /// Good.
    Allow,
}

/// The configured plugin.
#[derive(Debug)]
pub struct Range(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    index: usize,
    /// Empty for no limit.
    min: Values,
    max: Values,
    strict_min: bool,
    strict_max: bool,
    nan: Nan,
    severity: Severity,
    /// As messages say it: `[0, 120)`.
    shown: String,
}

impl Validator for Range {
    type Config = Config;

    const ABOUT: About = About {
        name: "range",
        version: env!("CARGO_PKG_VERSION"),
        help: "Every number of a column must lie between min and max, inclusive unless strict_min or strict_max. \
               Missing values pass; NaN is a violation unless `nan: allow`. Codes: out-of-range, not-a-number.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        if config.columns.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is empty: there is nothing to check",
            ));
        }
        let mut rules = Vec::with_capacity(config.columns.len());
        for (name, bounds) in &config.columns {
            let index = NUMBERS.find(input, name)?;
            let Some(field) = input.field(index) else { continue };
            if bounds.min.is_none() && bounds.max.is_none() {
                return Err(Error::invalid_config(format!(
                    "column `{name}` has neither `min` nor `max`"
                )));
            }
            let bound = |bound: &Option<Literal>, which: &str| {
                values(
                    bound.as_slice(),
                    field.data_type,
                    &format!("column `{name}`: {which}"),
                )
            };
            let rule = Rule {
                index,
                min: bound(&bounds.min, "min")?,
                max: bound(&bounds.max, "max")?,
                strict_min: bounds.strict_min,
                strict_max: bounds.strict_max,
                nan: bounds.nan,
                severity: bounds.severity.or(config.severity).unwrap_or(Severity::Reject),
                shown: bounds.to_string(),
            };
            if rule.is_empty() {
                return Err(Error::invalid_config(format!(
                    "column `{name}`: no number lies in {}",
                    rule.shown
                )));
            }
            rules.push(rule);
        }
        Ok(Self(rules))
    }

    fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error> {
        let mut violations = Violations::new();
        for rule in &self.0 {
            rule.check(&input.at(rule.index)?, &mut violations)?;
        }
        Ok(violations.finish())
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.min {
            Some(min) => write!(f, "{}{min}", if self.strict_min { '(' } else { '[' })?,
            None => f.write_str("(-∞")?,
        }
        match &self.max {
            Some(max) => write!(f, ", {max}{}", if self.strict_max { ')' } else { ']' }),
            None => f.write_str(", ∞)"),
        }
    }
}

/// Run an expression on both bounds of one type of number.
macro_rules! bounds {
    ($rule:expr, ($min:ident, $max:ident) => $run:expr, _ => $other:expr) => {
        bounds!(@of $rule, ($min, $max) => $run, _ => $other;
            Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp32, Fp64)
    };
    (@of $rule:expr, ($min:ident, $max:ident) => $run:expr, _ => $other:expr; $($variant:ident),*) => {
        match (&$rule.min, &$rule.max) {
            $((Values::$variant($min), Values::$variant($max)) => $run,)*
            _ => $other,
        }
    };
}

impl Rule {
    fn is_empty(&self) -> bool {
        bounds!(
            self,
            (min, max) => match (min.first(), max.first()) {
                (Some(min), Some(max)) => min > max || (min == max && (self.strict_min || self.strict_max)),
                _ => false,
            },
            _ => true
        )
    }

    fn check(&self, column: &Column<'_>, violations: &mut Violations) -> Result<(), Error> {
        bounds!(
            self,
            (min, max) => self.check_elements(column, min.first().copied(), max.first().copied(), violations),
            _ => Err(Error::internal("bounds of different types"))
        )
    }

    fn check_elements<T: Element + PartialOrd>(
        &self,
        column: &Column<'_>,
        min: Option<T>,
        max: Option<T>,
        violations: &mut Violations,
    ) -> Result<(), Error> {
        let elements: &[T] = column.slice()?;
        violations.check(column, self.severity, |element| {
            let x = elements.get(element)?;
            let above = min.is_none_or(|min| *x > min || (*x == min && !self.strict_min));
            let below = max.is_none_or(|max| *x < max || (*x == max && !self.strict_max));
            if above && below {
                return None;
            }
            // Only NaN isn't equal to itself.
            #[allow(
                clippy::eq_op,
                reason = "the element type is generic, and integers have no `is_nan`"
            )]
            let is_nan = x != x;
            let place = || place_in_row(column.field(), element);
            match (is_nan, self.nan) {
                (true, Nan::Allow) => None,
                (true, Nan::Reject) => Some(("not-a-number", format!("NaN{} lies in no range", place()))),
                (false, _) => Some((
                    "out-of-range",
                    format!("{}{} lies outside {}", show(column, element), place(), self.shown),
                )),
            }
        });
        Ok(())
    }
}

caisson_plugin::export!(validator: Range);

#[cfg(test)]
mod tests;
