//! `caisson metrics`: the list of all metrics.

use caisson_metrics::catalogue::ALL;
use clap::Args;

use super::output;

/// List all metrics that a server exposes; it has their values at `/metrics`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson metrics
  caisson metrics --json | jq -r '.[] | select(.topic == \"Plugins\") | .name'")]
pub(crate) struct MetricsArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Print the list.
pub(crate) fn run(args: &MetricsArgs) {
    if args.json {
        return output::json(&serde_json::json!(ALL));
    }
    for metric in ALL {
        println!(
            "{} ({}) {{{}}}",
            metric.name,
            metric.kind.as_str(),
            metric.labels.join(",")
        );
        println!("    {}", metric.help);
    }
}
