//! Windows of live answers: what monitors say of them, statistics, and what survives.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Keyed, Server, cdnow, eventually, one_column, plugin};

/// The windows of a monitor, oldest first, once there are this many.
fn windows(client: &Keyed, name: &str, of: &str, count: usize) -> Vec<Value> {
    let path = format!("/v1/deployments/{name}/drift?limit=100&{of}");
    eventually(&format!("{count} windows of {name} {of}"), || {
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut windows = answer.body["windows"].as_array().unwrap().clone();
        windows.reverse();
        assert!(windows.len() <= count, "{of}: {} windows", windows.len());
        (windows.len() == count).then_some(windows)
    })
}

/// Wait until this many rows are gathered.
fn gathered(client: &Keyed, name: &str, rows: u64) -> Value {
    eventually(&format!("{rows} rows of {name}"), || {
        let body = client.get(&format!("/v1/deployments/{name}/statistics")).body;
        (body["rows"]["taken"] == rows).then_some(body)
    })
}

fn statuses(windows: &[Value]) -> Vec<&str> {
    windows
        .iter()
        .map(|window| window["status"].as_str().unwrap())
        .collect()
}

/// Rows of a CSV, dealt out so that a run of them is like all of them.
fn dealt(csv: &[u8]) -> (String, Vec<String>) {
    let text = String::from_utf8(csv.to_vec()).unwrap();
    let mut lines = text.lines().map(str::to_owned);
    let header = lines.next().unwrap();
    let rows: Vec<String> = lines.collect();
    // 2,741 and the number of rows have no divisor in common.
    let order = (0..rows.len()).map(|i| i * 2741 % rows.len());
    (header, order.map(|i| rows[i].clone()).collect())
}

fn predict_csv(client: &Keyed, name: &str, header: &str, rows: &[String]) {
    for part in rows.chunks(500) {
        let body = format!("{header}\n{}\n", part.join("\n"));
        let answer = client.post(
            &format!("/v1/deployments/{name}/predict"),
            "text/csv",
            body.as_bytes(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[test]
fn a_real_shift_is_found_in_the_third_window_by_every_kind_of_check() {
    let server = Server::start();
    server.push_cdnow();
    server.push(&plugin("domain-classifier"));
    let yaml = String::from_utf8(cdnow("deployment.yaml")).unwrap();
    let (spec, _) = yaml.split_once("monitors:").unwrap();
    let window = "window: {size: 2000, clock: rows}, alarm: {n: 1, m: 1}";
    let columns = "columns: [recency_weeks, tenure_weeks, frequency, monetary]";
    let monitors = format!(
        "monitors:
  - {{name: ks, plugin: ks@^0.1, on: input, config: {{{columns}}}, {window}}}
  - {{name: psi, plugin: psi@^0.1, on: features, config: {{{columns}}}, {window}}}
  - {{name: together, plugin: domain-classifier@^0.1, on: input, config: {{{columns}}}, {window}}}
  - {{name: prediction, plugin: ks@^0.1, on: predictions, config: {{columns: [probability]}}, {window}}}
  - {{name: quality, check: data-quality, on: input, config: {{columns: [gap_weeks, monetary]}}, {window}}}
monitoring: {{window: {{size: 2000, clock: rows}}, private: [customer_id]}}
"
    );
    let answer = server.post(
        "/v1/deployments",
        "application/yaml",
        format!("{spec}{monitors}").as_bytes(),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let name = "cdnow-repurchase";
    let (header, same) = dealt(&cdnow("test_customers.csv"));
    predict_csv(&server, name, &header, &same[..4000]);
    let (_, later) = dealt(&cdnow("later_months.csv"));
    predict_csv(&server, name, &header, &later[..2100]);
    for monitor in ["ks", "psi", "together"] {
        let found = windows(&server, name, &format!("monitor={monitor}"), 3);
        let [first, second, third] = statuses(&found)[..] else {
            panic!("{found:?}");
        };
        assert!(first != "drifted" && second != "drifted", "{monitor}: {found:?}");
        assert_eq!(third, "drifted", "{monitor}");
        assert_eq!(found[2]["alarm"]["change"], "raised");
        assert_eq!(
            (&found[2]["rows"], &found[2]["checked_rows"]),
            (&json!(2000), &json!(2000))
        );
        let worst = &found[2]["features"][0];
        assert!(
            worst["effect_size"].is_number() && worst["p_value"].is_number(),
            "{worst}"
        );
    }
    assert_eq!(windows(&server, name, "monitor=prediction", 3).len(), 3);
    let quality = windows(&server, name, "monitor=quality", 3);
    assert!(
        statuses(&quality[..2]).iter().all(|status| *status == "stable"),
        "{quality:?}"
    );
    // Asked, the host's own check answers as the plugins do.
    let asked = server.post(
        &format!("/v1/deployments/{name}/drift"),
        "text/csv",
        &cdnow("baseline.csv"),
    );
    let of_quality = &asked.body["monitors"][4];
    assert_eq!(
        (&of_quality["plugin"], &of_quality["status"]),
        (&json!("data-quality"), &json!("stable"))
    );
    // The numbers stand beside the baseline's.
    let body = eventually("the baseline", || {
        let body = server.get(&format!("/v1/deployments/{name}/statistics")).body;
        body["baseline"].is_object().then_some(body)
    });
    assert_eq!(body["baseline"]["rows"], 4000);
    assert_eq!(body["windows"].as_array().unwrap().len(), 3);
    assert_eq!(body["open"][0]["rows"], 100);
    let column = |of: &Value, side: &str, column: &str| {
        let all = of[side].as_array().unwrap();
        all.iter().find(|c| c["column"] == column).cloned()
    };
    assert_eq!(column(&body["windows"][0], "input", "customer_id"), None);
    let recency = column(&body["windows"][2], "input", "recency_weeks").unwrap();
    let index = header.split(',').position(|c| c == "recency_weeks").unwrap();
    let exact: f64 = same[..2000]
        .iter()
        .map(|row| row.split(',').nth(index).unwrap().parse::<f64>().unwrap())
        .sum::<f64>()
        / 2000.0;
    assert!(
        (recency["number"]["mean"].as_f64().unwrap() - exact).abs() < 1e-3,
        "{recency} {exact}"
    );
    assert!(column(&body["baseline"], "predictions", "probability").unwrap()["number"]["mean"].is_number());
    // For people: an alarm is an exit code.
    let shown = server.cli(&["drift", name]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(2), "{text}");
    assert!(text.contains("raised") && text.contains("data-quality"), "{text}");
    let shown = server.cli(&["statistics", name]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.status.success() && text.contains("recency_weeks") && text.contains("(open)"),
        "{text}"
    );
    let metrics = server.metrics();
    let series = |line: &&str| line.starts_with("caisson_drift_alarm") && line.contains("monitor=\"ks\"");
    assert!(metrics.lines().find(series).unwrap().ends_with(" 1"));
}

/// 2024-01-01, a Monday, in seconds.
const MONDAY: i64 = 1_704_067_200;
const DAY: i64 = 86_400;

fn shop(monitors: Value) -> Value {
    json!({
        "name": "shop",
        "input": [
            {"name": "at", "type": "int64"},
            {"name": "amount", "type": "fp32", "nullable": true},
            {"name": "country", "type": "text"},
        ],
        "monitors": monitors,
        "monitoring": {
            "event_time": {"column": "at", "unit": "seconds"},
            "window": {"size": "1d"},
            "segments": ["country"],
        },
    })
}

/// A day's rows around an amount.
fn day(day: i64, amount: f64, missing: i64) -> Value {
    let row = |i: i64| {
        let amount = (i >= missing).then(|| amount + (i * 37 % 101) as f64 / 50.0);
        json!({"at": MONDAY + day * DAY + i * 300, "amount": amount, "country": if i % 2 == 0 { "DE" } else { "FR" }})
    };
    json!({"rows": (0..288).map(row).collect::<Vec<_>>()})
}

fn send(client: &Keyed, body: &Value) {
    let answer = client.post_json("/v1/deployments/shop/predict", body);
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn ks(more: Value) -> Value {
    let mut monitor = json!({
        "name": "amount", "plugin": "ks", "config": {"columns": ["amount"]},
        "window": {"size": "1d", "lateness": "1h"}, "against": {"trailing": 7},
    });
    monitor
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    monitor
}

#[test]
fn a_weekly_season_pages_nobody_and_late_rows_are_counted() {
    let server = Server::start();
    server.push(&plugin("ks"));
    // Two days of seven: a weekend is far from such a week, and a working day isn't.
    let config = json!({"columns": ["amount"], "threshold": 0.5});
    let by_country = ks(json!({"alarm": {"n": 3, "m": 5}, "segments": ["country"], "config": config}));
    server.deploy(&shop(json!([by_country])));
    for d in 0..22 {
        let weekend = d % 7 >= 5;
        send(&server, &day(d, if weekend { 20.0 } else { 0.0 }, 0));
    }
    let found = windows(&server, "shop", "", 21);
    let drifted: Vec<usize> = (0..21).filter(|i| found[*i]["status"] == "drifted").collect();
    assert_eq!(drifted, [5, 6, 12, 13, 19, 20]);
    assert!(
        found.iter().all(|window| window["alarm"]["raised"] == false),
        "{found:?}"
    );
    assert_eq!(
        (&found[0]["status"], &found[0]["trailing"]),
        (&json!("insufficient-data"), &json!(0))
    );
    assert_eq!(windows(&server, "shop", "segment=DE", 21)[3]["rows"], 144);
    // Two weeks late.
    send(&server, &day(2, 0.0, 0));
    let answer = eventually("late rows", || {
        let body = server.get("/v1/deployments/shop/drift").body;
        (body["rows"]["late"] == 288).then_some(body)
    });
    assert_eq!(answer["dropped"], json!({"memory": 0, "rows": 0, "revision": 0}));
    let statistics = server
        .get("/v1/deployments/shop/statistics?segment=FR&limit=3")
        .body;
    let shown = statistics["windows"].as_array().unwrap();
    assert_eq!((shown.len(), &shown[0]["rows"]), (3, &json!(144)));
    assert_eq!(server.get("/v1/deployments/shop/drift?limit=0").status, 400);
    assert_eq!(
        server.get("/v1/deployments/shop/drift?monitor=nobody").status,
        404
    );
}

#[test]
fn a_stop_loses_nothing_and_a_kill_at_most_what_was_not_saved() {
    let server = Server::start();
    server.push(&plugin("ks"));
    server.deploy(&shop(json!([ks(json!({"alarm": {"n": 1, "m": 1}}))])));
    for d in 0..3 {
        send(&server, &day(d, 0.0, 0));
    }
    windows(&server, "shop", "", 2);
    // In the middle of the third day.
    let server = Server::start_in(server.stop());
    send(&server, &day(3, 30.0, 0));
    let found = windows(&server, "shop", "", 3);
    assert_eq!(
        (&found[2]["rows"], &found[2]["trailing"]),
        (&json!(288), &json!(2))
    );
    send(&server, &day(4, 30.0, 0));
    let found = windows(&server, "shop", "", 4);
    assert_eq!(
        (&found[3]["status"], &found[3]["alarm"]["raised"]),
        (&json!("drifted"), &json!(true))
    );
    // Saved a second after that window; then killed.
    std::thread::sleep(Duration::from_secs(4));
    let server = Server::start_in(server.kill());
    let newest = eventually("the alarm of before", || {
        let body = server.get("/v1/deployments/shop/drift").body;
        let newest = body["monitors"][0]["newest"].clone();
        newest.is_object().then_some(newest)
    });
    assert_eq!(newest["alarm"]["raised"], true);
    send(&server, &day(5, 30.0, 0));
    let found = windows(&server, "shop", "", 5);
    // What was open when it was killed had been saved.
    assert_eq!(
        (&found[4]["rows"], &found[4]["trailing"]),
        (&json!(288), &json!(4))
    );
    let days: std::collections::BTreeSet<&str> = found
        .iter()
        .map(|w| w["window"]["start"].as_str().unwrap())
        .collect();
    assert_eq!(days.len(), 5);
}

#[test]
fn a_new_revision_goes_on_unless_its_columns_are_others() {
    let server = Server::start();
    server.push(&plugin("ks"));
    server.deploy(&shop(json!([ks(json!({}))])));
    send(&server, &day(0, 0.0, 0));
    gathered(&server, "shop", 288);
    // Another monitor: the windows of the first go on.
    let mut quality =
        ks(json!({"name": "quality", "check": "data-quality", "config": {}, "alarm": {"n": 1, "m": 1}}));
    quality.as_object_mut().unwrap().remove("plugin");
    let mut spec = shop(json!([ks(json!({})), quality]));
    server.deploy(&spec);
    send(&server, &day(1, 0.0, 0));
    send(&server, &day(2, 0.0, 100));
    send(&server, &day(3, 0.0, 0));
    assert_eq!(windows(&server, "shop", "monitor=amount", 3)[0]["rows"], 288);
    let found = windows(&server, "shop", "monitor=quality", 2);
    assert_eq!(statuses(&found), ["insufficient-data", "drifted"]);
    let worst = &found[1]["features"][0];
    assert_eq!(
        (&worst["feature"], &worst["method"]),
        (&json!("amount"), &json!("missing-rate"))
    );
    assert!((worst["current_missing_rate"].as_f64().unwrap() - 100.0 / 288.0).abs() < 1e-9);
    spec["input"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "new", "type": "fp32", "nullable": true}));
    server.deploy(&spec);
    assert_eq!(gathered(&server, "shop", 0)["open"], json!([]));
    send(&server, &day(4, 0.0, 0));
    assert_eq!(gathered(&server, "shop", 288)["open"][0]["rows"], 288);
    // What was said stays said.
    assert_eq!(windows(&server, "shop", "monitor=quality", 2).len(), 2);
    // Off.
    spec["monitoring"] = json!({"sample": 0});
    spec["monitors"] = json!([]);
    server.deploy(&spec);
    send(&server, &day(5, 0.0, 0));
    let body = server.get("/v1/deployments/shop/statistics").body;
    assert_eq!((&body["sample"], &body["open"]), (&json!(0.0), &json!([])));
}

#[test]
fn what_can_not_be_is_refused_when_deployed() {
    let server = Server::start();
    server.push(&plugin("ks"));
    let with = |monitor: Value| shop(json!([monitor]));
    let sampled = |monitoring: Value| {
        let mut spec = shop(json!([]));
        spec["monitoring"] = monitoring;
        spec
    };
    let mut both = ks(json!({"check": "data-quality"}));
    both["config"] = json!({});
    for (spec, status, word) in [
        (with(both), 400, "exclude each other"),
        (with(json!({"name": "m"})), 400, "`plugin`"),
        (with(json!({"name": "m", "check": "magic"})), 400, "magic"),
        (
            with(json!({"name": "m", "plugin": "ks", "alarm": {"n": 1, "m": 1}})),
            400,
            "monitors[0].alarm",
        ),
        (
            with(ks(json!({"window": {"size": "1d", "step": "2d"}}))),
            400,
            "gaps",
        ),
        (
            with(ks(json!({"window": {"size": 1, "clock": "rows"}}))),
            400,
            "at least 100",
        ),
        (with(ks(json!({"alarm": {"n": 4, "m": 3}}))), 400, "4 of 3"),
        (with(ks(json!({"against": {"trailing": 0}}))), 400, "trailing"),
        (with(ks(json!({"segments": ["contry"]}))), 422, "country: text"),
        (
            with(ks(json!({"segments": ["amount"]}))),
            422,
            "makes no segments",
        ),
        (with(ks(json!({"against": "baseline"}))), 422, "baseline"),
        (
            with(ks(json!({"segments": ["country"], "against": {"trailing": 52},
            "window": {"size": "1h", "step": "1m", "sample_rows": 20000}}))),
            422,
            "MiB",
        ),
        (
            with(json!({"name": "m", "check": "data-quality", "config": {"columns": ["amout"]}})),
            422,
            "amout",
        ),
        (sampled(json!({"sample": 2})), 400, "monitoring.sample"),
        (
            sampled(json!({"event_time": {"column": "country", "unit": "seconds"}})),
            422,
            "leave the unit out",
        ),
        (
            sampled(json!({"private": ["country"], "segments": ["country"]})),
            422,
            "segments show its values",
        ),
    ] {
        let answer = server.post_json("/v1/deployments", &spec);
        assert_eq!(answer.status, status, "{spec}: {answer:?}");
        assert!(answer.error().contains(word), "{word}: {}", answer.error());
    }
    let schema = server.get("/v1/deployment-schema.json").body;
    assert!(schema["properties"]["monitoring"].is_object() && schema["$defs"]["WindowsSpec"].is_object());
}

#[test]
fn windows_are_a_tenants_own_and_go_with_their_deployment() {
    let (server, operator) = Server::start_keyed();
    let (ann, bob) = (operator.tenant("ann"), operator.tenant("bob"));
    for tenant in [&ann, &bob] {
        let mut spec = shop(json!([]));
        spec["monitoring"]["window"] = json!({"size": 100, "clock": "rows"});
        tenant.deploy(&spec);
        send(tenant, &day(0, 1.0, 0));
        gathered(tenant, "shop", 288);
    }
    let viewer = ann.key_of("viewer");
    let body = viewer.get("/v1/deployments/shop/statistics").body;
    assert_eq!(body["windows"].as_array().unwrap().len(), 2);
    let usage = |tenant: &str| {
        operator.get(&format!("/v1/tenants/{tenant}/usage")).body["usage"]["stored_bytes"].clone()
    };
    eventually("bytes that are counted", || {
        (usage("ann").as_u64().unwrap() > 5000).then_some(())
    });
    let state = |tenant: &str| {
        server
            .data
            .path()
            .join(format!("objects/monitoring/tenant={tenant}"))
    };
    eventually("a state", || {
        (state("ann").is_dir() && state("bob").is_dir()).then_some(())
    });
    assert_eq!(bob.delete("/v1/deployments/shop").status, 200);
    assert!(!state("bob").exists() && state("ann").is_dir());
    bob.deploy(&shop(json!([])));
    let body = bob.get("/v1/deployments/shop/statistics").body;
    assert_eq!(
        (&body["windows"], &body["rows"]["taken"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(bob.delete("/v1/deployments/shop").status, 200);
    assert_eq!(operator.delete("/v1/tenants/bob").status, 200);
    assert_eq!(
        gathered(&ann, "shop", 288)["windows"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn rules_hear_of_alarms_and_of_columns() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::spawn(data, &["--dev", "--alert-interval-seconds", "1"]);
    server.push(&plugin("ks"));
    server.deploy(&shop(json!([ks(
        json!({"alarm": {"n": 2, "m": 2}, "segments": ["country"]})
    )])));
    let rules = "
rules:
  - {name: alarm, metric: 'drift_alarm{monitor=*}', operator: '>=', threshold: 1, severity: critical, for: 0s}
  - {name: holes, metric: 'missing_rate{column=amount}', operator: '>', threshold: 0.2, severity: warning, for: 0s}
";
    let applied = server.put("/v1/alert-rules", "application/yaml", rules.as_bytes());
    assert_eq!(applied.status, 200, "{applied:?}");
    for (d, (amount, missing)) in [(0.0, 0), (0.0, 0), (9.0, 0), (9.0, 100), (9.0, 0)]
        .into_iter()
        .enumerate()
    {
        send(&server, &day(d as i64, amount, missing));
    }
    windows(&server, "shop", "", 4);
    eventually("both alerts", || {
        let body = server.get("/v1/alerts").body;
        let firing = |rule: &str| {
            body["alerts"]
                .as_array()
                .unwrap()
                .iter()
                .any(|alert| alert["rule"] == rule)
        };
        (firing("alarm") && firing("holes")).then_some(())
    });
}

#[test]
fn every_deployment_has_statistics_without_asking() {
    let server = Server::start();
    server.deploy(&one_column("plain", json!([])));
    for _ in 0..3 {
        let answer = server.post_json(
            "/v1/deployments/plain/predict",
            &json!({"rows": [{"x": 1}, {"x": null}]}),
        );
        assert_eq!(answer.status, 200);
    }
    let body = gathered(&server, "plain", 6);
    let x = &body["open"][0]["input"][0];
    assert_eq!(
        (&x["missing_rate"], &x["number"]["mean"]),
        (&json!(0.5), &json!(1.0))
    );
    assert_eq!(
        server.get("/v1/deployments/plain/drift").body["monitors"],
        json!([])
    );
    assert_eq!(server.get("/v1/deployments/nobody/statistics").status, 404);
}
