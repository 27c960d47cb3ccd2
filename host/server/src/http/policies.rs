//! `/v1/tenants/{tenant}/policies`: a tenant's own Cedar policies, beside those of the roles.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_access::PolicyRecord;
use caisson_registry::TenantId;
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::Caller;
use super::error::ApiError;
use super::extract::Path;
use super::{Context, blocking, body, json};

/// All of them.
pub(crate) async fn list(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let access = context.app.access.clone();
    let policies = blocking(move || access.policies(&tenant)).await??;
    Ok(json(StatusCode::OK, &PolicyList { policies }))
}

/// A tenant's own policies.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PolicyList {
    policies: Vec<PolicyRecord>,
}

/// One of them.
pub(crate) async fn show(
    State(context): State<Context>,
    Path((tenant, name)): Path<(TenantId, String)>,
) -> Result<Response, ApiError> {
    let access = context.app.access.clone();
    let policy = blocking(move || access.policy(&tenant, &name)).await??;
    Ok(json(StatusCode::OK, &policy))
}

/// Write one, from its Cedar text. It decides from when this answers.
pub(crate) async fn put(
    State(context): State<Context>,
    caller: Caller,
    Path((tenant, name)): Path<(TenantId, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = body::read(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    let text = String::from_utf8(bytes.into())
        .map_err(|e| ApiError::bad_request("policy", format!("the policy is not UTF-8: {e}")))?;
    let access = context.app.access.clone();
    let policy = blocking(move || access.put_policy(&tenant, &name, &text, caller.principal())).await??;
    Ok(json(StatusCode::OK, &policy))
}

/// Delete one.
pub(crate) async fn delete(
    State(context): State<Context>,
    Path((tenant, name)): Path<(TenantId, String)>,
) -> Result<Response, ApiError> {
    let access = context.app.access.clone();
    let policy = blocking(move || access.delete_policy(&tenant, &name)).await??;
    Ok(json(StatusCode::OK, &policy))
}
