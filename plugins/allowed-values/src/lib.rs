//! `allowed-values`: checks that values are in a list.
//!
//! The list holds values of the column's own type; comparison is exact, of text byte by byte. Floats
//! are equal as numbers are, so −0 is 0 and NaN is in no list. In a column with a shape every element
//! must be in the list. Missing values pass: whether a value may be missing is for the validator
//! `schema` to say.
//!
//! Code: `not-allowed`.

use std::collections::BTreeMap;

use caisson_plugin::literal::{Literal, Lookup};
use caisson_plugin::prelude::*;
use caisson_plugin::show::{place_in_row, show};
use caisson_plugin::violations::Violations;

/// Values that a message lists.
const VALUES_SHOWN_MAX: usize = 8;

/// The values of each column.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Values by column.
    columns: BTreeMap<String, Allowed>,
    /// What a violation does, unless its column says otherwise.
    severity: Option<Severity>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Allowed {
    /// The values that are allowed.
    values: Vec<Literal>,
    /// What a violation does.
    severity: Option<Severity>,
}

/// The configured plugin.
#[derive(Debug)]
pub struct AllowedValues(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    index: usize,
    lookup: Lookup,
    severity: Severity,
    /// As messages say it.
    shown: String,
}

impl Validator for AllowedValues {
    type Config = Config;

    const ABOUT: About = About {
        name: "allowed-values",
        version: env!("CARGO_PKG_VERSION"),
        help: "Every value of a column must be in a list: text, numbers or booleans, compared exactly. Missing \
               values pass. Code: not-allowed.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        if config.columns.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is empty: there is nothing to check",
            ));
        }
        let rules = config.columns.iter().map(|(name, allowed)| {
            let index = Need::ANY.find(input, name)?;
            let data_type = input.field(index).map_or(DataType::Text, |field| field.data_type);
            if allowed.values.is_empty() {
                return Err(Error::invalid_config(format!(
                    "column `{name}`: no value is allowed"
                )));
            }
            Ok(Rule {
                index,
                lookup: Lookup::new(&allowed.values, data_type, &format!("column `{name}`"))?,
                severity: allowed.severity.or(config.severity).unwrap_or(Severity::Reject),
                shown: list(&allowed.values),
            })
        });
        rules.collect::<Result<_, Error>>().map(Self)
    }

    fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error> {
        let mut violations = Violations::new();
        for rule in &self.0 {
            let column = input.at(rule.index)?;
            let found = rule.lookup.find_all(&column);
            violations.check(&column, rule.severity, |element| {
                let absent = found.get(element) == Some(&Lookup::ABSENT);
                absent.then(|| {
                    let place = place_in_row(column.field(), element);
                    let message = format!("{}{place} is not one of {}", show(&column, element), rule.shown);
                    ("not-allowed", message)
                })
            });
        }
        Ok(violations.finish())
    }
}

fn list(values: &[Literal]) -> String {
    let shown: Vec<String> = values
        .iter()
        .take(VALUES_SHOWN_MAX)
        .map(ToString::to_string)
        .collect();
    match values.len().saturating_sub(VALUES_SHOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

caisson_plugin::export!(validator: AllowedValues);

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::{batch, configure, json, schema};

    use super::*;

    #[test]
    fn violations_say_where_what_and_why_in_row_order() {
        let input = batch![
            "city": text = ["Kiel", "kiel", None, "", "Ulm"],
            "n": int64 = [i64::MAX, 1, 2, 3, 0],
            "x": fp32[2] = [0.1, -0.0, 0.1, 0.0, 0.1, f32::NAN, 0.1, 0.0, 0.2, 0.0],
            "b": boolean = [true, true, true, true, false],
        ];
        let config = json!({"columns": {
            "city": {"values": ["Kiel", "Ulm"]},
            "n": {"values": [0, 1, 2, 3, 4, 5, 6, 7, 8, i64::MAX - 1], "severity": "warn"},
            "x": {"values": [0, 0.1]},
            "b": {"values": [true]},
        }});
        let plugin = configure::<AllowedValues>(config, input.schema()).expect("fits");
        let violations = plugin.validate(&input).expect("validates");
        assert!(violations.iter().all(|v| v.code == "not-allowed"));
        let found: Vec<_> = violations
            .iter()
            .map(|v| {
                (
                    v.row.unwrap_or(99),
                    v.column.as_deref().unwrap_or("-"),
                    v.message.as_str(),
                    v.severity,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (
                    0,
                    "n",
                    "9223372036854775807 is not one of 0, 1, 2, 3, 4, 5, 6, 7 and 2 more",
                    Severity::Warn
                ),
                (
                    1,
                    "city",
                    "\"kiel\" is not one of \"Kiel\", \"Ulm\"",
                    Severity::Reject
                ),
                (2, "x", "NaN at [1] is not one of 0, 0.1", Severity::Reject),
                (
                    3,
                    "city",
                    "\"\" is not one of \"Kiel\", \"Ulm\"",
                    Severity::Reject
                ),
                (4, "b", "false is not one of true", Severity::Reject),
                (4, "x", "0.2 at [0] is not one of 0, 0.1", Severity::Reject),
            ]
        );
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        let long = "é".repeat(10_000);
        let input = batch!["s": text = [long.as_str()]];
        let config = json!({"columns": {"s": {"values": ["a"]}}});
        let plugin = configure::<AllowedValues>(config, input.schema()).expect("fits");
        let violations = plugin.validate(&input).expect("validates");
        assert!(violations[0].message.len() < 200, "{}", violations[0].message);
    }

    #[test]
    fn empty_batches_and_batches_of_gaps_pass() {
        let gaps = batch!["x": text = [None, None]];
        let plugin = configure::<AllowedValues>(json!({"columns": {"x": {"values": ["a"]}}}), gaps.schema());
        let plugin = plugin.expect("fits");
        assert!(plugin.validate(&gaps).expect("validates").is_empty());
        assert!(
            plugin
                .validate(&Batch::empty(gaps.schema().clone()))
                .expect("validates")
                .is_empty()
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_at_configure() {
        let schema = schema!["s": text, "n": uint8];
        let refused = |columns| {
            configure::<AllowedValues>(json!({"columns": columns}), &schema)
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(json!({})).contains("nothing to check"));
        assert!(refused(json!({"y": {"values": [1]}})).contains("there is no column `y`"));
        assert!(refused(json!({"s": {"values": []}})).contains("no value is allowed"));
        assert!(refused(json!({"s": {"values": [1]}})).contains("column `s`: 1 is no value of type text"));
        assert!(
            refused(json!({"n": {"values": [256]}})).contains("column `n`: 256 is no value of type uint8")
        );
        assert!(refused(json!({"s": {"values": ["a", "a"]}})).contains("listed twice"));
    }

    #[test]
    fn the_readme_example_works() {
        reference_cases::readme_example::<AllowedValues>();
    }
}
