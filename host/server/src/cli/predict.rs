//! `caisson predict` and `caisson drift`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::client::{self, Client, segment};
use super::predict_stream::{self, StreamArgs, form_of};
use super::{Remote, output, windows};
use crate::http::Form;

/// Ask a deployment for predictions.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("given").required(true).args(["row", "file", "input"]))]
#[command(after_help = "Examples:
  caisson predict churn --row '{\"recency\": 12, \"gap\": null}'
  caisson predict churn --file customers.csv
  caisson predict churn --file rows.json --json
  caisson predict churn --input customers.parquet --output scores.parquet
  zcat rows.jsonl.gz | caisson predict churn --input - --input-format ndjson > scores.jsonl

--file shows a table; --input streams any number of rows, in the forms that --format names.")]
pub(crate) struct PredictArgs {
    /// The deployment.
    name: String,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    streamed: StreamArgs,
    #[command(flatten)]
    remote: Remote,
}

/// What a deployment's monitors said of live answers; with rows, compare these with the baseline. Exits 2 when
/// one has drifted.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("given").args(["row", "file"]))]
#[command(after_help = "Examples:
  caisson drift churn                                # windows of live answers, the newest first
  caisson drift churn --monitor ks --segment DE
  caisson drift churn --file this-month.csv          # these rows, against the baseline
  caisson drift churn --file this-month.csv --record # and this is what alerts look at from now on

--file also takes .ndjson, .jsonl, .arrows and .parquet.")]
pub(crate) struct DriftArgs {
    /// The deployment.
    name: String,
    #[command(flatten)]
    windows: windows::DriftWindows,
    #[command(flatten)]
    rows: Rows,
    /// Keep the answer as what monitors say now, for metrics and alerts. Without it, asking changes nothing.
    #[arg(long, requires = "given")]
    record: bool,
    #[command(flatten)]
    remote: Remote,
}

/// The rows of a request that is answered as a whole.
#[derive(Debug, Args)]
#[group(skip)]
struct Rows {
    /// One row as a JSON object; may be given more than once.
    #[arg(long, value_name = "JSON")]
    row: Vec<String>,
    /// Rows as CSV (`.csv`) or rows JSON; `-` reads JSON from standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Rows {
    /// The body to send, with its form.
    fn body(&self) -> anyhow::Result<(Form, Vec<u8>)> {
        if let Some(path) = &self.file {
            return Ok((form_of(path).unwrap_or(Form::Json), client::read_file(path)?));
        }
        // Joined as text, so that numbers reach the server digit for digit.
        for row in &self.row {
            serde_json::from_str::<&serde_json::value::RawValue>(row)
                .with_context(|| format!("--row {row}"))?;
        }
        Ok((
            Form::Json,
            format!("{{\"rows\":[{}]}}", self.row.join(",")).into_bytes(),
        ))
    }
}

pub(crate) fn run(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/deployments/{}/predict", segment(&args.name));
    if args.streamed.is_used() {
        return predict_stream::run(&client, &path, &args.streamed);
    }
    show(&client, &path, &args.rows).map(|()| ExitCode::SUCCESS)
}

/// Ask for predictions and print them as a table.
fn show(client: &Client, path: &str, rows: &Rows) -> anyhow::Result<()> {
    let (form, body) = rows.body()?;
    if !matches!(form, Form::Json | Form::Csv) {
        bail!("--file takes CSV and rows JSON; stream this file with --input");
    }
    let answer = client.post(path, form.media_type(), &body)?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let Some(rows) = answer.get("rows").and_then(Value::as_array) else {
        bail!("the server's answer has no `rows`");
    };
    let names: Vec<&str> = rows
        .first()
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|row| row.keys().map(String::as_str))
        .collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| names.iter().map(|name| output::cell(row, name)).collect())
        .collect();
    output::table(&names, &cells);
    for warning in output::list(&answer, "warnings") {
        eprintln!("warning: {}", output::cell(warning, "message"));
    }
    Ok(())
}

pub(crate) fn run_drift(args: &DriftArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.remote)?;
    if args.rows.row.is_empty() && args.rows.file.is_none() {
        return windows::drift(&client, &args.name, &args.windows);
    }
    let (form, body) = args.rows.body()?;
    let query = client::query(&[("record", args.record.then_some("true"))]);
    let answer = client.post(
        &format!("/v1/deployments/{}/drift{query}", segment(&args.name)),
        form.media_type(),
        &body,
    )?;
    let drifted = answer.get("status").and_then(Value::as_str) == Some("drifted");
    let code = if drifted {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    };
    if client.json {
        output::json(&answer);
        return Ok(code);
    }
    for monitor in output::list(&answer, "monitors") {
        println!(
            "{} ({} on {}): {}",
            output::cell(monitor, "name"),
            output::cell(monitor, "plugin"),
            output::cell(monitor, "on"),
            output::cell(monitor, "status")
        );
        let rows: Vec<Vec<String>> = output::list(monitor, "features")
            .map(|f| {
                vec![
                    format!("  {}", output::cell(f, "feature")),
                    output::cell(f, "status"),
                    output::number(f, "statistic"),
                    output::number(f, "threshold"),
                    output::number(f, "p_value"),
                    output::number(f, "effect_size"),
                    output::cell(f, "detail"),
                ]
            })
            .collect();
        output::table(
            &["  FEATURE", "STATUS", "STATISTIC", "THRESHOLD", "P", "EFFECT", ""],
            &rows,
        );
    }
    Ok(code)
}
