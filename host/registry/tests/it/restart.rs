//! What a restart keeps, and what it sweeps.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use caisson_registry::{AliasExpect, LiveExpect, Registry, TenantId};
use caisson_store::Store;
use serde_json::json;

use crate::{models, open, plugins};

/// Make every blob look as if written a day ago.
fn age_blobs(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age_blobs(&path);
        } else {
            let day = Duration::from_secs(24 * 3600);
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - day).unwrap();
        }
    }
}

#[test]
fn everything_is_there_after_a_restart_and_orphans_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let t = TenantId::default();
    let (plugin, model, revision, orphan) = {
        let registry = open(dir.path());
        let plugin = registry
            .plugins()
            .put(&t, plugins::upload("impute", "1.0.0"), b"component")
            .unwrap();
        let model = registry
            .models()
            .register(&t, "churn", models::upload(b"model"))
            .unwrap();
        registry
            .models()
            .set_alias(&t, "churn", "champion", 1, AliasExpect::Absent)
            .unwrap();
        let pinned = json!({"plugins": [plugin.record().digest]});
        let deployments = registry.deployments();
        let revision = deployments
            .append(
                &t,
                "churn",
                &json!({"stages": []}),
                &pinned,
                "ada",
                LiveExpect::Nothing,
            )
            .unwrap();
        deployments
            .put_monitor_state(&t, "churn", 1, "ks", b"sketch")
            .unwrap();
        // As if the process had been killed between blob and record.
        let orphan = registry.store().blobs().put(b"orphan").unwrap().digest;
        (plugin.into_record(), model.into_record(), revision, orphan)
    };
    age_blobs(&dir.path().join("blobs/sha256"));

    let (registry, report) = Registry::open(Store::open(dir.path()).unwrap()).unwrap();
    // Component, model, baseline, spec and sketch.
    assert_eq!((report.kept, report.removed), (5, 1));
    assert!(!registry.store().blobs().contains(&orphan));
    assert_eq!(registry.plugins().resolve(&t, "impute").unwrap(), plugin);
    assert_eq!(registry.plugins().bytes(&plugin.digest).unwrap(), b"component");
    let found = registry.models().resolve_reference(&t, "churn@champion").unwrap();
    assert_eq!(found, model);
    assert_eq!(
        fs::read(registry.models().model_path(&found).unwrap()).unwrap(),
        b"model"
    );
    assert!(registry.models().baseline(&found).unwrap().is_some());
    let deployments = registry.deployments();
    assert_eq!(deployments.live(&t, "churn").unwrap().unwrap(), revision);
    assert_eq!(
        deployments.monitor_state(&t, "churn", 1, "ks").unwrap().unwrap(),
        b"sketch"
    );
    // Numbers go on.
    assert_eq!(
        registry
            .models()
            .register(&t, "churn", models::upload(b"m2"))
            .unwrap()
            .record()
            .version,
        2
    );
}

#[test]
fn a_deleted_deployments_blobs_stay() {
    let dir = tempfile::tempdir().unwrap();
    let t = TenantId::default();
    {
        let registry = open(dir.path());
        let deployments = registry.deployments();
        deployments
            .append(
                &t,
                "churn",
                &json!({"stages": [1]}),
                &json!(null),
                "ada",
                LiveExpect::Any,
            )
            .unwrap();
        deployments.delete(&t, "churn").unwrap();
    }
    age_blobs(&dir.path().join("blobs/sha256"));
    let registry = open(dir.path());
    let revision = registry.deployments().revision(&t, "churn", 1).unwrap();
    assert_eq!(revision.spec, json!({"stages": [1]}));
}
