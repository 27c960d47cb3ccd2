//! Loaded models, shared within a tenant: two revisions, or a model stage and a predictor, that name the
//! same model run the very same sessions.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use caisson_inference::{ByteInput, InferenceError, Model, Runtime, SessionOptions, WasiTensorType};
use caisson_registry::TenantId;
use caisson_sandbox::{Graph, GraphError, GraphErrorCode, GraphTensor, Graphs, TensorType};
use futures_util::future::BoxFuture;

use crate::build::MODEL_DEADLINE;

/// Whose model, and its file's digest. Two tenants with the same file have sessions of their own: one's
/// load is not the other's latency, and how fast a model loads tells nobody who else has it.
type Key = (TenantId, String);

/// Loads each model file once for as long as anything uses it.
#[derive(Debug)]
pub struct ModelCache {
    runtime: Runtime,
    options: SessionOptions,
    loaded: Mutex<HashMap<Key, Arc<Mutex<Weak<Model>>>>>,
}

impl ModelCache {
    /// A cache of models of this runtime, all loaded with these options.
    pub fn new(runtime: Runtime, options: SessionOptions) -> Self {
        Self {
            runtime,
            options,
            loaded: Mutex::new(HashMap::new()),
        }
    }

    /// The tenant's model of this digest, which is in this file, and whose runs count on this account
    /// of the tenant's. Blocks while it loads; who wants another model doesn't wait for it.
    ///
    /// # Errors
    ///
    /// The file can't be loaded.
    pub fn get(&self, key: &Key, file: &Path, account: Arc<AtomicU64>) -> Result<Arc<Model>, InferenceError> {
        let place = {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody loads these, and nobody has them.
            loaded.retain(|_, place| {
                Arc::strong_count(place) > 1
                    || place.try_lock().map_or(true, |model| model.strong_count() > 0)
            });
            Arc::clone(loaded.entry(key.clone()).or_default())
        };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = place.upgrade() {
            return Ok(model);
        }
        let model = Model::load_on_account(&self.runtime, file, &self.options, account)?;
        let model = Arc::new(model);
        *place = Arc::downgrade(&model);
        Ok(model)
    }
}

/// The models that a deployment grants to its predictor, by the names that it may ask for.
pub(crate) struct GrantedModels(pub(crate) BTreeMap<String, Arc<Model>>);

struct GrantedModel(Arc<Model>);

impl Graphs for GrantedModels {
    fn load_by_name(&self, name: &str) -> Result<Arc<dyn Graph>, GraphError> {
        match self.0.get(name) {
            Some(model) => Ok(Arc::new(GrantedModel(Arc::clone(model)))),
            None => {
                let granted: Vec<&str> = self.0.keys().map(String::as_str).collect();
                Err(GraphError::new(
                    GraphErrorCode::NotFound,
                    format!(
                        "the deployment grants no model `{}`; it grants {granted:?}",
                        name.escape_debug()
                    ),
                ))
            }
        }
    }
}

impl Graph for GrantedModel {
    fn compute(
        &self,
        inputs: Vec<(String, GraphTensor)>,
    ) -> BoxFuture<'_, Result<Vec<(String, GraphTensor)>, GraphError>> {
        Box::pin(async move {
            let given: Vec<ByteInput<'_>> = inputs
                .iter()
                .map(|(name, tensor)| ByteInput {
                    name,
                    data_type: to_model(tensor.ty),
                    dimensions: &tensor.dims,
                    data: &tensor.data,
                })
                .collect();
            // The stage's own deadline ends this sooner by dropping the future.
            let outputs = self
                .0
                .run_bytes(&given, Instant::now() + MODEL_DEADLINE)
                .await
                .map_err(|e| graph_error(&e))?;
            Ok(outputs
                .into_iter()
                .map(|t| {
                    (
                        t.name,
                        GraphTensor {
                            dims: t.dimensions,
                            ty: to_guest(t.data_type),
                            data: t.data,
                        },
                    )
                })
                .collect())
        })
    }
}

fn graph_error(error: &InferenceError) -> GraphError {
    let code = match error {
        InferenceError::Deadline => GraphErrorCode::Timeout,
        InferenceError::Inputs { .. }
        | InferenceError::Type { .. }
        | InferenceError::Shape { .. }
        | InferenceError::Length { .. }
        | InferenceError::Element { .. } => GraphErrorCode::InvalidArgument,
        _ => GraphErrorCode::RuntimeError,
    };
    GraphError::new(code, error.to_string())
}

/// Sandbox and inference don't know each other, so each has its own name for the types of `wasi:nn`.
macro_rules! same_types {
    ($($variant:ident),*) => {
        const fn to_model(ty: TensorType) -> WasiTensorType {
            match ty { $(TensorType::$variant => WasiTensorType::$variant),* }
        }

        const fn to_guest(ty: WasiTensorType) -> TensorType {
            match ty { $(WasiTensorType::$variant => TensorType::$variant),* }
        }
    };
}

same_types!(Fp16, Fp32, Fp64, Bf16, U8, I32, I64);
