//! Building, choosing, joining and comparing batches.

use std::sync::Arc;

use caisson_data::{Batch, BatchBuilder, BatchError, DataType, Field, Schema, VarLen};
use proptest::prelude::*;

use crate::support::{batch, batch_of, one, one_nullable, schema};

proptest! {
    #[test]
    fn a_copy_of_all_columns_is_the_same(batch in batch()) {
        let mut builder = BatchBuilder::new(batch.schema().clone(), batch.rows()).unwrap();
        for index in 0..batch.schema().len() {
            builder.copy_column(index, batch.column(index).unwrap()).unwrap();
        }
        prop_assert!(builder.finish().unwrap().is_same(&batch));
    }

    #[test]
    fn slices_join_to_the_whole(batch in batch(), cut in 0usize..20) {
        let cut = cut.min(batch.rows());
        let parts = [batch.slice_rows(0..cut).unwrap(), batch.slice_rows(cut..batch.rows()).unwrap()];
        prop_assert_eq!(parts[0].rows(), cut);
        prop_assert!(Batch::concat(&parts).unwrap().is_same(&batch));
    }

    #[test]
    fn rows_chosen_twice_in_reverse_are_as_they_were(batch in batch()) {
        let backwards: Vec<_> = (0..batch.rows()).rev().collect();
        let reversed = batch.select_rows(&backwards).unwrap();
        prop_assert!(batch.rows() < 2 || !reversed.schema().is_empty());
        prop_assert!(reversed.select_rows(&backwards).unwrap().is_same(&batch));
    }

    /// Growing and shrinking keeps the rows that stay, and new rows are present and zero.
    #[test]
    fn resized_builders_keep_their_rows(
        (batch, sizes) in (schema(), 0usize..18).prop_flat_map(|(schema, rows)| {
            (batch_of(schema, rows), proptest::collection::vec(0usize..40, 1..5))
        })
    ) {
        let rows = batch.rows();
        let mut builder = BatchBuilder::new(batch.schema().clone(), rows).unwrap();
        for index in 0..batch.schema().len() {
            builder.copy_column(index, batch.column(index).unwrap()).unwrap();
        }
        let mut kept = rows;
        for size in sizes {
            builder.resize_rows(size).unwrap();
            kept = kept.min(size);
        }
        let size = builder.rows();
        // Text that was dropped must be filled up by hand.
        for index in 0..batch.schema().len() {
            let elements = size * batch.schema().field(index).unwrap().row_elements();
            if let Some(list) = builder.varlen_mut(index) {
                while list.len() < elements {
                    list.push(b"").unwrap();
                }
            }
        }
        let resized = builder.finish().unwrap();
        prop_assert!(resized.slice_rows(0..kept).unwrap().is_same(&batch.slice_rows(0..kept).unwrap()));
        let zero = BatchBuilder::new(batch.schema().clone(), size - kept).unwrap().finish().unwrap();
        prop_assert!(resized.slice_rows(kept..size).unwrap().is_same(&zero));
    }
}

#[test]
fn what_differs_is_not_the_same() {
    let of = |value: f32, missing: bool| {
        let mut builder = BatchBuilder::new(one_nullable(DataType::Fp32), 1).unwrap();
        builder.fp32s_mut(0).unwrap()[0] = value;
        if missing {
            builder.set_missing(0, 0);
        }
        builder.finish().unwrap()
    };
    assert!(of(1.0, false).is_same(&of(1.0, false)));
    assert!(of(f32::NAN, false).is_same(&of(f32::NAN, false)));
    assert!(of(1.0, true).is_same(&of(2.0, true)));
    assert!(!of(0.0, false).is_same(&of(-0.0, false)));
    assert!(!of(0.0, true).is_same(&of(0.0, false)));
    assert!(!of(f32::NAN, false).is_same(&of(f32::NAN, true)));
    assert!(!of(f32::NAN, false).is_same(&of(f32::from_bits(0x7fc0_0001), false)));
}

#[test]
fn missing_values_need_a_nullable_column() {
    let mut builder = BatchBuilder::new(one(DataType::Text), 3).unwrap();
    builder.set_missing(0, 2);
    let error = builder.finish().unwrap_err();
    assert_eq!(
        error,
        BatchError::Missing {
            row: 2,
            column: "x".into()
        }
    );
}

#[test]
fn places_that_are_not_there_fail_at_the_end() {
    for (column, row) in [(0, 3), (1, 0), (usize::MAX, usize::MAX)] {
        let mut builder = BatchBuilder::new(one_nullable(DataType::Fp64), 3).unwrap();
        builder.set_missing(column, row);
        assert!(
            matches!(builder.finish(), Err(BatchError::NoSuchPlace { .. })),
            "{column} {row}"
        );
    }
    let batch = BatchBuilder::new(one(DataType::Int8), 2)
        .unwrap()
        .finish()
        .unwrap();
    assert!(batch.select_rows(&[0, 2]).is_err());
    assert!(batch.slice_rows(1..3).is_err());
}

#[test]
fn texts_need_the_right_number_of_elements() {
    let build = |n: usize| {
        let mut builder = BatchBuilder::new(one(DataType::Text), 2).unwrap();
        for _ in 0..n {
            builder.varlen_mut(0).unwrap().push(b"a").unwrap();
        }
        builder.finish()
    };
    assert_eq!(build(0).unwrap().column(0).unwrap().text(1), Some(""));
    assert_eq!(build(2).unwrap().column(0).unwrap().text(1), Some("a"));
    assert!(matches!(
        build(1),
        Err(BatchError::Length {
            expected: 2,
            found: 1,
            ..
        })
    ));
    assert!(matches!(
        build(3),
        Err(BatchError::Length {
            expected: 2,
            found: 3,
            ..
        })
    ));
}

#[test]
fn text_must_be_utf8_element_by_element() {
    let mut builder = BatchBuilder::new(one(DataType::Text), 2).unwrap();
    // "é" cut in two: the whole is UTF-8, the elements aren't.
    builder.varlen_mut(0).unwrap().push(&[0xc3]).unwrap();
    builder.varlen_mut(0).unwrap().push(&[0xa9]).unwrap();
    assert!(matches!(builder.finish(), Err(BatchError::Malformed { .. })));
}

#[test]
fn huge_batches_are_refused_before_memory_is_taken() {
    let fields = (0..1000)
        .map(|i| Field::new(format!("x{i}"), DataType::Fp64).with_shape([1 << 24]))
        .collect();
    let schema = Arc::new(Schema::new(fields).unwrap());
    assert!(matches!(
        BatchBuilder::new(schema, u32::MAX as usize),
        Err(BatchError::TooManyRows(_))
    ));
    assert!(BatchBuilder::new(one(DataType::Int8), u32::MAX as usize + 1).is_err());
}

#[test]
fn schemas_differ_by_what_batches_need() {
    let empty = Batch::concat::<Batch>(&[]);
    assert_eq!(empty, Err(BatchError::NothingToJoin));
    let a = Batch::empty(one(DataType::Int8));
    let b = Batch::empty(one(DataType::Int16));
    assert!(matches!(
        Batch::concat(&[a, b]),
        Err(BatchError::OtherSchema { .. })
    ));
}

#[test]
fn overflowing_shapes_are_no_schema_unless_empty() {
    let field = |shape: &[u32]| Field::new("x", DataType::Uint8).with_shape(shape);
    assert!(Schema::new(vec![field(&[u32::MAX; 8])]).is_err());
    assert!(Schema::new(vec![field(&[u32::MAX, u32::MAX, u32::MAX, 0])]).is_ok());
    assert!(Schema::new(vec![field(&[0, u32::MAX, u32::MAX, u32::MAX])]).is_ok());
    assert!(Schema::new(vec![field(&[1; 9])]).is_err());
}

#[test]
fn lists_of_text_cut_and_join() {
    let mut list = VarLen::default();
    for text in ["a", "", "bcd"] {
        list.push(text.as_bytes()).unwrap();
    }
    let mut other = VarLen::default();
    other.push(b"z").unwrap();
    other.extend_from(&list, 1..3).unwrap();
    assert_eq!(other.get(1), Some(&b""[..]));
    assert_eq!(other.get(2), Some(&b"bcd"[..]));
    assert_eq!(other.extend_from(&list, 2..4), None);
    other.truncate(2);
    assert_eq!((other.len(), other.data.as_slice()), (2, &b"z"[..]));
}

#[test]
fn numbers_as_f64_leave_out_what_is_missing() {
    let mut builder = BatchBuilder::new(one_nullable(DataType::Uint64), 3).unwrap();
    builder.uint64s_mut(0).unwrap().copy_from_slice(&[7, u64::MAX, 3]);
    builder.set_missing(0, 2);
    let batch = builder.finish().unwrap();
    let column = batch.column(0).unwrap();
    let values: Vec<_> = (0..4).map(|i| column.to_f64(i)).collect();
    assert_eq!(
        values,
        [Some(7.0), Some(18_446_744_073_709_551_616.0), None, None]
    );
}
