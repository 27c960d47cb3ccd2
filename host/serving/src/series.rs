//! The metric series of a live revision.
//!
//! They are made when a revision goes live and not before: a plan, and a deployment that is refused,
//! leave none behind, so nobody fills the registry with names that don't exist.

use caisson_registry::TenantId;
use metrics::{Counter, Histogram};

use crate::monitor::Monitor;
use crate::pipeline::{Core, Pipeline};
use crate::stage::PluginStage;

/// Makes the series of one deployment.
pub(crate) struct Series {
    tenant: String,
    deployment: String,
}

impl Series {
    pub(crate) fn of(tenant: &TenantId, deployment: &str) -> Self {
        Self {
            tenant: tenant.to_string(),
            deployment: deployment.to_owned(),
        }
    }

    fn labels(&self) -> [(&'static str, String); 2] {
        [
            ("tenant", self.tenant.clone()),
            ("deployment", self.deployment.clone()),
        ]
    }

    pub(crate) fn counter(&self, name: &'static str) -> Counter {
        metrics::counter!(name, &self.labels())
    }

    pub(crate) fn histogram(&self, name: &'static str) -> Histogram {
        metrics::histogram!(name, &self.labels())
    }

    fn violations(&self, severity: &str) -> Counter {
        let [tenant, deployment] = self.labels();
        let severity = ("severity", severity.to_owned());
        metrics::counter!("caisson_violations_total", &[tenant, deployment, severity])
    }

    fn stage(&self, name: &str) -> Histogram {
        let [tenant, deployment] = self.labels();
        let stage = ("stage", name.to_owned());
        metrics::histogram!("caisson_stage_seconds", &[tenant, deployment, stage])
    }

    /// From now on these stages are measured.
    pub(crate) fn measure(&self, pipeline: &mut Pipeline, monitors: &mut [Monitor]) {
        pipeline.rejected = self.violations("reject");
        pipeline.warned = self.violations("warn");
        let predictor = match &mut pipeline.core {
            Core::Features => None,
            Core::Model(stage) => {
                stage.seconds = self.stage(&stage.name);
                None
            }
            Core::Predictor(stage) => Some(stage.as_mut()),
        };
        let plugins = pipeline
            .validators
            .iter_mut()
            .chain(&mut pipeline.transforms)
            .chain(predictor)
            .chain(&mut pipeline.post)
            .chain(monitors.iter_mut().filter_map(Monitor::stage_mut));
        for stage in plugins {
            let seconds = self.stage(&stage.name);
            PluginStage::measure(stage, seconds);
        }
    }
}
