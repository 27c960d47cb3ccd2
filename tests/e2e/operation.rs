//! A server in an operator's hands: configuration, the first key, starting and stopping.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Server, caisson, one_column, plugin, root};

#[test]
fn a_configuration_is_explained_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("caisson.toml");
    std::fs::write(
        &file,
        "[server]\nlisten = \"nowhere\"\nlistn = 1\n\n[quotas]\nrequests_per_second = \"many\"\n\n[storgae]\ndata_dir = \"x\"\n",
    )
    .unwrap();
    let check = |args: &[&str]| {
        caisson()
            .args(["config", "check"])
            .arg(&file)
            .args(args)
            .output()
            .unwrap()
    };
    let output = check(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for place in [
        "caisson.toml:2:",
        "caisson.toml:3:",
        "caisson.toml:6:",
        "caisson.toml:8:",
    ] {
        assert!(said.contains(place), "{place}: {said}");
    }
    let answer: Value = serde_json::from_slice(&check(&["--json"]).stdout).unwrap();
    assert_eq!(
        (
            answer["ok"].as_bool(),
            answer["problems"].as_array().unwrap().len()
        ),
        (Some(false), 4),
        "{answer}"
    );
    // A server doesn't start on it.
    let output = caisson().args(["serve", "--config"]).arg(&file).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("caisson.toml:2:"));

    // What is a value, and can't be meant, or not beside another.
    std::fs::write(
        &file,
        "[server]\nlisten = \"0.0.0.0:80\"\ndev = true\n\n[quotas]\nmodels = 3\nrequests_burst = 5\n\n\
         [storage]\nblobs = \"ftp://x\"\n\n[log]\nfilter = \"=x=\"\n",
    )
    .unwrap();
    let output = check(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (place, what) in [
        ("caisson.toml:2:1", "--allow-remote"),
        ("caisson.toml:3:1", "--dev"),
        ("caisson.toml:7:1", "requests_per_second"),
        ("caisson.toml:10:1", "ftp://x"),
        ("caisson.toml:13:1", "log filter"),
    ] {
        let line = said.lines().find(|line| line.contains(place));
        assert!(line.is_some_and(|line| line.contains(what)), "{place}: {said}");
    }
    assert_eq!(said.lines().count(), 5, "{said}");

    std::fs::write(
        &file,
        "[server]\ndrain_seconds = 9\ngrace_seconds = 8\n[log]\nformat = \"json\"\n",
    )
    .unwrap();
    assert!(check(&[]).status.success());
    let shown = caisson()
        .args(["config", "show", "--grace-seconds", "3", "--config"])
        .arg(&file)
        .env("CAISSON_GRACE_SECONDS", "4")
        .env("CAISSON_DRAIN_SECONDS", "5")
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["grace"]["secs"], 3, "{shown}");
    assert_eq!(shown["drain"]["secs"], 5, "{shown}");
    assert_eq!(shown["log_format"], "json", "{shown}");
}

/// Start without the variable for the operator's key; give what was said on standard error until it
/// was ready.
fn first_start(data: &std::path::Path) -> String {
    let mut child = caisson()
        .args([
            "serve",
            "--drain-seconds",
            "0",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data)
        .env_remove("CAISSON_OPERATOR_KEY")
        .env(
            "CAISSON_ONNXRUNTIME",
            root().join(".caisson/onnxruntime/libonnxruntime.so"),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Standard output ends with the process; its first line says that all is open.
    let mut first = [0; 9];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"listening");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    said
}

#[test]
fn the_operators_key_is_shown_once() {
    let data = tempfile::tempdir().unwrap();
    let said = first_start(data.path());
    let key = said
        .split_whitespace()
        .find(|word| word.starts_with("csn_"))
        .unwrap_or_else(|| panic!("no key: {said}"))
        .to_owned();
    assert!(!first_start(data.path()).contains("csn_"));
    let server = Server::restart_keyed(data);
    let operator = server.with_key(Some(key));
    assert_eq!(operator.get("/v1/whoami").body["operator"], true);
    assert_eq!(operator.get("/v1/tenants").status, 200);
}

#[test]
fn dev_is_for_loopback_alone() {
    let output = caisson()
        .args(["serve", "--dev", "--allow-remote", "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("loopback"));
}

#[test]
fn a_server_that_was_told_to_stop_is_unready_and_serves_on() {
    let server = Server::start_draining(tempfile::tempdir().unwrap(), 3);
    server.push(&plugin("clip"));
    server.deploy(&one_column(
        "clipped",
        json!([{"plugin": "clip", "config": {"columns": {"x": {"min": 0, "max": 1}}}}]),
    ));
    server.terminate();
    let told = Instant::now();
    loop {
        let ready = server.get("/v2/health/ready");
        if ready.status == 503 {
            assert_eq!(ready.body["draining"], true, "{ready:?}");
            break;
        }
        assert!(told.elapsed() < Duration::from_secs(3), "it did not turn unready");
    }
    let answer = server.post_json("/v1/deployments/clipped/predict", &json!({"rows": [{"x": 5.0}]}));
    assert_eq!((answer.status, &answer.body["rows"]), (200, &json!([{"x": 1.0}])));
    assert_eq!(answer.header("connection"), Some("close"));
    server.stop();
}

#[test]
fn what_cannot_be_loaded_is_named_and_the_policy_decides() {
    let server = Server::start();
    server.push(&plugin("clip"));
    for name in ["good", "bad"] {
        server.deploy(&one_column(
            name,
            json!([{"plugin": "clip", "config": {"columns": {"x": {"min": 0, "max": if name == "bad" { 2 } else { 1 }}}}}]),
        ));
    }
    let model = server.push_model("churn", &crate::harness::cdnow("model.onnx"), &json!({}), None);
    assert_eq!(model.status, 201);
    let digest = model.body["digest"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:")
        .to_owned();
    let names: Vec<String> = crate::harness::cdnow_columns();
    let input: Vec<Value> = names.iter().map(|n| json!({"name": n, "type": "fp32"})).collect();
    server.deploy(&json!({"name": "scored", "input": input,
        "model": {"name": "churn", "version": 1, "columns": {"X": names}, "outputs": ["probabilities"], "missing": "nan"}}));
    let data = server.stop();
    let blob = data
        .path()
        .join("blobs/sha256")
        .join(&digest[..2])
        .join(&digest[2..4])
        .join(&digest);
    std::fs::write(&blob, b"not the model any more").unwrap();

    let server = Server::start_in(data);
    let ready = server.get("/v2/health/ready");
    assert_eq!(
        (ready.status, ready.body["not_ready"].as_u64()),
        (200, Some(1)),
        "{ready:?}"
    );
    let why = ready.body["deployments"]["default/scored"].as_str().unwrap();
    assert!(why.contains("failed") && why.contains("sha256"), "{why}");
    let rows = json!({"rows": [{"x": 5.0}]});
    assert_eq!(
        server.post_json("/v1/deployments/good/predict", &rows).status,
        200
    );
    let broken = server.post_json("/v1/deployments/scored/predict", &json!({"rows": []}));
    assert_eq!((broken.status, broken.code()), (503, "load-failed"), "{broken:?}");
}
