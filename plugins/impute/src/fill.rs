//! Filling one column: in place where its type allows, else into a new batch.

use caisson_plugin::prelude::*;
use caisson_plugin::{Element, Values};

/// How one column is filled.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Position in the input.
    pub(crate) index: usize,
    /// One value, or one for each element of a row.
    pub(crate) fill: Values,
    /// Is NaN filled too?
    pub(crate) nan: bool,
}

/// Run an expression on the fill values of a type that is filled in place.
macro_rules! in_place {
    ($fill:expr, $list:ident => $run:expr, _ => $other:expr) => {
        match $fill {
            Values::Uint8($list) => $run,
            Values::Uint16($list) => $run,
            Values::Uint32($list) => $run,
            Values::Uint64($list) => $run,
            Values::Int8($list) => $run,
            Values::Int16($list) => $run,
            Values::Int32($list) => $run,
            Values::Int64($list) => $run,
            Values::Fp32($list) => $run,
            Values::Fp64($list) => $run,
            _ => $other,
        }
    };
}

impl Step {
    /// Booleans, text and bytes are filled into a new batch.
    pub(crate) fn works_in_place(&self) -> bool {
        in_place!(&self.fill, _list => true, _ => false)
    }

    /// 1 for each element that will be filled, 0 for the others.
    pub(crate) fn marks(&self, input: &Batch) -> Result<Vec<u8>, Error> {
        let column = input.at(self.index)?;
        let mut marks = vec![0; column.elements()];
        if column.validity().bits().is_some() {
            let width = column.field().row_elements().max(1);
            for (row, marks) in marks.chunks_mut(width).enumerate() {
                marks.fill(u8::from(column.is_missing(row)));
            }
        }
        let mark = |(mark, is_nan): (&mut u8, bool)| *mark |= u8::from(is_nan);
        match (self.nan, column.fp32s(), column.fp64s()) {
            (true, Some(list), _) => marks
                .iter_mut()
                .zip(list.iter().map(|x| x.is_nan()))
                .for_each(mark),
            (true, _, Some(list)) => marks
                .iter_mut()
                .zip(list.iter().map(|x| x.is_nan()))
                .for_each(mark),
            _ => {}
        }
        Ok(marks)
    }

    /// The missing rows, where they must be known to fill them: of columns with a value for each
    /// element.
    pub(crate) fn gaps(&self, input: &Batch) -> Result<Vec<usize>, Error> {
        if self.fill.len() < 2 {
            return Ok(Vec::new());
        }
        let column = input.at(self.index)?;
        if column.validity().bits().is_none() {
            return Ok(Vec::new());
        }
        Ok((0..column.rows()).filter(|&row| column.is_missing(row)).collect())
    }

    /// Fill a column of numbers. `gaps` are the rows that [`Step::gaps`] gave.
    pub(crate) fn fill(&self, editor: &mut BatchEditor, gaps: &[usize]) -> Result<(), Error> {
        in_place!(
            &self.fill,
            list => fill_missing(editor, self.index, list, gaps)?,
            _ => return Err(Error::internal("a column can't be filled in place"))
        );
        match &self.fill {
            Values::Fp32(list) if self.nan => {
                fill_nan(editor.slice_mut(self.index)?, list, |x: f32| x.is_nan())
            }
            Values::Fp64(list) if self.nan => {
                fill_nan(editor.slice_mut(self.index)?, list, |x: f64| x.is_nan())
            }
            _ => {}
        }
        Ok(())
    }

    /// Copy a column of booleans, text or bytes into a new batch, with its gaps filled.
    pub(crate) fn rebuild(
        &self,
        from: &Column<'_>,
        to: &mut BatchBuilder,
        index: usize,
    ) -> Result<(), Error> {
        let out_of_place = || Error::internal("a filled column is out of place");
        let width = from.field().row_elements().max(1);
        let place = |element: usize| if self.fill.len() < 2 { 0 } else { element % width };
        if let (Values::Boolean(fill), Some(source)) = (&self.fill, from.booleans()) {
            let own = to.booleans_mut(index).ok_or_else(out_of_place)?;
            for (element, (own, &value)) in own.iter_mut().zip(source).enumerate() {
                let value = if from.is_missing(element / width) {
                    fill.get(place(element))
                } else {
                    Some(&value)
                };
                *own = *value.ok_or_else(out_of_place)?;
            }
            return Ok(());
        }
        let (Values::Text(fill) | Values::Bytes(fill)) = &self.fill else {
            return Err(out_of_place());
        };
        let own = to.varlen_mut(index).ok_or_else(out_of_place)?;
        for element in 0..from.elements() {
            let missing = from.is_missing(element / width);
            let value = if missing {
                fill.get(place(element))
            } else {
                from.bytes(element)
            };
            own.push(value.ok_or_else(out_of_place)?)
                .ok_or_else(|| Error::internal("a column's text passes 4 GiB"))?;
        }
        Ok(())
    }
}

fn fill_missing<T: Element>(
    editor: &mut BatchEditor,
    index: usize,
    fill: &[T],
    gaps: &[usize],
) -> Result<(), Error> {
    editor.fill_missing(index, fill.first().copied().unwrap_or_default())?;
    if gaps.is_empty() {
        return Ok(());
    }
    let width = fill.len();
    let elements = editor.slice_mut::<T>(index)?;
    for row in gaps {
        if let Some(own) = elements.get_mut(row * width..(row + 1) * width) {
            own.copy_from_slice(fill);
        }
    }
    Ok(())
}

/// Branch-free, so that it runs at the speed of memory.
fn fill_nan<T: Copy>(values: &mut [T], fill: &[T], is_nan: impl Fn(T) -> bool) {
    match fill {
        [fill] => values
            .iter_mut()
            .for_each(|x| *x = if is_nan(*x) { *fill } else { *x }),
        _ => {
            for row in values.chunks_mut(fill.len().max(1)) {
                let pairs = row.iter_mut().zip(fill);
                pairs.for_each(|(x, fill)| *x = if is_nan(*x) { *fill } else { *x });
            }
        }
    }
}
