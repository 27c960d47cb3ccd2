//! `/v1/tenants` and `/v1/whoami`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_access::{Access, AccessError, NewTenant, Quotas, Role, Settings, TenantRecord};
use caisson_registry::{TenantId, Usage};
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::Caller;
use super::error::ApiError;
use super::extract::Path;
use super::{Context, blocking, body, json, read_json};

/// Who the caller's key is.
pub(crate) async fn whoami(caller: Caller) -> Response {
    let principal = caller.principal();
    let body = Whoami {
        tenant: caller.tenant(),
        key: OwnKey {
            id: principal.key_id(),
            name: principal.key_name(),
            role: principal.role(),
            deployments: principal.deployments(),
        },
        operator: caller.is_operator(),
    };
    json(StatusCode::OK, &body)
}

/// Who a key is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Whoami<'a> {
    tenant: &'a TenantId,
    key: OwnKey<'a>,
    /// Is it one of the platform's operators?
    operator: bool,
}

/// The key itself.
#[derive(Serialize, JsonSchema)]
struct OwnKey<'a> {
    /// The public part of its text.
    id: &'a str,
    name: &'a str,
    role: Role,
    /// The only deployments that it is for.
    deployments: Option<&'a BTreeSet<String>>,
}

/// Every tenant.
pub(crate) async fn list(State(context): State<Context>) -> Result<Response, ApiError> {
    let access = context.app.access.clone();
    let tenants = blocking(move || access.tenants()).await??;
    Ok(json(StatusCode::OK, &TenantList { tenants }))
}

/// Every tenant.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TenantList {
    tenants: Vec<TenantRecord>,
}

/// Make a tenant.
pub(crate) async fn create(
    State(context): State<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let new: NewTenant = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    caller.is_about(caller.tenant(), new.id.as_str());
    let record = change(&context, move |access| access.create_tenant(new)).await?;
    Ok(json(StatusCode::CREATED, &record))
}

/// One tenant.
pub(crate) async fn show(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let access = context.app.access.clone();
    let record = blocking(move || access.tenant(&tenant)).await??;
    Ok(json(StatusCode::OK, &record))
}

/// Let none of a tenant's keys in.
pub(crate) async fn suspend(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let record = change(&context, move |access| access.suspend_tenant(&tenant)).await?;
    Ok(json(StatusCode::OK, &record))
}

/// Let them in again.
pub(crate) async fn resume(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let record = change(&context, move |access| access.resume_tenant(&tenant)).await?;
    Ok(json(StatusCode::OK, &record))
}

/// Replace a tenant's quotas.
pub(crate) async fn set_quotas(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let quotas: Quotas = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    let record = change(&context, move |access| access.set_quotas(&tenant, quotas)).await?;
    Ok(json(StatusCode::OK, &record))
}

/// Replace what a tenant decides for itself.
pub(crate) async fn set_settings(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let settings: Settings = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    let record = change(&context, move |access| access.set_settings(&tenant, settings)).await?;
    Ok(json(StatusCode::OK, &record))
}

/// Delete a tenant that owns nothing any more.
pub(crate) async fn delete(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let (access, store, alerts, gone) = (
        context.app.access.clone(),
        context.app.store.clone(),
        context.app.alerts.clone(),
        tenant.clone(),
    );
    let (predictions, truth) = (context.app.predictions.clone(), context.app.truth.clone());
    let monitoring = context.app.monitoring.clone();
    blocking(move || {
        access.delete_tenant(&gone, || {
            let usage = caisson_registry::usage(&store, &gone)?;
            let owned = [
                (usage.deployments, "deployments"),
                (usage.model_versions, "model versions"),
            ];
            let words: Vec<String> = owned
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            Ok((!words.is_empty()).then(|| words.join(" and ")))
        })?;
        // Plugins never go while their tenant is there; now it is gone.
        caisson_registry::forget(&store, &gone)?;
        alerts.forget(gone.as_str())?;
        predictions.forget(gone.as_str()).map_err(ApiError::internal)?;
        truth.forget(gone.as_str())?;
        monitoring
            .forget_tenant(gone.as_str())
            .map_err(ApiError::internal)
    })
    .await??;
    let body = Deleted {
        id: tenant,
        result: "deleted",
    };
    Ok(json(StatusCode::OK, &body))
}

/// A tenant that is gone.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedTenant")]
pub(crate) struct Deleted {
    id: TenantId,
    result: &'static str,
}

/// What a tenant may use, and what it does use.
pub(crate) async fn usage(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let state = context.app.access.tenant_state(&tenant)?;
    let meter = context.app.meters.of(&tenant);
    let usage = context.app.usage(&tenant).await?;
    let body = UsageBody {
        quotas: &state.quotas(),
        usage,
        requests_in_progress: state.requests_in_progress(),
        memory_bytes: meter.memory_bytes(),
        cpu_seconds: meter.cpu_ns() as f64 / 1e9,
    };
    Ok(json(StatusCode::OK, &body))
}

/// What a tenant may use, and what it does use.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TenantUsage")]
pub(crate) struct UsageBody<'a> {
    /// Those that apply: its own, and the host's where it has none.
    quotas: &'a Quotas,
    usage: Usage,
    requests_in_progress: u64,
    /// Of running sandboxed instances.
    memory_bytes: usize,
    /// Of sandboxed code, since the server's start.
    cpu_seconds: f64,
}

/// Change a tenant's record, and tell the sandbox.
async fn change(
    context: &Context,
    work: impl FnOnce(&Access) -> Result<TenantRecord, AccessError> + Send + 'static,
) -> Result<TenantRecord, ApiError> {
    let access = context.app.access.clone();
    let record = blocking(move || work(&access)).await??;
    context.app.apply_to_sandbox(&record.id)?;
    Ok(record)
}
