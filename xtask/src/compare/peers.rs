//! The servers that Caisson is measured beside: how each is installed and started.
//!
//! Their files are in `benches/compare/peers`; what is installed goes to `target/compare`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::contender::{Contender, Process, Running, free_ports};
use super::fixture::{Fixture, Form, file};
use crate::http::Api;
use crate::{onnxruntime, root, say};

/// How a peer is started.
enum Kind {
    /// `binary LIBRARY FOLDER PORT …args`, of a crate in `benches/`.
    Rust {
        krate: &'static str,
        binary: &'static str,
    },
    /// A Python server: the folder in `peers/` has a `requirements.txt`, and `start` is what the environment's
    /// `bin` is to run, with `PORT` where the port goes.
    Python {
        folder: &'static str,
        start: &'static [&'static str],
    },
}

/// One of them.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    form: Form,
    kind: Kind,
    /// Its variant.
    settings: &'static [(&'static str, &'static str)],
    /// Measured unless others are chosen.
    usual: bool,
}

/// Ports that each peer gets in a row: MLServer listens for gRPC and metrics too.
const PORTS: u16 = 3;

const PEERS: [Peer; 1] = [Peer {
    name: "limit",
    form: Form::Oip,
    kind: Kind::Rust {
        krate: "benches/limit",
        binary: "caisson-limit",
    },
    settings: &[],
    usual: true,
}];

/// The peers of a list, or the usual ones.
pub(crate) fn choose(list: Option<&str>) -> Result<Vec<&'static Peer>> {
    let Some(list) = list else {
        return Ok(PEERS.iter().filter(|peer| peer.usual).collect());
    };
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let found = PEERS.iter().find(|peer| peer.name == name);
            found.with_context(|| {
                let names: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
                format!("there is no peer `{name}`; there are {}", names.join(", "))
            })
        })
        .collect()
}

impl Peer {
    /// Install what is missing, start it, and wait for its first right answer.
    pub(crate) fn start(&self, target: &Path, fixture: &Fixture) -> Result<Contender> {
        let library = onnxruntime::path(&root());
        let port = free_ports(PORTS)?;
        let (mut command, version) = match &self.kind {
            Kind::Rust { krate, binary } => {
                let program = build(target, krate, binary)?;
                let mut command = clean(Command::new(program));
                command.arg(&library).arg(&fixture.folder).arg(port.to_string());
                (command, locked_version(krate, binary)?)
            }
            Kind::Python { folder, start } => {
                let environment = environment(target, folder)?;
                let [program, args @ ..] = start else {
                    bail!("{} has no command", self.name);
                };
                let mut command = clean(Command::new(environment.join("bin").join(program)));
                command
                    .args(args.iter().map(|arg| arg.replace("PORT", &port.to_string())))
                    .current_dir(file("peers").join(folder))
                    .env("PYTHONPATH", file("peers/common"))
                    .env("PYTHONDONTWRITEBYTECODE", "1")
                    .env("COMPARE_PORT", port.to_string())
                    .env("COMPARE_BOOSTER", &fixture.folder);
                (command, installed_version(folder)?)
            }
        };
        command.envs(self.settings.iter().copied());
        let logs = target.join("logs");
        fs::create_dir_all(&logs)?;
        let log = logs.join(format!("{}.log", self.name));
        let api = Api::new(format!("http://127.0.0.1:{port}"));
        let started = Instant::now();
        let mut process = Process::start(command, &log)?;
        let start = process
            .wait_until_it_answers(started, fixture, self.form, &api)
            .with_context(|| format!("{}; its log is {}", self.name, log.display()))?;
        Ok(Contender {
            name: self.name,
            version,
            form: self.form,
            api,
            pid: process.pid(),
            start,
            running: Running::Peer(process),
        })
    }
}

/// Without this program's environment, so that no stray setting of a proxy or of threads is measured.
fn clean(mut command: Command) -> Command {
    command.env_clear();
    for name in ["HOME", "PATH", "LANG", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Build a crate that is a workspace of its own, as `caisson` is built.
fn build(target: &Path, krate: &str, binary: &str) -> Result<PathBuf> {
    let folder = target.join(binary);
    say::step(&format!("{binary}, release build"), |_| {
        let status = crate::cargo()
            .current_dir(root().join(krate))
            .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
            .arg(&folder)
            .status()?;
        ensure!(status.success(), "cargo build failed ({status})");
        Ok(krate.to_owned())
    })?;
    Ok(folder.join("release").join(binary))
}

/// What a crate's lock file says of what it is made of.
fn locked_version(krate: &str, binary: &str) -> Result<String> {
    let path = root().join(krate).join("Cargo.lock");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lock: toml::Table = toml::from_str(&text)?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let version = |name: &str| -> Option<String> {
        let mut all = packages?.iter().filter_map(toml::Value::as_table);
        let found = all.find(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))?;
        Some(format!("{name} {}", found.get("version")?.as_str()?))
    };
    let known: Vec<String> = ["furnace-server", "axum", "ort"]
        .into_iter()
        .filter_map(version)
        .collect();
    ensure!(!known.is_empty(), "{} names nothing of {binary}", path.display());
    Ok(known.join(", "))
}

/// A virtual environment with exactly what the requirements say.
fn environment(target: &Path, folder: &str) -> Result<PathBuf> {
    let requirements = file("peers").join(folder).join("requirements.txt");
    let wanted = fs::read_to_string(&requirements).with_context(|| requirements.display().to_string())?;
    let environment = target.join("python").join(folder);
    let installed = environment.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(environment);
    }
    say::step(&format!("Python environment of {folder}"), |_| {
        let run = |command: &mut Command| -> Result<()> {
            let output = command.output().with_context(|| format!("{command:?}"))?;
            ensure!(
                output.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(())
        };
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment))?;
        run(Command::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(&requirements))?;
        // Written last: an installation that was cut short is done again.
        fs::write(&installed, &wanted)?;
        Ok(environment.display().to_string())
    })?;
    Ok(environment)
}

/// The lines of a peer's requirements that say what it is.
fn installed_version(folder: &str) -> Result<String> {
    let requirements = file("peers").join(folder).join("requirements.txt");
    let text = fs::read_to_string(&requirements).with_context(|| requirements.display().to_string())?;
    let telling = ["fastapi", "uvicorn", "mlserver", "mosec", "onnxruntime"];
    let lines = text.lines().filter_map(|line| line.split_once("=="));
    let known = lines.filter(|(name, _)| *name == folder || telling.contains(name));
    let known: Vec<String> = known.map(|(name, version)| format!("{name} {version}")).collect();
    Ok(known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_by_name() {
        let names = |list| -> Vec<&str> { choose(list).unwrap().iter().map(|peer| peer.name).collect() };
        assert!(names(None).contains(&"limit"));
        assert_eq!(names(Some("limit")), ["limit"]);
        assert!(names(Some("")).is_empty(), "Caisson alone");
        let error = choose(Some("limit,nginx")).map(drop).unwrap_err().to_string();
        assert!(error.contains("nginx") && error.contains("limit"), "{error}");
    }

    #[test]
    fn every_peer_says_its_versions() {
        for peer in &PEERS {
            let version = match &peer.kind {
                Kind::Rust { krate, binary } => locked_version(krate, binary),
                Kind::Python { folder, .. } => installed_version(folder),
            };
            assert!(!version.unwrap().is_empty(), "{}", peer.name);
        }
    }
}
