//! `cargo xtask …`: everything that a fresh clone needs done.
//!
//! Each command sets up what it needs first, says what it does, and does nothing twice: a second
//! run finds every part in place by its content.

mod args;
mod clients;
mod compare;
mod debian;
mod demo;
mod deny;
mod guests;
mod http;
mod kill_test;
mod load;
mod observability;
mod onnxruntime;
mod process;
mod raw;
mod say;
mod schemathesis;
mod server;
mod setup;
mod site;
mod soak;
mod stats;
mod table;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::Command;
use caisson_plugin_build::Route;
use setup::Build;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(why) => {
            eprintln!("{why}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Help => {
            println!("{}", args::USAGE);
            Ok(())
        }
        Command::Setup { wasm, program } => setup::run(wasm, program),
        Command::Guests { wasm } => guests::run(wasm),
        Command::Test { wasm, pass } => test::run(wasm, &pass),
        Command::Clients { wasm, program: named } => {
            program(wasm, named, Build::Release).and_then(|program| clients::run(&program))
        }
        Command::Demo { wasm, keep } => demo::run(wasm, keep),
        Command::KillTest {
            wasm,
            kills,
            seed,
            program: named,
        } => program(wasm, named, Build::Release).and_then(|program| kill_test::run(&program, kills, seed)),
        Command::Schemathesis {
            wasm,
            examples,
            seed,
            program: named,
        } => program(wasm, named, Build::Release)
            .and_then(|program| schemathesis::run(&program, examples, seed)),
        Command::Load {
            wasm,
            case,
            seconds,
            deployments,
            program: named,
        } => program(wasm, named, Build::Dist).and_then(|program| {
            let options = load::Options {
                program,
                seconds,
                deployments,
            };
            load::run(case, &options)
        }),
        Command::Compare {
            wasm,
            program: named,
            mut options,
        } => program(wasm, named, Build::Dist).and_then(|program| {
            options.program = program;
            compare::run(&options)
        }),
        Command::CompareDrift {
            wasm,
            program: named,
            mut options,
        } => program(wasm, named, Build::Dist).and_then(|program| {
            options.program = program;
            compare::drift::run(&options)
        }),
        Command::Soak {
            wasm,
            program: named,
            seconds,
            clients,
        } => program(wasm, named, Build::Release).and_then(|program| {
            let options = soak::Options {
                program,
                seconds,
                clients,
            };
            soak::run(&options)
        }),
        Command::Observability => observability::run(),
        Command::Deny { advisories } => deny::run(advisories),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The program that was named, or else one that is built.
fn program(wasm: Option<Route>, named: Option<PathBuf>, build: Build) -> anyhow::Result<PathBuf> {
    if let Some(program) = named {
        return Ok(program);
    }
    setup::run(wasm, Some(build))?;
    Ok(build.program())
}

/// The repository's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
fn built() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A cargo command in the repository's root.
fn cargo() -> std::process::Command {
    let mut command = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}
