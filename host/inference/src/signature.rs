//! What a model takes and gives, and what its file says of itself.

use std::collections::BTreeMap;
use std::fmt;

use caisson_data::{DataType, NAME_BYTES_MAX, RANK_MAX};
use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};
use serde::{Deserialize, Serialize};

use crate::error::{ModelRejected, tidy};

/// Inputs of a model, and outputs. Exporters that make one input a column stay below it.
pub(crate) const TENSORS_MAX: usize = 1024;

/// One input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// As in the file.
    pub name: String,
    /// Element type; ONNX's strings are [`DataType::Text`].
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Sizes of the dimensions, -1 where any size goes.
    pub shape: Vec<i64>,
}

impl fmt::Display for TensorSpec {
    /// `X: fp32[?, 30]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.name, self.data_type, Dimensions(&self.shape))
    }
}

/// Shows a shape with `?` where any size goes.
pub(crate) struct Dimensions<'a>(pub(crate) &'a [i64]);

impl fmt::Display for Dimensions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, &d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if d < 0 {
                f.write_str("?")?;
            } else {
                write!(f, "{d}")?;
            }
        }
        f.write_str("]")
    }
}

/// What an ONNX file says of itself. Free text of whoever made the file: for people, not for
/// decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxMetadata {
    /// Version of the file format.
    pub ir_version: i64,
    /// The tool that wrote the file.
    pub producer: String,
    /// The tool's version.
    pub producer_version: String,
    /// Name space of the model, reverse-DNS by convention.
    pub domain: String,
    /// The file's own version number; the registry's versions are something else.
    pub model_version: i64,
    /// Name of the graph.
    pub graph_name: String,
    /// Free text.
    pub description: String,
    /// Operator sets by domain; the empty domain is ONNX's own.
    pub opsets: BTreeMap<String, i64>,
    /// `metadata_props`: the first ones up to the bounds of the reader.
    pub custom: BTreeMap<String, String>,
    /// Entries of `metadata_props` past those bounds.
    #[serde(default)]
    pub custom_left_out: usize,
}

/// What a model takes and gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// In the file's order.
    pub inputs: Vec<TensorSpec>,
    /// In the file's order.
    pub outputs: Vec<TensorSpec>,
    /// About the file.
    pub onnx: OnnxMetadata,
}

impl Signature {
    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|spec| spec.name == name)
    }

    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<&TensorSpec> {
        self.outputs.iter().find(|spec| spec.name == name)
    }

    /// Read inputs and outputs off a loaded session.
    pub(crate) fn of(session: &Session, onnx: OnnxMetadata) -> Result<Self, ModelRejected> {
        Ok(Self {
            inputs: specs("input", session.inputs())?,
            outputs: specs("output", session.outputs())?,
            onnx,
        })
    }
}

/// `a: fp32[?], b: int64[?, 3]`, for errors.
pub(crate) fn list(specs: &[TensorSpec]) -> String {
    specs
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn specs(side: &str, outlets: &[Outlet]) -> Result<Vec<TensorSpec>, ModelRejected> {
    let out_of_bounds = |message| Err(ModelRejected::OutOfBounds { message });
    if outlets.len() > TENSORS_MAX {
        return out_of_bounds(format!(
            "the model has {} {side}s; at most {TENSORS_MAX} are allowed",
            outlets.len()
        ));
    }
    let mut specs = Vec::with_capacity(outlets.len());
    for outlet in outlets {
        let name = outlet.name();
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return out_of_bounds(format!(
                "an {side}'s name has {} bytes; names have 1 to {NAME_BYTES_MAX}",
                name.len()
            ));
        }
        let not_a_tensor = |kind: &str| {
            Err(ModelRejected::NotATensor {
                side: side.into(),
                name: tidy(name),
                kind: kind.into(),
            })
        };
        let (element, shape) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => (*ty, shape.to_vec()),
            ValueType::Sequence(_) => return not_a_tensor("sequence"),
            ValueType::Map { .. } => return not_a_tensor("map"),
            ValueType::Optional(_) => return not_a_tensor("optional value"),
        };
        let Some(data_type) = data_type(element) else {
            return Err(ModelRejected::ElementType {
                side: side.into(),
                name: tidy(name),
                element: element.to_string(),
            });
        };
        // A batch's columns have RANK_MAX dimensions behind the one for rows.
        if shape.len() > RANK_MAX + 1 {
            return out_of_bounds(format!(
                "{side} `{}` has {} dimensions; at most {} are allowed",
                tidy(name),
                shape.len(),
                RANK_MAX + 1
            ));
        }
        specs.push(TensorSpec {
            name: name.to_owned(),
            data_type,
            shape,
        });
    }
    Ok(specs)
}

/// The column type of an ONNX element type; `None` for those that no column has.
pub(crate) fn data_type(element: TensorElementType) -> Option<DataType> {
    Some(match element {
        TensorElementType::Bool => DataType::Boolean,
        TensorElementType::Uint8 => DataType::Uint8,
        TensorElementType::Uint16 => DataType::Uint16,
        TensorElementType::Uint32 => DataType::Uint32,
        TensorElementType::Uint64 => DataType::Uint64,
        TensorElementType::Int8 => DataType::Int8,
        TensorElementType::Int16 => DataType::Int16,
        TensorElementType::Int32 => DataType::Int32,
        TensorElementType::Int64 => DataType::Int64,
        TensorElementType::Float16 => DataType::Fp16,
        TensorElementType::Bfloat16 => DataType::Bf16,
        TensorElementType::Float32 => DataType::Fp32,
        TensorElementType::Float64 => DataType::Fp64,
        TensorElementType::String => DataType::Text,
        _ => return None,
    })
}
