//! Functions of single numbers, applied to whole columns at once.
//!
//! A [`Kernel`] works on a slice of packed elements. [`Elementwise`] hands it the right slices: in
//! place where no column changes its type, so that nothing is copied; else by way of `f64`, so that
//! 64-bit integers and large offsets lose nothing before the function sees them.

use std::sync::Arc;

use caisson_data::{Batch, BatchBuilder, DataType, Schema};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::column::ColumnExt;
use crate::edit::{BatchEditor, BatchExt, BuilderExt};
use crate::output::{Output, OutputPlan};
use crate::{Error, Need};

/// The type of a result that is a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FloatType {
    /// IEEE 754 binary32.
    Fp32,
    /// IEEE 754 binary64.
    Fp64,
}

impl FloatType {
    /// As the schema has it.
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Fp32 => DataType::Fp32,
            Self::Fp64 => DataType::Fp64,
        }
    }

    /// The rule of scikit-learn: `fp32` stays, every other number becomes `fp64`.
    pub const fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Fp32 => Self::Fp32,
            _ => Self::Fp64,
        }
    }
}

/// What [`Elementwise`] works on.
pub const NEEDED: Need = Need::new("fp32, fp64, an integer type or boolean, of any shape", |field| {
    !matches!(
        field.data_type,
        DataType::Fp16 | DataType::Bf16 | DataType::Text | DataType::Bytes
    )
});

/// The columns whose elements are compared as numbers of their own type.
pub const NUMBERS: Need = Need::new("an integer type, fp32 or fp64, of any shape", |field| {
    field.data_type != DataType::Boolean && NEEDED.suits(field)
});

/// A function of single numbers. The slices hold a whole column, row by row, so a function that
/// differs by the element's place in its row walks them in chunks. Elements of missing rows are
/// passed too; what becomes of them means nothing.
pub trait Kernel {
    /// Change each number.
    fn fp32(&self, values: &mut [f32]);
    /// Change each number.
    fn fp64(&self, values: &mut [f64]);
}

/// One column and its function.
#[derive(Debug)]
pub struct Target<K> {
    /// Name of the input column; see [`NEEDED`].
    pub column: String,
    /// Name of the column that takes the result, added at the end; `None` to replace the input.
    pub into: Option<String>,
    /// Type of the result; `None` for [`FloatType::of`] the input.
    pub result: Option<FloatType>,
    /// The function.
    pub kernel: K,
}

/// Functions on the columns of one schema. Missing values stay missing.
#[derive(Debug)]
pub struct Elementwise<K> {
    output: Output,
    /// Does every column stay, with its type?
    in_place: bool,
    steps: Vec<Step<K>>,
}

#[derive(Debug)]
struct Step<K> {
    from: usize,
    to: usize,
    /// Is the output column another than the input column, or of another type?
    new: bool,
    result: FloatType,
    kernel: K,
}

impl<K: Kernel> Elementwise<K> {
    /// Find the columns and declare the output.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaMismatch`] for a column that isn't there or isn't [`NEEDED`];
    /// [`Error::InvalidConfig`] for a new column whose name is taken.
    pub fn new(input: &Arc<Schema>, targets: Vec<Target<K>>) -> Result<(Self, Schema), Error> {
        let mut plan = OutputPlan::of(input);
        let mut found = Vec::with_capacity(targets.len());
        for target in targets {
            let from = NEEDED.find(input, &target.column)?;
            let Some(mut field) = input.field(from).cloned() else {
                continue;
            };
            let result = target.result.unwrap_or(FloatType::of(field.data_type));
            let new = target.into.is_some() || result.data_type() != field.data_type;
            field.data_type = result.data_type();
            if let Some(into) = target.into {
                field.name = into;
                plan.append(field.clone());
            } else if new {
                plan.replace(&target.column, field.clone())?;
            }
            found.push((from, field.name, new, result, target.kernel));
        }
        let output = plan.finish()?;
        let steps = found.into_iter().map(|(from, name, new, result, kernel)| {
            let to = output.index_of(&name)?;
            Ok(Step {
                from,
                to,
                new,
                result,
                kernel,
            })
        });
        let steps = steps.collect::<Result<Vec<_>, Error>>()?;
        let schema = output.to_schema();
        let in_place = steps.iter().all(|step| !step.new);
        Ok((
            Self {
                output,
                in_place,
                steps,
            },
            schema,
        ))
    }

    /// Apply every function to its column.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a batch of another schema.
    pub fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let batch = if self.in_place {
            input
        } else {
            let mut builder = self.output.begin(&input)?;
            for step in self.steps.iter().filter(|step| step.new) {
                step.convert(&input, &mut builder)?;
            }
            builder.finish()?
        };
        let mut editor = BatchEditor::new(batch, self.output.schema())?;
        for step in self.steps.iter().filter(|step| !step.new) {
            match step.result {
                FloatType::Fp32 => step.kernel.fp32(editor.slice_mut(step.to)?),
                FloatType::Fp64 => step.kernel.fp64(editor.slice_mut(step.to)?),
            }
        }
        Ok(editor.finish())
    }
}

impl<K: Kernel> Step<K> {
    /// Fill a column of the builder with the function of a column of the input.
    fn convert(&self, input: &Batch, builder: &mut BatchBuilder) -> Result<(), Error> {
        let column = input.at(self.from)?;
        builder.set_validity(self.to, column.validity());
        if let (Some(from), Some(to)) = (column.fp32s(), builder.fp32s_mut(self.to)) {
            // The same arithmetic as in place.
            to.copy_from_slice(from);
            self.kernel.fp32(to);
            return Ok(());
        }
        let mut values = Vec::with_capacity(column.elements());
        column
            .numbers()?
            .for_each(|number| values.push(number.unwrap_or_default()));
        self.kernel.fp64(&mut values);
        if let Some(to) = builder.fp32s_mut(self.to) {
            to.iter_mut()
                .zip(&values)
                .for_each(|(to, value)| *to = *value as f32);
        } else {
            builder.slice_mut::<f64>(self.to)?.copy_from_slice(&values);
        }
        Ok(())
    }
}
