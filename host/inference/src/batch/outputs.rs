//! From a model's outputs to columns.

use std::sync::Arc;

use caisson_data::{Batch, Block, Field, Schema, Values, VarLen};

use super::{BindError, OutputSpec, row_dimensions};
use crate::error::InferenceError;
use crate::model::Selection;
use crate::signature::Signature;
use crate::tensor::Tensor;

/// Which outputs to compute, and the columns that they give.
pub(super) fn plan(signature: &Signature, outputs: &OutputSpec) -> Result<(Selection, Schema), BindError> {
    let selection = match &outputs.names {
        None => Selection::ALL,
        // Unknown names are found before.
        Some(names) => Selection::of(signature, names).map_err(|_| {
            let twice = |(i, name): &(usize, &String)| names.iter().take(*i).any(|other| other == *name);
            let repeated = names.iter().enumerate().find(twice).map(|(_, name)| name.clone());
            BindError::Repeated(repeated.unwrap_or_default())
        })?,
    };
    let mut fields = Vec::new();
    for spec in selection.specs(signature) {
        let rest = row_dimensions("output", spec)?;
        let fits = |(&want, &have): (&i64, &u32)| want < 0 || want == i64::from(have);
        let shape = match outputs.shapes.get(&spec.name) {
            Some(declared) if declared.len() == rest.len() && rest.iter().zip(declared).all(fits) => {
                declared.clone()
            }
            Some(declared) => {
                return Err(BindError::DeclaredShape {
                    output: spec.to_string(),
                    declared: declared.clone(),
                });
            }
            None => rest
                .iter()
                .map(|&d| {
                    u32::try_from(d).map_err(|_| BindError::OpenShape {
                        output: spec.to_string(),
                    })
                })
                .collect::<Result<_, _>>()?,
        };
        fields.push(Field::new(&spec.name, spec.data_type).with_shape(shape));
    }
    let schema = Schema::new(fields).map_err(BindError::Outputs)?;
    Ok((selection, schema))
}

/// The outputs as a batch of the planned schema.
pub(super) fn batch(
    schema: &Arc<Schema>,
    outputs: Vec<Tensor>,
    rows: usize,
) -> Result<Batch, InferenceError> {
    let fail = |output: &str, message: String| InferenceError::Output {
        output: output.into(),
        message,
    };
    if outputs.len() != schema.len() {
        let message = format!(
            "there are {} outputs where {} were planned",
            outputs.len(),
            schema.len()
        );
        return Err(fail("*", message));
    }
    let mut blocks: Vec<Option<Values>> = vec![None; schema.blocks().len()];
    for ((i, field), tensor) in schema.fields().iter().enumerate().zip(outputs) {
        let planned = std::iter::once(rows).chain(field.shape.iter().map(|&d| d as usize));
        if *tensor.name != *field.name || !planned.eq(tensor.shape.iter().copied()) {
            let message = format!(
                "came with the shape {:?} where {rows} rows of `{field}` were planned; a model's first dimension \
                 must be its rows",
                tensor.shape
            );
            return Err(fail(&tensor.name, message));
        }
        let place = schema.slot(i).and_then(|slot| blocks.get_mut(slot.block));
        let Some(block) = place else {
            return Err(fail(&tensor.name, "has no place in the planned columns".into()));
        };
        match block {
            None => *block = Some(tensor.values),
            // Scalars of one type share a block, in the order of the fields.
            Some(values) => append(values, tensor.values).map_err(|message| fail(&tensor.name, message))?,
        }
    }
    let blocks = blocks
        .into_iter()
        .zip(schema.blocks())
        .map(|(values, layout)| Block::new(values.unwrap_or_else(|| Values::empty(layout.data_type))))
        .collect();
    Batch::new(Arc::clone(schema), rows, blocks).map_err(|e| fail("*", e.to_string()))
}

fn append(values: &mut Values, more: Values) -> Result<(), String> {
    fn texts(list: &mut VarLen, more: &VarLen) -> Result<(), String> {
        for i in 0..more.len() {
            let element = more.get(i).unwrap_or_default();
            list.push(element)
                .ok_or("the outputs hold more than 4 GiB of text")?;
        }
        Ok(())
    }
    macro_rules! append {
        ($($variant:ident),*) => {
            match (values, more) {
                $((Values::$variant(list), Values::$variant(more)) => list.extend_from_slice(&more),)*
                (Values::Text(list), Values::Text(more)) => texts(list, &more)?,
                (Values::Bytes(list), Values::Bytes(more)) => texts(list, &more)?,
                (values, more) => {
                    return Err(format!("came as {} where {} was planned", more.data_type(), values.data_type()));
                }
            }
        };
    }
    append!(
        Boolean, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64
    );
    Ok(())
}
