//! Traces of requests: who is traced, which spans there are, and what the log says.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::collector::{Collector, attribute, hex};
use crate::grpc_client::{block_on, client, typed};
use crate::harness::{Server, guest, one_column, plugin};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{PARENT}-{flags}")
}

/// A server that exports to this collector a share of what brings no trace along, with a deployment `pair`
/// of two stages.
fn traced(collector: &Collector, share: &str) -> Server {
    let flags = ["--dev", "--trace-sample", share];
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
    let server = Server::spawn_with(tempfile::tempdir().unwrap(), &flags, &environment);
    server.push(&plugin("clip"));
    let clip = |max: f64| json!({"plugin": "clip", "config": {"columns": {"x": {"max": max}}}});
    server.deploy(&one_column("pair", json!([clip(5.0), clip(1.0)])));
    server
}

const PREDICT: &str = "/v1/deployments/pair/predict";

fn predict(server: &Server, headers: &[(&str, &str)]) {
    let rows = json!({"rows": [{"x": 9.0}]}).to_string();
    let answer = server.post_with(PREDICT, "application/json", rows.as_bytes(), headers);
    assert_eq!(
        (answer.status, &answer.body["rows"][0]["x"]),
        (200, &json!(1.0)),
        "{answer:?}"
    );
}

#[test]
fn a_callers_trace_goes_on_with_a_span_a_stage_over_http_and_grpc() {
    let collector = Collector::start();
    let server = traced(&collector, "0");
    let state = "vendor=1,other=a:b";
    predict(
        &server,
        &[("traceparent", &traceparent(TRACE, "01")), ("tracestate", state)],
    );
    let of_grpc = "11111111111111111111111111111111";
    block_on(async {
        let mut request = tonic::Request::new(typed("pair", &[9.0]));
        let parent = traceparent(of_grpc, "01").parse().unwrap();
        request.metadata_mut().insert("traceparent", parent);
        client(&server).model_infer(request).await.unwrap();
    });
    for (trace, name) in [
        (TRACE, "POST /v1/deployments/{name}/predict"),
        (of_grpc, "inference.GRPCInferenceService/ModelInfer"),
    ] {
        let (root, steps) = collector.trace(trace);
        assert_eq!(
            (root.name.as_str(), hex(&root.parent_span_id).as_str()),
            (name, PARENT)
        );
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        let stages: Vec<&&str> = names.iter().filter(|name| **name != "queue").collect();
        assert_eq!(stages, [&"transforms[0] clip@0.1.0", &"transforms[1] clip@0.1.0"]);
        assert!(names.contains(&"queue"), "{names:?}");
        for span in steps.iter().chain([&root]) {
            assert_eq!(attribute(span, "caisson.tenant").as_deref(), Some("default"));
            assert_eq!(attribute(span, "caisson.deployment").as_deref(), Some("pair"));
            assert_eq!(attribute(span, "caisson.revision").as_deref(), Some("1"));
        }
        for step in &steps {
            assert_eq!(step.parent_span_id, root.span_id, "{step:?}");
            let within = root.start_time_unix_nano..=root.end_time_unix_nano;
            assert!(within.contains(&step.start_time_unix_nano) && within.contains(&step.end_time_unix_nano));
        }
        assert_eq!(
            attribute(&root, "http.response.status_code").as_deref(),
            Some("200")
        );
    }
    let (root, _) = collector.trace(TRACE);
    assert_eq!(root.trace_state, state);
    assert!(collector.services().iter().all(|name| name == "caisson"));
    let exported = "caisson_traces_total{outcome=\"exported\"} 2";
    let start = Instant::now();
    while !server.metrics().contains(exported) {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", server.metrics());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn sampling_is_the_callers_and_what_is_malformed_is_no_trace() {
    let collector = Collector::start();
    let server = traced(&collector, "0");
    predict(&server, &[("traceparent", &traceparent(TRACE, "00"))]);
    predict(&server, &[]);
    predict(&server, &[("traceparent", "00-zz")]);
    let last = "22222222222222222222222222222222";
    predict(&server, &[("traceparent", &traceparent(last, "01"))]);
    collector.trace(last);
    assert!(collector.spans().iter().all(|span| hex(&span.trace_id) == last));

    let collector = Collector::start();
    let server = traced(&collector, "1");
    predict(&server, &[("traceparent", "00-zz")]);
    predict(&server, &[("traceparent", &traceparent(TRACE, "00"))]);
    // What is in flight and waits is exported before the process ends.
    server.stop();
    let spans = collector.spans();
    let predictions = spans.iter().filter(|span| span.name.ends_with("/predict"));
    let [alone] = &predictions.collect::<Vec<_>>()[..] else {
        panic!("{spans:?}")
    };
    assert!(alone.parent_span_id.is_empty() || alone.parent_span_id == [0; 8]);
    assert_ne!(hex(&alone.trace_id), TRACE);
}

#[test]
fn failures_show_where_they_happened() {
    let collector = Collector::start();
    let server = traced(&collector, "0");
    server.push(&guest("hostile"));
    let trap = json!([{"plugin": "hostile", "config": {"behave": "unreachable"}}]);
    server.deploy(&one_column("fails", trap));
    let rows = json!({"rows": [{"x": 1.0}]}).to_string();
    let parent = traceparent(TRACE, "01");
    let headers = [("traceparent", parent.as_str())];
    let answer = server.post_with(
        "/v1/deployments/fails/predict",
        "application/json",
        rows.as_bytes(),
        &headers,
    );
    assert_eq!(answer.status, 500, "{answer:?}");
    let (root, steps) = collector.trace(TRACE);
    let failed = steps
        .iter()
        .find(|step| step.name.starts_with("transforms[0]"))
        .unwrap();
    // 2 is an error.
    assert_eq!(failed.status.clone().unwrap().code, 2);
    assert_eq!(attribute(failed, "error.type").as_deref(), Some("unreachable"));
    assert_eq!(root.status.clone().unwrap().code, 2);
    assert_eq!(attribute(&root, "error.type").as_deref(), Some(answer.code()));
    // No route: nothing to trace, and nothing breaks.
    let missing = server.post_with("/nowhere", "application/json", b"{}", &headers);
    assert_eq!(missing.status, 404);
}

#[test]
fn a_collector_that_is_gone_costs_traces_and_nothing_else() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut collector = Collector::start();
    collector.url = format!("http://{gone}");
    let server = traced(&collector, "1");
    (0..50).for_each(|_| predict(&server, &[]));
    let failed = || {
        let metrics = server.metrics();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("caisson_traces_total{outcome=\"failed\"}"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let start = Instant::now();
    while failed() < 50 {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", failed());
        std::thread::sleep(Duration::from_millis(100));
    }
    predict(&server, &[]);
}

#[test]
fn lines_of_the_log_say_which_request_they_are_of() {
    let data = tempfile::tempdir().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let server = Server::spawn_logging(data, &["--dev", "--log", "json"], log.reopen().unwrap());
    server.push(&guest("hostile"));
    let forged = json!([{"plugin": "hostile", "config": {"behave": "forged-line"}}]);
    let mut spec = one_column("talks", forged);
    // Alone, so that the run is in the request's own task.
    spec["batching"] = json!({"enabled": false});
    server.deploy(&spec);
    let rows = json!({"rows": [{"x": 1.0}]}).to_string();
    let parent = traceparent(TRACE, "00");
    let headers = [("traceparent", parent.as_str()), ("X-Request-Id", "mine-1")];
    server.post_with(
        "/v1/deployments/talks/predict",
        "application/json",
        rows.as_bytes(),
        &headers,
    );
    let lines = fs::read_to_string(log.path()).unwrap();
    let of_plugin: Vec<Value> = lines
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .filter(|line: &Value| line["target"] == "caisson::plugin")
        .collect();
    assert!(!of_plugin.is_empty(), "{lines}");
    for line in of_plugin {
        assert_eq!(line["span"]["trace_id"], TRACE, "{line}");
        assert_eq!(line["span"]["request_id"], "mine-1", "{line}");
    }
}
