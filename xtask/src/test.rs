//! `cargo xtask test`: set-up, then every test: our own, public clients, kills.

use anyhow::{Result, bail};
use caisson_plugin_build::Route;

use crate::args::KILLS;
use crate::{built, cargo, clients, kill_test, onnxruntime, root, schemathesis, setup, soak};

/// Run the tests of the whole workspace, or of what `pass` says.
pub(crate) fn run(wasm: Option<Route>, pass: &[String]) -> Result<()> {
    setup::run(wasm, None)?;
    let nextest = cargo()
        .args(["nextest", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    let runner: &[&str] = if nextest { &["nextest", "run"] } else { &["test"] };
    if !pass.is_empty() {
        return cargo_run(wasm, runner, pass);
    }
    // Always of the whole workspace: another choice of packages would choose other features, and
    // build the large dependencies once more. nextest runs no doc tests.
    let all: &[&str] = if nextest {
        &["--workspace"]
    } else {
        &["--workspace", "--lib", "--bins", "--tests"]
    };
    cargo_run(wasm, &[runner, all].concat(), &[])?;
    // With the program that those tests have built.
    let program = built().join("debug/caisson");
    clients::run(&program)?;
    kill_test::run(&program, KILLS, None)?;
    soak::run(&soak::Options {
        program: program.clone(),
        seconds: soak::TEST_SECONDS,
        clients: None,
    })?;
    schemathesis::run(&program, schemathesis::EXAMPLES, schemathesis::SEED)?;
    cargo_run(wasm, &["test", "--workspace", "--doc", "--quiet"], &[])
}

fn cargo_run(wasm: Option<Route>, args: &[&str], pass: &[String]) -> Result<()> {
    let shown = [args.join(" "), pass.join(" ")].join(" ");
    eprintln!("• cargo {}", shown.trim());
    let mut command = cargo();
    command
        .args(args)
        .args(pass)
        .env("CAISSON_ONNXRUNTIME", onnxruntime::path(&root()));
    match wasm {
        Some(Route::Rustup) => command.env("CAISSON_WASM_TOOLCHAIN", "rustup"),
        Some(Route::Debian) => command.env("CAISSON_WASM_TOOLCHAIN", "debian"),
        Some(Route::Auto) | None => &mut command,
    };
    let status = command.status()?;
    if !status.success() {
        bail!("cargo {} failed ({status})", shown.trim());
    }
    Ok(())
}
