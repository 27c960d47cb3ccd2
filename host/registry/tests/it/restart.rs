//! What a restart keeps, and what its sweep removes.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use caisson_registry::{DeploymentStore, Digest, FittedState, Models, Plugins, VersionRef};
use caisson_store::Store;
use serde_json::json;

use crate::{Fixture, fixture, put, revision, tenant, upload};

fn fitted(bytes: &[u8]) -> FittedState {
    FittedState {
        key: Digest::of(b"everything that it was fitted from"),
        reference_rows: 3,
        bytes: bytes.to_vec(),
    }
}

/// Make every blob look as if written a day ago.
fn age_blobs(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age_blobs(&path);
        } else {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(24 * 3600))
                .unwrap();
        }
    }
}

#[test]
fn everything_is_there_after_a_restart_and_orphans_are_not() {
    let f = fixture();
    let a = tenant("a");
    let plugins = Plugins::new(f.store.clone());
    let plugin = put(&plugins, &a, upload("clip", "1.0.0"), b"component")
        .unwrap()
        .into_record();
    let models = Models::new(f.store.clone());
    let baseline = Some(caisson_registry::Baseline {
        content_type: "text/csv".to_owned(),
        bytes: b"x\n1\n".to_vec(),
    });
    let upload = caisson_registry::ModelUpload {
        baseline,
        ..f.model(b"model")
    };
    let model = models.register(&a, "churn", upload).unwrap().into_record();
    models
        .set_alias(&a, "churn", "champion", Some(1), None, "ann")
        .unwrap();
    let deployments = DeploymentStore::new(f.store.clone());
    let first = deployments
        .append(&a, "churn", revision(json!({"v": 1})))
        .unwrap();
    deployments
        .put_monitor_state(&a, "churn", 1, "ks", &fitted(b"sketch"))
        .unwrap();
    deployments.append(&a, "gone", revision(json!({"v": 2}))).unwrap();
    deployments.delete(&a, "gone").unwrap();
    // As if the process had been killed between blob and record.
    let orphan = f.store.blobs().put(b"orphan").unwrap().digest;
    let Fixture { dir, store } = f;
    drop((plugins, models, deployments, store));
    age_blobs(&dir.path().join("data/blobs/sha256"));

    let store = Store::open(dir.path().join("data")).unwrap();
    let report = store.sweep_orphans(Duration::from_secs(3600)).unwrap();
    // Component, model, its details, baseline, two specs and the sketch.
    assert_eq!((report.kept, report.removed), (7, 1));
    assert!(!store.blobs().contains(&orphan).unwrap());
    let (plugins, models) = (Plugins::new(store.clone()), Models::new(store.clone()));
    assert_eq!(plugins.resolve(&a, "clip").unwrap(), plugin);
    assert_eq!(plugins.bytes(&plugin).unwrap(), b"component");
    let champion = models
        .resolve(&a, "churn", &VersionRef::Alias("champion".to_owned()))
        .unwrap();
    assert_eq!(champion, model);
    assert_eq!(fs::read(models.model_path(&champion).unwrap()).unwrap(), b"model");
    assert_eq!(models.baseline(&champion).unwrap().unwrap(), b"x\n1\n");
    let deployments = DeploymentStore::new(store);
    assert_eq!(deployments.live(&a, "churn").unwrap(), Some(first));
    assert_eq!(
        deployments.monitor_state(&a, "churn", 1, "ks").unwrap(),
        Some(fitted(b"sketch"))
    );
    assert_eq!(deployments.live(&a, "gone").unwrap(), None);
    assert_eq!(deployments.revision(&a, "gone", 1).unwrap().spec, json!({"v": 2}));
}

#[test]
fn monitor_states_belong_to_a_revision() {
    let f = fixture();
    let (deployments, a) = (DeploymentStore::new(f.store.clone()), tenant("a"));
    for v in 1..=4 {
        deployments
            .append(&a, "churn", revision(json!({"v": v})))
            .unwrap();
    }
    let put = |number, monitor: &str, state: &[u8]| {
        deployments.put_monitor_state(&a, "churn", number, monitor, &fitted(state))
    };
    put(1, "ks", b"old").unwrap();
    put(1, "ks", b"new").unwrap();
    put(2, "ks", b"two").unwrap();
    let get = |number, monitor| {
        let kept = deployments.monitor_state(&a, "churn", number, monitor).unwrap();
        kept.map(|state| state.bytes)
    };
    assert_eq!(get(1, "ks").unwrap(), b"new");
    assert_eq!(get(2, "ks").unwrap(), b"two");
    assert_eq!((get(1, "psi"), get(9, "ks")), (None, None));
    assert_eq!(put(5, "ks", b"x").unwrap_err().code(), "not-found");
    assert_eq!(put(1, "../x", b"x").unwrap_err().code(), "bad-name");
    // Of one revision they can be dropped, however many they are.
    for i in 0..40 {
        put(1, &format!("ks-{i}"), b"x").unwrap();
    }
    deployments.drop_monitor_states(&a, "churn", 1).unwrap();
    assert_eq!((get(1, "ks"), get(1, "ks-39")), (None, None));
    assert_eq!(get(2, "ks").unwrap(), b"two");
}

#[test]
fn a_damaged_deployment_stops_no_other() {
    let f = fixture();
    let a = tenant("a");
    let deployments = DeploymentStore::new(f.store.clone());
    for name in ["first", "second", "third", "fourth"] {
        deployments
            .append(&a, name, revision(json!({"name": name})))
            .unwrap();
    }
    let damage = |key: &str| {
        let op = caisson_store::Op::put(key, caisson_store::Expect::Any, "{\"format\":1,");
        f.store.metadata().commit(&[op]).unwrap()
    };
    assert_eq!(damage("deployment/a/first"), caisson_store::Commit::Done);
    let page = f.store.metadata().scan(b"revision/a/second/", None, 10).unwrap();
    assert_eq!(
        damage(&String::from_utf8_lossy(&page.entries[0].0)),
        caisson_store::Commit::Done
    );
    let digest = caisson_store::Digest::of(&serde_json::to_vec(&json!({"name": "third"})).unwrap());
    std::fs::remove_file(f.store.blobs().path(&digest).unwrap()).unwrap();

    let live = deployments.list_live(&a).unwrap();
    let names: Vec<_> = live.iter().map(|revision| revision.name.as_str()).collect();
    assert_eq!(names, ["fourth"]);
    // Asked for by name, each says what is wrong with it.
    for (name, code) in [
        ("first", "store-damaged"),
        ("second", "store-damaged"),
        ("third", "blob-missing"),
    ] {
        assert_eq!(deployments.live(&a, name).unwrap_err().code(), code, "{name}");
    }
}
