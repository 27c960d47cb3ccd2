//! CSV.

use std::sync::Arc;

use caisson_data::{Batch, DataType, DecodeError, DecodeLimits, Field, Schema, code, csv};
use proptest::prelude::*;

use crate::support::{batch, one, one_nullable, one_shaped, with_one_nan};

fn decode(schema: &Arc<Schema>, body: &str) -> Result<Batch, DecodeError> {
    csv::decode(schema, body.as_bytes(), &DecodeLimits::default())
}

/// `name: text?`, `age: uint8`, `score: fp32?`.
fn people() -> Arc<Schema> {
    let fields = vec![
        Field::new("name", DataType::Text).nullable(),
        Field::new("age", DataType::Uint8),
        Field::new("score", DataType::Fp32).nullable(),
    ];
    Arc::new(Schema::new(fields).unwrap())
}

proptest! {
    #[test]
    fn what_goes_out_comes_in(batch in batch()) {
        let body = csv::encode(&batch);
        let back = csv::decode(batch.schema(), &body, &DecodeLimits::default()).unwrap();
        prop_assert!(back.is_same(&with_one_nan(&batch)), "{}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn changed_bodies_do_no_harm(batch in batch(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = csv::encode(&batch);
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(back) = csv::decode(batch.schema(), &body, &DecodeLimits::default()) {
            prop_assert_eq!(back.schema(), batch.schema());
        }
        body.truncate(at);
        if let Ok(back) = csv::decode(batch.schema(), &body, &DecodeLimits::default()) {
            prop_assert!(back.rows() <= batch.rows());
        }
    }
}

#[test]
fn missing_empty_and_nan_are_three_things() {
    let body = "\u{feff}age,score,name\r\n1,,\r\n2,NaN,\"\"\n\n 3 , -inf ,\" a \"\"b\"\", c\nd \"";
    let batch = decode(&people(), body).unwrap();
    let names = batch.column(0).unwrap();
    let present = |index: usize| {
        let validity = batch.column(index).unwrap().validity();
        [0, 1, 2].map(|row| validity.is_present(row))
    };
    assert_eq!(present(0), [false, true, true]);
    assert_eq!(present(2), [false, true, true]);
    assert_eq!(
        (names.text(1), names.text(2)),
        (Some(""), Some(" a \"b\", c\nd "))
    );
    assert_eq!(batch.column(1).unwrap().uint8s().unwrap(), [1, 2, 3]);
    let scores = batch.column(2).unwrap().fp32s().unwrap();
    assert!(scores[1].is_nan() && scores[2] == f32::NEG_INFINITY);
    assert_eq!(
        String::from_utf8(csv::encode(&batch)).unwrap(),
        "name,age,score\n,1,\n\"\",2,NaN\n\" a \"\"b\"\", c\nd \",3,-Infinity\n"
    );
}

#[test]
fn nullable_columns_may_be_left_out() {
    let batch = decode(&people(), "age\n1\n2\n").unwrap();
    assert_eq!(batch.column(0).unwrap().validity().count_missing(2), 2);
    let error = decode(&people(), "name,score\n").unwrap_err();
    assert_eq!(
        (error.code, error.column.as_deref()),
        (code::MISSING_COLUMN, Some("age"))
    );
}

#[test]
fn one_column_alone_has_empty_cells_as_empty_lines() {
    let batch = decode(&one_nullable(DataType::Int8), "x\n1\n\n3\n\n").unwrap();
    let validity = batch.column(0).unwrap().validity();
    assert_eq!(
        [0, 1, 2, 3].map(|row| validity.is_present(row)),
        [true, false, true, false]
    );
    assert_eq!(batch.rows(), 4);
}

#[test]
fn errors_name_row_column_and_line() {
    for (body, code, row, column, line) in [
        (
            "age,name\n1,a\n256,b\n",
            code::OUT_OF_RANGE,
            Some(1),
            Some("age"),
            "line 3",
        ),
        (
            "age,name\n1,\"a\n\n\"\n1.5,b\n",
            code::WRONG_TYPE,
            Some(1),
            Some("age"),
            "line 5",
        ),
        (
            "age,name\nx,b\n",
            code::WRONG_TYPE,
            Some(0),
            Some("age"),
            "line 2",
        ),
        (
            "age,name\n,b\n",
            code::MISSING_VALUE,
            Some(0),
            Some("age"),
            "line 2",
        ),
        (
            "age,name\n\"\",b\n",
            code::WRONG_TYPE,
            Some(0),
            Some("age"),
            "line 2",
        ),
        (
            "age,score\n1,1e39\n",
            code::OUT_OF_RANGE,
            Some(0),
            Some("score"),
            "line 2",
        ),
        (
            "age,score\n1,1x\n",
            code::WRONG_TYPE,
            Some(0),
            Some("score"),
            "line 2",
        ),
        (
            "age,score\n1,\"\"\n",
            code::WRONG_TYPE,
            Some(0),
            Some("score"),
            "line 2",
        ),
        ("age,score\n1,\n2\n", code::BAD_CSV, Some(1), None, "line 3"),
        ("age,score\n1,2,3\n", code::BAD_CSV, Some(0), None, "line 2"),
        ("age,score\n1,\"2\"3\n", code::BAD_CSV, Some(0), None, "line 2"),
        ("age,name\n1,a\"b\n", code::BAD_CSV, Some(0), None, "line 2"),
        ("age,name\n1,\"ab\n", code::BAD_CSV, Some(0), None, "line 2"),
        ("age,nam\n", code::UNKNOWN_COLUMN, None, Some("nam"), ""),
        ("age,\n", code::UNKNOWN_COLUMN, None, Some(""), ""),
        ("age,age\n", code::DUPLICATE_COLUMN, None, Some("age"), ""),
        ("", code::BAD_CSV, None, None, ""),
        ("\n\n", code::BAD_CSV, None, None, ""),
    ] {
        let error = decode(&people(), body).unwrap_err();
        assert_eq!(
            (error.code, error.row, error.column.as_deref()),
            (code, row, column),
            "{body:?} {error}"
        );
        assert!(error.message.contains(line), "{body:?} {error}");
    }
    let error = csv::decode(&people(), b"age\n\xff\n", &DecodeLimits::default()).unwrap_err();
    assert_eq!(error.code, code::INVALID_UTF8);
}

#[test]
fn numbers_are_those_of_the_type() {
    for (data_type, good, bad) in [
        (
            DataType::Boolean,
            &["true", "FALSE", " True "][..],
            &["1", "yes", "t"][..],
        ),
        (
            DataType::Int64,
            &["-9223372036854775808", "+1", "1.0", "1e3"],
            &["9223372036854775808", "1.5", "1_000", "NaN", "0x1", "-"],
        ),
        (
            DataType::Uint64,
            &["18446744073709551615"],
            &["18446744073709551616", "-1"],
        ),
        (
            DataType::Fp64,
            &["1.", ".5", "+1", "-INFINITY", "nan", "1e308"],
            &["1e309", "1,5", "one", "e5", ""],
        ),
    ] {
        for text in good {
            decode(&one(data_type), &format!("x\n\"{text}\"\n")).unwrap();
        }
        for text in bad {
            decode(&one(data_type), &format!("x\n\"{text}\"\n")).unwrap_err();
        }
    }
}

#[test]
fn values_with_a_shape_are_lists_in_a_cell() {
    let schema = one_shaped(DataType::Fp32, &[2]);
    let batch = decode(&schema, "x\n\"[1,\"\"NaN\"\"]\"\n\n\"[ NaN , 2 ]\"\n").unwrap();
    assert_eq!(batch.column(0).unwrap().validity().count_missing(3), 1);
    for (cell, code) in [
        ("\"[1]\"", code::WRONG_SHAPE),
        ("1", code::WRONG_SHAPE),
        ("\"[1,2]]\"", code::BAD_JSON),
        ("\"[1,2\"", code::BAD_JSON),
        ("\"[1,null]\"", code::WRONG_TYPE),
        (&format!("\"{}\"", "[".repeat(10_000)), code::WRONG_SHAPE),
    ] {
        let error = decode(&schema, &format!("x\n{cell}\n")).unwrap_err();
        assert_eq!((error.code, error.row), (code, Some(0)), "{cell}");
    }
}

#[test]
fn limits_hold() {
    let limits = DecodeLimits {
        rows_max: 2,
        ..DecodeLimits::default()
    };
    assert!(csv::decode(&one(DataType::Int8), b"x\n1\n2\n", &limits).is_ok());
    let error = csv::decode(&one(DataType::Int8), b"x\n1\n2\n3\n", &limits).unwrap_err();
    assert_eq!(error.code, code::TOO_MANY_ROWS);
    let limits = DecodeLimits {
        bytes_max: 3,
        ..DecodeLimits::default()
    };
    let error = csv::decode(&one(DataType::Int8), b"x\n1\n", &limits).unwrap_err();
    assert_eq!(error.code, code::TOO_LARGE);
}

#[test]
fn other_columns_are_passed_over_where_that_is_asked_for() {
    let body = b"other,age,,label,\n1,2,\"a,b\",4,\n";
    let batch = csv::decode_known(&people(), body, &DecodeLimits::default()).unwrap();
    assert_eq!(batch.column(1).unwrap().uint8s().unwrap(), [2]);
    let error = csv::decode(&people(), body, &DecodeLimits::default()).unwrap_err();
    assert_eq!(
        (error.code, error.column.as_deref()),
        (code::UNKNOWN_COLUMN, Some("other"))
    );
    let twice = csv::decode_known(&people(), b"age,age\n", &DecodeLimits::default()).unwrap_err();
    assert_eq!(twice.code, code::DUPLICATE_COLUMN);
    let wide = format!("age{}\n", ",".repeat(caisson_data::FIELDS_MAX));
    let error = csv::decode_known(&people(), wide.as_bytes(), &DecodeLimits::default()).unwrap_err();
    assert_eq!(error.code, code::BAD_CSV);
}
