//! `/v1/deployments`.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_access::{Action, Quota};
use caisson_registry::text::{TEXT_PATTERN, WHY_BYTES_MAX};
use caisson_registry::{RegistryError, RevisionSummary, SpecDiff, TenantId};
use caisson_serving::{Applied, ApplyResult, Change, DeploymentSpec, LoadState, Plan, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{Caller, Detail};
use super::error::ApiError;
use super::extract::{Path, Query};
use super::{Context, blocking, body, json, read_json};

/// Revisions in one answer.
const HISTORY_MAX: usize = 1000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyQuery {
    /// Check and answer with the plan; change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Why, for the history.
    #[schemars(regex(pattern = TEXT_PATTERN), length(max = WHY_BYTES_MAX))]
    message: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeploymentPlan")]
pub(crate) struct PlanBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(flatten)]
    plan: &'a Plan,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Deployment")]
pub(crate) struct DeploymentBody<'a> {
    name: &'a str,
    revision: u64,
    created_at: &'a str,
    #[serde(flatten)]
    plan: &'a Plan,
    spec: &'a DeploymentSpec,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedDeployment")]
pub(crate) struct Listed {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct DeploymentList {
    deployments: Vec<Listed>,
}

/// Apply a deployment file: 201 for a new deployment, 200 for a new revision or none.
pub(crate) async fn apply(
    State(context): State<Context>,
    caller: Caller,
    Query(query): Query<ApplyQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = body::read(&headers, body, body::SPEC_BYTES_MAX).await?;
    body::check_digest(&context, caller.tenant(), &headers, &bytes).await?;
    let stored = bytes.len() as u64;
    let spec = parse(&context, caller.tenant(), bytes).await?;
    caller.allow(Action::DeploymentDeploy, &spec.name)?;
    let (serving, tenant) = (&context.app.serving, caller.tenant());
    if query.dry_run {
        caller.is_harmless();
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
    let _one = context.app.tenant_turn(tenant).await;
    let usage = context.app.usage(tenant).await?;
    let state = caller.principal().tenant();
    if serving.load_state(tenant, &spec.name).is_none() {
        state.check_amount(Quota::Deployments, usage.deployments + 1)?;
    }
    state.check_amount(Quota::StoredBytes, usage.stored_bytes + stored)?;
    let author = caller.author();
    let change = Change {
        author: &author,
        message: query.message.as_deref(),
    };
    let applied = serving.apply(tenant, spec, change).await?;
    Ok(answer(&applied))
}

/// Read a deployment file.
async fn parse(context: &Context, tenant: &TenantId, bytes: Bytes) -> Result<DeploymentSpec, ApiError> {
    let parse = move || {
        let text = std::str::from_utf8(&bytes).map_err(|e| format!("the file is not UTF-8: {e}"))?;
        DeploymentSpec::parse(text).map_err(|e| e.to_string())
    };
    // A line of YAML costs more than one of rows, and deploying isn't in a hurry.
    let app = &context.app;
    let spec = app.sandbox.aside(&app.meters.of(tenant), parse).await;
    spec.map_err(|message| ApiError::bad_request("deployment-file", message))
}

/// What applying or rolling back did.
fn answer(applied: &Applied) -> Response {
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
    let mut response = json(status, &body);
    let detail = format!("revision {} {result}", revision.number());
    response.extensions_mut().insert(Detail(detail));
    response
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// The revision to go back to; the one before the live one if left out.
    to: Option<u64>,
    #[schemars(regex(pattern = TEXT_PATTERN), length(max = WHY_BYTES_MAX))]
    message: Option<String>,
}

/// Make an earlier revision live again, as a new one.
pub(crate) async fn rollback(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let wanted: Rollback = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    let author = caller.author();
    let change = Change {
        author: &author,
        message: wanted.message.as_deref(),
    };
    let applied = context
        .app
        .serving
        .rollback(caller.tenant(), &name, wanted.to, change)
        .await?;
    Ok(answer(&applied))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Only revisions before this number.
    before: Option<u64>,
    /// How many; 1000 if left out.
    #[schemars(range(min = 1, max = HISTORY_MAX))]
    limit: Option<usize>,
}

/// The revisions of a deployment, the newest first.
pub(crate) async fn history(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, ApiError> {
    let (deployments, tenant, wanted) = (
        context.app.deployments.clone(),
        caller.tenant().clone(),
        name.clone(),
    );
    let limit = query.limit.unwrap_or(HISTORY_MAX);
    if !(1..=HISTORY_MAX).contains(&limit) {
        return Err(ApiError::bad_request(
            "bad-query",
            format!("`limit` is from 1 to {HISTORY_MAX}; ask for more with `before`"),
        ));
    }
    let (revisions, known) = blocking(move || {
        let revisions = deployments.history(&tenant, &wanted, query.before, limit)?;
        // Before the first revision there is none, of a deployment that is there or not.
        let known = !revisions.is_empty() || !deployments.history(&tenant, &wanted, None, 1)?.is_empty();
        Ok::<_, RegistryError>((revisions, known))
    })
    .await??;
    if !known {
        return Err(no_deployment(&name));
    }
    Ok(json(StatusCode::OK, &History { name, revisions }))
}

/// Revisions of a deployment, the newest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct History {
    name: String,
    revisions: Vec<RevisionSummary>,
}

/// One revision, with its spec.
pub(crate) async fn revision(
    State(context): State<Context>,
    caller: Caller,
    Path((name, number)): Path<(String, u64)>,
) -> Result<Response, ApiError> {
    let (deployments, tenant) = (context.app.deployments.clone(), caller.tenant().clone());
    let record = blocking(move || deployments.revision(&tenant, &name, number)).await??;
    Ok(json(StatusCode::OK, &record))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The revision before the other one if left out.
    from: Option<u64>,
    /// The live one if left out; of a deployment that was deleted, the latest.
    to: Option<u64>,
}

/// How two revisions differ.
pub(crate) async fn diff(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Result<Response, ApiError> {
    let (deployments, tenant) = (context.app.deployments.clone(), caller.tenant().clone());
    let (from, to, diff) = blocking(move || {
        let to = match query.to {
            Some(to) => to,
            None => match deployments.live_number(&tenant, &name)? {
                Some(live) => live,
                None => deployments.latest_number(&tenant, &name)?,
            },
        };
        let from = query.from.unwrap_or_else(|| to.saturating_sub(1));
        Ok::<_, RegistryError>((from, to, deployments.diff(&tenant, &name, from, to)?))
    })
    .await??;
    Ok(json(StatusCode::OK, &Diff { from, to, diff }))
}

/// How two revisions differ.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Diff {
    from: u64,
    to: u64,
    #[serde(flatten)]
    diff: SpecDiff,
}

/// The JSON Schema of a deployment file.
pub(crate) async fn schema() -> Response {
    json(StatusCode::OK, &DeploymentSpec::json_schema())
}

fn no_deployment(name: &str) -> ApiError {
    ApiError::nothing_named("deployment", name)
}

/// Every deployment with its state.
pub(crate) async fn list(State(context): State<Context>, caller: Caller) -> Response {
    let live = context.app.serving.list(caller.tenant());
    let deployments = context
        .app
        .serving
        .load_states()
        .into_iter()
        .filter(|((tenant, _), _)| tenant == caller.tenant())
        .map(|((_, name), state)| {
            let revision = live.iter().find(|r| r.name() == name);
            Listed {
                revision: revision.map(|r| r.number()),
                created_at: revision.map(|r| r.created_at().to_owned()),
                state: match state {
                    LoadState::Ready => "ready".to_owned(),
                    LoadState::Loading | LoadState::Reloading => "loading".to_owned(),
                    LoadState::Unloaded(reason) => format!("unloaded: {reason}"),
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
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let revision = context.live(caller.tenant(), &name)?;
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
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    context.app.serving.delete(caller.tenant(), &name).await?;
    let (truth, tenant, gone) = (context.app.truth.clone(), caller.tenant().clone(), name.clone());
    blocking(move || truth.forget_deployment(tenant.as_str(), &gone)).await??;
    context.app.evaluator.forget(caller.tenant(), &name);
    let body = Deleted {
        name,
        result: "deleted",
    };
    Ok(json(StatusCode::OK, &body))
}

/// A deployment that is served no more.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedDeployment")]
pub(crate) struct Deleted {
    name: String,
    result: &'static str,
}

impl Context {
    /// The live revision of a deployment of the request's tenant.
    ///
    /// # Errors
    ///
    /// 404; 503 while it loads after a start.
    pub(crate) fn live(&self, tenant: &TenantId, name: &str) -> Result<std::sync::Arc<Revision>, ApiError> {
        if let Some(revision) = self.app.serving.live(tenant, name) {
            return Ok(revision);
        }
        match self.app.serving.load_state(tenant, name) {
            Some(LoadState::Loading | LoadState::Reloading) => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "loading",
                format!("`{name}` is being loaded; try again shortly"),
            )),
            Some(LoadState::Failed(reason)) => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "load-failed",
                format!("`{name}` can't be served: {reason}"),
            )),
            Some(LoadState::Unloaded(reason)) => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unloaded",
                format!("`{name}` is out of service: {reason}"),
            )),
            _ => Err(no_deployment(name)),
        }
    }
}
