//! Requests while what answers them changes: another revision goes live, or the server is told to stop.
//! None of them fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Server, guest, one_column};

/// Connections that predict.
const CLIENTS: usize = 8;
/// Revisions that go live under them.
const REVISIONS: u64 = 12;

/// A deployment whose prediction for 1 tells its revision: `scale`.
fn spec(scale: u64) -> Value {
    one_column(
        "switched",
        json!([{"plugin": "affine", "config": {"scale": scale}}]),
    )
}

fn predict(agent: &ureq::Agent, server: &Server) -> Result<f64, String> {
    let mut response = agent
        .post(format!("{}/v1/deployments/switched/predict", server.url))
        .header("Content-Type", "application/json")
        .send(r#"{"rows":[{"x":1}]}"#)
        .map_err(|e| e.to_string())?;
    let text = response.body_mut().read_to_string().map_err(|e| e.to_string())?;
    let answer: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    answer["rows"][0]["x"].as_f64().ok_or(text)
}

#[test]
fn a_new_revision_goes_live_under_load_and_no_request_fails() {
    let server = Server::start();
    server.push(&guest("affine"));
    server.deploy(&spec(1));
    let acknowledged = AtomicUsize::new(1);
    let done = AtomicBool::new(false);
    let answered: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let agent = ureq::Agent::new_with_defaults();
                    let mut answered = 0;
                    while !done.load(Ordering::SeqCst) {
                        let before = acknowledged.load(Ordering::SeqCst);
                        let scale = predict(&agent, &server).unwrap();
                        // Never an older revision than the one that was acknowledged before.
                        assert!(scale >= before as f64 && scale <= REVISIONS as f64, "{scale}");
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        for scale in 2..=REVISIONS {
            assert_eq!(server.deploy(&spec(scale))["revision"], scale);
            acknowledged.store(scale as usize, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(answered >= CLIENTS, "the clients hardly asked: {answered}");
}

#[test]
fn clients_that_heed_readiness_see_no_failure_when_the_server_stops() {
    let server = Server::start_draining(tempfile::tempdir().unwrap(), 2);
    server.push(&guest("affine"));
    server.deploy(&spec(1));
    let asked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let config = ureq::Agent::config_builder().http_status_as_error(false);
                let agent: ureq::Agent = config.build().into();
                let ready = format!("{}/v2/health/ready", server.url);
                while agent.get(&ready).call().unwrap().status() == 200 {
                    // Told to stop or not since, it serves who believed it.
                    assert_eq!(predict(&agent, &server).unwrap(), 1.0);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while asked.load(Ordering::SeqCst) < 10 * CLIENTS {
            std::thread::yield_now();
        }
        server.terminate();
    });
    // It ends of itself, and cleanly.
    server.stop();
}
