//! A revision is what it was when it was deployed.

use caisson_registry::{Digest, ModelPin, TenantId};
use caisson_serving::LoadState;
use caisson_store::{Commit, Expect, Op};
use serde_json::json;

use crate::support::{System, affine, answer, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn a_requirement_is_pinned_to_a_version_and_its_digest() {
    let system = System::new();
    let a = tenant("a");
    system.push(&a, "affine", "1.2.3").await;
    system.model(&a, "sums", "dynamic", None);
    let mut spec = affine("affine@^1", 2.0);
    spec["model"] =
        json!({"name": "sums", "version": "latest", "columns": {"x": ["x"]}, "outputs": ["sums"]});
    let applied = system.apply(&a, &spec).await.unwrap();
    assert_eq!(answer(&applied.revision, 3.0).await, 6.0);

    let stored = system.parts.deployments.live(&a, "web").unwrap().unwrap();
    assert_eq!(stored.spec["transforms"][0]["plugin"], json!("affine@1.2.3"));
    let pins = stored.pins.unwrap();
    let record = system.parts.plugins.resolve(&a, "affine").unwrap();
    assert_eq!(pins.plugins, [("affine@1.2.3".to_owned(), record.digest)].into());
    let model = ModelPin {
        name: "sums".to_owned(),
        version: 1,
    };
    assert_eq!(pins.models, [model].into());
    let refused = system.parts.models.delete(&a, "sums", 1, "ann", "").unwrap_err();
    assert_eq!(refused.code(), "in-use");

    // A newer version changes nothing until the next deploy.
    system.push(&a, "affine", "1.3.0").await;
    let loaded = system.restarted(&a).await.live(&a, "web").unwrap();
    assert_eq!(loaded.spec().transforms[0].plugin, "affine@1.2.3");
    let again = system.apply(&a, &spec).await.unwrap();
    assert_eq!(again.revision.spec().transforms[0].plugin, "affine@1.3.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yanked_version_stays_where_it_runs_and_nowhere_else() {
    let system = System::new();
    let a = tenant("a");
    system.push(&a, "affine", "1.2.3").await;
    system.apply(&a, &affine("affine@1.2.3", 2.0)).await.unwrap();
    system
        .parts
        .plugins
        .yank(&a, "affine", "1.2.3", "ann", "wrong sign")
        .unwrap();

    // It comes back after a start, and its deployment may be changed.
    let loaded = system.restarted(&a).await.live(&a, "web").unwrap();
    assert_eq!(answer(&loaded, 3.0).await, 6.0);
    let changed = system.apply(&a, &affine("affine@=1.2.3", 4.0)).await.unwrap();
    assert_eq!(
        (changed.revision.number(), answer(&changed.revision, 3.0).await),
        (2, 12.0)
    );

    let mut other = affine("affine@1.2.3", 2.0);
    other["name"] = json!("other");
    let refused = system.apply(&a, &other).await.unwrap_err();
    assert_eq!(refused.code, "yanked");
    assert!(
        refused.message.contains("wrong sign") && refused.stage.as_deref() == Some("transforms[0]"),
        "{refused:?}"
    );
    let refused = system.apply(&a, &affine("affine@^1", 2.0)).await.unwrap_err();
    assert_eq!(refused.code, "plugin-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_revision_is_held_to_its_digest() {
    let system = System::new();
    let a = tenant("a");
    system.push(&a, "affine", "1.2.3").await;
    system.apply(&a, &affine("affine", 2.0)).await.unwrap();
    // Someone writes to the store by hand.
    let key = "plugin/a/affine/1.2.3";
    let bytes = system.store.metadata().get(key.as_bytes()).unwrap().unwrap();
    let digest = system.parts.plugins.resolve(&a, "affine").unwrap().digest;
    let other = Digest::of(b"something else").to_string();
    let forged = String::from_utf8(bytes)
        .unwrap()
        .replace(&digest.to_string(), &other);
    let op = Op::put(key, Expect::Any, forged);
    assert_eq!(system.store.metadata().commit(&[op]).unwrap(), Commit::Done);
    let serving = system.restarted(&a).await;
    assert!(serving.live(&a, "web").is_none());
    let Some(LoadState::Failed(why)) = serving.load_state(&a, "web") else {
        panic!("{:?}", serving.load_states());
    };
    assert!(why.contains("pinned") && why.contains("affine@1.2.3"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_party_plugins_are_there_for_every_tenant() {
    let system = System::new();
    let (a, b) = (tenant("a"), tenant("b"));
    system.push(&TenantId::std(), "affine", "1.2.3").await;
    for owner in [&a, &b] {
        let applied = system.apply(owner, &affine("std/affine@^1", 2.0)).await.unwrap();
        assert_eq!(applied.revision.spec().transforms[0].plugin, "std/affine@1.2.3");
        assert_eq!(
            applied.revision.plan().stages[0].stage,
            "transforms[0] std/affine@1.2.3"
        );
    }
    let loaded = system.restarted(&b).await.live(&b, "web").unwrap();
    assert_eq!(answer(&loaded, 3.0).await, 6.0);
    let refused = system.apply(&a, &affine("affine", 2.0)).await.unwrap_err();
    assert_eq!(refused.code, "plugin-not-found");
}
