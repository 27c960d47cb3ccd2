//! The edges of HTTP itself, and what generated requests found: wrong methods, queries that nobody
//! reads, names that can't be, bodies that are nearly right.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Server, caisson, one_column, plugin};

/// What a description lists: the methods of each path.
fn described(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            (
                path.clone(),
                methods.map(|method| method.to_uppercase()).collect(),
            )
        })
        .collect()
}

/// The path with a text in place of each parameter.
fn filled(path: &str, with: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.starts_with('{') {
        true => with,
        false => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

struct Raw {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// A request by hand: a method that clients don't have, a path that they would repair.
fn send(server: &Server, method: &str, path: &str) -> Raw {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    // Both ways stay open: to a server, a client that closes its own has given up.
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{method} {path}: {answer}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Raw {
        status,
        headers,
        body: body.to_owned(),
    }
}

fn is_error(body: &str) -> bool {
    serde_json::from_str::<Value>(body)
        .is_ok_and(|body| body["error"].as_str().is_some_and(|e| !e.is_empty()) && body["code"].is_string())
}

#[test]
fn the_description_is_the_one_that_the_command_line_prints() {
    let server = Server::start();
    let served = server.get("/openapi.json");
    assert_eq!(
        (served.status, served.content_type.as_str()),
        (200, "application/json")
    );
    assert_eq!(served.body["openapi"], "3.1.0");
    let printed = caisson().arg("openapi").output().unwrap();
    assert!(printed.status.success());
    assert_eq!(
        serde_json::from_slice::<Value>(&printed.stdout).unwrap(),
        served.body
    );
}

#[test]
fn a_method_that_a_path_does_not_take_is_answered_with_those_that_it_takes() {
    let server = Server::start();
    for (path, methods) in described(&server.get("/openapi.json").body) {
        let at = filled(&path, "x");
        for method in [
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
        ] {
            if methods.contains(method) {
                continue;
            }
            let answer = send(&server, method, &at);
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.body);
            let allowed: BTreeSet<String> = answer.headers["allow"]
                .split(',')
                .map(|m| m.trim().to_owned())
                .collect();
            let without_head = allowed
                .into_iter()
                .filter(|m| m != "HEAD")
                .collect::<BTreeSet<_>>();
            assert_eq!(without_head, methods, "{method} {path}");
            assert!(is_error(&answer.body), "{method} {path}: {}", answer.body);
        }
    }
}

#[test]
fn names_that_can_not_be_are_a_clear_error_on_every_path() {
    let server = Server::start();
    for (path, methods) in described(&server.get("/openapi.json").body) {
        if !path.contains('{') {
            continue;
        }
        for name in [
            "a%00b",
            "..%2F..%2Fx",
            "%F0%9F%8D%8A",
            "%0d%0aX-Evil:1",
            "%ff",
            "18446744073709551616",
            "-1",
            "A",
        ] {
            for method in &methods {
                let answer = send(&server, method, &filled(&path, name));
                assert!(
                    (400..500).contains(&answer.status) && is_error(&answer.body),
                    "{method} {path} {name}: {} {}",
                    answer.status,
                    answer.body
                );
                assert!(!answer.headers.contains_key("x-evil"));
            }
        }
    }
}

#[test]
fn a_query_that_is_not_read_is_refused() {
    let server = Server::start();
    server.push(&plugin("clip"));
    let config = json!({"columns": {"x": {"min": 0.0, "max": 10.0}}});
    server.deploy(&one_column("clip", json!([])));
    server.deploy(&one_column("clip", json!([{"plugin": "clip", "config": config}])));
    // What looks like a dry run of a rollback is none, and must not roll back.
    let answer = server.post_json("/v1/deployments/clip/rollback?dry_run=true", &json!({}));
    assert_eq!((answer.status, answer.code()), (400, "bad-query"), "{answer:?}");
    assert_eq!(server.get("/v1/deployments/clip").body["revision"], 2);
    for path in [
        "/v1/plugins?limit=1",
        "/v1/plugins/clip?x=",
        "/v1/whoami?verbose",
        "/v1/deployments?dry=true",
        "/v1/audit?tale=3",
        "/v1/deployments/clip/revisions?offset=1",
        "/v1/deployments/clip/diff?from=1&from=2",
    ] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-query"),
            "{path}: {answer:?}"
        );
    }
    // The protocol's clients and scrapers add what they like; an empty query is none.
    for path in ["/v2?x=1", "/v2/models/clip?timeout=3", "/v1/plugins?"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
}

#[test]
fn what_is_asked_of_nothing_is_not_found() {
    let server = Server::start();
    for path in [
        "/v1/models/nothing/aliases",
        "/v1/deployments/nothing/revisions",
        "/v1/deployments/nothing/revisions?before=1",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(answer.error().contains("`nothing"), "{path}: {answer:?}");
    }
    server.deploy(&one_column("there", json!([])));
    let answer = server.get("/v1/deployments/there/revisions?before=1");
    assert_eq!(
        (answer.status, &answer.body["revisions"]),
        (200, &json!([])),
        "{answer:?}"
    );
}

#[test]
fn numbers_out_of_range_are_refused_and_not_cut() {
    let server = Server::start();
    server.deploy(&one_column("a", json!([])));
    for path in [
        "/v1/audit?tail=1001",
        "/v1/audit?tail=-1",
        "/v1/audit?tail=99999999999999999999",
        "/v1/audit?from=yesterday",
        "/v1/audit/export?tail=3",
        "/v1/deployments/a/revisions?limit=0",
        "/v1/deployments/a/revisions?limit=1001",
    ] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-query"),
            "{path}: {answer:?}"
        );
    }
    for path in [
        "/v1/audit?tail=1000",
        "/v1/audit?tail=0",
        "/v1/deployments/a/revisions?limit=1000",
    ] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
}

#[test]
fn a_deployment_file_makes_no_text_of_other_things() {
    let server = Server::start();
    for (kind, file) in [
        (
            "application/yaml",
            "name: a\ninput: [{name: x, type: fp32}]\ndescription: false\n",
        ),
        ("application/yaml", "name: a\ninput: [{name: 1, type: fp32}]\n"),
        (
            "application/json",
            r#"{"name": "a", "input": [{"name": "x", "type": "fp32"}], "description": 12}"#,
        ),
    ] {
        let answer = server.post("/v1/deployments", kind, file.as_bytes());
        assert_eq!(
            (answer.status, answer.code()),
            (400, "deployment-file"),
            "{file}: {answer:?}"
        );
    }
    let quoted = "name: a\ninput: [{name: y, type: fp32}]\ndescription: \"12\"\n";
    assert_eq!(
        server
            .post("/v1/deployments", "application/yaml", quoted.as_bytes())
            .status,
        201
    );
}

#[test]
fn a_list_is_no_object() {
    let (_server, operator) = Server::start_keyed();
    for (path, body) in [
        ("/v1/tenants", json!(["acme"])),
        ("/v1/tenants", json!({"id": "acme", "quotas": [10.0]})),
        ("/v1/tenants/system/keys", json!(["ci", "viewer", null, null])),
    ] {
        let answer = operator.post_json(path, &body);
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-body"),
            "{body}: {answer:?}"
        );
    }
    let admin = operator.tenant("acme");
    admin.deploy(&one_column("a", json!([])));
    let answer = admin.post_json("/v1/deployments/a/rollback", &json!([null, null]));
    assert_eq!((answer.status, answer.code()), (400, "bad-body"), "{answer:?}");
}

#[test]
fn settings_name_aliases_that_can_be() {
    let (_server, operator) = Server::start_keyed();
    let acme = operator.tenant("acme");
    let put = |settings: Value| {
        acme.put(
            "/v1/tenants/acme/settings",
            "application/json",
            settings.to_string().as_bytes(),
        )
    };
    let good = put(json!({"protected_aliases": ["champion", "champion"]}));
    assert_eq!(
        (good.status, &good.body["settings"]["protected_aliases"]),
        (200, &json!(["champion"])),
        "{good:?}"
    );
    let named = put(json!({"protected_aliases": ["Not a name\u{0}"]}));
    assert_eq!((named.status, named.code()), (400, "bad-name"), "{named:?}");
    let many: Vec<String> = (0..65).map(|n| format!("a{n}")).collect();
    let many = put(json!({ "protected_aliases": many }));
    assert_eq!((many.status, many.code()), (400, "invalid"), "{many:?}");
    assert_eq!(
        acme.get("/v1/tenants/acme").body["settings"]["protected_aliases"],
        json!(["champion"])
    );
}
