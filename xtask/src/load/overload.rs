//! Twice what the server can answer: what it can't is refused at once, and what it can is still answered.
//!
//! The load is open: a request is sent when its time has come, whatever became of those before it, over as
//! many connections as that takes. Peak and overload alternate, so that both have the same machine, and
//! server and clients have half of its cores each: twice the load must not cost the server its cores.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Options, Report, connections, ms};
use crate::compare::caisson;
use crate::compare::case::Case;
use crate::compare::fixture::{Fixture, Form};
use crate::compare::measure::median;
use crate::process;
use crate::raw;
use crate::stats::Latencies;

/// Connections of the closed load that finds the peak: enough that the server never waits for one.
const PEAK_CONNECTIONS: usize = 32;
/// Connections of the open load: with answers and refusals within 100 ms these offer 5,000 a second.
const OPEN_CONNECTIONS: usize = 1000;
/// How many times the peak is offered.
const TIMES: f64 = 2.0;
/// What is answered under overload, as a share of the peak.
const GOODPUT_MIN: f64 = 0.8;
const ROUNDS: usize = 3;
/// Rows of a request: heavy for the server and light for the clients, which run on the same machine.
const ROWS: usize = 64;

/// Whom to ask what.
struct Target {
    url: String,
    pid: u32,
    /// The request as it goes over the wire.
    bytes: Vec<u8>,
}

/// What came of one phase.
#[derive(Default)]
struct Phase {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
    /// The refusals' statuses.
    statuses: BTreeMap<u16, u64>,
    /// Refusals that don't say when to come back.
    without_retry_after: u64,
    /// Neither answered nor refused.
    failed: u64,
    seconds: f64,
    /// Cores that the server had: what the clients leave it, if that is less than it could use.
    cores: f64,
}

impl Phase {
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn rate(&self, count: usize) -> f64 {
        count as f64 / self.seconds
    }

    fn goodput(&self) -> f64 {
        self.rate(self.answered.len())
    }

    fn offered(&self) -> f64 {
        let failed = usize::try_from(self.failed).unwrap_or(0);
        self.rate(self.answered.len() + self.refused.len() + failed)
    }
}

pub(super) fn run(options: &Options) -> Result<Report> {
    let fixture = Fixture::load()?;
    // Else the clients of an overload would take from the server what they need to make it. The server
    // inherits its cores, and so starts as many threads as it has of them.
    let (servers, clients) = process::halves()?;
    process::pin(std::process::id(), &servers)?;
    let (site, tenant) = caisson::set_up(&options.program, &fixture)?;
    let mut request = fixture.request(Form::Oip, Case::json(ROWS, 1));
    let key = tenant.key().unwrap_or_default();
    request.headers.push(("Authorization", format!("Bearer {key}")));
    let target = Target {
        url: site.server.api().url().to_owned(),
        pid: site.server.pid(),
        bytes: raw::post(&request.path, &request.headers, &request.body),
    };
    let (mut peaks, mut overloads) = (Vec::new(), Vec::new());
    process::pin(std::process::id(), &clients)?;
    eprintln!("    the server runs on cores {servers}, the clients on {clients}");
    // The first of each finds cold code and untouched memory everywhere, and is not counted.
    let cold = phase(&target, PEAK_CONNECTIONS, None, 1)?;
    phase(&target, OPEN_CONNECTIONS, Some(TIMES * cold.goodput()), 2)?;
    for round in 1..=ROUNDS {
        let peak = phase(&target, PEAK_CONNECTIONS, None, options.seconds)?;
        ensure!(!peak.answered.is_empty(), "nothing was answered");
        let rate = TIMES * peak.goodput();
        let overload = phase(&target, OPEN_CONNECTIONS, Some(rate), options.seconds)?;
        eprintln!(
            "    round {round} of {ROUNDS}: peak {:.0}/s, under {:.0}/s offered {:.0}/s answered",
            peak.goodput(),
            overload.offered(),
            overload.goodput()
        );
        peaks.push(peak);
        overloads.push(overload);
    }
    Ok(report(&peaks, &overloads))
}

/// Requests over so many connections: at this rate, or as fast as each is answered.
fn phase(target: &Target, connections: usize, rate: Option<f64>, seconds: u64) -> Result<Phase> {
    let tree = process::tree(target.pid);
    let cpu = process::cpu(&tree);
    let begin = Instant::now();
    let mut found = Phase::default();
    let load = connections::Load {
        url: &target.url,
        request: &target.bytes,
        connections,
        rate,
        lasts: Duration::from_secs(seconds),
    };
    connections::run(&load, |took, reply| {
        match reply.map(|reply| (reply.status, reply.retry_after)) {
            Some((200, _)) => found.answered.push(took),
            Some((status @ (429 | 503), retry_after)) => {
                *found.statuses.entry(status).or_default() += 1;
                found.refused.push(took);
                found.without_retry_after += u64::from(!retry_after);
            }
            _ => found.failed += 1,
        }
    })?;
    found.seconds = begin.elapsed().as_secs_f64();
    found.cores = process::cpu(&tree).saturating_sub(cpu).as_secs_f64() / found.seconds;
    Ok(found)
}

/// `429 × 12, 503 × 3`, or a dash.
fn statuses(phases: &[Phase]) -> String {
    let mut sums: BTreeMap<u16, u64> = BTreeMap::new();
    for (status, count) in phases.iter().flat_map(|phase| &phase.statuses) {
        *sums.entry(*status).or_default() += count;
    }
    if sums.is_empty() {
        return String::from("—");
    }
    let all: Vec<String> = sums
        .iter()
        .map(|(status, count)| format!("{status} × {count}"))
        .collect();
    all.join(", ")
}

fn report(peaks: &[Phase], overloads: &[Phase]) -> Report {
    let of = |phases: &[Phase], value: &dyn Fn(&Phase) -> f64| median(phases.iter().map(value).collect());
    let latencies = |phases: &[Phase], which: fn(&Phase) -> &Vec<Duration>| {
        Latencies::of(phases.iter().flat_map(which).copied().collect())
    };
    let (peak, goodput) = (of(peaks, &Phase::goodput), of(overloads, &Phase::goodput));
    let offered = of(overloads, &Phase::offered);
    // Of each round's own peak: what else the machine does changes from round to round.
    let shares = peaks.iter().zip(overloads);
    let share = median(
        shares
            .map(|(peak, overload)| overload.goodput() / peak.goodput())
            .collect(),
    );
    let sum = |value: fn(&Phase) -> u64| overloads.iter().map(value).sum::<u64>();
    let (failed, bare) = (sum(|phase| phase.failed), sum(|phase| phase.without_retry_after));
    let refused = latencies(overloads, |phase| &phase.refused);
    let line = |name: &str, phases: &[Phase]| {
        let answered = latencies(phases, |phase| &phase.answered);
        let refused = latencies(phases, |phase| &phase.refused);
        vec![
            name.to_owned(),
            format!("{:.0}/s", of(phases, &Phase::offered)),
            format!("{:.0}/s", of(phases, &Phase::goodput)),
            ms(answered.ms(0.5)),
            ms(answered.ms(0.99)),
            format!("{:.1}", of(phases, &|phase| phase.cores)),
            statuses(phases),
            if refused.len() == 0 {
                String::from("—")
            } else {
                ms(refused.ms(0.99))
            },
            phases.iter().map(|phase| phase.failed).sum::<u64>().to_string(),
        ]
    };
    Report {
        title: format!(
            "{ROWS}-row predictions at {TIMES} times the peak: {share:.2} of the peak is answered (at least {GOODPUT_MIN}); \
             {bare} refusals without Retry-After (none); medians of {ROUNDS} rounds"
        ),
        header: &[
            "",
            "offered",
            "answered",
            "p50",
            "p99",
            "server's cores",
            "refused",
            "refusal p99",
            "failed",
        ],
        rows: vec![line("peak", peaks), line("overload", overloads)],
        json: json!({
            "peak_per_second": peak, "offered_per_second": offered, "goodput_per_second": goodput,
            "goodput_share": share, "target": GOODPUT_MIN, "refused": statuses(overloads),
            "refusal_p50_ms": refused.ms(0.5), "refusal_p99_ms": refused.ms(0.99),
            "refusals_without_retry_after": bare, "failed": failed,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_the_peak() {
        let phase = |answered, refused| Phase {
            answered: vec![Duration::from_millis(5); answered],
            refused: vec![Duration::from_millis(1); refused],
            statuses: BTreeMap::from([(503, refused as u64)]),
            without_retry_after: 1,
            failed: 2,
            seconds: 2.0,
            cores: 1.0,
        };
        let found = report(&[phase(100, 0)], &[phase(90, 108)]).json;
        assert_eq!(found["goodput_share"], 0.9);
        assert_eq!(found["offered_per_second"], 100.0);
        assert_eq!(found["refusals_without_retry_after"], 1);
        assert_eq!(found["refused"], "503 × 108");
        // A slow round and two fast ones.
        let peaks = [phase(100, 0), phase(20, 0), phase(200, 0)];
        let overloads = [phase(50, 0), phase(18, 0), phase(180, 0)];
        assert_eq!(report(&peaks, &overloads).json["goodput_share"], 0.9);
    }
}
