//! `schema`: checks the columns of a deployment, and missing values of its rows.
//!
//! At deploy time the input must have every field of the config, with its type and shape, and no
//! other column unless `unknown_columns: allow`; with `ordered: true` also in that order. All
//! differences are reported at once, and the deployment is refused.
//!
//! A field that isn't `nullable` must have a value in every row. Where the input itself allows
//! missing values, rows are checked when they come and each gap is a violation (`nullability: rows`,
//! the default), or the deployment is refused (`nullability: declared`).
//!
//! Code: `missing-value`.

use std::fmt::Write as _;

use caisson_plugin::prelude::*;
use caisson_plugin::violations::Violations;

/// Differences in one message.
const DIFFERENCES_SHOWN_MAX: usize = 20;

/// The columns that there must be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The fields.
    fields: Vec<FieldOf>,
    /// Other columns of the input.
    #[serde(default)]
    unknown_columns: UnknownColumns,
    /// Must the columns stand in the order of `fields`?
    #[serde(default)]
    ordered: bool,
    /// How a field that isn't nullable is checked where the input allows missing values.
    #[serde(default)]
    nullability: Nullability,
    /// What a missing value does.
    severity: Option<Severity>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FieldOf {
    /// Name of the column.
    name: String,
    /// Its type.
    #[schemars(with = "TypeName")]
    r#type: DataType,
    /// Shape of one row's value; empty or absent for a scalar.
    #[serde(default)]
    shape: Vec<u32>,
    /// May a row lack the value?
    #[serde(default)]
    nullable: bool,
}

/// The type names, for the config's JSON Schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "names for the JSON Schema; values are read as DataType")]
enum TypeName {
    Boolean,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Text,
    Bytes,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum UnknownColumns {
    /// The deployment is refused.
    #[default]
    Reject,
    /// They are good.
    Allow,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Nullability {
    /// Row by row.
    #[default]
    Rows,
    /// The input must not allow missing values.
    Declared,
}

/// The configured plugin.
#[derive(Debug)]
pub struct SchemaCheck {
    /// Columns of which every row must have a value, though the input allows gaps.
    checked: Vec<usize>,
    severity: Severity,
}

impl Validator for SchemaCheck {
    type Config = Config;

    const ABOUT: About = About {
        name: "schema",
        version: env!("CARGO_PKG_VERSION"),
        help: "The input must have exactly the given columns, types and shapes (checked when it is deployed), and \
               a value in every row of the columns that aren't nullable (checked for each row; code \
               missing-value). `unknown_columns: allow` admits others.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        let expected = config.fields.iter().map(FieldOf::field).collect();
        let expected = Schema::new(expected).map_err(|e| Error::invalid_config(format!("`fields`: {e}")))?;
        let differences = differences(&config, &expected, input);
        if !differences.is_empty() {
            return Err(Error::schema_mismatch(list(&differences)));
        }
        let checked = expected.fields().iter().filter(|field| !field.nullable);
        let checked = checked.filter_map(|field| input.index_of(&field.name));
        let checked = checked.filter(|&index| input.field(index).is_some_and(|field| field.nullable));
        Ok(Self {
            checked: checked.collect(),
            severity: config.severity.unwrap_or(Severity::Reject),
        })
    }

    fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error> {
        let mut violations = Violations::new();
        for &index in &self.checked {
            violations.next_rule();
            let column = input.at(index)?;
            if column.validity().bits().is_none() {
                continue;
            }
            for row in (0..column.rows()).filter(|&row| column.is_missing(row)) {
                if violations.is_full() {
                    break;
                }
                let message = "the value is missing, and every row must have one";
                let violation = Violation::new("missing-value", message).at(row, &column.field().name);
                violations.push(violation.with_severity(self.severity));
            }
        }
        Ok(violations.finish())
    }
}

impl FieldOf {
    fn field(&self) -> Field {
        let field = Field::new(&self.name, self.r#type).with_shape(self.shape.clone());
        if self.nullable { field.nullable() } else { field }
    }
}

/// What keeps the input from being as expected, each in words.
fn differences(config: &Config, expected: &Schema, input: &Schema) -> Vec<String> {
    let mut differences = Vec::new();
    let mut previous = None;
    for field in expected.fields() {
        let found = input.index_of(&field.name);
        let Some((index, input)) = found.and_then(|index| Some((index, input.field(index)?))) else {
            differences.push(format!("column `{field}` is missing"));
            continue;
        };
        if input.data_type != field.data_type || input.shape != field.shape {
            differences.push(format!("column `{input}` must be `{field}`"));
        } else if config.nullability == Nullability::Declared && input.nullable && !field.nullable {
            differences.push(format!("column `{input}` must not be nullable"));
        }
        if config.ordered && previous.is_some_and(|previous| previous > index) {
            differences.push(format!("column `{}` stands too early", field.name));
        }
        previous = Some(index);
    }
    if config.unknown_columns == UnknownColumns::Reject {
        let unknown = input
            .fields()
            .iter()
            .filter(|field| expected.get(&field.name).is_none());
        differences.extend(unknown.map(|field| format!("column `{field}` is unknown")));
    }
    differences
}

fn list(differences: &[String]) -> String {
    let shown = differences.get(..DIFFERENCES_SHOWN_MAX).unwrap_or(differences);
    let mut text = shown.join("; ");
    if differences.len() > shown.len() {
        // Writing to a string can't fail.
        let _ = write!(text, "; and {} more", differences.len() - shown.len());
    }
    text
}

caisson_plugin::export!(validator: SchemaCheck);

#[cfg(test)]
mod tests {
    use caisson_plugin::serde_json::Value;
    use caisson_plugin::testing::{batch, config_schema, configure, json, schema};

    use super::*;

    fn fields() -> Value {
        json!([
            {"name": "age", "type": "fp32"},
            {"name": "city", "type": "text", "nullable": true},
            {"name": "image", "type": "uint8", "shape": [2, 2]},
        ])
    }

    #[test]
    fn rows_with_gaps_are_named_in_row_order() {
        let input = batch![
            "age": fp32 = [1.0, None, f32::NAN],
            "city": text = ["a", None, None],
            "image": uint8[2, 2] = [0, 0, 0, 0, None, None, None, None, 0, 0, 0, 0],
        ];
        let plugin = configure::<SchemaCheck>(json!({"fields": fields()}), input.schema()).expect("fits");
        let message = "the value is missing, and every row must have one";
        let expected = ["age", "image"].map(|column| Violation::new("missing-value", message).at(1, column));
        assert_eq!(plugin.validate(&input).expect("validates"), expected);
        let warn = json!({"fields": fields(), "severity": "warn"});
        let plugin = configure::<SchemaCheck>(warn, input.schema()).expect("fits");
        assert!(
            plugin
                .validate(&input)
                .expect("validates")
                .iter()
                .all(|v| v.severity == Severity::Warn)
        );
        assert!(
            plugin
                .validate(&Batch::empty(input.schema().clone()))
                .expect("validates")
                .is_empty()
        );
    }

    #[test]
    fn every_difference_is_told_at_deploy_time() {
        let input = schema!["image": uint8[4], "age": fp64?, "extra": bytes];
        let refused = |config| {
            configure::<SchemaCheck>(config, &input)
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(
            refused(json!({"fields": fields()})),
            "the schema doesn't suit: column `age: fp64?` must be `age: fp32`; column `city: text?` is missing; \
             column `image: uint8[4]` must be `image: uint8[2, 2]`; column `extra: bytes` is unknown"
        );
        let age = json!([{"name": "age", "type": "fp64"}]);
        assert!(refused(json!({"fields": age})).contains("`image: uint8[4]` is unknown"));
        let declared = json!({"fields": age, "unknown_columns": "allow", "nullability": "declared"});
        assert!(refused(declared).contains("column `age: fp64?` must not be nullable"));
        assert!(configure::<SchemaCheck>(json!({"fields": age, "unknown_columns": "allow"}), &input).is_ok());
        let turned =
            json!([{"name": "age", "type": "fp64"}, {"name": "image", "type": "uint8", "shape": [4]}]);
        let ordered = json!({"fields": turned, "unknown_columns": "allow", "ordered": true});
        assert!(refused(ordered).contains("column `image` stands too early"));
        let twice = json!([{"name": "age", "type": "fp64"}, {"name": "age", "type": "fp64"}]);
        assert!(refused(json!({"fields": twice})).contains("two fields are named `age`"));
        assert!(refused(json!({"fields": [{"name": "age", "type": "float"}]})).contains("float"));
    }

    #[test]
    fn many_differences_are_told_in_part() {
        let fields: Vec<Value> = (0..50)
            .map(|i| json!({"name": format!("f{i}"), "type": "text"}))
            .collect();
        let error = configure::<SchemaCheck>(json!({"fields": fields}), &schema![]).expect_err("refused");
        assert!(
            error
                .to_string()
                .ends_with("column `f19: text` is missing; and 30 more"),
            "{error}"
        );
    }

    #[test]
    fn the_config_schema_names_the_types_that_are_read() {
        let schema = config_schema::<SchemaCheck>();
        let names: Vec<&str> = DataType::ALL.iter().map(|t| t.name()).collect();
        assert_eq!(schema["$defs"]["TypeName"]["enum"], json!(names));
    }

    #[test]
    fn the_readme_example_works() {
        reference_cases::readme_example::<SchemaCheck>();
    }
}
