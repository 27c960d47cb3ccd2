//! `/v1/models`.

use std::collections::BTreeMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use caisson_access::Quota;
use caisson_inference::CheckLimits;
use caisson_registry::{Baseline, Digest, Lineage, ModelRecord, ModelUpload, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::auth::Caller;
use super::error::ApiError;
use super::extract::Path;
use super::plugins::upload_limit;
use super::{Context, blocking, body, json, json_object};

/// A model's metadata is facts about its training; data belong elsewhere.
const METADATA_BYTES_MAX: u64 = 1 << 20;
/// A baseline is held in memory while monitors are fitted on it.
const BASELINE_BYTES_MAX: u64 = 256 << 20;

/// How long a client may pause in a form.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);

/// A model version as clients see it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Model")]
pub(crate) struct ModelBody {
    #[serde(flatten)]
    record: ModelRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
}

impl ModelBody {
    /// For lists: without what may be long.
    fn short(mut record: ModelRecord) -> Self {
        record.signature = serde_json::Value::Null;
        record.metadata = serde_json::Value::Null;
        Self::long(record)
    }

    fn long(record: ModelRecord) -> Self {
        Self { record, result: None }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ModelList {
    models: Vec<ModelBody>,
}

impl ModelList {
    fn of(records: Vec<ModelRecord>) -> Response {
        let models = records.into_iter().map(ModelBody::short).collect();
        json(StatusCode::OK, &Self { models })
    }
}

/// The latest version of every model.
pub(crate) async fn list(State(context): State<Context>, caller: Caller) -> Result<Response, ApiError> {
    let tenant = caller.tenant().clone();
    let records = context.models(move |models| models.list(&tenant)).await?;
    Ok(ModelList::of(records))
}

/// Every version of one model.
pub(crate) async fn versions(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let (tenant, wanted) = (caller.tenant().clone(), name.clone());
    let records = context
        .models(move |models| models.versions(&tenant, &wanted))
        .await?;
    if records.is_empty() {
        return Err(ApiError::nothing_named("model", &name));
    }
    Ok(ModelList::of(records))
}

/// One version: a number, an alias, or `latest`.
pub(crate) async fn show(
    State(context): State<Context>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let tenant = caller.tenant().clone();
    let record = context
        .models(move |models| models.resolve(&tenant, &name, &version.parse()?))
        .await?;
    Ok(json(StatusCode::OK, &ModelBody::long(record)))
}

/// Register a version from a form. 201 for a new one, 200 for one that is there already.
pub(crate) async fn push(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let state = Arc::clone(caller.principal().tenant());
    let limit = upload_limit(
        &state,
        CheckLimits::default().file_bytes_max.min(body::MODEL_BYTES_MAX),
    );
    body::check_announced(request.headers(), limit)?;
    // Before the body is read: a name that can't be used needs no upload.
    caisson_registry::check_model_name(&name)?;
    // Axum's own limit of 2 MB would refuse most models; this route's is `limit`.
    DefaultBodyLimit::disable().apply(&mut request);
    let form = Multipart::from_request(request, &()).await.map_err(|e| {
        ApiError::bad_request(
            "bad-form",
            format!(
                "{}; send a form with `model`, `metadata`, `details` and `baseline`",
                e.body_text()
            ),
        )
    })?;
    let parts = Parts::read(form, &context.app.uploads, limit).await?;
    let Some(file) = parts.model else {
        return Err(ApiError::bad_request(
            "bad-form",
            "the form has no part `model` (the ONNX file)",
        ));
    };
    if let Some(announced) = parts.details.digest.filter(|digest| *digest != file.digest) {
        return Err(ApiError::bad_request(
            "content-digest",
            format!(
                "the model arrived as {}, and {announced} was announced: it was damaged on its way, or is another file",
                file.digest
            ),
        ));
    }
    let path = file.path.clone();
    let (worker, runtime) = (context.app.model_worker.clone(), context.app.runtime.clone());
    let signature =
        blocking(move || caisson_inference::check(&worker, &runtime, &path, &CheckLimits::default()))
            .await??;
    let signature = serde_json::to_value(&signature).map_err(ApiError::internal)?;
    let (models, tenant) = (context.app.models.clone(), caller.tenant().clone());
    let _one = context.app.tenant_turn(&tenant).await;
    let usage = context.app.usage(&tenant).await?;
    let created_by = caller.author();
    let outcome = blocking(move || {
        let details = parts.details;
        let upload = ModelUpload {
            file: file.path.clone(),
            signature,
            metadata: parts.metadata.unwrap_or_else(|| serde_json::json!({})),
            baseline: parts.baseline,
            metrics: details.metrics,
            training_data_digest: details.training_data_digest,
            lineage: details.lineage,
            description: details.description,
            tags: details.tags,
            created_by,
        };
        let baseline = upload.baseline.as_ref().map_or(0, |b| b.bytes.len() as u64);
        let bytes = std::fs::metadata(&file.path).map_err(ApiError::internal)?.len() + baseline;
        state.check_amount(Quota::Models, usage.model_versions + 1)?;
        state.check_amount(Quota::StoredBytes, usage.stored_bytes + bytes)?;
        Ok::<_, ApiError>(models.register(&tenant, &name, upload)?)
    })
    .await??;
    let (status, result, record) = match outcome {
        Outcome::Created(record) => (StatusCode::CREATED, "created", record),
        Outcome::Unchanged(record) => (StatusCode::OK, "unchanged", record),
    };
    Ok(json(
        status,
        &ModelBody {
            result: Some(result),
            ..ModelBody::long(record)
        },
    ))
}

/// The parts of an upload.
#[derive(Default)]
struct Parts {
    model: Option<TemporaryFile>,
    metadata: Option<serde_json::Value>,
    details: Details,
    baseline: Option<Baseline>,
}

/// What is told of a version besides the uploader's own metadata.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "ModelDetails")]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Details {
    /// `sha256:…` of the ONNX file, as its sender knows it.
    digest: Option<Digest>,
    description: String,
    tags: BTreeMap<String, String>,
    metrics: BTreeMap<String, f64>,
    training_data_digest: Option<String>,
    lineage: Lineage,
}

impl Parts {
    async fn read(mut form: Multipart, uploads: &FsPath, limit: u64) -> Result<Self, ApiError> {
        let mut parts = Self::default();
        let mut seen: BTreeMap<String, ()> = BTreeMap::new();
        while let Some(field) = form.next_field().await.map_err(|e| bad_form(&e))? {
            let name = field.name().unwrap_or_default().to_owned();
            if seen.insert(name.clone(), ()).is_some() {
                return Err(ApiError::bad_request(
                    "bad-form",
                    format!("the form has two parts `{}`", name.escape_debug()),
                ));
            }
            match name.as_str() {
                "model" => parts.model = Some(TemporaryFile::write(field, uploads, limit).await?),
                "metadata" => {
                    let bytes = bounded(field, METADATA_BYTES_MAX).await?;
                    let value: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes)
                        .map_err(|e| {
                            ApiError::bad_request("bad-metadata", format!("metadata is no JSON object: {e}"))
                        })?;
                    parts.metadata = Some(serde_json::Value::Object(value));
                }
                "details" => {
                    let bytes = bounded(field, METADATA_BYTES_MAX).await?;
                    parts.details = json_object(&bytes)
                        .map_err(|why| ApiError::bad_request("bad-details", format!("details: {why}")))?;
                }
                "baseline" => {
                    let bytes = bounded(field, BASELINE_BYTES_MAX).await?;
                    parts.baseline = Some(Baseline {
                        content_type: "text/csv".to_owned(),
                        bytes,
                    });
                }
                other => {
                    return Err(ApiError::bad_request(
                        "bad-form",
                        format!(
                            "the form has a part `{}`; it takes `model`, `metadata`, `details` and `baseline`",
                            other.escape_debug()
                        ),
                    ));
                }
            }
        }
        Ok(parts)
    }
}

fn bad_form(error: &axum::extract::multipart::MultipartError) -> ApiError {
    ApiError::bad_request("bad-form", error.body_text())
}

/// The next piece of a part; 408 for a client that stops sending.
async fn next_chunk(field: &mut Field<'_>) -> Result<Option<axum::body::Bytes>, ApiError> {
    match tokio::time::timeout(CHUNK_TIMEOUT, field.chunk()).await {
        Ok(chunk) => chunk.map_err(|e| bad_form(&e)),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-timeout",
            format!(
                "nothing more of the form arrived within {} s",
                CHUNK_TIMEOUT.as_secs()
            ),
        )),
    }
}

async fn bounded(mut field: Field<'_>, limit: u64) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next_chunk(&mut field).await? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            let name = field.name().unwrap_or_default();
            return Err(ApiError::too_large(format!(
                "part `{name}` is larger than the {limit} bytes that it may have"
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A file that is removed when dropped; what the registry keeps, it has copied by then.
struct TemporaryFile {
    path: PathBuf,
    digest: Digest,
}

impl TemporaryFile {
    /// Stream a part into a file of its own.
    async fn write(mut field: Field<'_>, folder: &FsPath, limit: u64) -> Result<Self, ApiError> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut this = Self {
            digest: Digest::of(b""),
            path: folder.join(format!("{}-{number}.onnx", std::process::id())),
        };
        let mut file = tokio::fs::File::create(&this.path)
            .await
            .map_err(|e| ApiError::unwritten(&e))?;
        let mut length = 0u64;
        let mut hasher = Sha256::new();
        while let Some(chunk) = next_chunk(&mut field).await? {
            length += chunk.len() as u64;
            if length > limit {
                return Err(ApiError::too_large(format!(
                    "the model is larger than the {limit} bytes that it may have"
                )));
            }
            hasher.update(&chunk);
            file.write_all(&chunk)
                .await
                .map_err(|e| ApiError::unwritten(&e))?;
        }
        file.flush().await.map_err(|e| ApiError::unwritten(&e))?;
        this.digest = Digest::from_hasher(hasher);
        Ok(this)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
