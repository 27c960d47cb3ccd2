//! `/v1/tenants/{tenant}/keys`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use caisson_access::{KeyRecord, NewKey};
use caisson_registry::TenantId;
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::{Caller, Detail};
use super::error::ApiError;
use super::extract::Path;
use super::{Context, blocking, body, json, read_json};

/// A tenant's keys, without their secrets.
pub(crate) async fn list(
    State(context): State<Context>,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let access = context.app.access.clone();
    let keys = blocking(move || access.keys(&tenant)).await??;
    Ok(json(StatusCode::OK, &KeyList { keys }))
}

/// Keys, without their secrets.
#[derive(Serialize, JsonSchema)]
pub(crate) struct KeyList {
    keys: Vec<KeyRecord>,
}

/// A key that was just made.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MadeKey<'a> {
    /// What requests carry; shown here and never again.
    key: &'a str,
    record: &'a KeyRecord,
}

/// Make a key. This answer is the only place where its text ever is.
pub(crate) async fn create(
    State(context): State<Context>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let new: NewKey = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    let access = context.app.access.clone();
    let (owner, by) = (tenant.clone(), Arc::clone(caller.principal()));
    let (record, text) = blocking(move || access.create_key(&owner, new, &by)).await??;
    caller.is_about(&tenant, &record.id);
    let mut response = json(
        StatusCode::CREATED,
        &MadeKey {
            key: text.expose(),
            record: &record,
        },
    );
    let detail = format!("`{}`, {}", record.name, record.role);
    response.extensions_mut().insert(Detail(detail));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Take a key back. When this answers, nobody gets in with it.
pub(crate) async fn revoke(
    State(context): State<Context>,
    caller: Caller,
    Path((tenant, id)): Path<(TenantId, String)>,
) -> Result<Response, ApiError> {
    let access = context.app.access.clone();
    let record = blocking(move || access.revoke_key(&tenant, &id, caller.principal())).await??;
    Ok(json(StatusCode::OK, &record))
}
