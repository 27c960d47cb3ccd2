//! Refuses rows with a value below a minimum.
//!
//! The struct holds what `configure` found out; `validate` then only looks. See the README for how
//! to test, build and push.

use caisson_plugin::prelude::*;

/// The settings that a deployment gives. Their JSON Schema, with these comments in it, is what the
/// host checks a deployment's config against.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Columns to check; every numeric column where absent.
    #[serde(default)]
    columns: Columns,
    /// The smallest value that passes.
    #[serde(default)]
    min: f64,
    /// `reject` answers the request with 422, `warn` counts and lets it pass.
    #[serde(default = "reject")]
    severity: Severity,
}

fn reject() -> Severity {
    Severity::Reject
}

struct AtLeast {
    columns: Vec<usize>,
    min: f64,
    severity: Severity,
}

impl Validator for AtLeast {
    type Config = Config;

    const ABOUT: About = About {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        help: "Each value must be at least `min`. NaN is a violation; a missing value is none.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        Ok(Self {
            columns: config.columns.resolve(input, Need::NUMBER)?,
            min: config.min,
            severity: config.severity,
        })
    }

    fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error> {
        let mut violations = Vec::new();
        for &index in &self.columns {
            let column = input.at(index)?;
            for (row, value) in column.numbers()?.enumerate() {
                if let Some(value) = value
                    && (value.is_nan() || value < self.min)
                {
                    let message = format!("{value} is below the minimum {}", self.min);
                    violations.push(
                        Violation::new("below-minimum", message)
                            .at(row, &column.field().name)
                            .with_severity(self.severity),
                    );
                }
            }
        }
        violations.sort_by_key(|violation| violation.row);
        Ok(violations)
    }
}

caisson_plugin::export!(validator: AtLeast);

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::{batch, configure, json};

    use super::*;

    #[test]
    fn names_row_and_column() {
        let input = batch!["age": int32 = [30, -1, None], "spent": fp32 = [-0.5, 2.0, 3.0]];
        let plugin = configure::<AtLeast>(json!({}), input.schema()).unwrap();
        let expected = [
            Violation::new("below-minimum", "-0.5 is below the minimum 0").at(0, "spent"),
            Violation::new("below-minimum", "-1 is below the minimum 0").at(1, "age"),
        ];
        assert_eq!(plugin.validate(&input).unwrap(), expected);
    }

    #[test]
    fn can_warn_instead() {
        let input = batch!["age": fp64 = [f64::NAN, 18.0]];
        let config = json!({"columns": ["age"], "min": 18, "severity": "warn"});
        let plugin = configure::<AtLeast>(config, input.schema()).unwrap();
        let violations = plugin.validate(&input).unwrap();
        assert_eq!(violations.len(), 1);
        assert_eq!(
            (violations[0].row, violations[0].severity),
            (Some(0), Severity::Warn)
        );
    }
}
