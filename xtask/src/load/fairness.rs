//! A tenant that asks for one prediction at a fixed, moderate rate, alone and beside a tenant that does
//! its worst.
//!
//! The rate is kept whatever the answers take: a request that can't be sent in time because the one
//! before is late counts from when it should have been sent, so a stall is every request's that it hit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};

use super::{Options, Report, ms};
use crate::http::Api;
use crate::site::{self, CDNOW, Site};
use crate::stats::Latencies;

/// Requests of the victim in a second, and its connections: a tenth of what one core answers.
const VICTIM_RATE: u32 = 100;
const VICTIM_CONNECTIONS: u32 = 4;
/// Connections of the hostile tenant.
const HOSTILE_CONNECTIONS: usize = 32;
/// What is not measured of each phase: connections open, and the hostile tenant's load builds up.
const WARM_UP: Duration = Duration::from_secs(2);
/// Each kind of hostility is measured so often.
const ROUNDS: usize = 3;
/// The p99 beside a hostile tenant may be this much of the one alone.
const RATIO_MAX: f64 = 2.0;

/// What the hostile tenant does.
#[derive(Clone, Copy)]
enum Hostile {
    Nothing,
    /// A plugin that loops until its deadline.
    Spins,
    /// A plugin that takes memory until its limit.
    GrabsMemory,
    /// Uploads of components that nobody has compiled yet.
    Uploads,
    /// Deployments with a config that nobody has compiled yet.
    Deploys,
}

const HOSTILE: [Hostile; 4] = [
    Hostile::Spins,
    Hostile::GrabsMemory,
    Hostile::Uploads,
    Hostile::Deploys,
];

impl Hostile {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "alone",
            Self::Spins => "spinning plugins",
            Self::GrabsMemory => "memory-grabbing plugins",
            Self::Uploads => "uploads in a loop",
            Self::Deploys => "deploys in a loop",
        }
    }

    fn connections(self) -> usize {
        match self {
            Self::Nothing => 0,
            _ => HOSTILE_CONNECTIONS,
        }
    }

    /// One of its requests; gives the status.
    fn act(self, api: &Api, number: u64, files: &Files) -> Result<u16> {
        let answer = match self {
            Self::Nothing => return Ok(0),
            Self::Spins => api.post_json("/v1/deployments/loop/predict", &files.row),
            Self::GrabsMemory => api.post_json("/v1/deployments/grab-memory/predict", &files.row),
            Self::Uploads => api.post(
                "/v1/plugins",
                "application/wasm",
                &site::variant(&files.hostile, number),
            ),
            Self::Deploys => api.post_json("/v1/deployments", &affine(number)),
        };
        Ok(answer?.status)
    }
}

struct Files {
    hostile: Vec<u8>,
    row: Value,
}

fn affine(number: u64) -> Value {
    json!({
        "name": format!("affine-{}", number % 8),
        "input": [{"name": "x", "type": "fp32"}],
        "transforms": [{"plugin": "affine", "config": {"scale": number}}],
    })
}

/// What came of one phase.
struct Phase {
    latencies: Latencies,
    failures: u64,
    hostile_requests: u64,
}

pub(super) fn run(options: &Options) -> Result<Report> {
    let site = Site::new(&options.program, &[])?;
    let (victim, hostile) = (site.tenant("victim")?, site.tenant("hostile")?);
    site::deploy_cdnow(&victim)?;
    let files = Files {
        hostile: site::component("test-guests/hostile")?,
        row: json!({"rows": [{"x": 1.0}]}),
    };
    site::push(&hostile, &files.hostile)?;
    site::push(&hostile, &site::component("test-guests/affine")?)?;
    for behave in ["loop", "grab-memory"] {
        hostile
            .post_json("/v1/deployments", &site::hostile_spec(behave))?
            .ok()?;
    }
    let mut alone = Vec::new();
    let mut beside: Vec<(Hostile, Vec<Phase>)> = HOSTILE.iter().map(|what| (*what, Vec::new())).collect();
    for round in 1..=ROUNDS {
        for (what, phases) in &mut beside {
            // Alone again before each, so that what the machine does besides is in both.
            alone.push(phase(
                &victim,
                &hostile,
                Hostile::Nothing,
                &files,
                options.seconds,
            )?);
            let phase = phase(&victim, &hostile, *what, &files, options.seconds)?;
            eprintln!(
                "    round {round} of {ROUNDS}, {}: p99 {}",
                what.name(),
                ms(phase.latencies.ms(0.99))
            );
            phases.push(phase);
        }
    }
    Ok(report(&alone, &beside))
}

/// The median of a latency over rounds: what else the machine does hits some of them, and not all.
fn median(phases: &[Phase], share: f64) -> f64 {
    let mut all: Vec<f64> = phases.iter().map(|phase| phase.latencies.ms(share)).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(alone: &[Phase], beside: &[(Hostile, Vec<Phase>)]) -> Report {
    let (p50_alone, p99_alone) = (median(alone, 0.5), median(alone, 0.99));
    let failures = |phases: &[Phase]| phases.iter().map(|phase| phase.failures).sum::<u64>();
    let mut rows = vec![vec![
        Hostile::Nothing.name().to_owned(),
        ms(p50_alone),
        ms(p99_alone),
        String::from("1"),
        failures(alone).to_string(),
        String::new(),
    ]];
    let mut found = Vec::new();
    for (what, phases) in beside {
        let (p50, p99) = (median(phases, 0.5), median(phases, 0.99));
        let requests: u64 = phases.iter().map(|phase| phase.hostile_requests).sum();
        rows.push(vec![
            what.name().to_owned(),
            ms(p50),
            ms(p99),
            format!("{:.2}", p99 / p99_alone),
            failures(phases).to_string(),
            requests.to_string(),
        ]);
        let rounds: Vec<f64> = phases.iter().map(|phase| phase.latencies.ms(0.99)).collect();
        found.push(json!({
            "beside": what.name(), "p50_ms": p50, "p99_ms": p99, "p99_ratio": p99 / p99_alone, "target": RATIO_MAX,
            "p99_ms_of_rounds": rounds, "failures": failures(phases), "hostile_requests": requests,
        }));
    }
    let rounds: Vec<f64> = alone.iter().map(|phase| phase.latencies.ms(0.99)).collect();
    Report {
        title: format!(
            "one-row predictions of a tenant, {VICTIM_RATE} a second, beside {HOSTILE_CONNECTIONS} connections of another \
             (p99 at most {RATIO_MAX} times that alone; medians of {ROUNDS} rounds)"
        ),
        header: &[
            "the other tenant",
            "p50",
            "p99",
            "p99 ratio",
            "failures",
            "its requests",
        ],
        rows,
        json: json!({
            "rate": VICTIM_RATE, "rounds": ROUNDS,
            "alone": {"p50_ms": p50_alone, "p99_ms": p99_alone, "p99_ms_of_rounds": rounds},
            "phases": found,
        }),
    }
}

fn phase(victim: &Api, hostile: &Api, what: Hostile, files: &Files, seconds: u64) -> Result<Phase> {
    // Numbers that no phase before had.
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let (done, failures, requests) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let latencies = std::thread::scope(|scope| {
        for _ in 0..what.connections() {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                    // Refused or stopped is what should happen; not answered at all should not.
                    if what.act(hostile, number, files).is_ok() {
                        requests.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let begin = Instant::now();
        let clients: Vec<_> = (0..VICTIM_CONNECTIONS)
            .map(|connection| {
                let failures = &failures;
                scope.spawn(move || at_a_rate(victim, begin, connection, seconds, failures))
            })
            .collect();
        let all: Result<Vec<Vec<Duration>>> = clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow!("a client panicked")))
            .collect();
        done.store(true, Ordering::Relaxed);
        all
    })?;
    let latencies = Latencies::of(latencies.concat());
    ensure!(latencies.len() > 0, "no prediction was measured");
    Ok(Phase {
        latencies,
        failures: failures.into_inner(),
        hostile_requests: requests.into_inner(),
    })
}

/// One connection's share of the victim's requests.
fn at_a_rate(
    api: &Api,
    begin: Instant,
    connection: u32,
    seconds: u64,
    failures: &AtomicU64,
) -> Vec<Duration> {
    let interval = Duration::from_secs(1) / VICTIM_RATE;
    let (body, path) = (site::cdnow_row(), format!("/v1/deployments/{CDNOW}/predict"));
    let mut latencies = Vec::new();
    for turn in 0.. {
        let offset = interval * (turn * VICTIM_CONNECTIONS + connection);
        if offset > WARM_UP + Duration::from_secs(seconds) {
            break;
        }
        std::thread::sleep((begin + offset).saturating_duration_since(Instant::now()));
        let failed = !api
            .post_json(&path, &body)
            .is_ok_and(|answer| answer.status == 200);
        if offset >= WARM_UP {
            latencies.push((begin + offset).elapsed());
            failures.fetch_add(u64::from(failed), Ordering::Relaxed);
        }
    }
    latencies
}
