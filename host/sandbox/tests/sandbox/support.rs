//! One sandbox for all tests of a process, guests, and short ways to make stages and batches.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use caisson_data::{Batch, Block, DataType, Field, Schema, Values};
use caisson_sandbox::{
    CompilerCommand, Grants, Graphs, Isolation, Limits, Meter, Sandbox, SandboxConfig, Stage, StageError,
    StageLabel, StageRequest, World,
};

/// Small, so that tests which run as processes of their own stay cheap.
pub(crate) fn config() -> SandboxConfig {
    let compiler = CompilerCommand {
        program: env!("CARGO_BIN_EXE_caisson-compile-worker").into(),
        args: Vec::new(),
    };
    SandboxConfig {
        cache_dir: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("sandbox-cache")),
        instances: 32,
        warm_instances: 8,
        ..SandboxConfig::new(compiler)
    }
}

pub(crate) fn sandbox() -> Sandbox {
    static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(config()).expect("a sandbox"));
    SANDBOX.clone()
}

/// The account of a tenant that nothing else uses.
pub(crate) fn meter() -> Arc<Meter> {
    Arc::default()
}

/// A component of `tests/guests`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/test-guests/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests`", path.display()))
}

/// `(x: fp32)`.
pub(crate) fn x() -> Arc<Schema> {
    schema(vec![Field::new("x", DataType::Fp32)])
}

pub(crate) fn schema(fields: Vec<Field>) -> Arc<Schema> {
    Arc::new(Schema::new(fields).expect("a schema"))
}

pub(crate) fn batch(schema: &Arc<Schema>, rows: usize, blocks: Vec<Values>) -> Batch {
    let blocks = blocks.into_iter().map(Block::new).collect();
    Batch::new(Arc::clone(schema), rows, blocks).expect("a batch")
}

/// A batch of [`x`].
pub(crate) fn xs(values: &[f32]) -> Batch {
    batch(&x(), values.len(), vec![Values::Fp32(values.to_vec())])
}

/// The values of a batch of one fp32 column.
pub(crate) fn floats(batch: &Batch) -> Vec<f32> {
    batch
        .column(0)
        .and_then(|c| c.fp32s())
        .expect("an fp32 column")
        .to_vec()
}

/// A stage to be; change what the test is about.
pub(crate) struct Request {
    pub(crate) stage: String,
    pub(crate) component: Vec<u8>,
    pub(crate) world: World,
    pub(crate) config: String,
    pub(crate) input: Arc<Schema>,
    pub(crate) limits: Limits,
    pub(crate) isolation: Isolation,
    pub(crate) meter: Arc<Meter>,
    pub(crate) grants: Grants,
    pub(crate) graphs: Option<Arc<dyn Graphs>>,
}

impl Request {
    pub(crate) fn new(guest_name: &str, world: World, config: &str) -> Self {
        Self {
            stage: "step".to_owned(),
            component: guest(guest_name),
            world,
            config: config.to_owned(),
            input: x(),
            limits: Limits::default(),
            isolation: Isolation::Fresh,
            meter: meter(),
            grants: Grants::default(),
            graphs: None,
        }
    }

    pub(crate) async fn prepare(self) -> Result<Stage, StageError> {
        self.prepare_in(&sandbox()).await
    }

    pub(crate) async fn prepare_in(self, sandbox: &Sandbox) -> Result<Stage, StageError> {
        sandbox
            .prepare(StageRequest {
                label: StageLabel::new("acme", "churn", self.stage),
                component: &self.component,
                world: self.world,
                config: &self.config,
                input: self.input,
                limits: self.limits,
                isolation: self.isolation,
                meter: self.meter,
                grants: self.grants,
                graphs: self.graphs,
            })
            .await
    }
}

/// A stage of the hostile guest.
pub(crate) fn hostile(behave: &str) -> Request {
    Request::new(
        "hostile",
        World::Transform,
        &format!(r#"{{"behave":"{behave}"}}"#),
    )
}

/// A stage that gives `2x + 1`.
pub(crate) fn affine() -> Request {
    Request::new("affine", World::Transform, r#"{"scale":2,"offset":1}"#)
}
