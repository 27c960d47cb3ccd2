//! `caisson predictions`, `caisson feedback` and `caisson performance`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::client::{self, Client, query, segment};
use super::predict_stream::form_of;
use super::{Remote, output};
use crate::http::Form;

/// Rows that were no labels, among others that were.
const SOME_REFUSED: u8 = 2;
/// A deployment that does worse than it should.
const DEGRADED: u8 = 2;
/// The columns of a table that nobody asked to have others.
const METRICS: [&str; 8] = [
    "accuracy", "f1", "f1_macro", "roc_auc", "log_loss", "mae", "rmse", "r2",
];

/// What was sent to a deployment and answered, oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson predictions churn --limit 20
  caisson predictions churn --request-id 8f14e45f-ceea-467f-9b3a-000000000000 --json")]
pub(crate) struct PredictionsArgs {
    /// The deployment.
    name: String,
    /// Only the rows of this request.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Rows of requests that came at this time or later (2026-11-26T15:00:00Z).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Rows of requests that came before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// How many rows.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// Say what came true of a deployment's predictions. Exits 2 when some rows were no labels.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson feedback churn labels.csv        # a header: request_id,row,bought
  caisson feedback churn labels.parquet
  echo '{\"rows\": [{\"request_id\": \"8f14e45f\", \"bought\": 1}]}' | caisson feedback churn - --format json

Labels that are sent again change nothing; another value takes the place of the one before.")]
pub(crate) struct FeedbackArgs {
    /// The deployment.
    name: String,
    /// The labels; `-` for standard input.
    file: PathBuf,
    /// Their form; by the file's name if absent (.json, .csv, .ndjson, .jsonl, .arrows, .parquet).
    #[arg(long, value_name = "FORM")]
    format: Option<Form>,
    #[command(flatten)]
    remote: Remote,
}

/// How a deployment did, window by window, the newest first. Exits 2 while it does worse than it should.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson performance churn
  caisson performance churn --evaluate --metric accuracy,roc_auc
  caisson performance churn --segment region=north --json")]
pub(crate) struct PerformanceArgs {
    /// The deployment.
    name: String,
    /// Tell it as of now, rather than as of the last turn.
    #[arg(long)]
    evaluate: bool,
    /// Only these metrics, with commas between them.
    #[arg(long, value_name = "METRICS")]
    metric: Option<String>,
    /// Only this segment.
    #[arg(long, value_name = "COLUMN=VALUE")]
    segment: Option<String>,
    /// Windows that end after this time (2026-11-26T15:00:00Z).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Windows that start before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Every statement that was made of a window, not the newest alone.
    #[arg(long)]
    statements: bool,
    /// How many windows.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) fn predictions(args: &PredictionsArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.remote)?;
    let limit = args.limit.to_string();
    let query = query(&[
        ("request_id", args.request_id.as_deref()),
        ("from", args.from.as_deref()),
        ("to", args.to.as_deref()),
        ("limit", Some(&limit)),
    ]);
    let answer = client.get(&format!(
        "/v1/deployments/{}/predictions{query}",
        segment(&args.name)
    ))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let rows: Vec<&Value> = output::list(&answer, "rows").collect();
    // Files of different revisions have different columns.
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter_map(|row| row.as_object()) {
        let new = row
            .keys()
            .map(String::as_str)
            .filter(|name| !names.contains(name));
        let new: Vec<&str> = new.collect();
        names.extend(new);
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| names.iter().map(|name| output::cell(row, name)).collect())
        .collect();
    output::table(&names, &cells);
    if answer.get("truncated").and_then(Value::as_bool) == Some(true) {
        eprintln!("there are more: ask with --from, or a larger --limit");
    }
    Ok(())
}

pub(crate) fn feedback(args: &FeedbackArgs) -> anyhow::Result<ExitCode> {
    let form = args
        .format
        .or_else(|| form_of(&args.file))
        .with_context(|| format!("what form has {}? Say it with --format", args.file.display()))?;
    let body = client::read_file(&args.file)?;
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/deployments/{}/feedback", segment(&args.name));
    let answer = client.post(&path, form.media_type(), &body)?;
    let refused = answer.get("refused").and_then(Value::as_u64).unwrap_or(0);
    if client.json {
        output::json(&answer);
    } else {
        println!("{} labels are kept", output::cell(&answer, "accepted"));
        if refused > 0 {
            eprintln!("{refused} rows are no labels, such as:");
        }
        for row in output::list(&answer, "errors") {
            eprintln!(
                "  row {}: {}",
                output::cell(row, "row"),
                output::cell(row, "error")
            );
        }
    }
    Ok(match refused {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(SOME_REFUSED),
    })
}

pub(crate) fn performance(args: &PerformanceArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/deployments/{}/performance", segment(&args.name));
    if args.evaluate {
        client.post_json(&path, &Value::Null)?;
    }
    let limit = args.limit.to_string();
    let query = query(&[
        ("metric", args.metric.as_deref()),
        ("segment", args.segment.as_deref()),
        ("from", args.from.as_deref()),
        ("to", args.to.as_deref()),
        ("statements", args.statements.then_some("true")),
        ("limit", Some(&limit)),
    ]);
    let answer = client.get(&format!("{path}{query}"))?;
    let raised = |alarm: &&Value| alarm.get("raised").and_then(Value::as_bool) == Some(true);
    let alarms: Vec<&Value> = output::list(&answer, "alarms").filter(raised).collect();
    let code = match alarms.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DEGRADED),
    };
    if client.json {
        output::json(&answer);
        return Ok(code);
    }
    print(&answer);
    for alarm in alarms {
        let segment = alarm.get("segment").map_or("all rows".to_owned(), segment_name);
        println!("worse than it should be: {segment}");
    }
    if let Some(problem) = answer.get("problem") {
        eprintln!(
            "problem: {}",
            output::one_line(problem.as_str().unwrap_or_default())
        );
    }
    Ok(code)
}

fn print(answer: &Value) {
    let parts: Vec<(&Value, &Value)> = output::list(answer, "windows")
        .flat_map(|window| output::list(window, "parts").map(move |part| (window, part)))
        .collect();
    let has = |name: &str| {
        let has = |(_, part): &(&Value, &Value)| part.get("metrics").and_then(|m| m.get(name)).is_some();
        parts.iter().any(has)
    };
    let mut names: Vec<&str> = METRICS.into_iter().filter(|name| has(name)).collect();
    if names.is_empty() {
        // Others were asked for.
        let first = parts
            .first()
            .and_then(|(_, part)| part.get("metrics")?.as_object());
        names = first
            .into_iter()
            .flat_map(|metrics| metrics.keys().map(String::as_str))
            .collect();
    }
    let mut header = vec!["START", "END", "SEGMENT", "ROWS", "LABELLED"];
    let titles: Vec<String> = names.iter().map(|name| name.to_uppercase()).collect();
    header.extend(titles.iter().map(String::as_str));
    header.push("OUTCOME");
    let rows: Vec<Vec<String>> = parts
        .iter()
        .map(|(window, part)| {
            let span = window.get("window").unwrap_or(&Value::Null);
            let mut row = vec![
                output::time(span, "start"),
                output::time(span, "end"),
                part.get("segment").map_or("-".to_owned(), segment_name),
                output::cell(part, "predictions"),
                output::cell(part, "labelled"),
            ];
            row.extend(names.iter().map(|name| metric(part, name)));
            row.push(output::cell(part, "outcome"));
            row
        })
        .collect();
    output::table(&header, &rows);
}

/// A value with its interval; an estimate, with `~`, where there is no value.
fn metric(part: &Value, name: &str) -> String {
    let of = |list: &str| part.get(list).and_then(|list| list.get(name));
    let has_value = |value: &&Value| value.get("value").is_some();
    let (value, mark) = match (of("metrics").filter(has_value), of("estimates").filter(has_value)) {
        (Some(value), _) => (value, ""),
        (None, Some(value)) => (value, "~"),
        (None, None) => return "-".to_owned(),
    };
    let number = output::number(value, "value");
    match value.get("low").is_some() {
        true => format!(
            "{mark}{number} [{}, {}]",
            output::number(value, "low"),
            output::number(value, "high")
        ),
        false => format!("{mark}{number}"),
    }
}

fn segment_name(segment: &Value) -> String {
    let value = match (segment.get("value"), segment.get("other")) {
        (_, Some(Value::Bool(true))) => "(other)".to_owned(),
        (Some(Value::Null) | None, _) => "(missing)".to_owned(),
        _ => output::cell(segment, "value"),
    };
    format!("{}={value}", output::cell(segment, "column"))
}
