//! Public Open Inference Protocol clients against a server of our own: `tests/clients`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
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
    step("public clients", |progress| {
        python = environment(progress)?;
        Ok("in target/clients".to_owned())
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

/// A virtual environment with what `requirements.txt` pins: its Python. Made anew when that changes.
fn environment(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let place = root().join("target/clients");
    let python = place.join("bin/python");
    let wanted = root().join("tests/clients/requirements.txt");
    let (stamp, pins) = (place.join("requirements.txt"), fs::read(&wanted)?);
    if fs::read(&stamp).is_ok_and(|made| made == pins) {
        return Ok(python);
    }
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    progress("python3 -m venv target/clients");
    run_quietly(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
    progress("pip install -r tests/clients/requirements.txt");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "-r",
    ];
    run_quietly(Command::new(&python).args(pip).arg(&wanted))?;
    // Last: a half-made environment has none.
    fs::write(stamp, pins)?;
    Ok(python)
}

fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed ({}):\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
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
