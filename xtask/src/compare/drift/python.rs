//! The Python side, `benches/compare/drift/measure.py`: one process, so that imports and frames are there
//! when the clock starts.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::super::peers;
use crate::root;

/// The process, and both ends of its conversation.
pub(super) struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Python's, and what `requirements.txt` pins.
    pub(super) version: String,
}

#[derive(Deserialize)]
struct Ready {
    python: String,
}

/// An answer.
#[derive(Deserialize)]
pub(super) struct Measured {
    pub(super) seconds: f64,
    /// By column; p-values where Evidently's test has one.
    pub(super) statistics: BTreeMap<String, f64>,
}

impl Python {
    /// Install what is missing, write the data into a folder, and wait until it listens.
    pub(super) fn start(target: &Path, folder: &Path, rows: u64, columns: u64) -> Result<Self> {
        let here = root().join("benches/compare/drift");
        let python = peers::python(target, "drift", &here.join("requirements.txt"))?;
        let mut child = Command::new(python)
            .arg(here.join("measure.py"))
            .arg(folder)
            .args([rows.to_string(), columns.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting Python")?;
        let stdin = child.stdin.take().context("Python has no input")?;
        let stdout = child.stdout.take().context("Python has no output")?;
        let mut python = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
            version: String::new(),
        };
        let ready: Ready = python.read()?;
        let requirements = std::fs::read_to_string(here.join("requirements.txt"))?;
        let pinned: Vec<String> = requirements
            .lines()
            .filter_map(|line| line.split_once("=="))
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        python.version = format!("Python {}, {}", ready.python, pinned.join(", "));
        Ok(python)
    }

    /// Let it do something once.
    pub(super) fn ask(&mut self, data: &str, method: &str, who: &str) -> Result<Measured> {
        writeln!(self.stdin, "{data} {method} {who}")?;
        self.stdin.flush()?;
        self.read().with_context(|| format!("{who}: {method} of {data}"))
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("Python said `{}`", line.trim()))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
