//! A serving system in a temporary folder, and short ways to fill it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use caisson_data::{Batch, Block, Values};
use caisson_inference::{Runtime, SessionOptions};
use caisson_monitoring::Monitoring;
use caisson_predictions::Predictions;
use caisson_registry::signature::SignaturePolicy;
use caisson_registry::{
    Baseline, DeploymentStore, ModelUpload, Models, PluginUpload, Plugins, Provenance, TenantId,
};
use caisson_sandbox::{CompilerCommand, Sandbox, SandboxConfig};
use caisson_serving::{
    Applied, CallOptions, Change, DeploymentSpec, Meters, ModelCache, Parts, Revision, Serving, ServingError,
};
use caisson_store::Store;
use serde_json::{Value, json};

/// Who changes things here.
pub(crate) const ANN: Change<'static> = Change {
    author: "ann",
    message: None,
};

pub(crate) struct System {
    pub(crate) serving: Serving,
    pub(crate) parts: Parts,
    pub(crate) store: Store,
    pub(crate) dir: tempfile::TempDir,
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

impl System {
    /// Nothing in it.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("data")).unwrap();
        let compiler = CompilerCommand {
            program: env!("CARGO_BIN_EXE_caisson-serving-compile-worker").into(),
            args: Vec::new(),
        };
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("serving-cache")),
            instances: 16,
            warm_instances: 4,
            ..SandboxConfig::new(compiler)
        });
        let library = std::env::var_os("CAISSON_ONNXRUNTIME").map_or_else(
            || in_repository(".caisson/onnxruntime/libonnxruntime.so"),
            PathBuf::from,
        );
        let runtime = Runtime::load(&library).unwrap();
        let parts = Parts {
            sandbox: sandbox.unwrap(),
            meters: Arc::new(Meters::new(|_| Arc::default())),
            cache: Arc::new(ModelCache::new(runtime, SessionOptions::default())),
            plugins: Plugins::new(store.clone()),
            models: Models::new(store.clone()),
            deployments: DeploymentStore::new(store.clone()),
            vitals: Arc::default(),
            predictions: Predictions::open(store.clone(), caisson_predictions::Limits::default(), |_, _| {
                true
            })
            .unwrap(),
            monitoring: Monitoring::open(store.clone(), caisson_monitoring::Limits::default(), |_, _| true)
                .unwrap(),
        };
        Self {
            serving: Serving::new(parts.clone()),
            parts,
            store,
            dir,
        }
    }

    /// Store a guest under a version of our choice.
    pub(crate) async fn push(&self, tenant: &TenantId, guest: &str, version: &str) {
        let path = in_repository(&format!("target/test-guests/{guest}.wasm"));
        let component = std::fs::read(&path)
            .unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests`", path.display()));
        let meter = self.parts.meters.of(tenant);
        let inspection = self.parts.sandbox.inspect(&component, &meter).await.unwrap();
        let upload = PluginUpload {
            name: inspection.manifest.name,
            version: version.to_owned(),
            world: inspection.manifest.world.name().to_owned(),
            config_schema: inspection.manifest.config_schema.to_string(),
            help: String::new(),
            imports: inspection.imports,
            wit_version: None,
            provenance: Provenance::default(),
            signature: None,
        };
        self.parts
            .plugins
            .put(tenant, upload, &component, &SignaturePolicy::default())
            .unwrap();
    }

    /// Register a model of the inference crate's tests.
    pub(crate) fn model(&self, tenant: &TenantId, name: &str, file: &str, baseline: Option<&str>) -> u64 {
        let upload = ModelUpload {
            file: in_repository(&format!("host/inference/tests/fixtures/{file}.onnx")),
            signature: json!({}),
            metadata: json!({}),
            baseline: baseline.map(|rows| Baseline {
                content_type: "text/csv".to_owned(),
                bytes: rows.as_bytes().to_vec(),
            }),
            ..ModelUpload::default()
        };
        let outcome = self.parts.models.register(tenant, name, upload).unwrap();
        outcome.into_record().version
    }

    pub(crate) async fn apply(&self, tenant: &TenantId, spec: &Value) -> Result<Applied, ServingError> {
        let spec = DeploymentSpec::parse(&spec.to_string()).unwrap();
        self.serving.apply(tenant, spec, ANN).await
    }

    /// What a new process would serve.
    pub(crate) async fn restarted(&self, tenant: &TenantId) -> Serving {
        let serving = Serving::new(self.parts.clone());
        for record in serving.announce(tenant).await.unwrap() {
            serving.load(tenant, record).await;
        }
        serving
    }
}

/// One column `x`, through `affine`.
pub(crate) fn affine(reference: &str, scale: f64) -> Value {
    json!({
        "name": "web",
        "input": [{"name": "x", "type": "fp32"}],
        "transforms": [{"plugin": reference, "config": {"scale": scale}}],
    })
}

/// Rows of a deployment of one column.
pub(crate) fn xs(revision: &Arc<Revision>, values: &[f32]) -> Batch {
    let block = Block::new(Values::Fp32(values.to_vec()));
    Batch::new(Arc::clone(revision.input()), values.len(), vec![block]).unwrap()
}

/// What a deployment of one column answers to `x`.
pub(crate) async fn answer(revision: &Arc<Revision>, x: f32) -> f32 {
    let prediction = revision
        .predict(xs(revision, &[x]), CallOptions::default())
        .await
        .unwrap();
    prediction.batch.column(0).unwrap().fp32s().unwrap()[0]
}
