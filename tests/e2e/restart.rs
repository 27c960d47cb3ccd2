//! What was acknowledged is there after a stop and after a kill.

use serde_json::json;

use crate::harness::{Server, one_column, plugin};

fn clip(max: f64) -> serde_json::Value {
    one_column(
        "clip",
        json!([{"plugin": "clip", "config": {"columns": {"x": {"max": max}}}}]),
    )
}

fn answer(server: &Server) -> serde_json::Value {
    server
        .post_json("/v1/deployments/clip/predict", &json!({"rows": [{"x": 100.0}]}))
        .body["rows"][0]["x"]
        .clone()
}

#[test]
fn deployments_come_back_after_a_stop_and_after_a_kill() {
    let server = Server::start();
    server.push(&plugin("clip"));
    let first = server.deploy(&clip(10.0));
    assert_eq!(
        (first["revision"].as_u64(), first["result"].as_str()),
        (Some(1), Some("created"))
    );
    let again = server.deploy(&clip(10.0));
    assert_eq!(
        (again["revision"].as_u64(), again["result"].as_str()),
        (Some(1), Some("unchanged"))
    );
    let second = server.deploy(&clip(20.0));
    assert_eq!(
        (second["revision"].as_u64(), second["result"].as_str()),
        (Some(2), Some("updated"))
    );
    let server = Server::start_in(server.stop());
    assert_eq!(answer(&server), json!(20.0));
    server.deploy(&clip(30.0));
    let server = Server::start_in(server.kill());
    assert_eq!(answer(&server), json!(30.0));
    assert_eq!(
        server.get("/v1/plugins").body["plugins"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(server.delete("/v1/deployments/clip").status, 200);
    let server = Server::start_in(server.kill());
    assert_eq!(server.get("/v1/deployments/clip").status, 404);
}

#[test]
fn a_swap_under_load_fails_no_request() {
    let server = Server::start();
    server.push(&plugin("clip"));
    server.deploy(&clip(10.0));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut answers = 0;
                    while !done.load(std::sync::atomic::Ordering::SeqCst) {
                        let value = answer(&server);
                        assert!(value.as_f64().is_some_and(|x| x >= 10.0), "{value}");
                        answers += 1;
                    }
                    answers
                })
            })
            .collect();
        for max in [11.0, 12.0, 13.0, 14.0] {
            server.deploy(&clip(max));
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(load.into_iter().all(|t| t.join().unwrap() > 0));
    });
}

#[test]
fn a_data_folder_serves_one_server() {
    let server = Server::start();
    let second = crate::harness::caisson()
        .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data.path())
        .env(
            "CAISSON_ONNXRUNTIME",
            crate::harness::root().join(".caisson/onnxruntime/libonnxruntime.so"),
        )
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).to_string();
    assert!(said.contains("use"), "{said}");
    assert_eq!(server.get("/v2/health/live").status, 200);
}
