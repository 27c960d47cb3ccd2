//! Models: numbered versions, aliases, baselines.

use std::collections::BTreeSet;
use std::fs;

use caisson_registry::{
    ALIASES_MAX, AliasExpect, Baseline, Class, MODEL_METADATA_BYTES_MAX, ModelSource, ModelUpload, Outcome,
    TenantId, VersionRef,
};
use caisson_store::Digest;
use serde_json::{Value, json};

use crate::{open, tenant};

pub(crate) fn upload(bytes: &[u8]) -> ModelUpload {
    ModelUpload {
        model: ModelSource::Bytes(bytes.to_vec()),
        signature: json!({"inputs": [{"name": "x", "data_type": "fp32", "shape": [3]}]}),
        metadata: json!({"auc": 0.81, "trained_on": "1997-01 to 1997-12"}),
        baseline: Some(Baseline {
            content_type: "application/json".to_owned(),
            bytes: b"{\"rows\":[]}".to_vec(),
        }),
    }
}

#[test]
fn versions_count_from_one_and_the_same_content_is_the_same_version() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (models, t) = (registry.models(), TenantId::default());
    let first = models.register(&t, "churn", upload(b"m1")).unwrap();
    let Outcome::Created(record) = &first else {
        panic!("{first:?}");
    };
    assert_eq!(
        (record.version, record.digest, record.size),
        (1, Digest::of(b"m1"), 2)
    );
    assert_eq!(record.metadata["auc"], json!(0.81));
    assert_eq!(
        models.register(&t, "churn", upload(b"m1")).unwrap(),
        Outcome::Unchanged(record.clone())
    );

    // Each part counts.
    let variants: Vec<(&str, ModelUpload)> = vec![
        ("model", upload(b"m2")),
        (
            "metadata",
            ModelUpload {
                metadata: json!({"auc": 0.82}),
                ..upload(b"m1")
            },
        ),
        (
            "signature",
            ModelUpload {
                signature: Value::Null,
                ..upload(b"m1")
            },
        ),
        (
            "no baseline",
            ModelUpload {
                baseline: None,
                ..upload(b"m1")
            },
        ),
        (
            "content type",
            ModelUpload {
                baseline: Some(Baseline {
                    content_type: "text/csv".to_owned(),
                    bytes: b"{\"rows\":[]}".to_vec(),
                }),
                ..upload(b"m1")
            },
        ),
    ];
    for (n, (what, variant)) in variants.into_iter().enumerate() {
        let outcome = models.register(&t, "churn", variant).unwrap();
        assert!(outcome.is_created(), "{what}");
        assert_eq!(outcome.record().version, n as u64 + 2, "{what}");
    }
    // The order of members does not count.
    let metadata = serde_json::from_str(r#"{"trained_on":"1997-01 to 1997-12","auc":0.81}"#).unwrap();
    let reordered = ModelUpload {
        metadata,
        ..upload(b"m1")
    };
    assert_eq!(
        models.register(&t, "churn", reordered).unwrap().record().version,
        1
    );
    // Another model counts for itself.
    assert_eq!(
        models
            .register(&t, "other", upload(b"m1"))
            .unwrap()
            .record()
            .version,
        1
    );
}

#[test]
fn a_model_comes_from_memory_a_file_or_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir.path().join("data"));
    let (models, t) = (registry.models(), TenantId::default());
    let bytes = b"a model".repeat(1000);
    let path = dir.path().join("model.onnx");
    fs::write(&path, &bytes).unwrap();
    let mut writer = registry.store().blobs().writer(1_000_000).unwrap();
    writer.append(&bytes).unwrap();
    let info = writer.finish().unwrap();
    for source in [
        ModelSource::Bytes(bytes.clone()),
        ModelSource::File(path.clone()),
        ModelSource::Blob(info),
    ] {
        let model = ModelUpload {
            model: source,
            ..upload(b"")
        };
        let record = models.register(&t, "churn", model).unwrap().into_record();
        assert_eq!((record.version, record.size), (1, 7000));
        let stored = models.model_path(&record).unwrap();
        assert_ne!(stored, path);
        assert_eq!(fs::read(stored).unwrap(), bytes);
        let baseline = models.baseline(&record).unwrap().unwrap();
        assert_eq!(baseline.content_type, "application/json");
        assert_eq!(baseline.bytes, b"{\"rows\":[]}");
    }
    let missing = ModelUpload {
        model: ModelSource::File(dir.path().join("no.onnx")),
        ..upload(b"")
    };
    let error = models.register(&t, "churn", missing).unwrap_err();
    assert_eq!(error.code(), "invalid-upload");
    assert!(error.to_string().contains("no.onnx"), "{error}");

    let plain = ModelUpload {
        baseline: None,
        ..upload(b"m")
    };
    let record = models.register(&t, "plain", plain).unwrap().into_record();
    assert_eq!(models.baseline(&record).unwrap(), None);
}

#[test]
fn a_damaged_model_file_is_never_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (models, t) = (registry.models(), TenantId::default());
    let record = models
        .register(&t, "churn", upload(b"model"))
        .unwrap()
        .into_record();
    let path = models.model_path(&record).unwrap();
    fs::write(&path, b"mode1").unwrap();
    let error = models.model_path(&record).unwrap_err();
    assert_eq!((error.code(), error.class()), ("blob-damaged", Class::Internal));
    // Uploading it again repairs it.
    assert!(
        !models
            .register(&t, "churn", upload(b"model"))
            .unwrap()
            .is_created()
    );
    assert_eq!(fs::read(models.model_path(&record).unwrap()).unwrap(), b"model");
}

#[test]
fn concurrent_registrations_leave_no_gap() {
    const THREADS: u64 = 8;
    const EACH: u64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let t = TenantId::default();
    let versions: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (registry, t) = (&registry, &t);
                scope.spawn(move || {
                    (0..EACH)
                        .map(|n| {
                            let bytes = format!("model {thread} {n}");
                            let outcome = registry.models().register(t, "churn", upload(bytes.as_bytes()));
                            let outcome = outcome.unwrap();
                            assert!(outcome.is_created());
                            // The version is this content's.
                            let record = registry
                                .models()
                                .get(t, "churn", outcome.record().version)
                                .unwrap();
                            assert_eq!(record.digest, Digest::of(bytes.as_bytes()));
                            record.version
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let distinct: BTreeSet<u64> = versions.into_iter().collect();
    assert_eq!(distinct, (1..=THREADS * EACH).collect());
    assert_eq!(
        registry.models().model(&t, "churn").unwrap().latest,
        THREADS * EACH
    );
}

#[test]
fn concurrent_registrations_of_the_same_content_make_one_version() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let t = TenantId::default();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| registry.models().register(&t, "churn", upload(b"same")).unwrap()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|o| o.is_created()).count(), 1);
    assert!(outcomes.iter().all(|o| o.record().version == 1));
    assert_eq!(registry.models().model(&t, "churn").unwrap().latest, 1);
}

#[test]
fn aliases_move_by_compare_and_set() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (models, t) = (registry.models(), TenantId::default());
    for n in 0..3_u8 {
        models.register(&t, "churn", upload(&[n])).unwrap();
    }
    let set = |version, expect| models.set_alias(&t, "churn", "champion", version, expect);
    set(1, AliasExpect::Absent).unwrap();
    let error = set(2, AliasExpect::Absent).unwrap_err();
    assert_eq!(
        (error.code(), error.class()),
        ("changed-meanwhile", Class::Conflict)
    );
    assert!(
        error.to_string().contains("is 1, and nothing was expected"),
        "{error}"
    );
    set(2, AliasExpect::Version(1)).unwrap();
    assert_eq!(
        set(3, AliasExpect::Version(1)).unwrap_err().code(),
        "changed-meanwhile"
    );
    set(3, AliasExpect::Any).unwrap();
    assert_eq!(
        models.aliases(&t, "churn").unwrap(),
        [("champion".to_owned(), 3)].into()
    );

    assert_eq!(set(4, AliasExpect::Any).unwrap_err().code(), "version-not-found");
    assert_eq!(set(0, AliasExpect::Any).unwrap_err().code(), "version-not-found");
    let name = |alias: &str| models.set_alias(&t, "churn", alias, 1, AliasExpect::Any);
    assert_eq!(name("latest").unwrap_err().code(), "invalid-upload");
    assert_eq!(name("3").unwrap_err().code(), "invalid-name");
    assert_eq!(name("../x").unwrap_err().code(), "invalid-name");
    assert_eq!(
        models
            .set_alias(&t, "none", "champion", 1, AliasExpect::Any)
            .unwrap_err()
            .code(),
        "model-not-found"
    );

    let remove = |expect| models.remove_alias(&t, "churn", "champion", expect);
    assert_eq!(
        remove(AliasExpect::Version(1)).unwrap_err().code(),
        "changed-meanwhile"
    );
    remove(AliasExpect::Version(3)).unwrap();
    assert!(models.aliases(&t, "churn").unwrap().is_empty());

    for n in 0..ALIASES_MAX {
        name(&format!("role-{n}")).unwrap();
    }
    assert_eq!(name("one-more").unwrap_err().code(), "too-many");
    name("role-0").unwrap();
}

#[test]
fn of_concurrent_alias_moves_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let t = TenantId::default();
    for n in 0..9_u8 {
        registry.models().register(&t, "churn", upload(&[n])).unwrap();
    }
    let models = registry.models();
    models
        .set_alias(&t, "churn", "champion", 1, AliasExpect::Absent)
        .unwrap();
    let wins: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (2..=9)
            .map(|version| {
                let (registry, t) = (&registry, &t);
                scope.spawn(move || {
                    registry
                        .models()
                        .set_alias(t, "churn", "champion", version, AliasExpect::Version(1))
                        .is_ok()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(wins.iter().filter(|won| **won).count(), 1);
    let winner = wins.iter().position(|won| *won).unwrap() as u64 + 2;
    assert_eq!(models.aliases(&t, "churn").unwrap()["champion"], winner);
}

#[test]
fn references_are_a_number_an_alias_or_latest() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (models, t) = (registry.models(), TenantId::default());
    for n in 0..12_u8 {
        models.register(&t, "churn", upload(&[n])).unwrap();
    }
    models
        .set_alias(&t, "churn", "champion", 7, AliasExpect::Absent)
        .unwrap();
    for (reference, version) in [
        ("churn", 12),
        ("churn@latest", 12),
        ("churn@3", 3),
        ("churn@champion", 7),
    ] {
        assert_eq!(
            models.resolve_reference(&t, reference).unwrap().version,
            version,
            "{reference}"
        );
    }
    assert_eq!(
        models.resolve(&t, "churn", &VersionRef::Latest).unwrap().version,
        12
    );
    for (reference, code, says) in [
        ("churn@13", "version-not-found", "there are 1 to 12"),
        ("churn@0", "version-not-found", "there are 1 to 12"),
        (
            "churn@challenger",
            "version-not-found",
            "there are alias champion",
        ),
        (
            "churn@1.2.3",
            "invalid-version",
            "use a number, an alias or `latest`",
        ),
        ("churn@99999999999999999999999", "invalid-version", "use a number"),
        ("churn@", "invalid-version", "bytes"),
        ("churn@../x", "invalid-name", "alias"),
        ("none@1", "model-not-found", "push it first"),
    ] {
        let error = models.resolve_reference(&t, reference).unwrap_err();
        assert_eq!(error.code(), code, "{reference}: {error}");
        assert!(error.to_string().contains(says), "{reference}: {error}");
    }
}

#[test]
fn lists_are_in_order_and_paged() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (models, t) = (registry.models(), TenantId::default());
    for n in 0..12_u8 {
        models.register(&t, "churn", upload(&[n])).unwrap();
    }
    models.register(&t, "a", upload(b"x")).unwrap();
    models.register(&tenant("other"), "b", upload(b"x")).unwrap();
    let page = models.list(&t, None, 1).unwrap();
    assert_eq!(page.items[0].name, "a");
    let page = models.list(&t, page.next.as_deref(), 1).unwrap();
    assert_eq!((page.items[0].name.as_str(), page.items[0].latest), ("churn", 12));
    assert_eq!(page.next, None);

    let page = models.versions(&t, "churn", None, 10).unwrap();
    let numbers: Vec<u64> = page.items.iter().map(|m| m.version).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    let after = page.next.unwrap().parse().unwrap();
    let page = models.versions(&t, "churn", Some(after), 10).unwrap();
    assert_eq!((page.items.len(), page.next), (2, None));
    assert_eq!(
        models.versions(&t, "none", None, 10).unwrap_err().code(),
        "model-not-found"
    );
}

#[test]
fn what_is_attached_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (models, t) = (registry.models(), TenantId::default());
    let text = |bytes: u64| Value::String("x".repeat(usize::try_from(bytes).unwrap() - 2));
    let largest = |n: u8| ModelUpload {
        metadata: text(MODEL_METADATA_BYTES_MAX),
        signature: text(caisson_registry::MODEL_SIGNATURE_BYTES_MAX),
        ..upload(&[n])
    };
    assert!(models.register(&t, "churn", largest(0)).unwrap().is_created());
    let code = |upload: ModelUpload| models.register(&t, "churn", upload).unwrap_err().code();
    let mut too_large = largest(1);
    too_large.metadata = text(MODEL_METADATA_BYTES_MAX + 1);
    assert_eq!(code(too_large), "too-large");
    let mut too_large = largest(1);
    too_large.signature = text(caisson_registry::MODEL_SIGNATURE_BYTES_MAX + 1);
    assert_eq!(code(too_large), "too-large");
    let mut too_large = largest(1);
    too_large.baseline.as_mut().unwrap().content_type = "x".repeat(129);
    assert_eq!(code(too_large), "too-large");
    let mut deep = largest(1);
    deep.metadata = (0..10_000).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let error = models.register(&t, "churn", deep).unwrap_err();
    assert_eq!(error.code(), "invalid-upload");
    assert_eq!(
        models.register(&t, "../x", largest(1)).unwrap_err().code(),
        "invalid-name"
    );
    assert_eq!(models.model(&t, "churn").unwrap().latest, 1);
}
