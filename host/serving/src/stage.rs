//! One plugin of a pipeline, prepared and ready to call, with its errors turned into ours.

use std::sync::Arc;
use std::time::Instant;

use caisson_data::{Batch, Schema};
use caisson_registry::TenantId;
use caisson_sandbox::{Cause, DriftReport, Stage, StageError, StageKind, Violation};

use crate::error::{Kind, ServingError};

/// A prepared plugin in its place.
#[derive(Debug)]
pub(crate) struct PluginStage {
    /// Its place and plugin: `transforms[0] impute@0.1.0`.
    pub(crate) name: Arc<str>,
    /// SHA-256 of the component, hex.
    pub(crate) digest: String,
    stage: Stage,
    seconds: metrics::Histogram,
}

impl PluginStage {
    pub(crate) fn new(name: Arc<str>, digest: String, stage: Stage) -> Self {
        Self {
            name,
            digest,
            stage,
            seconds: metrics::Histogram::noop(),
        }
    }

    /// From now on its calls are measured.
    pub(crate) fn measure(&mut self, seconds: metrics::Histogram) {
        self.seconds = seconds;
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

    /// Bring this stage's counters up to date in the metrics registry.
    pub(crate) fn publish_metrics(&self, tenant: &TenantId, deployment: &str) {
        let stats = self.stage.stats();
        let labels = || {
            [
                ("tenant", tenant.to_string()),
                ("deployment", deployment.to_owned()),
                ("stage", self.name.to_string()),
            ]
        };
        let count = |name: &'static str, value: u64| metrics::counter!(name, &labels()).absolute(value);
        count("caisson_plugin_calls_total", stats.calls);
        count("caisson_plugin_instances_total", stats.instances);
        count("caisson_plugin_log_lines_total", stats.log_lines);
        count("caisson_plugin_log_lines_dropped_total", stats.log_lines_dropped);
        metrics::gauge!("caisson_plugin_memory_peak_bytes", &labels()).set(stats.memory_peak_bytes as f64);
        metrics::gauge!("caisson_plugin_busy_seconds_total", &labels()).set(stats.busy.as_secs_f64());
        for (cause, failures) in stats.failures {
            let [tenant, deployment, stage] = labels();
            metrics::counter!(
                "caisson_plugin_failures_total",
                &[tenant, deployment, stage, ("cause", cause.to_owned())]
            )
            .absolute(failures);
        }
    }

    pub(crate) async fn apply(&self, batch: Batch) -> Result<Batch, ServingError> {
        self.timed(self.stage.apply(&batch)).await
    }

    pub(crate) async fn validate(&self, batch: &Batch) -> Result<Vec<Violation>, ServingError> {
        self.timed(self.stage.validate(batch)).await
    }

    pub(crate) async fn predict(&self, batch: &Batch) -> Result<Batch, ServingError> {
        self.timed(self.stage.predict(batch)).await
    }

    pub(crate) async fn fit(&self, reference: &Batch) -> Result<Vec<u8>, ServingError> {
        self.timed(self.stage.fit(reference)).await
    }

    pub(crate) async fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, ServingError> {
        self.timed(self.stage.check(state, current)).await
    }

    async fn timed<T>(&self, call: impl Future<Output = Result<T, StageError>>) -> Result<T, ServingError> {
        let start = Instant::now();
        let result = call.await;
        self.seconds.record(start.elapsed());
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
