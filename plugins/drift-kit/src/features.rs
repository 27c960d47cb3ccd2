//! Which columns are checked, and their values one by one.
//!
//! A scalar column is one feature; a column with a small shape is one for each element of a row,
//! named `name[0]`, `name[1, 2]`, so that a model whose input is one tensor is watched as closely as
//! one whose inputs have names.

use std::collections::BTreeSet;

use caisson_plugin::{Batch, Column, ColumnExt, Columns, DataType, Element, Error, Field, Need, Schema};

/// Features of one check: a report is read by people, and a sketch of 80 KB each stays at 20 MB.
pub const FEATURES_MAX: usize = 256;
/// Elements of a column with a shape that are checked one by one. Larger ones are images and
/// embeddings, whose single elements mean nothing.
pub const ELEMENTS_MAX: usize = 64;

/// How a feature's values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By order and distance.
    Number,
    /// As the same or not.
    Category,
}

/// One thing to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// The column's name, with the element's position where the column has a shape.
    pub name: String,
    /// The column's name.
    pub column: String,
    /// How its values compare.
    pub kind: Kind,
    /// Position of the column in the schema.
    index: usize,
}

/// One value of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// The row has none.
    Missing,
    /// A number, perhaps NaN or infinite.
    Number(f64),
    /// A category that is a whole number; 64 bits and more keep every bit.
    Integer(i128),
    /// A category.
    Text(&'a str),
}

/// Numbers of any width.
pub const NUMBERS: Need = Need::new("a number (or at most 64 of them a row)", |field| {
    is_number(field.data_type) && is_small(field)
});

/// Text, booleans and integers.
pub const CATEGORIES: Need = Need::new(
    "text, boolean or integer (or at most 64 of them a row)",
    |field| is_category(field.data_type) && is_small(field),
);

/// Everything but bytes.
pub const COMPARABLE: Need = Need::new(
    "a number, text or boolean (or at most 64 of them a row)",
    |field| (is_number(field.data_type) || is_category(field.data_type)) && is_small(field),
);

fn is_number(data_type: DataType) -> bool {
    !matches!(data_type, DataType::Boolean | DataType::Text | DataType::Bytes)
}

fn is_category(data_type: DataType) -> bool {
    !data_type.is_float() && data_type != DataType::Bytes
}

fn is_small(field: &Field) -> bool {
    (1..=ELEMENTS_MAX).contains(&field.row_elements())
}

/// Which of the columns that are [`COMPARABLE`] compare as categories: text and booleans always,
/// integers where the config names them.
///
/// # Errors
///
/// [`Error::SchemaMismatch`] for a name that isn't there or can't be a category.
pub fn kinds(input: &Schema, categorical: &[String]) -> Result<impl Fn(&Field) -> Kind, Error> {
    let mut named = BTreeSet::new();
    for name in categorical {
        CATEGORIES.find(input, name)?;
        named.insert(name.clone());
    }
    Ok(move |field: &Field| {
        if !is_number(field.data_type) || named.contains(&field.name) {
            Kind::Category
        } else {
            Kind::Number
        }
    })
}

/// The features of the columns that a config names, or of all that suit.
///
/// # Errors
///
/// [`Error::SchemaMismatch`] for a named column that isn't there or doesn't suit, and where no
/// column suits; [`Error::InvalidConfig`] for a column named twice and for too many features.
pub fn select(
    input: &Schema,
    columns: &Columns,
    need: Need,
    kind_of: impl Fn(&Field) -> Kind,
) -> Result<Vec<Feature>, Error> {
    let mut features = Vec::new();
    for index in columns.resolve(input, need)? {
        let Some(field) = input.field(index) else {
            continue;
        };
        let kind = kind_of(field);
        features.extend((0..field.row_elements()).map(|element| Feature {
            name: name_of(field, element),
            column: field.name.clone(),
            kind,
            index,
        }));
        if features.len() > FEATURES_MAX {
            return Err(Error::invalid_config(format!(
                "more than {FEATURES_MAX} features would be checked; name those that matter in `columns`"
            )));
        }
    }
    Ok(features)
}

/// `price`, `embedding[3]`, `image[0, 2]`.
fn name_of(field: &Field, element: usize) -> String {
    if field.is_scalar() {
        return field.name.clone();
    }
    let mut rest = element;
    let mut position: Vec<String> = Vec::new();
    for &dimension in field.shape.iter().rev() {
        let dimension = (dimension as usize).max(1);
        position.push((rest % dimension).to_string());
        rest /= dimension;
    }
    position.reverse();
    format!("{}[{}]", field.name, position.join(", "))
}

/// Hand out every value of every feature, each feature's in row order, with the feature's position
/// in the list.
///
/// # Errors
///
/// [`Error::Internal`] where the batch isn't of the schema that the features were selected from.
pub fn for_each_cell<'a>(
    batch: &'a Batch,
    features: &[Feature],
    mut take: impl FnMut(usize, Cell<'a>),
) -> Result<(), Error> {
    let mut first = 0;
    // The elements of one column are neighbours: one pass over the column serves them all.
    for group in features.chunk_by(|a, b| a.index == b.index) {
        let column = group
            .first()
            .and_then(|feature| batch.column(feature.index))
            .filter(|column| group.len() == column.field().row_elements())
            .ok_or_else(|| Error::internal("the batch is not of the schema that was configured"))?;
        let kind = group.first().map_or(Kind::Number, |feature| feature.kind);
        let mut at = 0;
        let mut next = |cell: Cell<'a>| {
            take(first + at, cell);
            at = if at + 1 == group.len() { 0 } else { at + 1 };
        };
        match kind {
            Kind::Number => column
                .numbers()?
                .for_each(|number| next(number.map_or(Cell::Missing, Cell::Number))),
            Kind::Category => for_each_category(column, &mut next)?,
        }
        first += group.len();
    }
    Ok(())
}

fn for_each_category<'a>(column: Column<'a>, next: &mut impl FnMut(Cell<'a>)) -> Result<(), Error> {
    fn integers<'a, T: Element + Into<i128>>(
        column: Column<'a>,
        next: &mut impl FnMut(Cell<'a>),
    ) -> Result<(), Error> {
        column
            .options::<T>()?
            .for_each(|value| next(value.map_or(Cell::Missing, |v| Cell::Integer(v.into()))));
        Ok(())
    }
    match column.field().data_type {
        DataType::Boolean => column.bools()?.for_each(|value| {
            next(match value {
                None => Cell::Missing,
                Some(true) => Cell::Text("true"),
                Some(false) => Cell::Text("false"),
            });
        }),
        DataType::Uint8 => integers::<u8>(column, next)?,
        DataType::Uint16 => integers::<u16>(column, next)?,
        DataType::Uint32 => integers::<u32>(column, next)?,
        DataType::Uint64 => integers::<u64>(column, next)?,
        DataType::Int8 => integers::<i8>(column, next)?,
        DataType::Int16 => integers::<i16>(column, next)?,
        DataType::Int32 => integers::<i32>(column, next)?,
        DataType::Int64 => integers::<i64>(column, next)?,
        _ => column
            .texts()?
            .for_each(|value| next(value.map_or(Cell::Missing, Cell::Text))),
    }
    Ok(())
}
