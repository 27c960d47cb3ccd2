//! One plugin of a pipeline, prepared and ready to call, with its errors turned into ours.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use caisson_data::{Batch, Schema};
use caisson_sandbox::{Cause, DriftReport, Stage, StageError, StageKind, Violation};

use crate::error::{Kind, ServingError};
use crate::trail::Trail;
use crate::vitals::{Role, StageVitals, Vitals};

/// A prepared plugin in its place.
#[derive(Debug)]
pub(crate) struct PluginStage {
    /// Its place and plugin: `transforms[0] impute@0.1.0`.
    pub(crate) name: Arc<str>,
    /// SHA-256 of the component, hex.
    pub(crate) digest: String,
    stage: Stage,
    vitals: Arc<StageVitals>,
}

impl PluginStage {
    pub(crate) fn new(name: Arc<str>, digest: String, stage: Stage, role: Role) -> Self {
        Self {
            vitals: Arc::new(StageVitals::new(Arc::clone(&name), role)),
            name,
            digest,
            stage,
        }
    }

    /// From now on its calls count as its deployment's.
    pub(crate) fn measure(&mut self, vitals: &Vitals) {
        self.vitals = vitals.stage(&self.name, self.vitals.role());
        self.vitals.watch(self.stage.probe());
    }

    /// What it gives. A validator and a drift check give what they take.
    pub(crate) fn output(&self) -> &Arc<Schema> {
        self.stage.output_schema()
    }

    /// Why calls take turns on warm instances; `None` where each gets a fresh one.
    pub(crate) fn warm_because(&self) -> Option<&str> {
        match self.stage.kind() {
            StageKind::Preinitialised => None,
            StageKind::Warm { reason } => Some(reason),
        }
    }

    pub(crate) async fn apply(&self, batch: Batch, trail: Option<&Trail>) -> Result<Batch, ServingError> {
        self.timed(trail, Box::pin(self.stage.apply(&batch))).await
    }

    pub(crate) async fn validate(
        &self,
        batch: &Batch,
        trail: Option<&Trail>,
    ) -> Result<Vec<Violation>, ServingError> {
        self.timed(trail, Box::pin(self.stage.validate(batch))).await
    }

    pub(crate) async fn predict(&self, batch: &Batch, trail: Option<&Trail>) -> Result<Batch, ServingError> {
        self.timed(trail, Box::pin(self.stage.predict(batch))).await
    }

    pub(crate) async fn fit(&self, reference: &Batch) -> Result<Vec<u8>, ServingError> {
        self.timed(None, Box::pin(self.stage.fit(reference))).await
    }

    pub(crate) async fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, ServingError> {
        self.timed(None, Box::pin(self.stage.check(state, current))).await
    }

    /// A call is boxed: it is some kilobytes, which every future around it would hold too, and a request
    /// that calls no plugin with them.
    async fn timed<T>(
        &self,
        trail: Option<&Trail>,
        call: Pin<Box<impl Future<Output = Result<T, StageError>>>>,
    ) -> Result<T, ServingError> {
        let start = Instant::now();
        let result = call.await;
        let error = result.as_ref().err().map(|e| e.cause.code());
        self.vitals.note(trail, start, error);
        result.map_err(|error| stage_error(&self.name, error))
    }
}

/// A stage's failure at run time, as an answer to its request.
pub(crate) fn stage_error(name: &str, error: StageError) -> ServingError {
    let code = error.cause.code();
    let kind = match &error.cause {
        Cause::BadInput { .. } | Cause::InputSchema { .. } => Kind::Unprocessable,
        Cause::CpuTime(_) | Cause::WallTime(_) => Kind::Deadline,
        Cause::TenantMemory { .. } | Cause::TenantStopped => Kind::Quota,
        Cause::Busy { .. } => Kind::Busy,
        cause if cause.is_host_fault() => Kind::Internal,
        _ => Kind::Stage,
    };
    located(kind, code, name, &error)
}

/// A stage's refusal to be configured, as an answer to its deploy.
pub(crate) fn configure_error(name: &str, error: StageError) -> ServingError {
    let code = error.cause.code();
    let kind = match &error.cause {
        Cause::TenantMemory { .. } | Cause::TenantStopped => Kind::Quota,
        Cause::Busy { .. } => Kind::Busy,
        cause if cause.is_host_fault() => Kind::Internal,
        // Anything that a plugin does while being configured is about the file that was sent.
        _ => Kind::Unprocessable,
    };
    located(kind, code, name, &error)
}

fn located(kind: Kind, code: &'static str, name: &str, error: &StageError) -> ServingError {
    let mut message = error.cause.to_string();
    if let Some(said) = &error.guest_message {
        message.push_str(&format!("; the plugin's last words: {said}"));
    }
    let serving = ServingError::new(kind, code, message).in_stage(name);
    match &error.cause {
        Cause::BadInput { row, column, .. } => serving.at(row.map(u64::from), column.clone()),
        _ => serving,
    }
}
