//! Tensors over gRPC: every type, raw and typed, and what is refused.

use serde_json::json;
use tonic::Code;

use crate::grpc_client::proto::infer_parameter::ParameterChoice;
use crate::grpc_client::proto::{InferTensorContents, ModelInferRequest};
use crate::grpc_client::{Client, block_on, client, input, parameter, raw, refused, typed, wanted};
use crate::harness::{Server, one_column};

/// A type: the deployment file's name and the protocol's, two rows raw, and the same in their list.
type Case = (&'static str, &'static str, Vec<u8>, Option<InferTensorContents>);

fn cases() -> Vec<Case> {
    macro_rules! numbers {
        ($type:ty, $list:ident, [$a:expr, $b:expr]) => {{
            let (a, b): ($type, $type) = ($a, $b);
            let raw = [a.to_le_bytes(), b.to_le_bytes()].concat();
            let contents = InferTensorContents {
                $list: vec![a.into(), b.into()],
                ..InferTensorContents::default()
            };
            (raw, Some(contents))
        }};
    }
    let case = |name, datatype, (raw, contents)| (name, datatype, raw, contents);
    let bools = InferTensorContents {
        bool_contents: vec![true, false],
        ..InferTensorContents::default()
    };
    let texts = |elements: [&'static [u8]; 2]| {
        let raw = elements
            .iter()
            .flat_map(|e| [&(e.len() as u32).to_le_bytes()[..], *e].concat())
            .collect();
        let contents = InferTensorContents {
            bytes_contents: elements.iter().map(|&e| e.into()).collect(),
            ..InferTensorContents::default()
        };
        (raw, Some(contents))
    };
    vec![
        case("boolean", "BOOL", (vec![1, 0], Some(bools))),
        case("uint8", "UINT8", numbers!(u8, uint_contents, [0, u8::MAX])),
        case("uint16", "UINT16", numbers!(u16, uint_contents, [1, u16::MAX])),
        case("uint32", "UINT32", numbers!(u32, uint_contents, [1, u32::MAX])),
        case("uint64", "UINT64", numbers!(u64, uint64_contents, [1, u64::MAX])),
        case("int8", "INT8", numbers!(i8, int_contents, [i8::MIN, i8::MAX])),
        case(
            "int16",
            "INT16",
            numbers!(i16, int_contents, [i16::MIN, i16::MAX]),
        ),
        case(
            "int32",
            "INT32",
            numbers!(i32, int_contents, [i32::MIN, i32::MAX]),
        ),
        case(
            "int64",
            "INT64",
            numbers!(i64, int64_contents, [i64::MIN, i64::MAX]),
        ),
        // A half has no list. Its bits come back as they are, those of a NaN of its own too.
        case("fp16", "FP16", (vec![0x00, 0x3c, 0x01, 0x7e], None)),
        case("bf16", "BF16", (vec![0x80, 0x3f, 0x81, 0x7f], None)),
        case(
            "fp32",
            "FP32",
            numbers!(f32, fp32_contents, [-0.1, f32::INFINITY]),
        ),
        case("fp64", "FP64", numbers!(f64, fp64_contents, [0.1, f64::MIN])),
        case("text", "BYTES", texts([b"", "g\u{fc}n".as_bytes()])),
        case("bytes", "BYTES", texts([b"\xff\x00", b"b"])),
    ]
}

fn request(model: &str, case: &Case, is_raw: bool) -> ModelInferRequest {
    let (_, datatype, bytes, contents) = case;
    let mut request = ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![input("x", datatype, &[2])],
        ..ModelInferRequest::default()
    };
    if is_raw {
        request.raw_input_contents = vec![bytes.clone().into()];
    } else {
        request.inputs[0].contents = contents.clone();
    }
    request
}

#[test]
fn every_type_comes_back_in_the_form_it_was_sent_in() {
    let server = Server::start();
    for (name, ..) in cases() {
        server.deploy(&json!({"name": name, "input": [{"name": "x", "type": name}]}));
    }
    block_on(async {
        let mut client = client(&server);
        for case in cases() {
            let (name, datatype, bytes, contents) = &case;
            let answer = client
                .model_infer(request(name, &case, true))
                .await
                .unwrap()
                .into_inner();
            assert_eq!(
                (answer.model_name.as_str(), answer.model_version.as_str()),
                (*name, "1")
            );
            assert_eq!(answer.raw_output_contents, std::slice::from_ref(bytes), "{name}");
            let output = &answer.outputs[0];
            assert_eq!((output.name.as_str(), output.datatype.as_str()), ("x", *datatype));
            assert_eq!((&output.shape[..], &output.contents), (&[2][..], &None), "{name}");

            let answer = client.model_infer(request(name, &case, false)).await;
            match contents {
                Some(_) => {
                    let answer = answer.unwrap().into_inner();
                    assert_eq!(&answer.outputs[0].contents, contents, "{name}");
                    assert!(answer.raw_output_contents.is_empty(), "{name}");
                }
                None => {
                    let (code, reason, message) = refused(answer);
                    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "wrong-type"));
                    assert!(message.contains("raw_input_contents"), "{message}");
                }
            }
        }
        a_list_that_another_type_has_is_refused(&mut client).await;
    });
}

/// Every list but a type's own, and numbers that the type can't hold.
async fn a_list_that_another_type_has_is_refused(client: &mut Client) {
    let lists: Vec<InferTensorContents> = cases().into_iter().filter_map(|case| case.3).collect();
    for case in cases().iter().filter(|case| case.3.is_some()) {
        let own = std::mem::discriminant(&list_of(case.3.as_ref().unwrap()));
        for other in lists
            .iter()
            .filter(|l| std::mem::discriminant(&list_of(l)) != own)
        {
            let mut request = request(case.0, case, false);
            request.inputs[0].contents = Some(other.clone());
            let (code, reason, message) = refused(client.model_infer(request).await);
            assert_eq!(
                (code, reason.as_str()),
                (Code::InvalidArgument, "wrong-type"),
                "{message}"
            );
            assert!(
                message.contains("column `x`") && message.contains("_contents"),
                "{message}"
            );
        }
    }
    for (name, datatype, wrong) in [("int8", "INT8", 128), ("int16", "INT16", -32769)] {
        let case = (
            name,
            datatype,
            Vec::new(),
            Some(InferTensorContents {
                int_contents: vec![0, wrong],
                ..InferTensorContents::default()
            }),
        );
        let (code, reason, message) = refused(client.model_infer(request(name, &case, false)).await);
        assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "out-of-range"));
        assert!(message.starts_with("row 1, column `x`"), "{message}");
    }
}

enum List {
    Bool,
    Int,
    Int64,
    Uint,
    Uint64,
    Fp32,
    Fp64,
    Bytes,
}

fn list_of(contents: &InferTensorContents) -> List {
    match contents {
        c if !c.bool_contents.is_empty() => List::Bool,
        c if !c.int_contents.is_empty() => List::Int,
        c if !c.int64_contents.is_empty() => List::Int64,
        c if !c.uint_contents.is_empty() => List::Uint,
        c if !c.uint64_contents.is_empty() => List::Uint64,
        c if !c.fp32_contents.is_empty() => List::Fp32,
        c if !c.fp64_contents.is_empty() => List::Fp64,
        _ => List::Bytes,
    }
}

#[test]
fn shapes_outputs_and_what_comes_along() {
    let server = Server::start();
    let columns = json!([
        {"name": "x", "type": "fp32"},
        {"name": "image", "type": "fp32", "shape": [2, 2]},
        {"name": "half", "type": "fp16"},
    ]);
    server.deploy(&json!({"name": "three", "input": columns}));
    let bytes = |list: &[f32]| list.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    block_on(async {
        let mut client = client(&server);
        let mut request = ModelInferRequest {
            model_name: "three".to_owned(),
            model_version: "1".to_owned(),
            id: "r-1".to_owned(),
            inputs: vec![
                input("image", "FP32", &[1, 2, 2]),
                input("half", "FP16", &[1, 1]),
                input("x", "FP32", &[1, 1]),
            ],
            raw_input_contents: vec![
                bytes(&[1.0, 2.0, 3.0, f32::NAN]).into(),
                vec![0, 0x3c].into(),
                bytes(&[5.0]).into(),
            ],
            outputs: vec![wanted("x"), wanted("image")],
            ..ModelInferRequest::default()
        };
        // What KServe's and Triton's clients send along.
        request.inputs[0].parameters.insert(
            "binary_data_size".to_owned(),
            parameter(ParameterChoice::Int64Param(16)),
        );
        for (name, choice) in [
            ("priority", ParameterChoice::Uint64Param(1)),
            ("timeout", ParameterChoice::Int64Param(60_000_000)),
            ("anything", ParameterChoice::DoubleParam(f64::NAN)),
        ] {
            request.parameters.insert(name.to_owned(), parameter(choice));
        }
        let answer = client.model_infer(request.clone()).await.unwrap().into_inner();
        let names: Vec<_> = answer
            .outputs
            .iter()
            .map(|o| (o.name.as_str(), &o.shape[..]))
            .collect();
        assert_eq!(names, [("x", &[1][..]), ("image", &[1, 2, 2][..])]);
        assert_eq!(answer.id, "r-1");
        assert_eq!(answer.raw_output_contents[0], bytes(&[5.0]));
        assert_eq!(answer.raw_output_contents[1], bytes(&[1.0, 2.0, 3.0, f32::NAN]));

        for (change, code, part) in [
            (
                (|r| r.outputs.push(wanted("y"))) as fn(&mut ModelInferRequest),
                "unknown-column",
                "column `y`",
            ),
            (
                |r| r.outputs.push(wanted("x")),
                "duplicate-column",
                "asked for twice",
            ),
            (
                |r| drop(r.raw_input_contents.pop()),
                "bad-request",
                "3 inputs and 2",
            ),
            (|r| drop(r.inputs.pop()), "bad-request", "2 inputs and 3"),
            (
                |r| {
                    r.inputs[0].contents = Some(InferTensorContents {
                        fp32_contents: vec![1.0],
                        ..Default::default()
                    })
                },
                "bad-request",
                "`contents` beside",
            ),
            (|r| r.inputs[0].shape = vec![1, 4], "wrong-shape", "[rows, 2, 2]"),
            (|r| r.inputs[0].shape = vec![-1, 2, 2], "bad-request", "0 or more"),
            (|r| r.inputs[0].shape = vec![1; 10], "bad-request", "up to 9"),
            (
                |r| r.inputs[0].shape = vec![2, 2, 2],
                "bad-tensor",
                "8 elements need 32",
            ),
            (
                |r| r.inputs[0].shape = vec![1 << 40, 2, 2],
                "too-many-rows",
                "65536",
            ),
            (
                |r| r.inputs[0].datatype = "FP64".to_owned(),
                "wrong-type",
                "FP32 is needed",
            ),
            (
                |r| r.inputs[2] = r.inputs[0].clone(),
                "duplicate-column",
                "comes twice",
            ),
            (
                |r| r.inputs[2].name = "z".to_owned(),
                "unknown-column",
                "the inputs are x, image, half",
            ),
            (
                |r| {
                    r.inputs.pop();
                    r.raw_input_contents.pop();
                },
                "missing-column",
                "column `x`",
            ),
            (
                |r| r.raw_input_contents[0] = vec![0; 15].into(),
                "bad-tensor",
                "15 bytes",
            ),
            (
                |r| r.raw_input_contents[0] = vec![0; 17].into(),
                "bad-tensor",
                "17 bytes",
            ),
            (|r| r.id = "x".repeat(2000), "bad-request", "`id`"),
            (
                |r| {
                    r.parameters.insert(
                        "priority".to_owned(),
                        parameter(ParameterChoice::StringParam("high".to_owned())),
                    );
                },
                "bad-parameter",
                "`priority`",
            ),
        ] {
            let mut wrong = request.clone();
            change(&mut wrong);
            let (status, reason, message) = refused(client.model_infer(wrong).await);
            let expected = if code == "too-many-rows" {
                Code::ResourceExhausted
            } else {
                Code::InvalidArgument
            };
            assert_eq!((status, reason.as_str()), (expected, code), "{message}");
            assert!(message.contains(part), "{part}: {message}");
        }
    });
}

#[test]
fn missing_values_are_nan_or_refused() {
    let server = Server::start();
    server.deploy(&one_column("floats", json!([])));
    let columns = json!([{"name": "x", "type": "fp32"}, {"name": "h", "type": "fp16", "nullable": true}, {"name": "n", "type": "int64", "nullable": true}]);
    server.deploy(&json!({"name": "mixed", "input": columns}));
    block_on(async {
        let mut client = client(&server);
        for request in [raw("floats", &[1.0, f32::NAN]), typed("floats", &[1.0, f32::NAN])] {
            let answer = client.model_infer(request).await.unwrap().into_inner();
            let values: Vec<f32> = match &answer.outputs[0].contents {
                Some(contents) => contents.fp32_contents.clone(),
                None => answer.raw_output_contents[0]
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| f32::from_le_bytes(*b))
                    .collect(),
            };
            assert!(values[0] == 1.0 && values[1].is_nan(), "{values:?}");
        }
        let mut request = raw("mixed", &[1.0, 2.0]);
        let (code, reason, message) = refused(client.model_infer(request.clone()).await);
        assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "missing-value"));
        assert!(
            message.contains("row 0, column `n`") && message.contains("INT64"),
            "{message}"
        );
        request.outputs = vec![wanted("h"), wanted("x")];
        let answer = client.model_infer(request).await.unwrap().into_inner();
        assert_eq!(answer.raw_output_contents[0][..], [0x00, 0x7e, 0x00, 0x7e]);
        // FP16 has no list, so all of the answer is raw.
        let request = ModelInferRequest {
            outputs: vec![wanted("x"), wanted("h")],
            ..typed("mixed", &[1.0])
        };
        let answer = client.model_infer(request).await.unwrap().into_inner();
        assert_eq!(answer.raw_output_contents[0][..], 1.0_f32.to_le_bytes());
        assert_eq!(answer.raw_output_contents[1][..], [0x00, 0x7e]);
        assert!(answer.outputs.iter().all(|output| output.contents.is_none()));
    });
}
