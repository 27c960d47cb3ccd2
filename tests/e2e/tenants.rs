//! Many tenants on one server, as an operator, a user and an attacker meet them.

use serde_json::{Value, json};

use crate::harness::{CDNOW_PLUGINS, Keyed, Server, cdnow, eventually, guest, one_column, plugin};

/// Two tenants with an admin each.
fn two_tenants() -> (Keyed, Keyed, Keyed, Server) {
    let (server, operator) = Server::start_keyed();
    let acme = operator.tenant("acme");
    let umbra = operator.tenant("umbra");
    (operator, acme, umbra, server)
}

/// A deployment that clips `x`.
fn clip(name: &str, upper: f64) -> Value {
    one_column(
        name,
        json!([{"plugin": "clip@0.1.0", "config": {"columns": {"x": {"min": 0, "max": upper}}}}]),
    )
}

#[test]
fn without_a_key_nothing_but_health_answers() {
    let (operator, acme, _, server) = two_tenants();
    let nobody = operator.with_key(None);
    for path in [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v1/deployment-schema.json",
        "/openapi.json",
    ] {
        assert_eq!(nobody.get(path).status, 200, "{path}");
    }
    for path in [
        "/v1/plugins",
        "/v1/models",
        "/v1/deployments",
        "/v1/deployments/x",
        "/v2/models/x",
        "/v1/tenants",
        "/v1/tenants/acme",
        "/v1/tenants/acme/keys",
        "/v1/audit",
        "/v1/audit/export",
        "/metrics",
        "/v1/whoami",
    ] {
        let answer = nobody.get(path);
        assert_eq!((answer.status, answer.code()), (401, "no-key"), "{path}");
    }
    assert_eq!(
        nobody
            .post("/v2/models/x/infer", "application/json", b"{}")
            .status,
        401
    );
    assert_eq!(
        nobody
            .post("/v1/plugins", "application/wasm", &plugin("clip"))
            .status,
        401
    );
    assert_eq!(nobody.post("/v1/backup", "application/json", b"").status, 401);
    let forged = operator.with_key(Some(format!("csn_{}_{}", "a".repeat(12), "b".repeat(43))));
    assert_eq!(forged.get("/v1/plugins").code(), "key-unknown");
    let garbage = operator.with_key(Some("garbage".to_owned()));
    assert_eq!(garbage.get("/v1/plugins").code(), "key-malformed");
    assert_eq!(acme.get("/v1/plugins").status, 200);
    drop(server);
}

#[test]
fn what_is_another_tenants_does_not_exist() {
    let (operator, acme, umbra, server) = two_tenants();
    acme.push(&plugin("clip"));
    acme.deploy(&clip("pricing", 5.0));
    let model = acme.push_model(
        "churn",
        &cdnow("model.onnx"),
        &json!({"secret": "acme-only"}),
        None,
    );
    assert_eq!(model.status, 201, "{model:?}");

    // The same answer as for what nobody has.
    for (theirs, nothing) in [
        ("/v1/plugins/clip", "/v1/plugins/clop"),
        ("/v1/plugins/clip/0.1.0", "/v1/plugins/clop/0.1.0"),
        ("/v1/models/churn", "/v1/models/charn"),
        ("/v1/models/churn/1", "/v1/models/charn/1"),
        ("/v1/models/churn/1/stage", "/v1/models/charn/1/stage"),
        ("/v1/deployments/pricing", "/v1/deployments/pracing"),
        (
            "/v1/deployments/pricing/revisions",
            "/v1/deployments/pracing/revisions",
        ),
        (
            "/v1/deployments/pricing/revisions/1",
            "/v1/deployments/pracing/revisions/1",
        ),
        ("/v2/models/pricing", "/v2/models/pracing"),
        ("/v2/models/pricing/ready", "/v2/models/pracing/ready"),
        ("/v1/tenants/acme", "/v1/tenants/acma"),
        ("/v1/tenants/acme/keys", "/v1/tenants/acma/keys"),
        ("/v1/tenants/acme/policies", "/v1/tenants/acma/policies"),
        ("/v1/tenants/acme/usage", "/v1/tenants/acma/usage"),
        ("/v1/audit?tenant=acme", "/v1/audit?tenant=acma"),
    ] {
        let (a, b) = (umbra.get(theirs), umbra.get(nothing));
        assert_eq!((a.status, b.status), (404, 404), "{theirs}: {a:?} {b:?}");
        let same = |text: &str| {
            text.replace("clip", "_")
                .replace("clop", "_")
                .replace("churn", "_")
                .replace("charn", "_")
                .replace("pricing", "_")
                .replace("pracing", "_")
                .replace("acme", "_")
                .replace("acma", "_")
        };
        assert_eq!(same(&a.body.to_string()), same(&b.body.to_string()), "{theirs}");
    }
    let rows = json!({"rows": [{"x": 9.0}]});
    assert_eq!(
        umbra.post_json("/v1/deployments/pricing/predict", &rows).status,
        404
    );
    assert_eq!(umbra.delete("/v1/deployments/pricing").status, 404);
    assert_eq!(
        umbra
            .post_json("/v1/deployments/pricing/rollback", &json!({}))
            .status,
        404
    );
    assert_eq!(umbra.delete("/v1/models/churn/1?why=spite").status, 404);
    assert_eq!(
        umbra
            .post_json("/v1/plugins/clip/0.1.0/yank", &json!({"why": "spite"}))
            .status,
        404
    );
    assert_eq!(
        umbra
            .post_json("/v1/tenants/acme/keys", &json!({"name": "x", "role": "admin"}))
            .status,
        404
    );
    // A deployment can't reach them by name either.
    let stolen = umbra.post_json("/v1/deployments", &clip("mine", 1.0));
    assert_eq!(stolen.status, 422, "{stolen:?}");
    assert!(!stolen.error().contains("acme"));
    umbra.push(&guest("predictor"));
    let grab = umbra.post_json(
        "/v1/deployments",
        &json!({
        "name": "grab", "input": [{"name": "x", "type": "fp32"}],
        "predictor": {"plugin": "predictor", "models": {"churn": {"name": "churn", "version": 1}}}}),
    );
    assert_eq!(grab.status, 422, "{grab:?}");
    assert_eq!(umbra.get("/v1/models").body["models"], json!([]));
    // The operator manages tenants, and doesn't read what they have.
    assert_eq!(operator.get("/v1/deployments/pricing").status, 404);
    assert_eq!(
        operator
            .post_json("/v1/deployments/pricing/predict", &rows)
            .status,
        404
    );
    assert_eq!(operator.get("/v1/tenants/acme").status, 200);
    // The same bytes of both: shared code, and nothing else.
    umbra.push(&plugin("clip"));
    umbra.deploy(&clip("pricing", 2.0));
    assert_eq!(
        acme.post_json("/v1/deployments/pricing/predict", &rows).body["rows"],
        json!([{"x": 5.0}])
    );
    assert_eq!(
        umbra.post_json("/v1/deployments/pricing/predict", &rows).body["rows"],
        json!([{"x": 2.0}])
    );
    // Metrics and readiness: each its own.
    let metrics = umbra.text("/metrics");
    assert!(
        metrics.contains("tenant=\"umbra\"") && !metrics.contains("acme"),
        "{metrics}"
    );
    let all = operator.text("/metrics");
    assert!(all.contains("tenant=\"umbra\"") && all.contains("tenant=\"acme\""));
    assert_eq!(
        acme.get("/v1/audit?tail=100").body["records"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["tenant"] != "acme")
            .count(),
        0
    );
    let exported = umbra.text("/v1/audit/export");
    assert!(
        !exported.contains("acme") && exported.contains("plugin:push"),
        "{exported}"
    );
    drop(server);
}

#[test]
fn roles_keys_and_policies_decide() {
    let (_, acme, _, server) = two_tenants();
    acme.push(&plugin("clip"));
    acme.deploy(&clip("pricing", 5.0));
    acme.deploy(&clip("other", 5.0));
    let rows = json!({"rows": [{"x": 9.0}]});
    let key = |role: &str, more: Value| {
        let mut body = json!({"name": format!("{role}-key"), "role": role});
        for (k, v) in more.as_object().unwrap() {
            body[k] = v.clone();
        }
        let made = acme.post_json("/v1/tenants/acme/keys", &body);
        assert_eq!(made.status, 201, "{made:?}");
        (
            acme.with_key(made.body["key"].as_str().map(str::to_owned)),
            made.body["record"]["id"].as_str().unwrap().to_owned(),
        )
    };
    let (viewer, _) = key("viewer", json!({}));
    let (predictor, predictor_id) = key("predictor", json!({}));
    let (developer, _) = key("developer", json!({}));
    let (only_other, _) = key("predictor", json!({"deployments": ["other"]}));

    let past = json!({"name": "late", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"});
    assert_eq!(acme.post_json("/v1/tenants/acme/keys", &past).status, 400);
    assert_eq!(viewer.get("/v1/deployments/pricing").status, 200);
    let refused = viewer.post_json("/v1/deployments/pricing/predict", &rows);
    assert_eq!((refused.status, refused.code()), (403, "forbidden"));
    assert!(
        refused.error().contains("deployment:pricing:predict") && refused.error().contains("predictor"),
        "{refused:?}"
    );
    assert_eq!(
        predictor
            .post_json("/v1/deployments/pricing/predict", &rows)
            .status,
        200
    );
    assert_eq!(
        predictor.post_json("/v1/deployments", &clip("new", 1.0)).status,
        403
    );
    assert_eq!(
        predictor
            .post("/v1/plugins", "application/wasm", &plugin("clip"))
            .status,
        403
    );
    assert_eq!(
        only_other
            .post_json("/v1/deployments/other/predict", &rows)
            .status,
        200
    );
    assert_eq!(
        only_other
            .post_json("/v1/deployments/pricing/predict", &rows)
            .status,
        403
    );
    developer.deploy(&clip("new", 1.0));
    assert_eq!(
        developer
            .post_json("/v1/tenants/acme/keys", &json!({"name": "x", "role": "admin"}))
            .status,
        403
    );
    // A key can't make what has more than itself; an admin has all.
    assert_eq!(acme.get("/v1/whoami").body["key"]["role"], "admin");

    // A policy of the tenant's own, at once.
    let policy = r#"forbid (principal, action == Action::"deployment:predict", resource)
when { resource has name && resource.name == "pricing" };"#;
    let put = acme.put(
        "/v1/tenants/acme/policies/freeze",
        "text/plain",
        policy.as_bytes(),
    );
    assert_eq!(put.status, 200, "{put:?}");
    let frozen = predictor.post_json("/v1/deployments/pricing/predict", &rows);
    assert_eq!(frozen.status, 403);
    assert!(frozen.error().contains("freeze"), "{frozen:?}");
    assert_eq!(
        predictor.post_json("/v1/deployments/other/predict", &rows).status,
        200
    );
    let bad = acme.put(
        "/v1/tenants/acme/policies/bad",
        "text/plain",
        b"permit (principal, action, resource) when { principal.rol == 1 };",
    );
    assert_eq!(bad.status, 400, "{bad:?}");
    // One problem after the other, each with its place.
    let bad = acme.put(
        "/v1/tenants/acme/policies/bad",
        "text/plain",
        b"permit (principal, action, resource) when { principal.rol == 1 };\n\
          permit (principal, action, resource) when { resource.nam == \"x\" };",
    );
    let problems = bad.body["problems"].as_array().unwrap();
    let lines: Vec<u64> = problems.iter().map(|p| p["line"].as_u64().unwrap()).collect();
    assert!(lines.contains(&1) && lines.contains(&2), "{bad:?}");
    assert!(bad.error().lines().count() == problems.len() + 1, "{bad:?}");
    assert_eq!(acme.delete("/v1/tenants/acme/policies/freeze").status, 200);
    assert_eq!(
        predictor
            .post_json("/v1/deployments/pricing/predict", &rows)
            .status,
        200
    );

    // Revoked: at once.
    assert_eq!(
        acme.delete(&format!("/v1/tenants/acme/keys/{predictor_id}"))
            .status,
        200
    );
    let gone = predictor.post_json("/v1/deployments/pricing/predict", &rows);
    assert_eq!((gone.status, gone.code()), (401, "key-revoked"));
    // No secret is anywhere on disk.
    let secret = acme.key().unwrap().rsplit('_').next().unwrap().to_owned();
    let data = server.stop();
    for entry in walk(data.path()) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(
            !bytes.windows(secret.len()).any(|w| w == secret.as_bytes()),
            "{}",
            entry.display()
        );
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn quotas_bound_what_a_tenant_uses_and_the_neighbour_notices_nothing() {
    let (operator, acme, umbra, _server) = two_tenants();
    acme.push(&plugin("clip"));
    umbra.push(&plugin("clip"));
    acme.deploy(&clip("pricing", 5.0));
    umbra.deploy(&clip("pricing", 5.0));
    let rows = json!({"rows": [{"x": 9.0}]});
    let set = |quotas: Value| {
        let answer = operator.put(
            "/v1/tenants/acme/quotas",
            "application/json",
            quotas.to_string().as_bytes(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    set(json!({"requests_per_second": 0.01, "requests_burst": 3}));
    let statuses: Vec<u16> = (0..5)
        .map(|_| acme.post_json("/v1/deployments/pricing/predict", &rows).status)
        .collect();
    assert!(
        statuses.iter().filter(|s| **s == 200).count() <= 3 && statuses.ends_with(&[429]),
        "{statuses:?}"
    );
    let over = acme.post_json("/v1/deployments/pricing/predict", &rows);
    assert_eq!((over.status, over.code()), (429, "over-quota"));
    assert!(over.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    for _ in 0..5 {
        assert_eq!(
            umbra.post_json("/v1/deployments/pricing/predict", &rows).status,
            200
        );
    }
    // Keys can still be managed.
    assert_eq!(acme.get("/v1/tenants/acme/keys").status, 200);

    set(json!({"plugins": 1, "deployments": 1, "upload_bytes": 100_000_000}));
    assert_eq!(
        acme.post("/v1/plugins", "application/wasm", &plugin("impute"))
            .status,
        507
    );
    assert_eq!(
        acme.post("/v1/plugins", "application/wasm", &plugin("clip"))
            .status,
        200
    ); // It is there.
    assert_eq!(
        acme.post_json("/v1/deployments", &clip("second", 1.0)).status,
        507
    );
    assert_eq!(
        acme.post_json("/v1/deployments", &clip("pricing", 1.0)).status,
        200
    ); // A new revision.
    set(json!({"upload_bytes": 1000}));
    assert_eq!(
        acme.post("/v1/plugins", "application/wasm", &plugin("impute"))
            .status,
        413
    );
    set(json!({"stored_bytes": 1000}));
    assert_eq!(
        acme.post("/v1/plugins", "application/wasm", &plugin("impute"))
            .status,
        507
    );

    // CPU time of sandboxed code: a deployment that burns is stopped from burning on.
    set(json!({"cpu_seconds_per_second": 0.01, "cpu_burst_seconds": 0.05}));
    acme.push(&guest("hostile"));
    acme.deploy(&one_column(
        "burn",
        json!([{"plugin": "hostile", "config": {"behave": "loop"}, "limits": {"deadline_ms": 200}}]),
    ));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(acme.post_json("/v1/deployments/burn/predict", &rows).status);
    }
    assert!(seen.contains(&504) && seen.ends_with(&[429]), "{seen:?}");
    let usage = operator.get("/v1/tenants/acme/usage");
    assert!(usage.body["cpu_seconds"].as_f64().unwrap() > 0.05, "{usage:?}");

    // Changes, so that nobody fills the audit log: all but taking rights away, which always goes.
    let fresh = operator.tenant("fresh");
    let quotas = operator.put(
        "/v1/tenants/fresh/quotas",
        "application/json",
        br#"{"changes_per_day": 2}"#,
    );
    assert_eq!(quotas.status, 200, "{quotas:?}");
    let made = fresh.post_json("/v1/tenants/fresh/keys", &json!({"name": "k", "role": "viewer"}));
    assert_eq!(made.status, 201, "{made:?}");
    fresh.push(&plugin("clip"));
    let over = fresh.post_json("/v1/deployments", &clip("pricing", 4.0));
    assert_eq!((over.status, over.code()), (429, "over-quota"), "{over:?}");
    assert!(over.error().contains("changes_per_day"), "{over:?}");
    assert!(over.header("retry-after").unwrap().parse::<u64>().unwrap() > 60);
    let id = made.body["record"]["id"].as_str().unwrap();
    let revoked = fresh.delete(&format!("/v1/tenants/fresh/keys/{id}"));
    assert_eq!(revoked.status, 200);
    assert_eq!(fresh.get("/v1/plugins").status, 200);

    // Memory of running instances.
    set(json!({"memory_bytes": 4096}));
    let starved = acme.post_json("/v1/deployments/pricing/predict", &rows);
    assert_eq!(
        (starved.status, starved.code()),
        (429, "tenant-memory"),
        "{starved:?}"
    );
    set(json!({}));
    assert_eq!(
        acme.post_json("/v1/deployments/pricing/predict", &rows).status,
        200
    );
    let bad = operator.put(
        "/v1/tenants/acme/quotas",
        "application/json",
        br#"{"requests_per_secnd": 1}"#,
    );
    assert_eq!(bad.status, 400);
    assert!(bad.error().contains("requests_per_secnd"), "{bad:?}");
}

#[test]
fn a_tenant_is_suspended_resumed_and_deleted() {
    let (operator, acme, umbra, _server) = two_tenants();
    acme.push(&plugin("clip"));
    acme.deploy(&clip("pricing", 5.0));
    assert_eq!(
        operator.post_json("/v1/tenants/acme/suspend", &json!({})).status,
        200
    );
    assert_eq!(acme.get("/v1/deployments").code(), "tenant-suspended");
    assert_eq!(umbra.get("/v1/deployments").status, 200);
    assert_eq!(
        operator.post_json("/v1/tenants/acme/resume", &json!({})).status,
        200
    );
    assert_eq!(acme.get("/v1/deployments").status, 200);
    let busy = operator.delete("/v1/tenants/acme");
    assert_eq!((busy.status, busy.code()), (409, "tenant-not-empty"));
    assert!(busy.error().contains("1 deployment"), "{busy:?}");
    assert_eq!(acme.delete("/v1/deployments/pricing").status, 200);
    assert_eq!(operator.delete("/v1/tenants/acme").status, 200);
    assert_eq!(acme.get("/v1/deployments").status, 401);
    assert_eq!(operator.get("/v1/tenants/acme").status, 404);
    let again = operator.post_json("/v1/tenants", &json!({"id": "acme"}));
    assert_eq!((again.status, again.code()), (409, "tenant-deleted"));
    // Neither can a tenant be made by a tenant.
    assert!(matches!(
        umbra.post_json("/v1/tenants", &json!({"id": "mine"})).status,
        403 | 404
    ));
}

#[test]
fn changes_and_refusals_are_in_the_audit_log_and_it_verifies() {
    let (operator, acme, _, server) = two_tenants();
    acme.push(&plugin("clip"));
    acme.deploy(&clip("pricing", 5.0));
    acme.post_json("/v1/deployments/pricing/predict", &json!({"rows": [{"x": 1.0}]}));
    assert_eq!(
        acme.post("/v1/plugins", "application/wasm", b"nonsense").status,
        400
    );
    operator.get("/v1/deployments"); // Refused.
    // Refusals are gathered for a moment, so that a flood of them is one record with a count.
    let start = std::time::Instant::now();
    let records = loop {
        let records = acme.get("/v1/audit?tail=100").body["records"]
            .as_array()
            .unwrap()
            .clone();
        if records.iter().any(|r| r["result"] == "refused") {
            break records;
        }
        assert!(
            start.elapsed() < std::time::Duration::from_secs(20),
            "{records:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let find = |action: &str, result: &str| {
        records
            .iter()
            .find(|r| r["action"] == action && r["result"] == result)
            .unwrap_or_else(|| panic!("{action} {result}: {records:#?}"))
    };
    let push = find("plugin:push", "done");
    assert_eq!(push["resource"], "plugin:clip");
    assert!(push["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{push}");
    assert_eq!(push["actor"]["key_name"], "admin");
    assert!(push["detail"].as_str().unwrap().contains("clip@0.1.0"), "{push}");
    find("deployment:deploy", "done");
    assert_eq!(find("plugin:push", "refused")["status"], 400);
    assert!(!records.iter().any(|r| r["action"] == "deployment:predict"));
    let report = operator.post_json("/v1/audit/verify", &json!({}));
    assert_eq!(report.body["whole"], true, "{report:?}");
    for path in ["/v1/audit/verify", "/v1/backup", "/v1/tenants"] {
        let refused = acme.post_json(path, &json!({"id": "x"}));
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
        assert!(refused.error().contains("only operators may"), "{refused:?}");
    }
    // Who gives a whole key for an id has it in no record.
    let whole = acme.key_of("viewer").key().unwrap().to_owned();
    assert_eq!(acme.delete(&format!("/v1/tenants/acme/keys/{whole}")).status, 404);
    let secret = whole.rsplit('_').next().unwrap();
    eventually("the refusal is in the log", || {
        let records = acme.text("/v1/audit/export");
        assert!(!records.contains(secret), "{records}");
        records.contains("_…\"").then_some(())
    });
    // Changed behind the server's back: found.
    let data = server.stop();
    let segment = walk(&data.path().join("audit"))
        .into_iter()
        .find(|p| std::fs::read_to_string(p).is_ok_and(|t| t.contains("plugin:clip")))
        .unwrap();
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("plugin:clip", "plugin:clap", 1)).unwrap();
    let output = crate::harness::caisson()
        .args(["audit", "verify", "--data-dir"])
        .arg(data.path())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn tenants_keys_and_deployments_survive_a_kill_and_a_restore() {
    let (operator, acme, umbra, server) = two_tenants();
    for name in CDNOW_PLUGINS {
        acme.push(&plugin(name));
    }
    acme.push(&plugin("clip"));
    acme.deploy(&clip("pricing", 5.0));
    umbra.push(&plugin("clip"));
    umbra.deploy(&clip("pricing", 2.0));
    let backup = operator.bytes_of_post("/v1/backup");
    let rows = json!({"rows": [{"x": 9.0}]});
    let check = |server: &Server| {
        let (acme, umbra) = (acme.at(server), umbra.at(server));
        assert_eq!(
            acme.post_json("/v1/deployments/pricing/predict", &rows).body["rows"],
            json!([{"x": 5.0}])
        );
        assert_eq!(
            umbra.post_json("/v1/deployments/pricing/predict", &rows).body["rows"],
            json!([{"x": 2.0}])
        );
        assert_eq!(
            umbra.get("/v1/plugins").body["plugins"].as_array().unwrap().len(),
            1
        );
        assert_eq!(operator.at(server).get("/v1/tenants").status, 200);
    };
    let server = Server::restart_keyed(server.kill());
    check(&server);
    drop(server);
    let fresh = tempfile::tempdir().unwrap();
    let file = fresh.path().join("backup.tar");
    std::fs::write(&file, &backup).unwrap();
    let target = tempfile::tempdir().unwrap();
    let output = crate::harness::caisson()
        .args(["restore", "--from"])
        .arg(&file)
        .arg("--data-dir")
        .arg(target.path().join("data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let moved = tempfile::tempdir().unwrap();
    std::fs::rename(target.path().join("data"), moved.path().join("x")).unwrap();
    for entry in std::fs::read_dir(moved.path().join("x")).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), moved.path().join(entry.file_name())).unwrap();
    }
    std::fs::remove_dir(moved.path().join("x")).unwrap();
    check(&Server::restart_keyed(moved));
}

#[test]
fn a_backup_holds_what_monitors_need_and_says_what_it_lacks() {
    let (server, operator) = Server::start_keyed();
    let acme = operator.tenant("acme");
    acme.push_cdnow();
    let made = acme.post("/v1/deployments", "application/yaml", &cdnow("deployment.yaml"));
    assert_eq!(made.status, 201, "{made:?}");
    // A digest in somebody's words is no blob of ours.
    let tags = json!({"tags": {"data": format!("sha256:{}", "ab".repeat(32))}});
    let tagged = acme.patch("/v1/models/cdnow-repurchase/1", &tags);
    assert_eq!(tagged.status, 200, "{tagged:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let backup = operator.cli(&["backup", "--out", &path("whole.tar")]);
    assert!(backup.status.success() && backup.stderr.is_empty(), "{backup:?}");
    let restored = tempfile::tempdir().unwrap();
    let into = restored.path().to_str().unwrap();
    let restore = operator.cli(&["restore", "--from", &path("whole.tar"), "--data-dir", into]);
    assert!(
        restore.status.success() && restore.stderr.is_empty(),
        "{restore:?}"
    );
    let second = Server::restart_keyed(restored);
    let drift = acme.at(&second).post(
        "/v1/deployments/cdnow-repurchase/drift",
        "text/csv",
        &cdnow("later_months.csv"),
    );
    assert_eq!(drift.body["status"], "drifted", "{drift:?}");
    drop(second);

    let data = server.stop();
    let digest = caisson_store::Digest::of(&cdnow("model.onnx")).hex();
    let blob = walk(&data.path().join("blobs"))
        .into_iter()
        .find(|file| file.to_string_lossy().ends_with(&digest))
        .unwrap();
    std::fs::remove_file(blob).unwrap();
    let server = Server::restart_keyed(data);
    let backup = operator
        .at(&server)
        .cli(&["backup", "--out", &path("damaged.tar")]);
    let said = String::from_utf8_lossy(&backup.stderr);
    assert_eq!(backup.status.code(), Some(2), "{said}");
    assert!(
        said.contains("1 damaged or missing blobs") && said.contains(&digest),
        "{said}"
    );
}

#[test]
fn a_models_life_from_draft_to_deletion() {
    let (_, acme, _, _server) = two_tenants();
    let push = |n: u64| {
        let answer = acme.push_model("churn", &cdnow("model.onnx"), &json!({"n": n}), None);
        assert_eq!(
            (answer.status, answer.body["version"].as_u64()),
            (201, Some(n)),
            "{answer:?}"
        );
    };
    push(1);
    push(2);
    let step = |key: &Keyed, version: u64, to: &str| {
        key.post_json(
            &format!("/v1/models/churn/{version}/stage"),
            &json!({"to": to, "why": "because"}),
        )
    };
    let approver = acme.key_of("approver");
    let developer = acme.key_of("developer");
    assert_eq!(step(&developer, 1, "approved").status, 403);
    assert_eq!(step(&approver, 1, "approved").code(), "illegal-transition");
    assert_eq!(step(&developer, 1, "pending").status, 200);
    assert_eq!(step(&approver, 1, "approved").status, 200);
    let stage = acme.get("/v1/models/churn/1/stage").body;
    assert_eq!(stage["stage"], "approved");
    assert_eq!(stage["history"].as_array().unwrap().len(), 2);
    // A protected alias is the approver's, and leads to approved versions.
    let settings = acme.put(
        "/v1/tenants/acme/settings",
        "application/json",
        br#"{"protected_aliases": ["champion"]}"#,
    );
    assert_eq!(settings.status, 200, "{settings:?}");
    let alias = |key: &Keyed, alias: &str, body: Value| {
        key.put(
            &format!("/v1/models/churn/aliases/{alias}"),
            "application/json",
            body.to_string().as_bytes(),
        )
    };
    assert_eq!(alias(&developer, "champion", json!({"version": 1})).status, 403);
    assert_eq!(
        alias(&approver, "champion", json!({"version": 2})).code(),
        "not-approved"
    );
    let moved = alias(&approver, "champion", json!({"version": 1, "expect": null}));
    assert_eq!(moved.status, 200, "{moved:?}");
    assert!(moved.body["first_run"].is_object(), "{moved:?}");
    assert_eq!(alias(&developer, "challenger", json!({"version": 2})).status, 200);
    assert_eq!(
        alias(&developer, "challenger", json!({"version": 1, "expect": 7})).status,
        409
    );
    let used = acme.delete("/v1/models/churn/1?why=old");
    assert_eq!((used.status, used.code()), (409, "in-use"), "{used:?}");
    assert!(used.error().contains("champion"), "{used:?}");
    assert_eq!(acme.delete("/v1/models/churn/aliases/challenger").status, 200);
    assert_eq!(acme.delete("/v1/models/churn/2?why=old").status, 200);
    assert_eq!(acme.get("/v1/models/churn/2").status, 404);
    push(3);
    let tagged = acme.patch(
        "/v1/models/churn/3",
        &json!({"description": "third", "tags": {"team": "growth"}}),
    );
    assert_eq!(tagged.body["tags"]["team"], "growth", "{tagged:?}");
}

#[test]
fn uploads_are_held_to_their_digest_and_yanked_versions_are_not_chosen() {
    let (_, acme, _, _server) = two_tenants();
    let component = plugin("clip");
    let send = |digest: &str| {
        acme.post_with(
            "/v1/plugins",
            "application/wasm",
            &component,
            &[("Content-Digest", digest)],
        )
    };
    let wrong = send("sha-256=:AAAA:");
    assert_eq!((wrong.status, wrong.code()), (400, "content-digest"));
    assert_eq!(send("md5=:AAAA:").status, 400);
    let file = clip("pricing", 5.0).to_string();
    let headers = [("Content-Digest", "sha-256=:AAAA:")];
    let wrong = acme.post_with("/v1/deployments", "application/json", file.as_bytes(), &headers);
    assert_eq!((wrong.status, wrong.code()), (400, "content-digest"));
    let form = format!(
        "--x\r\nContent-Disposition: form-data; name=\"model\"; filename=\"m\"\r\n\r\nabc\r\n--x\r\nContent-Disposition: form-data; name=\"details\"\r\n\r\n{}\r\n--x--\r\n",
        json!({"digest": format!("sha256:{}", "0".repeat(64))})
    );
    let wrong = acme.post(
        "/v1/models/churn",
        "multipart/form-data; boundary=x",
        form.as_bytes(),
    );
    assert_eq!((wrong.status, wrong.code()), (400, "content-digest"), "{wrong:?}");
    acme.push(&component);
    acme.deploy(&clip("pricing", 5.0));
    assert_eq!(
        acme.post_json("/v1/plugins/clip/0.1.0/yank", &json!({"why": "rounds wrongly"}))
            .status,
        200
    );
    let refused = acme.post_json("/v1/deployments", &clip("second", 1.0));
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.error().contains("rounds wrongly"), "{refused:?}");
    // What is pinned goes on.
    let rows = json!({"rows": [{"x": 9.0}]});
    assert_eq!(
        acme.post_json("/v1/deployments/pricing/predict", &rows).status,
        200
    );
    assert_eq!(acme.delete("/v1/plugins/clip/0.1.0/yank").status, 200);
    acme.deploy(&clip("second", 1.0));
    // History, diff, rollback.
    acme.deploy(&clip("pricing", 1.0));
    let diff = acme.get("/v1/deployments/pricing/diff").body;
    assert!(
        diff["changes"]
            .to_string()
            .contains("/transforms/0/config/columns/x/max"),
        "{diff}"
    );
    let back = acme.post_json(
        "/v1/deployments/pricing/rollback",
        &json!({"message": "too strict"}),
    );
    assert_eq!(
        (back.status, back.body["revision"].as_u64()),
        (200, Some(3)),
        "{back:?}"
    );
    assert_eq!(
        acme.post_json("/v1/deployments/pricing/predict", &rows).body["rows"],
        json!([{"x": 5.0}])
    );
    let history = acme.get("/v1/deployments/pricing/revisions").body["revisions"].clone();
    assert_eq!(history.as_array().unwrap().len(), 3, "{history}");
    assert_eq!(history[0]["message"], "too strict", "{history}");
}

/// Send a request, and go away before its answer.
fn send_and_leave(server: &Server, key: &str, request: &str) {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    stream.write_all(request.replace("KEY", key).as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
}

#[test]
fn a_client_that_goes_away_leaves_no_change_half_made_or_unaudited() {
    let (operator, acme, _, server) = two_tenants();
    acme.push(&plugin("clip"));
    for n in 0..10 {
        acme.deploy(&clip(&format!("gone{n}"), 1.0));
    }
    for n in 0..10 {
        let request = format!(
            "DELETE /v1/deployments/gone{n} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\n\r\n"
        );
        send_and_leave(&server, acme.key().unwrap(), &request);
    }
    let rows = json!({"rows": [{"x": 9.0}]});
    let start = std::time::Instant::now();
    loop {
        let usage = operator.get("/v1/tenants/acme/usage").body["usage"]["deployments"].as_u64();
        let served = (0..10)
            .filter(|n| {
                acme.post_json(&format!("/v1/deployments/gone{n}/predict"), &rows)
                    .status
                    == 200
            })
            .count() as u64;
        let records = acme.get("/v1/audit?tail=1000&action=deployment:delete").body["records"].clone();
        let deleted = records.as_array().unwrap().len() as u64;
        // What was never received is still served; all else is gone everywhere, and on record.
        if usage == Some(served) && served + deleted == 10 {
            break;
        }
        assert!(
            start.elapsed() < std::time::Duration::from_secs(20),
            "{usage:?} {served} {deleted}"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_key_that_is_revoked_while_its_request_arrives_gets_nothing_done() {
    use std::io::{Read as _, Write as _};
    let (_, acme, _, server) = two_tenants();
    let made = acme.post_json(
        "/v1/tenants/acme/keys",
        &json!({"name": "second", "role": "admin"}),
    );
    let (second, id) = (
        made.body["key"].as_str().unwrap(),
        made.body["record"]["id"].as_str().unwrap(),
    );
    let body = json!({"name": "heir", "role": "admin"}).to_string();
    let head = format!(
        "POST /v1/tenants/acme/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {second}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        body.len(),
        &body[..3]
    );
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(acme.delete(&format!("/v1/tenants/acme/keys/{id}")).status, 200);
    stream.write_all(&body.as_bytes()[3..]).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert!(
        !acme
            .get("/v1/tenants/acme/keys")
            .body
            .to_string()
            .contains("heir")
    );
}

#[test]
fn who_asks_for_anothers_things_leaves_a_trace_of_its_own() {
    let (_, acme, umbra, _server) = two_tenants();
    assert_eq!(umbra.get("/v1/tenants/acme/keys").status, 404);
    let start = std::time::Instant::now();
    loop {
        let records = umbra.get("/v1/audit?tail=100&action=key:list").body["records"].clone();
        if records.as_array().unwrap().len() == 1 {
            break;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{records}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(
        acme.get("/v1/audit?tail=100&action=key:list").body["records"],
        json!([])
    );
}
