//! `caisson deploy` and `caisson deployment …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{self, Client, segment};
use super::{Remote, output};

/// Create or change a deployment from a YAML or JSON file. The same file again changes nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  caisson deploy -f churn.yaml --dry-run    # print the plan and each stage's schema"
)]
pub(crate) struct DeployArgs {
    /// The deployment file; `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Check everything and print the plan; change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

/// List, show and delete deployments.
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
    let client = Client::new(&args.remote);
    let query = if args.dry_run { "?dry_run=true" } else { "" };
    let answer = client.post(&format!("/v1/deployments{query}"), "application/yaml", &text)?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let name = output::cell(&answer, "name");
    match (args.dry_run, output::cell(&answer, "result").as_str()) {
        (true, _) => println!("{name} fits together; nothing was changed. The plan:"),
        (false, "unchanged") => println!(
            "{name} is unchanged at revision {}",
            output::cell(&answer, "revision")
        ),
        (false, _) => println!("{name} is live at revision {}", output::cell(&answer, "revision")),
    }
    print_stages(&answer);
    Ok(())
}

pub(crate) fn run_command(command: DeploymentCommand) -> anyhow::Result<()> {
    match command {
        DeploymentCommand::List { remote } => {
            let client = Client::new(&remote);
            let answer = client.get("/v1/deployments")?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            let rows: Vec<Vec<String>> = answer
                .get("deployments")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|d| {
                    ["name", "revision", "state", "created_at"]
                        .map(|key| output::cell(d, key))
                        .to_vec()
                })
                .collect();
            output::table(&["NAME", "REVISION", "STATE", "CREATED"], &rows);
        }
        DeploymentCommand::Show { name, remote } => {
            let client = Client::new(&remote);
            let answer = client.get(&format!("/v1/deployments/{}", segment(&name)))?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            println!("{name}, revision {}", output::cell(&answer, "revision"));
            print_stages(&answer);
        }
        DeploymentCommand::Delete { name, remote } => {
            let client = Client::new(&remote);
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
    for stage in plan.get("stages").and_then(Value::as_array).into_iter().flatten() {
        println!("  {}", output::cell(stage, "stage"));
        if let Some(output) = stage.get("output") {
            println!("    -> {}", columns(Some(output)));
        }
        if let Some(reason) = stage.get("warm_because").and_then(Value::as_str) {
            println!("    warm instance instead of a snapshot: {reason}");
        }
    }
    for monitor in plan
        .get("monitors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        println!(
            "  monitor {} on {}",
            output::cell(monitor, "stage"),
            output::cell(monitor, "on")
        );
    }
}
