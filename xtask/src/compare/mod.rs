//! `cargo xtask compare`: Caisson beside other servers, on one machine, in one run.
//!
//! All have the same model, the same two stages, the same ONNX Runtime and the same requests, and each
//! one's answers are checked before it is measured. The load comes from wrk; the servers alternate in every
//! round, so that what the machine does besides is in all of them. `benches/compare/README.md` tells more.
//! [`drift`] is another comparison: of drift reports, with Evidently's.

pub(crate) mod caisson;
pub(crate) mod case;
mod contender;
pub(crate) mod drift;
pub(crate) mod fixture;
mod found;
pub(crate) mod measure;
mod peers;
mod targets;
mod wrk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{root, say};
use case::{Case, Encoding};
use contender::Contender;
use fixture::Fixture;
use found::{Found, Server};
use measure::{Cell, Pace, Round, Summary};
use wrk::Wrk;

/// Seconds of a round, unless told otherwise: 50 ticks of the kernel's accounting and more of a server.
pub(crate) const SECONDS: u64 = 3;
/// Rounds, unless told otherwise.
pub(crate) const ROUNDS: u64 = 3;
/// Seconds that a round waits for a quiet machine, unless told otherwise.
pub(crate) const QUIET_WAIT: u64 = 8;
/// Connections open and code paths warm before a case's first round.
const WARM_UP_SECONDS: u64 = 1;

/// What is compared and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The `caisson` program.
    pub(crate) program: PathBuf,
    /// Names of peers with commas between; the usual ones if absent.
    pub(crate) peers: Option<String>,
    /// Choices of cases with commas between; all if absent.
    pub(crate) cases: Option<String>,
    pub(crate) seconds: u64,
    pub(crate) rounds: u64,
    /// Seconds that a round may wait for the machine to be quiet.
    pub(crate) quiet_wait: u64,
    /// Where the numbers go as JSON, besides `target/compare/found.json`.
    pub(crate) json: Option<PathBuf>,
}

/// Start everything, measure, and print.
pub(crate) fn run(options: &Options) -> Result<()> {
    let peers = peers::choose(options.peers.as_deref())?;
    let cases = options
        .cases
        .as_deref()
        .map_or_else(|| Ok(Case::all()), case::choose)?;
    let target = root().join("target/compare");
    std::fs::create_dir_all(&target)?;
    let wrk = Wrk::find(&target)?;
    let fixture = Fixture::load()?;
    let mut ready_ms = f64::NAN;
    let mut servers = Vec::new();
    say::step("caisson: starts", |_| {
        let starts = caisson::starts(&options.program, &fixture)?;
        servers.push(caisson::start(&options.program, &fixture, starts)?);
        ready_ms = starts.ready.as_secs_f64() * 1e3;
        Ok(format!("ready after {ready_ms:.0} ms, at the median"))
    })?;
    for peer in peers {
        say::step(&format!("{}: starts", peer.name), |_| {
            let server = peer.start(&target, &fixture)?;
            let version = server.version.clone();
            servers.push(server);
            Ok(version)
        })?;
    }
    let mut found = Found {
        servers: servers.iter().map(|server| described(server, &fixture)).collect(),
        cases: cases.clone(),
        cells: BTreeMap::new(),
        ready_ms,
    };
    for case in cases {
        say::step(&case.title(), |progress| {
            let cells = measure_case(&wrk, &servers, &fixture, case, options, progress)?;
            found.cells.insert(case.to_string(), cells);
            Ok(case.to_string())
        })?;
    }
    found.print();
    targets::print(&found);
    save(options, &wrk, &found, &target)
}

fn described(server: &Contender, fixture: &Fixture) -> Server {
    // JSON has no NaN, and `null` in a tensor makes its whole row missing for Caisson.
    let encoding = if server.binary {
        Encoding::Binary
    } else {
        Encoding::Json
    };
    let gaps = server.check_gap(fixture, encoding);
    Server {
        name: server.name,
        version: server.version.clone(),
        start_ms: server.start.as_secs_f64() * 1e3,
        gaps: gaps.err().map(|why| format!("{why:#}")),
    }
}

/// Every server in every round, one after another.
fn measure_case(
    wrk: &Wrk,
    servers: &[Contender],
    fixture: &Fixture,
    case: Case,
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<BTreeMap<&'static str, Cell>> {
    let pace = Pace {
        seconds: options.seconds,
        quiet_wait: Duration::from_secs(options.quiet_wait),
    };
    let mut cells = BTreeMap::new();
    let mut rounds: Vec<(&Contender, Vec<Round>)> = Vec::new();
    for server in servers {
        match server.check(fixture, case) {
            Ok(()) => {
                let request = server.request(fixture, case);
                wrk.run(server.api.url(), &request, case.connections, WARM_UP_SECONDS)?;
                rounds.push((server, Vec::new()));
            }
            // What a peer can't do is a finding; what Caisson can't do is a failure.
            Err(why) if server.name == caisson::NAME => return Err(why.context(case)),
            Err(why) => {
                cells.insert(server.name, Cell::Cannot(format!("{why:#}")));
            }
        }
    }
    for _ in 0..options.rounds {
        for (server, rounds) in &mut rounds {
            let round = measure::round(wrk, server, fixture, case, pace)
                .with_context(|| format!("{} in {case}", server.name))?;
            progress(&format!(
                "{}: {:.0} req/s, {:.0} µs CPU",
                server.name, round.throughput, round.cpu_us
            ));
            rounds.push(round);
        }
    }
    cells.extend(
        rounds
            .iter()
            .map(|(server, rounds)| (server.name, Cell::Measured(Summary::of(rounds)))),
    );
    Ok(cells)
}

fn save(options: &Options, wrk: &Wrk, found: &Found, target: &Path) -> Result<()> {
    let json = json!({
        "load": wrk.version, "seconds": options.seconds, "rounds": options.rounds,
        "found": found.json(), "targets": targets::json(found),
    });
    for file in options.json.iter().chain([&target.join("found.json")]) {
        say::save(file, &json)?;
    }
    Ok(())
}
