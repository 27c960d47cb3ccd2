//! The servers that Caisson is measured beside: how each is installed and started.
//!
//! Their files are in `benches/compare/peers`; what is installed goes to `target/compare`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use caisson_test_tools::python::environment;

use super::contender::{Contender, Process, Running, free_ports};
use super::fixture::{Fixture, Form, file};
use crate::http::Api;
use crate::{onnxruntime, root, say};

/// How a peer is started; each gets a port as its last argument.
#[derive(Clone, Copy)]
enum Kind {
    /// `BINARY LIBRARY FOLDER PORT`, of a crate that is a workspace of its own.
    Rust {
        folder: &'static str,
        binary: &'static str,
    },
    /// `python serve.py PORT` of a folder in `peers/`, with the environment of its `requirements.txt`.
    Python(&'static str),
}

const LIMIT: Kind = Kind::Rust {
    folder: "benches/limit",
    binary: "caisson-limit",
};
const FURNACE: Kind = Kind::Rust {
    folder: "benches/compare/peers/furnace",
    binary: "compare-furnace",
};

const FASTAPI: Kind = Kind::Python("fastapi");
const MLSERVER: Kind = Kind::Python("mlserver");
const MOSEC: Kind = Kind::Python("mosec");
const KSERVE: Kind = Kind::Python("kserve");
const PYTRITON: Kind = Kind::Python("pytriton");
const BENTOML: Kind = Kind::Python("bentoml");
const LITSERVE: Kind = Kind::Python("litserve");
const RAY: Kind = Kind::Python("ray");

/// A server, in one variant.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    form: Form,
    /// Whether it takes binary tensors.
    binary: bool,
    kind: Kind,
    /// Environment variables that make the variant.
    settings: &'static [(&'static str, &'static str)],
    /// Measured unless others are chosen.
    usual: bool,
}

const fn peer(
    name: &'static str,
    form: Form,
    kind: Kind,
    settings: &'static [(&'static str, &'static str)],
) -> Peer {
    Peer {
        name,
        form,
        binary: false,
        kind,
        settings,
        usual: true,
    }
}

/// The same, and it takes binary tensors.
const fn binary(peer: Peer) -> Peer {
    Peer { binary: true, ..peer }
}

/// The same, measured only where it is named.
const fn on_request(peer: Peer) -> Peer {
    Peer { usual: false, ..peer }
}

const PEERS: [Peer; 13] = [
    peer("limit", Form::Oip, LIMIT, &[]),
    binary(peer("furnace", Form::Oip, FURNACE, &[("COMPARE_BATCH", "1")])),
    binary(peer(
        "furnace-batch32",
        Form::Oip,
        FURNACE,
        &[("COMPARE_BATCH", "32")],
    )),
    peer("fastapi", Form::Instances, FASTAPI, &[("COMPARE_WORKERS", "2")]),
    // MLServer's default: the HTTP server in one process, the model in another. It doesn't know the
    // header of binary tensors.
    peer("mlserver", Form::Oip, MLSERVER, &[("COMPARE_WORKERS", "1")]),
    peer(
        "mlserver-inproc",
        Form::Oip,
        MLSERVER,
        &[("COMPARE_WORKERS", "0")],
    ),
    peer("mosec", Form::Instances, MOSEC, &[("COMPARE_WORKERS", "2")]),
    on_request(peer(
        "mosec-batch32",
        Form::Instances,
        MOSEC,
        &[("COMPARE_WORKERS", "2"), ("COMPARE_BATCH", "32")],
    )),
    on_request(binary(peer("kserve", Form::Oip, KSERVE, &[]))),
    on_request(binary(peer("pytriton", Form::Oip, PYTRITON, &[]))),
    on_request(peer(
        "bentoml",
        Form::Instances,
        BENTOML,
        &[("COMPARE_WORKERS", "2")],
    )),
    on_request(peer(
        "litserve",
        Form::Instances,
        LITSERVE,
        &[("COMPARE_WORKERS", "1")],
    )),
    on_request(peer("ray", Form::Instances, RAY, &[("COMPARE_WORKERS", "2")])),
];

/// Ports that each peer gets in a row: MLServer listens for gRPC and metrics too.
const PORTS: u16 = 3;

/// The packages whose versions say what a peer is.
const TELLING: [&str; 13] = [
    "axum",
    "bentoml",
    "fastapi",
    "furnace-server",
    "kserve",
    "litserve",
    "mlserver",
    "mosec",
    "nvidia-pytriton",
    "onnxruntime",
    "ort",
    "ray",
    "uvicorn",
];

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
        let (mut command, version) = match self.kind {
            Kind::Rust { folder, binary } => {
                let mut command = clean(Command::new(build(target, folder, binary)?));
                command.arg(&library).arg(&fixture.folder);
                (command, locked_version(folder)?)
            }
            Kind::Python(folder) => {
                let requirements = requirements(folder);
                let mut command = clean(Command::new(python(target, folder, &requirements)?));
                command
                    .arg(file("peers").join(folder).join("serve.py"))
                    .env("PYTHONPATH", file("peers/common"))
                    .env("PYTHONDONTWRITEBYTECODE", "1")
                    .env("COMPARE_BOOSTER", &fixture.folder);
                (command, installed_version(folder)?)
            }
        };
        // Some write files where they are started.
        let folder = target.join("run").join(self.name);
        fs::create_dir_all(&folder)?;
        command.arg(port.to_string()).current_dir(&folder);
        command.envs(self.settings.iter().copied());
        let log = folder.join("log");
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
            binary: self.binary,
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

/// Build a crate; its own profile says that it is built as the `caisson` that is measured.
fn build(target: &Path, folder: &str, binary: &str) -> Result<PathBuf> {
    let built = target.join(binary);
    say::step(&format!("{binary}, release build"), |_| {
        let status = crate::cargo()
            .current_dir(root().join(folder))
            .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
            .arg(&built)
            .status()?;
        ensure!(status.success(), "cargo build failed ({status})");
        Ok(folder.to_owned())
    })?;
    Ok(built.join("release").join(binary))
}

/// What a crate's lock file says of what it is made of.
fn locked_version(folder: &str) -> Result<String> {
    let path = root().join(folder).join("Cargo.lock");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lock: toml::Table = toml::from_str(&text)?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let version = |name: &str| -> Option<String> {
        let mut all = packages?.iter().filter_map(toml::Value::as_table);
        let found = all.find(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))?;
        Some(format!("{name} {}", found.get("version")?.as_str()?))
    };
    let known: Vec<String> = TELLING.into_iter().filter_map(version).collect();
    Ok(known.join(", "))
}

/// Python with what the requirements say.
pub(crate) fn python(target: &Path, name: &str, requirements: &Path) -> Result<PathBuf> {
    let mut python = PathBuf::new();
    say::step(&format!("Python environment of {name}"), |_| {
        python = environment(&target.join("python"), name, requirements)?;
        Ok(python.display().to_string())
    })?;
    Ok(python)
}

fn requirements(folder: &str) -> PathBuf {
    file("peers").join(folder).join("requirements.txt")
}

/// The lines of a peer's requirements that say what it is.
fn installed_version(folder: &str) -> Result<String> {
    let requirements = requirements(folder);
    let text = fs::read_to_string(&requirements).with_context(|| requirements.display().to_string())?;
    let lines = text.lines().filter_map(|line| line.split_once("=="));
    let known = lines.filter(|(name, _)| TELLING.contains(name));
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
            let version = match peer.kind {
                Kind::Rust { folder, .. } => locked_version(folder),
                Kind::Python(folder) => installed_version(folder),
            };
            assert!(!version.unwrap().is_empty(), "{}", peer.name);
        }
    }
}
