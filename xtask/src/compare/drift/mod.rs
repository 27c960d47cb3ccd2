//! `cargo xtask compare drift`: drift reports of many rows, beside Evidently's and beside bare loops.
//!
//! The same reference and the same current rows for all. Caisson is a server with keys, and a deployment
//! whose monitor was fitted on the reference when it was deployed; each report is a request with the current
//! rows as an Arrow stream, and runs in the sandbox. It is timed twice: by the client, and by the server
//! around the plugin's call. Before anything is timed, the statistics are held against SciPy's and NumPy's.

mod python;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::measure::median;
use crate::http::Api;
use crate::site::{self, Site};
use crate::{root, say, table};
use python::Python;

/// Rounds, unless told otherwise.
pub(crate) const ROUNDS: u64 = 5;
/// Rows of the reference and of what is compared with it, unless told otherwise.
pub(crate) const ROWS: u64 = 100_000;
/// Columns, unless told otherwise.
pub(crate) const COLUMNS: u64 = 20;
/// What Caisson may take at most of Evidently's time.
const TARGET: f64 = 0.1;

/// What is compared and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The `caisson` program.
    pub(crate) program: PathBuf,
    pub(crate) rounds: u64,
    pub(crate) rows: u64,
    pub(crate) columns: u64,
    /// Where the numbers go as JSON, besides `target/compare/drift.json`.
    pub(crate) json: Option<PathBuf>,
}

/// One check: the plugin, which is the deployment's name too, and the data that it looks at.
#[derive(Debug, Clone, Copy)]
struct Check {
    plugin: &'static str,
    data: &'static str,
    /// What the bare loop uses.
    bare: &'static str,
    /// How far the statistics may be from the bare loop's: of KS the reference is a sketch of 10,000
    /// values, and of chi-square and PSI every row counts.
    tolerance: f64,
}

const CHECKS: [Check; 3] = [
    Check {
        plugin: "ks",
        data: "numbers",
        bare: "SciPy",
        tolerance: 2e-4,
    },
    Check {
        plugin: "psi",
        data: "numbers",
        bare: "NumPy",
        tolerance: 1e-6,
    },
    Check {
        plugin: "chi-square",
        data: "names",
        bare: "pandas and SciPy",
        tolerance: 1e-6,
    },
];

/// The forms that Caisson is asked in, with the files' endings.
const FORMS: [(&str, &str); 2] = [
    ("arrows", "application/vnd.apache.arrow.stream"),
    ("parquet", "application/vnd.apache.parquet"),
];

/// Seconds, by who took them; a list of rounds each.
type Seconds = BTreeMap<String, Vec<f64>>;

/// Set up, measure, and print.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = root().join("target/compare");
    let folder = target.join("drift");
    std::fs::create_dir_all(&folder)?;
    let mut python = None;
    say::step("Python: data, model and frames", |_| {
        let started = Python::start(&target, &folder, options.rows, options.columns)?;
        let version = started.version.clone();
        python = Some(started);
        Ok(version)
    })?;
    let mut python = python.context("Python was not started")?;
    let mut caisson = None;
    say::step("caisson: monitors are fitted", |progress| {
        let started = Caisson::start(&options.program, &folder, progress)?;
        caisson = Some(started);
        Ok(format!("{} rows", options.rows))
    })?;
    let caisson = caisson.context("Caisson was not started")?;
    let mut found = Vec::new();
    for check in CHECKS {
        say::step(&format!("{} of {}", check.plugin, check.data), |progress| {
            let seconds = measure(&caisson, &mut python, &folder, check, options.rounds, progress)?;
            found.push((check, seconds));
            Ok(format!("{} rounds", options.rounds))
        })?;
    }
    print(&found, options);
    let json = json!({
        "rows": options.rows, "columns": options.columns, "rounds": options.rounds,
        "versions": python.version,
        "seconds": found.iter().map(|(check, seconds)| (check.plugin, seconds)).collect::<BTreeMap<_, _>>(),
    });
    for file in options.json.iter().chain([&target.join("drift.json")]) {
        say::save(file, &json)?;
    }
    Ok(())
}

/// Everyone in every round, one after another.
fn measure(
    caisson: &Caisson,
    python: &mut Python,
    folder: &Path,
    check: Check,
    rounds: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<Seconds> {
    let mut bodies = Vec::new();
    for (ending, media_type) in FORMS {
        let path = folder.join(format!("{}.{ending}", check.data));
        let body = std::fs::read(&path).with_context(|| path.display().to_string())?;
        bodies.push((ending, media_type, body));
    }
    let bare = python.ask(check.data, check.plugin, "bare")?;
    for (_, media_type, body) in &bodies {
        let report = caisson.report(check.plugin, media_type, body)?;
        same_statistics(check, &report.statistics, &bare.statistics)?;
    }
    python.ask(check.data, check.plugin, "evidently")?;
    let mut seconds = Seconds::new();
    for _ in 0..rounds {
        let mut note = |who: String, took: f64| {
            progress(&format!("{who}: {took:.3} s"));
            seconds.entry(who).or_default().push(took);
        };
        for (ending, media_type, body) in &bodies {
            let report = caisson.report(check.plugin, media_type, body)?;
            note(format!("caisson, HTTP, {ending}"), report.client);
            note(format!("caisson, the call ({ending})"), report.server);
        }
        let evidently = python.ask(check.data, check.plugin, "evidently")?;
        note("Evidently".to_owned(), evidently.seconds);
        note(
            check.bare.to_owned(),
            python.ask(check.data, check.plugin, "bare")?.seconds,
        );
    }
    Ok(seconds)
}

/// Is Caisson's report of what it was asked?
fn same_statistics(check: Check, ours: &BTreeMap<String, f64>, theirs: &BTreeMap<String, f64>) -> Result<()> {
    for (column, theirs) in theirs {
        let ours = ours
            .get(column)
            .with_context(|| format!("{}: no statistic of {column}", check.plugin))?;
        ensure!(
            (ours - theirs).abs() <= check.tolerance * theirs.abs().max(1.0),
            "{}: {column} is {ours}, and {theirs} by {}",
            check.plugin,
            check.bare
        );
    }
    Ok(())
}

fn print(found: &[(Check, Seconds)], options: &Options) {
    for (check, seconds) in found {
        println!(
            "\n{}: {} rows × {} columns, medians of {} rounds",
            check.plugin, options.rows, options.columns, options.rounds
        );
        let of = |who: &str| seconds.get(who).cloned().map_or(f64::NAN, median);
        let ours = of("caisson, HTTP, arrows");
        let rows: Vec<Vec<String>> = seconds
            .keys()
            .map(|who| {
                let theirs = of(who);
                vec![
                    who.clone(),
                    format!("{:.0} ms", theirs * 1e3),
                    format!("{:.3}", ours / theirs),
                ]
            })
            .collect();
        table::print(&["", "median", "caisson (arrows) ÷ it"], &rows);
        let ratio = ours / of("Evidently");
        let verdict = if ratio <= TARGET { "met" } else { "missed" };
        println!("   target: at most {TARGET} of Evidently's time: {ratio:.3}, {verdict}");
    }
}

/// A server with the three deployments.
struct Caisson {
    tenant: Api,
    #[expect(dead_code, reason = "the server runs for as long as this is held")]
    site: Site,
}

/// What one report said, and how long it took.
struct Report {
    /// By the client, from the first byte sent to the last one read.
    client: f64,
    /// By the server, around the plugin's call.
    server: f64,
    statistics: BTreeMap<String, f64>,
}

impl Caisson {
    fn start(program: &Path, folder: &Path, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        let site = Site::new(program, &[])?;
        let tenant = site.tenant("acme")?;
        for check in CHECKS {
            site.operator()
                .post(
                    "/v1/plugins?namespace=std",
                    "application/wasm",
                    &site::component(&format!("plugins/{}", check.plugin))?,
                )?
                .ok()?;
            let read = |ending: &str| -> Result<Vec<u8>> {
                let path = folder.join(format!("{}.{ending}", check.data));
                std::fs::read(&path).with_context(|| path.display().to_string())
            };
            let (model, baseline) = (read("onnx")?, read("csv")?);
            let parts: [(&str, &[u8]); 3] = [("model", &model), ("metadata", b"{}"), ("baseline", &baseline)];
            tenant
                .post_form(&format!("/v1/models/{}", check.data), &parts)?
                .ok()?;
            let start = Instant::now();
            let header = baseline.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let columns: Vec<&str> = std::str::from_utf8(header)?.trim().split(',').collect();
            tenant
                .post_json("/v1/deployments", &deployment(check, &columns))?
                .ok()?;
            progress(&format!(
                "{}: deployed and fitted in {}",
                check.plugin,
                say::duration(start)
            ));
        }
        Ok(Self { tenant, site })
    }

    fn report(&self, deployment: &str, media_type: &str, body: &[u8]) -> Result<Report> {
        let before = self.call_seconds(deployment)?;
        let start = Instant::now();
        let answer = self
            .tenant
            .post(&format!("/v1/deployments/{deployment}/drift"), media_type, body)?
            .ok()?;
        let client = start.elapsed().as_secs_f64();
        let features = answer.pointer("/monitors/0/features").and_then(Value::as_array);
        let statistic = |feature: &Value| -> Option<(String, f64)> {
            let name = feature.get("feature")?.as_str()?;
            Some((name.to_owned(), feature.get("statistic")?.as_f64()?))
        };
        Ok(Report {
            client,
            server: self.call_seconds(deployment)? - before,
            statistics: features.into_iter().flatten().filter_map(statistic).collect(),
        })
    }

    /// Seconds in which the deployment's monitor ran, so far.
    fn call_seconds(&self, deployment: &str) -> Result<f64> {
        let metrics = self.tenant.get_text("/metrics")?;
        let deployment = format!("deployment=\"{deployment}\"");
        let mut lines = metrics.lines().filter(|line| {
            line.starts_with("caisson_stage_seconds_sum{")
                && line.contains(&deployment)
                && line.contains("stage=\"monitors[0]")
        });
        // Nothing was measured yet.
        let Some(line) = lines.next() else {
            return Ok(0.0);
        };
        let value = line.rsplit(' ').next().unwrap_or_default();
        value.parse().with_context(|| line.to_owned())
    }
}

/// A model's deployment with one monitor of its input.
fn deployment(check: Check, columns: &[&str]) -> Value {
    let numbers = check.data == "numbers";
    let input: Vec<Value> = columns
        .iter()
        .map(|name| {
            let kind = if numbers || *name == "one" { "fp64" } else { "text" };
            json!({"name": name, "type": kind})
        })
        .collect();
    let given: &[&str] = if numbers { columns } else { &["one"] };
    json!({
        "name": check.plugin,
        "input": input,
        "model": {"name": check.data, "version": 1, "columns": {"x": given}},
        "monitors": [{"name": "drift", "plugin": format!("std/{}", check.plugin), "on": "input"}],
    })
}
