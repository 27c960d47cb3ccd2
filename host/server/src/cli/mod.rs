//! The command line: what can be typed, and the dispatch to what it means.
//!
//! Every command that talks to a server does it through the public HTTP API, so a script can do
//! whatever the command does. `--json` prints the server's answer as it came.

/// As the standard one, but a reader that has gone away ends the program quietly.
macro_rules! println {
    () => { $crate::cli::output::write(format_args!("\n")) };
    ($($what:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($what)*))) };
}

/// Likewise.
macro_rules! print {
    ($($what:tt)*) => { $crate::cli::output::write(format_args!($($what)*)) };
}

mod alert;
mod args;
mod audit;
mod backup;
mod client;
mod config;
mod deploy;
mod download;
mod history;
mod insight;
mod key;
mod metrics;
mod model;
mod model_alias;
mod model_push;
mod model_stage;
mod output;
mod plugin;
mod plugin_new;
mod policy;
mod predict;
mod predict_stream;
mod remote;
pub(crate) mod serve;
mod signing;
mod tenant;
mod truth;
mod waiting;
mod windows;

use clap::{Parser, Subcommand};

use remote::Remote;

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
  caisson drift churn                                  see what monitors said of live answers
  caisson drift churn --file this-month.csv            compare data with the baseline
  caisson diagnose churn                               why is it slow, why is it wrong?
  caisson report churn --out report.html               a page with all that is known of it
  caisson feedback churn labels.csv                    say what came true
  caisson performance churn                            how good the predictions were
  caisson statistics churn                             see what is sent and answered, in numbers
  caisson rollback churn                               go back to the revision before
  caisson key create ci --role developer               make a key
  caisson alert rules apply -f rules.yaml              be told when a deployment fails or slows down
  caisson audit tail --follow                          see who does what

A server that isn't started with --dev asks for a key: put it into the environment variable CAISSON_KEY,
or into a file that --key-file names.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a server.
    Serve(serve::ServeArgs),
    /// Check a configuration file.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make, build, test, sign, upload, list and yank plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Register, describe, approve, list and delete models; their aliases.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Create or change a deployment from a file.
    Deploy(deploy::DeployArgs),
    /// List, show and delete deployments; their history.
    #[command(subcommand)]
    Deployment(deploy::DeploymentCommand),
    /// Go back to an earlier revision of a deployment.
    Rollback(history::RollbackArgs),
    /// Ask a deployment for predictions.
    Predict(predict::PredictArgs),
    /// What monitors said of live answers; compare data with a deployment's baseline.
    Drift(predict::DriftArgs),
    /// Why is a deployment slow, and why is it wrong?
    Diagnose(insight::DiagnoseArgs),
    /// Write a deployment's report as one HTML file.
    Report(insight::ReportArgs),
    /// What was sent to a deployment and answered, from its prediction log.
    Predictions(truth::PredictionsArgs),
    /// Say what came true of a deployment's predictions.
    Feedback(truth::FeedbackArgs),
    /// How a deployment did, window by window.
    Performance(truth::PerformanceArgs),
    /// What is sent to a deployment and answered, in numbers.
    Statistics(windows::StatisticsArgs),
    /// Make, list, suspend and delete tenants; their quotas, settings and usage.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Make, list and revoke keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Whose key this is, and what it may do.
    Whoami(key::WhoamiArgs),
    /// List, show, write and delete a tenant's own policies.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Rules, alerts, silences, and who is told.
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Read and check the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Write a backup of a running server.
    Backup(backup::BackupArgs),
    /// Make a data folder out of a backup.
    Restore(backup::RestoreArgs),
    /// List all metrics that a server exposes.
    Metrics(metrics::MetricsArgs),
    /// Print the description of the HTTP API, OpenAPI 3.1; a server has it at `/openapi.json`.
    #[command(after_help = "Example:\n  caisson openapi > caisson-openapi.json")]
    Openapi,
    /// Compile a component read from standard input; the server runs this as a child process.
    #[command(hide = true)]
    CompileWorker,
    /// Check a model file; the server runs this as a child process.
    #[command(hide = true)]
    ModelWorker,
    /// Read a Parquet file from standard input; the server runs this as a child process.
    #[command(hide = true)]
    ParquetWorker,
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
        Command::Predict(args) => predict::run(&args),
        Command::Drift(args) => predict::run_drift(&args),
        Command::Diagnose(args) => insight::diagnose(&args).map(done),
        Command::Report(args) => insight::report(&args).map(done),
        Command::Predictions(args) => truth::predictions(&args).map(done),
        Command::Feedback(args) => truth::feedback(&args),
        Command::Performance(args) => truth::performance(&args),
        Command::Statistics(args) => windows::statistics(&args).map(done),
        Command::Rollback(args) => history::rollback(&args).map(done),
        Command::Tenant(command) => tenant::run(command).map(done),
        Command::Key(command) => key::run(command).map(done),
        Command::Whoami(args) => key::whoami(&args).map(done),
        Command::Policy(command) => policy::run(command).map(done),
        Command::Alert(command) => alert::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Metrics(args) => {
            metrics::run(&args);
            Ok(std::process::ExitCode::SUCCESS)
        }
        Command::Openapi => {
            output::json(&crate::http::openapi::document().map_err(anyhow::Error::msg)?);
            Ok(std::process::ExitCode::SUCCESS)
        }
        Command::CompileWorker => {
            give_way();
            Ok(caisson_sandbox::compile_worker_main())
        }
        Command::ModelWorker => {
            give_way();
            Ok(caisson_inference::check_worker_main())
        }
        Command::ParquetWorker => {
            give_way();
            Ok(crate::http::parquet_worker_main())
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
    use clap::{Command, CommandFactory as _};

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_of_itself() {
        fn check(command: &Command, path: &str) {
            let leaves: Vec<&Command> = command
                .get_subcommands()
                .filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
                .collect();
            for sub in &leaves {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
            if leaves.is_empty() {
                let help = command.get_after_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                assert!(help.contains("Example") && help.contains(path), "{path}: {help}");
            }
        }
        check(&super::Cli::command(), "caisson");
    }

    #[test]
    fn no_flag_takes_a_key() {
        // Whoever lists processes would see it.
        fn check(command: &Command) {
            for arg in command.get_arguments() {
                assert_ne!(arg.get_env().and_then(|name| name.to_str()), Some("CAISSON_KEY"));
            }
            command.get_subcommands().for_each(check);
        }
        check(&super::Cli::command());
    }
}
