//! Scalar columns into rows.
//!
//! Scalar columns of one type share a block, column after column; a model wants row after row. For one
//! row the two are the same memory if the columns are neighbours, else it is a transposition.

use std::ops::Range;

use caisson_data::{Batch, DataType, Slot, Values, VarLen};

use crate::tensor::{InputValues, ValuesRef, join};

/// Columns that are written at a time, as many as there are registers for: 64 × 64 elements of four
/// bytes take 1.2 µs, and 1.5 by eights.
const TILE: usize = 4;

/// Which columns of which block make an input.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    block: usize,
    columns: Vec<usize>,
    /// First of them, if each is the neighbour of the one before.
    neighbours_from: Option<usize>,
}

impl Packed {
    /// `None` if there is no column, or if the columns are not of one block (then they were not of one
    /// type).
    pub(super) fn new(slots: &[Slot]) -> Option<Self> {
        let first = slots.first()?;
        if slots.iter().any(|slot| slot.block != first.block) {
            return None;
        }
        let neighbours = slots
            .iter()
            .enumerate()
            .all(|(i, slot)| slot.column == first.column + i);
        Some(Self {
            block: first.block,
            columns: slots.iter().map(|slot| slot.column).collect(),
            neighbours_from: neighbours.then_some(first.column),
        })
    }

    /// The input's elements; `None` if the batch isn't of the plan's schema.
    pub(super) fn values<'a>(&self, batch: &'a Batch) -> Option<InputValues<'a>> {
        let rows = batch.rows();
        let values = &batch.blocks().get(self.block)?.values;
        macro_rules! packed {
            ($($variant:ident),*) => {
                match values {
                    $(Values::$variant(list) => match self.neighbours_from {
                        Some(from) if rows == 1 => {
                            InputValues::Borrowed(ValuesRef::$variant(list.get(from..from + self.columns.len())?))
                        }
                        _ => InputValues::Owned(Values::$variant(self.rows_of(list, rows)?)),
                    },)*
                    Values::Text(list) => InputValues::Owned(Values::Text(self.rows_of_text(list, rows)?)),
                    Values::Bytes(_) => return None,
                }
            };
        }
        Some(packed!(
            Boolean, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64
        ))
    }

    fn rows_of<T: Copy + Default>(&self, block: &[T], rows: usize) -> Option<Vec<T>> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for &column in &self.columns {
            columns.push(block.get(column * rows..(column + 1) * rows)?);
        }
        if let [only] = columns.as_slice() {
            return Some(only.to_vec());
        }
        Some(transpose(&columns, rows))
    }

    fn rows_of_text(&self, block: &VarLen, rows: usize) -> Option<VarLen> {
        let places = (0..rows).flat_map(|row| self.columns.iter().map(move |&column| column * rows + row));
        let elements = places.map(|at| block.get(at)).collect::<Option<Vec<_>>>()?;
        let joined = join(elements.iter().copied());
        // Columns named many times over could pass 4 GiB.
        (joined.len() == elements.len()).then_some(joined)
    }
}

/// Columns of `rows` elements each, as rows end to end.
fn transpose<T: Copy + Default>(columns: &[&[T]], rows: usize) -> Vec<T> {
    let width = columns.len();
    let mut out = vec![T::default(); width * rows];
    if width == 0 {
        return out;
    }
    let mut place = 0;
    let mut tiles = columns.chunks_exact(TILE);
    for tile in &mut tiles {
        if let [a, b, c, d] = tile {
            let fours = a.iter().zip(*b).zip(c.iter().zip(*d));
            for (row, ((a, b), (c, d))) in out.chunks_exact_mut(width).zip(fours) {
                if let Some(target) = row.get_mut(place..).and_then(|rest| rest.first_chunk_mut()) {
                    *target = [*a, *b, *c, *d];
                }
            }
        }
        place += TILE;
    }
    for (i, column) in tiles.remainder().iter().enumerate() {
        for (row, &value) in out.chunks_exact_mut(width).zip(*column) {
            if let Some(target) = row.get_mut(place + i) {
                *target = value;
            }
        }
    }
    out
}

/// Make these elements NaN; nothing for types that have none.
pub(super) fn set_nan(values: &mut Values, range: Range<usize>) {
    fn fill<T: Copy>(list: &mut [T], range: Range<usize>, nan: T) {
        if let Some(places) = list.get_mut(range) {
            places.fill(nan);
        }
    }
    match values {
        Values::Fp16(list) => fill(list, range, half::f16::NAN.to_bits()),
        Values::Bf16(list) => fill(list, range, half::bf16::NAN.to_bits()),
        Values::Fp32(list) => fill(list, range, f32::NAN),
        Values::Fp64(list) => fill(list, range, f64::NAN),
        other => debug_assert!(
            !other.data_type().is_float(),
            "{}",
            DataType::name(other.data_type())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_any_width() {
        for width in 1..=19 {
            for rows in [1, 2, 3, 17] {
                let lists: Vec<Vec<u32>> = (0..width)
                    .map(|c| (0..rows).map(|r| (r * 100 + c) as u32).collect())
                    .collect();
                let columns: Vec<&[u32]> = lists.iter().map(Vec::as_slice).collect();
                let expected: Vec<u32> = (0..rows)
                    .flat_map(|r| (0..width).map(move |c| (r * 100 + c) as u32))
                    .collect();
                assert_eq!(
                    transpose(&columns, rows),
                    expected,
                    "{width} columns, {rows} rows"
                );
                let narrow: Vec<Vec<u16>> = lists
                    .iter()
                    .map(|l| l.iter().map(|&x| x as u16).collect())
                    .collect();
                let columns: Vec<&[u16]> = narrow.iter().map(Vec::as_slice).collect();
                let expected: Vec<u16> = expected.iter().map(|&x| x as u16).collect();
                assert_eq!(
                    transpose(&columns, rows),
                    expected,
                    "{width} narrow columns, {rows} rows"
                );
            }
        }
    }
}
