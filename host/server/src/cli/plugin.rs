//! `caisson plugin …`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caisson_plugin_build::{BuildOptions, Search, Toolchain};
use caisson_registry::Digest;
use caisson_registry::signature::PluginSignature;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::{self, Client, query, segment};
use super::signing::{self, KeygenArgs, SignArgs};
use super::{Remote, output, plugin_new};

/// Make, build, test, sign, upload, list and yank plugins.
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
    Push(PushArgs),
    /// All plugins.
    #[command(after_help = "Example:\n  caisson plugin list --json")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Let nothing new be built on a version. What runs on it goes on.
    #[command(after_help = "Example:\n  caisson plugin yank impute 0.1.0 --why 'fills the wrong column'")]
    Yank {
        /// The plugin's name.
        name: String,
        /// The version.
        version: String,
        /// Why, for the record and for whoever names this version.
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// `std` for a first-party plugin; an operator's choice.
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let a yanked version be chosen again.
    #[command(after_help = "Example:\n  caisson plugin unyank impute 0.1.0")]
    Unyank {
        /// The plugin's name.
        name: String,
        /// The version.
        version: String,
        /// `std` for a first-party plugin; an operator's choice.
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete a yanked version, for good: other bytes never get its name and version. What a deployment
    /// that is live is built on, or may go back to, can't be deleted.
    #[command(after_help = "Example:
  caisson plugin yank impute 0.1.0 --why 'fills the wrong column'
  caisson plugin delete impute 0.1.0 --why 'nobody runs it any more'")]
    Delete {
        /// The plugin's name.
        name: String,
        /// The version.
        version: String,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT")]
        why: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Sign a component, and print the signature. No server is asked.
    Sign(SignArgs),
    /// Make a key that signs plugins.
    Keygen(KeygenArgs),
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

/// What to upload, and how it is signed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson plugin push                              # the plugin in this folder
  caisson plugin push target/plugins/impute.wasm   # a component
  caisson plugin push --sign-key release.pem")]
pub(crate) struct PushArgs {
    /// A component or a plugin's folder.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Sign the component with the private key in this file; `caisson plugin keygen` makes one.
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    sign_key: Option<PathBuf>,
    /// The component's signature, as `caisson plugin sign` prints it.
    #[arg(long, value_name = "BASE64")]
    signature: Option<PluginSignature>,
    /// `std` to publish a first-party plugin, which every tenant may use; an operator's choice.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    remote: Remote,
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
                output::json(&json!({"package": built.package, "path": built.path, "bytes": built.size}));
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
        PluginCommand::Push(args) => push(&args),
        PluginCommand::List { remote } => list(&remote),
        PluginCommand::Show {
            name,
            version,
            remote,
        } => show(&name, &version, &remote),
        PluginCommand::Yank {
            name,
            version,
            why,
            namespace,
            remote,
        } => {
            let client = Client::new(&remote)?;
            let path = yank_path(&name, &version, namespace.as_deref());
            let answer = client.post_json(&path, &json!({"why": why}))?;
            print_marked(&client, &answer, "is yanked; what runs on it goes on");
            Ok(())
        }
        PluginCommand::Unyank {
            name,
            version,
            namespace,
            remote,
        } => {
            let client = Client::new(&remote)?;
            let answer = client.delete(&yank_path(&name, &version, namespace.as_deref()))?;
            print_marked(&client, &answer, "can be chosen again");
            Ok(())
        }
        PluginCommand::Delete {
            name,
            version,
            why,
            remote,
        } => {
            let client = Client::new(&remote)?;
            let query = query(&[("why", Some(&why))]);
            let answer = client.delete(&format!("{}{query}", version_path(&name, &version)))?;
            print_marked(&client, &answer, "is deleted");
            Ok(())
        }
        PluginCommand::Sign(args) => signing::run(&args),
        PluginCommand::Keygen(args) => signing::keygen(&args),
    }
}

fn version_path(name: &str, version: &str) -> String {
    format!("/v1/plugins/{}/{}", segment(name), segment(version))
}

fn yank_path(name: &str, version: &str, namespace: Option<&str>) -> String {
    let namespace = query(&[("namespace", namespace)]);
    format!("{}/yank{namespace}", version_path(name, version))
}

fn print_marked(client: &Client, answer: &Value, what: &str) {
    if client.json {
        output::json(answer);
    } else {
        println!(
            "{}@{} {what}",
            output::cell(answer, "name"),
            output::cell(answer, "version")
        );
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

fn push(args: &PushArgs) -> anyhow::Result<()> {
    let bytes = if args.path.is_dir() {
        build(&args.path)?.bytes
    } else {
        client::read_file(&args.path)?
    };
    let signature = match &args.sign_key {
        Some(key) => Some(signing::sign(&bytes, key)?.signature),
        None => args.signature.clone(),
    };
    // What arrives is what was read, or it is refused.
    let digest = content_digest(&bytes);
    let signature = signature.map(String::from);
    let mut headers = vec![("Content-Digest", digest.as_str())];
    headers.extend(signature.as_deref().map(|text| ("Caisson-Signature", text)));
    let client = Client::new(&args.remote)?;
    let namespace = query(&[("namespace", args.namespace.as_deref())]);
    let path = format!("/v1/plugins{namespace}");
    let answer = client
        .post_with(&path, &headers, "application/wasm", &bytes)
        .with_context(|| client::shown(&args.path))?;
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

/// The header `Content-Digest` (RFC 9530).
fn content_digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(Digest::of(bytes).as_bytes()))
}

fn list(remote: &Remote) -> anyhow::Result<()> {
    let client = Client::new(remote)?;
    let answer = client.get("/v1/plugins")?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = output::list(&answer, "plugins")
        .map(|p| {
            let mut row = ["name", "version", "world", "size", "created_at"]
                .map(|key| output::cell(p, key))
                .to_vec();
            row.push(if is_yanked(p) {
                "yanked".to_owned()
            } else {
                String::new()
            });
            row
        })
        .collect();
    output::table(&["NAME", "VERSION", "WORLD", "BYTES", "CREATED", ""], &rows);
    Ok(())
}

fn is_yanked(plugin: &Value) -> bool {
    plugin
        .get("yanked")
        .is_some_and(|yanked| !yanked.is_null() && *yanked != Value::Bool(false))
}

fn show(name: &str, version: &str, remote: &Remote) -> anyhow::Result<()> {
    let client = Client::new(remote)?;
    let answer = client.get(&version_path(name, version))?;
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
    println!("\n{}\n", output::text(&answer, "help"));
    for key in ["digest", "size", "wit_version", "imports", "created_at"] {
        println!("{key:12} {}", output::cell(&answer, key));
    }
    for key in ["provenance", "signature", "yanked"] {
        if answer.get(key).is_some_and(|value| !value.is_null()) {
            println!("{key:12} {}", output::cell(&answer, key));
        }
    }
    if let Some(schema) = answer.get("config_schema") {
        println!("\nconfig, as JSON Schema:\n{schema:#}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_header_is_as_the_rfc_has_it() {
        // RFC 9530, appendix B.1.
        assert_eq!(
            content_digest(b"{\"hello\": \"world\"}\n"),
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
        );
    }
}
