//! Requests of the Open Inference Protocol that must be refused.

use std::sync::Arc;

use caisson_data::{DataType, DecodeError, DecodeLimits, Field, Schema, code, oip, oip_binary};

use crate::oip::{decode, input};
use crate::support::{one, one_shaped};

/// The error of a request with one input `x`, which must name the column.
fn refusal(schema: &Arc<Schema>, datatype: &str, shape: &str, data: &str) -> DecodeError {
    let error = decode(schema, &input(datatype, shape, data)).unwrap_err();
    if error.code != code::BAD_JSON {
        assert_eq!(error.column.as_deref(), Some("x"), "{error}");
    }
    error
}

#[test]
fn wrong_types_name_both_sides() {
    let error = refusal(&one(DataType::Fp32), "INT32", "[1]", "[1]");
    assert_eq!(error.code, code::WRONG_TYPE);
    assert!(
        error.message.contains("INT32") && error.message.contains("FP32"),
        "{error}"
    );
    let error = refusal(&one(DataType::Int64), "INT64", "[2]", "[1,1.5]");
    assert_eq!((error.code, error.row), (code::WRONG_TYPE, Some(1)));
    let error = refusal(&one(DataType::Uint8), "UINT8", "[2]", "[1,256]");
    assert_eq!((error.code, error.row), (code::OUT_OF_RANGE, Some(1)));
    let error = refusal(&one(DataType::Boolean), "BOOL", "[1]", "[1]");
    assert_eq!(error.code, code::WRONG_TYPE);
    let error = refusal(&one(DataType::Int8), "INT8", "[1]", "[NaN]");
    assert_eq!(error.code, code::WRONG_TYPE);
    let error = refusal(&one(DataType::Fp32), "FP32", "[1]", "[3.5e38]");
    assert_eq!(error.code, code::OUT_OF_RANGE);
    let error = refusal(&one(DataType::Text), "BYTES", "[1]", "[1]");
    assert_eq!(error.code, code::WRONG_TYPE);
}

#[test]
fn shapes_must_be_the_columns_and_the_datas() {
    let schema = one_shaped(DataType::Fp32, &[2, 2]);
    for shape in ["[1,2]", "[1,2,3]", "[1,4]", "[]", "[1,2,2,1]", "[2,2]"] {
        let error = refusal(&schema, "FP32", shape, "[1,2,3,4]");
        assert_eq!(error.code, code::WRONG_SHAPE, "{shape}");
        assert!(error.message.contains("[rows, 2, 2]"), "{error}");
    }
    for data in [
        "[]",
        "[1,2,3]",
        "[1,2,3,4,5]",
        "[[1,2],[3,4]]",
        "[[[1,2],[3,4]],[[1,2],[3,4]]]",
        "[[[1,2],[3]]]",
        "[[[1,2],[3,4,5]]]",
        "[1,[2],3,4]",
        "[[[1,2],3]]",
        "[null,null]",
        "1",
        "\"1\"",
        "{}",
    ] {
        assert_eq!(
            refusal(&schema, "FP32", "[1,2,2]", data).code,
            code::WRONG_SHAPE,
            "{data}"
        );
    }
    let scalar = one(DataType::Fp32);
    for (shape, data) in [
        ("[2]", "[1]"),
        ("[1]", "[1,2]"),
        ("[2,2]", "[1,2,3,4]"),
        ("[1]", "[[1]]"),
        ("[2,1]", "[[1],2]"),
    ] {
        assert_eq!(
            refusal(&scalar, "FP32", shape, data).code,
            code::WRONG_SHAPE,
            "{shape} {data}"
        );
    }
    for shape in [
        "[-1]",
        "[1.5]",
        "[\"1\"]",
        "1",
        "null",
        "[[1]]",
        "[1,1,1,1,1,1,1,1,1,1]",
        "[99999999999999999999]",
    ] {
        assert_eq!(
            refusal(&scalar, "FP32", shape, "[1]").code,
            code::BAD_REQUEST,
            "{shape}"
        );
    }
    let empty = one_shaped(DataType::Text, &[0]);
    assert_eq!(
        refusal(&empty, "BYTES", "[2,0]", "[\"a\"]").code,
        code::WRONG_SHAPE
    );
    assert_eq!(
        refusal(&empty, "BYTES", "[2,0]", "[[],[],[]]").code,
        code::WRONG_SHAPE
    );
}

#[test]
fn rows_must_agree() {
    let fields = ["x", "y"].map(|n| Field::new(n, DataType::Int8)).to_vec();
    let schema = Arc::new(Schema::new(fields).unwrap());
    let body = r#"{"inputs":[{"name":"x","datatype":"INT8","shape":[2],"data":[1,2]},{"name":"y","datatype":"INT8","shape":[3],"data":[1,2,3]}]}"#;
    let error = decode(&schema, body).unwrap_err();
    assert_eq!(
        (error.code, error.column.as_deref()),
        (code::WRONG_SHAPE, Some("y"))
    );
}

/// Declared sizes cost nothing until the body shows that they can be true.
#[test]
fn huge_shapes_are_refused_before_memory_is_taken() {
    let unlimited = DecodeLimits {
        rows_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        ..DecodeLimits::default()
    };
    let schema = one_shaped(DataType::Fp64, &[1 << 24]);
    for shape in [
        "[4294967295,16777216]",
        "[18446744073709551615,16777216]",
        "[1000000,16777216]",
    ] {
        let body = input("FP64", shape, "[1]");
        let error = oip::decode_request(&schema, body.as_bytes(), &unlimited).unwrap_err();
        assert_eq!(error.code, code::WRONG_SHAPE, "{shape} {error}");
        let json = format!(
            r#"{{"inputs":[{{"name":"x","datatype":"FP64","shape":{shape},"parameters":{{"binary_data_size":8}}}}]}}"#
        );
        let body = format!("{json}12345678");
        let error = oip_binary::decode_request(&schema, body.as_bytes(), json.len(), &unlimited).unwrap_err();
        assert_eq!(error.code, code::WRONG_SHAPE, "{shape} {error}");
    }
    let error = decode(&one(DataType::Fp64), &input("FP64", "[65537]", "[1]")).unwrap_err();
    assert_eq!(error.code, code::TOO_MANY_ROWS);
    let error = decode(&schema, &input("FP64", "[3,16777216]", "[1]")).unwrap_err();
    assert_eq!(error.code, code::TOO_LARGE);
}

#[test]
fn requests_of_another_form_are_refused() {
    let schema = one(DataType::Fp32);
    let good = r#""datatype":"FP32","shape":[1],"data":[1]"#;
    for (body, code) in [
        ("", code::BAD_JSON),
        ("[]", code::BAD_REQUEST),
        ("{}", code::BAD_REQUEST),
        (r#"{"inputs":{}}"#, code::BAD_REQUEST),
        (r#"{"inputs":null}"#, code::BAD_REQUEST),
        (r#"{"inputs":[1]}"#, code::BAD_REQUEST),
        (r#"{"inputs":[]}"#, code::MISSING_COLUMN),
        (&format!(r#"{{"inputs":[{{{good}}}]}}"#), code::BAD_REQUEST),
        (
            &format!(r#"{{"inputs":[{{"name":1,{good}}}]}}"#),
            code::BAD_REQUEST,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"y",{good}}}]}}"#),
            code::UNKNOWN_COLUMN,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good},"name":"x"}}]}}"#),
            code::BAD_REQUEST,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good},"data":[1]}}]}}"#),
            code::BAD_REQUEST,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good}}},{{"name":"x",{good}}}]}}"#),
            code::DUPLICATE_COLUMN,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good}}}],"inputs":[]}}"#),
            code::BAD_REQUEST,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good}}}],"id":7}}"#),
            code::BAD_REQUEST,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good}}}],"outputs":[{{}}]}}"#),
            code::BAD_REQUEST,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good}}}],"outputs":{{}}}}"#),
            code::BAD_REQUEST,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good}}}],"parameters":[]}}"#),
            code::BAD_REQUEST,
        ),
        (
            &format!(r#"{{"inputs":[{{"name":"x",{good}}}]}}x"#),
            code::BAD_JSON,
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1]}]}"#,
            code::BAD_REQUEST,
        ),
        (
            r#"{"inputs":[{"name":"x","shape":[1],"data":[1]}]}"#,
            code::BAD_REQUEST,
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"FP32","data":[1]}]}"#,
            code::BAD_REQUEST,
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}"#,
            code::BAD_TENSOR,
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":-4}}]}"#,
            code::BAD_TENSOR,
        ),
    ] {
        assert_eq!(decode(&schema, body).unwrap_err().code, code, "{body}");
    }
    let id = "i".repeat(1025);
    let body = format!(r#"{{"id":"{id}","inputs":[{{"name":"x",{good}}}]}}"#);
    assert_eq!(decode(&schema, &body).unwrap_err().code, code::BAD_REQUEST);
    let body = b"{\"inputs\":[{\"name\":\"\xff\"}]}";
    assert_eq!(
        oip::decode_request(&schema, body, &DecodeLimits::default())
            .unwrap_err()
            .code,
        code::INVALID_UTF8
    );
}

#[test]
fn deep_nesting_is_refused_without_deep_recursion() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(
        refusal(&one(DataType::Fp32), "FP32", "[1]", &deep).code,
        code::WRONG_SHAPE
    );
    let good = r#"{"name":"x","datatype":"FP32","shape":[1],"data":[1]}"#;
    for body in [
        format!(r#"{{"parameters":{{"a":{deep}}},"inputs":[{good}]}}"#),
        format!(r#"{{"other":{deep},"inputs":[{good}]}}"#),
        format!(r#"{{"inputs":[{{"data":{deep},"name":"x","datatype":"FP32","shape":[1]}}]}}"#),
        format!(r#"{{"inputs":[{{"other":{}"#, r#"{"a":"#.repeat(10_000)),
    ] {
        assert_eq!(
            decode(&one(DataType::Fp32), &body).unwrap_err().code,
            code::TOO_DEEP
        );
    }
}

fn binary(
    schema: &Arc<Schema>,
    shape: &str,
    datatype: &str,
    size: usize,
    tensor: &[u8],
) -> Result<(), DecodeError> {
    let json = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"parameters":{{"binary_data_size":{size}}}}}]}}"#
    );
    let body = [json.as_bytes(), tensor].concat();
    oip_binary::decode_request(schema, &body, json.len(), &DecodeLimits::default()).map(drop)
}

#[test]
fn tensors_must_have_the_size_of_their_shape() {
    let schema = one(DataType::Fp32);
    binary(&schema, "[2]", "FP32", 8, &[0; 8]).unwrap();
    for (size, bytes) in [
        (8, 7),
        (8, 9),
        (8, 0),
        (7, 7),
        (9, 9),
        (12, 12),
        (4, 4),
        (0, 0),
        (4, 8),
        (usize::MAX, 8),
    ] {
        let error = binary(&schema, "[2]", "FP32", size, &vec![0; bytes]).unwrap_err();
        assert!(
            matches!(error.code, code::BAD_TENSOR | code::WRONG_SHAPE),
            "{size} {bytes} {error}"
        );
    }
    binary(&one(DataType::Boolean), "[2]", "BOOL", 2, &[0, 1]).unwrap();
    let error = binary(&one(DataType::Boolean), "[2]", "BOOL", 2, &[0, 2]).unwrap_err();
    assert_eq!((error.code, error.row), (code::WRONG_TYPE, Some(1)));
}

#[test]
fn strings_must_fill_their_tensor() {
    let schema = one(DataType::Text);
    let two = b"\x01\0\0\0a\x02\0\0\0\xc3\xa9";
    binary(&schema, "[2]", "BYTES", two.len(), two).unwrap();
    for cut in 0..two.len() {
        let error = binary(&schema, "[2]", "BYTES", cut, &two[..cut]).unwrap_err();
        assert!(
            matches!(error.code, code::BAD_TENSOR | code::WRONG_SHAPE),
            "{cut} {error}"
        );
    }
    assert_eq!(
        binary(&schema, "[1]", "BYTES", two.len(), two).unwrap_err().code,
        code::BAD_TENSOR
    );
    let huge = b"\xff\xff\xff\xffa";
    assert_eq!(
        binary(&schema, "[1]", "BYTES", huge.len(), huge)
            .unwrap_err()
            .code,
        code::BAD_TENSOR
    );
    let not_text = b"\x01\0\0\0\xff";
    let error = binary(&schema, "[1]", "BYTES", not_text.len(), not_text).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.column.as_deref()),
        (code::INVALID_UTF8, Some(0), Some("x"))
    );
    binary(&one(DataType::Bytes), "[1]", "BYTES", not_text.len(), not_text).unwrap();
}

#[test]
fn the_json_part_must_lie_in_the_body() {
    let schema = one(DataType::Fp32);
    let error = oip_binary::decode_request(&schema, b"{}", 3, &DecodeLimits::default()).unwrap_err();
    assert_eq!(error.code, code::BAD_TENSOR);
    let error = oip_binary::decode_request(&schema, b"{}", usize::MAX, &DecodeLimits::default()).unwrap_err();
    assert_eq!(error.code, code::BAD_TENSOR);
}
