//! Functions of single numbers, applied to whole columns at once.
//!
//! A [`Kernel`] works on a slice of packed elements. [`Elementwise`] hands it the right slices: in
//! place where a column keeps its type, so that nothing is copied; else by way of `f64`, so that
//! 64-bit integers and large offsets lose nothing before the function sees them.

use std::sync::Arc;

use caisson_data::{Batch, BatchBuilder, DataType, Field, Schema};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Error;
use crate::columns::{find_that, is_number, to_fp64s};
use crate::edits::{Edits, Plan, column};

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

    /// The rule of NumPy for functions of one number: `fp32` stays, everything else is `fp64`.
    pub const fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Fp32 => Self::Fp32,
            _ => Self::Fp64,
        }
    }
}

/// Write numbers into a float column, rounded where it is `fp32`.
///
/// # Errors
///
/// [`Error::Internal`] when the column is no float or has another number of elements.
pub fn write_floats(
    builder: &mut BatchBuilder,
    index: usize,
    values: impl ExactSizeIterator<Item = f64>,
) -> Result<(), Error> {
    if let Some(own) = builder.fp32s_mut(index).filter(|own| own.len() == values.len()) {
        own.iter_mut().zip(values).for_each(|(own, value)| *own = value as f32);
    } else if let Some(own) = builder.fp64s_mut(index).filter(|own| own.len() == values.len()) {
        own.iter_mut().zip(values).for_each(|(own, value)| *own = value);
    } else {
        return Err(Error::internal(format!("column {index} is no float column of {} elements", values.len())));
    }
    Ok(())
}

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
    /// Name of the input column: any number type but `fp16` and `bf16`, or boolean.
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
    plan: Plan,
    steps: Vec<Step<K>>,
}

#[derive(Debug)]
struct Step<K> {
    from: usize,
    to: usize,
    /// Is the output column one that the input doesn't have in this type?
    new: bool,
    kernel: K,
}

/// The field of a column that [`Elementwise`] can work on.
///
/// # Errors
///
/// [`Error::SchemaMismatch`] for a column that isn't there or isn't numeric.
pub fn find_number<'a>(input: &'a Schema, name: &str) -> Result<(usize, &'a Field), Error> {
    let fits = |field: &Field| {
        let half = matches!(field.data_type, DataType::Fp16 | DataType::Bf16);
        field.data_type == DataType::Boolean || (is_number(field.data_type) && !half)
    };
    find_that(input, name, fits, "fp32, fp64, an integer type or boolean")
}

impl<K: Kernel> Elementwise<K> {
    /// Find the columns and declare the output.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaMismatch`] for a column that isn't there or isn't numeric;
    /// [`Error::InvalidConfig`] for a new column whose name is taken.
    pub fn new(input: &Arc<Schema>, targets: Vec<Target<K>>) -> Result<(Self, Schema), Error> {
        let mut edits = Edits::of(input);
        let mut steps = Vec::with_capacity(targets.len());
        for target in targets {
            let (from, field) = find_number(input, &target.column)?;
            let mut output = field.clone();
            let result = target.result.unwrap_or(FloatType::of(field.data_type));
            output.data_type = result.data_type();
            let new = target.into.is_some() || output.data_type != field.data_type;
            if let Some(into) = target.into {
                output.name = into;
                edits.add(output.clone());
            } else if new {
                edits.replace(from, vec![output.clone()]);
            }
            steps.push((from, output.name, new, target.kernel));
        }
        let plan = edits.finish()?;
        let steps = steps.into_iter().map(|(from, name, new, kernel)| {
            let to = plan.place_of(&name)?;
            Ok(Step { from, to, new, kernel })
        });
        let steps = steps.collect::<Result<_, Error>>()?;
        let output = plan.schema();
        Ok((Self { plan, steps }, output))
    }

    /// Apply every function to its column.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a batch of another schema.
    pub fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let mut builder = if self.plan.is_in_place() {
            self.plan.reuse(input)?
        } else {
            let mut builder = self.plan.copy(&input)?;
            for step in self.steps.iter().filter(|step| step.new) {
                step.convert(&input, &mut builder)?;
            }
            builder
        };
        for step in self.steps.iter().filter(|step| !step.new) {
            step.in_place(&mut builder)?;
        }
        Ok(builder.finish()?)
    }
}

impl<K: Kernel> Step<K> {
    fn in_place(&self, builder: &mut BatchBuilder) -> Result<(), Error> {
        if let Some(values) = builder.fp32s_mut(self.to) {
            self.kernel.fp32(values);
        } else if let Some(values) = builder.fp64s_mut(self.to) {
            self.kernel.fp64(values);
        } else {
            return Err(Error::internal(format!("output column {} is no float", self.to)));
        }
        Ok(())
    }

    fn convert(&self, input: &Batch, builder: &mut BatchBuilder) -> Result<(), Error> {
        let column = column(input, self.from)?;
        builder.set_validity(self.to, column.validity());
        if let (Some(from), Some(to)) = (column.fp32s(), builder.fp32s_mut(self.to)) {
            // `fp32` to `fp32` under another name: the arithmetic of `in_place`.
            to.copy_from_slice(from);
            self.kernel.fp32(to);
            return Ok(());
        }
        let not_numeric = || Error::internal(format!("column `{}` is no number", column.field().name));
        let mut values = to_fp64s(&column).ok_or_else(not_numeric)?.into_owned();
        self.kernel.fp64(&mut values);
        write_floats(builder, self.to, values.into_iter())
    }
}
