//! What is too large, too long, or would leave its place.

use caisson_registry::{
    DeploymentStore, ModelUpload, Models, NewRevision, Outcome, PluginUpload, Plugins, VersionRef,
};
use serde_json::{Value, json};

use crate::{fixture, put, revision, tenant, upload};

#[test]
fn names_and_versions_that_would_leave_their_place_are_refused() {
    let f = fixture();
    let (plugins, models, a) = (
        Plugins::new(f.store.clone()),
        Models::new(f.store.clone()),
        tenant("a"),
    );
    let deployments = DeploymentStore::new(f.store.clone());
    for name in ["../../etc/passwd", "a/b", "", "A", "a@1", "a\n", &"a".repeat(65)] {
        let codes = [
            put(&plugins, &a, upload(name, "1.0.0"), b"x").unwrap_err().code(),
            models.register(&a, name, f.model(b"x")).unwrap_err().code(),
            deployments
                .append(&a, name, revision(Value::Null))
                .unwrap_err()
                .code(),
        ];
        assert_eq!(codes, ["bad-name"; 3], "{name:?}");
        assert_eq!(deployments.live(&a, name).unwrap(), None);
        assert_eq!(deployments.revision(&a, name, 1).unwrap_err().code(), "not-found");
    }
    let long = format!("1.0.0-{}", "x".repeat(5000));
    for version in [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0+build",
        "1.0.0/../x",
        &long,
    ] {
        let error = put(&plugins, &a, upload("clip", version), b"x").unwrap_err();
        assert_eq!(error.code(), "bad-version", "{version}");
        assert!(error.to_string().len() < 400, "{error}");
    }
    // Asking is bounded as storing is.
    for reference in [
        format!("clip@{long}"),
        format!("clip@>={long}"),
        "clip@\u{1b}[31m".to_owned(),
    ] {
        let error = plugins.resolve(&a, &reference).unwrap_err();
        assert_eq!(error.code(), "bad-version", "{reference}");
        let text = error.to_string();
        assert!(text.len() < 600 && !text.contains('\u{1b}'), "{text}");
    }
    assert!(plugins.list(&a).unwrap().is_empty() && models.list(&a).unwrap().is_empty());
}

#[test]
fn a_manifest_fits_one_record_or_is_refused() {
    let f = fixture();
    let (plugins, a) = (Plugins::new(f.store.clone()), tenant("a"));
    let largest = PluginUpload {
        config_schema: format!("\"{}\"", "x".repeat(64 * 1024 - 2)),
        help: "x".repeat(16 * 1024),
        ..upload("clip", "1.0.0")
    };
    let stored = put(&plugins, &a, largest.clone(), b"x").unwrap().into_record();
    assert_eq!(plugins.resolve(&a, "clip").unwrap(), stored);
    // As long, and longer as JSON.
    let escaped = PluginUpload {
        help: "\0".repeat(16 * 1024),
        version: "1.0.1".to_owned(),
        ..largest
    };
    let error = put(&plugins, &a, escaped, b"x").unwrap_err();
    assert_eq!(error.code(), "too-many");
    assert!(
        error.to_string().contains("config schema, help and imports"),
        "{error}"
    );
}

#[test]
fn documents_are_bounded() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let megabyte = json!("x".repeat(1 << 20));
    let large = ModelUpload {
        metadata: megabyte.clone(),
        ..f.model(b"m")
    };
    let record = models.register(&a, "churn", large).unwrap().into_record();
    assert_eq!(models.resolve(&a, "churn", &VersionRef::Latest).unwrap(), record);
    let too_large = ModelUpload {
        metadata: json!(vec![megabyte; 9]),
        ..f.model(b"m")
    };
    assert_eq!(
        models.register(&a, "churn", too_large).unwrap_err().code(),
        "too-many"
    );

    let deployments = DeploymentStore::new(f.store.clone());
    let error = deployments
        .append(
            &a,
            "churn",
            NewRevision {
                author: "x".repeat(257),
                ..revision(Value::Null)
            },
        )
        .unwrap_err();
    assert_eq!(error.code(), "too-many");
    for i in 0..64 {
        models
            .set_alias(&a, "churn", &format!("role-{i}"), Some(1), None, "ann")
            .unwrap();
    }
    assert_eq!(
        models
            .set_alias(&a, "churn", "one-more", Some(1), None, "ann")
            .unwrap_err()
            .code(),
        "too-many"
    );
}

#[test]
fn each_part_of_a_model_makes_another_version_and_an_older_one_is_found_again() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let baseline = |content_type: &str, bytes: &[u8]| {
        Some(caisson_registry::Baseline {
            content_type: content_type.to_owned(),
            bytes: bytes.to_vec(),
        })
    };
    let variants: Vec<fn(ModelUpload) -> ModelUpload> = vec![
        |u| u,
        |u| ModelUpload {
            metadata: json!({"auc": 0.9}),
            ..u
        },
        |u| ModelUpload {
            signature: json!({"inputs": [1]}),
            ..u
        },
    ];
    for round in 0..2 {
        for (n, variant) in variants.iter().enumerate() {
            let outcome = models.register(&a, "churn", variant(f.model(b"m"))).unwrap();
            assert_eq!(matches!(outcome, Outcome::Created(_)), round == 0);
            assert_eq!(outcome.into_record().version, n as u64 + 1);
        }
        for (n, (content_type, bytes)) in [("text/csv", b"x"), ("text/csv", b"y"), ("text/plain", b"x")]
            .into_iter()
            .enumerate()
        {
            let upload = ModelUpload {
                baseline: baseline(content_type, bytes),
                ..f.model(b"m")
            };
            assert_eq!(
                models
                    .register(&a, "churn", upload)
                    .unwrap()
                    .into_record()
                    .version,
                n as u64 + 4
            );
        }
    }
}
