//! What is kept of a model version, what of it can change, and how it goes.

use std::collections::BTreeMap;

use caisson_registry::{
    DeploymentStore, Lineage, ModelPin, ModelUpload, Models, NewRevision, Outcome, Parent, Pins,
    RegistryError, Source, VersionRef,
};
use caisson_store::Digest;
use serde_json::json;

use crate::{churn, fixture, revision, tenant};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn everything_that_is_uploaded_comes_back() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"parent");
    let lineage = Lineage {
        plugins: [("impute@0.1.0".to_owned(), Digest::of(b"impute"))].into(),
        data: map(&[("s3://lake/churn.parquet", "etag:9b2c")]),
        source: Source {
            git_commit: Some("b6e5b58".to_owned()),
            run_id: Some("run-17".to_owned()),
        },
        parents: vec![Parent {
            name: "churn".to_owned(),
            version: 1,
        }],
    };
    let upload = ModelUpload {
        metrics: [("auc".to_owned(), 0.875)].into(),
        training_data_digest: Some(Digest::of(b"rows").to_string()),
        lineage: lineage.clone(),
        description: "Second\nattempt".to_owned(),
        tags: map(&[("team", "growth")]),
        ..f.model(b"child")
    };
    let stored = models
        .register(&a, "churn", upload.clone())
        .unwrap()
        .into_record();
    let read = models.resolve(&a, "churn", &VersionRef::Number(2)).unwrap();
    assert_eq!(read, stored);
    assert_eq!((read.metrics["auc"], &read.lineage), (0.875, &lineage));
    assert_eq!((read.created_by.as_str(), read.stage.name()), ("ann", "draft"));
    let json = serde_json::to_value(&read).unwrap();
    assert_eq!(json["lineage"]["source"]["git_commit"], json!("b6e5b58"));

    // The same again is the same version, whatever is said of it.
    let again = ModelUpload {
        description: "other".to_owned(),
        ..upload.clone()
    };
    assert!(matches!(models.register(&a, "churn", again).unwrap(), Outcome::Unchanged(r) if r == stored));
    // Other metrics or another run are another version.
    let measured = ModelUpload {
        metrics: [("auc".to_owned(), 0.876)].into(),
        ..upload
    };
    assert_eq!(
        models
            .register(&a, "churn", measured)
            .unwrap()
            .into_record()
            .version,
        3
    );
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let lineage = |edit: fn(&mut Lineage)| {
        let mut lineage = Lineage::default();
        edit(&mut lineage);
        ModelUpload {
            lineage,
            ..f.model(b"m")
        }
    };
    let parent = |version| {
        vec![Parent {
            name: "churn".to_owned(),
            version,
        }]
    };
    let uploads = [
        (
            "bad-text",
            ModelUpload {
                metrics: [("auc".to_owned(), f64::NAN)].into(),
                ..f.model(b"m")
            },
        ),
        (
            "bad-text",
            ModelUpload {
                metrics: [(String::new(), 1.0)].into(),
                ..f.model(b"m")
            },
        ),
        (
            "too-many",
            ModelUpload {
                metrics: (0..600).map(|i| (i.to_string(), 1.0)).collect(),
                ..f.model(b"m")
            },
        ),
        (
            "bad-text",
            ModelUpload {
                training_data_digest: Some("deadbeef".to_owned()),
                ..f.model(b"m")
            },
        ),
        (
            "too-many",
            ModelUpload {
                description: "x".repeat(9000),
                ..f.model(b"m")
            },
        ),
        (
            "bad-text",
            ModelUpload {
                description: "\u{1b}[31m".to_owned(),
                ..f.model(b"m")
            },
        ),
        (
            "bad-text",
            ModelUpload {
                tags: map(&[("", "x")]),
                ..f.model(b"m")
            },
        ),
        (
            "too-many",
            ModelUpload {
                tags: map(&[("x", &"y".repeat(600))]),
                ..f.model(b"m")
            },
        ),
        (
            "too-many",
            ModelUpload {
                created_by: "x".repeat(300),
                ..f.model(b"m")
            },
        ),
        (
            "bad-text",
            lineage(|l| _ = l.data.insert("rows".to_owned(), "7".to_owned())),
        ),
        ("too-many", lineage(|l| l.source.run_id = Some("x".repeat(2000)))),
        (
            "model-not-found",
            ModelUpload {
                lineage: Lineage {
                    parents: parent(0),
                    ..Lineage::default()
                },
                ..f.model(b"m")
            },
        ),
        (
            "model-not-found",
            ModelUpload {
                lineage: Lineage {
                    parents: parent(1),
                    ..Lineage::default()
                },
                ..f.model(b"m")
            },
        ),
    ];
    for (code, upload) in uploads {
        let shown = format!("{upload:?}").chars().take(300).collect::<String>();
        assert_eq!(
            models.register(&a, "churn", upload).unwrap_err().code(),
            code,
            "{shown}"
        );
    }
    assert!(models.versions(&a, "churn").unwrap().is_empty());
}

#[test]
fn tags_and_description_change_and_the_rest_does_not() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"1");
    let patch = |changes: &[(&str, Option<&str>)]| {
        let changes = changes
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned)))
            .collect();
        models.set_tags(&a, "churn", 1, &changes)
    };
    patch(&[("a", Some("1")), ("b", Some("2"))]).unwrap();
    let tagged = patch(&[("a", None), ("c", Some("3")), ("none", None)]).unwrap();
    assert_eq!(tagged.tags, map(&[("b", "2"), ("c", "3")]));
    let described = models.set_description(&a, "churn", 1, "for\npeople").unwrap();
    assert_eq!(described.description, "for\npeople");
    assert_eq!(described.tags, tagged.tags);
    assert_eq!(
        models.resolve(&a, "churn", &VersionRef::Latest).unwrap(),
        described
    );
    let many: BTreeMap<_, _> = (0..65).map(|i| (i.to_string(), Some(String::new()))).collect();
    assert_eq!(
        models.set_tags(&a, "churn", 1, &many).unwrap_err().code(),
        "too-many"
    );
    // The longest that is allowed fits a record, also where JSON escapes it.
    let quotes: BTreeMap<_, _> = (0..62)
        .map(|i| (format!("{}{i:02}", "\"".repeat(62)), Some("\"".repeat(512))))
        .collect();
    models.set_tags(&a, "churn", 1, &quotes).unwrap();
    models
        .set_description(&a, "churn", 1, &"\"".repeat(8 * 1024))
        .unwrap();
    assert_eq!(
        models.set_description(&a, "churn", 2, "x").unwrap_err().code(),
        "model-not-found"
    );
}

#[test]
fn a_deleted_number_is_not_given_out_again() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    for bytes in [b"1", b"2", b"3"] {
        churn(&f, &a, bytes);
    }
    let latest = || {
        models
            .resolve(&a, "churn", &VersionRef::Latest)
            .map(|r| r.version)
    };
    models.delete(&a, "churn", 2, "ann", "it leaks").unwrap();
    assert_eq!(latest().unwrap(), 3);
    models.delete(&a, "churn", 3, "ann", "").unwrap();
    assert_eq!(latest().unwrap(), 1);
    assert_eq!(models.list(&a).unwrap()[0].version, 1);
    let error = models.resolve(&a, "churn", &VersionRef::Number(2)).unwrap_err();
    assert!(error.to_string().contains("deleted by ann"), "{error}");
    let deletion = models.deletion(&a, "churn", 2).unwrap().unwrap();
    assert_eq!((deletion.by.as_str(), deletion.why.as_str()), ("ann", "it leaks"));
    assert_eq!(
        models.delete(&a, "churn", 2, "ann", "").unwrap_err().code(),
        "model-not-found"
    );
    // The very same contents again are a new version.
    assert_eq!(churn(&f, &a, b"3"), 4);
    assert_eq!(latest().unwrap(), 4);
    models.delete(&a, "churn", 1, "ann", "").unwrap();
    models.delete(&a, "churn", 4, "ann", "").unwrap();
    assert!(models.list(&a).unwrap().is_empty());
    assert!(latest().unwrap_err().to_string().contains("deleted"));
    assert_eq!(churn(&f, &a, b"5"), 5);
}

#[test]
fn what_is_used_is_not_deleted() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let deployments = DeploymentStore::new(f.store.clone());
    churn(&f, &a, b"1");
    churn(&f, &a, b"2");
    models
        .set_alias(&a, "churn", "champion", Some(1), None, "ann")
        .unwrap();
    let on = |version| NewRevision {
        pins: Pins {
            models: [ModelPin {
                name: "churn".to_owned(),
                version,
            }]
            .into(),
            ..Pins::default()
        },
        ..revision(json!({"model": {"name": "churn", "version": version}}))
    };
    deployments.append(&a, "web", on(1)).unwrap();
    let users = |version| match models.delete(&a, "churn", version, "ann", "") {
        Err(RegistryError::InUse { users, .. }) => users,
        other => panic!("{other:?}"),
    };
    assert_eq!(users(1), ["alias champion", "deployment web"]);
    deployments.append(&a, "web", on(2)).unwrap();
    models
        .set_alias(&a, "churn", "champion", Some(2), Some(1), "ann")
        .unwrap();
    models.delete(&a, "churn", 1, "ann", "").unwrap();
    // What is gone can't be deployed any more.
    assert_eq!(
        deployments.append(&a, "web", on(1)).unwrap_err().code(),
        "model-not-found"
    );
    models
        .set_alias(&a, "churn", "champion", None, Some(2), "ann")
        .unwrap();
    assert_eq!(users(2), ["deployment web"]);
    deployments.delete(&a, "web").unwrap();
    models.delete(&a, "churn", 2, "ann", "").unwrap();
}
