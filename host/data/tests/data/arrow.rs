//! Arrow IPC streams.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, FixedSizeListArray, Float32Array, Int32Array, LargeStringArray,
    NullArray, RecordBatch, StringArray, StringViewArray, UInt16Array,
};
use arrow_buffer::NullBuffer;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};
use caisson_data::{Batch, DataType, DecodeError, DecodeLimits, Field, Schema, arrow, code};
use proptest::prelude::*;

use crate::support::{batch, one, one_nullable, one_shaped};

proptest! {
    /// Bit for bit, NaN included.
    #[test]
    fn what_goes_out_comes_in(batch in batch()) {
        let body = arrow::encode(&batch).unwrap();
        let back = arrow::decode(batch.schema(), &body, &DecodeLimits::default()).unwrap();
        prop_assert!(back.is_same(&batch));
    }

    #[test]
    fn cut_streams_never_pass(batch in batch(), at in any::<prop::sample::Index>()) {
        let body = arrow::encode(&batch).unwrap();
        let cut = &body[..at.index(body.len())];
        let error = arrow::decode(batch.schema(), cut, &DecodeLimits::default()).unwrap_err();
        prop_assert_eq!(error.code, code::BAD_ARROW);
    }

    #[test]
    fn changed_streams_do_no_harm(batch in batch(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = arrow::encode(&batch).unwrap();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(back) = arrow::decode(batch.schema(), &body, &DecodeLimits::default()) {
            prop_assert_eq!(back.schema(), batch.schema());
        }
    }
}

/// A stream of one record batch, as another program may write it.
fn stream(fields: Vec<(ArrowField, ArrayRef)>) -> Vec<u8> {
    let (fields, arrays): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let schema = Arc::new(ArrowSchema::new(fields));
    let record_batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&record_batch).unwrap();
    writer.into_inner().unwrap()
}

/// A stream of one nullable column `x`.
fn stream_of(array: impl Array + 'static) -> Vec<u8> {
    let field = ArrowField::new("x", array.data_type().clone(), true);
    stream(vec![(field, Arc::new(array))])
}

fn decode(schema: &Arc<Schema>, body: &[u8]) -> Result<Batch, DecodeError> {
    arrow::decode(schema, body, &DecodeLimits::default())
}

/// Written by pyarrow, see `write_pyarrow.py` beside it.
#[test]
fn a_stream_of_pyarrow_is_read() {
    let fields = vec![
        Field::new("n", DataType::Text).nullable(),
        Field::new("b", DataType::Boolean).nullable(),
        Field::new("i", DataType::Int64).nullable(),
        Field::new("h", DataType::Fp16),
        Field::new("f", DataType::Fp32).nullable(),
        Field::new("t", DataType::Text).nullable(),
        Field::new("y", DataType::Bytes).nullable(),
        Field::new("v", DataType::Fp64).with_shape([2]).nullable(),
        Field::new("absent", DataType::Fp64).with_shape([2]).nullable(),
    ];
    let schema = Arc::new(Schema::new(fields).unwrap());
    let batch = decode(&schema, include_bytes!("../fixtures/pyarrow.arrows")).unwrap();
    let missing: Vec<Vec<usize>> = (0..schema.len())
        .map(|index| {
            let validity = batch.column(index).unwrap().validity();
            (0..3).filter(|&row| !validity.is_present(row)).collect()
        })
        .collect();
    assert_eq!(
        missing,
        [
            vec![0, 1, 2],
            vec![1],
            vec![2],
            vec![],
            vec![1],
            vec![2],
            vec![1],
            vec![1],
            vec![0, 1, 2]
        ]
    );
    assert_eq!(batch.column(1).unwrap().booleans().unwrap(), [1, 0, 0]);
    assert_eq!(
        batch.column(2).unwrap().int64s().unwrap(),
        [i64::MIN, i64::MAX, 0]
    );
    assert_eq!(
        batch.column(3).unwrap().fp16s().unwrap(),
        [0x3e00, 0x7e00, 0x8000]
    );
    let floats = batch.column(4).unwrap().fp32s().unwrap();
    assert!(floats[0].is_nan() && floats[1] == 0.0 && floats[2] == f32::NEG_INFINITY);
    assert_eq!(batch.column(5).unwrap().text(0), Some("é"));
    assert_eq!(batch.column(6).unwrap().bytes(0), Some(&[0xff][..]));
    assert_eq!(
        batch.column(7).unwrap().fp64s().unwrap(),
        [1.0, 2.0, 0.0, 0.0, 3.0, 4.0]
    );
}

#[test]
fn text_of_every_layout_is_read() {
    let texts = [
        Some("a"),
        None,
        Some(""),
        Some("a text that is longer than twelve bytes"),
    ];
    let expected = decode(
        &one_nullable(DataType::Text),
        &stream_of(StringArray::from_iter(texts)),
    )
    .unwrap();
    assert_eq!(expected.column(0).unwrap().text(3), texts[3]);
    for body in [
        stream_of(LargeStringArray::from_iter(texts)),
        stream_of(StringViewArray::from_iter(texts)),
        // A slice, whose offsets don't start at 0.
        stream_of(StringArray::from_iter([Some("before")].into_iter().chain(texts)).slice(1, 4)),
    ] {
        assert!(
            decode(&one_nullable(DataType::Text), &body)
                .unwrap()
                .is_same(&expected)
        );
    }
    let bytes = BinaryViewArray::from_iter([Some(&[0xff_u8][..]), None]);
    let batch = decode(&one_nullable(DataType::Bytes), &stream_of(bytes)).unwrap();
    assert_eq!(batch.column(0).unwrap().bytes(0), Some(&[0xff][..]));
}

fn lists(values: Vec<Option<f32>>, length: i32, nulls: Option<Vec<bool>>) -> FixedSizeListArray {
    let item = Arc::new(ArrowField::new("item", ArrowType::Float32, true));
    let values = Arc::new(Float32Array::from(values));
    FixedSizeListArray::new(item, length, values, nulls.map(NullBuffer::from))
}

#[test]
fn one_list_of_all_elements_is_read_and_nulls_inside_are_not() {
    let numbers = |n: u8| (0..n).map(|i| Some(f32::from(i))).collect::<Vec<_>>();
    let schema = one_shaped(DataType::Fp32, &[2, 3]);
    let batch = decode(&schema, &stream_of(lists(numbers(12), 6, None))).unwrap();
    assert_eq!(batch.column(0).unwrap().fp32s().unwrap()[11], 11.0);
    for length in [4, 3, 12] {
        let error = decode(&schema, &stream_of(lists(numbers(12), length, None))).unwrap_err();
        assert_eq!(
            (error.code, error.column.as_deref()),
            (code::WRONG_TYPE, Some("x"))
        );
    }
    let schema = one_shaped(DataType::Fp32, &[2]);
    let values = vec![Some(1.0), Some(2.0), None, Some(4.0)];
    let error = decode(&schema, &stream_of(lists(values.clone(), 2, None))).unwrap_err();
    assert_eq!((error.code, error.row), (code::WRONG_TYPE, Some(1)));
    // Under a null they mean nothing.
    let batch = decode(&schema, &stream_of(lists(values, 2, Some(vec![true, false])))).unwrap();
    assert_eq!(batch.column(0).unwrap().fp32s().unwrap(), [1.0, 2.0, 0.0, 0.0]);
    assert_eq!(batch.column(0).unwrap().validity().count_missing(2), 1);
}

#[test]
fn columns_must_be_known_of_their_type_and_there() {
    let ints = || Int32Array::from(vec![Some(1), None]);
    let check = |schema: &Arc<Schema>, body: Vec<u8>, code, row| {
        let error = decode(schema, &body).unwrap_err();
        assert_eq!(
            (error.code, error.row, error.column.as_deref()),
            (code, row, Some("x")),
            "{error}"
        );
    };
    check(
        &one(DataType::Int32),
        stream_of(ints()),
        code::MISSING_VALUE,
        Some(1),
    );
    for other in DataType::ALL.into_iter().filter(|&t| t != DataType::Int32) {
        check(&one_nullable(other), stream_of(ints()), code::WRONG_TYPE, None);
    }
    // Bits of a bfloat16 must say that they are.
    check(
        &one(DataType::Bf16),
        stream_of(UInt16Array::from(vec![1])),
        code::WRONG_TYPE,
        None,
    );
    check(
        &one_shaped(DataType::Int32, &[1]),
        stream_of(ints()),
        code::WRONG_TYPE,
        None,
    );
    check(
        &one(DataType::Fp32),
        stream_of(lists(vec![Some(1.0)], 1, None)),
        code::WRONG_TYPE,
        None,
    );
    let twice = |name: &str| {
        let field = |name: &str| ArrowField::new(name, ArrowType::Int32, true);
        stream(vec![
            (field("x"), Arc::new(ints())),
            (field(name), Arc::new(ints())),
        ])
    };
    check(
        &one_nullable(DataType::Int32),
        twice("x"),
        code::DUPLICATE_COLUMN,
        None,
    );
    let error = decode(&one_nullable(DataType::Int32), &twice("y")).unwrap_err();
    assert_eq!(
        (error.code, error.column.as_deref()),
        (code::UNKNOWN_COLUMN, Some("y"))
    );
    let schema = Arc::new(
        Schema::new(vec![
            Field::new("y", DataType::Int32).nullable(),
            Field::new("x", DataType::Int32),
        ])
        .unwrap(),
    );
    let field = ArrowField::new("y", ArrowType::Int32, true);
    check(
        &schema,
        stream(vec![(field, Arc::new(ints()))]),
        code::MISSING_COLUMN,
        None,
    );
}

/// Lengths that no bytes stand behind cost nothing.
#[test]
fn declared_lengths_take_no_memory() {
    let error = decode(&one_nullable(DataType::Fp64), &stream_of(NullArray::new(1 << 40))).unwrap_err();
    assert_eq!(error.code, code::TOO_MANY_ROWS);
    let item = Arc::new(ArrowField::new("item", ArrowType::Null, true));
    let list = FixedSizeListArray::new(item, 1 << 25, Arc::new(NullArray::new(1 << 27)), None);
    let error = decode(&one_shaped(DataType::Fp64, &[1 << 24]), &stream_of(list)).unwrap_err();
    assert_eq!(error.code, code::WRONG_TYPE);
    let error = decode(
        &one_shaped(DataType::Fp64, &[1 << 24]),
        &stream_of(NullArray::new(3)),
    )
    .unwrap_err();
    assert_eq!(error.code, code::TOO_LARGE);
    // A message that announces 4 GiB.
    let error = decode(&one(DataType::Fp64), b"\xff\xff\xff\xff\xf0\xff\xff\xffabc").unwrap_err();
    assert_eq!(error.code, code::BAD_ARROW);
}

#[test]
fn what_is_no_stream_is_refused() {
    let body = stream_of(Int32Array::from(vec![1]));
    let schema = one(DataType::Int32);
    decode(&schema, &body).unwrap();
    let after = [body.as_slice(), b"x"].concat();
    let twice = [body.as_slice(), &body].concat();
    let no_marker = &body[..body.len() - 8];
    for body in [
        &b""[..],
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff\0\0\0\0",
        &after,
        &twice,
        no_marker,
        b"{\"rows\":[]}",
    ] {
        assert_eq!(
            decode(&schema, body).unwrap_err().code,
            code::BAD_ARROW,
            "{body:?}"
        );
    }
}
