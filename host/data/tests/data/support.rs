//! Batches of every kind, for round trips.

use std::collections::HashSet;
use std::sync::Arc;

use caisson_data::{Batch, BatchBuilder, Block, DataType, Field, Schema, Values};
use half::{bf16, f16};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Texts that parsers and writers trip over.
const TEXTS: [&str; 22] = [
    "",
    " ",
    " lead and trail ",
    "\"quoted\", with, commas",
    "line\nfeed",
    "carriage\rreturn\r\n",
    "tab\tand\u{0}nul\u{1f}",
    "back\\slash\\u0041",
    "null",
    "NaN",
    "-Infinity",
    "true",
    "[1,2]",
    "{}",
    "é e\u{301} ﷽ ﬁ",
    "שלום \u{202e}rtl",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "\u{feff}bom",
    "\u{fffd}\u{fffe}\u{ffff}",
    "\u{10ffff}\u{d7ff}\u{e000}",
    "\u{2028}\u{2029}\u{85}",
    "<script>&amp;</script>",
];

/// Per-row shapes: scalar, one, several, with a dimension of 0.
const SHAPES: [&[u32]; 7] = [&[], &[], &[1], &[3], &[2, 2], &[0], &[2, 0, 3]];

pub(crate) fn data_type() -> impl Strategy<Value = DataType> {
    select(DataType::ALL.to_vec())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z_]{1,8}",
        1 => select(TEXTS.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// A schema of up to seven fields.
pub(crate) fn schema() -> impl Strategy<Value = Arc<Schema>> {
    vec(
        (name(), data_type(), select(SHAPES.to_vec()), any::<bool>()),
        1..7,
    )
    .prop_map(|fields| {
        let mut names = HashSet::new();
        let fields = fields
            .into_iter()
            .enumerate()
            .map(|(i, (mut name, data_type, shape, nullable))| {
                name.truncate(name.floor_char_boundary(200));
                if name.is_empty() || !names.insert(name.clone()) {
                    name.push_str(&format!("#{i}"));
                    names.insert(name.clone());
                }
                let field = Field::new(name, data_type).with_shape(shape);
                if nullable { field.nullable() } else { field }
            })
            .collect();
        Arc::new(Schema::new(fields).unwrap())
    })
}

/// A batch of a schema of all kinds, empty ones included.
pub(crate) fn batch() -> impl Strategy<Value = Batch> {
    (schema(), select(vec![0usize, 1, 2, 3, 7, 8, 9, 17]))
        .prop_flat_map(|(schema, rows)| batch_of(schema, rows))
}

/// A batch of this schema.
pub(crate) fn batch_of(schema: Arc<Schema>, rows: usize) -> impl Strategy<Value = Batch> {
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| {
            let elements = rows * field.row_elements();
            (vec(element(), elements), vec(any::<bool>(), rows))
        })
        .collect();
    columns.prop_map(move |columns| {
        let mut builder = BatchBuilder::new(schema.clone(), rows).unwrap();
        for (index, (elements, missing)) in columns.iter().enumerate() {
            let field = schema.field(index).unwrap().clone();
            let is_missing = |row: usize| field.nullable && missing[row];
            for (at, element) in elements.iter().enumerate() {
                let row = at / field.row_elements();
                put(&mut builder, index, at, (!is_missing(row)).then_some(element));
            }
            for row in (0..rows).filter(|&row| is_missing(row)) {
                builder.set_missing(index, row);
            }
        }
        builder.finish().unwrap()
    })
}

/// What an element of any type can be made of.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    bits: u64,
    text: String,
    bytes: Vec<u8>,
}

fn element() -> impl Strategy<Value = Element> {
    let bits = prop_oneof![
        2 => any::<u64>(),
        // The extremes of every integer type, and of every float: zeros, subnormals, the smallest
        // normal, the largest, infinities, NaN with and without payload, of both signs.
        1 => select(vec![0, 1, u64::MAX, i64::MAX as u64, i64::MIN as u64, 0x7f, 0x80, 0x7fff, 0x8000]),
        1 => select(vec![0x7f80_0000u64, 0xff80_0000, 0x7fc0_0000, 0xffc0_1234, 0x8000_0000, 0x0000_0001,
            0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0x8000_0001]),
        1 => select(vec![f64::INFINITY.to_bits(), f64::NEG_INFINITY.to_bits(), f64::NAN.to_bits(), f64::MAX.to_bits(),
            f64::MIN_POSITIVE.to_bits(), (-0.0f64).to_bits(), 0.1f64.to_bits(), (1u64 << 53) as f64 as u64]),
        1 => select(vec![0x7c00u64, 0xfc00, 0x7e00, 0x7e01, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x7f80, 0xff80, 0x7fc0, 0x7f7f]),
    ];
    let text = prop_oneof![
        2 => select(TEXTS.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let bytes = prop_oneof![1 => vec(any::<u8>(), 0..5), 1 => select(TEXTS.to_vec()).prop_map(|t| t.as_bytes().to_vec())];
    (bits, text, bytes).prop_map(|(bits, text, bytes)| Element { bits, text, bytes })
}

fn put(builder: &mut BatchBuilder, index: usize, at: usize, element: Option<&Element>) {
    let data_type = builder.schema().field(index).unwrap().data_type;
    if data_type.width().is_none() {
        let bytes = match element {
            None => &[][..],
            Some(e) if data_type == DataType::Text => e.text.as_bytes(),
            Some(e) => &e.bytes,
        };
        return builder.varlen_mut(index).unwrap().push(bytes).unwrap();
    }
    let Some(&Element { bits, .. }) = element else {
        return;
    };
    match data_type {
        DataType::Boolean => builder.booleans_mut(index).unwrap()[at] = (bits & 1) as u8,
        DataType::Uint8 => builder.uint8s_mut(index).unwrap()[at] = bits as u8,
        DataType::Uint16 => builder.uint16s_mut(index).unwrap()[at] = bits as u16,
        DataType::Uint32 => builder.uint32s_mut(index).unwrap()[at] = bits as u32,
        DataType::Uint64 => builder.uint64s_mut(index).unwrap()[at] = bits,
        DataType::Int8 => builder.int8s_mut(index).unwrap()[at] = bits as i8,
        DataType::Int16 => builder.int16s_mut(index).unwrap()[at] = bits as i16,
        DataType::Int32 => builder.int32s_mut(index).unwrap()[at] = bits as i32,
        DataType::Int64 => builder.int64s_mut(index).unwrap()[at] = bits as i64,
        DataType::Fp16 => builder.fp16s_mut(index).unwrap()[at] = bits as u16,
        DataType::Bf16 => builder.bf16s_mut(index).unwrap()[at] = bits as u16,
        DataType::Fp32 => builder.fp32s_mut(index).unwrap()[at] = f32::from_bits(bits as u32),
        DataType::Fp64 => builder.fp64s_mut(index).unwrap()[at] = f64::from_bits(bits),
        DataType::Text | DataType::Bytes => unreachable!(),
    }
}

/// The same batch with one NaN for all, for formats that can't write a NaN's payload.
pub(crate) fn with_one_nan(batch: &Batch) -> Batch {
    let blocks = batch.blocks().iter().map(|block| {
        let values = match &block.values {
            Values::Fp16(list) => Values::Fp16(
                list.iter()
                    .map(|&b| {
                        if f16::from_bits(b).is_nan() {
                            f16::NAN.to_bits()
                        } else {
                            b
                        }
                    })
                    .collect(),
            ),
            Values::Bf16(list) => Values::Bf16(
                list.iter()
                    .map(|&b| {
                        if bf16::from_bits(b).is_nan() {
                            bf16::NAN.to_bits()
                        } else {
                            b
                        }
                    })
                    .collect(),
            ),
            Values::Fp32(list) => Values::Fp32(
                list.iter()
                    .map(|&v| if v.is_nan() { f32::NAN } else { v })
                    .collect(),
            ),
            Values::Fp64(list) => Values::Fp64(
                list.iter()
                    .map(|&v| if v.is_nan() { f64::NAN } else { v })
                    .collect(),
            ),
            other => other.clone(),
        };
        Block {
            values,
            validity: block.validity.clone(),
        }
    });
    Batch::new(batch.schema().clone(), batch.rows(), blocks.collect()).unwrap()
}

/// Schema of one field, `x`.
pub(crate) fn one(data_type: DataType) -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("x", data_type)]).unwrap())
}

/// Schema of one nullable field, `x`.
pub(crate) fn one_nullable(data_type: DataType) -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("x", data_type).nullable()]).unwrap())
}

/// Schema of one field `x` with this per-row shape.
pub(crate) fn one_shaped(data_type: DataType, shape: &[u32]) -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("x", data_type).with_shape(shape).nullable()]).unwrap())
}
