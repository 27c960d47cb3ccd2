//! Tensors that came without JSON: what is given as raw bytes, as typed lists and in JSON is the same
//! batch, and what is refused is refused with the same words.

use std::sync::Arc;

use caisson_data::oip::{self, Contents, Tensor, TensorData};
use caisson_data::{Batch, DataType, DecodeError, DecodeLimits, Field, Schema, code, oip_binary};
use proptest::prelude::*;

use crate::oip::{decode, input};
use crate::support::{batch, one, one_nullable, one_shaped};

fn tensors(schema: &Arc<Schema>, tensors: Vec<Tensor<'_>>) -> Result<Batch, DecodeError> {
    oip::decode_tensors(schema, tensors, &DecodeLimits::default())
}

fn raw<'a>(name: &'a str, datatype: &'a str, shape: &'a [i64], bytes: &'a [u8]) -> Tensor<'a> {
    Tensor {
        name,
        datatype,
        shape,
        data: TensorData::Raw(bytes),
    }
}

fn listed<'a>(datatype: &'a str, shape: &'a [i64], contents: Contents<'a>) -> Tensor<'a> {
    Tensor {
        name: "x",
        datatype,
        shape,
        data: TensorData::Contents(contents),
    }
}

proptest! {
    #[test]
    fn raw_tensors_come_back(batch in batch()) {
        let columns: Vec<_> = (0..batch.schema().len())
            .map(|index| {
                let column = batch.column(index).unwrap();
                let mut bytes = Vec::new();
                oip_binary::write_tensor(&column, &mut bytes);
                let shape: Vec<i64> = std::iter::once(batch.rows() as i64)
                    .chain(column.field().shape.iter().map(|&d| i64::from(d)))
                    .collect();
                let missing = column.validity().first_missing(batch.rows()).is_some();
                (column.field().clone(), shape, bytes, missing)
            })
            .collect();
        // Raw bytes can't say missing: such columns are left out.
        let given: Vec<_> = columns
            .iter()
            .filter(|(.., missing)| !missing)
            .map(|(field, shape, bytes, _)| raw(&field.name, field.data_type.oip_name(), shape, bytes))
            .collect();
        prop_assume!(!given.is_empty());
        let read = tensors(batch.schema(), given).unwrap();
        for (index, (_, _, bytes, missing)) in columns.iter().enumerate() {
            let column = read.column(index).unwrap();
            if *missing {
                prop_assert_eq!(column.validity().count_missing(batch.rows()), batch.rows());
                continue;
            }
            let mut again = Vec::new();
            oip_binary::write_tensor(&column, &mut again);
            prop_assert_eq!(&again, bytes);
        }
    }
}

#[test]
fn lists_raw_bytes_and_json_are_one_batch() {
    let floats: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let shorts: Vec<u8> = [-3_i16, 4].iter().flat_map(|v| v.to_le_bytes()).collect();
    let texts: Vec<u8> = [&[1, 0, 0, 0, b'a'][..], &[0, 0, 0, 0]].concat();
    for (data_type, json, bytes, contents) in [
        (
            DataType::Fp32,
            "[1.5,-2]",
            floats,
            Contents {
                fp32s: &[1.5, -2.0],
                ..Contents::default()
            },
        ),
        (
            DataType::Int16,
            "[-3,4]",
            shorts,
            Contents {
                ints: &[-3, 4],
                ..Contents::default()
            },
        ),
        (
            DataType::Boolean,
            "[true,false]",
            vec![1, 0],
            Contents {
                bools: &[true, false],
                ..Contents::default()
            },
        ),
        (
            DataType::Text,
            r#"["a",""]"#,
            texts,
            Contents {
                bytes: vec![b"a", b""],
                ..Contents::default()
            },
        ),
    ] {
        let schema = one(data_type);
        let name = data_type.oip_name();
        let expected = decode(&schema, &input(name, "[2]", json)).unwrap().batch;
        for shape in [&[2][..], &[2, 1]] {
            let read = tensors(&schema, vec![raw("x", name, shape, &bytes)]).unwrap();
            assert_eq!(read, expected, "{name}");
            let read = tensors(&schema, vec![listed(name, shape, contents.clone())]).unwrap();
            assert_eq!(read, expected, "{name}");
        }
    }
}

#[test]
fn what_json_refuses_is_refused_in_the_same_words() {
    let schema = one_shaped(DataType::Fp32, &[2]);
    for (shape, json, data) in [
        (&[1, 3][..], "[1,3]", "[1,2,3]"),
        (&[65_537, 2], "[65537,2]", "[]"),
        (&[], "[]", "[]"),
        (&[-1, 2], "[-1,2]", "[]"),
    ] {
        let over_json = decode(&schema, &input("FP32", json, data)).unwrap_err();
        for tensor in [
            raw("x", "FP32", shape, &[0; 12]),
            listed("FP32", shape, Contents::default()),
        ] {
            let error = tensors(&schema, vec![tensor]).unwrap_err();
            assert_eq!((error.code, &error.message), (over_json.code, &over_json.message));
        }
    }
    let over_json = decode(&schema, &input("FP64", "[1,2]", "[1,2]")).unwrap_err();
    let error = tensors(&schema, vec![raw("x", "FP64", &[1, 2], &[0; 16])]).unwrap_err();
    assert_eq!(error, over_json);
    let over_json = decode(&one(DataType::Int8), &input("INT8", "[2]", "[0,200]")).unwrap_err();
    let contents = Contents {
        ints: &[0, 200],
        ..Contents::default()
    };
    let error = tensors(&one(DataType::Int8), vec![listed("INT8", &[2], contents)]).unwrap_err();
    assert_eq!((error.code, &error.message), (over_json.code, &over_json.message));
    assert_eq!((error.row, error.column.as_deref()), (Some(1), Some("x")));
}

#[test]
fn elements_belong_in_the_list_for_their_type() {
    let ints = Contents {
        ints: &[1, 2],
        ..Contents::default()
    };
    let error = tensors(&one(DataType::Fp32), vec![listed("FP32", &[2], ints.clone())]).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            code::WRONG_TYPE,
            "FP32 belongs in `fp32_contents`, and `int_contents` has 2 elements"
        )
    );
    let error = tensors(&one(DataType::Fp16), vec![listed("FP16", &[2], ints.clone())]).unwrap_err();
    assert!(error.message.contains("raw_input_contents"), "{error}");
    let error = tensors(&one(DataType::Int32), vec![listed("INT32", &[3], ints)]).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            code::WRONG_SHAPE,
            "the shape [3] needs 3 elements and `int_contents` has 2"
        )
    );
    let wrong = Contents {
        bytes: vec![b"a", b"\xff"],
        ..Contents::default()
    };
    let error = tensors(&one(DataType::Text), vec![listed("BYTES", &[2], wrong)]).unwrap_err();
    assert_eq!((error.code, error.row), (code::INVALID_UTF8, Some(1)));
}

#[test]
fn inputs_come_once_and_those_left_out_are_missing() {
    let fields = vec![
        Field::new("a", DataType::Fp32),
        Field::new("b", DataType::Int64).nullable(),
    ];
    let schema = Arc::new(Schema::new(fields).unwrap());
    let read = tensors(&schema, vec![raw("a", "FP32", &[1], &[0; 4])]).unwrap();
    assert_eq!(read.column(1).unwrap().validity().count_missing(1), 1);
    for (given, code) in [
        (vec![raw("b", "INT64", &[1], &[0; 8])], code::MISSING_COLUMN),
        (
            vec![raw("a", "FP32", &[1], &[0; 4]), raw("a", "FP32", &[1], &[0; 4])],
            code::DUPLICATE_COLUMN,
        ),
        (vec![raw("c", "FP32", &[1], &[0; 4])], code::UNKNOWN_COLUMN),
        (
            vec![raw("a", "FP32", &[1], &[0; 4]), raw("b", "INT64", &[2], &[0; 16])],
            code::WRONG_SHAPE,
        ),
        (Vec::new(), code::MISSING_COLUMN),
    ] {
        assert_eq!(tensors(&schema, given).unwrap_err().code, code);
    }
    let error = tensors(&one_nullable(DataType::Fp32), Vec::new()).unwrap_err();
    assert_eq!(error.code, code::MISSING_COLUMN);
    assert!(oip::check_id(&"i".repeat(1024)).is_ok());
    assert!(oip::check_id(&"i".repeat(1025)).is_err());
}
