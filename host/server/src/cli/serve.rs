//! `caisson serve`: everything is parsed and opened before the port is bound, then requests are
//! served until SIGINT or SIGTERM.
//!
//! Stopping takes three steps: the server turns unready and goes on serving for the drain time, so
//! that load balancers notice; it stops accepting and finishes what is in flight; it exits.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use futures_util::FutureExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use crate::alerting::Alerting;
use crate::app::App;
use crate::config::file::LogFormat;
use crate::config::{ServerFlags, Settings};
use crate::grpc;
use crate::http::{self, listener};
use crate::performance;

/// Start a server.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson serve --dev                                  try things out: one tenant, no keys
  caisson serve --config /etc/caisson.toml
  caisson serve --listen 127.0.0.1:9000 --data-dir /var/lib/caisson --log json

Without --dev every request needs a key. The first start prints an operator's key, once; with it,
`caisson tenant create` and `caisson key create` make the others.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    flags: ServerFlags,
}

/// Run the server until it is told to stop.
pub(crate) fn run(args: ServeArgs) -> anyhow::Result<()> {
    silence_telemetry()?;
    let settings = Settings::gather(args.flags)?;
    start_logging(&settings);
    raise_file_limit();
    if let Err(error) = caisson_sandbox::answer_first() {
        tracing::info!(%error, "answers may wait a tick of the system for plugins that burn");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime's threads")?;
    runtime.block_on(async move {
        // First, so that no signal finds the system's own answer to it.
        let mut signals = StopSignals::catch()?;
        let app = Arc::new(App::open(&settings).await?);
        let (listener, address) = bind(settings.listen).await?;
        let mut said = format!("listening on http://{address}");
        let grpc_listener = match settings.grpc_listen {
            None => None,
            Some(wanted) => {
                let (listener, address) = bind(wanted).await?;
                tracing::info!(%address, "caisson is listening for gRPC");
                said.push_str(&format!("\nlistening for gRPC on http://{address}"));
                Some(listener)
            }
        };
        // On standard output, for whoever started us on port 0. A server needs no reader of it.
        if let Err(error) = writeln!(std::io::stdout(), "{said}") {
            tracing::warn!(%error, "standard output takes no line");
        }
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "caisson is listening");
        let (all_loaded, loaded) = oneshot::channel();
        let loading = tokio::spawn({
            let app = Arc::clone(&app);
            async move {
                app.load_all().await;
                // Nobody listens any more in a server that stops.
                let _ = all_loaded.send(());
            }
        });
        let sweeping = tokio::spawn(Arc::clone(&app).sweep());
        let alerting = Alerting::start(&app, settings.alerts.interval);
        let evaluating = performance::Worker::start(&app, settings.performance_interval, loaded);
        let context = http::Context::new(Arc::clone(&app));
        let message_bytes = settings.grpc_message_bytes;
        let grpc_router = grpc::router(&context, message_bytes)?;
        let router = http::router(context.clone()).merge(grpc::routes(&context, message_bytes)?);
        let stop = async {
            signals.next().await;
            app.start_draining();
            tracing::info!(
                drain_seconds = settings.drain.as_secs(),
                "told to stop: unready from now on, and still serving"
            );
            // A second signal ends the drain: whoever sends it doesn't want to wait.
            tokio::select! {
                () = tokio::time::sleep(settings.drain) => {}
                () = signals.next() => {}
            }
        }
        .shared();
        let limits = listener::Limits {
            connections_per_peer: settings.connections_per_peer_max,
            write_timeout: settings.write_timeout,
            grace: settings.grace,
        };
        let grpc = async {
            if let Some(listener) = grpc_listener {
                listener::serve(listener, grpc_router, &app, stop.clone(), limits).await;
            }
        };
        tokio::join!(
            listener::serve(listener, router, &app, stop.clone(), limits),
            grpc
        );
        loading.abort();
        sweeping.abort();
        alerting.stop().await;
        evaluating.stop(&app).await;
        let (predictions, truth) = (app.predictions.clone(), app.truth.clone());
        tokio::task::spawn_blocking(move || {
            predictions.close();
            truth.close();
        })
        .await
        .context("writing the last of the prediction log")?;
        let monitoring = app.monitoring.clone();
        tokio::task::spawn_blocking(move || monitoring.close())
            .await
            .context("saving the windows in progress")?;
        app.traces.close().await;
        tracing::info!("stopped");
        Ok(())
    })
}

async fn bind(wanted: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(wanted)
        .await
        .with_context(|| format!("listening on {wanted}"))?;
    let address = listener.local_addr().context("reading the listener's address")?;
    Ok((listener, address))
}

/// ONNX Runtime from 1.31 on keeps and sends telemetry from the moment it is loaded, before its API
/// can be told not to; only the environment is early enough. A process can't change its own safely,
/// so this one starts itself anew, in place.
fn silence_telemetry() -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let (name, value) = caisson_inference::NO_TELEMETRY;
    if std::env::var_os(name).is_some_and(|v| v == value) {
        return Ok(());
    }
    let program = std::env::current_exe().context("finding this program's own file")?;
    let mut args = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    let error = command.args(args).env(name, value).exec();
    Err(error).context("starting anew with ONNX Runtime's telemetry switched off")
}

/// Each stage keeps the file open that its code is mapped from, and each connection is a file: more
/// than the 1,024 that a process has by default.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "files that may be open"),
        Err(error) => tracing::warn!(%error, "the limit of open files can't be raised"),
    }
}

fn start_logging(settings: &Settings) {
    // `check` has parsed it already.
    let filter = EnvFilter::builder().parse_lossy(&settings.log_filter);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().with_span_list(false).init(),
    }
}

/// SIGINT and SIGTERM, caught from when this is made.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn catch() -> anyhow::Result<Self> {
        let catch = |kind, name| signal(kind).with_context(|| format!("catching {name}"));
        Ok(Self {
            interrupt: catch(SignalKind::interrupt(), "SIGINT")?,
            terminate: catch(SignalKind::terminate(), "SIGTERM")?,
        })
    }

    /// Completes at the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
