//! The load generator: [wrk](https://github.com/wg/wrk), the system's or Debian's package unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::fixture::Request;
use crate::{debian, say};

/// Debian's packages: the program, and the library that it needs, with that one's data.
const PACKAGES: [&str; 3] = ["wrk", "libluajit-5.1-2", "libluajit-5.1-common"];
/// A request that takes longer is a failure.
const TIMEOUT: &str = "20s";

/// wrk's own summary has three digits and no count of wrong statuses by itself; this line has all.
const SCRIPT: &str = r#"local file = assert(io.open(os.getenv("CAISSON_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
for name, value in os.getenv("CAISSON_HEADERS"):gmatch("([^\n:]+): ([^\n]*)") do
  wrk.headers[name] = value
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("found %d %d %f %f %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"#;

/// wrk, ready to run.
pub(crate) struct Wrk {
    program: PathBuf,
    libraries: Option<PathBuf>,
    folder: PathBuf,
    pub(crate) version: String,
}

/// What one run found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answered {
    /// Requests that were answered with success.
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Other statuses, broken connections, and no answer in time.
    pub(crate) failures: u64,
}

impl Wrk {
    /// Find it, or fetch it into this folder.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let unpacked = folder.join("wrk");
        let mut found = Self {
            program: PathBuf::from("wrk"),
            libraries: None,
            folder: folder.to_owned(),
            version: String::new(),
        };
        if found.ask_version().is_err() {
            found.program = unpacked.join("usr/bin/wrk");
            if !found.program.is_file() {
                say::step("wrk, Debian's package", |_| {
                    debian::unpack(&PACKAGES, &unpacked).context("or install wrk yourself")
                })?;
            }
            let lib = fs::read_dir(unpacked.join("usr/lib"))?.filter_map(|entry| Some(entry.ok()?.path()));
            let mut lib = lib.filter(|path| path.is_dir());
            found.libraries = Some(lib.next().context("the package has no library folder")?);
        }
        found.version = found.ask_version()?;
        fs::write(found.script(), SCRIPT)?;
        Ok(found)
    }

    fn script(&self) -> PathBuf {
        self.folder.join("wrk.lua")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// `wrk debian/4.1.0-3+b2 [epoll] …` of its first line; it ends with an error after saying so.
    fn ask_version(&self) -> Result<String> {
        let output = self
            .command()
            .arg("-v")
            .output()
            .with_context(|| self.program.display().to_string())?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let mut words = text.split_whitespace();
        match (words.next(), words.next()) {
            (Some("wrk"), Some(version)) => Ok(format!("wrk {version}")),
            _ => bail!("{} says: {text}", self.program.display()),
        }
    }

    /// Send one request again and again over so many connections.
    pub(crate) fn run(
        &self,
        url: &str,
        request: &Request,
        connections: usize,
        seconds: u64,
    ) -> Result<Answered> {
        let body = self.folder.join("body");
        fs::write(&body, &request.body)?;
        let headers: Vec<String> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let output = self
            .command()
            // One thread: it sends far more than any of these servers answers on the cores that it leaves.
            .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
            .args(["--timeout", TIMEOUT, "-s"])
            .arg(self.script())
            .arg(format!("{url}{}", request.path))
            .env("CAISSON_BODY", &body)
            .env("CAISSON_HEADERS", headers.join("\n"))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text).with_context(|| format!("wrk said: {text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Read the script's line.
fn parse(text: &str) -> Result<Answered> {
    let line = text.lines().find_map(|line| line.strip_prefix("found "));
    let numbers: Result<Vec<f64>, _> = line
        .context("the run has no result")?
        .split_whitespace()
        .map(str::parse)
        .collect();
    let [requests, micros, p50, p99, statuses, broken] = numbers?[..] else {
        bail!("the result has other fields");
    };
    ensure!(
        requests >= statuses && micros > 0.0,
        "the result contradicts itself"
    );
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole numbers far below 2^53"
    )]
    Ok(Answered {
        requests: (requests - statuses) as u64,
        seconds: micros / 1e6,
        p50_ms: p50 / 1e3,
        p99_ms: p99 / 1e3,
        failures: (statuses + broken) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_line() {
        let text = "Running 3s test\n  2 threads\nfound 30000 3000000 250.500000 900.250000 10 2\n";
        let expected = Answered {
            requests: 29_990,
            seconds: 3.0,
            p50_ms: 0.2505,
            p99_ms: 0.900_25,
            failures: 12,
        };
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn no_result() {
        for text in [
            "",
            "unable to connect",
            "found 1 2",
            "found 1 2 3 4 x 6",
            "found 1 0 1 1 0 0",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
