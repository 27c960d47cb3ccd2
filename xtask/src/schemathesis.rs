//! `cargo xtask schemathesis`: requests made from the description of the API, against a real server.
//!
//! A server with keys, a tenant that has plugins, a model and deployments; then Schemathesis reads
//! `/openapi.json` and sends what each operation takes, what it almost takes, and what it doesn't, once
//! with the key of the tenant's admin and once with the operator's. Every answer is held against the
//! description: its status, media type, headers and schema; that what is wrong is refused and what is
//! right is taken; that no key gets nobody in. What it may do is in `tests/schemathesis`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use caisson_test_tools::python::environment_as_listed;
use serde_json::json;

use crate::http::Api;
use crate::site::{self, Site};
use crate::{root, say};

/// Generated requests of each operation and phase, unless told otherwise: both runs together take
/// under three minutes on two cores.
pub(crate) const EXAMPLES: u64 = 10;
/// The same requests every time: a change's tests must not fail for what an earlier one did.
pub(crate) const SEED: u64 = 1;

/// Run both.
pub(crate) fn run(program: &Path, examples: u64, seed: u64) -> Result<()> {
    let mut python = PathBuf::new();
    say::step("Schemathesis", |_| {
        let requirements = root().join("tests/schemathesis/requirements.txt");
        python = environment_as_listed(&root().join("target/python"), "schemathesis", &requirements)?;
        Ok(python.display().to_string())
    })?;
    eprintln!("• schemathesis: {examples} examples, --seed {seed}");
    let site = Site::new(program, &[])?;
    let admin = site.tenant("acme")?;
    prepare(&admin)?;
    for (who, api) in [
        ("the admin of a tenant", &admin),
        ("an operator", &site.operator()),
    ] {
        eprintln!("• schemathesis as {who}");
        if let Err(error) = once(&python, api, examples, seed) {
            site.folder.keep();
            let folder = site.folder.path().display();
            return Err(error.context(format!(
                "as {who}, --seed {seed}; the server's folder is {folder}"
            )));
        }
    }
    Ok(())
}

/// What the names in `tests/schemathesis/schemathesis.toml` mean.
fn prepare(api: &Api) -> Result<()> {
    site::deploy_cdnow(api)?;
    site::push_model(api, "spare")?;
    site::push(api, &site::component("plugins/clip")?)?;
    for name in ["clipped", "spare"] {
        // A first revision, to go back to.
        for max in [5, 10] {
            let config = json!({ "columns": { "x": { "min": 0, "max": max } } });
            let spec = json!({
                "name": name,
                "input": [{ "name": "x", "type": "fp32", "nullable": true }],
                "transforms": [{ "plugin": "clip", "config": config }],
            });
            api.post_json("/v1/deployments", &spec)?.ok()?;
        }
    }
    Ok(())
}

fn once(python: &Path, api: &Api, examples: u64, seed: u64) -> Result<()> {
    let here = root().join("tests/schemathesis");
    let work = root().join("target/schemathesis/work");
    fs::create_dir_all(&work)?;
    let status = Command::new(python)
        // It leaves files where it runs.
        .current_dir(&work)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(here.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/openapi.json", api.url()))
        .args([
            "--max-examples",
            &examples.to_string(),
            "--seed",
            &seed.to_string(),
        ])
        .env("SCHEMATHESIS_HOOKS", here.join("hooks.py"))
        .env(
            "CAISSON_KEY",
            api.key().context("a server without keys tests no keys")?,
        )
        .status()
        .with_context(|| python.display().to_string())?;
    ensure!(status.success(), "the API isn't what it says it is ({status})");
    Ok(())
}
