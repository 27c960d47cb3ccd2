//! Requests while what answers them changes: another revision goes live, or the server is told to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Options, Report, ms};
use crate::http::Api;
use crate::site::{self, Site};
use crate::stats::Latencies;

/// Connections that predict, each as fast as it is answered.
const CLIENTS: usize = 8;
/// Seconds that a server serves on after SIGTERM.
const DRAIN_SECONDS: &str = "3";

fn spec(scale: u64) -> Value {
    json!({
        "name": "scorer",
        "input": [{"name": "x", "type": "fp32"}],
        "transforms": [{"plugin": "affine", "config": {"scale": scale}}],
    })
}

/// A prediction's scale and how long it took; nothing where it failed.
fn predict(api: &Api) -> Option<(f64, Duration)> {
    let start = Instant::now();
    let body = json!({"rows": [{"x": 1.0}]});
    let answer = api.post_json("/v1/deployments/scorer/predict", &body).ok()?;
    let scale = answer.body.pointer("/rows/0/x")?.as_f64()?;
    (answer.status == 200).then(|| (scale, start.elapsed()))
}

fn site(options: &Options, args: &[&str]) -> Result<(Site, Api)> {
    let site = Site::new(&options.program, args)?;
    let api = site.tenant("acme")?;
    site::push(&api, &site::component("test-guests/affine")?)?;
    api.post_json("/v1/deployments", &spec(1))?.ok()?;
    Ok((site, api))
}

/// Two specs alternate while clients predict.
pub(super) fn live(options: &Options) -> Result<Report> {
    let (_site, api) = site(options, &[])?;
    let (done, failures) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut deploys = Vec::new();
    let outcome: Result<Vec<Vec<Duration>>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut latencies = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        match predict(&api) {
                            Some((scale, took)) if scale == 1.0 || scale == 2.0 => latencies.push(took),
                            _ => {
                                failures.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    latencies
                })
            })
            .collect();
        let begin = Instant::now();
        let mut deployed = Ok(());
        while begin.elapsed().as_secs() < options.seconds && deployed.is_ok() {
            let start = Instant::now();
            let scale = 1 + (deploys.len() as u64 + 1) % 2;
            deployed = api
                .post_json("/v1/deployments", &spec(scale))
                .and_then(|answer| answer.ok())
                .map(drop);
            deploys.push(start.elapsed());
        }
        done.store(true, Ordering::Relaxed);
        let all = clients
            .into_iter()
            .filter_map(|client| client.join().ok())
            .collect();
        deployed.map(|()| all)
    });
    let (requests, deploys) = (Latencies::of(outcome?.concat()), Latencies::of(deploys));
    let failures = failures.into_inner();
    let report = Report {
        title: format!("{CLIENTS} connections predict while two revisions alternate (no request may fail)"),
        header: &["requests", "failed", "p50", "p99", "deploys", "deploy p50"],
        rows: vec![vec![
            requests.len().to_string(),
            failures.to_string(),
            ms(requests.ms(0.5)),
            ms(requests.ms(0.99)),
            deploys.len().to_string(),
            ms(deploys.ms(0.5)),
        ]],
        json: json!({
            "requests": requests.len(), "failed": failures, "deploys": deploys.len(),
            "p50_ms": requests.ms(0.5), "p99_ms": requests.ms(0.99), "deploy_p50_ms": deploys.ms(0.5),
        }),
    };
    ensure!(failures == 0, "{failures} requests failed");
    Ok(report)
}

/// SIGTERM while clients predict that look at readiness before each request.
pub(super) fn stop(options: &Options) -> Result<Report> {
    let (site, api) = site(options, &["--drain-seconds", DRAIN_SECONDS])?;
    let (asked, after, failures) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let told = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    match api.get("/v2/health/ready") {
                        Ok(answer) if answer.status == 503 => return,
                        Ok(answer) if answer.status == 200 && predict(&api).is_some() => {
                            asked.fetch_add(1, Ordering::SeqCst);
                            after.fetch_add(u64::from(told.load(Ordering::SeqCst)), Ordering::SeqCst);
                        }
                        _ => {
                            failures.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(options.seconds.min(3)));
        told.store(true, Ordering::SeqCst);
        site.server.terminate()
    })?;
    let status = site.server.wait()?;
    let (asked, after, failures) = (asked.into_inner(), after.into_inner(), failures.into_inner());
    ensure!(status.success(), "the server ended with {status}");
    ensure!(failures == 0, "{failures} requests failed");
    Ok(Report {
        title: format!(
            "SIGTERM while {CLIENTS} connections predict that heed readiness (no request may fail)"
        ),
        header: &["requests", "answered after SIGTERM", "failed"],
        rows: vec![vec![asked.to_string(), after.to_string(), failures.to_string()]],
        json: json!({"requests": asked, "after_sigterm": after, "failed": failures}),
    })
}
