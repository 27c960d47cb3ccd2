//! What the server and its models are.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use caisson_data::{Field, Schema};
use caisson_serving::Revision;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::auth::Caller;
use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::{Context, json};
use super::Named;

/// What clients may ask for. They believe it, so it is only what is there:
/// - `binary_tensor_data`: tensors as bytes behind the JSON, in both directions.
/// - `model_configuration`, `statistics`: `/config` and `/stats` in Triton's form.
/// - `model_repository`: `/v2/repository`.
/// - `parameters`: a request may carry any; what is done with which, the README says.
/// - `schedule_policy`: `priority` and `timeout` of a request.
const EXTENSIONS: [&str; 6] = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
];

/// What a server says of itself.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ServerMetadata {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) extensions: [&'static str; EXTENSIONS.len()],
}

/// What this one says.
pub(crate) const SERVER: ServerMetadata = ServerMetadata {
    name: "caisson",
    version: env!("CARGO_PKG_VERSION"),
    extensions: EXTENSIONS,
};

/// What the server is.
pub(crate) async fn server() -> Response {
    json(StatusCode::OK, &SERVER)
}

/// What clients learn of a deployment before they call it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ModelMetadata<'a> {
    pub(crate) name: &'a str,
    pub(crate) versions: [String; 1],
    pub(crate) platform: &'static str,
    pub(crate) inputs: Vec<TensorMetadata<'a>>,
    pub(crate) outputs: Vec<TensorMetadata<'a>>,
}

impl<'a> ModelMetadata<'a> {
    /// That of a revision.
    pub(crate) fn of(revision: &'a Revision) -> Self {
        Self {
            name: revision.name(),
            versions: [revision.number().to_string()],
            platform: "caisson_pipeline",
            inputs: TensorMetadata::of(revision.input()),
            outputs: TensorMetadata::of(revision.output()),
        }
    }
}

/// An input or output.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TensorMetadata<'a> {
    pub(crate) name: &'a str,
    pub(crate) datatype: &'static str,
    /// -1 for the rows, then the column's own shape.
    pub(crate) shape: Vec<i64>,
}

impl<'a> TensorMetadata<'a> {
    fn of(schema: &'a Schema) -> Vec<Self> {
        schema.fields().iter().map(Self::of_field).collect()
    }

    fn of_field(field: &'a Field) -> Self {
        Self {
            name: &field.name,
            datatype: field.data_type.oip_name(),
            shape: std::iter::once(-1)
                .chain(field.shape.iter().map(|&d| i64::from(d)))
                .collect(),
        }
    }
}

/// Inputs and outputs of a deployment.
pub(crate) async fn model(
    State(context): State<Context>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    let revision = context.named(caller.tenant(), &named)?;
    Ok(json(StatusCode::OK, &ModelMetadata::of(&revision)))
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

/// 200 when the deployment serves.
pub(crate) async fn ready(
    State(context): State<Context>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    context.named(caller.tenant(), &named)?;
    let body = ModelReady {
        name: &named.name,
        ready: true,
    };
    Ok(json(StatusCode::OK, &body))
}
