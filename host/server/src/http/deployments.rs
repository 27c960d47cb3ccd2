//! `/v1/deployments`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_serving::{ApplyResult, Change, DeploymentSpec, LoadState, Plan, Revision};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::{Path, Query};
use super::{Context, body, json};

/// Who made a revision, until requests carry keys.
const AUTHOR: &str = "local";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyQuery {
    /// Check and answer with the plan; change nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize)]
struct PlanBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(flatten)]
    plan: &'a Plan,
}

#[derive(Serialize)]
struct DeploymentBody<'a> {
    name: &'a str,
    revision: u64,
    created_at: &'a str,
    #[serde(flatten)]
    plan: &'a Plan,
    spec: &'a DeploymentSpec,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

#[derive(Serialize)]
struct DeploymentList {
    deployments: Vec<Listed>,
}

/// Apply a deployment file: 201 for a new deployment, 200 for a new revision or none.
pub(crate) async fn apply(
    State(context): State<Context>,
    Query(query): Query<ApplyQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = body::read(&headers, body, body::SPEC_BYTES_MAX).await?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|e| ApiError::bad_request("deployment-file", format!("the file is not UTF-8: {e}")))?;
    let spec =
        DeploymentSpec::parse(text).map_err(|e| ApiError::bad_request("deployment-file", e.to_string()))?;
    let (serving, tenant) = (&context.app.serving, context.tenant());
    if query.dry_run {
        let name = spec.name.clone();
        let plan = serving.plan(tenant, spec).await?;
        return Ok(json(
            StatusCode::OK,
            &PlanBody {
                name: &name,
                revision: None,
                result: None,
                plan: &plan,
            },
        ));
    }
    let change = Change {
        author: AUTHOR,
        message: None,
    };
    let applied = serving.apply(tenant, spec, change).await?;
    let (status, result) = match applied.result {
        ApplyResult::Created => (StatusCode::CREATED, "created"),
        ApplyResult::Updated => (StatusCode::OK, "updated"),
        ApplyResult::Unchanged => (StatusCode::OK, "unchanged"),
    };
    let revision = &applied.revision;
    let body = PlanBody {
        name: revision.name(),
        revision: Some(revision.number()),
        result: Some(result),
        plan: revision.plan(),
    };
    Ok(json(status, &body))
}

/// Every deployment with its state.
pub(crate) async fn list(State(context): State<Context>) -> Response {
    let live = context.app.serving.list(context.tenant());
    let deployments = context
        .app
        .serving
        .load_states()
        .into_iter()
        .filter(|((tenant, _), _)| tenant == context.tenant())
        .map(|((_, name), state)| {
            let revision = live.iter().find(|r| r.name() == name);
            Listed {
                revision: revision.map(|r| r.number()),
                created_at: revision.map(|r| r.created_at().to_owned()),
                state: match state {
                    LoadState::Ready => "ready".to_owned(),
                    LoadState::Loading => "loading".to_owned(),
                    LoadState::Failed(reason) => format!("failed: {reason}"),
                },
                name,
            }
        })
        .collect();
    json(StatusCode::OK, &DeploymentList { deployments })
}

/// The live revision.
pub(crate) async fn show(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let revision = context.live(&name)?;
    let body = DeploymentBody {
        name: revision.name(),
        revision: revision.number(),
        created_at: revision.created_at(),
        plan: revision.plan(),
        spec: revision.spec(),
    };
    Ok(json(StatusCode::OK, &body))
}

/// Stop serving.
pub(crate) async fn delete(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    context.app.serving.delete(context.tenant(), &name).await?;
    Ok(json(
        StatusCode::OK,
        &serde_json::json!({"name": name, "result": "deleted"}),
    ))
}

impl Context {
    /// The live revision of a deployment of the request's tenant.
    ///
    /// # Errors
    ///
    /// 404; 503 while it loads after a start.
    pub(crate) fn live(&self, name: &str) -> Result<std::sync::Arc<Revision>, ApiError> {
        if let Some(revision) = self.app.serving.live(self.tenant(), name) {
            return Ok(revision);
        }
        match self.app.serving.load_state(self.tenant(), name) {
            Some(LoadState::Loading) => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "loading",
                format!("`{name}` is being loaded; try again shortly"),
            )),
            Some(LoadState::Failed(reason)) => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "load-failed",
                format!("`{name}` can't be served: {reason}"),
            )),
            _ => Err(ApiError::not_found(format!(
                "there is no deployment `{}`",
                name.escape_debug()
            ))),
        }
    }
}
