//! What scrapers see of a deployment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use caisson_metrics::{Exposition, catalogue as metric};
use caisson_sandbox::DriftStatus;

use super::Vitals;

impl Vitals {
    /// Write down all that is counted of this deployment.
    pub fn expose(&self, to: &mut Exposition) {
        let labels = [&*self.tenant, &*self.deployment];
        let [tenant, deployment] = labels;
        let latency = self.latency.read();
        to.count(&metric::REQUESTS, &labels, latency.count());
        to.histogram(&metric::REQUEST_SECONDS, &labels, &latency);
        to.histogram(&metric::QUEUE_SECONDS, &labels, &self.waits.read());
        to.histogram(&metric::BATCH_ROWS, &labels, &self.batch_rows.read());
        for (metric, count) in [
            (metric::REQUEST_FAILURES, &self.failures),
            (metric::REQUEST_REFUSALS, &self.refusals),
            (metric::ROWS, &self.rows),
            (metric::REJECTED_ROWS, &self.rejected),
            (metric::STREAMS_OPEN, &self.streams.open),
            (metric::BATCH_SPLITS, &self.batch_splits),
            (metric::QUEUE_REFUSALS, &self.queue_refusals),
        ] {
            to.count(&metric, &labels, load(count));
        }
        for (metric, label, count) in [
            (metric::VIOLATIONS, "reject", &self.violations.reject),
            (metric::VIOLATIONS, "warn", &self.violations.warn),
            (metric::CACHE, "hit", &self.cache_hits),
            (metric::CACHE, "miss", &self.cache_misses),
            (metric::STREAM_ROWS, "answered", &self.streams.answered),
            (metric::STREAM_ROWS, "error", &self.streams.errors),
        ] {
            to.count(&metric, &[tenant, deployment, label], load(count));
        }
        self.expose_stages(to);
        self.expose_drift(to);
    }

    fn expose_stages(&self, to: &mut Exposition) {
        for stage in self.stages() {
            let labels = [&*self.tenant, &*self.deployment, stage.name()];
            to.histogram(&metric::STAGE_SECONDS, &labels, &stage.seconds());
            let guest = stage.guest();
            if guest.instances == 0 && guest.failures.is_empty() {
                continue; // A model, or a plugin that nobody has called.
            }
            for (metric, count) in [
                (metric::PLUGIN_CALLS, guest.calls),
                (metric::PLUGIN_INSTANCES, guest.instances),
                (metric::PLUGIN_REUSES, guest.reuses),
                (metric::PLUGIN_MEMORY_PEAK_BYTES, guest.memory_peak_bytes),
                (metric::PLUGIN_LOG_LINES, guest.log_lines),
                (metric::PLUGIN_LOG_LINES_DROPPED, guest.log_lines_dropped),
            ] {
                to.count(&metric, &labels, count);
            }
            to.value(&metric::PLUGIN_BUSY_SECONDS, &labels, guest.busy.as_secs_f64());
            to.value(&metric::PLUGIN_RUN_SECONDS, &labels, guest.wall.as_secs_f64());
            let [tenant, deployment, name] = labels;
            for (cause, count) in &guest.failures {
                to.count(
                    &metric::PLUGIN_FAILURES,
                    &[tenant, deployment, name, cause],
                    *count,
                );
            }
        }
    }

    fn expose_drift(&self, to: &mut Exposition) {
        let Some(seen) = self.drift() else { return };
        let since = seen.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        for said in &seen.monitors {
            let labels = [&*self.tenant, &*self.deployment, said.monitor.as_str()];
            to.value(&metric::DRIFT_CHECKED_SECONDS, &labels, since.as_secs_f64());
            if let Some(score) = said.score {
                to.value(&metric::DRIFT_SCORE, &labels, score);
            }
            let status = match said.status {
                DriftStatus::Stable => 0,
                DriftStatus::Warn => 1,
                DriftStatus::Drifted => 2,
                DriftStatus::InsufficientData => continue,
            };
            to.count(&metric::DRIFT_STATUS, &labels, status);
        }
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
