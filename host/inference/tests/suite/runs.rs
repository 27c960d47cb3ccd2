//! Runs that end otherwise than with a result, and many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use caisson_data::Values;
use caisson_inference::{
    Arena, ByteInput, InferenceError, Input, Model, Provider, Runtime, Selection, SessionOptions, ValuesRef,
    WasiTensorType,
};

use crate::fixtures::{assert_bits, cases, file, later, library, model, runtime, varlen, with_sessions};

async fn error(model: &Model, inputs: Vec<Input<'_>>) -> String {
    model
        .run(inputs, &Selection::ALL, later())
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_named() {
    let model = model("several_inputs");
    let (three, one) = ([2usize, 3], [2usize, 1]);
    let rows = [2usize];
    let features = || Input::owned("features", &three, Values::Fp32(vec![0.0; 6]));
    let offset = || Input::owned("offset", &one, Values::Fp32(vec![0.0; 2]));
    let times = || Input::owned("times", &rows, Values::Int64(vec![0; 2]));
    assert!(
        model
            .run(vec![times(), offset(), features()], &Selection::ALL, later())
            .await
            .is_ok()
    );

    let missing = error(&model, vec![features(), times()]).await;
    assert!(
        missing.contains("missing input `offset`") && missing.contains("times: int64[?]"),
        "{missing}"
    );
    let twice = error(&model, vec![features(), times(), offset(), times()]).await;
    assert!(twice.contains("repeated input `times`"), "{twice}");
    let unknown = error(
        &model,
        vec![Input::owned("tmies", &rows, Values::Int64(vec![0; 2]))],
    )
    .await;
    assert!(unknown.contains("unknown input `tmies`"), "{unknown}");
    let other = Input::owned("times", &rows, Values::Fp32(vec![0.0; 2]));
    let type_error = error(&model, vec![features(), offset(), other]).await;
    assert_eq!(type_error, "input `times` is int64 and got fp32");
    let wide = [2usize, 4];
    let other = Input::owned("features", &wide, Values::Fp32(vec![0.0; 8]));
    let shape_error = error(&model, vec![other, offset(), times()]).await;
    assert_eq!(
        shape_error,
        "input `features` takes the shape [?, 3] and got [2, 4]"
    );
    let short = Input::owned("features", &three, Values::Fp32(vec![0.0; 5]));
    let length_error = error(&model, vec![short, offset(), times()]).await;
    assert!(
        length_error.contains("needs 6 elements and the data holds 5 elements"),
        "{length_error}"
    );
    let huge = [usize::MAX, 3];
    let other = Input::owned("features", &huge, Values::Fp32(vec![0.0; 6]));
    assert!(
        error(&model, vec![other, offset(), times()])
            .await
            .contains("more elements than")
    );
    // Row counts that disagree are ONNX Runtime's to find.
    let (more, hundred) = ([100usize], vec![0; 100]);
    let other = Input::owned("times", &more, Values::Int64(hundred));
    let run_error = error(&model, vec![features(), offset(), other]).await;
    assert!(run_error.starts_with("running the model failed: "), "{run_error}");
    // And the sessions are fine after all this.
    assert!(
        model
            .run(vec![features(), offset(), times()], &Selection::ALL, later())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn outputs_that_are_not_there_are_named() {
    let model = model("mlp");
    let unknown = Selection::of(model.signature(), &["probabilitis"])
        .unwrap_err()
        .to_string();
    assert!(
        unknown.contains("unknown output `probabilitis`") && unknown.contains("probabilities: fp32[?, 2]"),
        "{unknown}"
    );
    assert!(Selection::of(model.signature(), &["label", "label"]).is_err());
}

#[tokio::test]
async fn elements_that_onnx_runtime_can_not_take() {
    let (strings, identity) = (model("strings"), model("identity"));
    let one = [1usize];
    let nul = vec![Input::owned("text", &one, Values::Text(varlen(&["a\0b"])))];
    assert!(
        error(&strings, nul)
            .await
            .contains("element 0 holds a NUL character")
    );
    let inputs = |b: u8| {
        let case = cases().into_iter().find(|c| c.model == "identity").unwrap();
        let mut inputs = Vec::new();
        for i in case.inputs {
            let values = if i.name == "boolean" {
                Values::Boolean(vec![b; 5])
            } else {
                i.values()
            };
            inputs.push(Input {
                name: i.name.into(),
                shape: i.shape.into(),
                values: caisson_inference::InputValues::Owned(values),
            });
        }
        inputs
    };
    assert!(error(&identity, inputs(2)).await.contains("neither 0 nor 1"));
    assert!(identity.run(inputs(1), &Selection::ALL, later()).await.is_ok());
}

#[tokio::test]
async fn bytes_that_are_not_whole_elements_are_an_error() {
    let model = model("dynamic");
    let data = [0u8; 64];
    for length in 0..64 {
        let input = ByteInput {
            name: "x",
            data_type: WasiTensorType::Fp32,
            dimensions: &[2, 3],
            data: &data[..length],
        };
        let result = model.run_bytes(&[input], later()).await;
        assert_eq!(result.is_ok(), length == 24, "{length}");
        if let Err(e) = result {
            assert!(e.to_string().contains("needs 24 bytes"), "{e}");
        }
    }
    for dimensions in [&[u32::MAX, u32::MAX, u32::MAX][..], &[], &[6], &[1, 2, 3]] {
        let input = ByteInput {
            name: "x",
            data_type: WasiTensorType::Fp32,
            dimensions,
            data: &data[..24],
        };
        assert!(
            model.run_bytes(&[input], later()).await.is_err(),
            "{dimensions:?}"
        );
    }
    let input = ByteInput {
        name: "x",
        data_type: WasiTensorType::I32,
        dimensions: &[2, 3],
        data: &data[..24],
    };
    let message = model.run_bytes(&[input], later()).await.unwrap_err().to_string();
    assert_eq!(message, "input `x` is fp32 and got int32");
}

#[tokio::test]
async fn text_outputs_can_not_go_to_guests() {
    let message = model("strings")
        .run_bytes(&[], later())
        .await
        .unwrap_err()
        .to_string();
    assert!(message.contains("wasi:nn has no tensor type"), "{message}");
}

fn times(n: i64) -> Vec<Input<'static>> {
    vec![Input {
        name: "times".into(),
        shape: vec![1].into(),
        values: caisson_inference::InputValues::Owned(Values::Int64(vec![n])),
    }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_never_ends_is_stopped_at_its_deadline() {
    let model = with_sessions("spin", 1);
    const FOR_EVER: i64 = 1_000_000_000_000;
    for inline in [false, true] {
        if inline {
            // Short runs of the same size, until they happen on the caller's thread.
            for _ in 0..50 {
                model.run(times(3), &Selection::ALL, later()).await.unwrap();
            }
        }
        let started = Instant::now();
        let deadline = started + Duration::from_millis(100);
        let error = model
            .run(times(FOR_EVER), &Selection::ALL, deadline)
            .await
            .unwrap_err();
        assert!(matches!(error, InferenceError::Deadline), "{error}");
        assert!(
            (100..10_000).contains(&started.elapsed().as_millis()),
            "{:?}",
            started.elapsed()
        );
        // The only session is free again at once, and unharmed.
        let result = model.run(times(7), &Selection::ALL, later()).await.unwrap();
        let expected = cases().into_iter().find(|c| c.model == "spin").unwrap();
        assert_bits(&result[0].values, &expected.outputs[0].values(), "spin");
    }
    let started = Instant::now();
    let blocking = model.clone();
    let stopped = tokio::task::spawn_blocking(move || {
        blocking.run_blocking(
            times(FOR_EVER),
            &Selection::ALL,
            started + Duration::from_millis(50),
        )
    });
    assert!(matches!(stopped.await.unwrap(), Err(InferenceError::Deadline)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_runs_is_on_their_models_account() {
    let account = Arc::new(AtomicU64::new(0));
    let options = SessionOptions {
        sessions: Some(1),
        ..SessionOptions::default()
    };
    let model = Model::load_on_account(runtime(), &file("spin"), &options, Arc::clone(&account)).unwrap();
    let spent = || account.swap(0, Ordering::Relaxed);
    // On the inference threads, even if it is stopped there.
    let deadline = Instant::now() + Duration::from_millis(100);
    assert!(
        model
            .run(times(1_000_000_000_000), &Selection::ALL, deadline)
            .await
            .is_err()
    );
    drop(model.run(times(3), &Selection::ALL, later()).await);
    let stopped = spent();
    assert!(stopped > 50_000_000, "{stopped}");
    // Where the caller stands, once runs are known to be short.
    for _ in 0..50 {
        model.run(times(3), &Selection::ALL, later()).await.unwrap();
    }
    spent();
    model.run(times(3), &Selection::ALL, later()).await.unwrap();
    assert!(spent() > 0);
    // There a guest's run is in what is measured around the guest.
    let three = 3_i64.to_le_bytes();
    let input = ByteInput {
        name: "times",
        data_type: WasiTensorType::I64,
        dimensions: &[1],
        data: &three,
    };
    model.run_bytes(&[input], later()).await.unwrap();
    assert_eq!(spent(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_waits_for_is_stopped() {
    let model = with_sessions("spin", 1);
    let running = {
        let model = model.clone();
        tokio::spawn(async move {
            model
                .run(times(1_000_000_000_000), &Selection::ALL, later())
                .await
        })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.abort();
    let soon = Instant::now() + Duration::from_secs(20);
    assert!(model.run(times(3), &Selection::ALL, soon).await.is_ok());
}

/// Memory that is kept, given back or never pooled: the same bits, run after run, large after small.
#[tokio::test]
async fn answers_do_not_depend_on_the_arena() {
    for arena in [Arena::Keep, Arena::Shrink, Arena::Off] {
        for case in cases() {
            let options = SessionOptions {
                sessions: Some(1),
                arena,
                ..SessionOptions::default()
            };
            let model = Model::load(runtime(), &file(&case.model), &options).unwrap();
            for _ in 0..3 {
                let inputs = case.inputs.iter().map(|i| i.input()).collect();
                let outputs = model.run(inputs, &Selection::ALL, later()).await.unwrap();
                for (output, expected) in outputs.iter().zip(&case.outputs) {
                    let what = format!("{} {} with {arena:?}", case.model, expected.name);
                    assert_bits(&output.values, &expected.values(), &what);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_runs_are_bounded() {
    let options = SessionOptions {
        sessions: Some(1),
        waiting_max: 2,
        ..SessionOptions::default()
    };
    let model = Model::load(runtime(), &file("spin"), &options).unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    let runs: Vec<_> = (0..6)
        .map(|_| {
            let model = model.clone();
            tokio::spawn(async move {
                model
                    .run(times(1_000_000_000_000), &Selection::ALL, deadline)
                    .await
            })
        })
        .collect();
    let (mut overloaded, mut stopped) = (0, 0);
    for run in runs {
        match run.await.unwrap().unwrap_err() {
            InferenceError::Overloaded { waiting: 2 } => overloaded += 1,
            InferenceError::Deadline => stopped += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((overloaded, stopped), (3, 3));
    assert!(model.run(times(3), &Selection::ALL, later()).await.is_ok());
}

#[tokio::test]
async fn a_deadline_that_has_passed() {
    let model = model("mlp");
    let (shape, x) = ([1usize, 64], [0f32; 64]);
    let inputs = vec![Input::borrowed("X", &shape, ValuesRef::Fp32(&x))];
    let error = model
        .run(inputs, &Selection::ALL, Instant::now())
        .await
        .unwrap_err();
    assert!(matches!(error, InferenceError::Deadline), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_runs_do_not_disturb_each_other() {
    for name in ["mlp", "trees", "heavy", "several_inputs"] {
        let model = with_sessions(name, 3);
        let cases: Arc<Vec<_>> = Arc::new(cases().into_iter().filter(|c| c.model == name).collect());
        let rounds = if name == "heavy" { 10 } else { 200 };
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (model, cases) = (model.clone(), Arc::clone(&cases));
                tokio::spawn(async move {
                    for round in 0..rounds {
                        let case = &cases[(task + round) % cases.len()];
                        let last = case.outputs.last().unwrap();
                        let selection = match round % 3 {
                            0 => Selection::of(model.signature(), &[&last.name]).unwrap(),
                            _ => Selection::ALL,
                        };
                        let inputs = case.inputs.iter().map(|i| i.input()).collect();
                        let outputs = model.run(inputs, &selection, later()).await.unwrap();
                        let output = outputs.last().unwrap();
                        let what = format!("{} round {round}", case.model);
                        assert_bits(&output.values, &last.values(), &what);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[test]
fn cuda_falls_back_only_if_it_may_and_says_so() {
    let cuda = |fallback_to_cpu| SessionOptions {
        provider: Provider::Cuda {
            device_id: 0,
            fallback_to_cpu,
        },
        sessions: Some(1),
        ..SessionOptions::default()
    };
    // The library of the `onnxruntime` package has no CUDA. With another library this test has nothing
    // to say.
    match Model::load(runtime(), &file("mlp"), &cuda(false)) {
        Err(error) => {
            assert!(
                matches!(error, InferenceError::Provider { provider: "cuda", .. }),
                "{error}"
            );
            let model = Model::load(runtime(), &file("mlp"), &cuda(true)).unwrap();
            assert_eq!(model.provider().provider, "cpu");
            assert!(
                model
                    .provider()
                    .fallback
                    .as_ref()
                    .is_some_and(|reason| reason.contains("CUDA"))
            );
        }
        Ok(model) => assert_eq!(
            (model.provider().provider, &model.provider().fallback),
            ("cuda", &None)
        ),
    }
    let cpu = model("mlp");
    assert_eq!(
        (cpu.provider().provider, &cpu.provider().fallback),
        ("cpu", &None)
    );
}

#[test]
fn one_library_a_process() {
    assert!(Runtime::load(&library()).is_ok());
    assert_eq!(runtime().version().split('.').count(), 3);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("other.so");
    std::fs::write(&copy, b"not a library").unwrap();
    runtime();
    assert!(matches!(
        Runtime::load(&copy),
        Err(InferenceError::SecondLibrary { .. })
    ));
    let nowhere = Runtime::load(&folder.path().join("none.so")).unwrap_err();
    assert!(matches!(nowhere, InferenceError::Library { .. }), "{nowhere}");
}

#[test]
fn options_out_of_range() {
    for options in [
        SessionOptions {
            sessions: Some(0),
            ..SessionOptions::default()
        },
        SessionOptions {
            sessions: Some(100_000),
            ..SessionOptions::default()
        },
        SessionOptions {
            intra_op_threads: 0,
            ..SessionOptions::default()
        },
    ] {
        let error = Model::load(runtime(), &file("mlp"), &options).unwrap_err();
        assert!(matches!(error, InferenceError::Options(_)), "{error}");
    }
}
