//! From a plugin's upload to its first prediction.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Options, Report, ms};
use crate::site::{self, Site};
use crate::stats::Latencies;

/// Measured each: a component that nobody has compiled, in a tenant of its own.
const TIMES: u64 = 20;
/// Upload and deploy together.
const LIVE_MAX: Duration = Duration::from_millis(500);

pub(super) fn run(options: &Options) -> Result<Report> {
    let site = Site::new(&options.program, &[])?;
    let component = site::component("test-guests/affine")?;
    let (mut pushes, mut deploys, mut both) = (Vec::new(), Vec::new(), Vec::new());
    // The first finds cold code everywhere, and is not counted.
    for number in 0..=TIMES {
        let api = site.tenant(&format!("tenant-{number}"))?;
        let upload = site::variant(&component, number);
        let spec = json!({
            "name": "scorer",
            "input": [{"name": "x", "type": "fp32"}],
            "transforms": [{"plugin": "affine", "config": {"scale": number + 1}}],
        });
        let start = Instant::now();
        site::push(&api, &upload)?;
        let pushed = start.elapsed();
        api.post_json("/v1/deployments", &spec)?.ok()?;
        let live = start.elapsed();
        let answer = api
            .post_json("/v1/deployments/scorer/predict", &json!({"rows": [{"x": 1.0}]}))?
            .ok()?;
        let scale = answer.pointer("/rows/0/x").and_then(serde_json::Value::as_f64);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let expected = (number + 1) as f64;
        ensure!(
            scale == Some(expected),
            "the new deployment answers {answer}, not {expected}"
        );
        if number > 0 {
            pushes.push(pushed);
            deploys.push(live - pushed);
            both.push(live);
        }
    }
    let parts = [
        ("upload", Latencies::of(pushes)),
        ("deploy", Latencies::of(deploys)),
        ("both", Latencies::of(both)),
    ];
    Ok(Report {
        title: format!(
            "a new plugin of {} KB from upload to live (at most {} ms)",
            component.len() / 1000,
            LIVE_MAX.as_millis()
        ),
        header: &["", "median", "longest"],
        rows: parts
            .iter()
            .map(|(name, all)| vec![(*name).to_owned(), ms(all.ms(0.5)), ms(all.ms(1.0))])
            .collect(),
        json: json!({
            "component_bytes": component.len(), "target_ms": LIVE_MAX.as_millis(), "times": TIMES,
            "median_ms": parts.iter().map(|(name, all)| ((*name).to_owned(), all.ms(0.5).into())).collect::<serde_json::Map<_, _>>(),
            "longest_ms": parts.iter().map(|(name, all)| ((*name).to_owned(), all.ms(1.0).into())).collect::<serde_json::Map<_, _>>(),
        }),
    })
}
