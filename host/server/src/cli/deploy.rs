//! `caisson deploy` and `caisson deployment …`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{self, Client, query, segment};
use super::{Remote, history, output};

/// Create or change a deployment from a YAML or JSON file. The same file again changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson deploy -f churn.yaml --dry-run    # print the plan and each stage's schema
  caisson deploy -f churn.yaml -m 'retrained on May'")]
pub(crate) struct DeployArgs {
    /// The deployment file; `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Check everything and print the plan; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the deployment's history.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// List, show and delete deployments; their history.
#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentCommand {
    /// All deployments.
    #[command(after_help = "Example:\n  caisson deployment list")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One deployment: its stages and the schema at each.
    #[command(after_help = "Example:\n  caisson deployment show churn")]
    Show {
        /// The deployment.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// The revisions of a deployment, the newest first: who made each, when, and why.
    History(history::HistoryArgs),
    /// What one revision of a deployment has that another has not.
    #[command(after_help = "Examples:
  caisson deployment diff churn                    # the live revision and the one before it
  caisson deployment diff churn --from 3 --to 7")]
    Diff {
        /// The deployment.
        name: String,
        /// A revision's number.
        #[arg(long, value_name = "REVISION")]
        from: Option<u64>,
        /// A revision's number.
        #[arg(long, value_name = "REVISION")]
        to: Option<u64>,
        #[command(flatten)]
        remote: Remote,
    },
    /// How the prediction log of a deployment stands.
    #[command(after_help = "Example:\n  caisson deployment log churn")]
    Log {
        /// The deployment.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Stop serving a deployment. Its history is kept.
    #[command(after_help = "Example:\n  caisson deployment delete churn")]
    Delete {
        /// The deployment.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) fn run(args: &DeployArgs) -> anyhow::Result<()> {
    let text = client::read_file(&args.file)?;
    let client = Client::new(&args.remote)?;
    let query = query(&[
        ("dry_run", args.dry_run.then_some("true")),
        ("message", args.message.as_deref()),
    ]);
    let answer = client
        .post(&format!("/v1/deployments{query}"), "application/yaml", &text)
        .with_context(|| client::shown(&args.file))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    if args.dry_run {
        println!(
            "{} fits together; nothing was changed. The plan:",
            output::cell(&answer, "name")
        );
        print_stages(&answer);
    } else {
        print_applied(&answer);
    }
    Ok(())
}

/// What a change of a deployment did.
pub(crate) fn print_applied(answer: &Value) {
    let (name, revision) = (output::cell(answer, "name"), output::cell(answer, "revision"));
    match output::cell(answer, "result").as_str() {
        "unchanged" => println!("{name} is unchanged at revision {revision}"),
        _ => println!("{name} is live at revision {revision}"),
    }
    print_stages(answer);
}

pub(crate) fn run_command(command: DeploymentCommand) -> anyhow::Result<()> {
    match command {
        DeploymentCommand::List { remote } => {
            let client = Client::new(&remote)?;
            let answer = client.get("/v1/deployments")?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            let columns = [
                ("NAME", "name"),
                ("REVISION", "revision"),
                ("STATE", "state"),
                ("CREATED", "created_at"),
            ];
            output::table_of(&answer, "deployments", &columns);
        }
        DeploymentCommand::Show { name, remote } => {
            let client = Client::new(&remote)?;
            let answer = client.get(&format!("/v1/deployments/{}", segment(&name)))?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            println!("{name}, revision {}", output::cell(&answer, "revision"));
            print_stages(&answer);
        }
        DeploymentCommand::History(args) => history::list(&args)?,
        DeploymentCommand::Diff {
            name,
            from,
            to,
            remote,
        } => history::diff(&name, from, to, &remote)?,
        DeploymentCommand::Log { name, remote } => {
            let client = Client::new(&remote)?;
            let answer = client.get(&format!("/v1/deployments/{}/log", segment(&name)))?;
            match client.json {
                true => output::json(&answer),
                false => print_log(&answer),
            }
        }
        DeploymentCommand::Delete { name, remote } => {
            let client = Client::new(&remote)?;
            let answer = client.delete(&format!("/v1/deployments/{}", segment(&name)))?;
            if client.json {
                output::json(&answer);
            } else {
                println!("{name} is deleted; its history is kept");
            }
        }
    }
    Ok(())
}

/// Rows of a prediction log, and what became of the others.
fn print_log(status: &Value) {
    let rows = status.get("rows").unwrap_or(&Value::Null);
    println!("stored bytes: {}", output::cell(status, "stored_bytes"));
    println!("rows since the server started:");
    for state in ["logged", "waiting"] {
        println!("  {state}: {}", output::cell(rows, state));
    }
    let dropped = rows.get("dropped").and_then(Value::as_object);
    for (reason, count) in dropped.into_iter().flatten().filter(|(_, count)| **count != 0) {
        println!("  dropped ({}): {count}", output::one_line(reason));
    }
}

/// The stages of a plan with the columns that each one gives.
fn print_stages(plan: &Value) {
    let columns = |schema: Option<&Value>| -> String {
        let fields = schema.and_then(Value::as_array);
        let names = fields.into_iter().flatten().map(|f| {
            let nullable = if f.get("nullable").and_then(Value::as_bool) == Some(true) {
                "?"
            } else {
                ""
            };
            let shape = f.get("shape").map(Value::to_string).unwrap_or_default();
            format!(
                "{}: {}{shape}{nullable}",
                output::cell(f, "name"),
                output::cell(f, "type")
            )
        });
        names.collect::<Vec<_>>().join(", ")
    };
    println!("  input: {}", columns(plan.get("input")));
    for stage in output::list(plan, "stages") {
        println!("  {}", output::cell(stage, "stage"));
        if let Some(output) = stage.get("output") {
            println!("    -> {}", columns(Some(output)));
        }
        if let Some(reason) = stage.get("warm_because").and_then(Value::as_str) {
            println!(
                "    warm instance instead of a snapshot: {}",
                output::one_line(reason)
            );
        }
    }
    for monitor in output::list(plan, "monitors") {
        println!(
            "  monitor {} on {}",
            output::cell(monitor, "stage"),
            output::cell(monitor, "on")
        );
    }
}
