//! Drift: what the monitors say of the same customers half a year later.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{NAME, example};
use crate::http::Api;
use crate::table;

pub(super) fn run(api: &Api) -> Result<()> {
    let path = format!("/v1/deployments/{NAME}/drift");
    let report = |file: &str| -> Result<Value> {
        let rows = fs::read(example(file)).with_context(|| file.to_owned())?;
        api.post(&path, "text/csv", &rows)?.ok()
    };
    // First the months that the baseline is of: what drifts there would be a false alarm.
    let same = report("test_customers.csv")?;
    ensure!(
        same["status"] != "drifted",
        "customers of the same months are called drifted: {same}"
    );
    println!(
        "   {} other customers, same months: {}",
        same["rows"],
        text(&same, "status")
    );

    let later = report("later_months.csv")?;
    ensure!(
        later["status"] == "drifted",
        "half a year later nothing has drifted: {later}"
    );
    println!(
        "   the same customers, half a year later: {}",
        text(&later, "status")
    );
    for monitor in later["monitors"]
        .as_array()
        .context("the report has no monitors")?
    {
        println!(
            "\n   {} ({}, on {}): {}",
            text(monitor, "name"),
            text(monitor, "plugin"),
            text(monitor, "on"),
            text(monitor, "status")
        );
        let features = monitor["features"]
            .as_array()
            .context("a monitor has no features")?;
        ensure!(
            !features.is_empty(),
            "monitor {} tells of no feature",
            text(monitor, "name")
        );
        let rows: Vec<Vec<String>> = features.iter().map(row).collect();
        table::print(
            &[
                "feature",
                "statistic",
                "threshold",
                "p-value",
                "effect",
                "missing",
                "status",
            ],
            &rows,
        );
    }
    Ok(())
}

fn row(feature: &Value) -> Vec<String> {
    vec![
        text(feature, "feature").to_owned(),
        format!("{} {}", text(feature, "method"), number(&feature["statistic"])),
        number(&feature["threshold"]),
        number(&feature["p_value"]),
        number(&feature["effect_size"]),
        format!(
            "{} → {}",
            percent(&feature["reference_missing_rate"]),
            percent(&feature["current_missing_rate"])
        ),
        text(feature, "status").to_owned(),
    ]
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        None => String::from("-"),
        Some(x) if x != 0.0 && x.abs() < 0.001 => format!("{x:.0e}"),
        Some(x) => format!("{x:.3}"),
    }
}

fn percent(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| String::from("-"), |share| format!("{:.0} %", share * 100.0))
}
