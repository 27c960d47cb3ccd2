//! The list of all metrics.
//!
//! `/metrics`, the table in the documentation, the dashboard and the rules in `examples/observability` come
//! from here. A name ends in its unit, a counter's in `_total`, as Prometheus and OpenMetrics want it.

use serde::Serialize;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It only grows, until the server starts anew or what it is of is deleted.
    Counter,
    /// It is what it is now.
    Gauge,
    /// A histogram of durations.
    Durations,
    /// A histogram of sizes.
    Sizes,
}

impl Kind {
    /// As the formats call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Durations | Self::Sizes => "histogram",
        }
    }

    /// Is it a histogram?
    pub fn is_histogram(self) -> bool {
        matches!(self, Self::Durations | Self::Sizes)
    }
}

/// What a metric is about: a part of the dashboard, and of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Topic {
    /// Requests to deployments.
    Requests,
    /// Where their time goes.
    Stages,
    /// Sharing of runs, and waiting for them.
    Batching,
    /// The sandbox.
    Plugins,
    /// Drift and alerts.
    Monitoring,
    /// The prediction log.
    Log,
    /// What tenants have and use.
    Tenants,
    /// The process, and its traces.
    Server,
}

impl Topic {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Requests,
        Self::Stages,
        Self::Batching,
        Self::Plugins,
        Self::Monitoring,
        Self::Log,
        Self::Tenants,
        Self::Server,
    ];

    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Requests => "Requests",
            Self::Stages => "Time by stage",
            Self::Batching => "Batching and queues",
            Self::Plugins => "Plugins in the sandbox",
            Self::Monitoring => "Drift and alerts",
            Self::Log => "Prediction log",
            Self::Tenants => "Tenants and the registry",
            Self::Server => "The server",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// Its name, with the suffix of a counter.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub topic: Topic,
    /// The names of its labels. `tenant` and `deployment` are of what there is, `stage` of a live revision,
    /// all others have few values that are fixed.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

impl Metric {
    /// The name of its family in OpenMetrics, where a counter's samples alone have the suffix.
    pub fn family(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            _ => self.name,
        }
    }

    /// The unit that the name ends in; none where there is none.
    pub fn unit(&self) -> Option<&'static str> {
        let last = self.family().rsplit('_').next()?;
        ["seconds", "bytes", "rows"]
            .into_iter()
            .find(|unit| *unit == last)
    }
}

macro_rules! catalogue {
    ($($topic:ident { $($id:ident = $kind:ident $name:literal [$($label:ident)*] $help:literal;)+ })+) => {
        $($(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                topic: Topic::$topic,
                labels: &[$(stringify!($label)),*],
                help: $help,
            };
        )+)+

        /// Every metric that there is.
        pub const ALL: &[Metric] = &[$($($id),+),+];
    };
}

catalogue! {
    Requests {
        REQUESTS = Counter "caisson_requests_total" [tenant deployment]
            "Requests that were answered, whatever the answer; a part of a stream is one.";
        REQUEST_FAILURES = Counter "caisson_request_failures_total" [tenant deployment]
            "Requests that a stage, a model or the host failed.";
        REQUEST_REFUSALS = Counter "caisson_request_refusals_total" [tenant deployment]
            "Requests that were refused for what they asked, such as rows that validators reject.";
        REQUEST_SECONDS = Durations "caisson_request_seconds" [tenant deployment]
            "Time of a request from its rows to the answer, waiting included.";
        ROWS = Counter "caisson_rows_total" [tenant deployment]
            "Rows that came.";
        REJECTED_ROWS = Counter "caisson_rejected_rows_total" [tenant deployment]
            "Rows that validators refused.";
        VIOLATIONS = Counter "caisson_violations_total" [tenant deployment severity]
            "Violations that validators found, by what they do to the request.";
        CACHE = Counter "caisson_response_cache_total" [tenant deployment result]
            "Requests that asked the response cache, by whether it had the answer.";
        STREAMS_OPEN = Gauge "caisson_streams_open" [tenant deployment]
            "Streams that are being answered.";
        STREAM_ROWS = Counter "caisson_stream_rows_total" [tenant deployment outcome]
            "Rows of streams, by outcome.";
    }
    Stages {
        STAGE_SECONDS = Durations "caisson_stage_seconds" [tenant deployment stage]
            "Time of one run of a stage, waiting for an instance included; requests that share a run count as one.";
    }
    Batching {
        QUEUE_SECONDS = Durations "caisson_queue_seconds" [tenant deployment]
            "Time for which a request waited to share a run.";
        BATCH_ROWS = Sizes "caisson_batch_rows" [tenant deployment]
            "Rows of a shared run.";
        BATCH_SPLITS = Counter "caisson_batch_splits_total" [tenant deployment]
            "Shared runs that failed, so that each request ran again alone.";
        QUEUE_REFUSALS = Counter "caisson_queue_refusals_total" [tenant deployment]
            "Requests that were refused because the queue was full or their time in it was over.";
    }
    Plugins {
        PLUGIN_CALLS = Counter "caisson_plugin_calls_total" [tenant deployment stage]
            "Calls of a plugin.";
        PLUGIN_INSTANCES = Counter "caisson_plugin_instances_total" [tenant deployment stage]
            "Instances of a plugin that were made.";
        PLUGIN_REUSES = Counter "caisson_plugin_reuses_total" [tenant deployment stage]
            "Calls that a warm instance took which had taken one before.";
        PLUGIN_FAILURES = Counter "caisson_plugin_failures_total" [tenant deployment stage cause]
            "Calls that failed, by cause: traps, limits, answers that break the contract.";
        PLUGIN_BUSY_SECONDS = Counter "caisson_plugin_busy_seconds_total" [tenant deployment stage]
            "Processor time of calls, with copying in and out.";
        PLUGIN_RUN_SECONDS = Counter "caisson_plugin_run_seconds_total" [tenant deployment stage]
            "Time of calls from end to end, without waiting for an instance.";
        PLUGIN_MEMORY_PEAK_BYTES = Gauge "caisson_plugin_memory_peak_bytes" [tenant deployment stage]
            "The most linear memory that an instance had.";
        PLUGIN_LOG_LINES = Counter "caisson_plugin_log_lines_total" [tenant deployment stage]
            "Lines that a plugin logged.";
        PLUGIN_LOG_LINES_DROPPED = Counter "caisson_plugin_log_lines_dropped_total" [tenant deployment stage]
            "Lines that were dropped by the rate limit.";
    }
    Monitoring {
        DRIFT_SCORE = Gauge "caisson_drift_score" [tenant deployment monitor]
            "The largest statistic of a monitor's features, when it last looked.";
        DRIFT_STATUS = Gauge "caisson_drift_status" [tenant deployment monitor]
            "A monitor's verdict: 0 stable, 1 warning, 2 drifted; absent without enough data.";
        DRIFT_CHECKED_SECONDS = Gauge "caisson_drift_checked_timestamp_seconds" [tenant deployment monitor]
            "When a monitor last looked, in seconds since 1970.";
        ALERTS = Gauge "caisson_alerts" [tenant phase]
            "Alerts of a tenant, by phase.";
        ALERT_DELIVERIES = Counter "caisson_alert_deliveries_total" [tenant outcome]
            "Deliveries of notifications, by outcome.";
        ALERT_NOTIFICATIONS_LOST = Counter "caisson_alert_notifications_lost_total" [tenant reason]
            "Notifications that were not delivered, by reason.";
    }
    Log {
        LOG_ROWS = Counter "caisson_log_rows_total" [tenant deployment]
            "Rows written to the prediction log.";
        LOG_DROPPED_ROWS = Counter "caisson_log_dropped_rows_total" [tenant deployment reason]
            "Rows of sampled requests that are not in the log, by reason.";
        LOG_WAITING_ROWS = Gauge "caisson_log_waiting_rows" [tenant deployment]
            "Rows that wait in memory to be written.";
        LOG_STORED_BYTES = Gauge "caisson_log_stored_bytes" [tenant deployment]
            "Bytes of the log's files.";
    }
    Tenants {
        TENANTS = Gauge "caisson_tenants" []
            "Tenants.";
        PLUGIN_VERSIONS = Gauge "caisson_plugin_versions" [tenant]
            "Versions of plugins in the registry.";
        MODEL_VERSIONS = Gauge "caisson_model_versions" [tenant]
            "Versions of models in the registry.";
        DEPLOYMENTS = Gauge "caisson_deployments" [tenant state]
            "Deployments, by how far they are on their way to serving.";
        REVISION = Gauge "caisson_deployment_revision" [tenant deployment]
            "The number of the live revision.";
        STORED_BYTES = Gauge "caisson_tenant_stored_bytes" [tenant]
            "Bytes of plugins, models, specs and logs, as the quota counts them.";
        TENANT_CPU_SECONDS = Counter "caisson_tenant_cpu_seconds_total" [tenant]
            "Processor time of a tenant's plugins and models, as the quota counts it.";
        TENANT_MEMORY_BYTES = Gauge "caisson_tenant_plugin_memory_bytes" [tenant]
            "Linear memory of all instances that a tenant has now.";
        TENANT_REQUESTS = Gauge "caisson_tenant_requests_in_progress" [tenant]
            "Requests of a tenant that are being answered.";
    }
    Server {
        BUILD_INFO = Gauge "caisson_build_info" [version]
            "1, with the version of the server.";
        METADATA_BYTES = Gauge "caisson_metadata_bytes" []
            "Bytes of the records in the data folder.";
        BLOB_BYTES = Gauge "caisson_blob_bytes" []
            "Bytes of plugins, models and baselines, each counted once, as of the last hourly sweep.";
        DISK_FREE_BYTES = Gauge "caisson_disk_free_bytes" []
            "Bytes that the disk of the data folder still takes.";
        TRACES = Counter "caisson_traces_total" [outcome]
            "Traces of sampled requests: exported, dropped because the queue was full, or failed to be exported.";
        PROCESS_CPU_SECONDS = Counter "process_cpu_seconds_total" []
            "Processor time of the process.";
        PROCESS_MEMORY_BYTES = Gauge "process_resident_memory_bytes" []
            "Memory of the process that is in RAM.";
        PROCESS_OPEN_FDS = Gauge "process_open_fds" []
            "Files and connections that the process has open.";
        PROCESS_START_SECONDS = Gauge "process_start_time_seconds" []
            "When the process started, in seconds since 1970.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_rules_of_both_formats() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            let name = metric.name;
            assert!(seen.insert(metric.family()), "{name} comes twice");
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(plain), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            if metric.kind == Kind::Durations {
                assert_eq!(metric.unit(), Some("seconds"), "{name}");
            }
            for reserved in ["_bucket", "_sum", "_count", "_created"] {
                assert!(!name.ends_with(reserved), "{name}");
            }
            // Neither format escapes what isn't there.
            assert!(
                metric.help.ends_with('.') && !metric.help.contains(['\\', '\n', '"']),
                "{name}"
            );
            let labels: BTreeSet<_> = metric.labels.iter().collect();
            assert!(
                labels.len() == metric.labels.len() && !labels.contains(&"le"),
                "{name}"
            );
        }
    }
}
