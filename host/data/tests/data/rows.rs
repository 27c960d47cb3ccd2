//! Rows JSON.

use std::sync::Arc;

use caisson_data::{Batch, DataType, DecodeError, DecodeLimits, Field, Schema, code, rows};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{batch, one, one_nullable, one_shaped, with_one_nan};

fn decode(schema: &Arc<Schema>, body: &str) -> Result<Batch, DecodeError> {
    rows::decode(schema, body.as_bytes(), &DecodeLimits::default()).map(|r| r.batch)
}

/// Decode one value of a scalar column.
fn value(data_type: DataType, json: &str) -> Result<Batch, DecodeError> {
    decode(&one(data_type), &format!(r#"{{"rows":[{{"x":{json}}}]}}"#))
}

fn refusal(data_type: DataType, json: &str) -> &'static str {
    let error = value(data_type, json).unwrap_err();
    assert_eq!(
        (error.row, error.column.as_deref()),
        (Some(0), Some("x")),
        "{error}"
    );
    error.code
}

proptest! {
    #[test]
    fn what_goes_out_comes_in(batch in batch()) {
        let body = rows::encode(&batch);
        // It is JSON, to every parser.
        serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        let back = rows::decode(batch.schema(), &body, &DecodeLimits::default()).unwrap();
        prop_assert!(back.batch.is_same(&with_one_nan(&batch)));
    }

    /// What isn't JSON is refused, and what is refused as not JSON isn't: as serde_json says.
    #[test]
    fn broken_bodies_never_pass(batch in batch(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = rows::encode(&batch);
        let at = at.index(body.len());
        body[at] = byte;
        let is_json = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        match rows::decode(batch.schema(), &body, &DecodeLimits::default()) {
            Ok(_) => prop_assert!(is_json, "{}", String::from_utf8_lossy(&body)),
            Err(e) if matches!(e.code, code::BAD_JSON | code::INVALID_UTF8) => prop_assert!(!is_json, "{e}"),
            Err(_) => {}
        }
    }

    #[test]
    fn cut_bodies_never_pass(batch in batch(), at in any::<prop::sample::Index>()) {
        let body = rows::encode(&batch);
        let cut = &body[..at.index(body.len())];
        prop_assert!(rows::decode(batch.schema(), cut, &DecodeLimits::default()).is_err());
    }

    /// Every decimal text becomes the nearest fp32, rounded once.
    #[test]
    fn floats_round_once(bits in any::<u32>(), digits in 1usize..20) {
        let wide = f64::from(f32::from_bits(bits & 0x7f7f_ffff)) * 1.000_000_029_802_322_4;
        let text = format!("{wide:.digits$e}");
        if text.parse::<f32>().unwrap().is_finite() {
            let batch = value(DataType::Fp32, &text).unwrap();
            let found = batch.column(0).unwrap().fp32s().unwrap()[0];
            prop_assert_eq!(found.to_bits(), text.parse::<f32>().unwrap().to_bits());
        }
    }
}

#[test]
fn a_float_that_two_roundings_get_wrong() {
    let batch = value(DataType::Fp32, "7.038531e-26").unwrap();
    let found = batch.column(0).unwrap().fp32s().unwrap()[0];
    assert_eq!(found.to_bits(), 7.038531e-26f32.to_bits());
    assert_ne!(found.to_bits(), (7.038531e-26f64 as f32).to_bits());
}

#[test]
fn integers_never_wrap_nor_round() {
    use DataType::*;
    for (data_type, low, high) in [
        (Uint8, "0", "255"),
        (Uint16, "0", "65535"),
        (Uint32, "0", "4294967295"),
        (Uint64, "0", "18446744073709551615"),
        (Int8, "-128", "127"),
        (Int16, "-32768", "32767"),
        (Int32, "-2147483648", "2147483647"),
        (Int64, "-9223372036854775808", "9223372036854775807"),
    ] {
        for text in [low, high] {
            let batch = value(data_type, text).unwrap();
            let out = String::from_utf8(rows::encode(&batch)).unwrap();
            assert_eq!(out, format!(r#"{{"rows":[{{"x":{text}}}]}}"#));
            // The same number, written otherwise.
            for same in [
                format!("{text}.0"),
                format!("{text}.000e0"),
                format!("{text}.0000E+0"),
            ] {
                assert!(
                    value(data_type, &same).unwrap().is_same(&batch),
                    "{data_type} {same}"
                );
            }
        }
        let beyond = (high.parse::<i128>().unwrap() + 1).to_string();
        let below = (low.parse::<i128>().unwrap() - 1).to_string();
        for text in [
            &beyond,
            &below,
            "1e400",
            "-1e400",
            "1e99999999999999999999",
            "123456789012345678901234567890123456789012",
        ] {
            assert_eq!(refusal(data_type, text), code::OUT_OF_RANGE, "{data_type} {text}");
        }
        for text in [
            "1.5",
            "1e-1",
            "0.1e-99999999999999999999",
            "9007199254740992.5",
            "255.00000000000000000001",
        ] {
            assert_eq!(refusal(data_type, text), code::WRONG_TYPE, "{data_type} {text}");
        }
        let tenfold = value(data_type, &format!("{high}0e-1")).unwrap();
        assert!(tenfold.is_same(&value(data_type, high).unwrap()));
        for zero in ["0", "-0", "0.0", "-0.0e10", "0e99999999999999999999"] {
            assert!(
                value(data_type, zero)
                    .unwrap()
                    .is_same(&value(data_type, "0").unwrap())
            );
        }
        for text in ["\"1\"", "true", "[]", "[1]", "{}", "\"NaN\""] {
            let code = refusal(data_type, text);
            assert!(
                matches!(code, code::WRONG_TYPE | code::WRONG_SHAPE),
                "{data_type} {text}"
            );
        }
    }
}

#[test]
fn floats_keep_their_special_values_and_never_overflow() {
    use DataType::*;
    for (data_type, too_large, largest) in [
        (Fp16, "65520", "65504"),
        (Bf16, "3.4e38", "3.3895314e38"),
        (Fp32, "3.5e38", "3.4028235e38"),
        (Fp64, "1.8e308", "1.7976931348623157e308"),
    ] {
        assert_eq!(refusal(data_type, too_large), code::OUT_OF_RANGE);
        assert_eq!(refusal(data_type, &format!("-{too_large}")), code::OUT_OF_RANGE);
        value(data_type, largest).unwrap();
        for text in ["\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "-0.0"] {
            let out = rows::encode(&value(data_type, text).unwrap());
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!(r#"{{"rows":[{{"x":{text}}}]}}"#)
            );
        }
        for text in ["\"nan\"", "\"inf\"", "\"1.0\"", "true", "{}"] {
            assert_eq!(refusal(data_type, text), code::WRONG_TYPE);
        }
        for text in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(value(data_type, text).unwrap_err().code, code::BAD_JSON);
        }
        // Too small to be more than zero: rounded, as every number is.
        value(data_type, "1e-400").unwrap();
    }
}

#[test]
fn missing_is_null_or_absent_and_never_nan() {
    let schema = one_nullable(DataType::Fp32);
    let batch = decode(&schema, r#"{"rows":[{"x":null},{},{"x":"NaN"},{"x":0}]}"#).unwrap();
    let column = batch.column(0).unwrap();
    let present: Vec<_> = (0..4).map(|row| column.validity().is_present(row)).collect();
    assert_eq!(present, [false, false, true, true]);
    assert!(column.fp32s().unwrap()[2].is_nan());
    let out = String::from_utf8(rows::encode(&batch)).unwrap();
    assert_eq!(out, r#"{"rows":[{"x":null},{"x":null},{"x":"NaN"},{"x":0.0}]}"#);
}

#[test]
fn columns_that_are_not_nullable_must_be_there() {
    let schema = one(DataType::Int32);
    let error = decode(&schema, r#"{"rows":[{"x":1},{}]}"#).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.column.as_deref()),
        (code::MISSING_COLUMN, Some(1), Some("x"))
    );
    let error = decode(&schema, r#"{"rows":[{"x":1},{"x":2},{"x":null}]}"#).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.column.as_deref()),
        (code::MISSING_VALUE, Some(2), Some("x"))
    );
    assert_eq!(
        error.to_string(),
        "row 2, column `x`: the value is missing and the column is not nullable"
    );
}

#[test]
fn columns_that_are_unknown_or_come_twice_are_named() {
    let schema = one(DataType::Int32);
    let error = decode(&schema, r#"{"rows":[{"x":1,"y\n":{"a":[1]}}]}"#).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.column.as_deref()),
        (code::UNKNOWN_COLUMN, Some(0), Some("y\n"))
    );
    let error = decode(&schema, r#"{"rows":[{"x":1,"x":1}]}"#).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.column.as_deref()),
        (code::DUPLICATE_COLUMN, Some(0), Some("x"))
    );
    let error = decode(&one_nullable(DataType::Text), r#"{"rows":[{"x":null,"x":"a"}]}"#).unwrap_err();
    assert_eq!(error.code, code::DUPLICATE_COLUMN);
}

#[test]
fn names_that_json_escapes_are_matched_as_text() {
    let names = ["a\"b", "a\\n", "a\n", "\u{e9}", "plain"];
    let fields = names.iter().map(|&n| Field::new(n, DataType::Uint8)).collect();
    let schema = Arc::new(Schema::new(fields).unwrap());
    let body = r#"{"rows":[{"a\"b":1,"a\\n":2,"a\n":3,"\u00e9":4,"pl\u0061in":5}, {"plain" : 5, "é":4, "a\u000a":3, "a\"b":1, "a\\n":2 }]}"#;
    let batch = decode(&schema, body).unwrap();
    for index in 0..5 {
        let expected = index as u8 + 1;
        assert_eq!(
            batch.column(index).unwrap().uint8s().unwrap(),
            [expected, expected]
        );
    }
}

#[test]
fn values_with_a_shape_are_lists_of_that_shape() {
    let schema = one_shaped(DataType::Int16, &[2, 3]);
    let batch = decode(
        &schema,
        r#"{"rows":[{"x":[[1,2,3],[4,5,6]]},{"x":null},{"x":[[7,8,9],[10,11,12]]}]}"#,
    )
    .unwrap();
    assert_eq!(
        batch.column(0).unwrap().int16s().unwrap(),
        [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 7, 8, 9, 10, 11, 12]
    );
    for wrong in [
        "[1,2,3,4,5,6]",
        "[[1,2,3]]",
        "[[1,2,3],[4,5]]",
        "[[1,2,3],[4,5,6],[7,8,9]]",
        "[[1,2,3],[4,5,6,7]]",
        "7",
        "[[[1],2,3],[4,5,6]]",
        "[]",
        "{}",
    ] {
        let error = decode(&schema, &format!(r#"{{"rows":[{{"x":{wrong}}}]}}"#)).unwrap_err();
        assert_eq!(
            (error.code, error.row, error.column.as_deref()),
            (code::WRONG_SHAPE, Some(0), Some("x")),
            "{wrong}"
        );
    }
    let error = decode(&schema, r#"{"rows":[{"x":[[1,2,null],[4,5,6]]}]}"#).unwrap_err();
    assert_eq!(error.code, code::WRONG_TYPE);
}

#[test]
fn bytes_are_base64() {
    let batch = value(DataType::Bytes, "\"/wAB\"").unwrap();
    assert_eq!(batch.column(0).unwrap().bytes(0), Some(&[255, 0, 1][..]));
    for wrong in ["\"/wA\"", "\"!!!!\"", "\"/wAB\\n\"", "[255,0,1]"] {
        let error = value(DataType::Bytes, wrong).unwrap_err();
        assert!(
            matches!(error.code, code::WRONG_TYPE | code::WRONG_SHAPE),
            "{wrong}"
        );
    }
}

#[test]
fn parameters_are_handed_on() {
    let schema = one(DataType::Boolean);
    let body = br#" { "parameters" : {"trace": [1, {"a": null}]} , "rows" : [ { "x" : true } ] } "#;
    let request = rows::decode(&schema, body, &DecodeLimits::default()).unwrap();
    assert_eq!(request.batch.column(0).unwrap().booleans().unwrap(), [1]);
    assert_eq!(
        serde_json::Value::from(request.parameters.unwrap()),
        json!({"trace": [1, {"a": null}]})
    );
}

#[test]
fn bodies_of_another_form_are_refused() {
    let schema = one_nullable(DataType::Fp32);
    for (body, code) in [
        ("", code::BAD_JSON),
        ("nonsense", code::BAD_REQUEST),
        ("[]", code::BAD_REQUEST),
        ("{}", code::BAD_REQUEST),
        (r#"{"rows":{}}"#, code::BAD_REQUEST),
        (r#"{"rows":[1]}"#, code::WRONG_TYPE),
        (r#"{"rows":[null]}"#, code::WRONG_TYPE),
        (r#"{"rows":[],"rows":[]}"#, code::BAD_REQUEST),
        (r#"{"rows":[],"row":[]}"#, code::BAD_REQUEST),
        (r#"{"rows":[],"parameters":[]}"#, code::BAD_REQUEST),
        (r#"{"rows":[]}{}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":1,}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":1}{"x":1}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":01}]}"#, code::BAD_JSON),
        (r#"{"rows":[{5x":1}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x:1}]}"#, code::BAD_JSON),
        (r#"{"rows":[{x:1}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x"1}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":1.}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":.5}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":+1}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":-}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":1e}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":0x10}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":nul}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":nulll}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":True}]}"#, code::BAD_JSON),
        (r#"{"rows":[{'x':1}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":"\ud800"}]}"#, code::BAD_JSON),
        (r#"{"rows":[{"x":"\q"}]}"#, code::BAD_JSON),
        ("{\"rows\":[{\"x\":\"a\nb\"}]}", code::BAD_JSON),
        ("{\"rows\":[{\"x\":\"a\\", code::BAD_JSON),
    ] {
        assert_eq!(decode(&schema, body).unwrap_err().code, code, "{body}");
    }
    let error = rows::decode(
        &schema,
        b"{\"rows\":[{\"x\":\"\xff\"}]}",
        &DecodeLimits::default(),
    )
    .unwrap_err();
    assert_eq!(error.code, code::INVALID_UTF8);
}

#[test]
fn deep_nesting_is_refused_without_deep_recursion() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(refusal(DataType::Fp32, &deep), code::WRONG_SHAPE);
    let body = format!(r#"{{"parameters":{{"a":{deep}}},"rows":[]}}"#);
    assert_eq!(
        decode(&one(DataType::Fp32), &body).unwrap_err().code,
        code::TOO_DEEP
    );
    let body = format!(r#"{{"parameters":{{"a":{}}},"rows":[]}}"#, "[".repeat(10_000));
    assert_eq!(
        decode(&one(DataType::Fp32), &body).unwrap_err().code,
        code::TOO_DEEP
    );
}

#[test]
fn limits_hold_to_the_row() {
    let schema = one(DataType::Fp64);
    let body = |rows: usize| format!(r#"{{"rows":[{}]}}"#, vec![r#"{"x":1}"#; rows].join(","));
    let limits = DecodeLimits {
        rows_max: 20,
        ..DecodeLimits::default()
    };
    assert_eq!(
        rows::decode(&schema, body(20).as_bytes(), &limits)
            .unwrap()
            .batch
            .rows(),
        20
    );
    assert_eq!(
        rows::decode(&schema, body(21).as_bytes(), &limits)
            .unwrap_err()
            .code,
        code::TOO_MANY_ROWS
    );
    let limits = DecodeLimits {
        batch_bytes_max: 20 * 8,
        ..DecodeLimits::default()
    };
    assert_eq!(
        rows::decode(&schema, body(20).as_bytes(), &limits)
            .unwrap()
            .batch
            .rows(),
        20
    );
    assert_eq!(
        rows::decode(&schema, body(21).as_bytes(), &limits)
            .unwrap_err()
            .code,
        code::TOO_LARGE
    );
    let limits = DecodeLimits {
        bytes_max: body(3).len(),
        ..DecodeLimits::default()
    };
    assert!(rows::decode(&schema, body(3).as_bytes(), &limits).is_ok());
    assert_eq!(
        rows::decode(&schema, body(4).as_bytes(), &limits)
            .unwrap_err()
            .code,
        code::TOO_LARGE
    );
}

/// Three bytes a row must not become 128 MiB a row.
#[test]
fn small_bodies_make_no_large_batches() {
    let schema = one_shaped(DataType::Fp64, &[1 << 24]);
    let error = decode(&schema, r#"{"rows":[{},{},{}]}"#).unwrap_err();
    assert_eq!(error.code, code::TOO_LARGE);
}

#[test]
fn a_schema_without_columns_still_counts_rows() {
    let schema = Arc::new(Schema::new(vec![]).unwrap());
    let batch = decode(&schema, r#"{"rows":[{},{},{}]}"#).unwrap();
    assert_eq!(batch.rows(), 3);
    assert_eq!(rows::encode(&batch), br#"{"rows":[{},{},{}]}"#);
}
