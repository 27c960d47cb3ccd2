//! Back to an earlier revision.

use caisson_registry::Origin;
use caisson_serving::{ApplyResult, Change, Kind};
use serde_json::json;

use crate::support::{ANN, System, affine, answer, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn back_to_the_one_before_and_to_any_other() {
    let system = System::new();
    let a = tenant("a");
    system.push(&a, "affine", "1.2.3").await;
    for scale in [2.0, 3.0, 4.0] {
        system.apply(&a, &affine("affine", scale)).await.unwrap();
    }
    let bob = Change {
        author: "bob",
        message: Some("the new one is worse"),
    };
    let back = system.serving.rollback(&a, "web", None, bob).await.unwrap();
    assert_eq!(back.result, ApplyResult::Updated);
    let live = system.serving.live(&a, "web").unwrap();
    assert_eq!(
        (live.number(), live.author(), live.message()),
        (4, "bob", bob.message)
    );
    assert_eq!(live.origin(), Origin::Rollback { of: 2 });
    assert_eq!(answer(&live, 1.0).await, 3.0);
    let first = system.serving.rollback(&a, "web", Some(1), ANN).await.unwrap();
    assert_eq!(answer(&first.revision, 1.0).await, 2.0);
    let same = system.serving.rollback(&a, "web", Some(5), ANN).await.unwrap();
    assert_eq!((same.result, same.revision.number()), (ApplyResult::Unchanged, 5));
    // The next start serves what was gone back to.
    let loaded = system.restarted(&a).await.live(&a, "web").unwrap();
    assert_eq!(
        (loaded.number(), loaded.origin()),
        (5, Origin::Rollback { of: 1 })
    );
    assert_eq!(answer(&loaded, 1.0).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_gone_back_to_leaves_what_is_live() {
    let system = System::new();
    let a = tenant("a");
    system.push(&a, "affine", "1.2.3").await;
    let with_model = |version| {
        let mut spec = affine("affine", 2.0);
        spec["model"] =
            json!({"name": "sums", "version": version, "columns": {"x": ["x"]}, "outputs": ["sums"]});
        spec
    };
    system.model(&a, "sums", "dynamic", None);
    system.model(&a, "sums", "dynamic", Some("x\n1\n"));
    system.apply(&a, &with_model(1)).await.unwrap();
    let first = system.serving.rollback(&a, "web", None, ANN).await.unwrap_err();
    assert_eq!((first.kind, first.code), (Kind::NotFound, "no-earlier-revision"));
    system.apply(&a, &with_model(2)).await.unwrap();
    system.parts.models.delete(&a, "sums", 1, "ann", "").unwrap();
    let gone = system.serving.rollback(&a, "web", None, ANN).await.unwrap_err();
    assert_eq!(gone.code, "model-not-found");
    assert!(gone.message.contains("deleted by ann"), "{gone:?}");
    for (name, to) in [("web", Some(9)), ("none", None), ("../x", Some(1))] {
        let missing = system.serving.rollback(&a, name, to, ANN).await.unwrap_err();
        assert_eq!(missing.kind, Kind::NotFound, "{missing:?}");
    }
    assert_eq!(system.serving.live(&a, "web").unwrap().number(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yanked_plugin_or_a_deletion_is_no_obstacle() {
    let system = System::new();
    let a = tenant("a");
    system.push(&a, "affine", "1.2.3").await;
    system.apply(&a, &affine("affine", 2.0)).await.unwrap();
    system.push(&a, "affine", "1.3.0").await;
    system.apply(&a, &affine("affine", 3.0)).await.unwrap();
    system
        .parts
        .plugins
        .yank(&a, "affine", "1.2.3", "ann", "")
        .unwrap();
    let back = system.serving.rollback(&a, "web", None, ANN).await.unwrap();
    assert_eq!(back.revision.spec().transforms[0].plugin, "affine@1.2.3");
    system.serving.delete(&a, "web").await.unwrap();
    assert!(system.serving.rollback(&a, "web", None, ANN).await.is_err());
    let again = system.serving.rollback(&a, "web", Some(2), ANN).await.unwrap();
    assert_eq!((again.result, again.revision.number()), (ApplyResult::Created, 4));
    assert_eq!(answer(&again.revision, 1.0).await, 3.0);
}
