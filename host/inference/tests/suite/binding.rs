//! Columns to inputs and outputs to columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use caisson_data::{Batch, BatchBuilder, Block, DataType, Field, Schema, Values};
use caisson_inference::{
    BindError, Binding, InferenceError, InputValues, MissingPolicy, Model, OutputSpec, Selection, Signature,
    Tensor, TensorSpec,
};

use crate::fixtures::{assert_bits, cases, later, model, varlen};

fn schema(fields: Vec<Field>) -> Arc<Schema> {
    Arc::new(Schema::new(fields).unwrap())
}

fn columns(input: &str, names: &[&str]) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(input.into(), names.iter().map(|n| n.to_string()).collect())])
}

fn plan(
    model: &Model,
    fields: Vec<Field>,
    columns: &BTreeMap<String, Vec<String>>,
) -> Result<Binding, BindError> {
    Binding::plan(
        model.signature(),
        &schema(fields),
        columns,
        MissingPolicy::Reject,
        &OutputSpec::default(),
    )
}

fn spec(name: &str, data_type: DataType, shape: &[i64]) -> TensorSpec {
    TensorSpec {
        name: name.into(),
        data_type,
        shape: shape.to_vec(),
    }
}

fn signature(inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>) -> Signature {
    Signature {
        inputs,
        outputs,
        onnx: Default::default(),
    }
}

/// 64 fp32 columns `f0` to `f63`, between columns of other types.
fn wide() -> Vec<Field> {
    let mut fields = vec![Field::new("id", DataType::Text)];
    fields.extend((0..64).map(|i| Field::new(format!("f{i}"), DataType::Fp32)));
    fields.push(Field::new("n", DataType::Int64));
    fields
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("f{i}")).collect()
}

fn wide_batch(schema: &Arc<Schema>, rows: &[f32]) -> Batch {
    let count = rows.len() / 64;
    let mut builder = BatchBuilder::new(Arc::clone(schema), count).unwrap();
    for i in 0..64 {
        for (row, target) in builder.fp32s_mut(1 + i).unwrap().iter_mut().enumerate() {
            *target = rows[row * 64 + i];
        }
    }
    for row in 0..count {
        builder
            .varlen_mut(0)
            .unwrap()
            .push(format!("row {row}").as_bytes())
            .unwrap();
    }
    builder.finish().unwrap()
}

#[tokio::test]
async fn packed_columns_give_the_same_bits() {
    let model = model("mlp");
    let schema = schema(wide());
    let map = BTreeMap::from([("X".to_owned(), names(0..64))]);
    for outputs in [None, Some(vec!["probabilities".to_owned()])] {
        let outputs = OutputSpec {
            names: outputs,
            shapes: BTreeMap::new(),
        };
        let binding =
            Binding::plan(model.signature(), &schema, &map, MissingPolicy::Reject, &outputs).unwrap();
        for case in cases().iter().filter(|c| c.model == "mlp") {
            let Values::Fp32(x) = case.inputs[0].values() else {
                panic!()
            };
            let batch = wide_batch(&schema, &x);
            let result = binding.run(&model, &batch, later()).await.unwrap();
            assert_eq!(result.rows(), batch.rows());
            assert_eq!(result.schema(), binding.output_schema());
            let probabilities = result.column_named("probabilities").unwrap();
            let expected = case.outputs.iter().find(|o| o.name == "probabilities").unwrap();
            assert_eq!(probabilities.field().shape, [2]);
            let found = Values::Fp32(probabilities.fp32s().unwrap().to_vec());
            assert_bits(&found, &expected.values(), "probabilities");
        }
    }
    let empty = Batch::empty(Arc::clone(&schema));
    let binding = plan(&model, wide(), &map).unwrap();
    assert_eq!(binding.run(&model, &empty, later()).await.unwrap().rows(), 0);
}

#[test]
fn one_row_of_neighbours_is_borrowed() {
    let model = model("mlp");
    let schema = schema(wide());
    let batch = wide_batch(&schema, &(0..64).map(|i| i as f32).collect::<Vec<_>>());
    let binding = plan(&model, wide(), &BTreeMap::from([("X".to_owned(), names(0..64))])).unwrap();
    let inputs = binding.input_tensors(&batch).unwrap();
    assert!(matches!(inputs[0].values, InputValues::Borrowed(_)));
    let mut shuffled = names(0..64);
    shuffled.swap(3, 60);
    let binding = plan(&model, wide(), &BTreeMap::from([("X".to_owned(), shuffled)])).unwrap();
    let inputs = binding.input_tensors(&batch).unwrap();
    let InputValues::Owned(Values::Fp32(x)) = &inputs[0].values else {
        panic!("{:?}", inputs[0].values)
    };
    assert_eq!((x[3], x[60], x[4]), (60.0, 3.0, 4.0));
}

#[tokio::test]
async fn columns_of_the_inputs_names() {
    let model = model("several_inputs");
    let fields = vec![
        Field::new("times", DataType::Int64),
        Field::new("offset", DataType::Fp32),
        Field::new("features", DataType::Fp32).with_shape([3]),
    ];
    let binding = plan(&model, fields.clone(), &BTreeMap::new()).unwrap();
    let case = cases().into_iter().find(|c| c.model == "several_inputs").unwrap();
    let block = |name: &str| Block::new(case.inputs.iter().find(|i| i.name == name).unwrap().values());
    let batch = Batch::new(
        schema(fields),
        5,
        vec![block("times"), block("offset"), block("features")],
    )
    .unwrap();
    let inputs = binding.input_tensors(&batch).unwrap();
    assert!(
        inputs
            .iter()
            .all(|i| matches!(i.values, InputValues::Borrowed(_))),
        "columns were copied"
    );
    let result = binding.run(&model, &batch, later()).await.unwrap();
    for expected in &case.outputs {
        let column = result.column_named(&expected.name).unwrap();
        let (values, range) = column.block_range();
        assert_eq!(range.len(), values.len());
        assert_bits(values, &expected.values(), &expected.name);
    }
}

#[test]
fn text_is_packed_by_rows() {
    let signature = signature(
        vec![spec("t", DataType::Text, &[-1, 2])],
        vec![spec("o", DataType::Fp32, &[-1])],
    );
    let schema = schema(vec![
        Field::new("a", DataType::Text),
        Field::new("b", DataType::Text),
    ]);
    let map = columns("t", &["b", "a"]);
    let binding = Binding::plan(
        &signature,
        &schema,
        &map,
        MissingPolicy::Reject,
        &OutputSpec::default(),
    )
    .unwrap();
    let block = Block::new(Values::Text(varlen(&["a0", "", "b0", "☂"])));
    let batch = Batch::new(schema, 2, vec![block]).unwrap();
    let inputs = binding.input_tensors(&batch).unwrap();
    let InputValues::Owned(values) = &inputs[0].values else {
        panic!()
    };
    assert_eq!(values, &Values::Text(varlen(&["b0", "a0", "☂", ""])));
    assert_eq!(*inputs[0].shape, [2, 2]);
}

#[test]
fn missing_values() {
    let signature = signature(
        vec![
            spec("X", DataType::Fp32, &[-1, 2]),
            spec("v", DataType::Fp64, &[-1, 3]),
            spec("n", DataType::Int64, &[-1]),
        ],
        vec![spec("o", DataType::Fp32, &[-1])],
    );
    let schema = schema(vec![
        Field::new("a", DataType::Fp32).nullable(),
        Field::new("b", DataType::Fp32).nullable(),
        Field::new("v", DataType::Fp64).with_shape([3]).nullable(),
        Field::new("n", DataType::Int64).nullable(),
    ]);
    let map = columns("X", &["b", "a"]);
    let plan = |missing| Binding::plan(&signature, &schema, &map, missing, &OutputSpec::default()).unwrap();
    let batch = |missing: &[(usize, usize)]| {
        let mut builder = BatchBuilder::new(Arc::clone(&schema), 3).unwrap();
        builder.fp32s_mut(0).unwrap().copy_from_slice(&[1.0, 2.0, 3.0]);
        builder
            .fp32s_mut(1)
            .unwrap()
            .copy_from_slice(&[4.0, 5.0, f32::INFINITY]);
        builder.fp64s_mut(2).unwrap().fill(7.0);
        for &(row, column) in missing {
            builder.set_missing(column, row);
        }
        builder.finish().unwrap()
    };
    for (reject, at) in [((1, 0), "a"), ((2, 1), "b"), ((0, 2), "v"), ((2, 3), "n")] {
        let batch = batch(&[reject]);
        let error = plan(MissingPolicy::Reject).input_tensors(&batch).unwrap_err();
        let InferenceError::Missing { row, column, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((*row, column.as_str()), (reject.0, at));
        let nan = plan(MissingPolicy::Nan);
        // Integers have no NaN.
        assert_eq!(nan.input_tensors(&batch).is_ok(), at != "n");
    }
    let batch = batch(&[(1, 0), (0, 2), (2, 2)]);
    let nan = plan(MissingPolicy::Nan);
    let inputs = nan.input_tensors(&batch).unwrap();
    let InputValues::Owned(Values::Fp32(x)) = &inputs[0].values else {
        panic!()
    };
    assert_eq!(
        (x[0], x[1], x[2], x[4], x[5]),
        (4.0, 1.0, 5.0, f32::INFINITY, 3.0)
    );
    assert!(x[3].is_nan());
    let InputValues::Owned(Values::Fp64(v)) = &inputs[1].values else {
        panic!()
    };
    assert_eq!(
        v.iter().map(|x| x.is_nan()).collect::<Vec<_>>(),
        [true, true, true, false, false, false, true, true, true]
    );
}

#[test]
fn plans_that_do_not_fit_name_both_sides() {
    let f = |name: &str, t| Field::new(name, t);
    let x = || vec![spec("X", DataType::Fp32, &[-1, 2])];
    let plan = |inputs: Vec<TensorSpec>, fields: Vec<Field>, map: &BTreeMap<String, Vec<String>>| {
        let signature = signature(inputs, vec![spec("o", DataType::Fp32, &[-1])]);
        Binding::plan(
            &signature,
            &schema(fields),
            map,
            MissingPolicy::Reject,
            &OutputSpec::default(),
        )
        .unwrap_err()
        .to_string()
    };
    let two = || vec![f("recency", DataType::Fp32), f("monetary", DataType::Fp32)];
    let none = BTreeMap::new();
    for (message, says) in [
        (
            plan(x(), two(), &columns("x", &["recency"])),
            vec!["no input `x`", "X: fp32[?, 2]"],
        ),
        (
            plan(x(), two(), &none),
            vec![
                "X: fp32[?, 2]",
                "columns: {X: [a, b, …]}",
                "2 columns have that type",
                "recency: fp32",
            ],
        ),
        (
            plan(x(), two(), &columns("X", &["recency"])),
            vec!["X: fp32[?, 2]", "packed from 1 scalar"],
        ),
        (
            plan(x(), two(), &columns("X", &["recency", "monetry"])),
            vec!["X: fp32[?, 2]", "`monetry`", "did you mean `monetary`?"],
        ),
        (
            plan(
                x(),
                vec![f("a", DataType::Fp32), f("b", DataType::Fp64)],
                &columns("X", &["a", "b"]),
            ),
            vec!["X: fp32[?, 2]", "b: fp64", "types differ"],
        ),
        (
            plan(x(), vec![f("X", DataType::Fp32).with_shape([3])], &none),
            vec!["X: fp32[?, 2]", "X: fp32[3]", "shapes differ"],
        ),
        (
            plan(
                vec![spec("n", DataType::Int64, &[-1])],
                vec![f("N", DataType::Int64)],
                &none,
            ),
            vec!["n: int64[?]", "did you mean `N`?"],
        ),
        (
            plan(
                vec![spec("t", DataType::Text, &[-1])],
                vec![f("t", DataType::Bytes)],
                &none,
            ),
            vec!["t: text[?]", "t: bytes", "declare the column as text"],
        ),
        (
            plan(vec![spec("x", DataType::Fp32, &[1, 4])], two(), &none),
            vec!["x: fp32[1, 4]", "exactly 1 row", "free batch dimension"],
        ),
        (
            plan(vec![spec("x", DataType::Fp32, &[])], two(), &none),
            vec!["x: fp32[]", "no row dimension"],
        ),
        (
            plan(
                x(),
                vec![f("a", DataType::Fp32).with_shape([2]), f("b", DataType::Fp32)],
                &columns("X", &["a", "b"]),
            ),
            vec!["a: fp32[2]", "shapes differ"],
        ),
    ] {
        for part in says {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
}

#[test]
fn outputs_that_make_no_columns() {
    let plan = |outputs: Vec<TensorSpec>, spec: OutputSpec| {
        let signature = signature(Vec::new(), outputs);
        Binding::plan(
            &signature,
            &schema(Vec::new()),
            &BTreeMap::new(),
            MissingPolicy::Reject,
            &spec,
        )
    };
    let declared = |name: &str, shape: &[u32]| OutputSpec {
        names: None,
        shapes: BTreeMap::from([(name.to_owned(), shape.to_vec())]),
    };
    let open = || vec![spec("e", DataType::Fp32, &[-1, -1])];
    assert!(matches!(
        plan(open(), OutputSpec::default()),
        Err(BindError::OpenShape { .. })
    ));
    let bound = plan(open(), declared("e", &[7])).unwrap();
    assert_eq!(bound.output_schema().to_string(), "(e: fp32[7])");
    assert!(matches!(
        plan(open(), declared("e", &[7, 1])),
        Err(BindError::DeclaredShape { .. })
    ));
    let known = || {
        vec![
            spec("e", DataType::Fp32, &[-1, 3]),
            spec("f", DataType::Fp32, &[]),
        ]
    };
    assert!(matches!(
        plan(known(), declared("e", &[4])),
        Err(BindError::DeclaredShape { .. })
    ));
    assert!(matches!(
        plan(known(), OutputSpec::default()),
        Err(BindError::NoRows { side: "output", .. })
    ));
    assert!(matches!(
        plan(known(), declared("g", &[4])),
        Err(BindError::Unknown { side: "output", .. })
    ));
    let chosen = |names: &[&str]| OutputSpec {
        names: Some(names.iter().map(|n| n.to_string()).collect()),
        shapes: BTreeMap::new(),
    };
    // An output that isn't chosen may have any shape.
    assert_eq!(
        plan(known(), chosen(&["e"])).unwrap().output_schema().to_string(),
        "(e: fp32[3])"
    );
    assert_eq!(
        plan(known(), chosen(&["e", "e"])).unwrap_err(),
        BindError::Repeated("e".into())
    );
    assert!(matches!(
        plan(known(), chosen(&["z"])),
        Err(BindError::Unknown { .. })
    ));
}

#[test]
fn outputs_become_packed_columns() {
    let signature = signature(
        Vec::new(),
        vec![
            spec("a", DataType::Fp32, &[-1]),
            spec("p", DataType::Fp32, &[-1, 2]),
            spec("b", DataType::Fp32, &[-1]),
            spec("t", DataType::Text, &[-1]),
            spec("u", DataType::Text, &[-1]),
        ],
    );
    let binding = Binding::plan(
        &signature,
        &schema(Vec::new()),
        &BTreeMap::new(),
        MissingPolicy::Reject,
        &OutputSpec::default(),
    )
    .unwrap();
    let tensor = |name: &str, shape: &[usize], values| Tensor {
        name: name.into(),
        shape: shape.to_vec(),
        values,
    };
    let good = || {
        vec![
            tensor("a", &[2], Values::Fp32(vec![1.0, 2.0])),
            tensor("p", &[2, 2], Values::Fp32(vec![3.0, 4.0, 5.0, 6.0])),
            tensor("b", &[2], Values::Fp32(vec![7.0, 8.0])),
            tensor("t", &[2], Values::Text(varlen(&["x", "yy"]))),
            tensor("u", &[2], Values::Text(varlen(&["", "z"]))),
        ]
    };
    let batch = binding.output_batch(good(), 2).unwrap();
    assert_eq!(batch.blocks().len(), 3);
    assert_eq!(batch.column_named("b").unwrap().fp32s().unwrap(), [7.0, 8.0]);
    assert_eq!(
        batch.column_named("p").unwrap().fp32s().unwrap(),
        [3.0, 4.0, 5.0, 6.0]
    );
    assert_eq!(batch.column_named("u").unwrap().text(1), Some("z"));

    assert!(binding.output_batch(good(), 3).is_err(), "a wrong row count");
    let mut outputs = good();
    outputs.pop();
    assert!(binding.output_batch(outputs, 2).is_err(), "an output less");
    let mut outputs = good();
    outputs.swap(0, 2);
    assert!(binding.output_batch(outputs, 2).is_err(), "another order");
    let mut outputs = good();
    outputs[2].values = Values::Fp64(vec![7.0, 8.0]);
    assert!(binding.output_batch(outputs, 2).is_err(), "another type");
    let mut outputs = good();
    outputs[0].values = Values::Fp32(vec![7.0]);
    assert!(
        binding.output_batch(outputs, 2).is_err(),
        "fewer elements than the shape says"
    );
}

#[tokio::test]
async fn a_batch_of_another_schema_is_refused() {
    let model = model("mlp");
    let binding = plan(&model, wide(), &BTreeMap::from([("X".to_owned(), names(0..64))])).unwrap();
    let other = Batch::empty(schema(vec![Field::new("x", DataType::Fp32)]));
    assert!(matches!(
        binding.input_tensors(&other),
        Err(InferenceError::OtherSchema { .. })
    ));
    assert_eq!(binding.selection(), &Selection::ALL);
}
