//! What public clients really sent, byte for byte: see `tests/data/oip-wire`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::harness::{Server, root};

/// Status, headers in lower case, body.
type Reply = (u16, Vec<(String, String)>, Vec<u8>);

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply
        .1
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn send(server: &Server, recorded: &Value, body: &[u8]) -> Reply {
    let (method, path) = (
        recorded["method"].as_str().unwrap(),
        recorded["path"].as_str().unwrap(),
    );
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
        server.address
    );
    for pair in recorded["headers"].as_array().unwrap() {
        head += &format!("{}: {}\r\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    }
    if method == "POST" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .write_all(&[head.as_bytes(), b"\r\n", body].concat())
        .unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let end = reply.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&reply[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
        .collect();
    (status, headers, reply[end + 4..].to_vec())
}

/// The JSON of a request, if it has one that can be read without decompressing it.
fn json_of(recorded: &Value, body: &[u8]) -> Value {
    let length = recorded["headers"].as_array().unwrap().iter();
    let length = length
        .filter(|pair| {
            pair[0]
                .as_str()
                .unwrap()
                .eq_ignore_ascii_case("inference-header-content-length")
        })
        .map(|pair| pair[1].as_str().unwrap().parse().unwrap())
        .next()
        .unwrap_or(body.len());
    body.get(..length)
        .and_then(|json| serde_json::from_slice(json).ok())
        .unwrap_or(Value::Null)
}

#[test]
fn recorded_requests_are_answered() {
    let server = Server::start();
    let folder = root().join("tests/data/oip-wire");
    let model = std::fs::read(folder.join("gbc.onnx")).unwrap();
    assert_eq!(server.push_model("gbc", &model, &json!({}), None).status, 201);
    server.deploy(&json!({
        "name": "gbc",
        "input": [{"name": "input", "type": "fp32", "shape": [30]}],
        "model": {"name": "gbc", "version": 1}
    }));
    let recorded: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.join("requests.json")).unwrap()).unwrap();
    let mut first: Option<Vec<f32>> = None;
    for request in &recorded {
        let body = match (request["text"].as_str(), request["base64"].as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(text)) => BASE64.decode(text).unwrap(),
            (None, None) => Vec::new(),
        };
        let what = format!(
            "{} {} {}",
            request["client"],
            request["path"],
            String::from_utf8_lossy(&body)
        );
        let reply = send(&server, request, &body);
        assert_eq!(
            u64::from(reply.0),
            request["status"].as_u64().unwrap(),
            "{what}: {reply:?}"
        );
        let length = header(&reply, "inference-header-content-length").map(|n| n.parse::<usize>().unwrap());
        let kind = header(&reply, "content-type");
        assert_eq!(
            kind,
            Some(if length.is_some() {
                "application/octet-stream"
            } else {
                "application/json"
            })
        );
        let (json, tensors) = reply.2.split_at(length.unwrap_or(reply.2.len()));
        let answer: Value = serde_json::from_slice(json).unwrap_or_else(|e| panic!("{what}: {e}"));
        if reply.0 != 200 {
            assert!(answer["error"].is_string(), "{what}: {answer}");
            continue;
        }
        if !request["path"].as_str().unwrap().ends_with("/infer") {
            continue;
        }
        let sent = json_of(request, &body);
        assert_eq!(answer.get("id"), sent.get("id"), "{what}");
        let asked_binary = sent["parameters"]["binary_data_output"] == true
            || sent["outputs"][0]["parameters"]["binary_data"] == true;
        if !sent.is_null() {
            assert_eq!(length.is_some(), asked_binary, "{what}: {answer}");
        }
        let probabilities = answer["outputs"].as_array().unwrap().last().unwrap();
        assert_eq!(probabilities["name"], "probabilities");
        let values: Vec<f32> = match length {
            // The last output, and the last bytes.
            Some(_) => {
                let size = probabilities["parameters"]["binary_data_size"].as_u64().unwrap() as usize;
                let last = &tensors[tensors.len() - size..];
                last.as_chunks()
                    .0
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes))
                    .collect()
            }
            None => serde_json::from_value(probabilities["data"].clone()).unwrap(),
        };
        assert!((values[0] + values[1] - 1.0).abs() < 1e-6, "{what}: {values:?}");
        // All but those with missing values begin with the same row.
        let missing =
            what.contains("NaN") || what.contains("null") || body.windows(4).any(|w| w == [0, 0, 0xc0, 0x7f]);
        if !missing {
            let expected = first.get_or_insert_with(|| values[..2].to_vec());
            assert_eq!(&values[..2], expected.as_slice(), "{what}");
        }
    }
    assert!(first.is_some());
}
