//! `caisson drift NAME` without rows, and `caisson statistics`: windows of live answers.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{Client, query, segment};
use super::{Remote, output};

/// Which windows.
#[derive(Debug, Args)]
pub(crate) struct DriftWindows {
    /// Only windows of this monitor.
    #[arg(long, value_name = "NAME", conflicts_with = "given")]
    monitor: Option<String>,
    /// Of this segment; `*` for those of every segment. Of all rows if absent.
    #[arg(long, value_name = "VALUE", conflicts_with = "given")]
    segment: Option<String>,
    /// How many windows.
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "given",
          value_parser = clap::value_parser!(u64).range(1..=100))]
    limit: Option<u64>,
}

/// What is sent to a deployment and answered, in numbers, beside the baseline of its model.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson statistics churn                           # the newest window
  caisson statistics churn --segment DE --json")]
pub(crate) struct StatisticsArgs {
    /// The deployment.
    name: String,
    /// Of this segment; `*` for every segment. Of all rows if absent.
    #[arg(long, value_name = "VALUE")]
    segment: Option<String>,
    /// How many windows that closed.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=100))]
    limit: u64,
    #[command(flatten)]
    remote: Remote,
}

/// Print what monitors said of windows; 2 where an alarm is raised.
pub(crate) fn drift(client: &Client, name: &str, args: &DriftWindows) -> anyhow::Result<ExitCode> {
    let limit = args.limit.map(|limit| limit.to_string());
    let wanted = query(&[
        ("monitor", args.monitor.as_deref()),
        ("segment", args.segment.as_deref()),
        ("limit", limit.as_deref()),
    ]);
    let answer = client.get(&format!("/v1/deployments/{}/drift{wanted}", segment(name)))?;
    let raised = output::list(&answer, "monitors")
        .any(|monitor| monitor.pointer("/newest/alarm/raised") == Some(&Value::Bool(true)));
    let code = if raised {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    };
    if client.json {
        output::json(&answer);
        return Ok(code);
    }
    let monitors: Vec<Vec<String>> = output::list(&answer, "monitors").map(monitor).collect();
    output::table(&["MONITOR", "CHECK", "ON", "STATUS", "ALARM", "BAD"], &monitors);
    let windows: Vec<Vec<String>> = output::list(&answer, "windows").map(window).collect();
    if !windows.is_empty() {
        println!();
        output::table(
            &[
                "MONITOR",
                "SEGMENT",
                "FROM",
                "TO",
                "ROWS",
                "STATUS",
                "ALARM",
                "SCORE",
                "WORST FEATURE",
            ],
            &windows,
        );
    }
    for (key, why) in [
        ("memory", "found no room"),
        ("revision", "were of an earlier revision"),
    ] {
        match answer.pointer(&format!("/dropped/{key}")).and_then(Value::as_u64) {
            None | Some(0) => {}
            Some(rows) => println!("{rows} rows {why}"),
        }
    }
    Ok(code)
}

fn monitor(monitor: &Value) -> Vec<String> {
    let newest = monitor.get("newest").unwrap_or(&Value::Null);
    let alarm = newest.get("alarm").unwrap_or(&Value::Null);
    let bad = match alarm {
        Value::Null => "-".to_owned(),
        alarm => format!(
            "{} of {}",
            output::cell(alarm, "bad"),
            output::cell(alarm, "seen")
        ),
    };
    vec![
        output::cell(monitor, "name"),
        output::cell(monitor, "check"),
        output::cell(monitor, "on"),
        output::cell(newest, "status"),
        raised(alarm),
        bad,
    ]
}

fn raised(alarm: &Value) -> String {
    match alarm.get("raised").and_then(Value::as_bool) {
        None => "-".to_owned(),
        Some(true) => "raised".to_owned(),
        Some(false) => "quiet".to_owned(),
    }
}

fn segment_name(window: &Value) -> String {
    match window.get("segment") {
        None => "all".to_owned(),
        Some(segment) => {
            let value = match segment.get("value") {
                Some(Value::Null) | None if segment.get("other") == Some(&Value::Bool(true)) => {
                    "(other)".to_owned()
                }
                Some(Value::Null) | None => "(missing)".to_owned(),
                Some(_) => output::cell(segment, "value"),
            };
            format!("{}={value}", output::cell(segment, "column"))
        }
    }
}

fn window(window: &Value) -> Vec<String> {
    let bounds = window.get("window").unwrap_or(&Value::Null);
    let worst = match output::list(window, "features").next() {
        Some(feature) => format!(
            "{} {}",
            output::cell(feature, "feature"),
            output::cell(feature, "detail")
        ),
        None => match window.get("error") {
            Some(_) => output::cell(window, "error"),
            None => "-".to_owned(),
        },
    };
    vec![
        output::cell(window, "monitor"),
        segment_name(window),
        output::time(bounds, "start"),
        output::time(bounds, "end"),
        output::cell(window, "rows"),
        output::cell(window, "status"),
        raised(window.get("alarm").unwrap_or(&Value::Null)),
        output::number(window, "score"),
        worst,
    ]
}

/// Print windows in numbers.
pub(crate) fn statistics(args: &StatisticsArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.remote)?;
    let limit = args.limit.to_string();
    let wanted = query(&[("segment", args.segment.as_deref()), ("limit", Some(&limit))]);
    let answer = client.get(&format!(
        "/v1/deployments/{}/statistics{wanted}",
        segment(&args.name)
    ))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let open = output::list(&answer, "open").map(|window| (window, "open"));
    let closed = output::list(&answer, "windows").map(|window| (window, "closed"));
    let mut any = false;
    for (window, state) in open.chain(closed) {
        any = true;
        let bounds = window.get("window").unwrap_or(&Value::Null);
        println!(
            "{} to {} ({state}), {}: {} rows",
            output::time(bounds, "start"),
            output::time(bounds, "end"),
            segment_name(window),
            output::cell(window, "rows"),
        );
        print_columns(window, answer.get("baseline"));
        println!();
    }
    if !any {
        println!("nothing was answered yet");
    }
    Ok(())
}

fn print_columns(window: &Value, baseline: Option<&Value>) {
    let mut rows = Vec::new();
    for (key, side) in [("input", "input"), ("predictions", "answer")] {
        for column in output::list(window, key) {
            let name = column.get("column");
            let mut before = baseline
                .into_iter()
                .flat_map(|baseline| output::list(baseline, key));
            let before = before
                .find(|column| column.get("column") == name)
                .unwrap_or(&Value::Null);
            rows.push(column_row(side, column, before));
        }
    }
    output::table(
        &[
            "",
            "COLUMN",
            "MISSING",
            "DISTINCT",
            "MEAN",
            "BASELINE",
            "STD",
            "MEDIAN",
            "P95",
            "MOST FREQUENT",
        ],
        &rows,
    );
}

fn column_row(side: &str, column: &Value, before: &Value) -> Vec<String> {
    let number = column.get("number").unwrap_or(&Value::Null);
    let quantile = |p: f64| {
        let mut all = output::list(number, "quantiles");
        let found = all.find(|quantile| quantile.get("p").and_then(Value::as_f64) == Some(p));
        found.map_or_else(|| "-".to_owned(), |quantile| output::number(quantile, "value"))
    };
    let top: Vec<String> = output::list(column, "top")
        .take(3)
        .map(|share| {
            format!(
                "{} {}",
                output::cell(share, "value"),
                output::number(share, "share")
            )
        })
        .collect();
    vec![
        side.to_owned(),
        output::cell(column, "column"),
        output::number(column, "missing_rate"),
        output::cell(column, "distinct"),
        output::number(number, "mean"),
        output::number(before.get("number").unwrap_or(&Value::Null), "mean"),
        output::number(number, "std"),
        quantile(0.5),
        quantile(0.95),
        top.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn segments_have_names() {
        for (segment, shown) in [
            (json!({"column": "country", "value": "DE"}), "country=DE"),
            (json!({"column": "country", "value": null}), "country=(missing)"),
            (
                json!({"column": "country", "value": null, "other": true}),
                "country=(other)",
            ),
        ] {
            assert_eq!(segment_name(&json!({ "segment": segment })), shown);
        }
        assert_eq!(segment_name(&json!({})), "all");
    }
}
