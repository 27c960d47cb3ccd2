//! The Open Inference Protocol: JSON and binary tensors.

use std::sync::Arc;

use caisson_data::oip::{Encoded, InferRequest, NanPolicy, OutputChoice, ResponseHead};
use caisson_data::{Batch, DataType, DecodeError, DecodeLimits, Field, Schema, code, oip, oip_binary};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{batch, one, one_nullable, one_shaped, with_one_nan};

pub(crate) fn decode(schema: &Arc<Schema>, body: &str) -> Result<InferRequest, DecodeError> {
    oip::decode_request(schema, body.as_bytes(), &DecodeLimits::default())
}

fn decode_encoded(schema: &Arc<Schema>, encoded: &Encoded) -> Result<InferRequest, DecodeError> {
    let limits = DecodeLimits::default();
    match encoded.json_bytes {
        None => oip::decode_request(schema, &encoded.body, &limits),
        Some(json_bytes) => oip_binary::decode_request(schema, &encoded.body, json_bytes, &limits),
    }
}

/// A request with one input `x`.
pub(crate) fn input(datatype: &str, shape: &str, data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}}}]}}"#)
}

fn head() -> ResponseHead<'static> {
    ResponseHead {
        model_name: "m\"1\"",
        model_version: Some("3"),
        id: None,
    }
}

fn all(batch: &Batch, binary: bool) -> Vec<OutputChoice> {
    (0..batch.schema().len())
        .map(|column| OutputChoice { column, binary })
        .collect()
}

/// NaN stays itself in a binary tensor, and becomes any NaN in JSON, which columns with missing
/// values are written as.
fn nans_as_written(batch: &Batch) -> Batch {
    let one_nan = with_one_nan(batch);
    let mut builder = caisson_data::BatchBuilder::new(batch.schema().clone(), batch.rows()).unwrap();
    for index in 0..batch.schema().len() {
        let column = batch.column(index).unwrap();
        let is_json = column.validity().first_missing(batch.rows()).is_some();
        let column = if is_json {
            one_nan.column(index).unwrap()
        } else {
            column
        };
        builder.copy_column(index, column).unwrap();
    }
    builder.finish().unwrap()
}

proptest! {
    #[test]
    fn json_requests_come_back(batch in batch()) {
        let encoded = oip::encode_request(Some("id \"1\""), &batch, false);
        prop_assert_eq!(encoded.json_bytes, None);
        let request = decode_encoded(batch.schema(), &encoded).unwrap();
        prop_assert_eq!(request.id.as_deref(), Some("id \"1\""));
        prop_assert!(request.batch.is_same(&with_one_nan(&batch)));
    }

    #[test]
    fn binary_requests_come_back(batch in batch()) {
        let encoded = oip::encode_request(None, &batch, true);
        let request = decode_encoded(batch.schema(), &encoded).unwrap();
        prop_assert!(request.batch.is_same(&nans_as_written(&batch)));
        prop_assert!(request.choose_outputs(batch.schema()).unwrap().iter().all(|choice| choice.binary));
    }

    /// The outputs of a response are the inputs of a request, so what is true of those is of these.
    #[test]
    fn responses_hold_the_same_tensors(batch in batch(), binary in any::<bool>()) {
        let request = oip::encode_request(None, &batch, binary);
        let response = oip::encode_response(&head(), &batch, &all(&batch, binary), NanPolicy::Token);
        let after = |encoded: &Encoded, key: &[u8]| {
            let at = encoded.body.windows(key.len()).position(|w| w == key).unwrap();
            encoded.body[at + key.len()..].to_vec()
        };
        prop_assert_eq!(after(&request, b"\"inputs\":"), after(&response, b"\"outputs\":"));
    }

    #[test]
    fn cut_requests_never_pass(batch in batch(), binary in any::<bool>(), at in any::<prop::sample::Index>()) {
        let mut encoded = oip::encode_request(None, &batch, binary);
        let at = at.index(encoded.body.len());
        encoded.body.truncate(at);
        prop_assert!(decode_encoded(batch.schema(), &encoded).is_err());
    }

    #[test]
    fn longer_requests_never_pass(batch in batch(), binary in any::<bool>()) {
        let mut encoded = oip::encode_request(None, &batch, binary);
        encoded.body.push(b'x');
        prop_assert!(decode_encoded(batch.schema(), &encoded).is_err());
    }

    /// A byte changed anywhere gives another batch or an error, never a panic.
    #[test]
    fn changed_requests_do_no_harm(
        batch in batch(), binary in any::<bool>(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut encoded = oip::encode_request(None, &batch, binary);
        let at = at.index(encoded.body.len());
        encoded.body[at] = byte;
        if let Ok(request) = decode_encoded(batch.schema(), &encoded) {
            prop_assert_eq!(request.batch.schema(), batch.schema());
        }
    }
}

#[test]
fn members_may_come_in_any_order() {
    let schema = one(DataType::Fp32);
    let orders = [
        r#"{"inputs":[{"data":[1.5,NaN],"datatype":"FP32","name":"x","shape":[2]}],"id":"a"}"#,
        r#"{"id":"a","model_name":"gbc","inputs":[{"shape":[2],"other":{"a":[]},"data":[1.5,NaN],"name":"x","parameters":null,"datatype":"FP32"}],"outputs":null,"parameters":null}"#,
        r#" { "inputs" : [ { "name" : "x" , "shape" : [ 2 , 1 ] , "datatype" : "FP32" , "data" : [ [ 1.5 ] , [ NaN ] ] } ] , "id" : "a" } "#,
    ];
    for body in orders {
        let request = decode(&schema, body).unwrap();
        assert_eq!(request.id.as_deref(), Some("a"));
        let batch = request.batch;
        let values = batch.column(0).unwrap().fp32s().unwrap();
        assert!(values[0] == 1.5 && values[1].is_nan());
    }
}

#[test]
fn nulls_are_missing_or_nan_by_what_the_shape_can_say() {
    let scalar = one_nullable(DataType::Fp32);
    let batch = decode(&scalar, &input("FP32", "[3]", "[null,NaN,1]"))
        .unwrap()
        .batch;
    let column = batch.column(0).unwrap();
    assert_eq!(
        (0..3)
            .map(|r| column.validity().is_present(r))
            .collect::<Vec<_>>(),
        [false, true, true]
    );
    let error = decode(&one(DataType::Fp32), &input("FP32", "[3]", "[1,null,1]")).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.column.as_deref()),
        (code::MISSING_VALUE, Some(1), Some("x"))
    );

    // As the curl step of the recorded exchanges sends it: some features of a row are unknown.
    let tensor = one_shaped(DataType::Fp32, &[2]);
    for data in [
        "[null,1,2,3,null,null,4,null]",
        "[[null,1],[2,3],[null,null],[4,null]]",
        "[[null,1],[2,3],null,[4,null]]",
    ] {
        let batch = decode(&tensor, &input("FP32", "[4,2]", data)).unwrap().batch;
        let column = batch.column(0).unwrap();
        assert_eq!(
            (0..4)
                .map(|r| column.validity().is_present(r))
                .collect::<Vec<_>>(),
            [true, true, false, true]
        );
        let values = column.fp32s().unwrap();
        assert!(values[0].is_nan() && values[7].is_nan());
        assert_eq!(values[1..7], [1.0, 2.0, 3.0, 0.0, 0.0, 4.0]);
    }
    // Nulls before the first value are rows or elements, as it shows.
    for (data, missing) in [
        ("[null,null,[1,2],[3,4]]", [true, true, false, false]),
        ("[null,null,1,2,3,4,5,6]", [true, false, false, false]),
        ("[null,null,null,null]", [true; 4]),
        ("[null,null,null,null,null,null,null,null]", [true; 4]),
    ] {
        let batch = decode(&tensor, &input("FP32", "[4,2]", data)).unwrap().batch;
        let column = batch.column(0).unwrap();
        assert_eq!(
            [0, 1, 2, 3].map(|r| !column.validity().is_present(r)),
            missing,
            "{data}"
        );
    }
    let error = decode(
        &one_shaped(DataType::Int32, &[2]),
        &input("INT32", "[1,2]", "[1,null]"),
    )
    .unwrap_err();
    assert_eq!((error.code, error.row), (code::WRONG_TYPE, Some(0)));
}

#[test]
fn nan_policies_differ_only_in_nan() {
    let schema = one_nullable(DataType::Fp64);
    let batch = decode(
        &schema,
        &input("FP64", "[5]", "[NaN,Infinity,-Infinity,null,-0.0]"),
    )
    .unwrap()
    .batch;
    let body = |nan| {
        let encoded = oip::encode_response(&head(), &batch, &all(&batch, false), nan);
        String::from_utf8(encoded.body).unwrap()
    };
    let start = r#"{"model_name":"m\"1\"","model_version":"3","outputs":[{"name":"x","datatype":"FP64","shape":[5],"data":"#;
    assert_eq!(
        body(NanPolicy::Token),
        format!("{start}[NaN,Infinity,-Infinity,null,-0.0]}}]}}")
    );
    assert_eq!(
        body(NanPolicy::Null),
        format!("{start}[null,null,null,null,-0.0]}}]}}")
    );
}

#[test]
fn ids_are_echoed_only_if_given() {
    let batch = Batch::empty(one(DataType::Int8));
    let encode = |id, version| {
        let head = ResponseHead {
            model_name: "m",
            model_version: version,
            id,
        };
        let encoded = oip::encode_response(&head, &batch, &all(&batch, false), NanPolicy::Token);
        serde_json::from_slice::<Value>(&encoded.body).unwrap()
    };
    assert_eq!(encode(Some("7"), Some("1"))["id"], "7");
    assert_eq!(encode(None, None).get("id"), None);
    assert_eq!(encode(None, None).get("model_version"), None);
}

#[test]
fn bytes_in_json_are_text_or_base64() {
    let schema = one(DataType::Bytes);
    let batch = decode(&schema, &input("BYTES", "[2]", r#"["é","/wA="]"#))
        .unwrap()
        .batch;
    assert_eq!(batch.column(0).unwrap().bytes(0), Some("é".as_bytes()));
    assert_eq!(batch.column(0).unwrap().bytes(1), Some(&b"/wA="[..]));
    let body = r#"{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["/wA="],"parameters":{"content_type":"base64"}}]}"#;
    let batch = decode(&schema, body).unwrap().batch;
    assert_eq!(batch.column(0).unwrap().bytes(0), Some(&[255, 0][..]));
    let encoded = oip::encode_request(None, &batch, false);
    assert_eq!(
        String::from_utf8(encoded.body).unwrap(),
        r#"{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"parameters":{"content_type":"base64"},"data":["/wA="]}]}"#
    );
}

#[test]
fn absent_inputs_are_missing_where_the_column_is_nullable() {
    let fields = vec![
        Field::new("x", DataType::Fp32),
        Field::new("y", DataType::Text).nullable(),
    ];
    let schema = Arc::new(Schema::new(fields).unwrap());
    let batch = decode(&schema, &input("FP32", "[2]", "[1,2]")).unwrap().batch;
    assert_eq!(batch.column(1).unwrap().validity().count_missing(2), 2);
    let body = r#"{"inputs":[{"name":"y","datatype":"BYTES","shape":[1],"data":["a"]}]}"#;
    let error = decode(&schema, body).unwrap_err();
    assert_eq!(
        (error.code, error.column.as_deref()),
        (code::MISSING_COLUMN, Some("x"))
    );
}

#[test]
fn outputs_are_chosen_by_name_and_form() {
    let schema = Schema::new(["a", "b", "c"].map(|n| Field::new(n, DataType::Fp32)).to_vec()).unwrap();
    let choose = |outputs: &str, parameters: &str| {
        let body = format!(
            r#"{{"inputs":[{{"name":"x","datatype":"INT8","shape":[0],"data":[]}}],"outputs":{outputs},"parameters":{parameters}}}"#
        );
        let choices = decode(&one(DataType::Int8), &body)
            .unwrap()
            .choose_outputs(&schema);
        choices.map(|c| c.iter().map(|c| (c.column, c.binary)).collect::<Vec<_>>())
    };
    assert_eq!(choose("[]", "{}").unwrap(), [(0, false), (1, false), (2, false)]);
    assert_eq!(
        choose("null", r#"{"binary_data_output":true}"#).unwrap(),
        [(0, true), (1, true), (2, true)]
    );
    let named = r#"[{"name":"c","parameters":{"binary_data":true}},{"name":"a"}]"#;
    assert_eq!(choose(named, "{}").unwrap(), [(2, true), (0, false)]);
    let named = r#"[{"name":"c","parameters":{"binary_data":false}},{"name":"a"}]"#;
    assert_eq!(
        choose(named, r#"{"binary_data_output":true}"#).unwrap(),
        [(2, false), (0, true)]
    );
    assert_eq!(
        choose(r#"[{"name":"d"}]"#, "{}").unwrap_err().code,
        code::UNKNOWN_COLUMN
    );
    assert_eq!(
        choose(r#"[{"name":"a"},{"name":"a"}]"#, "{}").unwrap_err().code,
        code::DUPLICATE_COLUMN
    );
}

/// The body that tritonclient 2.73 sends for two values in binary, asking for a binary answer
/// (recorded on the wire; shortened from 30 columns to 2).
#[test]
fn the_body_of_a_binary_client_is_understood() {
    let json = br#"{"id":"req-1","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],"outputs":[{"name":"probabilities","parameters":{"binary_data":true}}]}"#;
    let tensor = b"\xaeGiA\x00\x00\xc0\x7f{\x94\xbcB3\xb3$D";
    let body = [json.as_slice(), tensor].concat();
    let schema = one_shaped(DataType::Fp32, &[2]);
    let request = oip_binary::decode_request(&schema, &body, json.len(), &DecodeLimits::default()).unwrap();
    let values = request.batch.column(0).unwrap().fp32s().unwrap().to_vec();
    assert_eq!([values[0], values[2], values[3]], [14.58, 94.29, 658.8]);
    assert_eq!(values[1].to_bits(), 0x7fc0_0000);
    let answer =
        Arc::new(Schema::new(vec![Field::new("probabilities", DataType::Fp32).with_shape([2])]).unwrap());
    let choices = request.choose_outputs(&answer).unwrap();
    let mut builder = caisson_data::BatchBuilder::new(answer, 2).unwrap();
    builder
        .fp32s_mut(0)
        .unwrap()
        .copy_from_slice(&[0.25, 0.75, 1.0, 0.0]);
    let head = ResponseHead {
        model_name: "gbc",
        model_version: Some("1"),
        id: request.id.as_deref(),
    };
    let encoded = oip::encode_response(&head, &builder.finish().unwrap(), &choices, NanPolicy::Token);
    let json_bytes = encoded.json_bytes.unwrap();
    assert_eq!(
        std::str::from_utf8(&encoded.body[..json_bytes]).unwrap(),
        r#"{"model_name":"gbc","model_version":"1","id":"req-1","outputs":[{"name":"probabilities","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}]}"#
    );
    assert_eq!(
        encoded.body[json_bytes..],
        [0.25f32, 0.75, 1.0, 0.0].map(f32::to_le_bytes).concat()
    );
}

/// The JSON body that tritonclient 2.73 sends when a value is NaN (recorded; shortened likewise).
#[test]
fn the_bare_nan_of_a_json_client_is_understood() {
    let body = r#"{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[14.579999923706055,NaN,94.29000091552734]}],"outputs":[{"name":"probabilities","parameters":{"binary_data":false}}]}"#;
    let batch = decode(&one_shaped(DataType::Fp32, &[3]), body).unwrap().batch;
    let column = batch.column(0).unwrap();
    assert!(column.validity().is_present(0));
    assert!(column.fp32s().unwrap()[1].is_nan());
    assert_eq!(column.fp32s().unwrap()[0], 14.58);
}

#[test]
fn a_raw_body_is_the_only_input() {
    let limits = DecodeLimits::default();
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int16).with_shape([3])]).unwrap());
    let body: Vec<u8> = (1..=6_i16).flat_map(i16::to_le_bytes).collect();
    let request = oip_binary::decode_raw(&schema, &body, &limits).unwrap();
    assert_eq!(request.batch.rows(), 2);
    let choices = request.choose_outputs(&schema).unwrap();
    assert!(choices.iter().all(|choice| choice.binary));
    let answer = oip::encode_response(&head(), &request.batch, &choices, NanPolicy::Null);
    assert_eq!(&answer.body[answer.json_bytes.unwrap()..], body);
    for short in [1, 5, 7, 11] {
        let error = oip_binary::decode_raw(&schema, &body[..short], &limits).unwrap_err();
        assert_eq!(
            (error.code, error.column.as_deref()),
            (code::BAD_TENSOR, Some("x"))
        );
    }
    assert_eq!(
        oip_binary::decode_raw(&schema, b"", &limits)
            .unwrap()
            .batch
            .rows(),
        0
    );
    let few = DecodeLimits {
        rows_max: 1,
        ..limits
    };
    let error = oip_binary::decode_raw(&schema, &body, &few).unwrap_err();
    assert_eq!(error.code, code::TOO_MANY_ROWS);
}

#[test]
fn an_element_that_does_not_fit_is_named() {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Uint8).with_shape([2])]).unwrap());
    let error = decode(&schema, &input("UINT8", "[2,2]", "[1,2,3,300]")).unwrap_err();
    assert_eq!((error.code, error.row), (code::OUT_OF_RANGE, Some(1)));
    assert!(
        error.to_string().contains("element 3 of the tensor: 300"),
        "{error}"
    );
}
