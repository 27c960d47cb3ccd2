//! `/v1/plugins`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_access::{Action, Quota, Resource, TenantState};
use caisson_registry::signature::PluginSignature;
use caisson_registry::text::{TEXT_PATTERN, WHY_BYTES_MAX};
use caisson_registry::{
    Outcome, PluginRecord, PluginUpload, Provenance, RegistryError, SignatureRecord, TenantId,
    Yank as YankRecord,
};
use caisson_sandbox::Inspection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{Caller, Detail};
use super::error::ApiError;
use super::extract::{Path, Query, Why};
use super::{Context, blocking, body, json, read_json};

/// A plugin version as clients see it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Plugin")]
pub(crate) struct PluginBody {
    name: String,
    version: String,
    world: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    wit_version: Option<String>,
    imports: Vec<String>,
    created_at: String,
    provenance: Provenance,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<SignatureRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yanked: Option<YankRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_schema: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
}

impl PluginBody {
    /// The short form, for lists.
    fn short(record: PluginRecord) -> Self {
        Self {
            name: record.name,
            version: record.version.to_string(),
            world: record.world,
            digest: record.digest.to_string(),
            size: record.size,
            wit_version: record.wit_version,
            imports: record.imports,
            created_at: record.created_at,
            provenance: record.provenance,
            signature: record.signature,
            yanked: record.yanked,
            help: None,
            config_schema: None,
            result: None,
        }
    }

    /// Everything.
    fn long(record: PluginRecord) -> Self {
        let help = Some(record.help.clone());
        let config_schema = serde_json::from_str(&record.config_schema).ok();
        Self {
            help,
            config_schema,
            ..Self::short(record)
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct PluginList {
    plugins: Vec<PluginBody>,
}

impl PluginList {
    fn of(records: Vec<PluginRecord>) -> Response {
        let plugins = records.into_iter().map(PluginBody::short).collect();
        json(StatusCode::OK, &Self { plugins })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Namespace {
    /// `std`: the shared namespace of first-party plugins, which is the operators'.
    #[schemars(extend("enum" = ["std"]))]
    namespace: Option<String>,
}

impl Namespace {
    /// Whose plugins the caller means.
    fn owner(&self, caller: &Caller) -> Result<TenantId, ApiError> {
        match self.namespace.as_deref() {
            None => Ok(caller.tenant().clone()),
            Some(name) if name == TenantId::std().as_str() => Ok(TenantId::std()),
            Some(other) => Err(ApiError::bad_request(
                "bad-query",
                format!(
                    "there is no namespace `{}`; there is `std`",
                    caisson_registry::shown(other)
                ),
            )),
        }
    }
}

/// Check and store a component. 201 for a new one, 200 for one that is there already.
pub(crate) async fn push(
    State(context): State<Context>,
    caller: Caller,
    Query(namespace): Query<Namespace>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let owner = namespace.owner(&caller)?;
    // Before the body is read: what nobody may push isn't kept, only taken off the connection.
    if let Err(refusal) = caller.allow_on(Action::PluginPush, &owner, Resource::ANY_NAME) {
        body::discard(&headers, body).await;
        return Err(refusal);
    }
    let state = Arc::clone(caller.principal().tenant());
    let limit = upload_limit(&state, body::PLUGIN_BYTES_MAX);
    let component = body::read(&headers, body, limit).await?;
    body::check_digest(&context, &owner, &headers, &component).await?;
    // Before compiling: the compilers are few, and no tenant has them all.
    let _one = context.app.tenant_turn(&owner).await;
    let inspection = inspect(&context, &owner, &component).await?;
    let manifest = inspection.manifest;
    caller.allow_on(Action::PluginPush, &owner, &manifest.name)?;
    jsonschema::validator_for(&manifest.config_schema).map_err(|e| {
        ApiError::bad_request(
            "manifest-invalid",
            format!("config-schema is no JSON Schema: {e}"),
        )
    })?;
    let upload = PluginUpload {
        name: manifest.name,
        version: manifest.version.to_string(),
        world: manifest.world.name().to_owned(),
        config_schema: manifest.config_schema.to_string(),
        help: manifest.help,
        imports: inspection.imports,
        wit_version: inspection.wit_version,
        provenance: Provenance {
            uploaded_by: Some(caller.author()),
            uploaded_from: caller.peer().map(|peer| peer.to_string()),
        },
        signature: signature(&headers)?,
    };
    let policy = state.settings().signature_policy()?;
    let usage = context.app.usage(&owner).await?;
    let plugins = context.app.plugins.clone();
    let outcome = blocking(move || {
        let known = plugins.versions(&owner, &upload.name)?;
        if !known
            .iter()
            .any(|record| record.version.to_string() == upload.version)
        {
            state.check_amount(Quota::Plugins, usage.plugin_versions + 1)?;
            state.check_amount(Quota::StoredBytes, usage.stored_bytes + component.len() as u64)?;
        }
        Ok::<_, ApiError>(plugins.put(&owner, upload, &component, &policy)?)
    })
    .await??;
    let (status, result, record) = match outcome {
        Outcome::Created(record) => (StatusCode::CREATED, "created", record),
        Outcome::Unchanged(record) => (StatusCode::OK, "unchanged", record),
    };
    let detail = format!("{}@{} {} {result}", record.name, record.version, record.digest);
    let mut response = json(
        status,
        &PluginBody {
            result: Some(result),
            ..PluginBody::long(record)
        },
    );
    response.extensions_mut().insert(Detail(detail));
    Ok(response)
}

/// The smaller of the route's bound and the tenant's quota.
pub(crate) fn upload_limit(state: &TenantState, route: u64) -> u64 {
    state
        .quotas()
        .upload_bytes
        .map_or(route, |quota| quota.min(route))
}

fn signature(headers: &HeaderMap) -> Result<Option<PluginSignature>, ApiError> {
    let Some(value) = headers.get("caisson-signature") else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| ApiError::bad_request("bad-signature", "the header Caisson-Signature is no text"))?;
    match text.parse() {
        Ok(signature) => Ok(Some(signature)),
        Err(error) => Err(RegistryError::Signature(error).into()),
    }
}

/// Look at an upload; a `describe` that burns gives way to requests.
async fn inspect(context: &Context, owner: &TenantId, component: &Bytes) -> Result<Inspection, ApiError> {
    let meter = context.app.meters.of(owner);
    let (sandbox, component, account) = (context.app.sandbox.clone(), component.clone(), Arc::clone(&meter));
    let look = async move { sandbox.inspect(&component, &account).await };
    Ok(context.app.sandbox.fair(&meter, look).await?)
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "YankReason")]
#[serde(deny_unknown_fields)]
pub(crate) struct Yank {
    #[schemars(regex(pattern = TEXT_PATTERN), length(max = WHY_BYTES_MAX))]
    why: String,
}

/// Let nothing new choose a version.
pub(crate) async fn yank(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
    Query(namespace): Query<Namespace>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let owner = namespace.owner(&caller)?;
    caller.allow_on(Action::PluginYank, &owner, &name)?;
    let yank: Yank = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    let by = caller.author();
    let record = context
        .plugins(move |plugins| plugins.yank(&owner, &name, &version, &by, &yank.why))
        .await?;
    Ok(json(StatusCode::OK, &PluginBody::long(record)))
}

/// Let a yanked version be chosen again.
pub(crate) async fn unyank(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
    Query(namespace): Query<Namespace>,
) -> Result<Response, ApiError> {
    let owner = namespace.owner(&caller)?;
    caller.allow_on(Action::PluginYank, &owner, &name)?;
    let record = context
        .plugins(move |plugins| plugins.unyank(&owner, &name, &version))
        .await?;
    Ok(json(StatusCode::OK, &PluginBody::long(record)))
}

/// Delete a yanked version that nothing uses. One of `std` stays: who uses it isn't one tenant's to say.
pub(crate) async fn delete(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
    Query(query): Query<Why>,
) -> Result<Response, ApiError> {
    let (tenant, by) = (caller.tenant().clone(), caller.author());
    let deletion = context
        .plugins(move |plugins| plugins.delete(&tenant, &name, &version, &by, &query.why))
        .await?;
    let detail = format!(
        "{}@{} sha256:{}",
        deletion.name, deletion.version, deletion.sha256
    );
    let mut response = json(StatusCode::OK, &deletion);
    response.extensions_mut().insert(Detail(detail));
    Ok(response)
}

/// All versions of all plugins.
pub(crate) async fn list(State(context): State<Context>, caller: Caller) -> Result<Response, ApiError> {
    let tenant = caller.tenant().clone();
    let records = context.plugins(move |plugins| plugins.list(&tenant)).await?;
    Ok(PluginList::of(records))
}

/// All versions of one plugin.
pub(crate) async fn versions(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let (tenant, wanted) = (caller.tenant().clone(), name.clone());
    let records = context
        .plugins(move |plugins| plugins.versions(&tenant, &wanted))
        .await?;
    if records.is_empty() {
        return Err(ApiError::nothing_named("plugin", &name));
    }
    Ok(PluginList::of(records))
}

/// The version that a requirement resolves to.
pub(crate) async fn show(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let tenant = caller.tenant().clone();
    let record = context
        .plugins(move |plugins| plugins.resolve(&tenant, &format!("{name}@{version}")))
        .await?;
    Ok(json(StatusCode::OK, &PluginBody::long(record)))
}
