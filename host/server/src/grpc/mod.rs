//! The gRPC edge: the Open Inference Protocol's service, health checking and reflection.
//!
//! Calls come through the same listener as HTTP, pass the same guard ([`crate::http::auth`]) and end
//! in the same functions; what differs is the form of messages and errors. Around each method, from
//! outside in: [`deadline`] and the form of errors; panics; the guard with the method's rule; the
//! message's arrival. A method that isn't in [`METHODS`] is not there, whatever the generated service
//! has.

mod contents;
mod deadline;
mod described;
mod health;
mod infer;
mod message;
mod service;
mod status;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post_service};
use caisson_access::Action;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::health_server::HealthServer;
use tower_http::catch_panic::CatchPanicLayer;

use crate::http::auth::{Guard, Rule};
use crate::http::error::ApiError;
use crate::http::{self, Context, body};
use proto::grpc_inference_service_server::GrpcInferenceServiceServer;

/// Messages and the service, made from `proto/`.
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    reason = "written by a program"
)]
pub(crate) mod proto {
    include!(concat!(env!("OUT_DIR"), "/server/inference.rs"));
}

/// The protocol in its own words, for clients that ask.
const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/inference.bin"));
/// A call without tensors: names, versions and a few parameters.
const CALL_BYTES_MAX: usize = body::SETTINGS_BYTES_MAX as usize;

/// What answers a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// The inference service, whose messages are small.
    Call,
    /// The inference service, where messages carry tensors.
    Infer,
    Health,
    Reflection,
    ReflectionAlpha,
}

/// One method: who may call it, and what answers.
struct Method {
    path: &'static str,
    rule: Rule,
    service: Service,
}

macro_rules! methods {
    ($($name:literal { $($method:literal $rule:expr => $service:ident),+ $(,)? })+) => {
        &[$($(Method {
            path: concat!("/", $name, "/", $method),
            rule: $rule,
            service: Service::$service,
        },)+)+]
    };
}

/// Every method of the server. There is no other way to add one, so none is without a rule. What a
/// call is about stands in its message, so methods about one deployment ask once they have read it.
const METHODS: &[Method] = methods! {
    "inference.GRPCInferenceService" {
        "ServerLive" Rule::Public => Call,
        "ServerReady" Rule::Public => Call,
        "ServerMetadata" Rule::Public => Call,
        "ModelReady" Rule::Asks(Action::DeploymentRead) => Call,
        "ModelMetadata" Rule::Asks(Action::DeploymentRead) => Call,
        "ModelConfig" Rule::Asks(Action::DeploymentRead) => Call,
        "ModelStatistics" Rule::Asks(Action::DeploymentRead) => Call,
        "ModelInfer" Rule::Asks(Action::DeploymentPredict) => Infer,
        "RepositoryIndex" Rule::On(Action::DeploymentList) => Call,
        "RepositoryModelLoad" Rule::Asks(Action::DeploymentLoad) => Call,
        "RepositoryModelUnload" Rule::Asks(Action::DeploymentUnload) => Call,
    }
    "grpc.health.v1.Health" {
        "Check" Rule::Public => Health,
        "Watch" Rule::Public => Health,
    }
    "grpc.reflection.v1.ServerReflection" {
        "ServerReflectionInfo" Rule::Public => Reflection,
    }
    "grpc.reflection.v1alpha.ServerReflection" {
        "ServerReflectionInfo" Rule::Public => ReflectionAlpha,
    }
};

/// The routes of all [`METHODS`], for a router that has others too. A message with tensors may have
/// `message_bytes_max` bytes.
///
/// # Errors
///
/// The description of the protocol in this program is damaged.
pub(crate) fn routes(context: &Context, message_bytes_max: usize) -> anyhow::Result<Router> {
    let inference = Arc::new(service::Inference::new(context.clone(), message_bytes_max));
    let serve = |bytes_max| {
        GrpcInferenceServiceServer::from_arc(Arc::clone(&inference))
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Deflate)
            .max_decoding_message_size(bytes_max)
            // Past this no client reads it: lengths are 32 bits.
            .max_encoding_message_size(u32::MAX as usize)
    };
    let (call, infer) = (serve(CALL_BYTES_MAX), serve(message_bytes_max));
    let health = HealthServer::new(health::Health::new(Arc::clone(&context.app)))
        .max_decoding_message_size(CALL_BYTES_MAX);
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection = described().build_v1()?.max_decoding_message_size(CALL_BYTES_MAX);
    let alpha = described()
        .build_v1alpha()?
        .max_decoding_message_size(CALL_BYTES_MAX);
    Ok(METHODS.iter().fold(Router::new(), |router, method| {
        let bytes_max = match method.service {
            Service::Infer => message_bytes_max,
            _ => CALL_BYTES_MAX,
        };
        let handler: MethodRouter = match method.service {
            Service::Call => post_service(call.clone()),
            Service::Infer => post_service(infer.clone()),
            Service::Health => post_service(health.clone()),
            Service::Reflection => post_service(reflection.clone()),
            Service::ReflectionAlpha => post_service(alpha.clone()),
        };
        let handler = handler
            .layer::<_, Infallible>(from_fn_with_state(bytes_max, message::arrive))
            .layer::<_, Infallible>(Guard::new(context, method.rule, method.path))
            .layer::<_, Infallible>(CatchPanicLayer::custom(http::panicked))
            .layer(from_fn(deadline::within));
        router.route(method.path, handler)
    }))
}

/// A router for a port where there is gRPC alone.
///
/// # Errors
///
/// As of [`routes`].
pub(crate) fn router(context: &Context, message_bytes_max: usize) -> anyhow::Result<Router> {
    let alone = async |request: Request| match is_call(request.headers()) {
        true => unimplemented(),
        false => ApiError::not_found("on this port there is gRPC alone").into_response(),
    };
    Ok(routes(context, message_bytes_max)?.fallback(alone))
}

/// Is this a gRPC call?
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The answer for a method that isn't there. Without a message: clients that only want to know whether
/// a server has a method, as perf_analyzer does, take a message for a failure.
pub(crate) fn unimplemented() -> Response {
    tonic::Status::unimplemented("").into_http()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use std::collections::BTreeSet;

    /// The paths of all methods that the served protocols have.
    fn described() -> BTreeSet<String> {
        let sets = [
            DESCRIPTOR,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut paths = BTreeSet::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    for method in &service.method {
                        paths.insert(format!(
                            "/{}.{}/{}",
                            file.package(),
                            service.name(),
                            method.name()
                        ));
                    }
                }
            }
        }
        paths
    }

    #[test]
    fn every_method_has_a_rule_and_few_are_public() {
        let ruled: BTreeSet<String> = METHODS.iter().map(|m| m.path.to_owned()).collect();
        assert_eq!(ruled.len(), METHODS.len(), "a method comes twice");
        assert_eq!(ruled, described());
        // Whoever adds one here has looked at what it tells strangers.
        let open: Vec<_> = METHODS
            .iter()
            .filter(|m| m.rule.action().is_none())
            .map(|m| m.path.rsplit('/').next().unwrap())
            .collect();
        assert_eq!(
            open,
            [
                "ServerLive",
                "ServerReady",
                "ServerMetadata",
                "Check",
                "Watch",
                "ServerReflectionInfo",
                "ServerReflectionInfo"
            ]
        );
        // A path has no names in it that a rule could ask about.
        for method in METHODS {
            assert!(
                !matches!(method.rule, Rule::Tenant(_) | Rule::Server(_)),
                "{}",
                method.path
            );
        }
    }
}
