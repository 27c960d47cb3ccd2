//! Public Open Inference Protocol clients against a server of our own: `tests/clients`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use caisson_test_tools::python::environment_as_listed;
use serde_json::{Value, json};

use crate::http::Api;
use crate::root;
use crate::say::step;
use crate::server::{Folder, Keys, Server};

/// The types of `identity.onnx`, by the names of its inputs.
const NUMBERS: [&str; 13] = [
    "boolean", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "fp16", "bf16",
    "fp32", "fp64",
];

/// Run every step of every client against this program.
pub(crate) fn run(program: &Path) -> Result<()> {
    let mut python = PathBuf::new();
    step("public clients", |_| {
        let requirements = root().join("tests/clients/requirements.txt");
        python = environment_as_listed(&root().join("target/python"), "clients", &requirements)?;
        Ok(python.display().to_string())
    })?;
    let folder = Folder::new("clients")?;
    let server = Server::start(program, &folder, &Keys::Dev, &[])?;
    server.wait_until_ready()?;
    let api = server.api();
    deploy(&api)?;
    let address = api.url().trim_start_matches("http://");
    let status = Command::new(&python)
        .arg(root().join("tests/clients/run.py"))
        .arg(address)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .with_context(|| python.display().to_string())?;
    ensure!(
        status.success(),
        "public clients failed ({status}); the server's log:\n{}",
        folder.log()
    );
    Ok(())
}

/// The deployments that the steps use: every datatype through a model that gives it back, a small
/// classifier, and shapes and bytes through no model at all.
fn deploy(api: &Api) -> Result<()> {
    let fixtures = root().join("host/inference/tests/fixtures");
    let wire = root().join("tests/data/oip-wire");
    for (name, file) in [
        ("identity", fixtures.join("identity.onnx")),
        ("strings", fixtures.join("strings.onnx")),
        ("gbc", wire.join("gbc.onnx")),
    ] {
        let model = fs::read(&file).with_context(|| file.display().to_string())?;
        api.post_form(&format!("/v1/models/{name}"), &[("model", &model)])?
            .ok()?;
    }
    let numbers: Vec<Value> = NUMBERS
        .iter()
        .map(|name| json!({"name": name, "type": name}))
        .collect();
    let model = |name: &str, input: Value| json!({"name": name, "input": input, "model": {"name": name, "version": 1}});
    let grid = json!({"name": "grid", "type": "int16", "shape": [2, 3]});
    let blobs = json!({"name": "blobs", "type": "bytes", "shape": [2]});
    for spec in [
        model("identity", json!(numbers)),
        model("strings", json!([{"name": "text", "type": "text"}])),
        model("gbc", json!([{"name": "input", "type": "fp32", "shape": [30]}])),
        json!({"name": "echo", "input": [grid, blobs]}),
    ] {
        api.post_json("/v1/deployments", &spec)?
            .ok()
            .with_context(|| spec.to_string())?;
    }
    Ok(())
}
