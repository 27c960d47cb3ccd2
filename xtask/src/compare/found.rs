//! What was found: the tables, and the same as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::caisson;
use super::case::Case;
use super::measure::{Cell, Summary};
use crate::table;

/// A server that was measured.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// From the start of the process to the first right answer, milliseconds.
    pub(crate) start_ms: f64,
    /// Why a row that lacks values isn't answered as it should be, where it isn't.
    pub(crate) gaps: Option<String>,
}

/// Everything of one run.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) servers: Vec<Server>,
    pub(crate) cases: Vec<Case>,
    /// By the case's name, then the server's.
    pub(crate) cells: BTreeMap<String, BTreeMap<&'static str, Cell>>,
    /// Caisson's, from the start of the process to readiness with one deployment, milliseconds.
    pub(crate) ready_ms: f64,
}

impl Found {
    /// What a server showed in a case, if it was measured.
    pub(crate) fn summary(&self, server: &str, case: Case) -> Option<&Summary> {
        match self.cells.get(&case.to_string())?.get(server)? {
            Cell::Measured(summary) => Some(summary),
            Cell::Cannot(_) => None,
        }
    }

    /// A table of the servers, then one a case.
    pub(crate) fn print(&self) {
        println!("\nServers (start: to the first right answer)");
        let rows: Vec<Vec<String>> = self
            .servers
            .iter()
            .map(|server| {
                vec![
                    server.name.to_owned(),
                    format!("{:.0} ms", server.start_ms),
                    server.version.clone(),
                ]
            })
            .collect();
        table::print(&["", "start", "version"], &rows);
        for server in &self.servers {
            if let Some(why) = &server.gaps {
                println!("   {}: does not fill what is missing: {why}", server.name);
            }
        }
        for case in &self.cases {
            self.print_case(*case);
        }
    }

    fn print_case(&self, case: Case) {
        const HEADER: [&str; 9] = [
            "", "req/s", "p50 ms", "p99 ms", "CPU µs", "PSS MiB", "req/s ×", "p99 ×", "CPU ×",
        ];
        println!("\n{} ({case})", case.title());
        let ours = self.summary(caisson::NAME, case);
        let mut notes = Vec::new();
        let mut rows = Vec::new();
        for server in &self.servers {
            match self
                .cells
                .get(&case.to_string())
                .and_then(|cells| cells.get(server.name))
            {
                Some(Cell::Measured(summary)) => {
                    rows.push(line(server.name, summary, ours));
                    notes.extend(remarks(server.name, summary));
                }
                Some(Cell::Cannot(why)) => {
                    rows.push(vec![server.name.to_owned(), String::from("—")]);
                    notes.push(format!("{}: —: {why}", server.name));
                }
                None => {}
            }
        }
        table::print(&HEADER, &rows);
        for note in notes {
            println!("   {note}");
        }
    }

    pub(crate) fn json(&self) -> Value {
        let servers: Map<String, Value> = self
            .servers
            .iter()
            .map(|server| {
                let what =
                    json!({"version": server.version, "start_ms": server.start_ms, "gaps": server.gaps});
                (server.name.to_owned(), what)
            })
            .collect();
        let cases: Map<String, Value> = self
            .cells
            .iter()
            .map(|(case, cells)| {
                let cells: Map<String, Value> = cells
                    .iter()
                    .map(|(server, cell)| {
                        let what = match cell {
                            Cell::Measured(summary) => summary.json(),
                            Cell::Cannot(why) => json!({ "cannot": why }),
                        };
                        ((*server).to_owned(), what)
                    })
                    .collect();
                (case.clone(), Value::Object(cells))
            })
            .collect();
        json!({"servers": servers, "ready_ms": self.ready_ms, "cases": cases})
    }
}

/// A server's numbers, then each as a multiple of Caisson's.
fn line(name: &str, summary: &Summary, ours: Option<&Summary>) -> Vec<String> {
    let times = |value: fn(&Summary) -> f64| {
        ours.map_or_else(String::new, |ours| format!("{:.2}", value(summary) / value(ours)))
    };
    vec![
        name.to_owned(),
        format!("{:.0}", summary.throughput),
        format!("{:.2}", summary.p50_ms),
        format!("{:.2}", summary.p99_ms),
        format!("{:.0}", summary.cpu_us),
        format!("{:.0}", summary.memory / f64::from(1 << 20)),
        times(|summary| summary.throughput),
        times(|summary| summary.p99_ms),
        times(|summary| summary.cpu_us),
    ]
}

/// What makes a server's numbers doubtful.
fn remarks(name: &str, summary: &Summary) -> Vec<String> {
    let mut all = Vec::new();
    if summary.failures > 0 {
        all.push(format!("{name}: {} requests failed", summary.failures));
    }
    if !summary.quiet {
        all.push(format!(
            "{name}: not quiet, {:.1} cores of other work at the median",
            summary.others
        ));
    }
    all
}
