//! Which columns a plugin works on: the config idiom `columns: ["a", "b"]`, absent for all that
//! suit.

use caisson_data::{DataType, Field, Schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Column names in one error message; a schema has up to 16,384 of them.
const NAMES_LISTED_MAX: usize = 20;

/// What a column must be, in words and as a test.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    what: &'static str,
    suits: fn(&Field) -> bool,
}

impl Need {
    /// A scalar of any numeric type; not boolean.
    pub const NUMBER: Self = Self::new("a scalar number", |f| {
        f.is_scalar() && !matches!(f.data_type, DataType::Boolean | DataType::Text | DataType::Bytes)
    });
    /// A scalar `fp32` or `fp64`.
    pub const FLOAT: Self = Self::new("a scalar fp32 or fp64", |f| {
        f.is_scalar() && matches!(f.data_type, DataType::Fp32 | DataType::Fp64)
    });
    /// A scalar text.
    pub const TEXT: Self = Self::new("a scalar text", |f| {
        f.is_scalar() && f.data_type == DataType::Text
    });
    /// Any column.
    pub const ANY: Self = Self::new("a column", |_| true);

    /// Another need. `what` reads as in "column `city: text` is not *a scalar number*".
    pub const fn new(what: &'static str, suits: fn(&Field) -> bool) -> Self {
        Self { what, suits }
    }

    /// Does this column suit?
    pub fn suits(&self, field: &Field) -> bool {
        (self.suits)(field)
    }

    /// The position of the column of this name.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaMismatch`] for a name that isn't there (the columns are listed) and for a
    /// column that doesn't suit.
    pub fn find(&self, schema: &Schema, name: &str) -> Result<usize, Error> {
        let Some((index, field)) = schema.index_of(name).and_then(|i| Some((i, schema.field(i)?))) else {
            return Err(Error::SchemaMismatch(format!(
                "there is no column `{name}`; the columns are {}",
                list_names(schema)
            )));
        };
        if !self.suits(field) {
            return Err(Error::SchemaMismatch(format!(
                "column `{field}` is not {}",
                self.what
            )));
        }
        Ok(index)
    }
}

fn list_names(schema: &Schema) -> String {
    let names: Vec<_> = schema
        .fields()
        .iter()
        .take(NAMES_LISTED_MAX)
        .map(|f| format!("`{}`", f.name))
        .collect();
    match schema.len().saturating_sub(NAMES_LISTED_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// A config's choice of columns: a list of names, or absent for every column that suits.
///
/// ```
/// # use caisson_plugin::prelude::*;
/// # use caisson_plugin::testing::schema;
/// #[derive(Deserialize, JsonSchema)]
/// struct Config {
///     /// Columns to clip; all numbers where absent.
///     #[serde(default)]
///     columns: Columns,
/// }
///
/// let schema = schema!["city": text, "age": fp32, "visits": int64];
/// let all: Config = serde_json::from_str("{}")?;
/// assert_eq!(all.columns.resolve(&schema, Need::NUMBER)?, [1, 2]);
/// let one: Config = serde_json::from_str(r#"{"columns": ["visits"]}"#)?;
/// assert_eq!(one.columns.resolve(&schema, Need::NUMBER)?, [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, description = "")]
pub struct Columns(Option<Vec<String>>);

impl Columns {
    /// These columns and no others.
    pub fn named(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Some(names.into_iter().map(Into::into).collect()))
    }

    /// The names that the config gives; `None` for all that suit.
    pub fn names(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// Positions of the chosen columns: in the config's order, or in the schema's where the config
    /// names none.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaMismatch`] for a name that isn't there, a column that doesn't suit, and a
    /// schema in which none suits; [`Error::InvalidConfig`] for an empty list and a name given
    /// twice.
    pub fn resolve(&self, schema: &Schema, need: Need) -> Result<Vec<usize>, Error> {
        let Some(names) = &self.0 else {
            let all: Vec<_> = schema
                .fields()
                .iter()
                .enumerate()
                .filter(|(_, f)| need.suits(f))
                .map(|(i, _)| i)
                .collect();
            if all.is_empty() {
                return Err(Error::SchemaMismatch(format!(
                    "no column of {schema} is {}",
                    need.what
                )));
            }
            return Ok(all);
        };
        if names.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is an empty list; leave it out for all columns that suit",
            ));
        }
        let mut chosen = Vec::with_capacity(names.len());
        for name in names {
            let index = need.find(schema, name)?;
            if chosen.contains(&index) {
                return Err(Error::InvalidConfig(format!("`columns` names `{name}` twice")));
            }
            chosen.push(index);
        }
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::schema;

    #[test]
    fn errors_name_column_and_schema() {
        let schema = schema!["city": text, "age": fp32, "photo": fp32[2, 2]];
        let resolve = |c: Columns| c.resolve(&schema, Need::NUMBER).unwrap_err().to_string();
        let unknown = resolve(Columns::named(["aeg"]));
        assert!(
            unknown.contains("no column `aeg`; the columns are `city`, `age`, `photo`"),
            "{unknown}"
        );
        let unsuited = resolve(Columns::named(["city"]));
        assert!(
            unsuited.contains("`city: text` is not a scalar number"),
            "{unsuited}"
        );
        assert!(resolve(Columns::named(["age", "age"])).contains("twice"));
        assert!(resolve(Columns::named([""; 0])).contains("empty list"));
        let none = Columns::default().resolve(&schema!["city": text], Need::NUMBER);
        assert!(
            none.unwrap_err()
                .to_string()
                .contains("no column of (city: text)")
        );
    }

    #[test]
    fn long_schemas_are_listed_in_part() {
        let fields = (0..50).map(|i| Field::new(format!("f{i}"), DataType::Fp32));
        let schema = Schema::new(fields.collect()).unwrap();
        let error = Need::ANY.find(&schema, "x").unwrap_err().to_string();
        assert!(error.ends_with("`f19` and 30 more"), "{error}");
    }
}
