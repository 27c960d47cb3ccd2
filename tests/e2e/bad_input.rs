//! Every kind of bad input gets a clear 4xx, and the service is unharmed.

use serde_json::{Value, json};

use crate::harness::{Server, cdnow, guest, one_column, plugin, root};

/// A server with a deployment `clip` of one nullable fp32 column, clipped to 0 … 10.
fn clipped() -> Server {
    let server = Server::start();
    server.push(&plugin("clip"));
    let config = json!({"columns": {"x": {"min": 0.0, "max": 10.0}}});
    server.deploy(&one_column("clip", json!([{"plugin": "clip", "config": config}])));
    assert_unharmed(&server);
    server
}

/// The deployment still answers right.
fn assert_unharmed(server: &Server) {
    let answer = server.post_json("/v1/deployments/clip/predict", &json!({"rows": [{"x": 12.5}]}));
    assert_eq!(
        (answer.status, &answer.body["rows"]),
        (200, &json!([{"x": 10.0}])),
        "{answer:?}"
    );
}

const PREDICT: &str = "/v1/deployments/clip/predict";
const INFER: &str = "/v2/models/clip/infer";

#[test]
fn rows_that_are_not_what_the_deployment_takes() {
    let server = clipped();
    let deep = format!("{{\"rows\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let cases: &[(&str, &[u8], &str)] = &[
        ("malformed JSON", b"{\"rows\":[{\"x\":1}", "bad-json"),
        ("not an object", b"[1,2]", "bad-request"),
        ("no rows", b"{}", "bad-request"),
        ("wrong type", b"{\"rows\":[{\"x\":\"red\"}]}", "wrong-type"),
        (
            "unknown column",
            b"{\"rows\":[{\"x\":1,\"why\":2}]}",
            "unknown-column",
        ),
        ("out of range", b"{\"rows\":[{\"x\":1e300}]}", "out-of-range"),
        (
            "invalid UTF-8",
            b"{\"rows\":[{\"x\":\"\xff\xfe\"}]}",
            "invalid-utf8",
        ),
        ("deep nesting", deep.as_bytes(), "wrong-type"),
        ("an empty body", b"", "bad-json"),
    ];
    for (what, body, code) in cases {
        let answer = server.post(PREDICT, "application/json", body);
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert_eq!(answer.content_type, "application/json", "{what}");
        assert_eq!(answer.code(), *code, "{what}: {answer:?}");
    }
    let answer = server.post(
        PREDICT,
        "application/json",
        b"{\"rows\":[{\"x\":1},{\"x\":true}]}",
    );
    assert_eq!(
        (answer.body["row"].as_u64(), answer.body["column"].as_str()),
        (Some(1), Some("x")),
        "{answer:?}"
    );
    assert_unharmed(&server);
}

#[test]
fn csv_that_is_not_what_the_deployment_takes() {
    let server = clipped();
    for (what, body) in [
        ("an unknown column", "x,y\n1,2\n"),
        ("a ragged row", "x\n1,2\n"),
        ("a word for a number", "x\nred\n"),
    ] {
        let answer = server.post(PREDICT, "text/csv", body.as_bytes());
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert!(!answer.error().is_empty());
    }
    let answer = server.post(PREDICT, "text/plain", b"x");
    assert_eq!((answer.status, answer.code()), (415, "media-type"));
    assert_unharmed(&server);
}

#[test]
fn a_column_that_is_missing_and_may_not_be() {
    let server = Server::start();
    server.deploy(
        &json!({"name": "strict", "input": [{"name": "a", "type": "int32"}, {"name": "b", "type": "uint8"}]}),
    );
    let answer = server.post_json(
        "/v1/deployments/strict/predict",
        &json!({"rows": [{"a": 1, "b": 2}, {"a": 1}]}),
    );
    assert_eq!(
        (answer.status, answer.code()),
        (400, "missing-column"),
        "{answer:?}"
    );
    assert_eq!(
        (answer.body["row"].as_u64(), answer.body["column"].as_str()),
        (Some(1), Some("b"))
    );
    // 256 into a uint8 is an error, never 0; 1.5 into an int32 is an error, never 1.
    for (row, column) in [
        (json!({"a": 1, "b": 256}), "b"),
        (json!({"a": 1.5, "b": 1}), "a"),
        (json!({"a": 1, "b": -1}), "b"),
    ] {
        let answer = server.post_json("/v1/deployments/strict/predict", &json!({"rows": [row]}));
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.body["column"], column, "{answer:?}");
    }
}

#[test]
fn tensors_that_are_not_what_the_deployment_takes() {
    let server = clipped();
    let tensor = |datatype: &str, shape: Value, data: Value| json!({"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]});
    let good = server.post_json(INFER, &tensor("FP32", json!([2]), json!([1.0, 20.0])));
    assert_eq!(
        (good.status, &good.body["outputs"][0]["data"]),
        (200, &json!([1.0, 10.0])),
        "{good:?}"
    );
    for (what, body) in [
        ("another datatype", tensor("INT32", json!([1]), json!([1]))),
        ("an unknown datatype", tensor("FLOAT", json!([1]), json!([1]))),
        ("more data than shape", tensor("FP32", json!([1]), json!([1, 2]))),
        ("less data than shape", tensor("FP32", json!([3]), json!([1, 2]))),
        ("a negative dimension", tensor("FP32", json!([-1]), json!([1]))),
        (
            "a shape past every bound",
            tensor("FP32", json!([4294967295u64, 4294967295u64]), json!([1])),
        ),
        (
            "one dimension too many",
            tensor("FP32", json!([1, 1, 1]), json!([1])),
        ),
        (
            "an unknown input",
            json!({"inputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1]}]}),
        ),
        ("no inputs", json!({"inputs": []})),
        ("a missing key", json!({"inputs": [{"name": "x"}]})),
    ] {
        let answer = server.post_json(INFER, &body);
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert!(answer.body["error"].is_string(), "{what}");
    }
    assert_unharmed(&server);
}

#[test]
fn bodies_that_lie_about_their_length() {
    let server = clipped();
    let announced = server.raw(
        format!(
            "POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            1u64 << 30
        )
        .as_bytes(),
    );
    assert!(
        announced.starts_with("HTTP/1.1 413 ") && announced.contains("\"code\":\"too-large\""),
        "{announced}"
    );
    let cut = server.raw(
        format!("POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{\"rows\"").as_bytes(),
    );
    assert!(cut.is_empty() || cut.starts_with("HTTP/1.1 400 "), "{cut}");
    let garbage = server.raw(b"\x16\x03\x01\x02\x00 not http\r\n\r\n");
    assert!(
        garbage.is_empty() || garbage.starts_with("HTTP/1.1 400 "),
        "{garbage}"
    );
    assert_unharmed(&server);
}

#[test]
fn routes_and_methods_that_do_not_exist() {
    let server = clipped();
    let cases = [
        (server.get("/v1/nothing"), 404),
        (server.get("/v2/models/nothing"), 404),
        (server.get("/v1/plugins/nothing"), 404),
        (server.get("/v1/models/nothing"), 404),
        (server.get("/v1/deployments/nothing"), 404),
        (
            server.post_json("/v1/deployments/nothing/predict", &json!({"rows": []})),
            404,
        ),
        (
            server.post_json("/v2/models/clip/versions/7/infer", &json!({"inputs": []})),
            404,
        ),
        (server.delete("/v2"), 405),
        (server.get("/v1/plugins/%2e%2e%2fx"), 404),
        (server.get("/v1/plugins/%ff"), 400),
    ];
    for (answer, status) in cases {
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(
            answer.body["error"].is_string() && answer.body["code"].is_string(),
            "{answer:?}"
        );
    }
    assert_unharmed(&server);
}

#[test]
fn components_that_are_not_plugins() {
    let server = clipped();
    let clip = plugin("clip");
    let core: &[u8] = b"\0asm\x01\0\0\0";
    let push = |bytes: &[u8]| server.post("/v1/plugins", "application/wasm", bytes);
    for (what, bytes, code) in [
        ("a core module", core, "core-module"),
        (
            "a truncated component",
            &clip[..clip.len() / 2],
            "component-truncated",
        ),
        ("text", b"(component)".as_slice(), "not-wasm"),
        ("nothing", b"".as_slice(), "not-wasm"),
    ] {
        let answer = push(bytes);
        assert_eq!((answer.status, answer.code()), (400, code), "{what}: {answer:?}");
    }
    let answer = push(&guest("hostile-name"));
    assert_eq!(
        (answer.status, answer.code()),
        (400, "manifest-invalid"),
        "{answer:?}"
    );
    // 200 MB, refused for its size and not for its contents.
    let answer = push(&vec![0u8; 200_000_000]);
    assert_eq!((answer.status, answer.code()), (413, "too-large"), "{answer:?}");
    assert_unharmed(&server);
}

#[test]
fn a_plugin_version_never_changes() {
    let server = clipped();
    let clip = plugin("clip");
    let again = server.post("/v1/plugins", "application/wasm", &clip);
    assert_eq!(
        (again.status, again.body["result"].as_str()),
        (200, Some("unchanged")),
        "{again:?}"
    );
    // The same component with a custom section is another component of the same name and version.
    let mut other = clip;
    other.extend_from_slice(b"\0\x05\x04note");
    let answer = server.post("/v1/plugins", "application/wasm", &other);
    assert_eq!(
        (answer.status, answer.code()),
        (409, "plugin-conflict"),
        "{answer:?}"
    );
    assert_unharmed(&server);
}

#[test]
fn models_that_are_not_models() {
    let server = clipped();
    let model = cdnow("model.onnx");
    let fixtures = root().join("host/inference/tests/fixtures");
    let unsupported = std::fs::read(fixtures.join("unknown_operator.onnx")).unwrap();
    for (what, bytes) in [
        ("half a model", &model[..model.len() / 2]),
        ("an unsupported operator", unsupported.as_slice()),
        ("text", b"not a model".as_slice()),
        ("nothing", b"".as_slice()),
    ] {
        let answer = server.push_model("broken", bytes, &json!({}), None);
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert!(!answer.error().is_empty(), "{what}");
    }
    let answer = server.push_model("Not%20a%20name", &model, &json!({}), None);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(
        server.get("/v1/models/broken").status,
        404,
        "a refused model leaves nothing behind"
    );
    assert_unharmed(&server);
}

#[test]
fn deployments_that_do_not_fit_together() {
    let server = clipped();
    server.push(&plugin("ks"));
    server.push(&plugin("standardize"));
    let post = |spec: &Value| server.post_json("/v1/deployments", spec);
    let unknown = post(&one_column("a", json!([{"plugin": "nothing"}])));
    assert_eq!(
        (unknown.status, unknown.code()),
        (422, "plugin-not-found"),
        "{unknown:?}"
    );
    let world = post(&one_column("a", json!([{"plugin": "ks"}])));
    assert_eq!((world.status, world.code()), (422, "wrong-world"), "{world:?}");
    assert!(
        world.error().contains("drift-check") && world.error().contains("transform"),
        "{world:?}"
    );
    let config = post(&one_column(
        "a",
        json!([{"plugin": "clip", "config": {"nonsense": 1}}]),
    ));
    assert_eq!(
        (config.status, config.code()),
        (422, "config-schema"),
        "{config:?}"
    );
    assert!(config.error().contains("nonsense"), "{config:?}");
    let column = post(&one_column(
        "a",
        json!([{"plugin": "clip", "config": {"columns": {"z": {"min": 0.0}}}}]),
    ));
    assert_eq!(column.status, 422, "{column:?}");
    assert!(
        column.error().contains('z') && column.error().contains("transforms[0]"),
        "{column:?}"
    );
    let key = server.post(
        "/v1/deployments",
        "application/yaml",
        b"name: a\ninput: []\ntransfroms: []\n",
    );
    assert_eq!((key.status, key.code()), (400, "deployment-file"), "{key:?}");
    assert!(key.error().contains("transfroms"), "{key:?}");
    let traversal = post(&one_column("../a", json!([])));
    assert_eq!(traversal.status, 400, "{traversal:?}");
    assert_eq!(server.get("/v1/deployments/a").status, 404);
    assert_unharmed(&server);
}
