//! `caisson plugin …`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use caisson_plugin_build::{BuildOptions, Search, Toolchain};
use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::client::{self, Client, segment};
use super::{Remote, output, plugin_new};

/// Make, build, test, upload and list plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Make a folder with a plugin that builds, tests and pushes.
    #[command(after_help = "Example:\n  caisson plugin new --world transform my-plugin")]
    New {
        /// What kind of plugin.
        #[arg(long, value_enum)]
        world: World,
        /// Its name: lower-case letters, digits and inner hyphens.
        name: String,
        /// The folder to make; the name if absent.
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// Where the SDK crate `caisson-plugin` is; the checkout that this program was built from if absent.
        #[arg(long, env = "CAISSON_SDK", value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
    /// Build the plugin in a folder into a component.
    #[command(after_help = "Example:\n  caisson plugin build            # prints where the component is")]
    Build {
        /// The plugin's folder.
        #[arg(default_value = ".")]
        path: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run the plugin's own tests, natively.
    #[command(after_help = "Example:\n  caisson plugin test")]
    Test {
        /// The plugin's folder.
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// Upload a component, or build the plugin in a folder and upload that.
    #[command(
        after_help = "Examples:\n  caisson plugin push                              # the plugin in this folder\n  caisson plugin push target/plugins/impute.wasm   # a component"
    )]
    Push {
        /// A component or a plugin's folder.
        #[arg(default_value = ".")]
        path: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
    /// All plugins.
    #[command(after_help = "Example:\n  caisson plugin list --json")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One plugin: its help, its config's schema, its imports.
    #[command(after_help = "Example:\n  caisson plugin show impute 0.1.0")]
    Show {
        /// The plugin's name.
        name: String,
        /// A version, or a requirement such as `^0.1`; the newest if absent.
        #[arg(default_value = "*")]
        version: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// The worlds of the plugin contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum World {
    /// Changes columns.
    Transform,
    /// Judges rows.
    Validator,
    /// Compares data with a reference.
    DriftCheck,
    /// Predicts with models.
    Predictor,
}

pub(crate) fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::New {
            world,
            name,
            path,
            sdk,
        } => plugin_new::run(world, &name, path, sdk),
        PluginCommand::Build { path, json } => {
            let built = build(&path)?;
            if json {
                output::json(
                    &serde_json::json!({"package": built.package, "path": built.path, "bytes": built.size}),
                );
            } else {
                println!("{} ({} bytes)", built.path.display(), built.size);
            }
            Ok(())
        }
        PluginCommand::Test { path } => {
            let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
                .arg("test")
                .current_dir(&path)
                .status()
                .context("cargo could not be run; install Rust first")?;
            if !status.success() {
                bail!("the plugin's tests failed");
            }
            Ok(())
        }
        PluginCommand::Push { path, remote } => push(&path, &remote),
        PluginCommand::List { remote } => list(&remote),
        PluginCommand::Show {
            name,
            version,
            remote,
        } => show(&name, &version, &remote),
    }
}

fn build(path: &Path) -> anyhow::Result<caisson_plugin_build::Built> {
    let toolchain = Toolchain::find(&Search::from_env()?)?;
    eprintln!("building {} …", path.display());
    let mut progress = |line: &str| eprintln!("  {line}");
    Ok(caisson_plugin_build::build_component(
        &toolchain,
        path,
        &BuildOptions::default(),
        &mut progress,
    )?)
}

fn push(path: &Path, remote: &Remote) -> anyhow::Result<()> {
    let bytes = if path.is_dir() {
        build(path)?.bytes
    } else {
        client::read_file(path)?
    };
    let client = Client::new(remote);
    let answer = client.post("/v1/plugins", "application/wasm", &bytes)?;
    if client.json {
        output::json(&answer);
    } else {
        println!(
            "{}@{} ({}, {} bytes, {})",
            output::cell(&answer, "name"),
            output::cell(&answer, "version"),
            output::cell(&answer, "world"),
            bytes.len(),
            output::cell(&answer, "result")
        );
    }
    Ok(())
}

fn list(remote: &Remote) -> anyhow::Result<()> {
    let client = Client::new(remote);
    let answer = client.get("/v1/plugins")?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = answer
        .get("plugins")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|p| {
            ["name", "version", "world", "size", "created_at"]
                .map(|key| output::cell(p, key))
                .to_vec()
        })
        .collect();
    output::table(&["NAME", "VERSION", "WORLD", "BYTES", "CREATED"], &rows);
    Ok(())
}

fn show(name: &str, version: &str, remote: &Remote) -> anyhow::Result<()> {
    let client = Client::new(remote);
    let answer = client.get(&format!("/v1/plugins/{}/{}", segment(name), segment(version)))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    println!(
        "{}@{} ({})",
        output::cell(&answer, "name"),
        output::cell(&answer, "version"),
        output::cell(&answer, "world")
    );
    println!("\n{}\n", output::cell(&answer, "help"));
    for key in ["digest", "size", "wit_version", "imports", "created_at"] {
        println!("{key:12} {}", output::cell(&answer, key));
    }
    if let Some(schema) = answer.get("config_schema") {
        println!("\nconfig, as JSON Schema:\n{schema:#}");
    }
    Ok(())
}
