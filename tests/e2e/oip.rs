//! The Open Inference Protocol's tensors: every datatype, as JSON and as bytes, plain and compressed.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::harness::{Bytes, Keyed, Server, root};

/// The numeric types of `identity.onnx`: its name of each, the protocol's, elements in JSON, and the
/// same in binary.
fn numbers() -> Vec<(&'static str, &'static str, Value, Vec<u8>)> {
    fn le<const N: usize>(elements: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
        elements.into_iter().flatten().collect()
    }
    vec![
        ("boolean", "BOOL", json!([true, false]), vec![1, 0]),
        ("uint8", "UINT8", json!([0, u8::MAX]), vec![0, 255]),
        (
            "uint16",
            "UINT16",
            json!([1, u16::MAX]),
            le([1, u16::MAX].map(u16::to_le_bytes)),
        ),
        (
            "uint32",
            "UINT32",
            json!([1, u32::MAX]),
            le([1, u32::MAX].map(u32::to_le_bytes)),
        ),
        // Past 2^53, where a float would lose bits.
        (
            "uint64",
            "UINT64",
            json!([9_007_199_254_740_993_u64, u64::MAX]),
            le([9_007_199_254_740_993, u64::MAX].map(u64::to_le_bytes)),
        ),
        ("int8", "INT8", json!([i8::MIN, i8::MAX]), vec![0x80, 0x7f]),
        (
            "int16",
            "INT16",
            json!([i16::MIN, 2]),
            le([i16::MIN, 2].map(i16::to_le_bytes)),
        ),
        (
            "int32",
            "INT32",
            json!([i32::MIN, 2]),
            le([i32::MIN, 2].map(i32::to_le_bytes)),
        ),
        (
            "int64",
            "INT64",
            json!([i64::MIN, -9_007_199_254_740_993_i64]),
            le([i64::MIN, -9_007_199_254_740_993].map(i64::to_le_bytes)),
        ),
        (
            "fp16",
            "FP16",
            json!([1.5, -0.25]),
            le([0x3e00_u16, 0xb400].map(u16::to_le_bytes)),
        ),
        (
            "bf16",
            "BF16",
            json!([1.5, -0.25]),
            le([0x3fc0_u16, 0xbe80].map(u16::to_le_bytes)),
        ),
        (
            "fp32",
            "FP32",
            json!([0.1, -3.4e38]),
            le([0.1_f32, -3.4e38].map(f32::to_le_bytes)),
        ),
        (
            "fp64",
            "FP64",
            json!([0.1, -1.7e308]),
            le([0.1_f64, -1.7e308].map(f64::to_le_bytes)),
        ),
    ]
}

fn identity(server: &Keyed) {
    let model = std::fs::read(root().join("host/inference/tests/fixtures/identity.onnx")).unwrap();
    assert_eq!(
        server.push_model("identity", &model, &json!({}), None).status,
        201
    );
    let columns: Vec<Value> = numbers()
        .iter()
        .map(|(name, ..)| json!({"name": name, "type": name}))
        .collect();
    server
        .deploy(&json!({"name": "identity", "input": columns, "model": {"name": "identity", "version": 1}}));
}

/// A deployment that gives back what it gets.
fn echo(server: &Keyed, name: &str, columns: Value) {
    server.deploy(&json!({"name": name, "input": columns}));
}

/// POST a JSON part and tensors behind it.
fn post(server: &Keyed, model: &str, json: &Value, tensors: &[u8], more: &[(&str, &str)]) -> Bytes {
    let json = json.to_string();
    let length = json.len().to_string();
    let headers = [&[("Inference-Header-Content-Length", length.as_str())], more].concat();
    let body = [json.as_bytes(), tensors].concat();
    server.post_bytes(&format!("/v2/models/{model}/infer"), &headers, &body)
}

/// The JSON part of an answer and its tensors.
fn split(answer: &Bytes) -> (Value, &[u8]) {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let length = answer
        .header("inference-header-content-length")
        .map(|n| n.parse().unwrap());
    let kind = if length.is_some() {
        "application/octet-stream"
    } else {
        "application/json"
    };
    assert_eq!(answer.header("content-type"), Some(kind));
    let (json, tensors) = answer.body.split_at(length.unwrap_or(answer.body.len()));
    (serde_json::from_slice(json).unwrap(), tensors)
}

fn refused(answer: &Bytes, status: u16) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

#[test]
fn every_number_in_json_and_binary_both_ways() {
    let server = Server::start();
    identity(&server);
    let numbers = numbers();
    let inputs = |binary: bool| -> Vec<Value> {
        let input = |(name, datatype, data, bytes): &(&str, &str, Value, Vec<u8>)| {
            let mut input = json!({"name": name, "datatype": datatype, "shape": [2]});
            if binary {
                input["parameters"] = json!({"binary_data_size": bytes.len()});
            } else {
                input["data"] = data.clone();
            }
            input
        };
        numbers.iter().map(input).collect()
    };
    let tensors: Vec<u8> = numbers.iter().flat_map(|(.., bytes)| bytes.clone()).collect();
    for (binary_in, binary_out) in [(false, false), (false, true), (true, false), (true, true)] {
        let sent = if binary_in { tensors.as_slice() } else { &[] };
        let request = json!({"inputs": inputs(binary_in), "parameters": {"binary_data_output": binary_out}});
        let answer = post(&server, "identity", &request, sent, &[]);
        let (json, given) = split(&answer);
        for (output, (name, datatype, data, bytes)) in
            json["outputs"].as_array().unwrap().iter().zip(&numbers)
        {
            assert_eq!(output["name"], format!("{name}_out"));
            assert_eq!(
                (&output["datatype"], &output["shape"]),
                (&json!(datatype), &json!([2]))
            );
            if binary_out {
                assert_eq!(output["parameters"]["binary_data_size"], bytes.len(), "{name}");
            } else {
                // Integers are compared in all of their 64 bits.
                assert_eq!(&output["data"], data, "{name}");
            }
        }
        assert_eq!(given, if binary_out { tensors.as_slice() } else { &[] });
        assert!(json.get("id").is_none(), "{json}");
    }
}

#[test]
fn text_bytes_and_shapes() {
    let server = Server::start();
    echo(
        &server,
        "echo",
        json!([
            {"name": "word", "type": "text", "shape": [2]},
            {"name": "blob", "type": "bytes"},
            {"name": "grid", "type": "int16", "shape": [2, 2]}
        ]),
    );
    let element = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let words = [element("héllo".as_bytes()), element(b"")].concat();
    let blob = element(&[0xff, 0x00, 0xfe]);
    let grid: Vec<u8> = [1_i16, -2, 3, -4].iter().flat_map(|n| n.to_le_bytes()).collect();
    let request = json!({
        "id": "r-1",
        "inputs": [
            {"name": "word", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": words.len()}},
            {"name": "grid", "datatype": "INT16", "shape": [1, 2, 2], "parameters": {"binary_data_size": grid.len()}},
            {"name": "blob", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": blob.len()}}
        ],
        "outputs": [
            {"name": "grid", "parameters": {"binary_data": false}},
            {"name": "blob", "parameters": {"binary_data": true}},
            {"name": "word"}
        ],
        "parameters": {"binary_data_output": true, "tenant": "anything"}
    });
    let answer = post(
        &server,
        "echo",
        &request,
        &[words.clone(), grid, blob.clone()].concat(),
        &[],
    );
    let (json, tensors) = split(&answer);
    assert_eq!(
        (&json["id"], &json["model_version"]),
        (&json!("r-1"), &json!("1"))
    );
    let names: Vec<_> = json["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["name"].clone())
        .collect();
    assert_eq!(names, ["grid", "blob", "word"]);
    assert_eq!(json["outputs"][0]["data"], json!([1, -2, 3, -4]));
    assert_eq!(json["outputs"][0]["shape"], json!([1, 2, 2]));
    assert_eq!(tensors, [blob, words].concat());
}

#[test]
fn one_raw_tensor_is_a_body() {
    let server = Server::start();
    echo(
        &server,
        "pairs",
        json!([{"name": "x", "type": "fp32", "shape": [2]}]),
    );
    echo(&server, "word", json!([{"name": "w", "type": "text"}]));
    echo(
        &server,
        "two",
        json!([{"name": "a", "type": "fp32"}, {"name": "b", "type": "fp32"}]),
    );
    let raw = [
        ("Inference-Header-Content-Length", "0"),
        ("Content-Type", "application/octet-stream"),
    ];
    let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let answer = server.post_bytes("/v2/models/pairs/infer", &raw, &bytes);
    let (json, tensors) = split(&answer);
    assert_eq!(
        (&json["outputs"][0]["shape"], tensors),
        (&json!([2, 2]), bytes.as_slice())
    );
    let answer = server.post_bytes("/v2/models/word/infer", &raw, "schön".as_bytes());
    let (json, tensors) = split(&answer);
    assert_eq!(
        (&json["outputs"][0]["shape"], tensors),
        (&json!([1]), &b"\x06\0\0\0sch\xc3\xb6n"[..])
    );
    for (model, body, said) in [
        ("pairs", &bytes[..12], "12 bytes"),
        ("word", &b"\xff"[..], "UTF-8"),
        ("two", &bytes[..8], "one input"),
    ] {
        let answer = server.post_bytes(&format!("/v2/models/{model}/infer"), &raw, body);
        let error = refused(&answer, 400);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let server = Server::start();
    echo(
        &server,
        "m",
        json!([{"name": "x", "type": "uint8", "shape": [2]}, {"name": "f", "type": "fp32", "nullable": true}]),
    );
    let with = |x: Value, more: Value| {
        let mut request =
            json!({"inputs": [x, {"name": "f", "datatype": "FP32", "shape": [2], "data": [1, 2]}]});
        for (key, value) in more.as_object().unwrap() {
            request[key] = value.clone();
        }
        request
    };
    let x = |datatype: &str, shape: Value, data: Value| json!({"name": "x", "datatype": datatype, "shape": shape, "data": data});
    let good = || x("UINT8", json!([2, 2]), json!([1, 2, 3, 4]));
    assert_eq!(
        server
            .post_json("/v2/models/m/infer", &with(good(), json!({})))
            .status,
        200
    );
    for (request, said) in [
        (
            with(x("UINT8", json!([2, 2]), json!([1, 2, 3, 256])), json!({})),
            &["`x`", "element 3", "256"][..],
        ),
        (
            with(x("UINT8", json!([2, 2]), json!([1, -1, 3, 4])), json!({})),
            &["`x`", "element 1", "-1"],
        ),
        (
            with(x("UINT8", json!([2, 2]), json!([1, 1.5, 3, 4])), json!({})),
            &["`x`", "element 1", "fraction"],
        ),
        (
            with(x("UINT8", json!([2, 2]), json!([[1, 2], [3, "a"]])), json!({})),
            &["`x`", "element 3"],
        ),
        (
            with(x("INT32", json!([2, 2]), json!([1, 2, 3, 4])), json!({})),
            &["`x`", "INT32", "UINT8"],
        ),
        (
            with(x("UINT8", json!([2, 2]), json!([1, 2, 3])), json!({})),
            &["`x`", "3"],
        ),
        (
            with(x("UINT8", json!([2, 3]), json!([1, 2, 3, 4, 5, 6])), json!({})),
            &["`x`", "[2, 3]"],
        ),
        (
            with(x("UINT8", json!([1, 2]), json!([1, 2])), json!({})),
            &["rows"],
        ),
        (with(good(), json!({"outputs": [{"name": "z"}]})), &["`z`"]),
        (
            with(good(), json!({"parameters": {"sequence_id": 4}})),
            &["sequence_id"],
        ),
        (
            with(
                good(),
                json!({"parameters": {"sequence_id": "s", "sequence_start": true}}),
            ),
            &["sequence_id"],
        ),
        (
            with(good(), json!({"parameters": {"priority": "high"}})),
            &["priority"],
        ),
        (with(good(), json!({"parameters": {"timeout": -1}})), &["timeout"]),
        (with(good(), json!({"parameters": {"nan": "maybe"}})), &["nan"]),
        (
            with(
                good(),
                json!({"outputs": [{"name": "x", "parameters": {"classification": 2}}]}),
            ),
            &["classification"],
        ),
    ] {
        let answer = server.post_json("/v2/models/m/infer", &request);
        assert_eq!(answer.status, 400, "{request}: {answer:?}");
        for word in said {
            assert!(answer.error().contains(word), "{word}: {answer:?}");
        }
    }
    let binary = |size: usize| {
        json!({"inputs": [
        {"name": "x", "datatype": "UINT8", "shape": [1, 2], "parameters": {"binary_data_size": size}}]})
    };
    for (size, tensors, said) in [
        (2, &[1, 2, 3][..], "behind"),
        (2, &[1], "left"),
        (3, &[1, 2, 3], "3 bytes"),
        (1, &[1], "1 bytes"),
    ] {
        let error = refused(&post(&server, "m", &binary(size), tensors, &[]), 400);
        assert!(error.contains(said), "{said}: {error}");
    }
    for length in ["99999", "-1", "many"] {
        let headers = [("Inference-Header-Content-Length", length)];
        refused(&server.post_bytes("/v2/models/m/infer", &headers, b"{}"), 400);
    }
}

#[test]
fn missing_values_nan_and_infinity() {
    let server = Server::start();
    echo(
        &server,
        "f",
        json!([{"name": "x", "type": "fp32", "nullable": true}, {"name": "v", "type": "fp16", "shape": [2]}]),
    );
    let ask = |data: &str, parameters: &str| {
        let body = format!(
            r#"{{"parameters":{parameters},"inputs":[
                {{"name":"x","datatype":"FP32","shape":[1],"data":[{data}]}},
                {{"name":"v","datatype":"FP16","shape":[1,2],"data":[1,{data}]}}]}}"#
        );
        // No content type at all, as tritonclient.
        let answer = server.post_bytes("/v2/models/f/infer", &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        String::from_utf8(answer.body).unwrap()
    };
    for data in ["null", "NaN", "\"NaN\""] {
        let plain = ask(data, "{}");
        assert!(
            plain.contains("\"data\":[null]") && plain.contains("\"data\":[1.0,null]"),
            "{plain}"
        );
    }
    for (data, token) in [
        ("NaN", "NaN"),
        ("\"Infinity\"", "Infinity"),
        ("-Infinity", "-Infinity"),
    ] {
        let plain = ask(data, "{\"nan\":\"null\"}");
        assert!(plain.contains("\"data\":[null]"), "{plain}");
        let tokens = ask(data, "{\"nan\":\"token\"}");
        assert!(tokens.contains(&format!("\"data\":[{token}]")), "{tokens}");
        assert!(tokens.contains(&format!("\"data\":[1.0,{token}]")), "{tokens}");
    }
}

fn packed(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(bytes, 1).unwrap(),
    }
}

fn unpacked(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "deflate" => flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out),
        _ => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut out),
    }
    .unwrap();
    out
}

#[test]
fn compressed_bodies_and_answers() {
    let server = Server::start();
    echo(&server, "x", json!([{"name": "x", "type": "int32"}]));
    let tensor: Vec<u8> = (0..4000_i32).flat_map(i32::to_le_bytes).collect();
    let request = json!({
        "inputs": [{"name": "x", "datatype": "INT32", "shape": [4000], "parameters": {"binary_data_size": 16_000}}],
        "parameters": {"binary_data_output": true}
    })
    .to_string();
    let length = request.len().to_string();
    let body = [request.as_bytes(), &tensor].concat();
    const PATH: &str = "/v2/models/x/infer";
    let plain = server.post_bytes(PATH, &[("Inference-Header-Content-Length", &length)], &body);
    assert_eq!(split(&plain).1, tensor);
    assert_eq!(plain.header("content-encoding"), None);
    for coding in ["gzip", "deflate", "zstd"] {
        let headers = [
            ("Content-Encoding", coding),
            ("Accept-Encoding", coding),
            // The JSON's length before compression, both ways.
            ("Inference-Header-Content-Length", length.as_str()),
        ];
        let answer = server.post_bytes(PATH, &headers, &packed(coding, &body));
        assert_eq!(
            answer.status,
            200,
            "{coding}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(
            answer.header("inference-header-content-length"),
            plain.header("inference-header-content-length")
        );
        assert!(answer.body.len() < plain.body.len());
        assert_eq!(unpacked(coding, &answer.body), plain.body, "{coding}");

        let only = [("Content-Encoding", coding)];
        refused(&server.post_bytes(PATH, &only, b"{\"inputs\":[]}"), 400);
        let bomb = packed(coding, &vec![b' '; 70 << 20]);
        let error = refused(&server.post_bytes(PATH, &only, &bomb), 413);
        assert!(error.contains("decompressed"), "{error}");
    }
    let error = refused(
        &server.post_bytes(PATH, &[("Content-Encoding", "br")], &body),
        415,
    );
    assert!(
        error.contains("br") && error.contains("gzip, deflate and zstd"),
        "{error}"
    );
}

#[test]
fn every_error_is_json_with_a_string() {
    let (server, _operator) = Server::start_keyed();
    for (method, path, status) in [
        ("GET", "/v2/models/a/infer", 405),
        ("POST", "/v2", 405),
        ("GET", "/v2/nowhere", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/a", 401),
    ] {
        let answer = match method {
            "GET" => server.get(path),
            _ => server.post(path, "application/json", b"{}"),
        };
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.content_type, "application/json");
        assert!(!answer.error().is_empty());
    }
}

#[test]
fn a_priority_and_a_patience() {
    let server = Server::start();
    server.deploy(&json!({
        "name": "q",
        "input": [{"name": "x", "type": "fp32"}],
        "batching": {"max_queue_delay_us": 300_000, "preferred_batch_sizes": [64], "queue": {"priority_levels": 2}}
    }));
    let ask = |parameters: Value| {
        let input = json!({"name": "x", "datatype": "FP32", "shape": [1], "data": [1]});
        server.post_json(
            "/v2/models/q/infer",
            &json!({"inputs": [input], "parameters": parameters}),
        )
    };
    // Nobody comes to share the run, and its time in the queue is over long before the delay.
    let late = ask(json!({"priority": 1, "timeout": 20_000}));
    assert_eq!((late.status, late.code()), (503, "queue-timeout"), "{late:?}");
    assert_eq!(ask(json!({"priority": 2})).status, 200);
}
