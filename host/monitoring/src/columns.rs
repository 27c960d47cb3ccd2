//! Which columns of a schema are gathered, and a row's values as the sketches take them.

use caisson_data::{Batch, Column, DataType, Schema};
use caisson_quality::accumulator::Accumulator as _;
use caisson_quality::summary::{Cell, Kind, Summary};
use serde::{Deserialize, Serialize};

/// Columns of one side that are gathered, as many as the drift checks take; others are left out and counted.
pub const COLUMNS_MAX: usize = 256;
/// Elements of a column with a shape that are columns of their own: probabilities of classes are, images
/// aren't.
const ELEMENTS_MAX: usize = 16;

/// The columns of a schema that are gathered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    names: Vec<String>,
    kinds: Vec<Kind>,
    places: Vec<Place>,
    left_out: usize,
}

/// Element `element` of each row of field `field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    field: usize,
    element: usize,
    width: usize,
}

impl Columns {
    /// Those of a schema: text, booleans and what `categorical` names are categories, other numbers are
    /// numbers; elements of short shapes are columns of their own. What `private` names, bytes, and longer shapes
    /// are left out.
    pub fn of(schema: &Schema, categorical: &[String], private: &[String]) -> Self {
        let mut columns = Self {
            names: Vec::new(),
            kinds: Vec::new(),
            places: Vec::new(),
            left_out: 0,
        };
        for (field, named) in schema.fields().iter().enumerate() {
            let width = named.row_elements();
            let kind = match named.data_type {
                DataType::Text | DataType::Boolean => Kind::Category,
                _ if categorical.contains(&named.name) => Kind::Category,
                _ => Kind::Number,
            };
            let fits = (1..=ELEMENTS_MAX).contains(&width) && columns.names.len() + width <= COLUMNS_MAX;
            if !fits || named.data_type == DataType::Bytes || private.contains(&named.name) {
                columns.left_out += 1;
                continue;
            }
            for element in 0..width {
                columns
                    .names
                    .push(element_name(&named.name, &named.shape, element));
                columns.kinds.push(kind);
                columns.places.push(Place {
                    field,
                    element,
                    width,
                });
            }
        }
        columns
    }

    /// Their names, in order; an element of a shape as `probabilities[1]` or `grid[0, 2]`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Columns of the schema that aren't gathered.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// About how many bytes their sketches take: 8 KB a number, 20 KB a category with names of 32 bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let of = |kind: &Kind| match kind {
            Kind::Number => 8 << 10,
            Kind::Category => 20 << 10,
        };
        self.kinds.iter().map(of).sum()
    }

    /// Sketches of them without a row.
    pub fn empty(&self) -> Summary {
        Summary::of(&self.kinds)
    }

    /// Sketches of a batch of the schema.
    pub fn summarize(&self, batch: &Batch) -> Summary {
        let (mut summary, view) = (self.empty(), self.view(batch));
        let mut cells = Vec::with_capacity(self.names.len());
        for row in 0..batch.rows() {
            view.cells(row, &mut cells);
            summary.add(&cells);
        }
        summary
    }

    /// A batch of the schema, to be read row by row.
    pub(crate) fn view<'b>(&self, batch: &'b Batch) -> View<'b> {
        let column = |place: &Place| batch.column(place.field).map(|column| (column, *place));
        View(self.places.iter().map(column).collect())
    }
}

/// A batch, to be read row by row.
pub(crate) struct View<'b>(Vec<Option<(Column<'b>, Place)>>);

impl<'b> View<'b> {
    /// A row's values, in the order of the columns.
    pub(crate) fn cells(&self, row: usize, cells: &mut Vec<Cell<'b>>) {
        cells.clear();
        cells.extend(self.0.iter().map(|place| match place {
            Some((column, place)) => cell(column, row * place.width + place.element, row),
            None => Cell::Missing,
        }));
    }
}

pub(crate) fn cell<'b>(column: &Column<'b>, index: usize, row: usize) -> Cell<'b> {
    match column.field().data_type {
        _ if !column.validity().is_present(row) => Cell::Missing,
        DataType::Text => column.text(index).map_or(Cell::Missing, Cell::Text),
        DataType::Boolean => column
            .to_f64(index)
            .map_or(Cell::Missing, |value| Cell::Bool(value != 0.0)),
        _ => column.to_f64(index).map_or(Cell::Missing, Cell::Number),
    }
}

fn element_name(name: &str, shape: &[u32], element: usize) -> String {
    if shape.is_empty() {
        return name.to_owned();
    }
    let mut left = element;
    let mut indices: Vec<String> = shape
        .iter()
        .rev()
        .map(|&size| {
            let size = (size as usize).max(1);
            let index = left % size;
            left /= size;
            index.to_string()
        })
        .collect();
    indices.reverse();
    format!("{name}[{}]", indices.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_data::Field;

    #[test]
    fn shapes_are_columns_of_their_own_and_long_ones_are_left_out() {
        let schema = Schema::new(vec![
            Field::new("x", DataType::Fp32),
            Field::new("grid", DataType::Fp32).with_shape([2, 3]),
            Field::new("image", DataType::Uint8).with_shape([3, 224, 224]),
            Field::new("raw", DataType::Bytes),
            Field::new("secret", DataType::Text),
            Field::new("shop", DataType::Int64),
        ])
        .unwrap();
        let columns = Columns::of(&schema, &["shop".to_owned()], &["secret".to_owned()]);
        assert_eq!(columns.names()[..3], ["x", "grid[0, 0]", "grid[0, 1]"]);
        assert_eq!(columns.names()[6..], ["grid[1, 2]", "shop"]);
        assert_eq!(columns.kinds.last(), Some(&Kind::Category));
        assert_eq!(columns.left_out(), 3);
    }
}
