//! `/v1/plugins`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_registry::signature::SignaturePolicy;
use caisson_registry::{Outcome, PluginRecord, PluginUpload, Provenance};
use caisson_sandbox::Inspection;
use serde::Serialize;

use super::error::ApiError;
use super::extract::Path;
use super::{Context, blocking, body, json};

/// A plugin version as clients see it.
#[derive(Serialize)]
struct PluginBody {
    name: String,
    version: String,
    world: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    wit_version: Option<String>,
    imports: Vec<String>,
    created_at: String,
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

#[derive(Serialize)]
struct PluginList {
    plugins: Vec<PluginBody>,
}

/// Check and store a component. 201 for a new one, 200 for one that is there already.
pub(crate) async fn push(
    State(context): State<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let component = body::read(&headers, body, body::PLUGIN_BYTES_MAX).await?;
    let inspection = inspect(&context, &component).await?;
    let manifest = inspection.manifest;
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
        provenance: Provenance::default(),
        signature: None,
    };
    let (plugins, tenant) = (context.app.plugins.clone(), context.tenant().clone());
    let outcome =
        blocking(move || plugins.put(&tenant, upload, &component, &SignaturePolicy::default())).await??;
    let (status, result, record) = match outcome {
        Outcome::Created(record) => (StatusCode::CREATED, "created", record),
        Outcome::Unchanged(record) => (StatusCode::OK, "unchanged", record),
    };
    Ok(json(
        status,
        &PluginBody {
            result: Some(result),
            ..PluginBody::long(record)
        },
    ))
}

/// Look at an upload; a `describe` that burns gives way to requests.
async fn inspect(context: &Context, component: &Bytes) -> Result<Inspection, ApiError> {
    let meter = context.app.meters.of(context.tenant());
    let (sandbox, component, account) = (context.app.sandbox.clone(), component.clone(), Arc::clone(&meter));
    let look = async move { sandbox.inspect(&component, &account).await };
    Ok(context.app.sandbox.fair(&meter, look).await?)
}

/// All versions of all plugins.
pub(crate) async fn list(State(context): State<Context>) -> Result<Response, ApiError> {
    let (plugins, tenant) = (context.app.plugins.clone(), context.tenant().clone());
    let records = blocking(move || plugins.list(&tenant)).await??;
    Ok(json(
        StatusCode::OK,
        &PluginList {
            plugins: records.into_iter().map(PluginBody::short).collect(),
        },
    ))
}

/// All versions of one plugin.
pub(crate) async fn versions(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let (plugins, tenant, wanted) = (
        context.app.plugins.clone(),
        context.tenant().clone(),
        name.clone(),
    );
    let records = blocking(move || plugins.versions(&tenant, &wanted)).await??;
    if records.is_empty() {
        return Err(ApiError::not_found(format!(
            "there is no plugin `{}`",
            name.escape_debug()
        )));
    }
    Ok(json(
        StatusCode::OK,
        &PluginList {
            plugins: records.into_iter().map(PluginBody::short).collect(),
        },
    ))
}

/// The version that a requirement resolves to.
pub(crate) async fn show(
    State(context): State<Context>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (plugins, tenant) = (context.app.plugins.clone(), context.tenant().clone());
    let record = blocking(move || plugins.resolve(&tenant, &format!("{name}@{version}"))).await??;
    Ok(json(StatusCode::OK, &PluginBody::long(record)))
}
