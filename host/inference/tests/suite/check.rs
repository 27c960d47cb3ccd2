//! Uploaded files are looked at in a worker process.

use std::fs;
use std::time::Duration;

use caisson_data::DataType;
use caisson_inference::{CheckLimits, Model, ModelRejected, SessionOptions, Signature, WorkerCommand, check};

use crate::fixtures::{file, model, runtime};

fn worker() -> WorkerCommand {
    WorkerCommand {
        program: env!("CARGO_BIN_EXE_caisson-model-worker").into(),
        args: Vec::new(),
    }
}

fn check_file(path: &std::path::Path) -> Result<Signature, ModelRejected> {
    check(&worker(), runtime(), path, &CheckLimits::default())
}

#[test]
fn the_signature_is_that_of_the_loaded_model() {
    for name in [
        "mlp",
        "trees",
        "identity",
        "strings",
        "several_inputs",
        "dynamic",
        "fixed_batch",
        "spin",
    ] {
        let signature = check_file(&file(name)).unwrap();
        assert_eq!(&signature, model(name).signature(), "{name}");
        let json = serde_json::to_string(&signature).unwrap();
        assert_eq!(serde_json::from_str::<Signature>(&json).unwrap(), signature);
    }
}

#[test]
fn what_a_signature_says() {
    let mlp = check_file(&file("mlp")).unwrap();
    let [x] = mlp.inputs.as_slice() else {
        panic!("{mlp:?}")
    };
    assert_eq!(
        (x.name.as_str(), x.data_type, x.shape.as_slice()),
        ("X", DataType::Fp32, [-1, 64].as_slice())
    );
    assert_eq!(
        mlp.output("probabilities").unwrap().to_string(),
        "probabilities: fp32[?, 2]"
    );
    assert_eq!(mlp.output("label").unwrap().to_string(), "label: int64[?]");
    assert_eq!(mlp.onnx.producer, "skl2onnx");
    assert_eq!(mlp.onnx.graph_name, "mlp");
    assert_eq!((mlp.onnx.ir_version, mlp.onnx.opsets[""]), (10, 21));
    assert_eq!(mlp.onnx.custom["trained_by"], "make.py");
    let identity = check_file(&file("identity")).unwrap();
    for spec in &identity.inputs {
        assert_eq!(
            (spec.name.as_str(), spec.shape.as_slice()),
            (spec.data_type.name(), [-1].as_slice())
        );
    }
    let fixed = check_file(&file("fixed_batch")).unwrap();
    assert_eq!(fixed.inputs[0].shape, [1, 4]);
}

/// Refused by the check, and by a load that skips the check, for the same reason.
fn rejected(path: &std::path::Path) -> ModelRejected {
    let rejected = check_file(path).unwrap_err();
    assert!(!rejected.is_host_fault(), "{rejected}");
    let options = SessionOptions {
        sessions: Some(1),
        ..SessionOptions::default()
    };
    let loaded = Model::load(runtime(), path, &options).unwrap_err();
    assert_eq!(loaded.to_string(), rejected.to_string());
    rejected
}

#[test]
fn truncated_files() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(file("trees")).unwrap();
    for (i, length) in [0, 1, 7, 100, whole.len() / 2, whole.len() - 1]
        .into_iter()
        .enumerate()
    {
        let path = folder.path().join(format!("{i}.onnx"));
        fs::write(&path, &whole[..length]).unwrap();
        let rejected = rejected(&path);
        assert!(
            matches!(rejected, ModelRejected::NotOnnx { .. }),
            "{length}: {rejected}"
        );
    }
}

#[test]
fn damaged_files_are_refused_or_load() {
    // Every byte of a small model, changed: never a crash, never a host fault.
    let whole = fs::read(file("several_inputs")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.onnx");
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        if let Err(rejected) = check_file(&path) {
            assert!(!rejected.is_host_fault(), "byte {at}: {rejected}");
        }
    }
}

#[test]
fn operators_that_are_not_there() {
    for (name, operator) in [("custom_operator", "Frobnicate"), ("unknown_operator", "Zorch")] {
        let rejected = rejected(&file(name));
        assert!(
            matches!(rejected, ModelRejected::Unsupported { .. }),
            "{rejected}"
        );
        let message = rejected.to_string();
        assert!(
            message.contains(operator) && message.contains(runtime().version()),
            "{message}"
        );
    }
}

#[test]
fn sequences_of_maps() {
    let message = rejected(&file("zipmap")).to_string();
    assert!(
        message.contains("zipmap=False") && message.contains("output_probability"),
        "{message}"
    );
}

#[test]
fn external_data() {
    let rejected = rejected(&file("external_data"));
    assert_eq!(rejected, ModelRejected::ExternalData { tensor: "w".into() });
}

#[test]
fn sizes_and_missing_files() {
    let limits = CheckLimits {
        file_bytes_max: 1000,
        ..CheckLimits::default()
    };
    let rejected = check(&worker(), runtime(), &file("mlp"), &limits).unwrap_err();
    assert!(
        matches!(rejected, ModelRejected::TooLarge { bytes_max: 1000, .. }),
        "{rejected}"
    );
    let rejected = check_file(&file("no_such_model")).unwrap_err();
    assert!(rejected.is_host_fault(), "{rejected}");
}

#[test]
fn a_worker_without_memory_says_so() {
    // Enough to start and to load the library, not to load the model.
    let mut refused = 0;
    for mib in [8, 16, 32, 48, 64, 96, 128] {
        let limits = CheckLimits {
            memory_bytes_max: mib << 20,
            ..CheckLimits::default()
        };
        if let Err(rejected) = check(&worker(), runtime(), &file("mlp"), &limits) {
            refused += 1;
            assert!(!rejected.to_string().is_empty());
        }
    }
    assert!(refused > 0, "8 MiB were enough for ONNX Runtime");
}

#[test]
fn a_worker_that_does_not_answer() {
    let shell = |script: &str| WorkerCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
    };
    let limits = CheckLimits {
        wall_max: Duration::from_millis(200),
        ..CheckLimits::default()
    };
    for (script, says) in [
        ("exec sleep 60", "longer than 0.2 s"),
        ("exit 3", "exit status: 3"),
        ("echo boom >&2; kill -SEGV $$", "signal 11. boom"),
        ("kill -XCPU $$", "60 s of CPU time"),
        (
            "echo 'terminate called: std::bad_alloc' >&2; kill -ABRT $$",
            "4096 MiB of memory",
        ),
        ("echo '{\"accepted\":1}'", "exit status: 0"),
    ] {
        let rejected = check(&shell(script), runtime(), &file("mlp"), &limits).unwrap_err();
        assert!(
            matches!(rejected, ModelRejected::Crashed { .. }),
            "{script}: {rejected}"
        );
        assert!(rejected.to_string().contains(says), "{script}: {rejected}");
    }
    let nothing = WorkerCommand {
        program: "/no/such/program".into(),
        args: Vec::new(),
    };
    assert!(
        check(&nothing, runtime(), &file("mlp"), &limits)
            .unwrap_err()
            .is_host_fault()
    );
}
