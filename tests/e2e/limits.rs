//! What clients take of a server that they don't use well: connections, answers that nobody reads, large
//! bodies, a disk that is full.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Server, cdnow, one_column, plugin};

/// How long a server may take for what it does by itself.
const SOON: Duration = Duration::from_secs(120);

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "{what}: not in {SOON:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A deployment that gives back the vectors that it gets.
fn echo() -> Value {
    json!({"name": "echo", "input": [{"name": "x", "type": "fp32", "shape": [256]}]})
}

/// Rows of such vectors, as JSON.
fn vectors(rows: usize) -> String {
    let row = format!("{{\"x\":[{}1]}}", "1,".repeat(255));
    format!("{{\"rows\":[{}]}}", vec![row; rows].join(","))
}

fn predict(rows: usize) -> Vec<u8> {
    let body = vectors(rows);
    format!(
        "POST /v1/deployments/echo/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn usage(server: &Server) -> Value {
    server.get("/v1/tenants/default/usage").body
}

#[test]
fn an_address_has_so_many_connections_and_the_next_is_told_so() {
    let server = Server::spawn(
        tempfile::tempdir().unwrap(),
        &["--dev", "--connections-per-peer-max", "3"],
    );
    let connect = || {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
            .write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).unwrap();
        (String::from_utf8(answer).unwrap(), stream)
    };
    // Those of the start may take a moment to go.
    let mut held = Vec::new();
    wait_until("three connections", || {
        let (answer, stream) = connect();
        if answer == "HTTP/1.1 200" {
            held.push(stream);
        }
        held.len() == 3
    });
    let (answer, mut stream) = connect();
    assert_eq!(answer, "HTTP/1.1 503");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("too-many-connections") && rest.contains("retry-after: 1"),
        "{rest}"
    );
    // Whoever closes one may open another.
    held.pop();
    wait_until("a place that was given back", || connect().0 == "HTTP/1.1 200");
}

#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let server = Server::spawn(
        tempfile::tempdir().unwrap(),
        &["--dev", "--write-timeout-seconds", "1"],
    );
    server.deploy(&echo());
    let mut silent = TcpStream::connect(&server.address).unwrap();
    // 20 MB: more than the buffers of a connection take.
    silent.write_all(&predict(20_000)).unwrap();
    // One is the request that asks.
    let in_progress = || usage(&server)["requests_in_progress"].as_u64().unwrap();
    wait_until("the request", || in_progress() == 2);
    wait_until("the end of it", || in_progress() == 1);
    silent.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
    assert!(
        answer.len() < 18_000_000,
        "{} bytes came all the same",
        answer.len()
    );
    // Who reads slowly gets all of it.
    let mut slow = TcpStream::connect(&server.address).unwrap();
    slow.write_all(&predict(20_000)).unwrap();
    let (mut got, mut piece) = (Vec::new(), vec![0; 1 << 20]);
    while !got.ends_with(b"\"revision\":1}") {
        std::thread::sleep(Duration::from_millis(100));
        let count = slow.read(&mut piece).unwrap();
        assert!(count > 0, "the answer broke off after {} bytes", got.len());
        got.extend_from_slice(&piece[..count]);
    }
    assert!(got.len() > 18_000_000);
}

#[test]
fn large_bodies_are_right_and_on_their_tenants_account() {
    let server = Server::start();
    server.deploy(&echo());
    let cpu = || usage(&server)["cpu_seconds"].as_f64().unwrap();
    let before = cpu();
    let answer = server.post(
        "/v1/deployments/echo/predict",
        "application/json",
        vectors(2000).as_bytes(),
    );
    assert_eq!(answer.body["rows"].as_array().unwrap().len(), 2000);
    let json = cpu();
    assert!(json > before, "a megabyte of JSON took no time");
    let bad = format!("{}]}}", vectors(2000).replace("]}]}", "]}, {\"x\": [1]}"));
    let answer = server.post("/v1/deployments/echo/predict", "application/json", bad.as_bytes());
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.body["row"], 2000);
    // Small ones stay where they arrive.
    let before = cpu();
    let answer = server.post(
        "/v1/deployments/echo/predict",
        "application/json",
        vectors(1).as_bytes(),
    );
    assert_eq!(answer.status, 200);
    assert_eq!(cpu(), before);
}

/// Where the test below finds its disk.
const DISK: &str = "CAISSON_E2E_TEST_DISK";

/// On a file system of its own, which needs Linux's user namespaces or the right to mount.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_refuses_what_would_be_stored_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=320m caisson-test \"${DISK}\" || exit 1\n\
         exec \"$0\" --ignored --exact limits::with_a_full_disk --nocapture"
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(DISK, dir.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.contains("FULL DISK CHECKED"),
        "if `unshare` may not mount here, allow user namespaces: {said}"
    );
}

/// Leave this many bytes.
fn fill(disk: &Path, leave: u64) -> std::path::PathBuf {
    let path = disk.join("ballast");
    let mut file = std::fs::File::create(&path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let size = file.metadata().unwrap().len();
    file.set_len(size.saturating_sub(leave)).unwrap();
    path
}

#[test]
#[ignore = "run by a_full_disk_refuses_what_would_be_stored_and_nothing_else, on a small disk"]
fn with_a_full_disk() {
    let disk = std::env::var(DISK).unwrap();
    let disk = Path::new(&disk);
    let server = Server::start_in(tempfile::tempdir_in(disk).unwrap());
    server.push(&plugin("clip"));
    let spec = |name: &str, max: f64| {
        one_column(
            name,
            json!([{"plugin": "clip", "config": {"columns": {"x": {"max": max}}}}]),
        )
    };
    server.deploy(&spec("pricing", 5.0));
    let serves = || {
        let answer = server.post_json("/v1/deployments/pricing/predict", &json!({"rows": [{"x": 9.0}]}));
        assert_eq!(
            (answer.status, &answer.body["rows"]),
            (200, &json!([{"x": 5.0}])),
            "{answer:?}"
        );
        for path in [
            "/v1/deployments/pricing",
            "/v1/plugins/clip",
            "/v2/health/ready",
            "/v1/audit",
        ] {
            assert_eq!(server.get(path).status, 200, "{path}");
        }
    };
    let refuses = |answer: crate::harness::Answer| {
        assert_eq!((answer.status, answer.code()), (507, "store-full"), "{answer:?}");
        assert!(
            answer.error().contains("room") || answer.error().contains("full"),
            "{answer:?}"
        );
        serves();
    };
    // Below the reserve of blobs, below that of metadata, and with nothing left at all.
    for leave in [64 << 20, 8 << 20, 0] {
        let ballast = fill(disk, leave);
        refuses(server.post("/v1/plugins", "application/wasm", &plugin("impute")));
        refuses(server.post_json("/v1/deployments", &spec("other", 1.0)));
        refuses(server.push_model("churn", &cdnow("model.onnx"), &json!({}), None));
        let key = server.post_json(
            "/v1/tenants/default/keys",
            &json!({"name": "k", "role": "viewer"}),
        );
        match leave {
            // An operator can still act.
            67_108_864 => assert_eq!(key.status, 201, "{key:?}"),
            _ => refuses(key),
        }
        std::fs::remove_file(ballast).unwrap();
        let name = format!("after-{leave}");
        server.deploy(&spec(&name, 1.0));
        serves();
    }
    assert_eq!(
        server
            .post("/v1/plugins", "application/wasm", &plugin("impute"))
            .status,
        201
    );
    // All of it is there after a start.
    let server = Server::start_in(server.kill());
    assert_eq!(
        server.get("/v1/deployments").body["deployments"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    println!("FULL DISK CHECKED");
}
