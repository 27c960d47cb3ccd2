//! From a batch's columns to a model's inputs, and from its outputs to columns again.
//!
//! [`Binding::plan`] decides everything when a deployment is created; a request then only follows the
//! plan. A model's first dimension is the row dimension, of every input and output.
//!
//! - An input takes the column of its own name if type and shape are the same: `[-1, 3, 224, 224]` is
//!   a column of shape `[3, 224, 224]`, `[-1]` and `[-1, 1]` are a scalar column. The column's elements
//!   go to the model where they lie.
//! - Or the plan names, for an input `[-1, F]`, the F scalar columns of its type that are packed into
//!   it, in order.
//! - An output `[-1]` gives a scalar column, `[-1, k]` a column of shape `[k]`. Sizes that the model
//!   doesn't say must be declared.

mod error;
mod outputs;
mod pack;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use caisson_data::{Batch, DataType, Field, Schema};

pub use error::BindError;
use error::{list_columns, similar};
use pack::Packed;

use crate::error::InferenceError;
use crate::model::{Model, Selection};
use crate::signature::{Signature, TensorSpec};
use crate::tensor::{Input, InputValues, Tensor, ValuesRef};

/// What becomes of a missing value where the model takes a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingPolicy {
    /// The request fails with row and column.
    #[default]
    Reject,
    /// A float input gets NaN; any other still rejects.
    Nan,
}

/// Which outputs become columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputSpec {
    /// These, in this order; `None` for all.
    pub names: Option<Vec<String>>,
    /// Per-row shapes of outputs whose sizes the model doesn't say.
    pub shapes: BTreeMap<String, Vec<u32>>,
}

/// The plan that binds a schema to a model.
#[derive(Debug, Clone)]
pub struct Binding {
    schema: Arc<Schema>,
    inputs: Vec<Source>,
    missing: MissingPolicy,
    selection: Selection,
    output_schema: Arc<Schema>,
}

#[derive(Debug, Clone)]
struct Source {
    input: String,
    /// Sizes behind the row dimension.
    row_shape: Vec<usize>,
    from: From,
    /// Positions of the columns that may lack a value, and of each within a row of the input.
    nullable: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
enum From {
    Column(usize),
    Packed(Packed),
}

impl Binding {
    /// Plan the binding of the columns of `schema` to the model. `columns` names, for inputs
    /// `[-1, F]`, the columns that are packed into them; the other inputs take the column of their own
    /// name.
    ///
    /// # Errors
    ///
    /// The first input or output that doesn't fit; the message names both sides, and suggests.
    pub fn plan(
        signature: &Signature,
        schema: &Arc<Schema>,
        columns: &BTreeMap<String, Vec<String>>,
        missing: MissingPolicy,
        outputs: &OutputSpec,
    ) -> Result<Self, BindError> {
        if let Some(name) = columns.keys().find(|name| signature.input(name).is_none()) {
            return Err(BindError::unknown("input", name, &signature.inputs));
        }
        let mut named = outputs.shapes.keys().chain(outputs.names.iter().flatten());
        if let Some(name) = named.find(|name| signature.output(name).is_none()) {
            return Err(BindError::unknown("output", name, &signature.outputs));
        }
        let inputs = signature
            .inputs
            .iter()
            .map(|spec| match columns.get(&spec.name) {
                Some(names) => packed(spec, schema, names),
                None => own_column(spec, schema),
            })
            .collect::<Result<_, _>>()?;
        let (selection, output_schema) = outputs::plan(signature, outputs)?;
        Ok(Self {
            schema: Arc::clone(schema),
            inputs,
            missing,
            selection,
            output_schema: Arc::new(output_schema),
        })
    }

    /// The columns that the model's outputs give.
    pub fn output_schema(&self) -> &Arc<Schema> {
        &self.output_schema
    }

    /// The outputs to compute.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The model stage whole: columns in, columns out. A batch without rows doesn't reach the model.
    ///
    /// # Errors
    ///
    /// Those of [`Self::input_tensors`], [`Model::run`] and [`Self::output_batch`].
    pub async fn run(
        &self,
        model: &Model,
        batch: &Batch,
        deadline: Instant,
    ) -> Result<Batch, InferenceError> {
        if batch.rows() == 0 {
            return Ok(Batch::empty(Arc::clone(&self.output_schema)));
        }
        let inputs = self.input_tensors(batch)?;
        let outputs = model.run(inputs, &self.selection, deadline).await?;
        self.output_batch(outputs, batch.rows())
    }

    /// The model's inputs for these rows. Columns that are inputs by themselves are borrowed, and so is
    /// a single row of neighbouring columns; other packed columns are transposed into a new list.
    ///
    /// # Errors
    ///
    /// [`InferenceError::Missing`], or a batch of another schema.
    pub fn input_tensors<'a>(&'a self, batch: &'a Batch) -> Result<Vec<Input<'a>>, InferenceError> {
        if !Arc::ptr_eq(batch.schema(), &self.schema) && **batch.schema() != *self.schema {
            return Err(InferenceError::OtherSchema {
                expected: self.schema.to_string(),
                found: batch.schema().to_string(),
            });
        }
        self.inputs
            .iter()
            .map(|source| self.input(source, batch))
            .collect()
    }

    fn input<'a>(&self, source: &'a Source, batch: &'a Batch) -> Result<Input<'a>, InferenceError> {
        let rows = batch.rows();
        let absent = || InferenceError::OtherSchema {
            expected: self.schema.to_string(),
            found: batch.schema().to_string(),
        };
        let mut values = match &source.from {
            From::Column(index) => {
                let column = batch.column(*index).ok_or_else(absent)?;
                InputValues::Borrowed(ValuesRef::of(&column).ok_or_else(absent)?)
            }
            From::Packed(packed) => packed.values(batch).ok_or_else(absent)?,
        };
        for &(index, place) in &source.nullable {
            let column = batch.column(index).ok_or_else(absent)?;
            let Some(first) = column.validity().first_missing(rows) else {
                continue;
            };
            if self.missing == MissingPolicy::Reject || !values.data_type().is_float() {
                return Err(InferenceError::Missing {
                    row: first,
                    column: column.field().name.clone(),
                    input: source.input.clone(),
                });
            }
            let mut owned = match values {
                InputValues::Owned(owned) => owned,
                InputValues::Borrowed(borrowed) => borrowed.to_values(),
            };
            let width = source.row_shape.iter().product::<usize>();
            let taken = column.field().row_elements();
            for row in (first..rows).filter(|&row| !column.validity().is_present(row)) {
                let start = row * width + place;
                pack::set_nan(&mut owned, start..start + taken);
            }
            values = InputValues::Owned(owned);
        }
        let mut shape = Vec::with_capacity(1 + source.row_shape.len());
        shape.push(rows);
        shape.extend_from_slice(&source.row_shape);
        Ok(Input {
            name: source.input.as_str().into(),
            shape: shape.into(),
            values,
        })
    }

    /// Columns of the model's outputs.
    ///
    /// # Errors
    ///
    /// [`InferenceError::Output`] for an output of another row count, shape or type than planned.
    pub fn output_batch(&self, outputs: Vec<Tensor>, rows: usize) -> Result<Batch, InferenceError> {
        outputs::batch(&self.output_schema, outputs, rows)
    }
}

/// The first dimension must be free: one that is fixed takes that many rows and no other number.
fn row_dimensions<'s>(side: &'static str, spec: &'s TensorSpec) -> Result<&'s [i64], BindError> {
    match spec.shape.split_first() {
        None => Err(BindError::NoRows {
            side,
            tensor: spec.to_string(),
        }),
        Some((&rows, _)) if rows >= 0 => Err(BindError::FixedRows {
            side,
            tensor: spec.to_string(),
            rows,
        }),
        Some((_, rest)) => Ok(rest),
    }
}

/// An input that takes the column of its own name.
fn own_column(spec: &TensorSpec, schema: &Schema) -> Result<Source, BindError> {
    let rest = row_dimensions("input", spec)?;
    let Some((index, field)) = schema
        .index_of(&spec.name)
        .and_then(|i| Some((i, schema.field(i)?)))
    else {
        return Err(BindError::no_column(spec, rest, schema));
    };
    fit_type(spec, field)?;
    let fits = |(&want, &have): (&i64, &u32)| want < 0 || want == i64::from(have);
    let row_shape: Vec<usize> = match (rest, field.shape.as_slice()) {
        ([], []) => Vec::new(),
        ([1 | -1], []) => vec![1],
        (rest, shape)
            if !shape.is_empty() && rest.len() == shape.len() && rest.iter().zip(shape).all(fits) =>
        {
            shape.iter().map(|&d| d as usize).collect()
        }
        _ => {
            return Err(BindError::Shape {
                input: spec.to_string(),
                column: field.to_string(),
            });
        }
    };
    Ok(Source {
        input: spec.name.clone(),
        row_shape,
        from: From::Column(index),
        nullable: if field.nullable {
            vec![(index, 0)]
        } else {
            Vec::new()
        },
    })
}

/// An input that scalar columns are packed into.
fn packed(spec: &TensorSpec, schema: &Schema, names: &[String]) -> Result<Source, BindError> {
    let rest = row_dimensions("input", spec)?;
    let row_shape = match rest {
        [] if names.len() == 1 => Vec::new(),
        [width] if *width < 0 || usize::try_from(*width) == Ok(names.len()) => vec![names.len()],
        _ => {
            return Err(BindError::Width {
                input: spec.to_string(),
                columns: names.len(),
            });
        }
    };
    let mut nullable = Vec::new();
    let mut slots = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let found = schema
            .index_of(name)
            .and_then(|i| Some((i, schema.field(i)?, schema.slot(i)?)));
        let Some((index, field, slot)) = found else {
            return Err(BindError::MissingColumn {
                input: spec.to_string(),
                column: name.clone(),
                hint: similar(name, schema),
                columns: list_columns(schema),
            });
        };
        fit_type(spec, field)?;
        if !field.is_scalar() {
            return Err(BindError::Shape {
                input: spec.to_string(),
                column: field.to_string(),
            });
        }
        if field.nullable {
            nullable.push((index, place));
        }
        slots.push(slot);
    }
    let Some(packed) = Packed::new(&slots) else {
        return Err(BindError::Width {
            input: spec.to_string(),
            columns: names.len(),
        });
    };
    Ok(Source {
        input: spec.name.clone(),
        row_shape,
        from: From::Packed(packed),
        nullable,
    })
}

fn fit_type(spec: &TensorSpec, field: &Field) -> Result<(), BindError> {
    if field.data_type == spec.data_type {
        return Ok(());
    }
    let hint = match (field.data_type, spec.data_type) {
        (DataType::Bytes, DataType::Text) => "declare the column as text",
        _ => "declare the column with the model's type, or convert it in a transform",
    };
    Err(BindError::Type {
        input: spec.to_string(),
        column: field.to_string(),
        hint,
    })
}
