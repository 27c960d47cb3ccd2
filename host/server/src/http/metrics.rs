//! `/metrics`: what each caller may see, as Prometheus text or OpenMetrics.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use caisson_access::Action;
use caisson_metrics::Format;

use super::auth::Caller;
use super::error::ApiError;
use super::{Context, blocking};
use crate::observe::scrape::{self, Seen};

/// Everything, for who may watch the whole server; for others their own tenant's series.
pub(crate) async fn render(
    State(context): State<Context>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let seen = seen(&context, &caller);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::of_accept(accept.unwrap_or_default());
    let app = context.app;
    let text = blocking(move || scrape::read(&app, &seen).map(|samples| samples.finish(format)))
        .await?
        .map_err(ApiError::internal)?;
    let kind = HeaderValue::from_static(format.content_type());
    // What is between client and server and keeps answers must keep both.
    let vary = HeaderValue::from_static("accept");
    Ok(([(header::CONTENT_TYPE, kind), (header::VARY, vary)], text).into_response())
}

fn seen(context: &Context, caller: &Caller) -> Seen {
    let everything = context.app.developer.is_some()
        || caisson_access::SYSTEM_TENANT
            .parse()
            .is_ok_and(|system| caller.allow_on(Action::MetricsRead, &system, "*").is_ok());
    let own = caller.tenant().clone();
    match caller.principal().deployments() {
        _ if everything => Seen::Everything,
        None => Seen::Tenant(own),
        Some(only) => Seen::Deployments(own, only.clone()),
    }
}
