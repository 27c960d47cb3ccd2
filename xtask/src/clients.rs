//! Public Open Inference Protocol clients against a server of our own: `tests/clients`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use caisson_test_tools::python::environment_as_listed;
use serde_json::{Value, json};

use crate::http::Api;
use crate::say::step;
use crate::server::{Folder, Keys, Server};
use crate::{debian, root};

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
    let analyzer = match analyzer() {
        Ok(analyzer) => Some(analyzer),
        // As with the browser: a step that may be left out elsewhere has to run here.
        Err(why) if std::env::var_os("CI").is_some() => return Err(why.context("perf_analyzer")),
        Err(why) => {
            eprintln!("  perf_analyzer is left out: {why:#}");
            None
        }
    };
    let folder = Folder::new("clients")?;
    let server = Server::start(program, &folder, &Keys::Dev, &[])?;
    server.wait_until_ready()?;
    let api = server.api();
    deploy(&api)?;
    let address = api.url().trim_start_matches("http://");
    let mut command = Command::new(&python);
    command
        .arg(root().join("tests/clients/run.py"))
        .arg(address)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some((program, libraries)) = analyzer {
        command
            .env("CAISSON_PERF_ANALYZER", program)
            .env("CAISSON_PERF_LIBRARIES", libraries);
    }
    let status = command.status().with_context(|| python.display().to_string())?;
    ensure!(
        status.success(),
        "public clients failed ({status}); the server's log:\n{}",
        folder.log()
    );
    Ok(())
}

/// perf_analyzer, and where the libraries are that it needs.
fn analyzer() -> Result<(PathBuf, String)> {
    let python = root().join("target/python");
    let requirements = root().join("tests/clients/perf-requirements.txt");
    let interpreter = environment_as_listed(&python, "perf-analyzer", &requirements)?;
    let environment = python.join("perf-analyzer");
    let base64 = python.join("perf-analyzer-base64");
    let is_there = |folder: &Path| -> Option<PathBuf> {
        let inside = fs::read_dir(folder.join("usr/lib")).ok()?;
        let mut all = inside.filter_map(|entry| Some(entry.ok()?.path()));
        all.find(|path| path.join("libb64.so.0d").exists())
    };
    if is_there(&base64).is_none() {
        debian::unpack(&["libb64-0d"], &base64)?;
    }
    let base64 = is_there(&base64).context("Debian's package has no libb64.so.0d")?;
    let lib = fs::read_dir(environment.join("lib"))?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut cuda = lib.map(|lib| lib.join("site-packages/nvidia/cuda_runtime/lib"));
    let cuda = cuda.find(|folder| folder.exists()).context("no CUDA runtime")?;
    let program = interpreter.with_file_name("perf_analyzer");
    ensure!(program.exists(), "{} isn't there", program.display());
    Ok((program, format!("{}:{}", base64.display(), cuda.display())))
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
