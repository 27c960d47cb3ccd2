//! How much a tenant has: counted with every change, and from nothing in an old store.

use caisson_registry::{
    Baseline, DeploymentStore, ModelUpload, Models, NewRevision, Origin, Plugins, Usage, usage,
};
use serde_json::json;

use crate::{Fixture, fixture, put, revision, tenant, upload};

/// As a store from before there were ledgers would count it.
fn counted_anew(f: &Fixture, name: &str) -> Usage {
    let key = format!("ledger/{name}");
    let metadata = f.store.metadata();
    let kept = metadata.get(key.as_bytes()).unwrap();
    let done = metadata
        .commit(&[caisson_store::Op::delete(
            key.as_str(),
            caisson_store::Expect::Any,
        )])
        .unwrap();
    assert_eq!(done, caisson_store::Commit::Done);
    let counted = usage(&f.store, &tenant(name)).unwrap();
    if let Some(bytes) = kept {
        let put = caisson_store::Op::put(key.as_str(), caisson_store::Expect::Any, bytes);
        assert_eq!(metadata.commit(&[put]).unwrap(), caisson_store::Commit::Done);
    }
    counted
}

#[test]
fn usage_is_counted_with_every_change() {
    let f = fixture();
    let (a, b) = (tenant("a"), tenant("a-b"));
    let (plugins, models, deployments) = (
        Plugins::new(f.store.clone()),
        Models::new(f.store.clone()),
        DeploymentStore::new(f.store.clone()),
    );
    assert_eq!(usage(&f.store, &a).unwrap(), Usage::default());
    let check = |wanted: Usage| {
        assert_eq!(usage(&f.store, &a).unwrap(), wanted);
        assert_eq!(counted_anew(&f, "a"), wanted);
    };
    let mut wanted = Usage::default();

    for (name, version) in [
        ("clip", "1.0.0"),
        ("clip", "1.0.1"),
        ("impute", "1.0.0"),
        ("clip", "1.0.0"),
    ] {
        put(&plugins, &a, upload(name, version), b"component").unwrap();
    }
    put(&plugins, &b, upload("theirs", "1.0.0"), b"x").unwrap();
    (wanted.plugins, wanted.plugin_versions, wanted.stored_bytes) = (2, 3, 27);
    check(wanted);
    plugins.yank(&a, "clip", "1.0.1", "ann", "").unwrap();
    check(wanted);

    let details = json!({"signature": {"inputs": []}, "metadata": {"auc": 0.8}})
        .to_string()
        .len() as u64;
    models.register(&a, "churn", f.model(b"12345")).unwrap();
    models.register(&a, "churn", f.model(b"12345")).unwrap();
    let with_baseline = ModelUpload {
        baseline: Some(Baseline {
            content_type: "text/csv".to_owned(),
            bytes: b"x\n1\n".to_vec(),
        }),
        ..f.model(b"12345")
    };
    models.register(&a, "churn", with_baseline).unwrap();
    models.register(&a, "other", f.model(b"1")).unwrap();
    (wanted.models, wanted.model_versions) = (2, 3);
    wanted.stored_bytes += 5 + 9 + 1 + 3 * details;
    check(wanted);

    let spec = json!({"v": 1});
    deployments.append(&a, "web", revision(spec.clone())).unwrap();
    deployments.append(&a, "web", revision(json!({"v": 2}))).unwrap();
    let back = NewRevision {
        origin: Origin::Rollback { of: 1 },
        ..revision(spec)
    };
    deployments.append(&a, "web", back).unwrap();
    deployments.append(&a, "gone", revision(json!({}))).unwrap();
    deployments.delete(&a, "gone").unwrap();
    wanted.deployments = 1;
    wanted.stored_bytes += 7 + 7 + 2;
    check(wanted);

    models.delete(&a, "churn", 2, "ann", "").unwrap();
    wanted.model_versions -= 1;
    wanted.stored_bytes -= 9 + details;
    check(wanted);
    models.delete(&a, "other", 1, "ann", "").unwrap();
    (wanted.models, wanted.model_versions) = (1, 1);
    wanted.stored_bytes -= 1 + details;
    check(wanted);
    assert_eq!(usage(&f.store, &b).unwrap().plugins, 1);
}

#[test]
fn a_forgotten_tenant_leaves_nothing_and_its_neighbour_everything() {
    let f = fixture();
    let (a, b) = (tenant("a"), tenant("a-b"));
    for owner in [&a, &b] {
        let plugins = Plugins::new(f.store.clone());
        put(&plugins, owner, upload("clip", "1.0.0"), b"component").unwrap();
        put(&plugins, owner, upload("clip", "0.9.0"), b"older").unwrap();
        plugins.yank(owner, "clip", "0.9.0", "ann", "").unwrap();
        plugins.delete(owner, "clip", "0.9.0", "ann", "").unwrap();
        let models = Models::new(f.store.clone());
        let file = f.dir.path().join("model.onnx");
        std::fs::write(&file, b"onnx").unwrap();
        for n in 1..=2 {
            let upload = ModelUpload {
                file: file.clone(),
                metadata: json!({ "n": n }),
                created_by: "ann".to_owned(),
                ..ModelUpload::default()
            };
            models.register(owner, "churn", upload).unwrap();
        }
        models
            .set_alias(owner, "churn", "champion", Some(1), None, "ann")
            .unwrap();
        let step = caisson_registry::Transition {
            to: caisson_registry::Stage::Pending,
            by: "ann",
            owner: None,
            why: "",
            expected_from: None,
            four_eyes: caisson_registry::FourEyes::Keys,
        };
        models.transition(owner, "churn", 1, step).unwrap();
        models.delete(owner, "churn", 2, "ann", "").unwrap();
        let deployments = DeploymentStore::new(f.store.clone());
        deployments.append(owner, "pricing", revision(json!({}))).unwrap();
    }
    let keys = || {
        let mut keys = Vec::new();
        f.store
            .metadata()
            .visit(&mut |key, _| {
                keys.push(String::from_utf8_lossy(key).into_owned());
                Ok(())
            })
            .unwrap();
        keys
    };
    let before = keys();
    caisson_registry::forget(&f.store, &a).unwrap();
    let after = keys();
    let of_b: Vec<_> = before.iter().filter(|key| key.contains("/a-b")).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), of_b);
    assert_eq!(before.len(), 2 * of_b.len());
}
