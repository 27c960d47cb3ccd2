//! One tenant tries to learn of another, or to use what it has.

use serde_json::json;

use crate::harness::{Keyed, Server, cdnow, guest, one_column, plugin};

/// The one who has something, and the one who wants it.
fn acme_and_umbra() -> (Keyed, Keyed, Server) {
    let (server, operator) = Server::start_keyed();
    (operator.tenant("acme"), operator.tenant("umbra"), server)
}

fn push_model(by: &Keyed, name: &str) {
    let pushed = by.push_model(name, &cdnow("model.onnx"), &json!({"secret": "acme-only"}), None);
    assert_eq!(pushed.status, 201, "{pushed:?}");
}

#[test]
fn aliases_and_digests_lead_nowhere() {
    let (acme, umbra, _server) = acme_and_umbra();
    let digest = acme.push(&plugin("clip"))["digest"].as_str().unwrap().to_owned();
    push_model(&acme, "churn");
    let set = acme.put(
        "/v1/models/churn/aliases/champion",
        "application/json",
        br#"{"version": 1, "expect": null}"#,
    );
    assert_eq!(set.status, 200, "{set:?}");
    for path in [
        "/v1/models/churn/champion".to_owned(),
        "/v1/models/churn/latest".to_owned(),
        format!("/v1/plugins/clip/{digest}"),
        format!("/v1/plugins/{digest}"),
        "/v1/plugins/acme%2Fclip".to_owned(),
        "/v1/plugins/..%2Facme%2Fclip/0.1.0".to_owned(),
        "/v1/models/..%2F..%2Facme%2Fchurn/1".to_owned(),
        "/v1/deployments/..%2Facme%2Fpricing".to_owned(),
    ] {
        let answer = umbra.get(&path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert!(!answer.body.to_string().contains("acme-only"), "{answer:?}");
    }
    let aliases = umbra.get("/v1/models/churn/aliases");
    assert!(!aliases.body.to_string().contains("champion"), "{aliases:?}");
    // Moving the alias of a model that one doesn't have moves nothing.
    let moved = umbra.put(
        "/v1/models/churn/aliases/champion",
        "application/json",
        br#"{"version": 1, "expect": 1}"#,
    );
    assert_eq!(moved.status, 404, "{moved:?}");
    assert_eq!(umbra.delete("/v1/models/churn/aliases/champion").status, 404);
    assert_eq!(acme.get("/v1/models/churn/champion").body["version"], 1);
    // A deployment by alias, and by the other tenant's name before the plugin's.
    for spec in [
        json!({"name": "grab", "input": [{"name": "x", "type": "fp32"}],
               "model": {"name": "churn", "version": "champion"}}),
        one_column("grab", json!([{"plugin": "acme/clip@0.1.0"}])),
        one_column("grab", json!([{"plugin": format!("clip@{digest}")}])),
    ] {
        let answer = umbra.post_json("/v1/deployments", &spec);
        assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    }
}

#[test]
fn bytes_that_another_has_are_as_new_as_any() {
    let (acme, umbra, server) = acme_and_umbra();
    acme.push(&plugin("clip"));
    push_model(&acme, "churn");
    // That the server has these bytes already is seen in no answer and in no account.
    let pushed = umbra.post("/v1/plugins", "application/wasm", &plugin("clip"));
    assert_eq!((pushed.status, &pushed.body["result"]), (201, &json!("created")));
    push_model(&umbra, "churn");
    let stored = |by: &Keyed, name: &str| {
        let usage = by.get(&format!("/v1/tenants/{name}/usage")).body;
        usage["usage"]["stored_bytes"].as_u64().unwrap()
    };
    assert_eq!(stored(&acme, "acme"), stored(&umbra, "umbra"));
    // And deleting one's own takes nothing from the other.
    let why = json!({"why": "spite"});
    assert_eq!(umbra.post_json("/v1/plugins/clip/0.1.0/yank", &why).status, 200);
    assert_eq!(umbra.delete("/v1/plugins/clip/0.1.0?why=spite").status, 200);
    assert_eq!(umbra.delete("/v1/models/churn/1?why=spite").status, 200);
    let server = Server::restart_keyed(server.kill());
    let acme = acme.at(&server);
    assert_eq!(acme.get("/v1/plugins/clip/0.1.0").body["yanked"], json!(null));
    acme.deploy(&one_column(
        "pricing",
        json!([{"plugin": "clip@0.1.0", "config": {"columns": {"x": {"max": 5.0}}}}]),
    ));
}

#[test]
fn a_predictor_loads_what_its_own_deployment_grants() {
    let (acme, umbra, _server) = acme_and_umbra();
    let predictor = |config: &str, name: &str| {
        let mut models = serde_json::Map::new();
        models.insert(name.to_owned(), json!({"name": "churn", "version": 1}));
        json!({"name": "score", "input": [{"name": "x", "type": "fp32"}],
               "predictor": {"plugin": "predictor@0.1.0", "config": config, "models": models}})
    };
    // The guest asks for `secret`, which only the other tenant's deployment grants.
    for (by, granted) in [(&acme, "secret"), (&umbra, "mine")] {
        by.push(&guest("predictor"));
        push_model(by, "churn");
        by.deploy(&predictor("not-granted", granted));
    }
    let answer = umbra.post_json("/v1/deployments/score/predict", &json!({"rows": [{"x": 1.0}]}));
    assert_eq!(answer.status, 500, "{answer:?}");
    let said = answer.error();
    assert!(
        said.contains("grants no model `secret`") && said.contains("mine"),
        "{said}"
    );
    assert!(!said.contains("acme"), "{said}");
    // Where it is granted it is found; that it is another model than the guest thinks is its own error.
    let answer = acme.post_json("/v1/deployments/score/predict", &json!({"rows": [{"x": 1.0}]}));
    assert!(!answer.error().contains("grants no model"), "{answer:?}");
}

#[test]
fn what_a_plugin_says_reaches_its_own_tenant() {
    let (acme, umbra, _server) = acme_and_umbra();
    for by in [&acme, &umbra] {
        by.push(&guest("hostile"));
    }
    acme.deploy(&one_column(
        "talk",
        json!([{"plugin": "hostile", "config": {"behave": "panic"}}]),
    ));
    umbra.deploy(&one_column(
        "talk",
        json!([{"plugin": "hostile", "config": {"behave": "internal"}}]),
    ));
    let rows = json!({"rows": [{"x": 1.0}]});
    let said = acme.post_json("/v1/deployments/talk/predict", &rows);
    assert!(said.error().contains("it was not meant to"), "{said:?}");
    // The last words of the neighbour's same code, from instances of the same pool.
    for _ in 0..20 {
        let said = umbra.post_json("/v1/deployments/talk/predict", &rows);
        assert_eq!(said.status, 500);
        assert!(!said.error().contains("it was not meant to"), "{said:?}");
    }
    let metrics = umbra.text("/metrics");
    assert!(
        metrics.contains("caisson_plugin_failures_total") && !metrics.contains("acme"),
        "{metrics}"
    );
    let ready = umbra.text("/v2/health/ready");
    assert!(!ready.contains("acme"), "{ready}");
    let audit = umbra.text("/v1/audit/export");
    assert!(
        audit.contains("deployment:deploy") && !audit.contains("acme"),
        "{audit}"
    );
}

#[test]
fn names_that_are_not_there_make_no_series() {
    let (acme, _umbra, _server) = acme_and_umbra();
    acme.push(&plugin("clip"));
    let clip = |name: &str, config| one_column(name, json!([{"plugin": "clip", "config": config}]));
    let planned = acme.post_json(
        "/v1/deployments?dry_run=true",
        &clip("planned", json!({"columns": {"x": {"max": 5.0}}})),
    );
    assert_eq!(planned.status, 200, "{planned:?}");
    let refused = json!({"columns": {"nothing": {"max": 1.0}}});
    let refused = acme.post_json("/v1/deployments", &clip("refused", refused));
    assert_eq!(refused.status, 422, "{refused:?}");
    for n in 0..5 {
        let path = format!("/v1/deployments/unknown-{n}/predict");
        assert_eq!(acme.post_json(&path, &json!({"rows": []})).status, 404);
    }
    acme.deploy(&clip("pricing", json!({"columns": {"x": {"max": 5.0}}})));
    let rows = json!({"rows": [{"x": 1.0}]});
    assert_eq!(
        acme.post_json("/v1/deployments/pricing/predict", &rows).status,
        200
    );
    let metrics = acme.metrics();
    for name in ["planned", "refused", "unknown"] {
        let series = format!("deployment=\"{name}");
        assert!(!metrics.contains(&series), "{name}: {metrics}");
    }
    let requests = "caisson_requests_total{tenant=\"acme\",deployment=\"pricing\"} 1";
    assert!(metrics.contains(requests), "{metrics}");
    assert!(metrics.contains("caisson_stage_seconds_count"), "{metrics}");
    // Deleted: gone from the metrics; made again: counted anew.
    assert_eq!(acme.delete("/v1/deployments/pricing").status, 200);
    assert!(!acme.metrics().contains("pricing"));
    acme.deploy(&clip("pricing", json!({"columns": {"x": {"max": 5.0}}})));
    assert_eq!(
        acme.post_json("/v1/deployments/pricing/predict", &rows).status,
        200
    );
    assert!(acme.metrics().contains(requests));
}
