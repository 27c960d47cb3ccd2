//! The model repository extension: what is there, and taking it out of service and back.
//!
//! Revisions are made by `/v1/deployments`, and never here: a load with a `config` or with files of its
//! own is refused rather than served as if it had none.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_serving::{RepositoryState, UNLOADED};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::auth::Caller;
use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::{Context, body, json, json_object};

/// The parameter of Triton's unload for ensembles. A deployment's stages are its own, so there is
/// nothing else to unload.
const UNLOAD_DEPENDENTS: &str = "unload_dependents";

#[derive(Deserialize, Default, JsonSchema)]
pub(crate) struct RepositoryQuery {
    /// Only what serves.
    #[serde(default)]
    ready: bool,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct RepositoryModel {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    state: RepositoryState,
    reason: String,
}

/// Every deployment, and whether it serves.
pub(crate) async fn index(
    State(context): State<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let query: RepositoryQuery = read(&headers, body).await?;
    let entries: Vec<RepositoryModel> = context
        .app
        .serving
        .repository_index(caller.tenant())
        .into_iter()
        .filter(|entry| !query.ready || entry.state == RepositoryState::Ready)
        .map(|entry| RepositoryModel {
            name: entry.name,
            version: entry.version.map(|number| number.to_string()),
            state: entry.state,
            reason: entry.reason,
        })
        .collect();
    Ok(json(StatusCode::OK, &entries))
}

#[derive(Deserialize, Default, JsonSchema)]
pub(crate) struct RepositoryRequest {
    /// Of an unload, `unload_dependents`; of a load, none.
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// Prepare the live revision again, and serve it.
pub(crate) async fn load(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let wish: RepositoryRequest = read(&headers, body).await?;
    check_load(wish.parameters.keys())?;
    let revision = context.app.serving.load_again(caller.tenant(), &name).await?;
    let body = RepositoryModel {
        name,
        version: Some(revision.number().to_string()),
        state: RepositoryState::Ready,
        reason: String::new(),
    };
    Ok(json(StatusCode::OK, &body))
}

/// Take a deployment out of service.
pub(crate) async fn unload(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let wish: RepositoryRequest = read(&headers, body).await?;
    check_unload(wish.parameters.keys())?;
    context.app.serving.unload(caller.tenant(), &name).await?;
    let body = RepositoryModel {
        name,
        version: None,
        state: RepositoryState::Unavailable,
        reason: UNLOADED.to_owned(),
    };
    Ok(json(StatusCode::OK, &body))
}

/// Refuse parameters of a load, of which there are none here.
///
/// # Errors
///
/// 400, with the first.
pub(crate) fn check_load<'a>(mut parameters: impl Iterator<Item = &'a String>) -> Result<(), ApiError> {
    parameters.next().map_or(Ok(()), |parameter| {
        Err(unknown(
            parameter,
            "change a deployment with POST /v1/deployments",
        ))
    })
}

/// Refuse parameters of an unload but the one that means nothing here.
///
/// # Errors
///
/// 400, with the first.
pub(crate) fn check_unload<'a>(mut parameters: impl Iterator<Item = &'a String>) -> Result<(), ApiError> {
    parameters
        .find(|key| *key != UNLOAD_DEPENDENTS)
        .map_or(Ok(()), |parameter| {
            Err(unknown(parameter, "an unload takes none but `unload_dependents`"))
        })
}

fn unknown(parameter: &str, instead: &str) -> ApiError {
    ApiError::bad_request(
        "bad-parameter",
        format!(
            "the parameter `{}` is not taken here: {instead}",
            caisson_registry::shown(parameter)
        ),
    )
}

/// A body in JSON, or none at all.
async fn read<T: serde::de::DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, ApiError> {
    let bytes = body::read(headers, body, body::SETTINGS_BYTES_MAX).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    json_object(&bytes).map_err(|why| ApiError::bad_request("bad-body", format!("the body: {why}")))
}
