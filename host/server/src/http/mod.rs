//! The HTTP edge: routes, and what is common to them; [`crate::grpc`] is the other edge.
//!
//! This crate is the only one that knows HTTP and gRPC. A handler decodes, calls `caisson-serving` or
//! `caisson-registry`, and encodes; it decides nothing about predictions itself.

mod alerts;
mod audit;
pub(crate) mod auth;
pub(crate) mod body;
mod deployments;
mod edge;
mod encoding;
pub(crate) mod error;
mod extract;
mod health;
mod insight;
mod keys;
pub(crate) mod listener;
mod logged;
mod metrics;
mod model_life;
mod models;
pub(crate) mod oip;
pub(crate) mod openapi;
mod peers;
mod plugins;
mod policies;
mod predict;
mod stream;
mod tenants;
mod truth;
mod unread;
mod windows;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use caisson_access::Action;
use caisson_registry::{Models, Plugins, RegistryError, TenantId};

use crate::app::App;
use crate::grpc;
pub(crate) use audit::STREAMS_MAX;
use auth::{Guard, Rule};
use error::ApiError;
pub(crate) use stream::{Form, parquet_worker_main};

/// Bytes that are decoded or encoded on the request threads at most. At the 100 to 300 MB a second of the
/// slowest codec, rows JSON, this holds a thread for the tick that a plugin may (2 ms).
const INLINE_BYTES_MAX: usize = 256 << 10;

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct Context {
    /// The composed system.
    pub(crate) app: Arc<App>,
}

impl Context {
    /// What handlers of this system get.
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Context {
    /// Ask or change the registry of models, off the request threads.
    async fn models<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Models) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let models = self.app.models.clone();
        Ok(blocking(move || work(&models)).await??)
    }

    /// Ask or change the registry of plugins, off the request threads.
    async fn plugins<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Plugins) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let plugins = self.app.plugins.clone();
        Ok(blocking(move || work(&plugins)).await??)
    }
}

/// One method of one path: who may call it, and what answers.
pub(crate) struct Route {
    path: &'static str,
    method: Method,
    rule: Rule,
    handler: MethodRouter<Context>,
}

/// Every route of the server. There is no other way to add one, so none is without a rule.
pub(crate) fn routes() -> Vec<Route> {
    use Action as A;
    use Rule::{AnyKey, Asks, Known, On, Public, Server, Tenant};
    let mut routes = Vec::new();
    macro_rules! routes {
        ($($path:literal { $($verb:ident $rule:expr => $handler:path),+ $(,)? })+) => {
            $($(routes.push(Route {
                path: $path,
                method: method_of!($verb),
                rule: $rule,
                handler: $verb($handler),
            });)+)+
        };
    }
    macro_rules! method_of {
        (get) => {
            Method::GET
        };
        (post) => {
            Method::POST
        };
        (put) => {
            Method::PUT
        };
        (patch) => {
            Method::PATCH
        };
        (delete) => {
            Method::DELETE
        };
    }
    routes! {
        "/v2" { get Public => oip::metadata::server }
        "/v2/health/live" { get Public => health::live }
        "/v2/health/ready" { get Known => health::ready }
        "/v2/models/stats" { get On(A::DeploymentList) => oip::statistics::all }
        "/v2/models/{name}" { get On(A::DeploymentRead) => oip::metadata::model }
        "/v2/models/{name}/ready" { get On(A::DeploymentRead) => oip::metadata::ready }
        "/v2/models/{name}/config" { get On(A::DeploymentRead) => oip::config::show }
        "/v2/models/{name}/stats" { get On(A::DeploymentRead) => oip::statistics::show }
        "/v2/models/{name}/infer" { post On(A::DeploymentPredict) => oip::infer::infer }
        "/v2/models/{name}/versions/{version}" { get On(A::DeploymentRead) => oip::metadata::model }
        "/v2/models/{name}/versions/{version}/ready" { get On(A::DeploymentRead) => oip::metadata::ready }
        "/v2/models/{name}/versions/{version}/config" { get On(A::DeploymentRead) => oip::config::show }
        "/v2/models/{name}/versions/{version}/stats" { get On(A::DeploymentRead) => oip::statistics::show }
        "/v2/models/{name}/versions/{version}/infer" { post On(A::DeploymentPredict) => oip::infer::infer }
        "/v2/repository/index" { post On(A::DeploymentList) => oip::repository::index }
        "/v2/repository/models/{name}/load" { post On(A::DeploymentLoad) => oip::repository::load }
        "/v2/repository/models/{name}/unload" { post On(A::DeploymentUnload) => oip::repository::unload }
        "/v1/whoami" { get AnyKey => tenants::whoami }
        "/v1/plugins" { get On(A::PluginList) => plugins::list, post Asks(A::PluginPush) => plugins::push }
        "/v1/plugins/{name}" { get On(A::PluginRead) => plugins::versions }
        "/v1/plugins/{name}/{version}" {
            get On(A::PluginRead) => plugins::show,
            delete On(A::PluginDelete) => plugins::delete,
        }
        "/v1/plugins/{name}/{version}/yank" {
            post Asks(A::PluginYank) => plugins::yank,
            delete Asks(A::PluginYank) => plugins::unyank,
        }
        "/v1/models" { get On(A::ModelList) => models::list }
        "/v1/models/{name}" { get On(A::ModelRead) => models::versions, post On(A::ModelRegister) => models::push }
        "/v1/models/{name}/aliases" { get On(A::ModelRead) => model_life::aliases }
        "/v1/models/{name}/aliases/{alias}" {
            put Asks(A::ModelSetAlias) => model_life::set_alias,
            delete Asks(A::ModelSetAlias) => model_life::remove_alias,
        }
        "/v1/models/{name}/{version}" {
            get On(A::ModelRead) => models::show,
            patch On(A::ModelDescribe) => model_life::update,
            delete On(A::ModelDelete) => model_life::delete,
        }
        "/v1/models/{name}/{version}/stage" {
            get On(A::ModelRead) => model_life::stage,
            post Asks(A::ModelSubmit) => model_life::transition,
        }
        "/v1/deployments" { get On(A::DeploymentList) => deployments::list, post Asks(A::DeploymentDeploy) => deployments::apply }
        "/v1/deployments/{name}" {
            get On(A::DeploymentRead) => deployments::show,
            delete On(A::DeploymentDelete) => deployments::delete,
        }
        "/v1/deployments/{name}/revisions" { get On(A::DeploymentRead) => deployments::history }
        "/v1/deployments/{name}/revisions/{number}" { get On(A::DeploymentRead) => deployments::revision }
        "/v1/deployments/{name}/diff" { get On(A::DeploymentRead) => deployments::diff }
        "/v1/deployments/{name}/rollback" { post On(A::DeploymentRollback) => deployments::rollback }
        "/v1/deployments/{name}/predict" { post On(A::DeploymentPredict) => predict::predict }
        "/v1/deployments/{name}/drift" {
            get On(A::DeploymentRead) => windows::drift,
            post On(A::DeploymentDrift) => predict::drift,
        }
        "/v1/deployments/{name}/statistics" { get On(A::DeploymentRead) => windows::statistics }
        "/v1/deployments/{name}/diagnosis" { get On(A::DeploymentRead) => insight::diagnosis }
        "/v1/deployments/{name}/report" { get On(A::DeploymentRead) => insight::report }
        "/v1/deployments/{name}/log" { get On(A::DeploymentRead) => logged::status }
        "/v1/deployments/{name}/predictions" { get On(A::DeploymentReadPredictions) => logged::predictions }
        "/v1/deployments/{name}/feedback" {
            get On(A::DeploymentRead) => truth::labels,
            post On(A::DeploymentFeedback) => truth::feedback,
        }
        "/v1/deployments/{name}/performance" {
            get On(A::DeploymentRead) => truth::performance,
            post On(A::DeploymentEvaluate) => truth::evaluate,
        }
        "/v1/deployment-schema.json" { get Public => deployments::schema }
        "/v1/alert-rules" { get On(A::AlertRead) => alerts::rules, put On(A::AlertConfigure) => alerts::put_rules }
        "/v1/alert-rules-schema.json" { get Public => alerts::schema }
        "/v1/alerts" { get On(A::AlertRead) => alerts::list }
        "/v1/silences" { get On(A::AlertRead) => alerts::silences, post On(A::AlertSilence) => alerts::silence }
        "/v1/silences/{id}" { delete On(A::AlertSilence) => alerts::end_silence }
        "/v1/receivers" { get On(A::ReceiverRead) => alerts::receivers }
        "/v1/receivers/{name}" {
            put On(A::ReceiverUpdate) => alerts::put_receiver,
            delete On(A::ReceiverDelete) => alerts::delete_receiver,
        }
        "/v1/receivers/{name}/test" { post On(A::ReceiverTest) => alerts::test_receiver }
        "/v1/tenants" { get Server(A::TenantList) => tenants::list, post Server(A::TenantCreate) => tenants::create }
        "/v1/tenants/{tenant}" { get Tenant(A::TenantRead) => tenants::show, delete Tenant(A::TenantDelete) => tenants::delete }
        "/v1/tenants/{tenant}/suspend" { post Tenant(A::TenantSuspend) => tenants::suspend }
        "/v1/tenants/{tenant}/resume" { post Tenant(A::TenantResume) => tenants::resume }
        "/v1/tenants/{tenant}/quotas" { put Tenant(A::QuotaUpdate) => tenants::set_quotas }
        "/v1/tenants/{tenant}/settings" { put Tenant(A::TenantConfigure) => tenants::set_settings }
        "/v1/tenants/{tenant}/usage" { get Tenant(A::QuotaRead) => tenants::usage }
        "/v1/tenants/{tenant}/keys" { get Tenant(A::KeyList) => keys::list, post Tenant(A::KeyCreate) => keys::create }
        "/v1/tenants/{tenant}/keys/{id}" { delete Tenant(A::KeyRevoke) => keys::revoke }
        "/v1/tenants/{tenant}/policies" { get Tenant(A::PolicyRead) => policies::list }
        "/v1/tenants/{tenant}/policies/{policy}" {
            get Tenant(A::PolicyRead) => policies::show,
            put Tenant(A::PolicyUpdate) => policies::put,
            delete Tenant(A::PolicyDelete) => policies::delete,
        }
        "/v1/audit" { get Asks(A::AuditRead) => audit::tail }
        "/v1/audit/export" { get Asks(A::AuditRead) => audit::export }
        "/v1/audit/verify" { post Asks(A::AuditRead) => audit::verify }
        "/v1/backup" { post Server(A::BackupCreate) => audit::backup }
        "/metrics" { get AnyKey => metrics::render }
        "/openapi.json" { get Public => openapi::serve }
    }
    routes
}

/// The router of all [`routes`]. What is around every request besides its guard is in [`edge`]: a layer here
/// would clone and box each route once more for every request.
pub(crate) fn router(context: Context) -> Router {
    let with_query = openapi::with_query();
    let guarded = routes().into_iter().fold(Router::new(), |router, route| {
        let layer = Guard::new(&context, route.rule, route.path);
        // Of the protocol's and the scrapers' routes a client may ask whatever it is used to.
        let strict = route.path.starts_with("/v1/");
        let handler = match strict && !with_query.contains(&(route.method.to_string(), route.path)) {
            true => route.handler.route_layer(from_fn(no_query)),
            false => route.handler,
        };
        router.route(route.path, handler.route_layer(layer))
    });
    guarded
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(context)
}

/// Refuse a query where none is read: who adds `dry_run=true` must not be taken to mean it.
async fn no_query(request: Request, next: Next) -> Response {
    match request.uri().query() {
        None | Some("") => next.run(request).await,
        Some(_) => {
            let (parts, body) = request.into_parts();
            body::discard(&parts.headers, body).await;
            let message = format!("`{}` takes no parameters in its query", parts.uri.path());
            ApiError::bad_request("bad-query", message).into_response()
        }
    }
}

async fn no_route(uri: Uri, headers: HeaderMap) -> Response {
    if grpc::is_call(&headers) {
        return grpc::unimplemented();
    }
    ApiError::not_found(format!(
        "there is no route `{}`; `GET /openapi.json` lists them",
        uri.path()
    ))
    .into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        format!("`{}` does not take {method}", uri.path()),
    )
}

/// A handler panicked: a defect of ours, answered like any other so that the connection lives.
pub(crate) fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let cause = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("panic without a message");
    ApiError::internal(cause).into_response()
}

/// A body of at most `limit` bytes that is an object in JSON.
///
/// # Errors
///
/// Those of [`body::read`]; 400 for what isn't JSON of this form.
pub(crate) async fn read_json<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: axum::body::Body,
    limit: u64,
) -> Result<T, ApiError> {
    let bytes = body::read(headers, body, limit).await?;
    json_object(&bytes).map_err(|why| ApiError::bad_request("bad-body", format!("the body: {why}")))
}

/// An object in JSON. serde takes a list for a struct too, field by field in the order in which they
/// happen to stand in the source; nobody means that.
///
/// # Errors
///
/// What is wrong with it, in words.
pub(crate) fn json_object<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.trim_ascii_start().first() {
        Some(b'[') => Err("it is a list, and an object is needed".to_owned()),
        _ => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
    }
}

/// An answer in JSON, with `Content-Type: application/json` exactly.
pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => json_bytes(status, bytes),
        Err(error) => ApiError::internal(error).into_response(),
    }
}

/// An answer that is JSON already.
pub(crate) fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        bytes,
    )
        .into_response()
}

/// The media type of a body, without parameters and in lower case; `None` when the client says
/// none, which several public clients do.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase(),
    )
}

/// Work whose length a caller chooses, as decoding a body or encoding an answer of this many bytes: where
/// we stand if it is short, else where it is in nobody's way and on its tenant's account.
pub(crate) async fn sized<T: Send + 'static>(
    context: &Context,
    tenant: &TenantId,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes <= INLINE_BYTES_MAX {
        return work();
    }
    let app = &context.app;
    app.sandbox.aside(&app.meters.of(tenant), work).await
}

/// Run a call that may touch the disk off the request threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_has_a_rule_and_few_are_public() {
        let routes = routes();
        let mut seen = BTreeSet::new();
        let mut open = Vec::new();
        for route in &routes {
            assert!(
                seen.insert((route.path, route.method.to_string())),
                "{} {} twice",
                route.method,
                route.path
            );
            match route.rule {
                Rule::Public | Rule::Known | Rule::AnyKey => open.push(route.path),
                // What a rule asks about has to be in the path.
                Rule::Tenant(_) => assert!(route.path.contains("{tenant}"), "{}", route.path),
                Rule::Server(_) => assert!(!route.path.contains("{name}"), "{}", route.path),
                Rule::On(_) | Rule::Asks(_) => {
                    assert!(!route.path.contains("{tenant}"), "{}", route.path);
                }
            }
        }
        // Whoever adds one here has looked at what it tells strangers.
        assert_eq!(
            open,
            [
                "/v2",
                "/v2/health/live",
                "/v2/health/ready",
                "/v1/whoami",
                "/v1/deployment-schema.json",
                "/v1/alert-rules-schema.json",
                "/metrics",
                "/openapi.json"
            ]
        );
        let unsafe_methods = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        for route in routes
            .iter()
            .filter(|route| unsafe_methods.contains(&route.method))
        {
            assert!(
                route.rule.action().is_some(),
                "{} {} changes things for anyone",
                route.method,
                route.path
            );
        }
    }

    #[test]
    fn every_action_is_asked_for_somewhere() {
        let asked: BTreeSet<&str> = routes()
            .iter()
            .filter_map(|route| route.rule.action())
            .map(Action::as_str)
            .collect();
        let elsewhere = [
            // Asked for by the handlers of aliases, stages and metrics.
            "model:set-protected-alias",
            "model:approve",
            "model:reject",
            "model:archive",
            "metrics:read",
        ];
        for action in Action::ALL {
            let name = action.as_str();
            assert!(asked.contains(name) != elsewhere.contains(&name), "{name}");
        }
    }
}
