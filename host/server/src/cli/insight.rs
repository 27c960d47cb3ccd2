//! `caisson diagnose` and `caisson report`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use ureq::http::Method;

use super::client::{Client, segment};
use super::{Remote, download, output};

/// Say why a deployment is slow and why its answers are wrong, with the evidence and the next step.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson diagnose churn
  caisson diagnose churn --json | jq '.findings[] | select(.severity == \"critical\")'")]
pub(crate) struct DiagnoseArgs {
    /// The deployment.
    name: String,
    #[command(flatten)]
    remote: Remote,
}

/// Write a deployment's report: one HTML file, which works offline and prints.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson report churn --out report.html
  caisson report churn --out - > report.html")]
pub(crate) struct ReportArgs {
    /// The deployment.
    name: String,
    /// A file that isn't there yet; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) fn diagnose(args: &DiagnoseArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.remote)?;
    let answer = client.get(&format!("/v1/deployments/{}/diagnosis", segment(&args.name)))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    println!(
        "{}, revision {}, {}",
        output::cell(&answer, "deployment"),
        output::cell(&answer, "revision"),
        output::time(&answer, "at")
    );
    for (question, title) in [("slow", "WHY IS IT SLOW?"), ("wrong", "WHY IS IT WRONG?")] {
        println!("\n{title}\n  {}", output::cell(&answer, question));
        let of = |finding: &&Value| output::text(finding, "question") == question;
        for finding in output::list(&answer, "findings").filter(of) {
            print(finding);
        }
    }
    println!("\nTIME LINE");
    let events: Vec<Vec<String>> = output::list(&answer, "events")
        .map(|event| {
            let by = optional(event, "by").map_or_else(String::new, |by| format!("by {by}"));
            vec![
                format!("  {}", output::time(event, "at")),
                output::cell(event, "kind"),
                output::cell(event, "text"),
                by,
            ]
        })
        .collect();
    if events.is_empty() {
        println!("  Nothing was changed and nothing was raised.");
    } else {
        output::table(&["  AT", "WHAT", "", ""], &events);
    }
    let mut unknown = output::list(&answer, "unknown").peekable();
    if unknown.peek().is_some() {
        println!("\nNOT KNOWN");
    }
    for one in unknown {
        println!("  {} {}", output::cell(one, "what"), output::cell(one, "how"));
    }
    Ok(())
}

fn print(finding: &Value) {
    println!(
        "\n  [{}] {}",
        output::cell(finding, "severity"),
        output::cell(finding, "sentence")
    );
    for fact in output::list(finding, "evidence") {
        let link = optional(fact, "link").map_or_else(String::new, |link| format!("  ({link})"));
        println!(
            "      {}: {}{link}",
            output::cell(fact, "label"),
            output::cell(fact, "value")
        );
    }
    println!("      next: {}", output::cell(finding, "next_step"));
}

/// A text that may not be there.
fn optional(object: &Value, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(output::one_line)
}

pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.remote)?;
    let path = format!("/v1/deployments/{}/report", segment(&args.name));
    if args.out.as_os_str() == "-" {
        return download::to_stdout(&client, Method::GET, &path);
    }
    let bytes = download::to_file(&client, Method::GET, &path, &args.out)?;
    if client.json {
        output::json(&serde_json::json!({"file": args.out, "bytes": bytes}));
    } else {
        println!("{}: {bytes} bytes", args.out.display());
    }
    Ok(())
}
