//! Predictions for the test customers, next to what they really did.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::quality::{auc, base_rate, hit_rate};
use super::{NAME, example};
use crate::http::Api;
use crate::table::Csv;

/// Customers in one request.
const CHUNK_ROWS: usize = 1000;

pub(super) fn run(api: &Api) -> Result<()> {
    let customers = Csv::read(&example("test_customers.csv"))?;
    let labels = Csv::read(&example("test_labels.csv"))?;
    ensure!(
        customers.numbers("customer_id")? == labels.numbers("customer_id")?,
        "test_customers.csv and test_labels.csv tell of different customers"
    );
    let start = Instant::now();
    let predictions = predict(api, &customers.json_rows()?)?;
    let elapsed = start.elapsed();

    let probabilities = predictions.iter().map(|row| row["probability"].as_f64());
    let outcomes = labels.numbers("bought")?.into_iter().map(|bought| bought == 1.0);
    let cases: Vec<(f64, bool)> = probabilities
        .zip(outcomes)
        .map(|(probability, bought)| Some((probability?, bought)))
        .collect::<Option<_>>()
        .context("a prediction has no `probability`")?;
    println!(
        "   {} customers in {} requests, {:.0} customers a second",
        cases.len(),
        customers.len().div_ceil(CHUNK_ROWS),
        cases.len() as f64 / elapsed.as_secs_f64()
    );
    if let (Some(row), Some(&(_, bought))) = (predictions.first(), cases.first()) {
        println!("   the first: {row}; bought again: {bought}");
    }
    println!(
        "   bought again within 26 weeks       {:6.1} %  (base rate)",
        base_rate(&cases) * 100.0
    );
    println!(
        "   … of the tenth most likely to      {:6.1} %  (hit rate)",
        hit_rate(&cases) * 100.0
    );
    println!(
        "   AUC                                {:6.3}    (0.5 is guessing)",
        auc(&cases)
    );
    check(&cases)
}

/// Serving gives what training measured: the same plugins and the same model stood in both.
fn check(cases: &[(f64, bool)]) -> Result<()> {
    let metadata: Value = serde_json::from_slice(&fs::read(example("model.json"))?).context("model.json")?;
    let measured = [
        ("test_auc", auc(cases)),
        ("test_base_rate", base_rate(cases)),
        ("test_hit_rate_top_decile", hit_rate(cases)),
    ];
    for (name, served) in measured {
        let trained = metadata["metrics"][name]
            .as_f64()
            .with_context(|| format!("model.json has no metric {name}"))?;
        ensure!(
            (served - trained).abs() < 0.005,
            "{name}: training measured {trained}, serving gives {served}"
        );
    }
    println!(
        "   (the same as training measured: AUC {:.3})",
        metadata["metrics"]["test_auc"].as_f64().unwrap_or_default()
    );
    Ok(())
}

/// Predict in chunks; a row for each row.
pub(super) fn predict(api: &Api, rows: &[Value]) -> Result<Vec<Value>> {
    let path = format!("/v1/deployments/{NAME}/predict");
    let mut predictions = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(CHUNK_ROWS) {
        let mut answer = api.post_json(&path, &json!({ "rows": chunk }))?.ok()?;
        let Value::Array(rows) = answer["rows"].take() else {
            anyhow::bail!("the answer has no rows")
        };
        ensure!(
            rows.len() == chunk.len(),
            "{} predictions for {} customers",
            rows.len(),
            chunk.len()
        );
        predictions.extend(rows);
    }
    Ok(predictions)
}
