//! Records as releases before wrote them: read, changed and counted as if they were new.

use caisson_registry::{
    DeploymentStore, FourEyes, ModelPin, Models, NewRevision, Origin, Pins, Plugins, RegistryError, Stage,
    Transition, VersionRef, usage,
};
use caisson_store::{Commit, Digest, Expect, Op};
use serde_json::{Value, json};

use crate::{Fixture, churn, fixture, put, revision, tenant, upload};

impl Fixture {
    fn write(&self, key: &str, record: &Value) {
        let bytes = json!({"format": 1, "record": record}).to_string();
        let op = Op::put(key, Expect::Absent, bytes);
        assert_eq!(self.store.metadata().commit(&[op]).unwrap(), Commit::Done);
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        self.store.blobs().put(bytes).unwrap().digest
    }

    /// A store with one plugin, a model of two versions and a deployment of one revision.
    fn old() -> Self {
        let f = fixture();
        let at = "2026-01-01T00:00:00.000Z";
        f.write(
            "plugin/a/clip/1.0.0",
            &json!({
                "name": "clip", "version": "1.0.0", "world": "transform", "digest": f.blob(b"component"),
                "size": 9, "config_schema": "{}", "help": "", "imports": [], "wit_version": null,
                "created_at": at,
            }),
        );
        f.write(
            "model/a/churn",
            &json!({"name": "churn", "latest": 2, "aliases": {"champion": 1}}),
        );
        // As `Fixture::model` would be registered.
        let details = f.blob(br#"{"signature":{"inputs":[]},"metadata":{"auc":0.8}}"#);
        for (version, bytes) in [(1, b"1"), (2, b"2")] {
            let digest = f.blob(bytes);
            f.write(
                &format!("model-version/a/churn/{version:020}"),
                &json!({
                    "name": "churn", "version": version, "digest": digest, "size": 1, "baseline": null,
                    "details": details, "created_at": at,
                }),
            );
            let content = Digest::of(format!("{digest} {details} ").as_bytes());
            f.write(
                &format!("model-content/a/churn/{}", content.hex()),
                &json!({"version": version}),
            );
        }
        let spec = json!({"model": {"name": "churn", "version": 2}});
        f.write(
            "deployment/a/web",
            &json!({"name": "web", "live": 1, "latest": 1}),
        );
        f.write(
            "revision/a/web/00000000000000000001",
            &json!({
                "name": "web", "number": 1, "spec": f.blob(spec.to_string().as_bytes()), "author": "local",
                "created_at": at,
            }),
        );
        f.write(
            "monitor-state/a/web/00000000000000000001/ks",
            &json!({"digest": f.blob(b"sketch"), "created_at": at}),
        );
        f
    }
}

#[test]
fn old_plugins_are_read_and_yanked() {
    let f = Fixture::old();
    let (plugins, a) = (Plugins::new(f.store.clone()), tenant("a"));
    let record = plugins.resolve(&a, "clip").unwrap();
    assert_eq!((record.yanked, record.signature), (None, None));
    put(&plugins, &a, upload("clip", "1.0.1"), b"later").unwrap();
    plugins.yank(&a, "clip", "1.0.0", "ann", "old").unwrap();
    assert!(plugins.resolve(&a, "clip@=1.0.0").unwrap().yanked.is_some());
    assert_eq!(usage(&f.store, &a).unwrap().plugin_versions, 2);
}

#[test]
fn old_models_are_found_again_numbered_on_and_approved() {
    let f = Fixture::old();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let champion = models
        .resolve(&a, "churn", &VersionRef::Alias("champion".to_owned()))
        .unwrap();
    assert_eq!((champion.version, champion.stage), (1, Stage::Draft));
    assert_eq!(churn(&f, &a, b"2"), 2, "the same contents as before");
    assert_eq!(churn(&f, &a, b"3"), 3);
    let step = Transition {
        to: Stage::Pending,
        by: "ann",
        owner: None,
        why: "",
        expected_from: Some(Stage::Draft),
        four_eyes: FourEyes::Keys,
    };
    models.transition(&a, "churn", 1, step).unwrap();
    models
        .set_alias(&a, "churn", "champion", Some(2), Some(1), "ann")
        .unwrap();
    models.delete(&a, "churn", 1, "ann", "").unwrap();
    assert_eq!(models.versions(&a, "churn").unwrap().len(), 2);
}

#[test]
fn an_old_deployment_still_protects_its_model() {
    let f = Fixture::old();
    let (models, deployments, a) = (
        Models::new(f.store.clone()),
        DeploymentStore::new(f.store.clone()),
        tenant("a"),
    );
    let live = deployments.live(&a, "web").unwrap().unwrap();
    assert_eq!((live.pins, live.origin), (None, Origin::Apply));
    assert_eq!(deployments.monitor_state(&a, "web", 1, "ks").unwrap(), None);
    let refused = models.delete(&a, "churn", 2, "ann", "").unwrap_err();
    assert!(
        matches!(&refused, RegistryError::InUse { users, .. } if users == &["deployment web"]),
        "{refused}"
    );
    let on_one = NewRevision {
        pins: Pins {
            models: [ModelPin {
                name: "churn".to_owned(),
                version: 1,
            }]
            .into(),
            ..Pins::default()
        },
        ..revision(json!({"model": {"name": "churn", "version": 1}}))
    };
    deployments.append(&a, "web", on_one).unwrap();
    models.delete(&a, "churn", 2, "ann", "").unwrap();
}

#[test]
fn an_old_store_is_counted_once() {
    let f = Fixture::old();
    let a = tenant("a");
    let before = usage(&f.store, &a).unwrap();
    assert_eq!(
        (
            before.plugins,
            before.models,
            before.model_versions,
            before.deployments
        ),
        (1, 1, 2, 1)
    );
    // Component; two files with their details; the spec.
    assert_eq!(before.stored_bytes, 9 + 2 * (1 + 50) + 38);
    churn(&f, &a, b"3");
    let after = usage(&f.store, &a).unwrap();
    assert_eq!(after.stored_bytes, before.stored_bytes + 1 + 50);
    assert_eq!(after.model_versions, 3);
}
