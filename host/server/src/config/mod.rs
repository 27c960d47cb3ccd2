//! What a server is started with: a TOML file, then environment variables, then flags, each of which
//! overrides what stands before it.
//!
//! [`Settings`] is the result, complete and checked; nothing else of the server reads a flag, a
//! variable or the file.

mod alerts;
pub(crate) mod file;
mod models;
mod tracing;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use caisson_access::{QuotaFault, Quotas};
use caisson_store::{BlobBackend, UrlOptions};
use clap::Args;
use serde::Serialize;

use crate::http::listener::CONNECTIONS_MAX;
pub(crate) use alerts::Alerts;
use file::{Audit, File, LogFormat, PredictionLog, Read, ReadyPolicy, S3};
use models::{ModelFlags, Models};
pub(crate) use tracing::Tracing;

/// Where the server listens unless told otherwise: this machine alone.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Bytes of a gRPC message with tensors, as of an HTTP body with them.
const GRPC_MESSAGE_BYTES: u64 = crate::http::body::PREDICT_BYTES_MAX;
/// The most that they may be set to: the other side's lengths have 31 bits, and a message is in memory
/// twice while it is read.
const GRPC_MESSAGE_BYTES_MAX: u64 = 1 << 30;
/// The folder of everything that is kept, in the working folder.
const DATA_DIR: &str = "caisson-data";
/// How long a server that was told to stop goes on serving, unready: long enough for a load balancer
/// that asks once a second or two to send its requests elsewhere.
const DRAIN_SECONDS: u64 = 5;
/// How long requests in flight may take after that.
const GRACE_SECONDS: u64 = 30;
/// Requests of one tenant at once, unless its quotas or the configuration say otherwise: a quarter of
/// the instances that the sandbox has, so that no tenant has them all.
const CONCURRENT_REQUESTS: u64 = (caisson_sandbox::INSTANCES_DEFAULT / 4) as u64;
/// Memory of one tenant's running instances, likewise: as much as that many instances of the default
/// limit may take.
const MEMORY_BYTES: u64 = CONCURRENT_REQUESTS * caisson_sandbox::MEMORY_BYTES_DEFAULT as u64;
/// Changes of one tenant in a day, likewise. Each is a record of the audit log of some 500 bytes: a
/// tenant that does nothing else takes a hundred days for a log of the default size, so that it can't
/// push out what others did.
const CHANGES_PER_DAY: u64 = 20_000;
/// Connections of one peer address, unless the configuration says otherwise: a quarter of all. A reverse
/// proxy, whose connections all have one address, keeps some hundreds.
const CONNECTIONS_PER_PEER: usize = CONNECTIONS_MAX / 4;
/// How long a connection may take nothing of what is sent to it: longer than any network stalls.
const WRITE_TIMEOUT_SECONDS: u64 = 60;
/// The longest that makes sense: what waits to be sent stays in memory.
const WRITE_TIMEOUT_SECONDS_MAX: u64 = 3600;
/// Memory for rows of prediction logs that wait: a deployment has a quarter of it, and less than a
/// How often performance is told: windows are minutes at least, mostly days.
const PERFORMANCE_SECONDS: u64 = 60;
/// A day: whoever wants it less often wants a report.
const PERFORMANCE_SECONDS_MAX: u64 = 86_400;
/// mebibyte of that is less than one large request.
const LOG_BUFFER_BYTES_MIN: usize = 4 << 20;
/// The longest of both: a supervisor has killed the process long before.
const STOP_SECONDS_MAX: u64 = 3600;

/// Flags and environment variables that say how a server runs.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerFlags {
    /// Configuration file (TOML). Environment variables and flags override it.
    #[arg(long, env = "CAISSON_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address and port; port 0 takes a free one. [default: 127.0.0.1:8080]
    #[arg(long, env = "CAISSON_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Another address and port where there is gRPC alone; Triton's is 8001. Without it, gRPC is on the
    /// port of HTTP, where it is in any case.
    #[arg(long, env = "CAISSON_GRPC_LISTEN", value_name = "ADDR")]
    grpc_listen: Option<SocketAddr>,
    /// Bytes of a gRPC message with tensors. [default: 67108864]
    #[arg(long, env = "CAISSON_GRPC_MESSAGE_BYTES", value_name = "N")]
    grpc_message_bytes: Option<u64>,
    /// Serve on an address that other machines reach. Use a proxy that speaks TLS in front.
    #[arg(long, env = "CAISSON_ALLOW_REMOTE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    allow_remote: Option<bool>,
    /// One tenant, no keys, loopback only: for trying things out.
    #[arg(long, env = "CAISSON_DEV", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    dev: Option<bool>,
    /// Seconds to go on serving, unready, after SIGTERM. [default: 5]
    #[arg(long, env = "CAISSON_DRAIN_SECONDS", value_name = "N")]
    drain_seconds: Option<u64>,
    /// Seconds that requests in flight may take after that. [default: 30]
    #[arg(long, env = "CAISSON_GRACE_SECONDS", value_name = "N")]
    grace_seconds: Option<u64>,
    /// When a server whose deployments can't all be loaded is ready. [default: settled]
    #[arg(long, env = "CAISSON_READY", value_enum)]
    ready: Option<ReadyPolicy>,
    /// Connections that one address may have open. [default: 1024]
    #[arg(long, env = "CAISSON_CONNECTIONS_PER_PEER_MAX", value_name = "N")]
    connections_per_peer_max: Option<usize>,
    /// Seconds for which a client may read nothing of its answer. [default: 60]
    #[arg(long, env = "CAISSON_WRITE_TIMEOUT_SECONDS", value_name = "N")]
    write_timeout_seconds: Option<u64>,
    /// Folder of everything that is kept. [default: caisson-data]
    #[arg(long, env = "CAISSON_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where plugins, models and baselines are: in the data folder, or `s3://BUCKET/PREFIX`.
    #[arg(long, env = "CAISSON_BLOBS", value_name = "URL")]
    blobs: Option<String>,
    /// Addresses that aren't public and that receivers of alerts may have, separated by commas.
    #[arg(long, env = "CAISSON_ALERT_ALLOW", value_delimiter = ',', value_name = "ADDR")]
    alert_allow: Vec<String>,
    /// Certificates (PEM) that receivers of alerts may have beside those that the machine trusts.
    #[arg(long, env = "CAISSON_ALERT_CA_FILE", value_name = "FILE")]
    alert_ca_file: Option<PathBuf>,
    /// Put before links in notifications, such as `https://caisson.example.org`.
    #[arg(long, env = "CAISSON_ALERT_BASE_URL", value_name = "URL")]
    alert_base_url: Option<String>,
    /// Seconds between evaluations of alert rules. [default: 15]
    #[arg(long, env = "CAISSON_ALERT_INTERVAL_SECONDS", value_name = "N")]
    alert_interval_seconds: Option<u64>,
    #[command(flatten)]
    models: ModelFlags,
    /// How log lines look. [default: text]
    #[arg(long = "log", env = "CAISSON_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// Which log lines there are, such as `info` or `caisson_serving=debug`. [default: info]
    #[arg(long, env = "CAISSON_LOG", value_name = "FILTER")]
    log_filter: Option<String>,
    /// Collector that gets traces of requests over OTLP (HTTP, protobuf), such as `http://127.0.0.1:4318`.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Share of requests that are traced among those that bring no trace of their caller. [default: 0.1]
    #[arg(long, env = "CAISSON_TRACE_SAMPLE", value_name = "SHARE")]
    trace_sample: Option<f64>,
}

/// Everything that a server is started with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Settings {
    /// What a tenant may use that has no quotas of its own.
    pub(crate) quotas: Quotas,
    pub(crate) listen: SocketAddr,
    /// Where there is gRPC alone, besides the above.
    pub(crate) grpc_listen: Option<SocketAddr>,
    pub(crate) grpc_message_bytes: usize,
    pub(crate) allow_remote: bool,
    pub(crate) dev: bool,
    pub(crate) drain: Duration,
    pub(crate) grace: Duration,
    pub(crate) ready: ReadyPolicy,
    pub(crate) connections_per_peer_max: usize,
    pub(crate) write_timeout: Duration,
    pub(crate) data_dir: PathBuf,
    /// `s3://BUCKET/PREFIX`; in the data folder if absent.
    pub(crate) blobs: Option<String>,
    pub(crate) s3: S3,
    pub(crate) audit: Audit,
    pub(crate) alerts: Alerts,
    pub(crate) predictions: PredictionLog,
    pub(crate) performance_interval: Duration,
    pub(crate) models: Models,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    pub(crate) tracing: Tracing,
}

impl ServerFlags {
    /// No flags but those that say where things are kept.
    pub(crate) fn storage(config: Option<PathBuf>, data_dir: Option<PathBuf>, blobs: Option<String>) -> Self {
        Self {
            config,
            data_dir,
            blobs,
            ..Self::default()
        }
    }
}

impl Settings {
    /// How the data folder is opened.
    pub(crate) fn store(&self) -> caisson_store::Options {
        let mut options = caisson_store::Options::default();
        if let Some(url) = &self.blobs {
            let mut s3 = UrlOptions {
                endpoint: self.s3.endpoint.clone(),
                region: self.s3.region.clone(),
                allow_http: self.s3.allow_http,
                ..UrlOptions::default()
            };
            if let Some(bytes) = self.s3.cache_bytes {
                s3.cache_bytes = bytes;
            }
            options.blobs = BlobBackend::Url {
                url: url.clone(),
                options: s3,
            };
        }
        options
    }

    /// How much of the audit log is kept.
    pub(crate) fn audit(&self) -> caisson_audit::Options {
        let mut options = caisson_audit::Options::default();
        if let Some(bytes) = self.audit.max_bytes {
            options.max_bytes = Some(bytes);
        }
        options.max_age = self
            .audit
            .max_days
            .map(|days| Duration::from_secs(days.saturating_mul(86_400)));
        options
    }

    /// What the logs of predictions may take.
    pub(crate) fn predictions(&self) -> caisson_predictions::Limits {
        let mut limits = caisson_predictions::Limits::default();
        if let Some(bytes) = self.predictions.buffer_bytes {
            limits.buffer_bytes = bytes;
        }
        limits
    }

    /// Put file, environment and flags together, and check the whole.
    ///
    /// # Errors
    ///
    /// Every problem of the file; settings that contradict each other.
    pub(crate) fn gather(flags: ServerFlags) -> anyhow::Result<Self> {
        let file = match &flags.config {
            None => File::default(),
            Some(path) => match file::read(path) {
                Read { file, problems, .. } if problems.is_empty() => file,
                Read { problems, .. } => return Err(unusable(&problems)),
            },
        };
        let settings = Self::merge(flags, file);
        let faults = settings.faults();
        if faults.is_empty() {
            return Ok(settings);
        }
        Err(unusable(&faults))
    }

    /// What a file alone makes of it.
    pub(crate) fn of_file(file: File) -> Self {
        Self::merge(ServerFlags::default(), file)
    }

    fn merge(flags: ServerFlags, file: File) -> Self {
        let seconds = |flag: Option<u64>, file: Option<u64>, default: u64| {
            Duration::from_secs(flag.or(file).unwrap_or(default))
        };
        let File {
            server,
            storage,
            models,
            log,
            tracing,
            audit,
            alerts,
            predictions,
            performance,
            quotas,
        } = file;
        let dev = flags.dev.or(server.dev).unwrap_or_default();
        let shared = Quotas {
            concurrent_requests: Some(CONCURRENT_REQUESTS),
            memory_bytes: Some(MEMORY_BYTES),
            changes_per_day: Some(CHANGES_PER_DAY),
            ..Quotas::default()
        };
        Self {
            // A developer's only tenant shares with nobody.
            quotas: if dev { quotas } else { quotas.or(&shared) },
            dev,
            listen: flags.listen.or(server.listen).unwrap_or(LISTEN),
            grpc_listen: flags.grpc_listen.or(server.grpc_listen),
            grpc_message_bytes: flags
                .grpc_message_bytes
                .or(server.grpc_message_bytes)
                .unwrap_or(GRPC_MESSAGE_BYTES)
                .try_into()
                .unwrap_or(usize::MAX),
            allow_remote: flags.allow_remote.or(server.allow_remote).unwrap_or_default(),
            drain: seconds(flags.drain_seconds, server.drain_seconds, DRAIN_SECONDS),
            grace: seconds(flags.grace_seconds, server.grace_seconds, GRACE_SECONDS),
            ready: flags.ready.or(server.ready).unwrap_or_default(),
            connections_per_peer_max: flags
                .connections_per_peer_max
                .or(server.connections_per_peer_max)
                .unwrap_or(CONNECTIONS_PER_PEER),
            write_timeout: seconds(
                flags.write_timeout_seconds,
                server.write_timeout_seconds,
                WRITE_TIMEOUT_SECONDS,
            ),
            data_dir: flags
                .data_dir
                .or(storage.data_dir)
                .unwrap_or_else(|| DATA_DIR.into()),
            blobs: flags.blobs.or(storage.blobs),
            s3: storage.s3,
            audit,
            alerts: Alerts::of(file::Alerts {
                allow: match flags.alert_allow.is_empty() {
                    true => alerts.allow,
                    false => flags.alert_allow,
                },
                ca_file: flags.alert_ca_file.or(alerts.ca_file),
                base_url: flags.alert_base_url.or(alerts.base_url),
                interval_seconds: flags.alert_interval_seconds.or(alerts.interval_seconds),
            }),
            predictions,
            performance_interval: seconds(None, performance.interval_seconds, PERFORMANCE_SECONDS),
            models: Models::of(flags.models, models),
            log_format: flags.log_format.or(log.format).unwrap_or_default(),
            log_filter: flags
                .log_filter
                .or(log.filter)
                .unwrap_or_else(|| "info".to_owned()),
            tracing: Tracing::of(file::Tracing {
                otlp_endpoint: flags.otlp_endpoint.or(tracing.otlp_endpoint),
                sample: flags.trace_sample.or(tracing.sample),
            }),
        }
    }

    /// Everything that can be told to be wrong before anything is opened.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: String| {
            faults.push(Fault {
                key: key.to_owned(),
                message,
            });
        };
        let grpc = self.grpc_listen.map(|listen| ("server.grpc_listen", listen));
        for (key, listen) in std::iter::once(("server.listen", self.listen)).chain(grpc) {
            let loopback = listen.ip().is_loopback();
            if self.dev && !loopback {
                fault(
                    "server.dev",
                    format!(
                        "--dev serves without keys, so it listens on loopback only, and {listen} is not: leave --dev out, or listen on 127.0.0.1"
                    ),
                );
            }
            if !loopback && !self.allow_remote {
                fault(
                    key,
                    format!(
                        "{listen} is reachable from other machines, and Caisson speaks plain HTTP: listen on 127.0.0.1 behind a proxy \
                         that speaks TLS, or say --allow-remote"
                    ),
                );
            }
        }
        if !(1..=GRPC_MESSAGE_BYTES_MAX).contains(&(self.grpc_message_bytes as u64)) {
            fault(
                "server.grpc_message_bytes",
                format!(
                    "grpc_message_bytes is {}; 1 to {GRPC_MESSAGE_BYTES_MAX} make sense",
                    self.grpc_message_bytes
                ),
            );
        }
        let stop = self.drain.as_secs().saturating_add(self.grace.as_secs());
        if stop > STOP_SECONDS_MAX {
            let longer = match self.drain > self.grace {
                true => "server.drain_seconds",
                false => "server.grace_seconds",
            };
            fault(
                longer,
                format!(
                    "drain_seconds and grace_seconds are {stop} together; at most {STOP_SECONDS_MAX} make sense"
                ),
            );
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections_per_peer_max) {
            fault(
                "server.connections_per_peer_max",
                format!(
                    "{} is not from 1 to {CONNECTIONS_MAX}, as many as there may be in all",
                    self.connections_per_peer_max
                ),
            );
        }
        if !(1..=WRITE_TIMEOUT_SECONDS_MAX).contains(&self.write_timeout.as_secs()) {
            fault(
                "server.write_timeout_seconds",
                format!(
                    "{} is not from 1 to {WRITE_TIMEOUT_SECONDS_MAX}",
                    self.write_timeout.as_secs()
                ),
            );
        }
        if let Some(bytes) = self
            .predictions
            .buffer_bytes
            .filter(|&n| n < LOG_BUFFER_BYTES_MIN)
        {
            fault(
                "predictions.buffer_bytes",
                format!("{bytes} is less than {LOG_BUFFER_BYTES_MIN}: large requests would never be logged"),
            );
        }
        if !(1..=PERFORMANCE_SECONDS_MAX).contains(&self.performance_interval.as_secs()) {
            fault(
                "performance.interval_seconds",
                format!(
                    "{} is not from 1 to {PERFORMANCE_SECONDS_MAX}",
                    self.performance_interval.as_secs()
                ),
            );
        }
        if let Err(error) = self.store().blobs.check() {
            fault("storage.blobs", error.to_string());
        }
        for (key, message) in self.models.faults() {
            fault(&format!("models.{key}"), message);
        }
        for (key, message) in self.alerts.faults() {
            fault(&format!("alerts.{key}"), message);
        }
        for (key, message) in self.tracing.faults() {
            fault(&format!("tracing.{key}"), message);
        }
        for QuotaFault { quota, reason } in self.quotas.faults() {
            fault(&format!("quotas.{quota}"), reason);
        }
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&self.log_filter) {
            fault("log.filter", format!("log filter `{}`: {error}", self.log_filter));
        }
        faults
    }
}

fn unusable(problems: &[impl ToString]) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the configuration can't be used:\n  {}", lines.join("\n  "))
}

/// A setting that can't be, or not beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// As the file has it, `server.listen`.
    pub(crate) key: String,
    /// What is wrong, and what would be right.
    pub(crate) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn file(text: &str) -> File {
        let (file, problems) = file::parse(Path::new("caisson.toml"), text);
        assert_eq!(problems, []);
        file
    }

    #[test]
    fn flags_override_the_file_and_the_file_the_defaults() {
        let settings = Settings::merge(
            ServerFlags {
                drain_seconds: Some(1),
                dev: Some(false),
                ..ServerFlags::default()
            },
            file("[server]\ndrain_seconds = 9\ngrace_seconds = 8\ndev = true\n[log]\nformat = \"json\"\n"),
        );
        assert_eq!(settings.drain, Duration::from_secs(1));
        assert_eq!(settings.grace, Duration::from_secs(8));
        assert!(!settings.dev);
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.listen, LISTEN);
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_a_way_out() {
        let faults = |text: &str| Settings::of_file(file(text)).faults();
        let fine = |text: &str| assert_eq!(faults(text), []);
        let error = |text: &str| -> String {
            let all: Vec<String> = faults(text).iter().map(ToString::to_string).collect();
            assert!(!all.is_empty(), "{text}");
            all.join("\n")
        };
        fine("");
        fine("[server]\nlisten = \"[::1]:1\"\ndev = true");
        let remote = "[server]\nlisten = \"0.0.0.0:1\"\n";
        assert!(error(remote).contains("--allow-remote"));
        assert!(error(&format!("{remote}allow_remote = true\ndev = true")).contains("--dev"));
        fine(&format!("{remote}allow_remote = true"));
        let remote = "[server]\ngrpc_listen = \"0.0.0.0:1\"\n";
        assert!(error(remote).contains("--allow-remote"));
        assert!(error(&format!("{remote}allow_remote = true\ndev = true")).contains("--dev"));
        fine("[server]\ngrpc_message_bytes = 1073741824");
        assert!(error("[server]\ngrpc_message_bytes = 1073741825").contains("1073741824"));
        assert!(error("[server]\ngrpc_message_bytes = 0").contains("grpc_message_bytes"));
        assert!(error("[server]\ndrain_seconds = 4000").contains("4030"));
        assert!(error("[log]\nfilter = \"=nonsense=\"").contains("nonsense"));
        for (text, key) in [
            (
                "[server]\nconnections_per_peer_max = 0",
                "server.connections_per_peer_max",
            ),
            (
                "[server]\nwrite_timeout_seconds = 0",
                "server.write_timeout_seconds",
            ),
            ("[storage]\nblobs = \"ftp://x\"", "storage.blobs"),
            ("[predictions]\nbuffer_bytes = 1000", "predictions.buffer_bytes"),
            (
                "[performance]\ninterval_seconds = 0",
                "performance.interval_seconds",
            ),
            ("[models]\nonnxruntime = \"/none.so\"", "models.onnxruntime"),
            ("[models]\nintra_op_threads = 0", "models.intra_op_threads"),
            ("[models]\nsessions = 257", "models.sessions"),
            ("[models]\nwaiting_max = 0", "models.waiting_max"),
            (
                "[quotas]\nrequests_per_second = -1.0",
                "quotas.requests_per_second",
            ),
            ("[quotas]\nrequests_burst = 5", "quotas.requests_burst"),
            ("[alerts]\nallow = [\"10.0.0\"]", "alerts.allow"),
            ("[alerts]\nca_file = \"/none.pem\"", "alerts.ca_file"),
            ("[alerts]\nbase_url = \"caisson.example.org\"", "alerts.base_url"),
            ("[alerts]\ninterval_seconds = 0", "alerts.interval_seconds"),
            ("[tracing]\nsample = 1.5", "tracing.sample"),
            (
                "[tracing]\notlp_endpoint = \"localhost:4318\"",
                "tracing.otlp_endpoint",
            ),
        ] {
            let said = error(text);
            assert!(said.starts_with(&format!("{key}: ")), "{said}");
        }
    }
}
