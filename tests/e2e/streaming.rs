//! Streams of rows: any number in, as many answers out, in bounded memory.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Keyed, Server, guest, plugin};

const NDJSON: &str = "application/x-ndjson";
const ARROW: &str = "application/vnd.apache.arrow.stream";
const PARQUET: &str = "application/vnd.apache.parquet";
const ROUTE: &str = "/v1/deployments/clip/predict";
/// Rows of the long stream.
const ROWS: u64 = 1_000_000;
/// What the server may hold beside what it held before, whatever the length of a stream.
const RSS_GROWTH_MAX: u64 = 64 << 20;

/// A server with a deployment that leaves `id` and clips `x` to 0..=10, and refuses an `id` below 0.
fn server() -> Server {
    let server = Server::start();
    prepare(&server);
    server
}

fn prepare(client: &Keyed) {
    client.push(&plugin("clip"));
    client.push(&plugin("range"));
    client.deploy(&json!({
        "name": "clip",
        "input": [{"name": "id", "type": "int64"}, {"name": "x", "type": "fp64", "nullable": true}],
        "validators": [{"plugin": "range", "config": {"columns": {"id": {"min": 0}}}}],
        "transforms": [{"plugin": "clip@^0.1", "config": {"columns": {"x": {"min": 0.0, "max": 10.0}}}}]
    }));
}

/// A client that writes and reads at the same time, in HTTP/1.1 as it is on the wire.
struct Wire {
    stream: TcpStream,
    answer: BufReader<TcpStream>,
}

impl Wire {
    fn open(server: &Server, content_type: &str, accept: &str) -> Self {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        write!(
            stream,
            "POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\nTE: trailers\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        .unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let answer = BufReader::new(stream.try_clone().unwrap());
        Self { stream, answer }
    }

    fn send(&mut self, chunk: &[u8]) -> std::io::Result<()> {
        write!(self.stream, "{:x}\r\n", chunk.len())?;
        self.stream.write_all(chunk)?;
        self.stream.write_all(b"\r\n")
    }

    fn end(&mut self) {
        self.stream.write_all(b"0\r\n\r\n").unwrap();
    }

    /// The status and headers, as text.
    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.answer.read_line(&mut head).unwrap();
            assert!(read > 0, "the answer ends in its head: {head:?}");
        }
        head.to_ascii_lowercase()
    }

    /// The next chunk; the trailers as the error at the end.
    fn chunk(&mut self) -> Result<Vec<u8>, String> {
        let mut line = String::new();
        self.answer.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).map_err(|_| format!("cut off: {line:?}"))?;
        if length == 0 {
            let mut trailers = String::new();
            self.answer.read_to_string(&mut trailers).unwrap();
            return Err(trailers.to_ascii_lowercase());
        }
        let mut chunk = vec![0; length + 2];
        self.answer.read_exact(&mut chunk).map_err(|e| e.to_string())?;
        chunk.truncate(length);
        Ok(chunk)
    }

    /// The rest of the body, and the trailers.
    fn rest(&mut self) -> (Vec<u8>, String) {
        let mut body = Vec::new();
        loop {
            match self.chunk() {
                Ok(chunk) => body.extend(chunk),
                Err(trailers) => return (body, trailers),
            }
        }
    }
}

/// Send a whole body and read the whole answer.
fn exchange(server: &Server, content_type: &str, accept: &str, body: &[u8]) -> (String, Vec<u8>, String) {
    let mut wire = Wire::open(server, content_type, accept);
    for chunk in body.chunks(50_000) {
        wire.send(chunk).unwrap();
    }
    wire.end();
    let head = wire.head();
    let (body, trailers) = wire.rest();
    (head, body, trailers)
}

fn lines(body: &[u8]) -> Vec<Value> {
    let lines = body.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn rss(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn open_streams(client: &Keyed) -> f64 {
    let metrics = client.metrics();
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("caisson_streams_open{"));
    let open = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    open.sum()
}

fn wait_until_free(client: &Keyed, most: Duration) {
    let start = Instant::now();
    while open_streams(client) != 0.0 {
        assert!(start.elapsed() < most, "a stream is still open");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn row(id: u64) -> String {
    format!("{{\"id\":{id},\"x\":{}.5}}\n", id % 20)
}

#[test]
fn a_million_rows_stream_through_in_bounded_memory() {
    let server = server();
    // Whatever a first request makes, it has made.
    exchange(&server, NDJSON, NDJSON, row(1).as_bytes());
    let idle = rss(&server);
    let wire = Wire::open(&server, NDJSON, NDJSON);
    let mut writer = Wire {
        answer: BufReader::new(wire.stream.try_clone().unwrap()),
        stream: wire.stream.try_clone().unwrap(),
    };
    let writing = std::thread::spawn(move || {
        let mut chunk = String::new();
        for id in 0..ROWS {
            chunk.push_str(&row(id));
            if chunk.len() > 60_000 {
                writer.send(chunk.as_bytes()).unwrap();
                chunk.clear();
            }
        }
        writer.send(chunk.as_bytes()).unwrap();
        writer.end();
    });
    let mut reader = wire;
    let head = reader.head();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("caisson-revision: 1"),
        "{head}"
    );
    let (mut next, mut most) = (0u64, 0u64);
    let mut rest = Vec::new();
    let started = Instant::now();
    let trailers = loop {
        match reader.chunk() {
            Ok(chunk) => rest.extend(chunk),
            Err(trailers) => break trailers,
        }
        let end = rest.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        for line in rest[..end].split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
            // What rows JSON answers, in the order of the rows.
            let x = ((next % 20) as f64 + 0.5).min(10.0);
            let expected = if x == 10.0 {
                "10".to_owned()
            } else {
                format!("{x}")
            };
            let line = std::str::from_utf8(line).unwrap();
            let plain = line.replace(".0}", "}");
            assert_eq!(plain, format!("{{\"id\":{next},\"x\":{expected}}}"));
            next += 1;
            if next % 20_000 == 0 {
                most = most.max(rss(&server));
            }
        }
        rest.drain(..end);
    };
    writing.join().unwrap();
    assert_eq!(next, ROWS);
    assert!(
        trailers.contains(&format!("caisson-rows: {ROWS}")) && trailers.contains("caisson-errors: 0"),
        "{trailers}"
    );
    let growth = most.saturating_sub(idle);
    eprintln!(
        "{ROWS} rows in {:?}; {} MiB idle, {} MiB more at most",
        started.elapsed(),
        idle >> 20,
        growth >> 20
    );
    assert!(growth < RSS_GROWTH_MAX, "{} MiB more than idle", growth >> 20);
}

#[test]
fn answers_are_those_of_the_rows_api_in_every_form() {
    let server = server();
    let count = 3000u64;
    let rows: Vec<Value> = (0..count)
        .map(|id| json!({"id": id, "x": if id % 7 == 0 { Value::Null } else { json!(id as f64 / 100.0) }}))
        .collect();
    let expected = server.post_json(ROUTE, &json!({ "rows": rows })).body["rows"].clone();
    let expected = expected.as_array().unwrap().clone();
    assert_eq!(expected.len(), rows.len());
    let ndjson: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let csv: String = std::iter::once("id,x\r\n".to_owned())
        .chain(
            rows.iter()
                .map(|row| format!("{},{}\r\n", row["id"], row["x"]).replace("null", "")),
        )
        .collect();
    let whole = json!({ "rows": rows }).to_string();
    let (_, arrow, _) = exchange(&server, NDJSON, ARROW, ndjson.as_bytes());
    let (_, parquet, _) = exchange(&server, NDJSON, PARQUET, ndjson.as_bytes());
    // What came out goes in again: clipping twice is clipping once.
    let bodies: [(&str, &[u8]); 5] = [
        ("application/json", whole.as_bytes()),
        ("text/csv", csv.as_bytes()),
        (NDJSON, ndjson.as_bytes()),
        (ARROW, &arrow),
        (PARQUET, &parquet),
    ];
    for (content_type, body) in bodies {
        for accept in ["application/json", "text/csv", NDJSON, ARROW, PARQUET] {
            let (head, answer, _) = exchange_any(&server, content_type, accept, body);
            assert!(
                head.starts_with("http/1.1 200"),
                "{content_type} {accept}: {head}"
            );
            assert!(
                head.contains(&format!("content-type: {accept}")),
                "{content_type} {accept}: {head}"
            );
            assert_eq!(rows_of(accept, &answer), expected, "{content_type} {accept}");
        }
    }
    let refused = server.post_with(ROUTE, "text/csv", csv.as_bytes(), &[("Accept", "image/png")]);
    assert_eq!(
        (refused.status, refused.code()),
        (406, "not-acceptable"),
        "{refused:?}"
    );
    assert!(refused.error().contains(ARROW), "{refused:?}");
    let unknown = server.post(ROUTE, "application/xml", b"<rows/>");
    assert_eq!(unknown.status, 415, "{unknown:?}");
}

/// As [`exchange`], for answers that may have a length.
fn exchange_any(server: &Server, content_type: &str, accept: &str, body: &[u8]) -> (String, Vec<u8>, String) {
    let mut wire = Wire::open(server, content_type, accept);
    for chunk in body.chunks(50_000) {
        wire.send(chunk).unwrap();
    }
    wire.end();
    let head = wire.head();
    if head.contains("transfer-encoding: chunked") {
        let (body, trailers) = wire.rest();
        return (head, body, trailers);
    }
    let mut body = Vec::new();
    wire.answer.read_to_end(&mut body).unwrap();
    (head, body, String::new())
}

/// The rows of an answer in any form, as JSON has them.
fn rows_of(form: &str, answer: &[u8]) -> Vec<Value> {
    use caisson_data::{DataType, DecodeLimits, Field, Schema, arrow, csv, rows};
    let fields = vec![
        Field::new("id", DataType::Int64),
        Field::new("x", DataType::Fp64).nullable(),
    ];
    let schema = Arc::new(Schema::new(fields).unwrap());
    let limits = DecodeLimits::default();
    let batch = match form {
        "application/json" => {
            let answer: Value = serde_json::from_slice(answer).unwrap();
            assert_eq!(answer["revision"], 1);
            return answer["rows"].as_array().unwrap().clone();
        }
        NDJSON => return lines(answer),
        "text/csv" => csv::decode(&schema, answer, &limits).unwrap(),
        ARROW => arrow::decode(&schema, answer, &limits).unwrap(),
        _ => {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(answer).unwrap();
            let mut stream = Vec::new();
            caisson_data::parquet::to_arrow_stream(file, &mut stream).unwrap();
            arrow::decode(&schema, &stream, &limits).unwrap()
        }
    };
    let json: Value = serde_json::from_slice(&rows::encode(&batch)).unwrap();
    json["rows"].as_array().unwrap().clone()
}

#[test]
fn a_row_with_an_error_has_it_in_its_place_and_the_others_go_on() {
    let server = server();
    let mut body = String::new();
    for id in 0..2500u64 {
        match id {
            3 => body.push_str("{\"id\":3,\"x\":\n"),
            7 => body.push_str("{\"id\":\"seven\"}\n"),
            1500 => body.push_str("\n  \r\n{\"id\":-1}\n"),
            2499 => body.push_str("{\"id\":-2,\"x\":1}"),
            _ => body.push_str(&row(id)),
        }
    }
    let (head, answer, trailers) = exchange(&server, NDJSON, NDJSON, body.as_bytes());
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let lines = lines(&answer);
    assert_eq!(lines.len(), 2500, "blank lines are no rows");
    for (at, line) in lines.iter().enumerate() {
        let code = match at {
            3 => "bad-json",
            7 => "wrong-type",
            1500 | 2499 => "validation-failed",
            _ => {
                assert_eq!(line["id"], at, "{line}");
                continue;
            }
        };
        assert_eq!(
            (line["code"].as_str(), line["row"].as_u64()),
            (Some(code), Some(at as u64)),
            "{line}"
        );
        assert!(line["error"].is_string(), "{line}");
    }
    assert_eq!(lines[1500]["violations"][0]["row"], 1500);
    assert_eq!(lines[1500]["column"], "id");
    assert!(
        trailers.contains("caisson-rows: 2500") && trailers.contains("caisson-errors: 4"),
        "{trailers}"
    );
    let metrics = server.metrics();
    let counted = "caisson_stream_rows_total{tenant=\"default\",deployment=\"clip\",outcome=\"error\"} 4";
    assert!(metrics.contains(counted), "{metrics}");

    // Forms without a place for it end there: with a status while nothing was sent, cut off after.
    let early = server.post_with(ROUTE, NDJSON, body.as_bytes(), &[("Accept", "text/csv")]);
    assert_eq!((early.status, early.code()), (400, "bad-json"), "{early:?}");
    assert_eq!(early.body["row"], 3);
    let late: String = (0..5000u64)
        .map(|id| if id == 4000 { "{}\n".to_owned() } else { row(id) })
        .collect();
    let (head, answer, trailers) = exchange(&server, NDJSON, "text/csv", late.as_bytes());
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(trailers.starts_with("cut off"), "{trailers}");
    assert!(answer.starts_with(b"id,x\n0,0.5\n"));
}

#[test]
fn a_stage_that_fails_on_every_row_is_not_asked_for_ever() {
    let server = Server::start();
    server.push(&guest("hostile"));
    let deployed = server.post_json(
        "/v1/deployments",
        &crate::harness::one_column(
            "clip",
            json!([{"plugin": "hostile", "config": {"behave": "panic"}}]),
        ),
    );
    assert!(matches!(deployed.status, 200 | 201), "{deployed:?}");
    let (head, answer, _) = exchange(&server, NDJSON, NDJSON, "{\"x\":1}\n".repeat(10).as_bytes());
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let lines = lines(&answer);
    assert_eq!(lines.len(), 10);
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(
            (line["row"].as_u64(), line["code"].is_string()),
            (Some(at as u64), true),
            "{line}"
        );
    }
    // A plugin that fails on every row of many ends the stream.
    let many = "{\"x\":1}\n".repeat(1000);
    let refused = server.post(ROUTE, NDJSON, many.as_bytes());
    assert_eq!(
        (refused.status, &refused.body["answered"]),
        (500, &Value::Null),
        "{refused:?}"
    );
}

#[test]
fn a_client_that_waits_for_each_answer_gets_it() {
    let server = server();
    let mut wire = Wire::open(&server, NDJSON, NDJSON);
    for id in 0..20 {
        wire.send(row(id).as_bytes()).unwrap();
        if id == 0 {
            assert!(wire.head().starts_with("http/1.1 200"));
        }
        assert_eq!(lines(&wire.chunk().unwrap())[0]["id"], id);
    }
    wire.end();
    assert!(wire.rest().0.is_empty());
}

#[test]
fn a_client_that_does_not_read_is_not_read_and_one_that_goes_away_is_forgotten() {
    let server = server();
    let idle = rss(&server);
    let mut wire = Wire::open(&server, NDJSON, NDJSON);
    wire.stream
        .set_write_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let chunk: String = (0..4000).map(row).collect();
    let mut sent = 0usize;
    while sent < 1 << 30 && wire.send(chunk.as_bytes()).is_ok() {
        sent += chunk.len();
    }
    // What is taken before is what lies in buffers of the system, on both sides and in both directions.
    eprintln!("{} KiB were taken", sent >> 10);
    assert!(
        sent < 64 << 20,
        "{sent} bytes were read of a client that reads nothing"
    );
    assert!(rss(&server).saturating_sub(idle) < RSS_GROWTH_MAX);
    assert_eq!(open_streams(&server), 1.0);
    assert_eq!(
        server.get("/v1/tenants/default/usage").body["requests_in_progress"],
        2,
        "this one, too"
    );
    drop(wire);
    wait_until_free(&server, Duration::from_secs(10));

    // In the middle of its body.
    let mut wire = Wire::open(&server, NDJSON, NDJSON);
    wire.send(row(1).as_bytes()).unwrap();
    assert!(wire.head().starts_with("http/1.1 200"));
    assert_eq!(open_streams(&server), 1.0);
    drop(wire);
    wait_until_free(&server, Duration::from_secs(10));
    assert_eq!(
        server.get("/v1/tenants/default/usage").body["requests_in_progress"],
        1
    );
}

#[test]
fn a_stream_whose_deployment_goes_says_so_in_its_last_line() {
    let server = server();
    let mut wire = Wire::open(&server, NDJSON, NDJSON);
    wire.send(row(0).as_bytes()).unwrap();
    assert!(wire.head().starts_with("http/1.1 200"));
    wire.chunk().unwrap();
    assert_eq!(server.delete("/v1/deployments/clip").status, 200);
    wire.send(row(1).as_bytes()).unwrap();
    let (rest, trailers) = wire.rest();
    let lines = lines(&rest);
    assert_eq!(
        (lines.len(), &lines[0]["code"], &lines[0]["answered"]),
        (1, &json!("not-found"), &json!(1))
    );
    assert!(trailers.contains("caisson-rows: 1"), "{trailers}");
}

#[test]
fn a_stream_keeps_to_its_tenants_rates() {
    let (_server, operator) = Server::start_keyed();
    let acme = operator.tenant("acme");
    prepare(&acme);
    let quotas = json!({"requests_per_second": 4.0, "requests_burst": 1, "upload_bytes": 1000});
    assert_eq!(
        operator
            .put(
                "/v1/tenants/acme/quotas",
                "application/json",
                quotas.to_string().as_bytes()
            )
            .status,
        200
    );
    std::thread::sleep(Duration::from_millis(500));
    // Six parts, of which the first was let in with the request: five quarters of a second.
    let body: String = (0..6 * 1024).map(row).collect();
    let start = Instant::now();
    let answer = acme.bytes(ROUTE, NDJSON, body.as_bytes(), NDJSON);
    assert_eq!(lines(&answer).len(), 6 * 1024);
    assert!(
        start.elapsed() > Duration::from_millis(1000),
        "{:?}",
        start.elapsed()
    );
    std::thread::sleep(Duration::from_millis(500));
    let large = acme.post(ROUTE, PARQUET, &[0; 2000]);
    assert_eq!((large.status, large.code()), (413, "too-large"), "{large:?}");
}

#[test]
fn hostile_bodies_are_refused_and_leave_nothing() {
    let server = server();
    let long = [b"{\"id\":\"".as_slice(), &vec![b'a'; 17 << 20]].concat();
    let mut footer = b"PAR1".to_vec();
    footer.extend([0xff; 100]);
    footer.extend([0x60, 0, 0, 0]);
    footer.extend(b"PAR1");
    for (content_type, body, status, code) in [
        (NDJSON, &long[..], 413, "too-large"),
        ("text/csv", b"", 400, "bad-csv"),
        ("text/csv", b"id,x\n\"1", 400, "bad-csv"),
        ("text/csv", b"id,y\n1,2\n", 400, "unknown-column"),
        (ARROW, b"", 400, "bad-arrow"),
        (ARROW, b"{\"rows\":[]}", 400, "bad-arrow"),
        (ARROW, &[0xff; 64], 400, "bad-arrow"),
        (PARQUET, b"", 400, "bad-parquet"),
        (PARQUET, b"PAR1PAR1", 400, "bad-parquet"),
        (PARQUET, &footer, 400, "bad-parquet"),
    ] {
        // A form whose errors have a place answers with lines; CSV has none.
        let answer = server.post_with(ROUTE, content_type, body, &[("Accept", "text/csv")]);
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{content_type}: {answer:?}"
        );
    }
    let uploads = server.data.path().join("uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
    wait_until_free(&server, Duration::from_secs(10));
    assert_eq!(server.get("/v2/health/live").status, 200);
}

#[test]
fn the_command_line_streams_files_of_every_form() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let count = 20_000u64;
    std::fs::write(path("in.ndjson"), (0..count).map(row).collect::<String>()).unwrap();
    let run = |args: &[&str]| {
        let output = server.cli(&[&["predict", "clip"], args].concat());
        (
            output.status.code(),
            output.stdout,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let chain = ["in.ndjson", "a.csv", "b.arrows", "c.parquet", "d.jsonl"];
    for pair in chain.windows(2) {
        let (code, _, stderr) = run(&["--input", &path(pair[0]), "--output", &path(pair[1])]);
        assert_eq!(code, Some(0), "{pair:?}: {stderr}");
    }
    let last = lines(&std::fs::read(path("d.jsonl")).unwrap());
    assert_eq!(last.len() as u64, count);
    assert_eq!((&last[3]["id"], &last[15]["x"]), (&json!(3), &json!(10.0)));

    let (code, stdout, stderr) = run(&["--input", &path("a.csv"), "--format", "json"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(rows_of("application/json", &stdout).len() as u64, count);
    let (code, _, stderr) = run(&["--input", &path("a.csv"), "--output", &path("d.jsonl")]);
    assert!(code == Some(1) && stderr.contains("exists already"), "{stderr}");

    std::fs::write(path("bad.ndjson"), format!("{}{{}}\n{}", row(1), row(2))).unwrap();
    let (code, stdout, stderr) = run(&["--input", &path("bad.ndjson")]);
    assert_eq!((code, lines(&stdout).len()), (Some(2), 3), "{stderr}");
    assert!(stderr.contains("1 of 3 rows"), "{stderr}");
    let (code, _, stderr) = run(&["--input", &path("bad.ndjson"), "--output", &path("e.csv")]);
    assert!(
        code == Some(1) && stderr.contains("400 missing-column"),
        "{stderr}"
    );
    assert!(!folder.path().join("e.csv").exists());
}
