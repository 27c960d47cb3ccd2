//! `/metrics`: what scrapers make of it, and that nobody fills it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use caisson_metrics::catalogue::{self, Kind};
use serde_json::json;

use crate::harness::{Keyed, Server, guest, one_column, plugin, root};
use crate::python::{python, run};

/// Prometheus's own checker. Where it isn't installed, what it checks isn't checked, unless
/// `CAISSON_NEED_PROMTOOL` says that it has to be.
fn promtool() -> Option<PathBuf> {
    let program = PathBuf::from(std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into()));
    if Command::new(&program).arg("--version").output().is_ok() {
        return Some(program);
    }
    assert!(
        std::env::var_os("CAISSON_NEED_PROMTOOL").is_none(),
        "promtool isn't installed; on Debian it is in the package `prometheus`"
    );
    eprintln!("skipped: promtool isn't installed; on Debian it is in the package `prometheus`");
    None
}

fn check(program: &Path, args: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{args:?}: {}{}", said[0], said[1]);
    let problems: Vec<&str> = said[1].lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(
        args[0] != "check" || args[1] != "metrics" || problems.is_empty(),
        "{problems:?}"
    );
}

/// A server on which everything that has a metric has happened, as far as one request each goes.
fn busy() -> Server {
    let server = Server::with_cdnow();
    let rows = crate::harness::cdnow("test_customers.csv");
    let answer = server.post("/v1/deployments/cdnow-repurchase/predict", "text/csv", &rows);
    assert_eq!(answer.status, 200, "{answer:?}");
    let later = crate::harness::cdnow("later_months.csv");
    let path = "/v1/deployments/cdnow-repurchase/drift?record=true";
    let drift = server.post(path, "text/csv", &later);
    assert_eq!(drift.status, 200, "{drift:?}");
    server.push(&guest("hostile"));
    server.push(&plugin("clip"));
    let trap = json!([{"plugin": "hostile", "config": {"behave": "unreachable"}}]);
    server.deploy(&one_column("traps", trap));
    let clip = json!([{"plugin": "clip", "config": {"columns": {"x": {"max": 5.0}}}, "isolation": "warm"}]);
    let mut clip = one_column("logged", clip);
    clip["log"] = json!({"sample": 1, "flush_seconds": 1});
    clip["cache"] = json!({"max_mib": 1});
    server.deploy(&clip);
    let rows = json!({"rows": [{"x": 1.0}]});
    for _ in 0..3 {
        server.post_json("/v1/deployments/traps/predict", &rows);
        server.post_json("/v1/deployments/logged/predict", &rows);
    }
    server
}

fn openmetrics(client: &Keyed) -> String {
    let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
    client.text_with(
        "/metrics",
        &accept,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )
}

#[test]
fn promtool_and_openmetrics_parsers_read_it() {
    let server = busy();
    let text = server.metrics();
    if let Some(promtool) = promtool() {
        check(&promtool, &["check", "metrics"], &text);
        let rules = root().join("examples/observability/prometheus/caisson.rules.yaml");
        check(&promtool, &["check", "rules", rules.to_str().unwrap()], "");
        let config = root().join("examples/observability/prometheus/prometheus.yaml");
        check(
            &promtool,
            &["check", "config", "--syntax-only", config.to_str().unwrap()],
            "",
        );
    }
    let open = openmetrics(&server);
    assert!(open.ends_with("# EOF\n"), "{open}");
    let program = "import sys\n\
                   from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
                   families = {f.name: f for f in read(sys.stdin.read())}\n\
                   requests = families['caisson_requests']\n\
                   assert requests.type == 'counter', requests\n\
                   assert families['caisson_stage_seconds'].unit == 'seconds'\n\
                   print(len(families))";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &open).unwrap();
    let stdin = Stdio::from(file.reopen().unwrap());
    let families = run(Command::new(python("duckdb", "requirements.txt"))
        .args(["-c", program])
        .stdin(stdin));
    let families: usize = String::from_utf8(families).unwrap().trim().parse().unwrap();
    assert!(families > 40, "{families}");
}

/// The samples of a text: each metric's name and labels.
fn samples(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let of = |line: &str| {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        // No value of these tests has a quote or a comma.
        let labels = labels
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty());
        let pair = |label: &str| {
            let (key, value) = label.split_once('=').unwrap();
            (key.to_owned(), value.trim_matches('"').to_owned())
        };
        (name.to_owned(), labels.map(pair).collect())
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(of).collect()
}

#[test]
fn what_a_live_server_exposes_is_what_is_listed() {
    let server = busy();
    let mut seen = BTreeSet::new();
    for (name, labels) in samples(&server.metrics()) {
        let metric = catalogue::ALL.iter().find(|metric| match metric.kind {
            Kind::Durations | Kind::Sizes => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|suffix| name.strip_suffix(suffix) == Some(metric.name)),
            Kind::Counter | Kind::Gauge => name == metric.name,
        });
        let metric = metric.unwrap_or_else(|| panic!("{name} is not listed"));
        let own: BTreeSet<&str> = labels
            .keys()
            .map(String::as_str)
            .filter(|key| *key != "le")
            .collect();
        assert_eq!(own, metric.labels.iter().copied().collect(), "{name}");
        seen.insert(metric.name);
    }
    // Traces are exported by a server that has a collector; the tests of windows look at alarms.
    let elsewhere = [catalogue::TRACES.name, catalogue::DRIFT_ALARM.name];
    let missing: Vec<&str> = catalogue::ALL
        .iter()
        .map(|metric| metric.name)
        .filter(|name| !seen.contains(name) && !elsewhere.contains(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "listed, and never exposed");
}

#[test]
fn the_sandbox_says_what_it_did() {
    let server = busy();
    let metrics = server.metrics();
    let value = |start: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start}: {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let of = |deployment: &str, plugin: &str| {
        format!("{{tenant=\"default\",deployment=\"{deployment}\",stage=\"transforms[0] {plugin}@0.1.0\"")
    };
    let (traps, warm) = (of("traps", "hostile"), of("logged", "clip"));
    assert_eq!(
        value(&format!(
            "caisson_plugin_failures_total{traps},cause=\"unreachable\"}}"
        )),
        3.0
    );
    assert_eq!(value(&format!("caisson_plugin_calls_total{traps}}}")), 3.0);
    // One for each call, and those on which it was described and configured.
    assert!(value(&format!("caisson_plugin_instances_total{traps}}}")) > 3.0);
    assert!(value(&format!("caisson_plugin_memory_peak_bytes{traps}}}")) >= 65536.0);
    // One run, and two answers that were kept.
    assert_eq!(value(&format!("caisson_stage_seconds_count{warm}}}")), 1.0);
    let cache = "caisson_response_cache_total{tenant=\"default\",deployment=\"logged\",result=";
    assert_eq!(
        (
            value(&format!("{cache}\"hit\"}}")),
            value(&format!("{cache}\"miss\"}}"))
        ),
        (2.0, 1.0)
    );
    for n in 0..3 {
        let rows = json!({"rows": [{"x": 10.0 + f64::from(n)}]});
        server.post_json("/v1/deployments/logged/predict", &rows);
    }
    let metrics = server.metrics();
    let reuses = format!("caisson_plugin_reuses_total{warm}}} 3");
    assert!(metrics.contains(&reuses), "{reuses}: {metrics}");
}

#[test]
fn ten_thousand_names_make_no_series() {
    let server = Server::start();
    server.push(&plugin("clip"));
    let clip = json!([{"plugin": "clip", "config": {"columns": {"x": {"max": 5.0}}}}]);
    server.deploy(&one_column("pricing", clip));
    let rows = json!({"rows": [{"x": 1.0}]});
    assert_eq!(
        server.post_json("/v1/deployments/pricing/predict", &rows).status,
        200
    );
    let names = |text: &str| -> BTreeSet<_> { samples(text).into_iter().collect() };
    let before = names(&server.metrics());
    // Of each connection, one request after the other.
    for connection in 0..20 {
        let mut requests = String::new();
        for n in 0..500 {
            let name = format!("x{connection}-{n}");
            let path = match n % 3 {
                0 => format!("/v1/deployments/{name}/predict"),
                1 => format!("/v2/models/{name}/infer"),
                _ => format!("/v2/models/pricing/versions/{name}/infer"),
            };
            let close = if n == 499 { "Connection: close\r\n" } else { "" };
            requests.push_str(&format!(
                "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\
                 X-Request-Id: {name}\r\ntraceparent: 00-{connection:032x}-{:016x}-01\r\n{close}\r\n{{}}",
                n + 1
            ));
        }
        let answers = server.raw(requests.as_bytes());
        let refused = answers.matches("HTTP/1.1 404").count() + answers.matches("HTTP/1.1 400").count();
        // We have closed our side by then, and the last answer may meet that.
        assert!(
            refused >= 499,
            "{refused}: {}",
            &answers[answers.len().saturating_sub(2000)..]
        );
    }
    let after = names(&server.metrics());
    assert_eq!(before, after);
}

#[test]
fn revisions_that_are_gone_leave_no_series() {
    let server = Server::start();
    server.push(&plugin("clip"));
    server.push(&plugin("log1p"));
    let stage = |n: usize| match n % 2 {
        0 => json!({"plugin": "clip", "config": {"columns": {"x": {"max": n}}}}),
        _ => json!({"plugin": "log1p", "config": {"columns": ["x"]}}),
    };
    let mut sizes = BTreeSet::new();
    for n in 2..8 {
        server.deploy(&one_column("turns", json!([stage(n)])));
        let rows = json!({"rows": [{"x": 1.0}]});
        assert_eq!(
            server.post_json("/v1/deployments/turns/predict", &rows).status,
            200
        );
        sizes.insert(samples(&server.metrics()).len());
    }
    assert_eq!(sizes.len(), 1, "{sizes:?}");
}
