//! Puts a toolchain in place: rustup's target, else Debian's packages.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use super::{Route, Search, Toolchain, ToolchainError, ask, lld_package};
use crate::TARGET;
use crate::run::{self, RunError};

/// The compiler and the standard library's source.
const PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];
/// The pair and what it needs of its own version come to 140 MB.
const APT_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Looking something up in the package lists.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn install(search: &Search, progress: &mut dyn FnMut(&str)) -> Result<Toolchain, ToolchainError> {
    let mut failures = Vec::new();
    if search.route != Route::Debian {
        match by_rustup(search, progress) {
            Ok(toolchain) => return Ok(toolchain),
            Err(why) => {
                if search.route == Route::Auto {
                    progress(&format!("{why}\ngoing on with Debian's packages"));
                }
                failures.push(why);
            }
        }
    }
    if search.route != Route::Rustup {
        match by_debian(search, progress) {
            Ok(toolchain) => return Ok(toolchain),
            Err(why) => failures.push(why),
        }
    }
    Err(ToolchainError::Install(failures))
}

fn by_rustup(search: &Search, progress: &mut dyn FnMut(&str)) -> Result<Toolchain, String> {
    let mut command = Command::new(&search.programs.rustup);
    command.args(["target", "add", TARGET]);
    progress(&format!("rustup target add {TARGET}"));
    run::run(&mut command, Some(search.rustup_limit), &mut |_, line| {
        progress(line)
    })
    .map_err(|e| e.to_string())?;
    Toolchain::find_active(search)
}

fn by_debian(search: &Search, progress: &mut dyn FnMut(&str)) -> Result<Toolchain, String> {
    let root = run::output(Command::new(&search.programs.id).arg("-u"), Some(LOOK_UP_LIMIT))
        .is_ok_and(|uid| uid.trim() == "0");
    let put = |packages: &[&str], progress: &mut dyn FnMut(&str)| {
        if root {
            apt_install(search, packages, progress).map_err(|e| e.to_string())
        } else {
            unpack(search, packages, progress)
        }
    };
    put(&PACKAGES, progress)?;
    let first = match Toolchain::find_debian(search) {
        Ok(toolchain) => return Ok(toolchain),
        Err(why) => why,
    };
    // The one part that the pair may lack: rustup's rust-lld serves where there is a rustup.
    let rustc = if root {
        search.programs.debian_rustc.clone()
    } else {
        search.dir.join("usr/bin/rustc")
    };
    let libraries = super::shared_libraries(&search.dir).filter(|_| !root);
    let about = ask(&rustc, libraries.as_deref(), &["-vV"]).map_err(|_| first.join("; "))?;
    let lld = lld_package(&about);
    put(&[PACKAGES[0], PACKAGES[1], &lld], progress)?;
    Toolchain::find_debian(search).map_err(|why| why.join("; "))
}

/// As root. On a fresh machine the package lists may be empty: then fetch them and try again.
fn apt_install(search: &Search, packages: &[&str], progress: &mut dyn FnMut(&str)) -> Result<(), RunError> {
    progress(&format!("apt-get install {}", packages.join(" ")));
    if apt(
        search,
        &[&["install", "-y", "--no-install-recommends"], packages].concat(),
        progress,
    )
    .is_ok()
    {
        return Ok(());
    }
    apt(search, &["update"], progress)?;
    apt(
        search,
        &[&["install", "-y", "--no-install-recommends"], packages].concat(),
        progress,
    )
}

fn apt(search: &Search, args: &[&str], progress: &mut dyn FnMut(&str)) -> Result<(), RunError> {
    let mut command = Command::new(&search.programs.apt_get);
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    run::run(&mut command, Some(APT_LIMIT), &mut |_, line| progress(line))
}

/// As any user: fetch the packages and unpack them in a folder of ours. The folder appears whole
/// or not at all.
fn unpack(search: &Search, packages: &[&str], progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let packages = with_dependencies(search, packages).map_err(|e| e.to_string())?;
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    progress(&format!("apt-get download {}", names.join(" ")));
    let partial = search.dir.with_extension("partial");
    let described = |e: io::Error| format!("{}: {e}", partial.display());
    remove(&partial).map_err(described)?;
    let (debs, root) = (partial.join("debs"), partial.join("root"));
    fs::create_dir_all(&debs).map_err(described)?;
    fs::create_dir_all(&root).map_err(described)?;

    let mut download = Command::new(&search.programs.apt_get);
    download.arg("download").args(&names).current_dir(&debs);
    run::run(&mut download, Some(APT_LIMIT), &mut |_, line| progress(line)).map_err(|e| e.to_string())?;
    for deb in fs::read_dir(&debs).map_err(described)?.filter_map(Result::ok) {
        progress(&format!("unpacking {}", deb.file_name().to_string_lossy()));
        let mut command = Command::new(&search.programs.dpkg);
        command.arg("-x").arg(deb.path()).arg(&root);
        run::run(&mut command, Some(APT_LIMIT), &mut |_, _| {}).map_err(|e| e.to_string())?;
    }
    remove(&search.dir).map_err(described)?;
    fs::rename(&root, &search.dir).map_err(described)?;
    remove(&partial).map_err(described)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The packages, what belongs to the compiler by version, and every other library that they need
/// and the system lacks. What else they name (gcc, binutils, libc) building Rust needs anyway.
fn with_dependencies(search: &Search, packages: &[&str]) -> Result<BTreeSet<String>, RunError> {
    let mut command = Command::new(&search.programs.apt_cache);
    command.args([
        "depends",
        "--recurse",
        "--no-recommends",
        "--no-suggests",
        "--no-conflicts",
    ]);
    command
        .args(["--no-breaks", "--no-replaces", "--no-enhances"])
        .args(packages);
    let listed = run::output(&mut command, Some(LOOK_UP_LIMIT))?;
    let mut command = Command::new(&search.programs.dpkg_query);
    command.args(["-W", "-f", "${Package} ${db:Status-Status}\n"]);
    let installed = run::output(&mut command, Some(LOOK_UP_LIMIT))?;
    let installed: BTreeSet<&str> = installed
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .collect();
    Ok(listed
        .lines()
        // Dependencies are indented, virtual packages in angle brackets.
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()))
        .map(str::trim)
        .filter(|name| {
            packages.contains(name)
                || name.starts_with("libstd-rust-web")
                || name.starts_with("libllvm")
                || (name.starts_with("lib") && !installed.contains(name))
        })
        .map(str::to_owned)
        .collect())
}
