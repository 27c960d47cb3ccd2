//! `caisson model …`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value;

use super::client::{self, Client, FormPart, segment};
use super::{Remote, output};

/// Upload and list models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Register a new version of a model. The same files again give the version that exists.
    #[command(
        after_help = "Example:\n  caisson model push churn model.onnx --metadata model.json --baseline baseline.csv"
    )]
    Push {
        /// The model's name.
        name: String,
        /// The ONNX file.
        file: PathBuf,
        /// A JSON object about the model: training data, metrics, versions.
        #[arg(long, value_name = "FILE")]
        metadata: Option<PathBuf>,
        /// Reference rows as CSV, in the columns that callers send; drift is measured against them.
        #[arg(long, value_name = "FILE")]
        baseline: Option<PathBuf>,
        #[command(flatten)]
        remote: Remote,
    },
    /// All models with their latest versions.
    #[command(after_help = "Example:\n  caisson model list --json")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One version of a model: its signature and metadata.
    #[command(after_help = "Example:\n  caisson model show churn 3")]
    Show {
        /// The model's name.
        name: String,
        /// A version, an alias or `latest`.
        #[arg(default_value = "latest")]
        version: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) fn run(command: ModelCommand) -> anyhow::Result<()> {
    match command {
        ModelCommand::Push {
            name,
            file,
            metadata,
            baseline,
            remote,
        } => {
            let model = client::read_file(&file)?;
            let metadata = metadata.as_deref().map(client::read_file).transpose()?;
            if let Some(text) = &metadata {
                serde_json::from_slice::<serde_json::Map<String, Value>>(text)
                    .context("--metadata is no JSON object")?;
            }
            let baseline = baseline.as_deref().map(client::read_file).transpose()?;
            let mut parts = vec![FormPart {
                name: "model",
                content_type: "application/octet-stream",
                bytes: &model,
            }];
            if let Some(bytes) = &metadata {
                parts.push(FormPart {
                    name: "metadata",
                    content_type: "application/json",
                    bytes,
                });
            }
            if let Some(bytes) = &baseline {
                parts.push(FormPart {
                    name: "baseline",
                    content_type: "text/csv",
                    bytes,
                });
            }
            let client = Client::new(&remote);
            let answer = client.post_form(&format!("/v1/models/{}", segment(&name)), &parts)?;
            if client.json {
                output::json(&answer);
            } else {
                println!(
                    "{name} version {} ({}, {} bytes)",
                    output::cell(&answer, "version"),
                    output::cell(&answer, "result"),
                    model.len()
                );
                print_signature(&answer);
            }
        }
        ModelCommand::List { remote } => {
            let client = Client::new(&remote);
            let answer = client.get("/v1/models")?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            let rows: Vec<Vec<String>> = answer
                .get("models")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|m| {
                    ["name", "version", "created_at", "digest"]
                        .map(|key| output::cell(m, key))
                        .to_vec()
                })
                .collect();
            output::table(&["NAME", "VERSION", "CREATED", "DIGEST"], &rows);
        }
        ModelCommand::Show {
            name,
            version,
            remote,
        } => {
            let client = Client::new(&remote);
            let answer = client.get(&format!("/v1/models/{}/{}", segment(&name), segment(&version)))?;
            if client.json {
                output::json(&answer);
            } else {
                println!(
                    "{name} version {}, {}",
                    output::cell(&answer, "version"),
                    output::cell(&answer, "digest")
                );
                print_signature(&answer);
                if let Some(metadata) = answer.get("metadata") {
                    println!("  metadata: {metadata:#}");
                }
            }
        }
    }
    Ok(())
}

fn print_signature(model: &Value) {
    for (key, arrow) in [("inputs", "<-"), ("outputs", "->")] {
        for tensor in model
            .pointer(&format!("/signature/{key}"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            println!(
                "  {arrow} {} {}{}",
                output::cell(tensor, "name"),
                output::cell(tensor, "data_type"),
                output::cell(tensor, "shape")
            );
        }
    }
}
