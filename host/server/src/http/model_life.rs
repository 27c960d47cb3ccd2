//! What happens to a model version after it is registered: description and tags, aliases, approval,
//! deletion.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_access::Action;
use caisson_registry::text::{
    DESCRIPTION_BYTES_MAX, LINE_PATTERN, TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX, TEXT_PATTERN,
    WHY_BYTES_MAX,
};
use caisson_registry::{
    AliasChange, FourEyes, Models, Stage, TenantId, Transition, TransitionRecord, VersionRef,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::auth::Caller;
use super::error::ApiError;
use super::extract::{Path, Query, Why};
use super::{Context, body, json, read_json};

/// Entries of a history in one answer.
const HISTORY_MAX: usize = 1000;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ModelUpdate", extend("anyOf" = something()))]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    #[schemars(regex(pattern = TEXT_PATTERN), length(max = DESCRIPTION_BYTES_MAX))]
    description: Option<String>,
    /// `null` removes a tag.
    #[serde(default)]
    #[schemars(
        inner(regex(pattern = LINE_PATTERN), length(max = TAG_VALUE_BYTES_MAX)),
        extend("propertyNames" = tag_name(), "maxProperties" = TAGS_MAX)
    )]
    tags: BTreeMap<String, Option<String>>,
}

fn tag_name() -> serde_json::Value {
    serde_json::json!({ "pattern": LINE_PATTERN, "minLength": 1, "maxLength": TAG_KEY_BYTES_MAX })
}

/// One of them must say something.
fn something() -> serde_json::Value {
    serde_json::json!([
        { "required": ["description"], "properties": { "description": { "type": "string" } } },
        { "required": ["tags"], "properties": { "tags": { "minProperties": 1 } } },
    ])
}

/// Change what people wrote about a version.
pub(crate) async fn update(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, u64)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let update: Update = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    if update.description.is_none() && update.tags.is_empty() {
        return Err(ApiError::bad_request(
            "bad-body",
            "name a `description` or `tags` to change",
        ));
    }
    let tenant = caller.tenant().clone();
    let change = move |models: &Models| {
        let mut record = None;
        if let Some(description) = &update.description {
            record = Some(models.set_description(&tenant, &name, version, description)?);
        }
        match record {
            Some(record) if update.tags.is_empty() => Ok(record),
            _ => models.set_tags(&tenant, &name, version, &update.tags),
        }
    };
    let record = context.models(change).await?;
    Ok(json(StatusCode::OK, &record))
}

/// Delete a version that no alias and no live deployment uses.
pub(crate) async fn delete(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, u64)>,
    Query(query): Query<Why>,
) -> Result<Response, ApiError> {
    let (tenant, by) = (caller.tenant().clone(), caller.author());
    let deletion = context
        .models(move |models| models.delete(&tenant, &name, version, &by, &query.why))
        .await?;
    Ok(json(StatusCode::OK, &deletion))
}

/// Where each alias points, and how it came there.
pub(crate) async fn aliases(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let tenant = caller.tenant().clone();
    let read = move |models: &Models| {
        let aliases = models.aliases(&tenant, &name)?;
        let history = models.alias_history(&tenant, &name, 0, HISTORY_MAX)?;
        if history.is_empty() {
            // No alias ever: of a model that is there, or of none.
            models.resolve(&tenant, &name, &VersionRef::Latest)?;
        }
        Ok(Aliases { aliases, history })
    };
    Ok(json(StatusCode::OK, &context.models(read).await?))
}

/// Where each alias points, and how it came there.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Aliases {
    aliases: BTreeMap<String, u64>,
    /// The newest last.
    history: Vec<AliasChange>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetAlias {
    version: u64,
    /// Where the alias points now, as far as the caller knows. `null`: nowhere; left out: it doesn't
    /// matter.
    #[serde(default, deserialize_with = "present")]
    expect: Option<Option<u64>>,
}

/// A key that is there, whatever its value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Point an alias at a version, which is loaded and run once before.
pub(crate) async fn set_alias(
    State(context): State<Context>,
    caller: Caller,
    Path((name, alias)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let wanted: SetAlias = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    move_alias(
        &context,
        &caller,
        &name,
        &alias,
        Some(wanted.version),
        wanted.expect,
    )
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    expect: Option<u64>,
}

/// Remove an alias.
pub(crate) async fn remove_alias(
    State(context): State<Context>,
    caller: Caller,
    Path((name, alias)): Path<(String, String)>,
    Query(query): Query<Expect>,
) -> Result<Response, ApiError> {
    let expect = query.expect.map(Some);
    move_alias(&context, &caller, &name, &alias, None, expect).await
}

async fn move_alias(
    context: &Context,
    caller: &Caller,
    name: &str,
    alias: &str,
    to: Option<u64>,
    expect: Option<Option<u64>>,
) -> Result<Response, ApiError> {
    let tenant = caller.tenant();
    let settings = caller.principal().tenant().settings();
    if settings.protected_aliases.contains(alias) {
        caller.allow(Action::ModelSetProtectedAlias, name)?;
        if let Some(version) = to {
            check_approved(context, tenant, name, alias, version).await?;
        }
    } else {
        caller.allow(Action::ModelSetAlias, name)?;
    }
    let expect = match expect {
        Some(expect) => expect,
        None => {
            let (owner, model) = (tenant.clone(), name.to_owned());
            let aliases = context.models(move |models| models.aliases(&owner, &model));
            aliases.await?.get(alias).copied()
        }
    };
    let moved = context
        .app
        .serving
        .set_alias(tenant, name, alias, to, expect, &caller.author())
        .await?;
    Ok(json(StatusCode::OK, &moved))
}

/// A protected alias leads to approved versions only.
async fn check_approved(
    context: &Context,
    tenant: &TenantId,
    name: &str,
    alias: &str,
    version: u64,
) -> Result<(), ApiError> {
    let (owner, model) = (tenant.clone(), name.to_owned());
    let record = context
        .models(move |models| models.resolve(&owner, &model, &VersionRef::Number(version)))
        .await?;
    if record.stage == Stage::Approved {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::CONFLICT,
        "not-approved",
        format!(
            "the alias `{alias}` is protected, and {name}@{version} is {}, not approved: `caisson model approve` first",
            record.stage
        ),
    ))
}

/// How far a version is approved, and by whom.
pub(crate) async fn stage(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, u64)>,
) -> Result<Response, ApiError> {
    let tenant = caller.tenant().clone();
    let read = move |models: &Models| {
        let stage = models
            .resolve(&tenant, &name, &VersionRef::Number(version))?
            .stage;
        let history = models.transitions(&tenant, &name, version, 0, HISTORY_MAX)?;
        Ok(StageBody { stage, history })
    };
    Ok(json(StatusCode::OK, &context.models(read).await?))
}

/// How far a version is approved, and how it came there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ModelStage")]
pub(crate) struct StageBody {
    stage: Stage,
    history: Vec<TransitionRecord>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "StageStep")]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    to: Stage,
    #[serde(default)]
    #[schemars(regex(pattern = TEXT_PATTERN), length(max = WHY_BYTES_MAX))]
    why: String,
    /// Where from, as far as the caller knows.
    expected: Option<Stage>,
}

/// Take a version to another stage. Approving, and refusing what waits for approval, is the
/// approver's; the rest is the developer's.
pub(crate) async fn transition(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, u64)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let step: Step = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    let action = match step.to {
        Stage::Approved => Action::ModelApprove,
        // From `pending`, the only stage that leads there.
        Stage::Draft => Action::ModelReject,
        Stage::Pending => Action::ModelSubmit,
        Stage::Archived => Action::ModelArchive,
    };
    caller.allow(action, &name)?;
    let (tenant, by) = (caller.tenant().clone(), caller.author());
    let four_eyes = match caller.principal().tenant().settings().require_key_owners {
        true => FourEyes::Owners,
        false => FourEyes::Keys,
    };
    let take = move |models: &Models| {
        let transition = Transition {
            to: step.to,
            by: &by,
            owner: caller.principal().owner(),
            why: &step.why,
            expected_from: step.expected,
            four_eyes,
        };
        models.transition(&tenant, &name, version, transition)
    };
    Ok(json(StatusCode::OK, &context.models(take).await?))
}
