//! A compiler for `wasm32-unknown-unknown`, wherever this machine has one.
//!
//! [`Toolchain::find`] looks in this order and changes nothing:
//!
//! 1. the compiler that `CAISSON_WASM_RUSTC` names; it or nothing,
//! 2. the active `rustc`, where the target's standard library is installed beside it,
//! 3. Debian's `rustc-web` with its library source (`rust-web-src`), unpacked in [`Search::dir`] or
//!    installed on the system; the standard library is then built with the guest.
//!
//! [`Toolchain::install`] puts one in place, by the same order: rustup, then Debian's packages.
//! `CAISSON_WASM_TOOLCHAIN` = `auto` (default), `rustup` or `debian` narrows both.

mod install;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use crate::TARGET;
use crate::run::{self, RunError};

/// For questions that a compiler answers at once. A rustup proxy may first have to find its
/// toolchain on a cold disk.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// Which compilers to consider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Route {
    /// Rustup's target, else Debian's packages.
    #[default]
    Auto,
    /// The active `rustc` and `rustup target add` alone.
    Rustup,
    /// Debian's `rustc-web` alone.
    Debian,
}

impl FromStr for Route {
    type Err = ToolchainError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" | "" => Ok(Self::Auto),
            "rustup" => Ok(Self::Rustup),
            "debian" => Ok(Self::Debian),
            other => Err(ToolchainError::UnknownRoute(other.to_owned())),
        }
    }
}

/// The programs that finding and installing runs, by name on the path or by full path.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is named as the program that it stands for"
)]
pub struct Programs {
    pub rustc: PathBuf,
    pub rustup: PathBuf,
    /// Debian's compiler, which a rustup before it on the path hides.
    pub debian_rustc: PathBuf,
    pub apt_get: PathBuf,
    pub apt_cache: PathBuf,
    pub dpkg: PathBuf,
    pub dpkg_query: PathBuf,
    pub id: PathBuf,
}

impl Default for Programs {
    fn default() -> Self {
        Self {
            rustc: std::env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from),
            rustup: "rustup".into(),
            debian_rustc: "/usr/bin/rustc".into(),
            apt_get: "apt-get".into(),
            apt_cache: "apt-cache".into(),
            dpkg: "dpkg".into(),
            dpkg_query: "dpkg-query".into(),
            id: "id".into(),
        }
    }
}

/// Where to look for a toolchain and how to get one.
#[derive(Debug, Clone)]
pub struct Search {
    /// Which compilers to consider.
    pub route: Route,
    /// The compiler to use and no other.
    pub explicit: Option<PathBuf>,
    /// Where Debian's packages are unpacked for a user who isn't root.
    pub dir: PathBuf,
    /// What to run.
    pub programs: Programs,
    /// How long `rustup target add` may take. Its download is 20 MB; a machine that can't reach
    /// rustup's server may make it wait for ever.
    pub rustup_limit: Duration,
}

impl Search {
    /// As the environment says: `CAISSON_WASM_TOOLCHAIN` and `CAISSON_WASM_RUSTC`. Packages are
    /// unpacked in the nearest `.caisson` folder at or above the working folder, else in the home
    /// folder's.
    ///
    /// # Errors
    ///
    /// [`ToolchainError::UnknownRoute`].
    pub fn from_env() -> Result<Self, ToolchainError> {
        let route = std::env::var("CAISSON_WASM_TOOLCHAIN").unwrap_or_default();
        Ok(Self {
            route: route.parse()?,
            explicit: std::env::var_os("CAISSON_WASM_RUSTC").map(PathBuf::from),
            dir: caisson_folder().join("wasm-toolchain"),
            programs: Programs::default(),
            rustup_limit: Duration::from_secs(120),
        })
    }
}

fn caisson_folder() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors()
        .map(|folder| folder.join(".caisson"))
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| std::env::home_dir().unwrap_or(here.clone()).join(".caisson"))
}

/// A compiler that can build guests.
#[derive(Debug, Clone)]
pub struct Toolchain {
    rustc: PathBuf,
    release: String,
    /// The standard library's source, built with each guest's first build; absent where the
    /// library is installed, compiled.
    std_source: Option<PathBuf>,
    /// Set where the compiler can't find `rust-lld` by itself.
    linker: Option<PathBuf>,
    /// Folder of shared libraries of an unpacked compiler.
    libraries: Option<PathBuf>,
}

/// Why there is no toolchain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// Nowhere that was looked at.
    #[error(
        "no Rust compiler for WebAssembly guests was found:\n{}\n`rustup target add {TARGET}` gives one; \
         so do Debian's packages rustc-web and rust-web-src",
        bullets(.0)
    )]
    NotFound(Vec<String>),
    /// The compiler that `CAISSON_WASM_RUSTC` names is of no use.
    #[error("CAISSON_WASM_RUSTC: {0}")]
    Explicit(String),
    /// No way to install one worked.
    #[error("no Rust compiler for WebAssembly guests could be installed:\n{}", bullets(.0))]
    Install(Vec<String>),
    /// Not a name of a [`Route`].
    #[error("`{0}` is no way to get a WebAssembly toolchain: choose auto, rustup or debian")]
    UnknownRoute(String),
}

fn bullets(items: &[String]) -> String {
    let lines: Vec<String> = items.iter().map(|item| format!("  - {item}")).collect();
    lines.join("\n")
}

impl Toolchain {
    /// Look for a toolchain that is there already.
    ///
    /// # Errors
    ///
    /// [`ToolchainError::NotFound`] with a line for each place, and why it won't do.
    pub fn find(search: &Search) -> Result<Self, ToolchainError> {
        if let Some(rustc) = &search.explicit {
            return Self::probe(rustc, None, search).map_err(ToolchainError::Explicit);
        }
        let mut tried = Vec::new();
        if search.route != Route::Debian {
            match Self::find_active(search) {
                Ok(found) => return Ok(found),
                Err(why) => tried.push(why),
            }
        }
        if search.route != Route::Rustup {
            match Self::find_debian(search) {
                Ok(found) => return Ok(found),
                Err(why) => tried.extend(why),
            }
        }
        Err(ToolchainError::NotFound(tried))
    }

    /// Install a toolchain: `rustup target add` under [`Search::rustup_limit`], else Debian's
    /// packages, by `apt-get install` for root and unpacked into [`Search::dir`] for others. Says
    /// what it does to `progress`, and says so when one way fails and it goes on to the next.
    ///
    /// # Errors
    ///
    /// [`ToolchainError::Install`] with a line for each way and why it failed.
    pub fn install(search: &Search, progress: &mut dyn FnMut(&str)) -> Result<Self, ToolchainError> {
        if search.explicit.is_some() {
            return Self::find(search);
        }
        install::install(search, progress)
    }

    /// One line for a person: which compiler, which version, where its standard library is from.
    pub fn describe(&self) -> String {
        let std = if self.std_source.is_some() {
            "from source"
        } else {
            "installed"
        };
        format!(
            "rustc {} ({}, standard library {std})",
            self.release,
            self.rustc.display()
        )
    }

    /// Make a cargo command build with this toolchain.
    pub(crate) fn apply(&self, cargo: &mut Command) {
        cargo.env("RUSTC", &self.rustc);
        add_libraries(cargo, self.libraries.as_deref());
        if let Some(linker) = &self.linker {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        if self.std_source.is_some() {
            // Building std is an unstable feature; Debian's stable compiler needs telling that
            // this is meant.
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort");
        }
    }

    /// The folder of the standard library's source, where that is what gets built.
    pub(crate) fn std_source(&self) -> Option<&Path> {
        self.std_source.as_deref()
    }

    /// The active compiler, with the target installed.
    fn find_active(search: &Search) -> Result<Self, String> {
        let rustc = &search.programs.rustc;
        let found = Self::probe(rustc, None, search)?;
        if found.std_source.is_some() {
            return Err(format!(
                "{}: the target {TARGET} is not installed",
                rustc.display()
            ));
        }
        Ok(found)
    }

    /// Debian's compiler, unpacked or on the system.
    fn find_debian(search: &Search) -> Result<Self, Vec<String>> {
        let unpacked = search.dir.join("usr/bin/rustc");
        let libraries = shared_libraries(&search.dir);
        let system = &search.programs.debian_rustc;
        Self::probe(&unpacked, libraries.as_deref(), search)
            .or_else(|first| Self::probe(system, None, search).map_err(|second| vec![first, second]))
    }

    /// What a compiler can do; else a line that says why it won't do.
    fn probe(rustc: &Path, libraries: Option<&Path>, search: &Search) -> Result<Self, String> {
        let name = rustc.display();
        if rustc.components().count() > 1 && !rustc.is_file() {
            return Err(format!("{name}: no such file"));
        }
        let about = ask(rustc, libraries, &["-vV"]).map_err(|e| format!("{name}: {e}"))?;
        let folders = ask(
            rustc,
            libraries,
            &[
                "--print",
                "sysroot",
                "--print",
                "target-libdir",
                "--target",
                TARGET,
            ],
        )
        .map_err(|e| format!("{name}: {e}"))?;
        let mut folders = folders.lines().map(PathBuf::from);
        let (Some(sysroot), Some(libdir)) = (folders.next(), folders.next()) else {
            return Err(format!("{name}: says nothing of its folders"));
        };
        let release = value(&about, "release").to_owned();
        let mut toolchain = Self {
            rustc: rustc.to_owned(),
            release,
            std_source: None,
            linker: None,
            libraries: libraries.map(Path::to_owned),
        };
        if has_std(&libdir) {
            return Ok(toolchain);
        }
        let source = std_source(&sysroot, &toolchain.release).map_err(|why| format!("{name}: {why}"))?;
        toolchain.std_source = Some(source);
        toolchain.linker =
            Some(find_linker(&sysroot, &about, search).map_err(|why| format!("{name}: {why}"))?);
        Ok(toolchain)
    }
}

fn ask(rustc: &Path, libraries: Option<&Path>, args: &[&str]) -> Result<String, RunError> {
    let mut command = Command::new(rustc);
    command.args(args);
    add_libraries(&mut command, libraries);
    run::output(&mut command, Some(PROBE_LIMIT))
}

fn add_libraries(command: &mut Command, libraries: Option<&Path>) {
    let Some(libraries) = libraries else { return };
    let mut path = OsString::from(libraries);
    if let Some(rest) = std::env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    command.env("LD_LIBRARY_PATH", path);
}

/// The value of a line `key: value` of `rustc -vV`.
fn value<'a>(about: &'a str, key: &str) -> &'a str {
    about
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .unwrap_or_default()
}

fn has_std(libdir: &Path) -> bool {
    file_in(libdir, |name| {
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
    .is_some()
}

fn file_in(folder: &Path, accept: impl Fn(&str) -> bool) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| accept(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
}

/// The folder under an unpacked root that holds the compiler's own shared library:
/// `usr/lib/<multiarch triplet>`.
fn shared_libraries(root: &Path) -> Option<PathBuf> {
    std::fs::read_dir(root.join("usr/lib"))
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|folder| file_in(folder, |name| name.starts_with("librustc_driver-")).is_some())
}

/// The folder of the library's source, if it is there and of the compiler's own version: Debian can
/// upgrade one package of the pair without the other.
fn std_source(sysroot: &Path, release: &str) -> Result<PathBuf, String> {
    let source = sysroot.join("lib/rustlib/src/rust");
    if !source.join("library/std/Cargo.toml").is_file() {
        return Err(format!(
            "neither the target {TARGET} nor the standard library's source (Debian's rust-web-src) is installed"
        ));
    }
    match std::fs::read_to_string(source.join("src/version")) {
        Ok(version) if version.trim() != release => Err(format!(
            "its standard library's source is of version {}, the compiler of {release}",
            version.trim()
        )),
        _ => Ok(source),
    }
}

/// A linker for WebAssembly that understands what this compiler writes: `rust-lld` beside it or
/// beside the active compiler, else the system's `wasm-ld` of the compiler's own LLVM version.
fn find_linker(sysroot: &Path, about: &str, search: &Search) -> Result<PathBuf, String> {
    let host = value(about, "host");
    let in_sysroot = |sysroot: &Path| sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    let active = ask(&search.programs.rustc, None, &["--print", "sysroot"])
        .map(|sysroot| in_sysroot(Path::new(sysroot.trim())));
    let package = lld_package(about);
    let bin = |name: &str| sysroot.join("bin").join(name);
    let candidates = [
        in_sysroot(sysroot),
        active.unwrap_or_default(),
        bin("rust-lld"),
        bin(&package.replacen("lld", "wasm-ld", 1)),
        // An unpacked compiler can use the system's.
        PathBuf::from("/usr/bin").join(package.replacen("lld", "wasm-ld", 1)),
    ];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        format!(
            "no linker for WebAssembly: install Debian's package {package}, or rustup, which brings rust-lld"
        )
    })
}

/// Debian's package with the linker of a compiler's LLVM version, such as `lld-22`.
fn lld_package(about: &str) -> String {
    let llvm = value(about, "LLVM version");
    format!("lld-{}", llvm.split('.').next().unwrap_or(llvm))
}

#[cfg(test)]
mod tests;
