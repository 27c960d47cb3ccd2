//! What goes wrong, and stays where it went wrong.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{NAME, example, publish, score};
use crate::http::{Answer, Api};
use crate::table::Csv;

pub(super) fn run(api: &Api) -> Result<()> {
    let customers = Csv::read(&example("test_customers.csv"))?.json_rows()?;
    let good = customers.get(..3).context("test_customers.csv is too short")?;
    refused_row(api, good)?;
    publish::push(api, "target/test-guests/hostile.wasm")?;
    stopped(api, good, "loop", "loops for ever", 504)?;
    stopped(api, good, "grab-memory", "grabs all memory", 500)?;
    misfit(api)
}

/// A row that the range validator refuses.
fn refused_row(api: &Api, good: &[Value]) -> Result<()> {
    let mut rows = good.to_vec();
    if let Some(row) = rows.get_mut(1) {
        row["recency_weeks"] = json!(-4.0);
    }
    let answer = api
        .post_json(
            &format!("/v1/deployments/{NAME}/predict"),
            &json!({ "rows": rows }),
        )?
        .refused(422)?;
    let place = &answer.body["violations"][0];
    ensure!(
        place["row"] == 1 && place["column"] == "recency_weeks",
        "the refusal doesn't name row 1 and column recency_weeks: {}",
        answer.body
    );
    tell("a customer who bought four weeks in the future", &answer);
    println!("     row {}, column {}", place["row"], place["column"]);
    Ok(())
}

/// A plugin that misbehaves: its own request fails, in time, and the next one of another deployment
/// is answered.
fn stopped(api: &Api, good: &[Value], behave: &str, does: &str, status: u16) -> Result<()> {
    let deployment = json!({
        "name": format!("hostile-{behave}"),
        "input": [{"name": "x", "type": "fp32"}],
        "transforms": [{
            "plugin": "hostile", "config": {"behave": behave},
            "limits": {"deadline_ms": 250, "memory_mib": 64}
        }],
    });
    api.post_json("/v1/deployments", &deployment)?.ok()?;
    let start = Instant::now();
    let path = format!("/v1/deployments/hostile-{behave}/predict");
    let answer = api
        .post_json(&path, &json!({"rows": [{"x": 1.0}]}))?
        .refused(status)?;
    let elapsed = start.elapsed();
    ensure!(
        elapsed.as_secs() < 10,
        "it took {elapsed:?} to stop a plugin with 250 ms"
    );
    ensure!(
        answer.text("stage").contains("hostile"),
        "the answer doesn't name the stage: {}",
        answer.body
    );
    tell(
        &format!("a plugin that {does}, stopped after {} ms", elapsed.as_millis()),
        &answer,
    );
    let start = Instant::now();
    score::predict(api, good).context("the neighbour's next request")?;
    println!(
        "     the next request, of {NAME}: fine ({:.1} ms)",
        start.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

/// A pipeline whose second stage wants a column that the first one doesn't leave: refused before it
/// serves anything.
fn misfit(api: &Api) -> Result<()> {
    publish::push(api, "target/plugins/one-hot.wasm")?;
    let deployment = json!({
        "name": "misfit",
        "input": [{"name": "country", "type": "text"}],
        "transforms": [
            {"plugin": "one-hot", "config": {"columns": {"country": {"categories": ["uk", "us"]}}}},
            {"plugin": "impute", "config": {"columns": {"country": "uk"}}},
        ],
    });
    let answer = api.post_json("/v1/deployments", &deployment)?;
    ensure!(
        (400..500).contains(&answer.status),
        "a deployment that can't work was taken: {}",
        answer.body
    );
    // What the one side asks for, and what the other gives.
    let error = answer.text("error");
    for side in ["impute", "`country`", "`country_uk`"] {
        ensure!(error.contains(side), "the refusal doesn't name {side}: {error}");
    }
    ensure!(
        api.get("/v1/deployments/misfit")?.status == 404,
        "the refused deployment is there"
    );
    tell("a deployment whose stages don't fit", &answer);
    Ok(())
}

fn tell(what: &str, answer: &Answer) {
    println!(
        "   {what}:\n     {} {}: {}",
        answer.status,
        answer.text("code"),
        answer.text("error")
    );
}
