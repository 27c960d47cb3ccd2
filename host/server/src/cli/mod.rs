//! The command line: what can be typed, and the dispatch to what it means.
//!
//! Every command that talks to a server does it through the public HTTP API, so a script can do
//! whatever the command does. `--json` prints the server's answer as it came.

mod client;
mod config;
mod deploy;
mod model;
mod output;
mod plugin;
mod plugin_new;
mod predict;
pub(crate) mod serve;

use clap::{Args, Parser, Subcommand};

/// Caisson: predictions through sandboxed WebAssembly plugins and ONNX models.
#[derive(Debug, Parser)]
#[command(name = "caisson", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  caisson serve --dev                                  start a server on http://127.0.0.1:8080, without keys
  caisson plugin new --world transform my-plugin       make a plugin project
  caisson plugin push target/plugins/impute.wasm       upload a plugin
  caisson model push churn model.onnx --baseline baseline.csv
  caisson deploy -f churn.yaml                         create or change a deployment
  caisson predict churn --row '{\"recency\": 12}'        ask for a prediction
  caisson drift churn --file this-month.csv            compare data with the baseline";

/// Which server, and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// The server's address.
    #[arg(
        long,
        env = "CAISSON_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    server: String,
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a server.
    Serve(serve::ServeArgs),
    /// Check a configuration file.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make, build, test, upload and list plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Upload and list models.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Create or change a deployment from a file.
    Deploy(deploy::DeployArgs),
    /// List, show and delete deployments.
    #[command(subcommand)]
    Deployment(deploy::DeploymentCommand),
    /// Ask a deployment for predictions.
    Predict(predict::PredictArgs),
    /// Compare data with a deployment's baseline.
    Drift(predict::DriftArgs),
    /// Compile a component read from standard input; the server runs this as a child process.
    #[command(hide = true)]
    CompileWorker,
    /// Check a model file; the server runs this as a child process.
    #[command(hide = true)]
    ModelWorker,
}

/// Run what was typed.
pub(crate) fn run(cli: Cli) -> anyhow::Result<std::process::ExitCode> {
    let done = |()| std::process::ExitCode::SUCCESS;
    match cli.command {
        Command::Serve(args) => serve::run(args).map(done),
        Command::Config(command) => config::run(command),
        Command::Plugin(command) => plugin::run(command).map(done),
        Command::Model(command) => model::run(command).map(done),
        Command::Deploy(args) => deploy::run(&args).map(done),
        Command::Deployment(command) => deploy::run_command(command).map(done),
        Command::Predict(args) => predict::run(&args).map(done),
        Command::Drift(args) => predict::run_drift(&args),
        Command::CompileWorker => {
            give_way();
            Ok(caisson_sandbox::compile_worker_main())
        }
        Command::ModelWorker => {
            give_way();
            Ok(caisson_inference::check_worker_main())
        }
    }
}

/// Work for an upload gives way to requests.
fn give_way() {
    if let Err(error) = rustix::process::nice(caisson_sandbox::NICE) {
        eprintln!("running at normal priority: {error}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
