//! Caisson as it is run in earnest: keys on, a tenant with a key, its own model, first-party plugins.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::case::{Case, Encoding};
use super::contender::{self, Contender, Running};
use super::fixture::{ALONE, Fixture, Form, WITH_STAGES};
use crate::http::Api;
use crate::site::{self, Site};

/// The server's name in tables.
pub(crate) const NAME: &str = "caisson";
/// The model's name in the registry.
const MODEL: &str = "booster";
/// Starts with one deployment that are measured; the median is told.
const STARTS: usize = 5;

/// How long starts took with the one deployment that has stages and a warm cache: medians.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Starts {
    /// From the start of the process to readiness.
    pub(crate) ready: Duration,
    /// And to the first right answer.
    pub(crate) answered: Duration,
}

/// With both deployments, started again: what is measured has a warm cache.
pub(crate) fn start(program: &Path, fixture: &Fixture, starts: Starts) -> Result<Contender> {
    let (site, tenant) = set_up(program, fixture)?;
    tenant.post_json("/v1/deployments", &alone())?.ok()?;
    let (site, _) = site.restart(program, &[])?;
    let contender = Contender {
        name: NAME,
        version: version(program)?,
        form: Form::Oip,
        binary: true,
        api: site.server.api().with_key_of(&tenant),
        pid: site.server.pid(),
        start: starts.answered,
        running: Running::Caisson(Box::new(site)),
    };
    contender.check_gap(fixture, Encoding::Binary)?;
    Ok(contender)
}

/// Start again and again.
pub(crate) fn starts(program: &Path, fixture: &Fixture) -> Result<Starts> {
    let (mut site, tenant) = set_up(program, fixture)?;
    let (mut ready, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (again, took) = site.restart(program, &[])?;
        let since = Instant::now();
        let api = again.server.api().with_key_of(&tenant);
        contender::ask_and_check(&api, fixture, Form::Oip, Case::json(1, 1))?;
        ready.push(took);
        answered.push(took + since.elapsed());
        site = again;
    }
    let median = |mut all: Vec<Duration>| {
        all.sort_unstable();
        all.get(all.len() / 2).copied().context("no start was measured")
    };
    Ok(Starts {
        ready: median(ready)?,
        answered: median(answered)?,
    })
}

/// A server, and a tenant in it that has the deployment with stages.
pub(crate) fn set_up(program: &Path, fixture: &Fixture) -> Result<(Site, Api)> {
    let site = Site::new(program, &[])?;
    for plugin in ["impute", "standardize"] {
        let component = site::component(&format!("plugins/{plugin}"))?;
        site.operator()
            .post("/v1/plugins?namespace=std", "application/wasm", &component)?
            .ok()?;
    }
    let tenant = site.tenant("acme")?;
    push_model(&tenant, &fixture.model)?;
    tenant.post_json("/v1/deployments", &with_stages(fixture))?.ok()?;
    Ok((site, tenant))
}

/// The next version of the model.
pub(crate) fn push_model(tenant: &Api, onnx: &[u8]) -> Result<()> {
    let parts: [(&str, &[u8]); 2] = [("model", onnx), ("metadata", b"{}")];
    tenant
        .post_form(&format!("/v1/models/{MODEL}"), &parts)?
        .ok()
        .map(drop)
}

fn model() -> Value {
    json!({"name": MODEL, "version": 1, "outputs": ["probabilities"]})
}

/// Raw rows. NaN stands for a missing value, as in the Python that the numbers were fitted in: of a tensor
/// column, Caisson's own missing values are whole rows.
pub(crate) fn with_stages(fixture: &Fixture) -> Value {
    let stages = &fixture.stages;
    json!({
        "name": WITH_STAGES,
        "input": [{"name": "input", "type": "fp32", "shape": [stages.fill.len()]}],
        "transforms": [
            {"plugin": "std/impute@^0.1", "config": {"columns": {"input": stages.fill}, "nan": true}},
            {"plugin": "std/standardize@^0.1", "config": {"columns": {"input": {"mean": stages.mean, "scale": stages.scale}}}},
        ],
        "model": model(),
    })
}

fn alone() -> Value {
    json!({
        "name": ALONE,
        "input": [{"name": "input", "type": "fp32", "shape": [30]}],
        "model": model(),
    })
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| program.display().to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
