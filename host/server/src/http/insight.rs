//! `GET /v1/deployments/{name}/diagnosis` and `…/report`: why is it slow, why is it wrong, and a page to
//! look at.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::auth::Caller;
use super::error::ApiError;
use super::extract::Path;
use super::{Context, json, sized};
use crate::insight;

/// About what laying out a page takes; more than what is done where we stand.
const PAGE_BYTES: usize = 1 << 20;

/// What slows the deployment down and what makes its answers wrong, with the evidence and the next step.
pub(crate) async fn diagnosis(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    let gathered = insight::gather(&context.app, caller.tenant(), &revision).await?;
    Ok(json(StatusCode::OK, &gathered.diagnosis()))
}

/// One page with everything, which loads nothing.
pub(crate) async fn report(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
    let gathered = insight::gather(&context.app, caller.tenant(), &revision).await?;
    let page = sized(&context, caller.tenant(), PAGE_BYTES, move || gathered.page()).await;
    let policy = HeaderValue::try_from(format!("{}; frame-ancestors 'none'", caisson_report::policy()));
    let headers: [(HeaderName, HeaderValue); 4] = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            policy.map_err(ApiError::internal)?,
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, page).into_response())
}
