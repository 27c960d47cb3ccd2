//! `unique`: checks that no two rows of a batch have the same key.
//!
//! A key is the value of one column or of several together. The first row of a key is good, every
//! later one a violation that names the first, as `pandas.DataFrame.duplicated(keep="first")` marks
//! them. Floats are equal as numbers are: −0 is 0, and NaN is NaN. Text is compared byte by byte, a
//! column with a shape element by element.
//!
//! A row in which a part of the key is missing has no key and passes, as in SQL, or with
//! `missing: equal` two missing values are the same.
//!
//! Only the rows of one call are compared: the host may split a job into several.
//!
//! Code: `duplicate`.

use caisson_plugin::literal::number_keys;
use caisson_plugin::prelude::*;
use caisson_plugin::show::show;
use caisson_plugin::violations::Violations;

/// The key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The columns that make the key.
    columns: Vec<String>,
    /// What a row does that lacks a part of the key.
    #[serde(default)]
    missing: Missing,
    /// What a violation does.
    severity: Option<Severity>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Missing {
    /// It passes.
    #[default]
    Ignore,
    /// Missing values are equal to each other.
    Equal,
}

/// The configured plugin.
#[derive(Debug)]
pub struct Unique {
    columns: Vec<usize>,
    missing: Missing,
    severity: Severity,
}

impl Validator for Unique {
    type Config = Config;

    const ABOUT: About = About {
        name: "unique",
        version: env!("CARGO_PKG_VERSION"),
        help: "No two rows of a batch may have the same values in the given columns; every row after the first \
               with a key is a violation that names the first. Rows that lack a part of the key pass, unless \
               `missing: equal`. Code: duplicate.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        Ok(Self {
            columns: Columns::named(config.columns).resolve(input, Need::ANY)?,
            missing: config.missing,
            severity: config.severity.unwrap_or(Severity::Reject),
        })
    }

    fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error> {
        let columns = self
            .columns
            .iter()
            .map(|&index| input.at(index))
            .collect::<Result<Vec<_>, Error>>()?;
        let keys = Keys::new(&columns, input.rows());
        let has_key = |row: &u32| {
            self.missing == Missing::Equal || columns.iter().all(|column| !column.is_missing(*row as usize))
        };
        // Sorted, not hashed: no request can make this slow. Rows of one key stay in their order.
        let mut rows: Vec<u32> = (0..input.rows() as u32).filter(has_key).collect();
        rows.sort_by(|a, b| keys.of(*a).cmp(keys.of(*b)));
        let mut repeated: Vec<(u32, u32)> = Vec::new();
        for group in rows.chunk_by(|a, b| keys.of(*a) == keys.of(*b)) {
            if let [first, later @ ..] = group {
                repeated.extend(later.iter().map(|row| (*row, *first)));
            }
        }
        repeated.sort_unstable();

        let mut violations = Violations::new();
        for (row, first) in repeated {
            if violations.is_full() {
                break;
            }
            let found: Vec<String> = columns
                .iter()
                .map(|column| describe(column, row as usize))
                .collect();
            let message = format!("{} stands in row {first} already", found.join(", "));
            let violation = Violation::new("duplicate", message)
                .in_row(row as usize)
                .with_severity(self.severity);
            violations.push(match columns.as_slice() {
                [column] => violation.in_column(&column.field().name),
                _ => violation,
            });
        }
        Ok(violations.finish())
    }
}

/// A row's part of the key, for a message.
fn describe(column: &Column<'_>, row: usize) -> String {
    let field = column.field();
    if column.is_missing(row) {
        format!("`{}` missing", field.name)
    } else if field.is_scalar() {
        format!("`{}` {}", field.name, show(column, row))
    } else {
        format!("the value of `{}`", field.name)
    }
}

/// Every row's key as bytes that are equal where the keys are.
#[derive(Debug)]
struct Keys {
    bytes: Vec<u8>,
    /// One more than there are rows.
    ends: Vec<usize>,
}

impl Keys {
    fn new(columns: &[Column<'_>], rows: usize) -> Self {
        let numbers: Vec<Vec<u64>> = columns
            .iter()
            .map(|column| {
                let (values, range) = column.block_range();
                number_keys(values, range)
            })
            .collect();
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(rows + 1));
        ends.push(0);
        for row in 0..rows {
            for (column, numbers) in columns.iter().zip(&numbers) {
                let present = !column.is_missing(row);
                bytes.push(u8::from(present));
                let width = column.field().row_elements();
                for element in (row * width..(row + 1) * width).filter(|_| present) {
                    match numbers.get(element) {
                        Some(number) => bytes.extend(number.to_le_bytes()),
                        None => {
                            // The length first, so that ("a", "bc") isn't ("ab", "c").
                            let text = column.bytes(element).unwrap_or_default();
                            bytes.extend((text.len() as u64).to_le_bytes());
                            bytes.extend(text);
                        }
                    }
                }
            }
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    fn of(&self, row: u32) -> &[u8] {
        let row = row as usize;
        let ends = (self.ends.get(row), self.ends.get(row + 1));
        match ends {
            (Some(&start), Some(&end)) => self.bytes.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }
}

caisson_plugin::export!(validator: Unique);

#[cfg(test)]
mod tests {
    use caisson_plugin::serde_json::Value;
    use caisson_plugin::testing::{batch, configure, json, schema};

    use super::*;

    fn check(input: &Batch, config: Value) -> Vec<Violation> {
        configure::<Unique>(config, input.schema())
            .expect("fits")
            .validate(input)
            .expect("validates")
    }

    #[test]
    fn pandas_marks_the_same_rows() {
        reference_cases::check_validator::<Unique>(include_str!("../../reference/unique.json"));
    }

    #[test]
    fn violations_name_the_first_row_of_the_key() {
        let input = batch!["id": int64 = [7, 8, 7, 7], "city": text = ["a", "a", "b", "a"]];
        let found = check(&input, json!({"columns": ["id"]}));
        assert_eq!(
            found,
            [
                Violation::new("duplicate", "`id` 7 stands in row 0 already").at(2, "id"),
                Violation::new("duplicate", "`id` 7 stands in row 0 already").at(3, "id"),
            ]
        );
        let found = check(&input, json!({"columns": ["city", "id"], "severity": "warn"}));
        let expected = Violation::new("duplicate", "`city` \"a\", `id` 7 stands in row 0 already").in_row(3);
        assert_eq!(found, [expected.with_severity(Severity::Warn)]);
    }

    #[test]
    fn missing_parts_pass_or_are_equal() {
        let input = batch!["a": int8 = [1, None, 1, None, 0], "b": text = ["x", "x", None, "x", "x"]];
        let rows = |config| {
            check(&input, config)
                .iter()
                .filter_map(|v| v.row)
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(json!({"columns": ["a", "b"]})), [0; 0]);
        assert_eq!(rows(json!({"columns": ["a", "b"], "missing": "equal"})), [3]);
        assert_eq!(rows(json!({"columns": ["a"]})), [2]);
        assert_eq!(rows(json!({"columns": ["a"], "missing": "equal"})), [2, 3]);
        let all = batch!["a": fp32 = [None, None]];
        assert!(check(&all, json!({"columns": ["a"]})).is_empty());
        assert!(check(&Batch::empty(all.schema().clone()), json!({"columns": ["a"]})).is_empty());
    }

    #[test]
    fn keys_do_not_run_into_each_other() {
        let input =
            batch!["a": text = ["a", "ab"], "b": text = ["bc", "c"], "t": fp32[2] = [0.0, 1.0, 0.0, 2.0]];
        assert!(check(&input, json!({"columns": ["a", "b"]})).is_empty());
        assert!(check(&input, json!({"columns": ["t"]})).is_empty());
        let same = batch!["t": fp32[2] = [0.0, 1.0, -0.0, 1.0]];
        assert_eq!(
            check(&same, json!({"columns": ["t"]}))[0].message,
            "the value of `t` stands in row 0 already"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_at_configure() {
        let schema = schema!["a": text];
        let refused = |config| {
            configure::<Unique>(config, &schema)
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(json!({"columns": []})).contains("empty list"));
        assert!(refused(json!({"columns": ["b"]})).contains("there is no column `b`"));
        assert!(refused(json!({"columns": ["a", "a"]})).contains("twice"));
    }

    #[test]
    fn the_readme_example_works() {
        reference_cases::readme_example::<Unique>();
    }
}
