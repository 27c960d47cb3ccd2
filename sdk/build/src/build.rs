//! Runs cargo for guests and writes their components.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::TARGET;
use crate::encode::{EncodeError, encode};
use crate::metadata::{Metadata, cargo};
use crate::run::{self, RunError, Stream};
use crate::toolchain::Toolchain;

/// Bytes of compiler errors kept for [`BuildError::Cargo`]: what a person reads of it and more.
const DIAGNOSTICS_BYTES_MAX: usize = 64 << 10;

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Cargo profile. `release` for a plugin crate of its own, `guest` in a workspace that
    /// defines one.
    pub profile: String,
    /// Target folder; `guests` inside the workspace's own if absent.
    pub target_dir: Option<PathBuf>,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            profile: String::from("release"),
            target_dir: None,
        }
    }
}

/// A package to build and where its component goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Package name in the workspace.
    pub package: String,
    /// The component's file; its folder is made if need be.
    pub output: PathBuf,
}

/// A component that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// Package name.
    pub package: String,
    /// The component's file.
    pub path: PathBuf,
    /// The component.
    pub bytes: Vec<u8>,
    /// Bytes in the component.
    pub size: usize,
    /// Was the file written, or did it hold these bytes already?
    pub changed: bool,
}

/// Why a build came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo couldn't be run, or refused the workspace.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The code doesn't compile.
    #[error("the plugin does not compile:\n{diagnostics}")]
    Cargo {
        /// The compiler's errors as it wrote them.
        diagnostics: String,
    },
    /// Cargo's answer couldn't be read.
    #[error("the output of `{what}` could not be read: {source}")]
    Output {
        /// The command.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// No package there.
    #[error("{} holds no package: there is no Cargo.toml, or it has no [package]", .0.display())]
    NoPackage(PathBuf),
    /// A package that builds no core module.
    #[error(
        "package `{0}` builds no WebAssembly module: it needs `crate-type = [\"cdylib\", \"rlib\"]` \
         under [lib] in its Cargo.toml"
    )]
    NotCdylib(String),
    /// The module is no plugin.
    #[error("package `{package}`: {source}")]
    Encode {
        /// The package.
        package: String,
        /// Why.
        source: EncodeError,
    },
    /// A file couldn't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Build the plugin crate in a folder; its component goes to
/// `plugins/<package>.wasm` in its workspace's target folder. Cargo's progress goes to `progress`
/// line by line.
///
/// # Errors
///
/// See [`BuildError`].
pub fn build_component(
    toolchain: &Toolchain,
    manifest_dir: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    if !manifest_dir.join("Cargo.toml").is_file() {
        return Err(BuildError::NoPackage(manifest_dir.to_owned()));
    }
    let workspace = Metadata::read(manifest_dir)?;
    let package = workspace
        .package_in(manifest_dir)
        .ok_or_else(|| BuildError::NoPackage(manifest_dir.to_owned()))?;
    let guest = Guest {
        package: package.name.clone(),
        output: workspace
            .target_directory
            .join("plugins")
            .join(format!("{}.wasm", package.name)),
    };
    let mut built = build_packages(toolchain, &workspace, &[guest], options, progress)?;
    built
        .pop()
        .ok_or_else(|| BuildError::NotCdylib(package.name.clone()))
}

/// Build several packages of one workspace with one run of cargo, so what they share is built once
/// and both cores are busy. The answers come in the order of `guests`.
///
/// # Errors
///
/// See [`BuildError`]. Nothing is written unless every package compiles and encodes.
pub fn build_packages(
    toolchain: &Toolchain,
    workspace: &Metadata,
    guests: &[Guest],
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Built>, BuildError> {
    if guests.is_empty() {
        return Ok(Vec::new());
    }
    for guest in guests {
        let package = workspace.packages.iter().find(|p| p.name == guest.package);
        if !package.is_some_and(|package| package.is_cdylib()) {
            return Err(BuildError::NotCdylib(guest.package.clone()));
        }
    }
    let modules = compile(toolchain, workspace, guests, options, progress)?;

    let mut components = Vec::with_capacity(guests.len());
    for guest in guests {
        let path = modules
            .get(&guest.package)
            .ok_or_else(|| BuildError::NotCdylib(guest.package.clone()))?;
        let module = fs::read(path).map_err(at(path))?;
        let bytes = encode(&module).map_err(|source| BuildError::Encode {
            package: guest.package.clone(),
            source,
        })?;
        components.push(bytes);
    }
    guests
        .iter()
        .zip(components)
        .map(|(guest, bytes)| {
            Ok(Built {
                package: guest.package.clone(),
                path: guest.output.clone(),
                size: bytes.len(),
                changed: write_if_changed(&guest.output, &bytes).map_err(at(&guest.output))?,
                bytes,
            })
        })
        .collect()
}

fn target_dir(workspace: &Metadata, options: &BuildOptions) -> PathBuf {
    options
        .target_dir
        .clone()
        .unwrap_or_else(|| workspace.target_directory.join("guests"))
}

/// A line of cargo's `--message-format=json`; the kinds not listed here don't matter.
#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact {
        manifest_path: PathBuf,
        filenames: Vec<PathBuf>,
    },
    #[serde(rename = "compiler-message")]
    Diagnostic { message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

/// Run cargo; returns each package's core module.
fn compile(
    toolchain: &Toolchain,
    workspace: &Metadata,
    guests: &[Guest],
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<HashMap<String, PathBuf>, BuildError> {
    let mut command = Command::new(cargo());
    command
        .current_dir(&workspace.workspace_root)
        .args(["build", "--lib", "--message-format=json", "--target", TARGET])
        .args(["--profile", &options.profile])
        .arg("--target-dir")
        .arg(target_dir(workspace, options));
    for guest in guests {
        command.args(["--package", &guest.package]);
    }
    isolate(&mut command, toolchain);
    toolchain.apply(&mut command);

    let names: HashMap<&Path, &str> = workspace
        .packages
        .iter()
        .map(|package| (package.manifest_path.as_path(), package.name.as_str()))
        .collect();
    let mut modules = HashMap::new();
    let mut errors = String::new();
    let result = run::run(&mut command, None, &mut |stream, line| {
        if stream == Stream::Err {
            progress(line);
            return;
        }
        match serde_json::from_str(line) {
            Ok(Message::Artifact {
                manifest_path,
                filenames,
            }) => {
                let module = filenames
                    .into_iter()
                    .find(|file| file.extension().is_some_and(|ext| ext == "wasm"));
                if let (Some(name), Some(module)) = (names.get(manifest_path.as_path()), module) {
                    modules.insert((*name).to_owned(), module);
                }
            }
            Ok(Message::Diagnostic { message }) => {
                let text = message.rendered.unwrap_or_default();
                if message.level.starts_with("error") {
                    if errors.len() + text.len() <= DIAGNOSTICS_BYTES_MAX {
                        errors.push_str(&text);
                    }
                } else {
                    text.lines().for_each(&mut *progress);
                }
            }
            // What a build script or a macro prints may share the stream: it is no message.
            Ok(Message::Other) | Err(_) => {}
        }
    });
    match result {
        Ok(()) => Ok(modules),
        Err(RunError::Failed { .. }) if !errors.is_empty() => Err(BuildError::Cargo { diagnostics: errors }),
        Err(error) => Err(error.into()),
    }
}

/// Keep what was meant for host builds out, and the flags that every guest needs in.
fn isolate(command: &mut Command, toolchain: &Toolchain) {
    // RUSTFLAGS for the host (`-C target-cpu=native`, a sanitizer) don't suit WebAssembly, and
    // clippy's wrapper would lint instead of build.
    for name in [
        "RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    ] {
        command.env_remove(name);
    }
    // The second: the host checks time in every loop turn, and the check spills both vector
    // registers there. Four vectors a turn make that cost a quarter (measured on 65,536 floats).
    let mut flags: Vec<OsString> = vec![
        "-Ctarget-feature=+simd128".into(),
        "-Cllvm-args=-force-vector-interleave=4".into(),
    ];
    // Panic messages hold the source paths of dependencies. Without the machine's own folders in
    // them a component's digest doesn't depend on who built it, and an upload doesn't tell the
    // name of a home folder. (Paths in the plugin's own workspace are relative as it is.)
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    if let Some(home) = cargo_home() {
        remap(&home, "/cargo");
    }
    if let Some(source) = toolchain.std_source() {
        remap(source, "/rust");
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(&OsString::from("\u{1f}")));
}

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// Write to a temporary name and rename, so that no reader ever sees half a file; leave a file
/// that holds these bytes alone, so that its time of change means something. Returns whether it
/// wrote.
fn write_if_changed(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)?;
    Ok(true)
}

fn at(path: &Path) -> impl Fn(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Io {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_only_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.wasm");
        assert!(write_if_changed(&path, b"one").unwrap());
        assert!(!write_if_changed(&path, b"one").unwrap());
        assert!(write_if_changed(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let left: Vec<_> = fs::read_dir(dir.path().join("a")).unwrap().collect();
        assert_eq!(left.len(), 1, "a temporary file was left: {left:?}");
    }

    #[test]
    fn a_folder_without_a_package_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let toolchain = Toolchain::for_tests();
        let error =
            build_component(&toolchain, dir.path(), &BuildOptions::default(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, BuildError::NoPackage(_)), "{error}");
    }
}
