//! `cargo xtask soak`: everything at once, for long.
//!
//! A server with keys; a tenant whose clients predict while its deployment's model and stages are swapped,
//! upload plugins, send nonsense and hang up; and a hostile tenant whose plugins spin and grab memory. Every
//! answer is checked: a prediction is one revision's and no mixture, every bad request gets its own refusal,
//! and no 5xx comes but the hostile tenant's. The server's memory is sampled all the while.

mod clients;
mod memory;
mod revisions;
mod tally;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::compare::caisson;
use crate::compare::fixture::Fixture;
use crate::http::Api;
use crate::site::{self, Site};
use crate::{process, root, say, table};
use clients::{Client, HOSTILE, World};
use memory::{Sample, Trend};
use revisions::Revision;
use tally::{Counts, Tally};

/// Minutes, unless told otherwise.
pub(crate) const MINUTES: u64 = 10;
/// Seconds of the one that `cargo xtask test` does.
pub(crate) const TEST_SECONDS: u64 = 30;
/// Between looks at the memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How long, and of what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The `caisson` program.
    pub(crate) program: PathBuf,
    pub(crate) seconds: u64,
    /// Some kinds of clients alone, to see what a finding comes from.
    pub(crate) clients: Option<String>,
}

/// Do everything at once; an error if anything was wrong.
pub(crate) fn run(options: &Options) -> Result<()> {
    eprintln!("• soak: {} s", options.seconds);
    let tallies: Vec<(Client, Tally)> = Client::choose(options.clients.as_deref())?
        .into_iter()
        .map(|client| (client, Tally::default()))
        .collect();
    let fixture = Fixture::load()?;
    let (site, tenant) = caisson::set_up(&options.program, &fixture)?;
    caisson::push_model(&tenant, &fixture.linear)?;
    for turn in 0..2 {
        let spec = Revision::of_turn(turn).spec(&fixture);
        tenant.post_json("/v1/deployments", &spec)?.ok()?;
    }
    let world = World {
        fixture,
        hostile: hostile(&site)?,
        stranger: site.server.api(),
        component: site::component("test-guests/affine")?,
        tenant,
    };
    let samples = soak(&site, &world, &tallies, Duration::from_secs(options.seconds))?;
    let found: Vec<(Client, Counts)> = tallies
        .iter()
        .map(|(client, tally)| (*client, tally.counts()))
        .collect();
    let trend = |looks: &[Sample]| memory::trend(looks).context("the memory was never looked at");
    let (private, trend) = (trend(&samples.private)?, trend(&samples.resident)?);
    print(&found, trend, private);
    save(options, &found, trend, &samples)?;
    let outcome = judge(&site, &world, &found, trend);
    if outcome.is_err() {
        site.folder.keep();
    }
    outcome.with_context(|| format!("the server's log is in {}", site.folder.path().display()))
}

/// A tenant with plugins that spin and grab memory.
fn hostile(site: &Site) -> Result<Api> {
    let api = site.tenant("hostile")?;
    site::push(&api, &site::component("test-guests/hostile")?)?;
    for behave in HOSTILE {
        api.post_json("/v1/deployments", &site::hostile_spec(behave))?
            .ok()?;
    }
    Ok(api)
}

/// The looks at the server's memory.
#[derive(Default)]
struct Samples {
    resident: Vec<Sample>,
    /// Without the pages of files, such as compiled code, that the system can take back.
    private: Vec<Sample>,
}

/// Every kind of client, side by side; gives what the server's memory was.
fn soak(site: &Site, world: &World, tallies: &[(Client, Tally)], duration: Duration) -> Result<Samples> {
    let done = AtomicBool::new(false);
    let numbers: Vec<AtomicU64> = tallies.iter().map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for ((client, tally), number) in tallies.iter().zip(&numbers) {
            for _ in 0..client.threads() {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        tally.note(client.act(world, number.fetch_add(1, Ordering::Relaxed)));
                        std::thread::sleep(client.pause());
                    }
                });
            }
        }
        let (begin, mut samples) = (Instant::now(), Samples::default());
        let mut seen = Ok(());
        while begin.elapsed() < duration && seen.is_ok() {
            std::thread::sleep(SAMPLE_EVERY);
            #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
            let sample = process::memory(site.server.pid()).map(|memory| {
                let at = begin.elapsed().as_secs_f64();
                samples.resident.push((at, memory.resident as f64));
                samples.private.push((at, memory.private as f64));
            });
            seen = sample.context("the server is gone");
        }
        done.store(true, Ordering::Relaxed);
        seen.map(|()| samples)
    })
}

/// What must hold at the end.
fn judge(site: &Site, world: &World, found: &[(Client, Counts)], trend: Trend) -> Result<()> {
    for (client, counts) in found {
        ensure!(
            counts.problems == 0,
            "{}: {} wrong, the first: {}",
            client.name(),
            counts.problems,
            counts.told.join("; ")
        );
        ensure!(counts.requests() > 0, "{}: there was no request", client.name());
    }
    ensure!(
        trend.flat != Some(false),
        "the memory rises by {:.2} MiB a minute",
        trend.mib_per_minute
    );
    // And the server is as it was.
    let ready = world.tenant.get("/v2/health/ready")?.ok()?;
    ensure!(ready.get("deployments").is_none(), "not ready: {ready}");
    let log = site.folder.log();
    let panic = log.lines().find(|line| line.contains("panicked"));
    ensure!(
        panic.is_none(),
        "the server's log has {}",
        panic.unwrap_or_default()
    );
    Ok(())
}

fn print(found: &[(Client, Counts)], trend: Trend, private: Trend) {
    println!("\neverything at once (no wrong answer, no 5xx but the hostile tenant's, flat memory)");
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(client, counts)| {
            vec![
                client.name().to_owned(),
                counts.requests().to_string(),
                counts.problems.to_string(),
                counts.answers(),
            ]
        })
        .collect();
    table::print(&["", "requests", "wrong", "answers"], &rows);
    println!(
        "   resident: {:.0} MiB, then {:.0} MiB: {:+.2} MiB a minute, {:+.2} without pages of files ({})",
        trend.first_mib,
        trend.last_mib,
        trend.mib_per_minute,
        private.mib_per_minute,
        match trend.flat {
            Some(true) => "flat from the second minute on",
            Some(false) => "not flat from the second minute on",
            None => "too short a run to judge",
        }
    );
}

fn save(options: &Options, found: &[(Client, Counts)], trend: Trend, samples: &Samples) -> Result<()> {
    let clients: serde_json::Map<String, Value> = found
        .iter()
        .map(|(client, counts)| {
            let what = json!({
                "requests": counts.requests(), "wrong": counts.problems, "told": counts.told,
                "statuses": counts.statuses, "cut_off": counts.unanswered,
            });
            (client.name().to_owned(), what)
        })
        .collect();
    let json = json!({
        "seconds": options.seconds, "clients": clients,
        "memory": {
            "first_mib": trend.first_mib, "last_mib": trend.last_mib, "mib_per_minute": trend.mib_per_minute,
            "flat": trend.flat, "resident": samples.resident, "private": samples.private,
        },
    });
    let path = root().join("target/load/soak.json");
    say::save(&path, &json)
}
