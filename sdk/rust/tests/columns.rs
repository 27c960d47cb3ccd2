//! Reading, filling and editing columns.

use caisson_plugin::prelude::*;
use caisson_plugin::testing::{assert_batches_close, assert_column, batch, numbers, schema, texts};

#[test]
fn every_numeric_type_reads_as_numbers() {
    let batch = batch![
        "boolean": boolean = [true, None, false],
        "uint8": uint8 = [255, None, 1],
        "uint16": uint16 = [65535, None, 1],
        "uint32": uint32 = [4294967295, None, 1],
        "uint64": uint64 = [9007199254740993, None, 1],
        "int8": int8 = [-128, None, 1],
        "int16": int16 = [-32768, None, 1],
        "int32": int32 = [-2147483648, None, 1],
        "int64": int64 = [i64::MIN, None, 1],
        "fp16": fp16 = [0xbc00, None, 0x3c00],
        "bf16": bf16 = [0xbf80, None, 0x3f80],
        "fp32": fp32 = [-0.5, None, f32::INFINITY],
        "fp64": fp64 = [1e300, None, f64::MIN_POSITIVE],
    ];
    let first = [
        1.0,
        255.0,
        65535.0,
        4294967295.0,
        9007199254740992.0, // the nearest f64
        -128.0,
        -32768.0,
        -2147483648.0,
        -9223372036854775808.0,
        -1.0,
        -1.0,
        -0.5,
        1e300,
    ];
    let last = [
        0.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        f64::INFINITY,
        f64::MIN_POSITIVE,
    ];
    for (index, field) in batch.schema().fields().iter().enumerate() {
        let expected = [Some(first[index]), None, Some(last[index])];
        let column = batch.at(index).unwrap();
        // `collect` asks item by item, `for_each` the whole column at once.
        assert_eq!(column.numbers().unwrap().collect::<Vec<_>>(), expected, "{field}");
        let mut whole = Vec::new();
        column.numbers().unwrap().for_each(|x| whole.push(x));
        assert_eq!(whole, expected, "{field}");
        assert_eq!(
            column.present_numbers().unwrap(),
            [first[index], last[index]],
            "{field}"
        );
        assert_eq!(column.count_missing(), 1);
        assert!(column.is_missing(1) && !column.is_missing(2));
    }
}

#[test]
fn missing_is_not_nan() {
    let batch = batch!["x": fp32 = [f32::NAN, None, 1.0]];
    let x = numbers(&batch, "x");
    assert!(x[0].unwrap().is_nan());
    assert_eq!(x[1], None);
    let options: Vec<Option<f32>> = batch.at(0).unwrap().options::<f32>().unwrap().collect();
    assert!(options[0].unwrap().is_nan());
    assert_eq!(options[1..], [None, Some(1.0)]);
}

#[test]
fn a_shape_is_missing_by_row() {
    let batch = batch![
        "point": fp64[2] = [1.0, 2.0, None, None, 5.0, 6.0],
        "tags": text[2] = ["a", "b", None, None, "", "c"],
    ];
    assert_eq!(
        numbers(&batch, "point"),
        [Some(1.0), Some(2.0), None, None, Some(5.0), Some(6.0)]
    );
    assert_eq!(
        texts(&batch, "tags"),
        [Some("a"), Some("b"), None, None, Some(""), Some("c")]
    );
}

#[test]
fn a_column_of_another_type_is_named() {
    let batch = batch!["city": text = ["Kiel"], "open": boolean = [true]];
    let city = batch.at(0).unwrap();
    let error = city.slice::<f32>().unwrap_err().to_string();
    assert!(error.contains("column `city: text` was read as fp32"), "{error}");
    assert!(city.numbers().is_err());
    assert!(city.bools().is_err());
    assert!(batch.at(1).unwrap().texts().is_err());
    assert_eq!(
        batch.at(1).unwrap().bools().unwrap().collect::<Vec<_>>(),
        [Some(true)]
    );
    let error = batch.at(2).unwrap_err().to_string();
    assert!(error.contains("column 2 was read of a batch of 2"), "{error}");
}

#[test]
fn builders_fill_columns() {
    let schema = schema!["a": fp32?, "b": fp64, "c": text?, "d": int64, "e": fp32[2]?];
    let mut builder = BatchBuilder::new(schema.clone(), 2).unwrap();
    builder.fill(0, [None, Some(2.0f32)]).unwrap();
    builder.fill_numbers(1, [Some(0.1), Some(0.2)]).unwrap();
    builder.fill_text(2, [Some("ü"), None]).unwrap();
    builder
        .slice_mut::<i64>(3)
        .unwrap()
        .copy_from_slice(&[i64::MIN, i64::MAX]);
    builder.fill(4, [Some(1.0f32), Some(2.0), None, None]).unwrap();
    let batch = builder.finish().unwrap();
    let expected = batch![
        "a": fp32 = [None, 2.0],
        "b": fp64 = [0.1, 0.2],
        "c": text = ["ü", None],
        "d": int64 = [i64::MIN, i64::MAX],
        "e": fp32[2] = [1.0, 2.0, None, None],
    ];
    assert!(batch.is_same(&expected), "{batch:?}");
}

#[test]
fn builders_refuse_what_does_not_fit() {
    let mut builder = BatchBuilder::new(schema!["a": fp32, "b": text], 2).unwrap();
    let message = |r: Result<(), Error>| r.unwrap_err().to_string();
    assert!(message(builder.fill(0, [Some(1.0f32)])).contains("column `a`"));
    assert!(message(builder.fill(0, [Some(1.0f32); 3])).contains("2 rows"));
    assert!(message(builder.fill(0, [Some(1.0f64); 2])).contains("`a: fp32` was written as fp64"));
    assert!(message(builder.fill_numbers(1, [None; 2])).contains("written as fp32 or fp64"));
    assert!(message(builder.fill_text(0, [Some("x"); 2])).contains("written as text"));
    assert!(message(builder.fill_text(1, [Some("x"); 3])).contains("column `b`"));
    assert!(message(builder.fill(7, [Some(1.0f32); 2])).contains("column 7"));
}

#[test]
fn map_carries_what_is_missing() {
    let input = batch!["x": int32 = [1, None, -3]];
    let mut builder = BatchBuilder::new(schema!["y": fp64?], 3).unwrap();
    builder
        .map(0, &input.at(0).unwrap(), |x: i32| f64::from(x) + 10.0)
        .unwrap();
    let batch = builder.finish().unwrap();
    assert_column(&batch, "y", &[Some(11.0), None, Some(7.0)], 0.0);
    // Under a missing value the contract wants zero.
    assert_eq!(batch.at(0).unwrap().slice::<f64>().unwrap()[1], 0.0);
}

#[test]
fn editing_reuses_the_memory() {
    let input = batch!["x": fp32 = [1.0, 2.0], "y": fp32 = [3.0, 4.0]];
    let before = input.at(0).unwrap().slice::<f32>().unwrap().as_ptr();
    let output = schema!["x2": fp32, "y": fp32?];
    let mut edit = BatchEditor::new(input, &output).unwrap();
    edit.slice_mut::<f32>(0)
        .unwrap()
        .iter_mut()
        .for_each(|x| *x *= 2.0);
    edit.set_missing::<f32>(1, 1).unwrap();
    let batch = edit.finish();
    assert!(std::ptr::eq(
        batch.at(0).unwrap().slice::<f32>().unwrap().as_ptr(),
        before
    ));
    assert_batches_close(
        &batch,
        &batch!["x2": fp32 = [2.0, 4.0], "y": fp32 = [3.0, None]],
        0.0,
    );
}

#[test]
fn editing_fills_one_column_and_leaves_its_neighbour_in_the_block() {
    let input = batch![
        "x": fp32 = [None, 2.0, None, 4.0, 5.0, 6.0, 7.0, 8.0, None],
        "y": fp32 = [1.0, None, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    ];
    let mut edit = BatchEditor::new(input, &schema!["x": fp32, "y": fp32?]).unwrap();
    edit.fill_missing(0, -1.0f32).unwrap();
    let expected = batch![
        "x": fp32 = [-1.0, 2.0, -1.0, 4.0, 5.0, 6.0, 7.0, 8.0, -1.0],
        "y": fp32 = [1.0, None, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    ];
    assert_batches_close(&edit.finish(), &expected, 0.0);
}

#[test]
fn editing_refuses_another_layout() {
    let input = batch!["x": fp32 = [1.0]];
    let error = BatchEditor::new(input.clone(), &schema!["x": fp64]).unwrap_err();
    assert!(error.to_string().contains("(x: fp64)"), "{error}");
    let mut edit = BatchEditor::new(input, &schema!["x": fp32]).unwrap();
    assert!(edit.slice_mut::<f64>(0).is_err());
    assert!(edit.slice_mut::<f32>(1).is_err());
    assert!(edit.set_missing::<f32>(0, 1).is_err());
}

#[test]
fn empty_batches_are_batches() {
    let input = batch!["x": fp32 = [], "c": text = []];
    assert_eq!(input.rows(), 0);
    let mut edit = BatchEditor::new(input.clone(), input.schema()).unwrap();
    edit.fill_missing(0, 1.0f32).unwrap();
    assert!(edit.slice_mut::<f32>(0).unwrap().is_empty());
    assert!(input.at(1).unwrap().texts().unwrap().next().is_none());
    assert_eq!(input.at(0).unwrap().numbers().unwrap().len(), 0);
}

#[test]
fn output_plans_keep_order_and_values() {
    let input = batch![
        "id": int64 = [7, 8],
        "city": text = ["Kiel", None],
        "spent": fp32 = [1.0, None],
    ];
    let mut plan = OutputPlan::of(input.schema());
    let dummies = ["city_kiel", "city_bonn"].map(|name| Field::new(name, DataType::Fp32));
    plan.replace_with("city", dummies).unwrap();
    plan.replace("spent", Field::new("spent", DataType::Fp64).nullable())
        .unwrap();
    plan.append(Field::new("is_new", DataType::Boolean));
    let output = plan.finish().unwrap();
    assert_eq!(
        output.schema().to_string(),
        "(id: int64, city_kiel: fp32, city_bonn: fp32, spent: fp64?, is_new: boolean)"
    );
    assert_eq!(output.index_of("spent").unwrap(), 3);
    assert!(output.index_of("city").is_err());
    let batch = output.begin(&input).unwrap().finish().unwrap();
    assert_column(&batch, "id", &[Some(7.0), Some(8.0)], 0.0);
    assert_column(&batch, "spent", &[Some(0.0), Some(0.0)], 0.0);
    assert!(output.begin(&batch!["x": fp32 = [1.0]]).is_err());
}

#[test]
fn output_plans_name_mistakes() {
    let schema = schema!["a": fp32, "b": fp32];
    let mut plan = OutputPlan::of(&schema);
    let unknown = plan.remove("c").unwrap_err().to_string();
    assert!(
        unknown.contains("no column `c`; the columns are `a`, `b`"),
        "{unknown}"
    );
    plan.remove("a").unwrap();
    let twice = plan.remove("a").unwrap_err().to_string();
    assert!(twice.contains("`a` is used by two settings"), "{twice}");
    plan.append(Field::new("b", DataType::Text));
    let duplicate = plan.finish().unwrap_err().to_string();
    assert!(duplicate.contains("two fields are named `b`"), "{duplicate}");
}
