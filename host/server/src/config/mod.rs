//! What a server is started with: a TOML file, then environment variables, then flags, each of which
//! overrides what stands before it.
//!
//! [`Settings`] is the result, complete and checked; nothing else of the server reads a flag, a
//! variable or the file.

pub(crate) mod file;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use caisson_access::Quotas;
use caisson_store::{BlobBackend, UrlOptions};
use clap::Args;
use serde::Serialize;

use file::{Audit, File, LogFormat, Provider, ReadyPolicy, S3};

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
    /// Folder of everything that is kept. [default: caisson-data]
    #[arg(long, env = "CAISSON_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where plugins, models and baselines are: in the data folder, or `s3://BUCKET/PREFIX`.
    #[arg(long, env = "CAISSON_BLOBS", value_name = "URL")]
    blobs: Option<String>,
    /// ONNX Runtime's shared library; `cargo xtask setup` puts one in place.
    #[arg(long, env = "CAISSON_ONNXRUNTIME", value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// Where models run. [default: cpu]
    #[arg(long, env = "CAISSON_PROVIDER", value_enum)]
    provider: Option<Provider>,
    /// With `--provider cuda`: run on the CPU, and say so, where CUDA can't be had.
    #[arg(long, env = "CAISSON_FALLBACK_TO_CPU", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    fallback_to_cpu: Option<bool>,
    /// How log lines look. [default: text]
    #[arg(long = "log", env = "CAISSON_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// Which log lines there are, such as `info` or `caisson_serving=debug`. [default: info]
    #[arg(long, env = "CAISSON_LOG", value_name = "FILTER")]
    log_filter: Option<String>,
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
    pub(crate) data_dir: PathBuf,
    /// `s3://BUCKET/PREFIX`; in the data folder if absent.
    pub(crate) blobs: Option<String>,
    pub(crate) s3: S3,
    pub(crate) audit: Audit,
    pub(crate) onnxruntime: Option<PathBuf>,
    pub(crate) provider: Provider,
    pub(crate) fallback_to_cpu: bool,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
}

impl ServerFlags {
    /// No flag but the file.
    pub(crate) fn only(config: PathBuf) -> Self {
        Self {
            config: Some(config),
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

    /// Put file, environment and flags together, and check the whole.
    ///
    /// # Errors
    ///
    /// Every problem of the file; settings that contradict each other.
    pub(crate) fn gather(flags: ServerFlags) -> anyhow::Result<Self> {
        let file = match &flags.config {
            None => File::default(),
            Some(path) => file::read(path).map_err(|problems| {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                anyhow::anyhow!("the configuration can't be used:\n  {}", lines.join("\n  "))
            })?,
        };
        let settings = Self::merge(flags, file);
        settings.check()?;
        Ok(settings)
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
            audit,
            quotas,
        } = file;
        let dev = flags.dev.or(server.dev).unwrap_or_default();
        let shared = Quotas {
            concurrent_requests: Some(CONCURRENT_REQUESTS),
            memory_bytes: Some(MEMORY_BYTES),
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
            data_dir: flags
                .data_dir
                .or(storage.data_dir)
                .unwrap_or_else(|| DATA_DIR.into()),
            blobs: flags.blobs.or(storage.blobs),
            s3: storage.s3,
            audit,
            onnxruntime: flags.onnxruntime.or(models.onnxruntime),
            provider: flags.provider.or(models.provider).unwrap_or_default(),
            fallback_to_cpu: flags
                .fallback_to_cpu
                .or(models.fallback_to_cpu)
                .unwrap_or_default(),
            log_format: flags.log_format.or(log.format).unwrap_or_default(),
            log_filter: flags
                .log_filter
                .or(log.filter)
                .unwrap_or_else(|| "info".to_owned()),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        for listen in std::iter::once(self.listen).chain(self.grpc_listen) {
            let loopback = listen.ip().is_loopback();
            if self.dev && !loopback {
                bail!(
                    "--dev serves without keys, so it listens on loopback only, and {listen} is not: leave --dev out, or listen on 127.0.0.1"
                );
            }
            if !loopback && !self.allow_remote {
                bail!(
                    "{listen} is reachable from other machines, and Caisson speaks plain HTTP: listen on 127.0.0.1 behind a proxy \
                     that speaks TLS, or say --allow-remote"
                );
            }
        }
        if !(1..=GRPC_MESSAGE_BYTES_MAX).contains(&(self.grpc_message_bytes as u64)) {
            bail!(
                "grpc_message_bytes is {}; 1 to {GRPC_MESSAGE_BYTES_MAX} make sense",
                self.grpc_message_bytes
            );
        }
        let stop = self.drain.as_secs().saturating_add(self.grace.as_secs());
        if stop > STOP_SECONDS_MAX {
            bail!(
                "drain_seconds and grace_seconds are {stop} together; at most {STOP_SECONDS_MAX} make sense"
            );
        }
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&self.log_filter) {
            bail!("log filter `{}`: {error}", self.log_filter);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn file(text: &str) -> File {
        file::parse(Path::new("caisson.toml"), text).unwrap()
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
        let check = |text: &str| Settings::merge(ServerFlags::default(), file(text)).check();
        let error = |text: &str| check(text).unwrap_err().to_string();
        check("").unwrap();
        check("[server]\nlisten = \"[::1]:1\"\ndev = true").unwrap();
        let remote = "[server]\nlisten = \"0.0.0.0:1\"\n";
        assert!(error(remote).contains("--allow-remote"));
        assert!(error(&format!("{remote}allow_remote = true\ndev = true")).contains("--dev"));
        check(&format!("{remote}allow_remote = true")).unwrap();
        let remote = "[server]\ngrpc_listen = \"0.0.0.0:1\"\n";
        assert!(error(remote).contains("--allow-remote"));
        assert!(error(&format!("{remote}allow_remote = true\ndev = true")).contains("--dev"));
        check("[server]\ngrpc_message_bytes = 1073741824").unwrap();
        assert!(error("[server]\ngrpc_message_bytes = 1073741825").contains("1073741824"));
        assert!(error("[server]\ngrpc_message_bytes = 0").contains("grpc_message_bytes"));
        assert!(error("[server]\ndrain_seconds = 4000").contains("4030"));
        assert!(error("[log]\nfilter = \"=nonsense=\"").contains("nonsense"));
    }
}
