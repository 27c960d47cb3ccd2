//! The dashboard for Grafana: what answers questions first, then a panel for every metric, by topic.

use caisson_metrics::catalogue::{self as metric, ALL, Topic};
use caisson_metrics::{Kind, Metric};
use serde_json::{Value, json};

/// Width of the grid.
const COLUMNS: u64 = 24;
/// A panel's size: three in a row.
const WIDTH: u64 = 8;
const HEIGHT: u64 = 8;

/// Which series the variables at the top choose.
const CHOSEN: &str = "tenant=~\"$tenant\",deployment=~\"$deployment\"";

/// The text of the file.
pub(super) fn text() -> String {
    let mut grid = Grid::default();
    grid.row("At a glance");
    for panel in glance() {
        grid.put(panel);
    }
    for topic in Topic::ALL {
        grid.row(topic.title());
        for metric in ALL.iter().filter(|metric| metric.topic == topic) {
            grid.put(of_metric(metric));
        }
    }
    let dashboard = json!({
        "title": "Caisson",
        "uid": "caisson",
        "description": "Made by `cargo xtask observability`",
        "tags": ["caisson"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            variable("tenant", &format!("label_values({}, tenant)", metric::REQUESTS.name)),
            variable(
                "deployment",
                &format!("label_values({}{{tenant=~\"$tenant\"}}, deployment)", metric::REQUESTS.name),
            ),
        ]},
        "panels": grid.panels,
    });
    format!("{dashboard:#}\n")
}

fn variable(name: &str, query: &str) -> Value {
    json!({
        "name": name, "type": "query", "datasource": datasource(), "query": query, "refresh": 2,
        "multi": true, "includeAll": true, "allValue": ".*", "current": {"text": "All", "value": "$__all"}
    })
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// Panels one after the other.
#[derive(Default)]
struct Grid {
    panels: Vec<Value>,
    x: u64,
    y: u64,
}

impl Grid {
    fn row(&mut self, title: &str) {
        if self.x > 0 {
            (self.x, self.y) = (0, self.y + HEIGHT);
        }
        let at = json!({"x": 0, "y": self.y, "w": COLUMNS, "h": 1});
        let id = self.panels.len() + 1;
        self.panels.push(
            json!({"id": id, "type": "row", "title": title, "collapsed": false, "panels": [], "gridPos": at}),
        );
        self.y += 1;
    }

    fn put(&mut self, panel: Panel) {
        if self.x + WIDTH > COLUMNS {
            (self.x, self.y) = (0, self.y + HEIGHT);
        }
        let at = json!({"x": self.x, "y": self.y, "w": WIDTH, "h": HEIGHT});
        let id = self.panels.len() + 1;
        self.panels.push(panel.json(id, at));
        self.x += WIDTH;
    }
}

/// One panel of lines over time.
struct Panel {
    title: String,
    about: String,
    unit: &'static str,
    stacked: bool,
    /// Queries with their legends.
    queries: Vec<(String, String)>,
}

impl Panel {
    fn json(&self, id: usize, at: Value) -> Value {
        let targets: Vec<Value> = ('A'..='Z')
            .zip(&self.queries)
            .map(|(letter, (query, legend))| {
                json!({"refId": letter.to_string(), "expr": query, "legendFormat": legend, "datasource": datasource()})
            })
            .collect();
        let stacking = if self.stacked { "normal" } else { "none" };
        json!({
            "id": id, "type": "timeseries", "title": self.title, "description": self.about,
            "datasource": datasource(), "gridPos": at, "targets": targets,
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit, "min": 0,
                    "custom": {"stacking": {"mode": stacking}, "fillOpacity": if self.stacked { 30 } else { 5 }}
                },
                "overrides": []
            },
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
        })
    }
}

/// What to look at first.
fn glance() -> Vec<Panel> {
    let rate = |metric: &Metric, suffix: &str| {
        format!("rate({}{suffix}{{{CHOSEN}}}[$__rate_interval])", metric.name)
    };
    let per = |text: String| format!("sum by (tenant, deployment) ({text})");
    let legend = "{{tenant}}/{{deployment}}".to_owned();
    let panel = |title: &str, about: &str, unit, queries| Panel {
        title: title.to_owned(),
        about: about.to_owned(),
        unit,
        stacked: false,
        queries,
    };
    let quantile = |q: f64, metric: &Metric| {
        format!(
            "histogram_quantile({q}, sum by (le, tenant, deployment) ({}))",
            rate(metric, "_bucket")
        )
    };
    let latency = [0.5, 0.95, 0.99].map(|q| {
        (
            quantile(q, &metric::REQUEST_SECONDS),
            format!("{legend} p{}", q * 100.0),
        )
    });
    let mut by_stage = panel(
        "Where the time goes",
        "Seconds of each second that requests spend in each stage; the widest is the bottleneck.",
        "s",
        vec![
            (
                format!(
                    "sum by (tenant, deployment, stage) ({})",
                    rate(&metric::STAGE_SECONDS, "_sum")
                ),
                "{{tenant}}/{{deployment}} {{stage}}".to_owned(),
            ),
            (
                per(rate(&metric::QUEUE_SECONDS, "_sum")),
                format!("{legend} queue"),
            ),
        ],
    );
    by_stage.stacked = true;
    vec![
        panel(
            "Requests a second",
            metric::REQUESTS.help,
            "reqps",
            vec![(per(rate(&metric::REQUESTS, "")), legend.clone())],
        ),
        panel(
            "Share of requests that failed",
            metric::REQUEST_FAILURES.help,
            "percentunit",
            vec![(
                format!(
                    "{} / {}",
                    per(rate(&metric::REQUEST_FAILURES, "")),
                    per(rate(&metric::REQUESTS, ""))
                ),
                legend.clone(),
            )],
        ),
        panel("Latency", metric::REQUEST_SECONDS.help, "s", latency.to_vec()),
        by_stage,
        panel(
            "Plugins: waiting, computing",
            "Seconds of each second that calls wait for an instance, and compute.",
            "s",
            vec![
                (
                    format!(
                        "sum by (tenant, deployment, stage) ({}) - on (tenant, deployment, stage) {}",
                        rate(&metric::STAGE_SECONDS, "_sum"),
                        rate(&metric::PLUGIN_RUN_SECONDS, "")
                    ),
                    "{{deployment}} {{stage}} waits".to_owned(),
                ),
                (
                    rate(&metric::PLUGIN_BUSY_SECONDS, ""),
                    "{{deployment}} {{stage}} computes".to_owned(),
                ),
            ],
        ),
        panel(
            "Drift",
            metric::DRIFT_SCORE.help,
            "none",
            vec![(
                format!("{}{{{CHOSEN}}}", metric::DRIFT_SCORE.name),
                "{{deployment}} {{monitor}}".to_owned(),
            )],
        ),
    ]
}

/// The panel of one metric.
fn of_metric(metric: &Metric) -> Panel {
    let chosen: Vec<String> = metric
        .labels
        .iter()
        .filter(|label| matches!(**label, "tenant" | "deployment"))
        .map(|label| format!("{label}=~\"${label}\""))
        .collect();
    let chosen = match chosen.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", chosen.join(",")),
    };
    let by = metric.labels.join(", ");
    let legend: Vec<String> = metric
        .labels
        .iter()
        .map(|label| format!("{{{{{label}}}}}"))
        .collect();
    let legend = match legend.is_empty() {
        true => metric.name.to_owned(),
        false => legend.join(" "),
    };
    let sum = |text: &str| match by.is_empty() {
        true => format!("sum({text})"),
        false => format!("sum by ({by}) ({text})"),
    };
    let name = metric.name;
    let queries = match metric.kind {
        Kind::Counter => vec![(sum(&format!("rate({name}{chosen}[$__rate_interval])")), legend)],
        // Grafana's times are milliseconds.
        Kind::Gauge if is_time(metric) => {
            vec![(format!("{} * 1000", sum(&format!("{name}{chosen}"))), legend)]
        }
        Kind::Gauge => vec![(sum(&format!("{name}{chosen}")), legend)],
        Kind::Durations | Kind::Sizes => [0.5, 0.95]
            .map(|q| {
                let buckets = format!("sum by (le, {by}) (rate({name}_bucket{chosen}[$__rate_interval]))");
                (
                    format!("histogram_quantile({q}, {buckets})"),
                    format!("{legend} p{}", q * 100.0),
                )
            })
            .to_vec(),
    };
    let unit = match (metric.kind, metric.unit()) {
        _ if is_time(metric) => "dateTimeAsIso",
        // Of a counter: seconds of each second.
        (_, Some("seconds")) => "s",
        (_, Some("bytes")) => "bytes",
        (Kind::Counter, _) => "cps",
        _ => "short",
    };
    Panel {
        title: title(metric),
        about: format!("{} ({name})", metric.help),
        unit,
        stacked: false,
        queries,
    }
}

/// Is it a point in time?
fn is_time(metric: &Metric) -> bool {
    metric.name.ends_with("_timestamp_seconds") || metric.name.ends_with("_time_seconds")
}

/// `caisson_plugin_memory_peak_bytes`: Plugin memory peak.
fn title(metric: &Metric) -> String {
    let words = metric.family();
    let words = words.strip_prefix("caisson_").unwrap_or(words);
    let words = match metric.unit() {
        Some(unit @ ("seconds" | "bytes")) => words.trim_end_matches(unit).trim_end_matches('_'),
        _ => words,
    };
    let words = words.replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => format!("{}{}", first.to_uppercase(), letters.as_str()),
        None => words,
    }
}
