//! `cargo xtask load CASE`: what many tenants cost each other, measured over HTTP.
//!
//! Every case starts its own server, with keys, on an empty folder in the temporary folder. The clients
//! are threads of this program on the same machine, so they take part of it; what is compared was
//! measured in one run. `benches/README.md` tells what was found.

mod connections;
mod deploy;
mod fairness;
mod many;
mod overload;
mod switch;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::{root, say, table};

/// Seconds of a phase, unless told otherwise: 1,000 requests of the victim's, so that the p99 is the
/// tenth from the end.
pub(crate) const SECONDS: u64 = 10;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// A tenant beside a hostile one.
    Fairness,
    /// Start and memory with many deployments.
    Many,
    /// From upload to live.
    Deploy,
    /// Revisions that alternate under load.
    Switch,
    /// SIGTERM under load.
    Stop,
    /// Twice what the server can answer.
    Overload,
}

impl Case {
    const ALL: [(&'static str, Self); 6] = [
        ("fairness", Self::Fairness),
        ("many", Self::Many),
        ("deploy", Self::Deploy),
        ("switch", Self::Switch),
        ("stop", Self::Stop),
        ("overload", Self::Overload),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find_map(|(name, case)| (*case == self).then_some(*name))
            .unwrap_or_default()
    }
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL
            .iter()
            .find_map(|(name, case)| (*name == text).then_some(*case));
        let Some(case) = found else {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            bail!("there is no case `{text}`; there are {}", names.join(", "))
        };
        Ok(case)
    }
}

/// How it is measured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The `caisson` program.
    pub(crate) program: PathBuf,
    /// Seconds of a phase.
    pub(crate) seconds: u64,
    /// Another number of deployments, for `many`.
    pub(crate) deployments: Option<u64>,
}

/// What a case found.
struct Report {
    title: String,
    header: &'static [&'static str],
    rows: Vec<Vec<String>>,
    json: Value,
}

/// Measure one case: a table for people, a line of JSON in `target/load`.
pub(crate) fn run(case: Case, options: &Options) -> Result<()> {
    let before = load_average();
    eprintln!("• load {}: load average {before} before", case.name());
    let report = match case {
        Case::Fairness => fairness::run(options),
        Case::Many => many::run(options),
        Case::Deploy => deploy::run(options),
        Case::Switch => switch::live(options),
        Case::Stop => switch::stop(options),
        Case::Overload => overload::run(options),
    }?;
    println!("\n{}", report.title);
    table::print(report.header, &report.rows);
    let file = root().join("target/load").join(format!("{}.json", case.name()));
    let json = json!({
        "case": case.name(), "load_average_before": before, "seconds": options.seconds, "found": report.json,
    });
    say::save(&file, &json)
}

fn ms(value: f64) -> String {
    format!("{value:.2} ms")
}

/// The first of the kernel's three numbers: what else the machine did in the last minute.
fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next().map(str::to_owned))
        .unwrap_or_default()
}
