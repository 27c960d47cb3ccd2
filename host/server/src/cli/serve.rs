//! `caisson serve`: everything is parsed and opened before the port is bound, then requests are
//! served until SIGINT or SIGTERM.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::app::{App, AppConfig};
use crate::http::{self, listener};

/// Seconds; the buckets of every latency histogram. From a single sandboxed call (tens of
/// microseconds) to the longest deadline.
const LATENCY_BUCKETS: &[f64] = &[
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Start a server.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson serve
  caisson serve --listen 127.0.0.1:9000 --data-dir /var/lib/caisson --log json")]
pub(crate) struct ServeArgs {
    /// Address and port; port 0 takes a free one.
    #[arg(
        long,
        env = "CAISSON_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR"
    )]
    listen: SocketAddr,
    /// Serve on an address that other machines reach. There are no keys yet: anyone who reaches it may upload and run plugins.
    #[arg(long)]
    allow_remote: bool,
    /// Folder of everything that is kept.
    #[arg(
        long,
        env = "CAISSON_DATA_DIR",
        default_value = "caisson-data",
        value_name = "DIR"
    )]
    data_dir: PathBuf,
    /// ONNX Runtime's shared library; `cargo xtask setup` puts one in place.
    #[arg(long, env = "CAISSON_ONNXRUNTIME", value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// Where models run: `cpu`, or `cuda`.
    #[arg(long, env = "CAISSON_PROVIDER", default_value = "cpu", value_enum)]
    provider: ProviderArg,
    /// With `--provider cuda`: run on the CPU, and say so, where CUDA can't be had.
    #[arg(long)]
    fallback_to_cpu: bool,
    /// How log lines look.
    #[arg(long, default_value = "text", value_enum)]
    log: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ProviderArg {
    Cpu,
    Cuda,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Run the server until it is told to stop.
pub(crate) fn run(args: ServeArgs) -> anyhow::Result<()> {
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        bail!(
            "{} is reachable from other machines, and this version has no access control: anyone there could upload and run \
             plugins. Listen on 127.0.0.1 behind a proxy that authenticates, or say --allow-remote",
            args.listen
        );
    }
    start_logging(args.log);
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .set_buckets(LATENCY_BUCKETS)
        .context("setting the metrics' buckets")?
        .install_recorder()
        .context("installing the metrics recorder")?;
    let config = AppConfig {
        data_dir: args.data_dir,
        onnxruntime: args.onnxruntime,
        provider: match args.provider {
            ProviderArg::Cpu => caisson_inference::Provider::Cpu,
            ProviderArg::Cuda => caisson_inference::Provider::Cuda {
                device_id: 0,
                fallback_to_cpu: args.fallback_to_cpu,
            },
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime's threads")?;
    runtime.block_on(async move {
        let app = Arc::new(App::open(config).await?);
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("listening on {}", args.listen))?;
        let address = listener.local_addr().context("reading the listener's address")?;
        // On standard output and flushed, for whoever started us on port 0.
        println!("listening on http://{address}");
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "caisson is listening");
        let loading = tokio::spawn({
            let app = Arc::clone(&app);
            async move { app.load_all().await }
        });
        let router = http::router(http::Context {
            app: Arc::clone(&app),
            metrics,
        });
        listener::serve(listener, router, stop_signal()).await;
        loading.abort();
        tracing::info!("stopped");
        Ok(())
    })
}

fn start_logging(format: LogFormat) {
    // RUST_LOG-style filter under our own name; wasmtime's compiler is chatty below warnings.
    let filter = EnvFilter::try_from_env("CAISSON_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Completes at SIGINT or SIGTERM.
async fn stop_signal() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "SIGINT can't be caught");
            std::future::pending::<()>().await;
        }
    };
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(error) => {
                tracing::error!(%error, "SIGTERM can't be caught");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
