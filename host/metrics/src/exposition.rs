//! The text that scrapers read.
//!
//! Two formats, by what the scraper asks for: Prometheus's (0.0.4), and OpenMetrics 1.0. They differ in how
//! a counter's family is called, in the line of a unit, and in the end. Samples may come in any order; they
//! are put together by metric, in the order of the list.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::catalogue::{ALL, Kind, Metric};
use crate::histogram::Tally;

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's own.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

impl Format {
    /// What a scraper's `Accept` asks for: OpenMetrics where it names that with a weight that is none below
    /// that of plain text, else Prometheus's own.
    pub fn of_accept(accept: &str) -> Self {
        let weight = |wanted: &str| {
            accept
                .split(',')
                .filter_map(|range| {
                    let mut parts = range.split(';').map(str::trim);
                    if !parts.next()?.eq_ignore_ascii_case(wanted) {
                        return None;
                    }
                    let q = parts.find_map(|part| part.strip_prefix("q="));
                    Some(q.map_or(1.0, |q| q.parse::<f64>().unwrap_or(0.0)))
                })
                .fold(0.0, f64::max)
        };
        let open = weight("application/openmetrics-text");
        match open > 0.0 && open >= weight("text/plain") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Samples on their way to a scraper.
#[derive(Debug, Default)]
pub struct Exposition {
    samples: HashMap<&'static str, String>,
}

impl Exposition {
    /// A counter or a gauge that is a whole number.
    pub fn count(&mut self, metric: &Metric, labels: &[&str], value: u64) {
        self.line(metric, "", labels, None, |text| write!(text, "{value}"));
    }

    /// A counter or a gauge.
    pub fn value(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        self.line(metric, "", labels, None, |text| number(text, value));
    }

    /// A histogram.
    pub fn histogram(&mut self, metric: &Metric, labels: &[&str], tally: &Tally) {
        let ((first, last), scale) = match metric.kind {
            Kind::Durations => (DURATION_POWERS, 1e6),
            _ => (SIZE_POWERS, 1.0),
        };
        for (power, below) in tally.below_powers(first, last) {
            let bound = format!("{:?}", (1u64 << power) as f64 / scale);
            self.line(metric, "_bucket", labels, Some(&bound), |text| {
                write!(text, "{below}")
            });
        }
        let count = tally.count();
        self.line(metric, "_bucket", labels, Some("+Inf"), |text| {
            write!(text, "{count}")
        });
        let sum = match metric.kind {
            Kind::Durations => tally.total().as_secs_f64(),
            _ => tally.total_size() as f64,
        };
        self.line(metric, "_sum", labels, None, |text| number(text, sum));
        self.line(metric, "_count", labels, None, |text| write!(text, "{count}"));
    }

    fn line(
        &mut self,
        metric: &Metric,
        suffix: &str,
        labels: &[&str],
        bound: Option<&str>,
        value: impl FnOnce(&mut String) -> std::fmt::Result,
    ) {
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        let text = self.samples.entry(metric.name).or_default();
        text.push_str(metric.name);
        text.push_str(suffix);
        let named = metric.labels.iter().copied().zip(labels.iter().copied());
        let mut opened = false;
        for (name, value) in named.chain(bound.map(|bound| ("le", bound))) {
            text.push(if opened { ',' } else { '{' });
            opened = true;
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value);
            text.push('"');
        }
        text.push_str(if opened { "} " } else { " " });
        // Writing to a string doesn't fail.
        let _ = value(text);
        text.push('\n');
    }

    /// The whole text. A metric without a sample isn't named.
    pub fn finish(self, format: Format) -> String {
        let mut out = String::with_capacity(self.samples.values().map(|text| text.len() + 256).sum());
        for metric in ALL {
            let Some(samples) = self.samples.get(metric.name) else {
                continue;
            };
            let family = match format {
                Format::Prometheus => metric.name,
                Format::OpenMetrics => metric.family(),
            };
            let (help, kind) = (metric.help, metric.kind.as_str());
            // Writing to a string doesn't fail.
            let _ = writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind}");
            if let (Format::OpenMetrics, Some(unit)) = (format, metric.unit()) {
                let _ = writeln!(out, "# UNIT {family} {unit}");
            }
            out.push_str(samples);
        }
        if format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }
}

/// Powers of two of microseconds that are bounds of durations: 16 µs, what a call of a small plugin takes,
/// to 33.6 s, past the longest deadline. Bounds where the histogram's own buckets begin make the counts exact.
const DURATION_POWERS: (u32, u32) = (4, 25);
/// Likewise of sizes: one row to 65,536.
const SIZE_POWERS: (u32, u32) = (0, 16);

fn number(text: &mut String, value: f64) -> std::fmt::Result {
    match value {
        v if v.is_nan() => text.write_str("NaN"),
        f64::INFINITY => text.write_str("+Inf"),
        f64::NEG_INFINITY => text.write_str("-Inf"),
        v => write!(text, "{v}"),
    }
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;
    use crate::catalogue::{BATCH_ROWS, DRIFT_SCORE, REQUEST_SECONDS, REQUESTS, TENANTS};
    use std::time::Duration;

    fn samples() -> Exposition {
        let mut to = Exposition::default();
        to.count(&REQUESTS, &["acme", "churn"], 3);
        to.value(&DRIFT_SCORE, &["acme", "churn", "a\"b\\c\n"], f64::INFINITY);
        to.count(&TENANTS, &[], 2);
        to.count(&REQUESTS, &["acme", "other"], 1);
        to
    }

    #[test]
    fn prometheus_text() {
        let text = samples().finish(Format::Prometheus);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines
            .iter()
            .position(|l| *l == "# TYPE caisson_requests_total counter");
        let requests = &lines[at.unwrap()..][..3];
        assert_eq!(
            requests[1..],
            [
                "caisson_requests_total{tenant=\"acme\",deployment=\"churn\"} 3",
                "caisson_requests_total{tenant=\"acme\",deployment=\"other\"} 1"
            ]
        );
        assert!(text.contains("monitor=\"a\\\"b\\\\c\\n\"} +Inf\n"), "{text}");
        assert!(text.contains("\ncaisson_tenants 2\n") || text.starts_with("caisson_tenants"));
        assert!(!text.contains("EOF") && !text.contains("UNIT"));
    }

    #[test]
    fn openmetrics_text() {
        let mut to = samples();
        to.histogram(&REQUEST_SECONDS, &["acme", "churn"], &Tally::default());
        let text = to.finish(Format::OpenMetrics);
        assert!(
            text.contains("# TYPE caisson_requests counter\ncaisson_requests_total{"),
            "{text}"
        );
        assert!(text.contains("# UNIT caisson_request_seconds seconds\n"));
        assert!(text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn histograms_are_cumulative_and_end_with_all() {
        let (times, sizes) = (Histogram::default(), Histogram::default());
        times.add(Duration::from_micros(900));
        times.add(Duration::from_secs(100));
        sizes.add_size(8);
        let mut to = Exposition::default();
        to.histogram(&REQUEST_SECONDS, &["t", "d"], &times.read());
        to.histogram(&BATCH_ROWS, &["t", "d"], &sizes.read());
        let text = to.finish(Format::Prometheus);
        for line in [
            "caisson_request_seconds_bucket{tenant=\"t\",deployment=\"d\",le=\"0.000512\"} 0",
            "caisson_request_seconds_bucket{tenant=\"t\",deployment=\"d\",le=\"0.001024\"} 1",
            "caisson_request_seconds_bucket{tenant=\"t\",deployment=\"d\",le=\"+Inf\"} 2",
            "caisson_request_seconds_sum{tenant=\"t\",deployment=\"d\"} 100.0009",
            "caisson_request_seconds_count{tenant=\"t\",deployment=\"d\"} 2",
            "caisson_batch_rows_bucket{tenant=\"t\",deployment=\"d\",le=\"4.0\"} 0",
            "caisson_batch_rows_bucket{tenant=\"t\",deployment=\"d\",le=\"8.0\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_format_is_what_the_scraper_asks_for() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::of_accept(prometheus), Format::OpenMetrics);
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/plain, application/openmetrics-text;q=0.1",
            "application/openmetrics-text;q=0",
        ] {
            assert_eq!(Format::of_accept(accept), Format::Prometheus, "{accept}");
        }
    }
}
