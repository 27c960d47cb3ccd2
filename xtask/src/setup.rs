//! `cargo xtask setup`: what is missing, put in place.

use anyhow::{Result, bail};
use caisson_plugin_build::{Route, Search, Toolchain};

use crate::{cargo, guests, onnxruntime, root, say};

/// Everything that tests, or with `release` the demo, need.
pub(crate) fn run(wasm: Option<Route>, release: bool) -> Result<()> {
    let toolchain = toolchain(wasm)?;
    say::step("ONNX Runtime", |progress| onnxruntime::ensure(&root(), progress))?;
    guests::build(&toolchain)?;
    if release {
        say::step("caisson, release build", |_| host())?;
    }
    Ok(())
}

/// Find a WebAssembly toolchain, or install one.
pub(crate) fn toolchain(wasm: Option<Route>) -> Result<Toolchain> {
    let mut search = Search::from_env()?;
    search.dir = root().join(".caisson/wasm-toolchain");
    search.route = wasm.unwrap_or(search.route);
    let mut found = None;
    say::step("WebAssembly toolchain", |progress| {
        let toolchain = match Toolchain::find(&search) {
            Ok(toolchain) => toolchain,
            Err(_) => Toolchain::install(&search, progress)?,
        };
        let description = toolchain.describe();
        found = Some(toolchain);
        Ok(description)
    })?;
    found.map_or_else(|| bail!("no WebAssembly toolchain"), Ok)
}

/// Build the `caisson` program; cargo itself knows whether there is anything to do.
fn host() -> Result<String> {
    let status = cargo()
        .args([
            "build",
            "--release",
            "--package",
            "caisson-server",
            "--bin",
            "caisson",
        ])
        .status()?;
    if !status.success() {
        bail!("cargo build failed ({status})");
    }
    Ok(String::from("target/release/caisson"))
}
