//! `cargo xtask setup`: what is missing, put in place.

use std::path::PathBuf;

use anyhow::{Result, bail};
use caisson_plugin_build::{Route, Search, Toolchain};

use crate::{built, cargo, guests, onnxruntime, root, say};

/// How the `caisson` program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// Optimised crate by crate.
    Release,
    /// Optimised as a whole: what is shipped and measured. Takes 25 minutes on two cores.
    Dist,
}

impl Build {
    /// Cargo's name for it, and the folder that the program is in.
    fn profile(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }

    /// The program, once it is built.
    pub(crate) fn program(self) -> PathBuf {
        built().join(self.profile()).join("caisson")
    }
}

/// Everything that tests need, and the program, if it is to be built.
pub(crate) fn run(wasm: Option<Route>, program: Option<Build>) -> Result<()> {
    let toolchain = toolchain(wasm)?;
    say::step("ONNX Runtime", |progress| onnxruntime::ensure(&root(), progress))?;
    guests::build(&toolchain)?;
    if let Some(build) = program {
        say::step(&format!("caisson, {} build", build.profile()), |_| host(build))?;
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
fn host(build: Build) -> Result<String> {
    let status = cargo()
        .args(["build", "--profile", build.profile()])
        .args(["--package", "caisson-server", "--bin", "caisson"])
        .status()?;
    if !status.success() {
        bail!("cargo build failed ({status})");
    }
    Ok(build.program().display().to_string())
}
