//! The HTTP edge: routes, and what is common to them.
//!
//! This crate is the only one that knows HTTP. A handler decodes, calls `caisson-serving` or
//! `caisson-registry`, and encodes; it decides nothing about predictions itself.

mod body;
mod deployments;
mod error;
mod extract;
mod health;
pub(crate) mod listener;
mod models;
mod oip;
mod plugins;
mod predict;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use caisson_registry::TenantId;
use metrics_exporter_prometheus::PrometheusHandle;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use error::ApiError;

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct Context {
    /// The composed system.
    pub(crate) app: Arc<App>,
    /// Renders `/metrics`.
    pub(crate) metrics: PrometheusHandle,
}

impl Context {
    /// What handlers of this system get.
    pub(crate) fn new(app: Arc<App>, metrics: PrometheusHandle) -> Self {
        Self { app, metrics }
    }

    /// The tenant of a request. Until keys arrive there is one, which owns everything.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.app.tenant
    }
}

/// Every route of the server.
pub(crate) fn router(context: Context) -> Router {
    Router::new()
        .route("/v2", get(oip::server_metadata))
        .route("/v2/health/live", get(health::live))
        .route("/v2/health/ready", get(health::ready))
        .route("/v2/models/{name}", get(oip::model_metadata))
        .route("/v2/models/{name}/versions/{version}", get(oip::version_metadata))
        .route("/v2/models/{name}/ready", get(oip::model_ready))
        .route(
            "/v2/models/{name}/versions/{version}/ready",
            get(oip::version_ready),
        )
        .route("/v2/models/{name}/infer", post(oip::infer))
        .route(
            "/v2/models/{name}/versions/{version}/infer",
            post(oip::infer_version),
        )
        .route("/v1/plugins", get(plugins::list).post(plugins::push))
        .route("/v1/plugins/{name}", get(plugins::versions))
        .route("/v1/plugins/{name}/{version}", get(plugins::show))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{name}", get(models::versions).post(models::push))
        .route("/v1/models/{name}/{version}", get(models::show))
        .route("/v1/deployments", get(deployments::list).post(deployments::apply))
        .route(
            "/v1/deployments/{name}",
            get(deployments::show).delete(deployments::delete),
        )
        .route("/v1/deployments/{name}/predict", post(predict::predict))
        .route("/v1/deployments/{name}/drift", post(predict::drift))
        .route("/metrics", get(render_metrics))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        // Every route bounds its body itself, see `body`; axum's 2 MB would refuse most models.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(map_response_with_state(context.clone(), close_while_draining))
        .with_state(context)
}

/// A server that is about to stop asks its clients to open their next connection elsewhere; the
/// connections are idle or gone when it closes them.
async fn close_while_draining(State(context): State<Context>, mut response: Response) -> Response {
    if context.app.is_draining() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn no_route(uri: Uri) -> ApiError {
    ApiError::not_found(format!(
        "there is no route `{}`; the README lists them",
        uri.path()
    ))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        format!("`{}` does not take {method}", uri.path()),
    )
}

/// A handler panicked: a defect of ours, answered like any other so that the connection lives.
fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let cause = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("panic without a message");
    ApiError::internal(cause).into_response()
}

async fn render_metrics(State(context): State<Context>) -> Response {
    context.app.serving.publish_metrics();
    let text = context.metrics.render();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
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

/// Run a call that may touch the disk off the request threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ApiError::internal)
}
