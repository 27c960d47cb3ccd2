//! The Open Inference Protocol around inference: what is there, its configuration and statistics, and
//! taking it out of service.

use serde_json::{Value, json};

use crate::harness::{Keyed, Server, one_column};

const INDEX: &str = "/v2/repository/index";

fn infer(server: &Keyed, name: &str) -> u16 {
    let body = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]});
    server
        .post_json(&format!("/v2/models/{name}/infer"), &body)
        .status
}

fn index(server: &Keyed, body: &[u8]) -> Vec<Value> {
    let answer = server.post(INDEX, "application/json", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.as_array().unwrap().clone()
}

#[test]
fn metadata_configuration_and_health() {
    let server = Server::start();
    server.deploy(&json!({
        "name": "m",
        "input": [
            {"name": "x", "type": "fp32", "nullable": true},
            {"name": "image", "type": "uint8", "shape": [2, 3]},
            {"name": "word", "type": "text"}
        ],
        "batching": {"preferred_batch_sizes": [8], "max_queue_delay_us": 50, "queue": {"priority_levels": 3}}
    }));
    assert_eq!(server.get("/v2/health/live").body, json!({"live": true}));
    assert_eq!(server.get("/v2/health/ready").body, json!({"ready": true}));
    let about = server.get("/v2");
    assert_eq!(about.content_type, "application/json");
    let extensions = json!([
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "parameters",
        "schedule_policy",
        "statistics"
    ]);
    assert_eq!(about.body["extensions"], extensions);
    for of in ["/v2/models/m", "/v2/models/m/versions/1"] {
        let metadata = server.get(of);
        let tensors = json!([
            {"name": "x", "datatype": "FP32", "shape": [-1]},
            {"name": "image", "datatype": "UINT8", "shape": [-1, 2, 3]},
            {"name": "word", "datatype": "BYTES", "shape": [-1]},
        ]);
        assert_eq!(metadata.body["versions"], json!(["1"]), "{metadata:?}");
        assert_eq!(
            (&metadata.body["inputs"], &metadata.body["outputs"]),
            (&tensors, &tensors)
        );
        assert_eq!(server.get(&format!("{of}/ready")).body["ready"], true);

        let config = server.get(&format!("{of}/config"));
        assert_eq!(config.status, 200, "{config:?}");
        assert_eq!(config.body["max_batch_size"], 65_536);
        assert_eq!(
            config.body["input"],
            json!([
                {"name": "x", "data_type": "TYPE_FP32", "dims": [], "optional": true},
                {"name": "image", "data_type": "TYPE_UINT8", "dims": [2, 3], "optional": false},
                {"name": "word", "data_type": "TYPE_STRING", "dims": [], "optional": false},
            ])
        );
        assert_eq!(
            config.body["dynamic_batching"],
            json!({"preferred_batch_size": [8], "max_queue_delay_microseconds": 50, "priority_levels": 3})
        );
    }
    for gone in ["", "/ready", "/config", "/stats"] {
        for model in ["m/versions/2", "m/versions/one", "nope"] {
            let answer = server.get(&format!("/v2/models/{model}{gone}"));
            assert_eq!(answer.status, 404, "{model}{gone}: {answer:?}");
            assert!(!answer.error().is_empty());
        }
    }
}

#[test]
fn statistics_count_what_happened() {
    let server = Server::start();
    server.deploy(&one_column("a", json!([])));
    server.deploy(&one_column("b", json!([])));
    let before = server.get("/v2/models/a/stats").body["model_stats"][0].clone();
    assert_eq!(
        (
            before["inference_count"].as_u64(),
            before["last_inference"].as_u64()
        ),
        (Some(0), Some(0))
    );
    assert_eq!((infer(&server, "a"), infer(&server, "a")), (200, 200));
    let rows = server.post_json("/v1/deployments/a/predict", &json!({"rows": [{"x": 1}]}));
    assert_eq!(rows.status, 200);
    for of in ["/v2/models/a/stats", "/v2/models/a/versions/1/stats"] {
        let stats = server.get(of).body["model_stats"][0].clone();
        assert_eq!(
            (&stats["name"], &stats["version"]),
            (&json!("a"), &json!("1")),
            "{stats}"
        );
        assert_eq!(stats["inference_count"], 5);
        assert_eq!(stats["execution_count"], 3);
        assert!(stats["last_inference"].as_u64().unwrap() > 1_700_000_000_000);
        let inference = &stats["inference_stats"];
        for (what, count) in [
            ("success", 3),
            ("fail", 0),
            ("compute_input", 3),
            ("compute_infer", 3),
            ("compute_output", 3),
            ("cache_hit", 0),
        ] {
            assert_eq!(inference[what]["count"], count, "{what}: {stats}");
            assert_eq!(
                inference[what]["ns"].as_u64().unwrap() > 0,
                count > 0,
                "{what}: {stats}"
            );
        }
        // What runs in no time isn't queued again.
        let queued = inference["queue"]["count"].as_u64().unwrap();
        assert!((1..=3).contains(&queued), "{stats}");
    }
    let all = server.get("/v2/models/stats").body["model_stats"].clone();
    let names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].clone())
        .collect();
    assert_eq!(names, [json!("a"), json!("b")]);
}

#[test]
fn unloaded_and_loaded_again() {
    let server = Server::start();
    for name in ["a", "b"] {
        server.deploy(&one_column(name, json!([])));
    }
    let ready = json!([
        {"name": "a", "version": "1", "state": "READY", "reason": ""},
        {"name": "b", "version": "1", "state": "READY", "reason": ""},
    ]);
    for body in [&b""[..], b"{}", b"{\"ready\":false}", b"{\"ready\":true}"] {
        assert_eq!(json!(index(&server, body)), ready);
    }
    let unload = server.post_json(
        "/v2/repository/models/a/unload",
        &json!({"parameters": {"unload_dependents": false}}),
    );
    assert_eq!(unload.status, 200, "{unload:?}");
    let entries = index(&server, b"");
    assert_eq!(
        (&entries[0]["name"], &entries[0]["state"]),
        (&json!("a"), &json!("UNAVAILABLE"))
    );
    assert!(
        entries[0]["reason"].as_str().unwrap().contains("unloaded"),
        "{entries:?}"
    );
    assert_eq!(json!(index(&server, b"{\"ready\":true}")), json!([ready[1]]));
    let ready_of = server.get("/v2/models/a/ready");
    assert_eq!((ready_of.status, ready_of.code()), (503, "unloaded"));
    assert_eq!((infer(&server, "a"), infer(&server, "b")), (503, 200));
    // Its tenant's own wish: the server is as ready as before.
    assert_eq!(server.get("/v2/health/ready").body, json!({"ready": true}));

    let load = server.post("/v2/repository/models/a/load", "application/json", b"");
    assert_eq!(
        (load.status, &load.body["version"]),
        (200, &json!("1")),
        "{load:?}"
    );
    assert_eq!(infer(&server, "a"), 200);

    // A start serves what is stored.
    server.post("/v2/repository/models/b/unload", "application/json", b"{}");
    let server = Server::start_in(server.stop());
    assert_eq!(infer(&server, "b"), 200);

    for (path, body, status) in [
        ("/v2/repository/models/nope/load", json!({}), 404),
        ("/v2/repository/models/nope/unload", json!({}), 404),
        (
            "/v2/repository/models/a/load",
            json!({"parameters": {"config": "{}"}}),
            400,
        ),
        ("/v2/repository/models/a/load", json!([1]), 400),
        (INDEX, json!({"ready": "yes"}), 400),
    ] {
        let answer = server.post_json(path, &body);
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert!(!answer.error().is_empty());
    }
}

#[test]
fn who_may_take_a_deployment_out_of_service() {
    let (_server, operator) = Server::start_keyed();
    let admin = operator.tenant("acme");
    let (viewer, predictor, developer) = (
        admin.key_of("viewer"),
        admin.key_of("predictor"),
        admin.key_of("developer"),
    );
    developer.deploy(&one_column("a", json!([])));
    for key in [&viewer, &predictor] {
        assert_eq!(index(key, b"").len(), 1);
        for what in ["load", "unload"] {
            let answer = key.post(
                &format!("/v2/repository/models/a/{what}"),
                "application/json",
                b"",
            );
            assert_eq!(answer.status, 403, "{answer:?}");
        }
    }
    let other = operator.tenant("other");
    assert!(index(&other, b"").is_empty());
    let answer = other.post("/v2/repository/models/a/unload", "application/json", b"");
    assert_eq!(answer.status, 404);
    assert_eq!(infer(&predictor, "a"), 200);
    for what in ["unload", "load"] {
        let answer = developer.post(
            &format!("/v2/repository/models/a/{what}"),
            "application/json",
            b"",
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let log = admin.get("/v1/audit?tail=20").body.to_string();
    for action in ["deployment:unload", "deployment:load"] {
        assert!(log.contains(action), "{log}");
    }
}
