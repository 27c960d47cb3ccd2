//! Predictions. Bodies are read and written without a Rust type of them, at the speed of the columns
//! that a deployment has, so their forms stand here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::error::ViolationBody;
use super::super::oip::metadata::{ModelMetadata, ModelReady, ServerMetadata};
use super::super::predict::{AskQuery, DriftBody};
use super::operation::{Operation, get, post};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    vec![
        get("/v2", "serverMetadata", "What the server is")
            .ok::<ServerMetadata>(s, "Name, version, extensions."),
        get(
            "/v2/models/{name}",
            "modelMetadata",
            "Inputs and outputs of a deployment",
        )
        .ok::<ModelMetadata<'_>>(s, "Inputs and outputs.")
        .fails(&[404, 503]),
        get(
            "/v2/models/{name}/versions/{version}",
            "modelVersionMetadata",
            "The same, of the revision that is live",
        )
        .ok::<ModelMetadata<'_>>(s, "Inputs and outputs.")
        .fails(&[404, 503]),
        get("/v2/models/{name}/ready", "modelReady", "Is a deployment loaded?")
            .ok::<ModelReady<'_>>(s, "It is.")
            .fails(&[404, 503]),
        get(
            "/v2/models/{name}/versions/{version}/ready",
            "modelVersionReady",
            "Is that revision loaded?",
        )
        .ok::<ModelReady<'_>>(s, "It is.")
        .fails(&[404, 503]),
        infer(s, "/v2/models/{name}/infer", "infer", "Predict for tensors"),
        infer(
            s,
            "/v2/models/{name}/versions/{version}/infer",
            "inferVersion",
            "Predict for tensors with the revision that is live",
        ),
        rows(s, "/v1/deployments/{name}/predict", "predict", "Predict for rows")
            .ok::<Rows>(s, "A row for each row."),
        rows(
            s,
            "/v1/deployments/{name}/drift",
            "drift",
            "Run every monitor on rows",
        )
        .query::<AskQuery>(s)
        .takes_as("application/x-ndjson", json!({ "schema": { "type": "string" } }))
        .takes_as("application/vnd.apache.arrow.stream", json!({ "schema": {} }))
        .takes_as("application/vnd.apache.parquet", json!({ "schema": {} }))
        .ok::<DriftBody>(s, "Each monitor's report."),
    ]
}

fn infer(s: &mut Schemas, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let length = "Inference-Header-Content-Length";
    let bytes = json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX });
    let example =
        json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [2], "data": [1.0, 20.0] }] });
    post(path, id, summary)
        .about("The Open Inference Protocol v2 with its extension for binary tensors: then the body is the JSON, of as many bytes as the header says, and the tensors behind it; with 0, one raw tensor. Body and answer may be compressed with gzip, deflate or zstd.")
        .header(length, "Bytes of the JSON, where binary tensors follow it.", bytes.clone())
        .takes::<InferRequest>(s, example)
        .takes_as("application/octet-stream", json!({ "schema": {} }))
        .ok::<InferResponse>(s, "The outputs.")
        .answers_as(200, "", "application/octet-stream", json!({ "schema": {} }))
        .answer_header(200, length, "Bytes of the JSON, where binary tensors follow it.", bytes)
        .fails(&[404, 415, 422, 429, 503, 504])
}

fn rows(s: &mut Schemas, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    post(path, id, summary)
        .about("`null`, or no such key, is missing; NaN and infinities are the strings `\"NaN\"`, `\"Infinity\"` and `\"-Infinity\"`.")
        .takes::<RowsRequest>(s, json!({ "rows": [{ "x": 12.5 }, { "x": null }] }))
        .takes_as("text/csv", json!({ "schema": { "type": "string" } }))
        .fails(&[404, 415, 422, 429, 503, 504])
}

/// Rows: a value for each column that the deployment takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "only its schema is used; `caisson_data::rows` reads the body"
)]
struct RowsRequest {
    rows: Vec<Map<String, Value>>,
    /// For the caller's own use.
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// Rows: a value for each column that the deployment gives.
#[derive(Serialize, JsonSchema)]
struct Rows {
    rows: Vec<Map<String, Value>>,
    /// The revision that answered.
    revision: u64,
    /// What validators said that refuses nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<ViolationBody>,
}

/// A request of the Open Inference Protocol.
#[derive(Deserialize, JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used; `caisson_data::oip` reads the body"
)]
struct InferRequest {
    /// Given back.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    id: Option<String>,
    /// `binary_data_output`: outputs as binary tensors. `nan`: `"token"` for bare NaN and infinities, which
    /// are `null` else. `priority`, and `timeout` in microseconds: in the deployment's queue.
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    /// One for each column that the deployment takes.
    inputs: Vec<InferInput>,
    /// All if left out.
    #[serde(default)]
    outputs: Option<Vec<RequestedOutput>>,
}

/// A tensor of a request.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "as above")]
struct InferInput {
    name: String,
    datatype: Datatype,
    /// The rows, then the column's own shape.
    #[schemars(length(max = 9))]
    shape: Vec<u64>,
    /// `binary_data_size`: bytes of the tensor behind the JSON, in place of `data`.
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    /// Flat or in lists; `null` is missing.
    #[serde(default)]
    data: Vec<Value>,
}

/// An output that is asked for.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "as above")]
struct RequestedOutput {
    name: String,
    /// `binary_data`: as a binary tensor.
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// An answer of the Open Inference Protocol.
#[derive(Serialize, JsonSchema)]
struct InferResponse {
    model_name: String,
    /// The revision that answered.
    model_version: String,
    /// The request's.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<InferOutput>,
}

/// A tensor of an answer.
#[derive(Serialize, JsonSchema)]
struct InferOutput {
    name: String,
    datatype: Datatype,
    shape: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<Value>>,
}

/// An element type by the protocol's name.
#[derive(Deserialize, Serialize)]
struct Datatype;

impl JsonSchema for Datatype {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Datatype".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: std::collections::BTreeSet<&str> =
            caisson_data::DataType::ALL.iter().map(|t| t.oip_name()).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}
