//! Models over `wasi:nn`, always by name.

use super::bindings::predictor::wasi::nn;
use crate::models::{Input, Models, Outputs, Session, Tensor, TensorType};

struct Graph(nn::inference::GraphExecutionContext);

impl Session for Graph {
    fn compute(&self, inputs: &[Input<'_>]) -> Result<Outputs, String> {
        let tensors = inputs
            .iter()
            .map(|&(name, dimensions, elements)| {
                let tensor_type = lower_type(elements.tensor_type());
                let tensor = nn::tensor::Tensor::new(dimensions, tensor_type, elements.as_bytes());
                (name.to_owned(), tensor)
            })
            .collect();
        let outputs = self.0.compute(tensors).map_err(describe)?;
        outputs
            .into_iter()
            .map(|(name, tensor)| {
                let lifted = Tensor::from_bytes(tensor.dimensions(), lift_type(tensor.ty()), tensor.data());
                match lifted {
                    Ok(lifted) => Ok((name, lifted)),
                    Err(error) => Err(format!("output `{name}`: {error}")),
                }
            })
            .collect::<Result<_, _>>()
            .map(Outputs::new)
    }
}

/// The models that the deployment grants.
pub(super) fn models() -> Models {
    Models::new(Box::new(|name| {
        let graph = nn::graph::load_by_name(name).map_err(describe)?;
        let context = graph.init_execution_context().map_err(describe)?;
        Ok(Box::new(Graph(context)))
    }))
}

/// `not-found: no model of this name is granted`.
fn describe(error: nn::errors::Error) -> String {
    use nn::errors::ErrorCode;
    let code = match error.code() {
        ErrorCode::InvalidArgument => "invalid argument",
        ErrorCode::InvalidEncoding => "invalid encoding",
        ErrorCode::Timeout => "timeout",
        ErrorCode::RuntimeError => "runtime error",
        ErrorCode::UnsupportedOperation => "unsupported operation",
        ErrorCode::TooLarge => "too large",
        ErrorCode::NotFound => "not found",
        ErrorCode::Security => "not allowed",
        ErrorCode::Unknown => "unknown error",
    };
    match error.data() {
        data if data.is_empty() => code.to_owned(),
        data => format!("{code}: {data}"),
    }
}

fn lower_type(tensor_type: TensorType) -> nn::tensor::TensorType {
    use nn::tensor::TensorType as Nn;
    match tensor_type {
        TensorType::Fp16 => Nn::Fp16,
        TensorType::Fp32 => Nn::Fp32,
        TensorType::Fp64 => Nn::Fp64,
        TensorType::Bf16 => Nn::Bf16,
        TensorType::U8 => Nn::U8,
        TensorType::I32 => Nn::I32,
        TensorType::I64 => Nn::I64,
    }
}

fn lift_type(tensor_type: nn::tensor::TensorType) -> TensorType {
    use nn::tensor::TensorType as Nn;
    match tensor_type {
        Nn::Fp16 => TensorType::Fp16,
        Nn::Fp32 => TensorType::Fp32,
        Nn::Fp64 => TensorType::Fp64,
        Nn::Bf16 => TensorType::Bf16,
        Nn::U8 => TensorType::U8,
        Nn::I32 => TensorType::I32,
        Nn::I64 => TensorType::I64,
    }
}
