//! What cargo says of a workspace: its packages and where its builds go.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::build::BuildError;
use crate::run;

/// A workspace as `cargo metadata` tells it, dependencies left out.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// The members.
    pub packages: Vec<Package>,
    /// Folder of the workspace's root manifest.
    pub workspace_root: PathBuf,
    /// Where the host's builds go; guests use the folder `guests` inside it.
    pub target_directory: PathBuf,
}

/// A package of a workspace.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

impl Metadata {
    /// Ask cargo about the workspace that a folder belongs to.
    ///
    /// # Errors
    ///
    /// [`BuildError::Run`] where cargo is missing or refuses the manifest, with its reason.
    pub fn read(dir: &Path) -> Result<Self, BuildError> {
        let mut command = Command::new(cargo());
        command
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(dir);
        let text = run::output(&mut command, None)?;
        serde_json::from_str(&text).map_err(|source| BuildError::Output {
            what: "cargo metadata",
            source,
        })
    }

    /// The package whose manifest lies in a folder.
    pub(crate) fn package_in(&self, dir: &Path) -> Option<&Package> {
        let dir = dir.canonicalize().ok()?;
        self.packages
            .iter()
            .find(|package| package.folder().canonicalize().is_ok_and(|folder| folder == dir))
    }
}

impl Package {
    /// The folder of its manifest.
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }

    /// Does it build a `cdylib`, as a plugin must?
    pub fn is_cdylib(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
    }
}

/// The cargo that runs us, else the one on the path.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
