//! The model configuration extension: a deployment in the form of Triton's `config.pbtxt`, as far as
//! there is something to say.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use caisson_data::{DataType, DecodeLimits, Schema};
use caisson_serving::{DeploymentSpec, Revision};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::auth::Caller;
use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::{Context, json};
use super::Named;

/// A deployment as `config.pbtxt` would have it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ModelConfig<'a> {
    pub(crate) name: &'a str,
    pub(crate) platform: &'static str,
    pub(crate) backend: &'static str,
    pub(crate) version_policy: VersionPolicy,
    /// Rows that one request may have, which is what clients take it for; how many go through the
    /// stages together is `dynamic_batching`'s own.
    pub(crate) max_batch_size: usize,
    pub(crate) input: Vec<ConfigTensor<'a>>,
    pub(crate) output: Vec<ConfigTensor<'a>>,
    /// Absent where requests never share a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dynamic_batching: Option<DynamicBatching<'a>>,
}

/// Which versions serve.
#[derive(Serialize, JsonSchema)]
pub(crate) struct VersionPolicy {
    pub(crate) specific: ServedVersions,
}

/// These.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ServedVersions {
    pub(crate) versions: [u64; 1],
}

/// An input or output.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ConfigTensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) data_type: &'static str,
    /// Without the rows.
    pub(crate) dims: &'a [u32],
    pub(crate) optional: bool,
}

/// How requests share runs.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DynamicBatching<'a> {
    pub(crate) preferred_batch_size: &'a [u32],
    pub(crate) max_queue_delay_microseconds: u64,
    pub(crate) priority_levels: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_priority_level: Option<u32>,
}

impl<'a> DynamicBatching<'a> {
    fn of(spec: &'a DeploymentSpec) -> Option<Self> {
        let batching = &spec.batching;
        if batching.enabled == Some(false) || spec.predictor.is_some() {
            return None;
        }
        Some(Self {
            preferred_batch_size: &batching.preferred_batch_sizes,
            max_queue_delay_microseconds: batching.max_queue_delay_us.unwrap_or(0),
            priority_levels: batching.queue.priority_levels.unwrap_or(1),
            default_priority_level: batching.queue.default_priority,
        })
    }
}

fn tensors(schema: &Schema) -> Vec<ConfigTensor<'_>> {
    let fields = schema.fields().iter();
    fields
        .map(|field| ConfigTensor {
            name: &field.name,
            data_type: triton_type(field.data_type),
            dims: &field.shape,
            optional: field.nullable,
        })
        .collect()
}

fn triton_type(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "TYPE_BOOL",
        DataType::Uint8 => "TYPE_UINT8",
        DataType::Uint16 => "TYPE_UINT16",
        DataType::Uint32 => "TYPE_UINT32",
        DataType::Uint64 => "TYPE_UINT64",
        DataType::Int8 => "TYPE_INT8",
        DataType::Int16 => "TYPE_INT16",
        DataType::Int32 => "TYPE_INT32",
        DataType::Int64 => "TYPE_INT64",
        DataType::Fp16 => "TYPE_FP16",
        DataType::Bf16 => "TYPE_BF16",
        DataType::Fp32 => "TYPE_FP32",
        DataType::Fp64 => "TYPE_FP64",
        DataType::Text | DataType::Bytes => "TYPE_STRING",
    }
}

/// The configuration of a revision.
pub(crate) fn config(revision: &Revision) -> ModelConfig<'_> {
    ModelConfig {
        name: revision.name(),
        platform: "caisson_pipeline",
        backend: "caisson",
        version_policy: VersionPolicy {
            specific: ServedVersions {
                versions: [revision.number()],
            },
        },
        max_batch_size: DecodeLimits::default().rows_max,
        input: tensors(revision.input()),
        output: tensors(revision.output()),
        dynamic_batching: DynamicBatching::of(revision.spec()),
    }
}

/// A deployment's configuration.
pub(crate) async fn show(
    State(context): State<Context>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    let revision = context.named(caller.tenant(), &named)?;
    Ok(json(StatusCode::OK, &config(&revision)))
}
