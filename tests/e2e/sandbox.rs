//! A plugin that misbehaves ends its own request; the neighbour's go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Server, guest, one_column, plugin};

/// What the hostile guest can do at run time, and how its request is answered. Its two time limits
/// are the same, so either may be met first.
const STOPPED: &[(&str, u16, &str)] = &[
    ("loop", 504, "cpu-time|wall-time"),
    ("host-call-storm", 504, "cpu-time|wall-time"),
    ("grab-memory", 500, "memory-limit"),
    ("recurse", 500, "stack-overflow"),
    ("unreachable", 500, "unreachable"),
    ("out-of-bounds", 500, "out-of-bounds"),
    ("wrong-rows", 500, "bad-output"),
    ("wrong-type", 500, "bad-output"),
    ("wrong-length", 500, "bad-output"),
    ("missing", 500, "bad-output"),
    ("huge-output", 500, "memory-limit"),
    ("internal", 500, "plugin-internal"),
    ("bad-input", 422, "bad-input"),
];

/// Deploy the hostile transform with one behaviour; gives its predict route.
fn hostile(server: &Server, name: &str, behaviour: &str) -> String {
    let stage = json!({
        "plugin": "hostile", "config": {"behave": behaviour},
        // Time enough for what isn't stopped by time, on a busy machine too.
        "limits": {"deadline_ms": 2000, "memory_mib": 32}
    });
    let input = json!([{"name": "x", "type": "fp32"}]);
    server.deploy(&json!({"name": name, "input": input, "transforms": [stage]}));
    format!("/v1/deployments/{name}/predict")
}

fn rows() -> Value {
    json!({"rows": [{"x": 1.0}]})
}

#[test]
fn each_kind_of_misbehaviour_is_stopped_and_named() {
    let server = Server::start();
    server.push(&guest("hostile"));
    server.push(&plugin("clip"));
    server.deploy(&one_column(
        "neighbour",
        json!([{"plugin": "clip", "config": {"columns": {"x": {"max": 0.5}}}}]),
    ));
    for (behaviour, status, code) in STOPPED {
        let route = hostile(&server, &format!("bad-{behaviour}"), behaviour);
        let answer = server.post_json(&route, &rows());
        assert_eq!(answer.status, *status, "{behaviour}: {answer:?}");
        assert!(
            code.split('|').any(|code| answer.code() == code),
            "{behaviour}: {answer:?}"
        );
        assert!(
            answer.body["stage"]
                .as_str()
                .unwrap()
                .starts_with("transforms[0] hostile@"),
            "{answer:?}"
        );
        let neighbour = server.post_json("/v1/deployments/neighbour/predict", &rows());
        assert_eq!(
            (neighbour.status, &neighbour.body["rows"]),
            (200, &json!([{"x": 0.5}])),
            "{behaviour}"
        );
    }
    assert_eq!(server.get("/v2/health/ready").status, 200);
}

#[test]
fn a_neighbour_is_answered_while_a_plugin_loops() {
    let server = Server::start();
    server.push(&guest("hostile"));
    server.push(&plugin("clip"));
    server.deploy(&one_column(
        "neighbour",
        json!([{"plugin": "clip", "config": {"columns": {"x": {"max": 0.5}}}}]),
    ));
    let loops = hostile(&server, "loops", "loop");
    let done = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let answer = server.post_json(&loops, &rows());
                    // Its own deadline, or the queue's behind the others that loop.
                    assert!(matches!(answer.status, 503 | 504), "{answer:?}");
                }
                done.store(true, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let answer = server.post_json("/v1/deployments/neighbour/predict", &rows());
                assert_eq!(answer.status, 200, "{answer:?}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
    });
    assert!(
        answered.load(Ordering::SeqCst) > 0,
        "the neighbour was not answered once"
    );
}

#[test]
fn a_log_flood_is_cut_and_counted() {
    let server = Server::start();
    server.push(&guest("hostile"));
    let route = hostile(&server, "floods", "log-flood");
    let answer = server.post_json(&route, &rows());
    assert!(matches!(answer.status, 200 | 503 | 504), "{answer:?}");
    let dropped = server
        .metrics()
        .lines()
        .find(|line| line.starts_with("caisson_plugin_log_lines_dropped_total{") && line.contains("floods"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    assert!(dropped.is_some_and(|n| n > 0.0), "{dropped:?}");
}
