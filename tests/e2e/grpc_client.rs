//! A gRPC client of a test's server, made from the server's own protocol files.

use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::harness::{Keyed, Server};
use proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use proto::infer_parameter::ParameterChoice;
use proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use proto::{InferParameter, InferTensorContents, ModelInferRequest};

#[allow(clippy::all, clippy::pedantic, reason = "written by a program")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/client/inference.rs"));
}

/// A machine that tests in parallel answers late, never in longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a key along, if there is one.
#[derive(Clone)]
pub struct Bearer(Option<AsciiMetadataValue>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

pub type Client = GrpcInferenceServiceClient<InterceptedService<Channel, Bearer>>;

/// Run a test's calls.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("a call hangs") })
}

/// A connection, made at the first call.
pub fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy()
}

/// A client of the port that HTTP has, with this caller's key.
pub fn client(caller: &Keyed) -> Client {
    client_at(&caller.url, caller.key())
}

pub fn client_at(url: &str, key: Option<&str>) -> Client {
    let bearer = key.map(|key| format!("Bearer {key}").parse().unwrap());
    GrpcInferenceServiceClient::with_interceptor(channel(url), Bearer(bearer))
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX)
}

/// An input without its data.
pub fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..InferInputTensor::default()
    }
}

/// The column `x` of [`one_column`](crate::harness::one_column), typed.
pub fn typed(model: &str, x: &[f32]) -> ModelInferRequest {
    let contents = InferTensorContents {
        fp32_contents: x.to_vec(),
        ..InferTensorContents::default()
    };
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![InferInputTensor {
            contents: Some(contents),
            ..input("x", "FP32", &[x.len() as i64])
        }],
        ..ModelInferRequest::default()
    }
}

/// The same, raw.
pub fn raw(model: &str, x: &[f32]) -> ModelInferRequest {
    let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![input("x", "FP32", &[x.len() as i64])],
        raw_input_contents: vec![bytes.into()],
        ..ModelInferRequest::default()
    }
}

pub fn wanted(name: &str) -> InferRequestedOutputTensor {
    InferRequestedOutputTensor {
        name: name.to_owned(),
        ..InferRequestedOutputTensor::default()
    }
}

pub fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter {
        parameter_choice: Some(choice),
    }
}

/// What a call was refused with: its code, the reason in its details, and its message.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, String) {
    let status = answer.expect_err("it was not refused");
    let details = status.get_error_details();
    (status.code(), reason(&details), status.message().to_owned())
}

pub fn reason(details: &ErrorDetails) -> String {
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// A server, with a deployment `clipped` that clips `x` at 1.
pub fn with_clip(flags: &[&str]) -> Server {
    use serde_json::json;
    let server = Server::spawn(tempfile::tempdir().unwrap(), flags);
    server.push(&crate::harness::plugin("clip"));
    server.deploy(&crate::harness::one_column(
        "clipped",
        json!([{"plugin": "clip", "config": {"columns": {"x": {"min": 0, "max": 1}}}}]),
    ));
    server
}
