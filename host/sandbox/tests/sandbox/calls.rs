//! Well-behaved plugins of every world.

use caisson_data::{Block, DataType, Field, Values};
use caisson_sandbox::{DriftStatus, Isolation, Limits, Severity, StageKind, World};

use crate::support::{Request, affine, batch, floats, guest, hostile, meter, sandbox, schema, xs};

#[tokio::test]
async fn inspection_reads_the_manifest_and_the_facts() {
    let component = guest("affine");
    let seen = sandbox().inspect(&component, &meter()).await.unwrap();
    assert_eq!(seen.manifest.name, "affine");
    assert_eq!(seen.manifest.version.to_string(), "1.2.3");
    assert_eq!(seen.manifest.world, World::Transform);
    assert!(seen.manifest.help.contains("scale"));
    assert!(seen.manifest.config_schema["properties"]["scale"].is_object());
    assert_eq!(seen.wit_version.as_deref(), Some("0.1.0"));
    assert!(
        seen.imports.iter().any(|i| i == "caisson:plugin/types@0.1.0"),
        "{:?}",
        seen.imports
    );
    assert!(!seen.needs_models && !seen.needs_wasi);
    assert_eq!(seen.digest.len(), 64);
    assert_eq!(seen.component_bytes, component.len());
    assert!(seen.functions > 0 && seen.code_bytes > 0);
    assert_eq!(seen.not_snapshottable, None);
    // Twice is the same.
    assert_eq!(sandbox().inspect(&component, &meter()).await.unwrap(), seen);
}

#[tokio::test]
async fn a_transform_is_preinitialised_and_applied() {
    let stage = affine().prepare().await.unwrap();
    assert_eq!(*stage.kind(), StageKind::Preinitialised);
    assert_eq!(stage.output_schema(), stage.input_schema());
    let out = stage.apply(&xs(&[0.0, 1.0, -2.5])).await.unwrap();
    assert_eq!(floats(&out), [1.0, 3.0, -4.0]);
    // An empty batch is a batch.
    assert_eq!(stage.apply(&xs(&[])).await.unwrap().rows(), 0);
    let stats = stage.stats();
    assert_eq!(stats.calls, 2);
    assert!(stats.instances >= 2);
    assert!(stats.memory_peak_bytes > 0 && stats.busy <= stats.wall && !stats.busy.is_zero());
    assert!(stats.failures.is_empty());
}

/// Everything that a batch may hold goes through a guest and comes back bit for bit.
#[tokio::test]
async fn every_type_and_missing_values_cross_unchanged() {
    let text = |parts: &[&str]| {
        let mut list = caisson_data::VarLen::default();
        parts.iter().for_each(|p| list.push(p.as_bytes()).unwrap());
        list
    };
    let all: Vec<(DataType, Values)> = vec![
        (DataType::Boolean, Values::Boolean(vec![0, 1, 1])),
        (DataType::Uint8, Values::Uint8(vec![0, 255, 7])),
        (DataType::Uint16, Values::Uint16(vec![0, u16::MAX, 7])),
        (DataType::Uint32, Values::Uint32(vec![0, u32::MAX, 7])),
        (DataType::Uint64, Values::Uint64(vec![0, u64::MAX, (1 << 53) + 1])),
        (DataType::Int8, Values::Int8(vec![i8::MIN, i8::MAX, -1])),
        (DataType::Int16, Values::Int16(vec![i16::MIN, i16::MAX, -1])),
        (DataType::Int32, Values::Int32(vec![i32::MIN, i32::MAX, -1])),
        (
            DataType::Int64,
            Values::Int64(vec![i64::MIN, i64::MAX, (1 << 53) + 1]),
        ),
        (DataType::Fp16, Values::Fp16(vec![0x7e01, 0xfc00, 0x0001])),
        (DataType::Bf16, Values::Bf16(vec![0x7fc1, 0xff80, 0x0001])),
        // NaN travels in bits below; here what can be compared.
        (DataType::Fp32, Values::Fp32(vec![f32::NEG_INFINITY, -0.0, 1e-45])),
        (DataType::Fp64, Values::Fp64(vec![f64::INFINITY, -0.0, 5e-324])),
        (DataType::Text, Values::Text(text(&["", "žluťoučký 🐎", "\0"]))),
        (DataType::Bytes, Values::Bytes(text(&["", "\u{7f}", "x"]))),
    ];
    let fields = all
        .iter()
        .enumerate()
        .map(|(i, (ty, _))| Field::new(format!("f{i}"), *ty).nullable())
        .collect();
    let schema = schema(fields);
    let blocks = all
        .into_iter()
        .enumerate()
        .map(|(i, (_, values))| Block {
            values,
            validity: (i % 2 == 0).then(|| vec![0b101]),
        })
        .collect();
    let input = caisson_data::Batch::new(schema.clone(), 3, blocks).unwrap();
    let mut request = hostile("well");
    request.input = schema;
    let stage = request.prepare().await.unwrap();
    let output = stage.apply(&input).await.unwrap();
    assert_eq!(output, input);
    let (Values::Fp32(a), Values::Fp32(b)) = (&output.blocks()[11].values, &input.blocks()[11].values) else {
        panic!("not floats");
    };
    assert!(a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()));
}

#[tokio::test]
async fn nan_keeps_its_bits() {
    let stage = hostile("well").prepare().await.unwrap();
    let bits = [0x7fc0_0001, 0xffc0_0000, 0x7f80_0000, 0x8000_0000];
    let output = stage.apply(&xs(&bits.map(f32::from_bits))).await.unwrap();
    assert_eq!(
        floats(&output).iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
        bits
    );
}

#[tokio::test]
async fn tensors_and_thirty_columns_are_one_block_each() {
    let columns = (0..30)
        .map(|i| Field::new(format!("c{i}"), DataType::Fp32))
        .collect();
    for schema in [
        schema(columns),
        schema(vec![Field::new("t", DataType::Fp32).with_shape([30])]),
    ] {
        let mut request = affine();
        request.input = schema.clone();
        let stage = request.prepare().await.unwrap();
        let input = batch(
            &schema,
            2,
            vec![Values::Fp32((0..60).map(|i| i as f32).collect())],
        );
        let output = stage.apply(&input).await.unwrap();
        let Values::Fp32(values) = &output.blocks()[0].values else {
            panic!("not floats")
        };
        assert!(values.iter().enumerate().all(|(i, &v)| v == 2.0 * i as f32 + 1.0));
    }
}

#[tokio::test]
async fn a_validator_finds_violations_and_the_host_keeps_a_thousand() {
    let stage = Request::new("validator", World::Validator, "{}")
        .prepare()
        .await
        .unwrap();
    let found = stage.validate(&xs(&[1.0, -2.0, 0.0])).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].row, found[0].column.as_deref()), (Some(1), Some("x")));
    assert_eq!(
        (found[0].code.as_str(), found[0].severity),
        ("negative", Severity::Reject)
    );
    assert_eq!(found[1].severity, Severity::Warn);

    let flood = Request::new("validator", World::Validator, r#"{"flood":5000}"#)
        .prepare()
        .await
        .unwrap();
    let found = flood.validate(&xs(&[1.0])).await.unwrap();
    assert_eq!(found.len(), 1000);
    assert_eq!(found[999].message, "number 999\\nand a line");
}

#[tokio::test]
async fn a_drift_check_sketches_and_compares() {
    let stage = Request::new("drift", World::DriftCheck, "{}")
        .prepare()
        .await
        .unwrap();
    let sketch = stage.fit(&xs(&[1.0, 3.0])).await.unwrap();
    let report = stage.check(&sketch, &xs(&[2.0, 2.5])).await.unwrap();
    assert_eq!(report.status, DriftStatus::Stable);
    let report = stage.check(&sketch, &xs(&[20.0])).await.unwrap();
    assert_eq!(report.status, DriftStatus::Drifted);
    assert_eq!(report.features[0].statistic, Some(18.0));
    let error = stage.check(b"other", &xs(&[2.0])).await.unwrap_err();
    assert_eq!(error.cause.code(), "plugin-internal");

    let nan = Request::new("drift", World::DriftCheck, r#"{"nan":true}"#)
        .prepare()
        .await
        .unwrap();
    let error = nan.check(&sketch, &xs(&[2.0])).await.unwrap_err();
    assert!(
        error.to_string().contains("statistic of feature `x` is NaN"),
        "{error}"
    );
}

#[tokio::test]
async fn fresh_calls_share_nothing_and_warm_ones_do() {
    let fresh = hostile("count").prepare().await.unwrap();
    for _ in 0..3 {
        assert_eq!(floats(&fresh.apply(&xs(&[0.0])).await.unwrap()), [1.0]);
    }
    let mut request = hostile("count");
    request.isolation = Isolation::Warm {
        instances: 1,
        uses: 3,
        memory_bytes: usize::MAX,
    };
    let warm = request.prepare().await.unwrap();
    assert_eq!(
        *warm.kind(),
        StageKind::Warm {
            reason: "the stage asks for it".into()
        }
    );
    let mut counts = Vec::new();
    for _ in 0..7 {
        counts.extend(floats(&warm.apply(&xs(&[0.0])).await.unwrap()));
    }
    // Retired after three uses.
    assert_eq!(counts, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);

    let mut request = hostile("count");
    request.isolation = Isolation::Warm {
        instances: 1,
        uses: 100,
        memory_bytes: 1,
    };
    let heavy = request.prepare().await.unwrap();
    for _ in 0..2 {
        assert_eq!(floats(&heavy.apply(&xs(&[0.0])).await.unwrap()), [1.0]);
    }
}

/// A revision is replaced while calls are under way: they end well, and nothing of it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_may_go_while_it_is_called() {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let stage = std::sync::Arc::new(affine().prepare().await.unwrap());
        for i in 0..20 {
            let stage = std::sync::Arc::clone(&stage);
            tasks.spawn(async move {
                floats(&stage.apply(&xs(&[i as f32])).await.unwrap()) == [2.0 * i as f32 + 1.0]
            });
        }
    }
    while let Some(right) = tasks.join_next().await {
        assert!(right.unwrap());
    }
}

#[tokio::test]
async fn a_large_configured_state_is_snapshotted() {
    let stage = hostile("large-state").prepare().await.unwrap();
    assert_eq!(*stage.kind(), StageKind::Preinitialised);
    assert_eq!(floats(&stage.apply(&xs(&[4.0])).await.unwrap()), [4.0]);
    assert!(stage.stats().memory_peak_bytes > 64 << 20);
}

#[tokio::test]
async fn wrong_use_of_a_stage_is_told() {
    let stage = affine().prepare().await.unwrap();
    let other = batch(
        &schema(vec![Field::new("y", DataType::Fp32)]),
        1,
        vec![Values::Fp32(vec![0.0])],
    );
    let error = stage.apply(&other).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stage acme/churn/step: the stage takes (x: fp32), and was given (y: fp32)"
    );
    let error = stage.validate(&xs(&[0.0])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stage acme/churn/step: a transform has no `validate`"
    );
    assert_eq!(stage.stats().failures.len(), 2);
    for (instances, uses) in [(0, 1), (9, 1), (1, 0)] {
        let mut request = affine();
        request.isolation = Isolation::Warm {
            instances,
            uses,
            memory_bytes: 1 << 20,
        };
        assert_eq!(
            request.prepare().await.unwrap_err().cause.code(),
            "invalid-limits"
        );
    }

    let mut limits = Limits {
        concurrent_calls: 0,
        ..Limits::default()
    };
    let mut request = affine();
    request.limits = limits.clone();
    assert_eq!(
        request.prepare().await.unwrap_err().cause.code(),
        "invalid-limits"
    );
    limits = Limits {
        memory_bytes: usize::MAX,
        ..Limits::default()
    };
    let mut request = affine();
    request.limits = limits;
    assert_eq!(
        request.prepare().await.unwrap_err().cause.code(),
        "invalid-limits"
    );
}
