//! `cargo xtask guests`: plugins and test guests, from source to components.
//!
//! A guest is a package with a `cdylib` in `plugins/*`, `examples/*/plugin` or `tests/guests/*`.
//! Those of this workspace are built by one run of cargo; a plugin with a workspace of its own, like
//! a tenant's, is built by itself with its own release profile.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use caisson_plugin_build::{BuildOptions, Built, Guest, Metadata, Route, Toolchain, build_packages};

use crate::{root, say, setup};

/// A folder of guests: `parent/*/inner`, and where their components go.
struct Place {
    parent: &'static str,
    inner: &'static str,
    output: &'static str,
}

const PLACES: [Place; 3] = [
    Place {
        parent: "plugins",
        inner: "",
        output: "target/plugins",
    },
    Place {
        parent: "examples",
        inner: "plugin",
        output: "target/plugins",
    },
    Place {
        parent: "tests/guests",
        inner: "",
        output: "target/test-guests",
    },
];

pub(crate) fn run(wasm: Option<Route>) -> Result<()> {
    build(&setup::toolchain(wasm)?)
}

/// Build every guest.
pub(crate) fn build(toolchain: &Toolchain) -> Result<()> {
    say::step("plugins", |progress| {
        let root = root();
        let workspace = Metadata::read(&root)?;
        let target_dir = Some(workspace.target_directory.join("guests"));
        let found = find(&root, &workspace)?;
        let options = BuildOptions {
            profile: String::from("guest"),
            target_dir: target_dir.clone(),
        };
        let mut built = build_packages(toolchain, &workspace, &found.members, &options, progress)?;
        for (workspace, guest) in found.others {
            let options = BuildOptions {
                target_dir: target_dir.clone(),
                ..BuildOptions::default()
            };
            built.extend(build_packages(
                toolchain,
                &workspace,
                &[guest],
                &options,
                progress,
            )?);
        }
        Ok(report(&root, &built, progress))
    })
}

/// Every guest there is.
#[derive(Default)]
struct Found {
    /// Packages of this workspace.
    members: Vec<Guest>,
    /// Packages with a workspace of their own.
    others: Vec<(Metadata, Guest)>,
}

fn find(root: &Path, workspace: &Metadata) -> Result<Found> {
    let mut found = Found::default();
    for place in &PLACES {
        for folder in folders(root, place) {
            let member = workspace
                .packages
                .iter()
                .find(|package| package.folder() == folder);
            if let Some(package) = member {
                if package.is_cdylib() {
                    found.members.push(guest(root, place, &package.name));
                }
                continue;
            }
            let own = Metadata::read(&folder).with_context(|| folder.display().to_string())?;
            let package = own.packages.iter().find(|package| package.folder() == folder);
            if let Some(package) = package.filter(|package| package.is_cdylib()) {
                let guest = guest(root, place, &package.name);
                found.others.push((own, guest));
            }
        }
    }
    Ok(found)
}

fn folders(root: &Path, place: &Place) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root.join(place.parent)) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| {
            if place.inner.is_empty() {
                entry.path()
            } else {
                entry.path().join(place.inner)
            }
        })
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .collect();
    folders.sort();
    folders
}

/// `plugin-impute` becomes `target/plugins/impute.wasm`.
fn guest(root: &Path, place: &Place, package: &str) -> Guest {
    let name = package
        .strip_prefix("plugin-")
        .or_else(|| package.strip_prefix("guest-"))
        .unwrap_or(package);
    Guest {
        package: package.to_owned(),
        output: root.join(place.output).join(format!("{name}.wasm")),
    }
}

fn report(root: &Path, built: &[Built], progress: &mut dyn FnMut(&str)) -> String {
    let changed: Vec<&Built> = built.iter().filter(|built| built.changed).collect();
    for built in &changed {
        let path = built.path.strip_prefix(root).unwrap_or(&built.path);
        progress(&format!("{} ({})", path.display(), say::bytes(built.size as u64)));
    }
    format!("{} components, {} of them new", built.len(), changed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_named_for_their_packages() {
        let root = Path::new("/r");
        let [plugins, examples, guests] = &PLACES;
        for (place, package, path) in [
            (plugins, "plugin-one-hot", "/r/target/plugins/one-hot.wasm"),
            (
                examples,
                "customer-value",
                "/r/target/plugins/customer-value.wasm",
            ),
            (guests, "guest-loops", "/r/target/test-guests/loops.wasm"),
        ] {
            assert_eq!(guest(root, place, package).output, Path::new(path));
        }
    }

    #[test]
    fn this_repository_has_plugins() {
        let root = root();
        let workspace = Metadata::read(&root).unwrap();
        let members = find(&root, &workspace).unwrap().members;
        assert!(
            members
                .iter()
                .all(|guest| guest.output.starts_with(root.join("target")))
        );
        assert!(
            !members.iter().any(|guest| guest.package == "drift-kit"),
            "a plain library is no guest"
        );
    }
}
