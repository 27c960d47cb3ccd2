//! What Caisson is to reach, as ratios within one run.

use serde_json::{Value, json};

use super::caisson::NAME;
use super::case::Case;
use super::found::Found;
use super::measure::Summary;
use crate::table;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Cpu,
    Throughput,
    P99,
    Memory,
}

impl Measure {
    fn of(self, summary: &Summary) -> f64 {
        match self {
            Self::Cpu => summary.cpu_us,
            Self::Throughput => summary.throughput,
            Self::P99 => summary.p99_ms,
            Self::Memory => summary.memory,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU a request",
            Self::Throughput => "throughput",
            Self::P99 => "p99",
            Self::Memory => "memory",
        }
    }

    /// Is less better?
    fn less(self) -> bool {
        self != Self::Throughput
    }
}

/// Ours divided by theirs.
struct Target {
    measure: Measure,
    case: Case,
    /// The best of these is what counts.
    beside: &'static [&'static str],
    /// Theirs, where it isn't the same.
    their_case: Case,
    bound: f64,
}

/// A target in the same case on both sides.
const fn target(measure: Measure, case: Case, beside: &'static [&'static str], bound: f64) -> Target {
    Target {
        measure,
        case,
        beside,
        their_case: case,
        bound,
    }
}

const LIMIT: &[&str] = &["limit"];
const FASTAPI: &[&str] = &["fastapi"];
const MLSERVER: &[&str] = &["mlserver", "mlserver-inproc"];
const FURNACE: &[&str] = &["furnace-batch32"];

const TARGETS: [Target; 11] = [
    target(Measure::Cpu, Case::json(1, 8).prepared(), LIMIT, 1.3),
    target(Measure::Cpu, Case::json(1, 8), LIMIT, 2.5),
    target(Measure::Cpu, Case::json(1, 64), LIMIT, 1.5),
    target(Measure::Cpu, Case::json(64, 8), LIMIT, 1.4),
    target(Measure::Cpu, Case::json(1, 8), FASTAPI, 1.0 / 4.0),
    target(Measure::Cpu, Case::json(64, 8), FASTAPI, 1.0 / 5.0),
    target(Measure::Cpu, Case::json(1, 8), MLSERVER, 1.0 / 8.0),
    target(Measure::Throughput, Case::json(1, 64), FURNACE, 0.9),
    target(Measure::P99, Case::json(1, 8), FASTAPI, 1.0 / 2.0),
    Target {
        measure: Measure::Cpu,
        case: Case::json(64, 8).binary(),
        beside: &[NAME],
        their_case: Case::json(64, 8),
        bound: 1.0 / 3.0,
    },
    target(Measure::Memory, Case::json(1, 8), FASTAPI, 1.0 / 4.0),
];

/// From the start of the process to readiness, with one deployment and a warm cache, milliseconds.
const READY_MS_MAX: f64 = 150.0;

/// One target and what was found.
#[derive(Debug, PartialEq)]
struct Outcome {
    what: String,
    bound: String,
    found: Option<f64>,
    met: Option<bool>,
}

fn outcomes(found: &Found) -> Vec<Outcome> {
    let mut all: Vec<Outcome> = TARGETS.iter().map(|target| outcome(target, found)).collect();
    all.push(Outcome {
        what: String::from("start to ready, one deployment, ms"),
        bound: format!("≤ {READY_MS_MAX}"),
        found: Some(found.ready_ms),
        met: Some(found.ready_ms <= READY_MS_MAX),
    });
    all
}

fn outcome(target: &Target, found: &Found) -> Outcome {
    let Target {
        measure,
        case,
        beside,
        their_case,
        bound,
    } = target;
    let ours = found.summary(NAME, *case).map(|summary| measure.of(summary));
    let theirs = beside
        .iter()
        .filter_map(|name| found.summary(name, *their_case))
        .map(|summary| measure.of(summary))
        .reduce(|a, b| if measure.less() { a.min(b) } else { a.max(b) });
    let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
    let other = if case == their_case {
        beside.join(" or ")
    } else {
        their_case.title()
    };
    Outcome {
        what: format!("{}, {}, beside {other}", measure.name(), case.title()),
        bound: format!("{} {bound:.2}", if measure.less() { "≤" } else { "≥" }),
        found: ratio,
        met: ratio.map(|ratio| {
            if measure.less() {
                ratio <= *bound
            } else {
                ratio >= *bound
            }
        }),
    }
}

/// The table for people.
pub(crate) fn print(found: &Found) {
    println!("\nTargets (Caisson's divided by the other's, in this run)");
    let rows: Vec<Vec<String>> = outcomes(found)
        .into_iter()
        .map(|outcome| {
            vec![
                outcome.what,
                outcome.bound,
                outcome
                    .found
                    .map_or_else(|| String::from("—"), |value| format!("{value:.2}")),
                String::from(match outcome.met {
                    Some(true) => "met",
                    Some(false) => "missed",
                    None => "not measured",
                }),
            ]
        })
        .collect();
    table::print(&["", "target", "found", ""], &rows);
}

/// The same for programs.
pub(crate) fn json(found: &Found) -> Value {
    outcomes(found)
        .into_iter()
        .map(|outcome| {
            json!({"what": outcome.what, "target": outcome.bound, "found": outcome.found, "met": outcome.met})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::measure::{Cell, Round};

    fn found(cells: &[(&'static str, Case, f64)]) -> Found {
        let mut found = Found {
            ready_ms: 151.0,
            ..Found::default()
        };
        for (server, case, value) in cells {
            let round = Round {
                throughput: *value,
                p50_ms: *value,
                p99_ms: *value,
                cpu_us: *value,
                others: 0.0,
                memory: *value,
                failures: 0,
            };
            let cell = Cell::Measured(Summary::of(&[round]));
            found
                .cells
                .entry(case.to_string())
                .or_default()
                .insert(server, cell);
        }
        found
    }

    fn of(found: &Found, measure: Measure, case: Case, beside: &'static [&'static str]) -> Outcome {
        outcome(&target(measure, case, beside, 0.5), found)
    }

    #[test]
    fn ratios_against_the_best() {
        let case = Case::json(1, 8);
        let found = found(&[(NAME, case, 10.0), ("a", case, 20.0), ("b", case, 40.0)]);
        let cpu = of(&found, Measure::Cpu, case, &["a", "b"]);
        assert_eq!((cpu.found, cpu.met), (Some(0.5), Some(true)));
        let throughput = of(&found, Measure::Throughput, case, &["a", "b"]);
        assert_eq!((throughput.found, throughput.met), (Some(0.25), Some(false)));
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let case = Case::json(1, 8);
        let found = found(&[(NAME, case, 10.0)]);
        assert_eq!(of(&found, Measure::P99, case, &["a"]).met, None);
        assert_eq!(of(&found, Measure::P99, Case::json(1, 1), &[NAME]).met, None);
        let all = outcomes(&found);
        assert_eq!(all.len(), TARGETS.len() + 1);
        assert_eq!(all.last().unwrap().met, Some(false), "151 ms are too many");
    }

    #[test]
    fn binary_against_json() {
        let (json, binary) = (Case::json(64, 8), Case::json(64, 8).binary());
        let found = found(&[(NAME, json, 30.0), (NAME, binary, 10.0)]);
        let outcome = outcomes(&found)
            .into_iter()
            .find(|outcome| outcome.what.contains("binary"));
        assert_eq!(outcome.unwrap().found, Some(10.0 / 30.0));
    }

    #[test]
    fn every_targets_case_is_measured() {
        for target in &TARGETS {
            for case in [target.case, target.their_case] {
                assert!(Case::all().contains(&case), "{case}");
            }
        }
    }
}
