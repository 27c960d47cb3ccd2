//! `caisson config`: what a server would be started with.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::output;
use crate::config::{ServerFlags, Settings, file};

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
        ConfigCommand::Check { file, json } => Ok(check(file, json)),
        ConfigCommand::Show { flags } => {
            output::json(&serde_json::to_value(Settings::gather(*flags)?)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(path: PathBuf, as_json: bool) -> ExitCode {
    let problems: Vec<_> = match file::read(&path) {
        Err(problems) => problems.iter().map(|p| (json!(p), p.to_string())).collect(),
        // What each key means is right; do they go together?
        Ok(_) => match Settings::gather(ServerFlags::only(path.clone())) {
            Ok(_) => Vec::new(),
            Err(error) => {
                let message = error.to_string();
                vec![(
                    json!({"file": path, "message": message}),
                    format!("{}: {message}", path.display()),
                )]
            }
        },
    };
    if as_json {
        let list: Vec<_> = problems.iter().map(|(value, _)| value).collect();
        output::json(&json!({"ok": problems.is_empty(), "problems": list}));
    } else if problems.is_empty() {
        println!("{} is fine", path.display());
    } else {
        for (_, line) in &problems {
            eprintln!("{line}");
        }
    }
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
