//! The registries on a real store: immutability, numbering under contention, and what survives a
//! restart.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test these are how it fails"
)]

mod aliases;
mod approval;
mod contention;
mod deployments;
mod limits;
mod model_versions;
mod old_records;
mod plugins;
mod restart;
mod usage;

use std::collections::BTreeSet;
use std::path::PathBuf;

use caisson_registry::signature::SignaturePolicy;
use caisson_registry::{
    Baseline, DeploymentStore, ModelUpload, Models, NewRevision, Origin, Outcome, Pins, PluginRecord,
    PluginUpload, Plugins, Provenance, RegistryError, TenantId, VersionRef,
};
use caisson_store::Store;
use serde_json::{Value, json};

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("data")).unwrap();
    Fixture { dir, store }
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn upload(name: &str, version: &str) -> PluginUpload {
    PluginUpload {
        name: name.to_owned(),
        version: version.to_owned(),
        world: "transform".to_owned(),
        config_schema: "{}".to_owned(),
        help: String::new(),
        imports: Vec::new(),
        wit_version: Some("0.1.0".to_owned()),
        provenance: Provenance::default(),
        signature: None,
    }
}

/// Upload where nobody needs to sign.
fn put(
    plugins: &Plugins,
    tenant: &TenantId,
    upload: PluginUpload,
    component: &[u8],
) -> Result<Outcome<PluginRecord>, RegistryError> {
    plugins.put(tenant, upload, component, &SignaturePolicy::default())
}

/// A revision of Ann's that is built on nothing.
fn revision(spec: Value) -> NewRevision {
    NewRevision {
        spec,
        pins: Pins::default(),
        author: "ann".to_owned(),
        message: None,
        origin: Origin::Apply,
    }
}

/// Register another version of `churn`.
fn churn(f: &Fixture, tenant: &TenantId, bytes: &[u8]) -> u64 {
    Models::new(f.store.clone())
        .register(tenant, "churn", f.model(bytes))
        .unwrap()
        .into_record()
        .version
}

impl Fixture {
    fn model(&self, bytes: &[u8]) -> ModelUpload {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file: PathBuf = self.dir.path().join(format!("{number}.onnx"));
        std::fs::write(&file, bytes).unwrap();
        ModelUpload {
            file,
            signature: json!({"inputs": []}),
            metadata: json!({"auc": 0.8}),
            created_by: "ann".to_owned(),
            ..ModelUpload::default()
        }
    }
}

#[test]
fn a_plugin_version_never_changes() {
    let f = fixture();
    let (plugins, a) = (Plugins::new(f.store.clone()), tenant("a"));
    assert!(matches!(
        put(&plugins, &a, upload("clip", "1.0.0"), b"one").unwrap(),
        Outcome::Created(_)
    ));
    assert!(matches!(
        put(&plugins, &a, upload("clip", "1.0.0"), b"one").unwrap(),
        Outcome::Unchanged(_)
    ));
    let error = put(&plugins, &a, upload("clip", "1.0.0"), b"two").unwrap_err();
    assert_eq!(error.code(), "plugin-conflict");
    let record = plugins.resolve(&a, "clip").unwrap();
    assert_eq!(plugins.bytes(&record).unwrap(), b"one");
}

#[test]
fn references_resolve_as_cargo_does() {
    let f = fixture();
    let (plugins, a) = (Plugins::new(f.store.clone()), tenant("a"));
    for version in ["1.2.0", "1.10.0", "2.0.0-rc.1", "1.9.3"] {
        put(&plugins, &a, upload("clip", version), version.as_bytes()).unwrap();
    }
    let resolved = |reference: &str| plugins.resolve(&a, reference).map(|r| r.version.to_string());
    assert_eq!(resolved("clip").unwrap(), "1.10.0");
    assert_eq!(resolved("clip@^1.2").unwrap(), "1.10.0");
    assert_eq!(resolved("clip@~1.9").unwrap(), "1.9.3");
    assert_eq!(resolved("clip@2.0.0-rc.1").unwrap(), "2.0.0-rc.1");
    let missing = resolved("clip@^3").unwrap_err();
    assert!(missing.to_string().contains("1.10.0"), "{missing}");
    assert_eq!(resolved("clip@nonsense").unwrap_err().code(), "bad-version");
    assert_eq!(resolved("../clip").unwrap_err().code(), "bad-name");
    assert_eq!(resolved("nothing").unwrap_err().code(), "plugin-not-found");
}

#[test]
fn one_tenant_does_not_see_another() {
    let f = fixture();
    let (plugins, models) = (Plugins::new(f.store.clone()), Models::new(f.store.clone()));
    let (a, ab) = (tenant("a"), tenant("a-b"));
    put(&plugins, &a, upload("clip", "1.0.0"), b"one").unwrap();
    models.register(&a, "churn", f.model(b"model")).unwrap();
    assert!(plugins.list(&ab).unwrap().is_empty() && models.list(&ab).unwrap().is_empty());
    assert_eq!(
        plugins.resolve(&ab, "clip").unwrap_err().code(),
        "plugin-not-found"
    );
    assert_eq!(
        models
            .resolve(&ab, "churn", &VersionRef::Latest)
            .unwrap_err()
            .code(),
        "model-not-found"
    );
    put(&plugins, &ab, upload("clip", "1.0.0"), b"theirs").unwrap();
    assert_eq!(plugins.list(&a).unwrap().len(), 1);
}

#[test]
fn concurrent_registrations_are_numbered_without_gaps() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let numbers: BTreeSet<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u8)
            .map(|i| {
                let (models, a, f) = (&models, &a, &f);
                scope.spawn(move || {
                    (0..5u8)
                        .map(|k| {
                            models
                                .register(a, "churn", f.model(&[i, k]))
                                .unwrap()
                                .into_record()
                                .version
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(numbers, (1..=40).collect());
    assert_eq!(models.versions(&a, "churn").unwrap().len(), 40);
}

#[test]
fn the_same_model_again_is_the_same_version() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let first = models.register(&a, "churn", f.model(b"m")).unwrap();
    assert!(matches!(first, Outcome::Created(ref r) if r.version == 1));
    assert!(
        matches!(models.register(&a, "churn", f.model(b"m")).unwrap(), Outcome::Unchanged(r) if r.version == 1)
    );
    let baseline = Some(Baseline {
        content_type: "text/csv".to_owned(),
        bytes: b"x\n1\n".to_vec(),
    });
    let second = models
        .register(
            &a,
            "churn",
            ModelUpload {
                baseline,
                ..f.model(b"m")
            },
        )
        .unwrap()
        .into_record();
    assert_eq!(second.version, 2);
    assert_eq!(models.baseline(&second).unwrap().unwrap(), b"x\n1\n");
    assert_eq!(std::fs::read(models.model_path(&second).unwrap()).unwrap(), b"m");
    assert_eq!(second.metadata, json!({"auc": 0.8}));
}

#[test]
fn revisions_are_kept_and_survive_a_restart() {
    let f = fixture();
    let a = tenant("a");
    let deployments = DeploymentStore::new(f.store.clone());
    assert_eq!(
        deployments
            .append(&a, "churn", revision(json!({"v": 1})))
            .unwrap()
            .number,
        1
    );
    assert_eq!(
        deployments
            .append(
                &a,
                "churn",
                NewRevision {
                    author: "bob".to_owned(),
                    ..revision(json!({"v": 2}))
                }
            )
            .unwrap()
            .number,
        2
    );
    deployments
        .append(&a, "other", revision(json!({"v": 9})))
        .unwrap();
    deployments.delete(&a, "other").unwrap();
    assert!(deployments.delete(&a, "other").is_err());
    let Fixture { dir, store } = f;
    drop((deployments, store));
    let deployments = DeploymentStore::new(Store::open(dir.path().join("data")).unwrap());
    let live = deployments.list_live(&a).unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!(
        (live[0].number, &live[0].spec, live[0].author.as_str()),
        (2, &json!({"v": 2}), "bob")
    );
    assert_eq!(
        deployments.revision(&a, "churn", 1).unwrap().spec,
        json!({"v": 1})
    );
    // A deleted deployment that comes back goes on counting.
    assert_eq!(
        deployments
            .append(&a, "other", revision(json!({})))
            .unwrap()
            .number,
        2
    );
}
