//! `caisson config`: what a server would be started with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::output;
use crate::config::file::{self, Problem, Read};
use crate::config::{Fault, ServerFlags, Settings};

/// Check a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file, and explain everything that is wrong with it by line and column.
    #[command(after_help = "Example:\n  caisson config check /etc/caisson.toml")]
    Check {
        /// The file.
        file: PathBuf,
        /// Print the problems as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what a server would be started with: file, environment and flags together.
    #[command(
        after_help = "Example:\n  caisson config show --config /etc/caisson.toml --listen 127.0.0.1:9000"
    )]
    Show {
        #[command(flatten)]
        flags: Box<ServerFlags>,
    },
}

pub(crate) fn run(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check { file, json } => Ok(check(&file, json)),
        ConfigCommand::Show { flags } => {
            output::json(&serde_json::to_value(Settings::gather(*flags)?)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What a file says wrongly, and what of it doesn't go together.
fn problems(path: &Path) -> Vec<Problem> {
    let Read {
        text,
        file,
        mut problems,
    } = file::read(path);
    let faults = Settings::of_file(file).faults().into_iter();
    problems.extend(faults.map(|Fault { key, message }| {
        let (line, column) = file::place_of(&text, &key).unwrap_or_default();
        Problem {
            file: path.to_owned(),
            line,
            column,
            message: format!("{key}: {message}"),
        }
    }));
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

fn check(path: &Path, as_json: bool) -> ExitCode {
    let problems = problems(path);
    if as_json {
        output::json(&json!({"ok": problems.is_empty(), "problems": problems}));
    } else if problems.is_empty() {
        println!("{} is fine", path.display());
    } else {
        for problem in &problems {
            eprintln!("{problem}");
        }
    }
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
