//! One load on one server, and what the rounds of it come to.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::case::Case;
use super::contender::Contender;
use super::fixture::Fixture;
use super::wrk::Wrk;
use crate::process;

/// Cores of work by others up to which a round counts as undisturbed.
const OTHERS_MAX: f64 = 0.25;
/// How long one look at the machine takes before a round.
const LOOK: Duration = Duration::from_millis(500);

/// How a load is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) seconds: u64,
    /// How long a round may wait for the machine to be quiet.
    pub(crate) quiet_wait: Duration,
}

/// One round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) throughput: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// User and system time of the server's processes for each answered request, microseconds.
    pub(crate) cpu_us: f64,
    /// Cores that neither the server nor the load generator used.
    pub(crate) others: f64,
    /// Proportional memory of the server's processes at the end, bytes.
    pub(crate) memory: f64,
    pub(crate) failures: u64,
}

/// Load one server once. The machine is looked at first.
#[expect(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^53")]
pub(crate) fn round(
    wrk: &Wrk,
    server: &Contender,
    fixture: &Fixture,
    case: Case,
    pace: Pace,
) -> Result<Round> {
    wait_until_quiet(pace.quiet_wait);
    let request = server.request(fixture, case);
    let tree = process::tree(server.pid);
    let (machine, others) = (process::machine_cpu(), process::ended_children_cpu());
    let (cpu, begin) = (process::cpu(&tree), Instant::now());
    let answered = wrk.run(server.api.url(), &request, case.connections, pace.seconds)?;
    let took = begin.elapsed().as_secs_f64();
    let cpu = process::cpu(&tree).saturating_sub(cpu).as_secs_f64();
    let generator = process::ended_children_cpu().saturating_sub(others).as_secs_f64();
    let machine = process::machine_cpu().saturating_sub(machine).as_secs_f64();
    let requests = answered.requests as f64;
    Ok(Round {
        throughput: requests / answered.seconds,
        p50_ms: answered.p50_ms,
        p99_ms: answered.p99_ms,
        cpu_us: cpu * 1e6 / requests,
        others: ((machine - cpu - generator) / took).max(0.0),
        memory: process::memory_of(&tree).proportional as f64,
        failures: answered.failures,
    })
}

/// Wait for a moment in which the machine does little, as long as allowed.
fn wait_until_quiet(limit: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < limit {
        let before = process::machine_cpu();
        std::thread::sleep(LOOK);
        let busy = process::machine_cpu().saturating_sub(before);
        if busy.as_secs_f64() < OTHERS_MAX * LOOK.as_secs_f64() {
            return;
        }
    }
}

/// What a server showed in a case.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Measured(Summary),
    /// Why it can't be measured.
    Cannot(String),
}

/// Medians of rounds.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) throughput: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_us: f64,
    pub(crate) memory: f64,
    /// The least of the rounds that count.
    pub(crate) others: f64,
    /// Whether rounds were undisturbed: then only these count.
    pub(crate) quiet: bool,
    pub(crate) failures: u64,
    pub(crate) rounds: usize,
}

impl Summary {
    /// Medians of the undisturbed rounds, or of all where there are none.
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let quiet: Vec<&Round> = rounds.iter().filter(|round| round.others < OTHERS_MAX).collect();
        let chosen = if quiet.is_empty() {
            rounds.iter().collect()
        } else {
            quiet.clone()
        };
        let of = |value: fn(&Round) -> f64| median(chosen.iter().map(|round| value(round)).collect());
        Self {
            throughput: of(|round| round.throughput),
            p50_ms: of(|round| round.p50_ms),
            p99_ms: of(|round| round.p99_ms),
            cpu_us: of(|round| round.cpu_us),
            memory: of(|round| round.memory),
            others: of(|round| round.others),
            quiet: !quiet.is_empty(),
            failures: rounds.iter().map(|round| round.failures).sum(),
            rounds: chosen.len(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "requests_per_second": self.throughput, "p50_ms": self.p50_ms, "p99_ms": self.p99_ms,
            "cpu_us_per_request": self.cpu_us, "memory_bytes": self.memory, "others_cores": self.others,
            "quiet": self.quiet, "failures": self.failures, "rounds": self.rounds,
        })
    }
}

/// The middle of the numbers; of an even count, the lower of the two; NaN of none.
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let at = all.len().saturating_sub(1) / 2;
    all.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(throughput: f64, others: f64) -> Round {
        Round {
            throughput,
            p50_ms: 1.0,
            p99_ms: 2.0,
            cpu_us: 100.0,
            others,
            memory: 1e6,
            failures: 1,
        }
    }

    #[test]
    fn undisturbed_rounds_count() {
        let all = [round(10.0, 1.5), round(30.0, 0.1), round(20.0, 0.9)];
        let summary = Summary::of(&all);
        assert_eq!(
            (summary.throughput, summary.quiet, summary.rounds),
            (30.0, true, 1)
        );
        assert_eq!(summary.failures, 3, "of all rounds");
    }

    #[test]
    fn all_rounds_count_where_none_was_undisturbed() {
        let all = [round(10.0, 1.5), round(30.0, 0.8), round(20.0, 0.9)];
        let summary = Summary::of(&all);
        assert_eq!(
            (summary.throughput, summary.quiet, summary.rounds),
            (20.0, false, 3)
        );
        assert_eq!(summary.others, 0.9);
    }

    #[test]
    fn middles() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }
}
