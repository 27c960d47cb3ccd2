//! Results are those of Python's onnxruntime, bit for bit, by every road into the sessions.

use caisson_data::DataType;
use caisson_inference::{ByteInput, Input, InputValues, Selection, Tensor, ValuesRef, WasiTensorType};

use crate::fixtures::{Case, assert_bits, cases, later, model};

fn assert_same(case: &Case, road: &str, outputs: &[Tensor]) {
    let expected: Vec<_> = case.outputs.iter().collect();
    assert_eq!(outputs.len(), expected.len(), "{} {road}", case.model);
    for (tensor, expected) in outputs.iter().zip(expected) {
        let what = format!("{} {road}: {}", case.model, expected.name);
        assert_eq!(*tensor.name, *expected.name, "{what}");
        assert_eq!(tensor.shape, expected.shape, "{what}");
        assert_eq!(tensor.values.data_type(), expected.data_type, "{what}");
        assert_bits(&tensor.values, &expected.values(), &what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn native_runs() {
    for case in cases() {
        let model = model(&case.model);
        let owned = || case.inputs.iter().map(|i| i.input()).collect::<Vec<_>>();
        // The first run is on the inference threads, later ones are inline where they are short.
        for round in 0..5 {
            let outputs = model.run(owned(), &Selection::ALL, later()).await.unwrap();
            assert_same(&case, &format!("owned, round {round}"), &outputs);
        }
        let values: Vec<_> = case.inputs.iter().map(|i| i.values()).collect();
        let borrowed: Vec<_> = case
            .inputs
            .iter()
            .zip(&values)
            .map(|(i, v)| Input::borrowed(&i.name, &i.shape, ValuesRef::all(v).unwrap()))
            .collect();
        let outputs = model
            .run(borrowed.clone(), &Selection::ALL, later())
            .await
            .unwrap();
        assert_same(&case, "borrowed", &outputs);
        let outputs = tokio::task::spawn_blocking({
            let (model, inputs) = (model.clone(), owned_static(borrowed));
            move || model.run_blocking(inputs, &Selection::ALL, later()).unwrap()
        })
        .await
        .unwrap();
        assert_same(&case, "blocking", &outputs);
    }
}

fn owned_static(inputs: Vec<Input<'_>>) -> Vec<Input<'static>> {
    inputs
        .into_iter()
        .map(|i| Input {
            name: i.name.into_owned().into(),
            shape: i.shape.into_owned().into(),
            values: match i.values {
                InputValues::Owned(v) => InputValues::Owned(v),
                InputValues::Borrowed(v) => InputValues::Owned(v.to_values()),
            },
        })
        .collect()
}

#[tokio::test]
async fn some_outputs_in_any_order() {
    for case in cases() {
        let model = model(&case.model);
        let names: Vec<_> = case.outputs.iter().map(|o| o.name.as_str()).collect();
        let mut reversed = names.clone();
        reversed.reverse();
        for wanted in names.iter().map(|&n| vec![n]).chain([reversed]) {
            let selection = Selection::of(model.signature(), &wanted).unwrap();
            // Twice: what one run leaves in the session must not change the next.
            for _ in 0..2 {
                let inputs = case.inputs.iter().map(|i| i.input()).collect();
                let outputs = model.run(inputs, &selection, later()).await.unwrap();
                assert!(
                    outputs.iter().map(|o| &*o.name).eq(wanted.iter().copied()),
                    "{wanted:?}"
                );
                for output in outputs {
                    let expected = case.outputs.iter().find(|o| *o.name == *output.name).unwrap();
                    assert_eq!(output.shape, expected.shape);
                    assert_bits(
                        &output.values,
                        &expected.values(),
                        &format!("{} {wanted:?}", case.model),
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn long_runs_compute_what_is_wanted_at_any_row_count() {
    let model = crate::fixtures::with_sessions("heavy", 1);
    let selection = Selection::of(model.signature(), &["largest"]).unwrap();
    // The first run of a size is measured with every output, later ones leave the others out.
    for rows in [3usize, 1, 3, 1, 2, 3, 2, 1, 3] {
        let x: Vec<f32> = (0..rows * 256)
            .map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0)
            .collect();
        let shape = [rows, 256];
        let inputs = || vec![Input::borrowed("x", &shape, ValuesRef::Fp32(&x))];
        let whole = model.run(inputs(), &Selection::ALL, later()).await.unwrap();
        let chosen = model.run(inputs(), &selection, later()).await.unwrap();
        assert_eq!(chosen, whole[1..]);
        assert_eq!(chosen[0].shape, [rows]);
    }
}

#[tokio::test]
async fn a_selection_of_another_model() {
    let identity = model("identity");
    let last = Selection::of(identity.signature(), &["fp64_out"]).unwrap();
    let (shape, x) = ([1usize, 64], [0f32; 64]);
    let inputs = vec![Input::borrowed("X", &shape, ValuesRef::Fp32(&x))];
    let error = model("mlp")
        .run(inputs, &last, later())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown output"), "{error}");
}

#[tokio::test]
async fn bytes_from_guests() {
    let mut seen = 0;
    for case in cases() {
        let Some(inputs) = case
            .inputs
            .iter()
            .map(|i| Some((i, WasiTensorType::carrying(i.data_type)?)))
            .collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        seen += 1;
        let model = model(&case.model);
        let dimensions: Vec<Vec<u32>> = inputs
            .iter()
            .map(|(i, _)| i.shape.iter().map(|&d| d as u32).collect())
            .collect();
        // At every address, also those that the element type doesn't have.
        for shift in 0..8 {
            let data: Vec<Vec<u8>> = inputs
                .iter()
                .map(|(i, _)| [vec![0xab; shift], i.bytes()].concat())
                .collect();
            let given: Vec<_> = inputs
                .iter()
                .zip(&dimensions)
                .zip(&data)
                .map(|(((i, t), d), b)| ByteInput {
                    name: &i.name,
                    data_type: *t,
                    dimensions: d,
                    data: &b[shift..],
                })
                .collect();
            let outputs = model.run_bytes(&given, later()).await.unwrap();
            let expected: Vec<_> = case
                .outputs
                .iter()
                .filter(|o| WasiTensorType::carrying(o.data_type).is_some())
                .collect();
            assert_eq!(outputs.len(), expected.len());
            for (output, expected) in outputs.iter().zip(expected) {
                assert_eq!(output.name, expected.name);
                assert_eq!(
                    Some(output.data_type),
                    WasiTensorType::carrying(expected.data_type)
                );
                assert!(
                    output
                        .dimensions
                        .iter()
                        .map(|&d| d as usize)
                        .eq(expected.shape.iter().copied())
                );
                let found = expected.values_of(&output.data);
                assert_bits(
                    &found,
                    &expected.values(),
                    &format!("{} {}", case.model, expected.name),
                );
            }
        }
    }
    assert!(seen >= 8, "only {seen} cases can be given as bytes");
}

#[test]
fn every_type_is_covered() {
    let types: Vec<_> = cases()
        .iter()
        .flat_map(|c| c.outputs.iter().map(|o| o.data_type))
        .collect();
    for data_type in DataType::ALL {
        assert!(
            data_type == DataType::Bytes || types.contains(&data_type),
            "{data_type} is in no case"
        );
    }
}
