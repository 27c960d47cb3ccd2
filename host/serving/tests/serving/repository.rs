//! Out of service and back.

use caisson_serving::{Kind, LoadState, RepositoryState};

use crate::support::{System, affine, answer, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unloaded_is_kept_and_comes_back() {
    let system = System::new();
    let (a, b) = (tenant("a"), tenant("b"));
    system.push(&a, "affine", "1.2.3").await;
    system.apply(&a, &affine("affine", 2.0)).await.unwrap();
    let serving = &system.serving;
    let entry = || serving.repository_index(&a).remove(0);
    assert_eq!(
        (entry().version, entry().state),
        (Some(1), RepositoryState::Ready)
    );
    assert!(serving.repository_index(&b).is_empty());

    // Who has the revision finishes on it.
    let held = serving.live(&a, "web").unwrap();
    serving.unload(&a, "web").await.unwrap();
    serving.unload(&a, "web").await.unwrap();
    assert_eq!(answer(&held, 1.0).await, 2.0);
    assert!(serving.live(&a, "web").is_none());
    assert_eq!(entry().state, RepositoryState::Unavailable);
    assert!(entry().reason.contains("unloaded"), "{:?}", entry());

    // A start serves it, and so does a load.
    let restarted = system.restarted(&a).await;
    assert_eq!(answer(&restarted.live(&a, "web").unwrap(), 1.0).await, 2.0);
    let again = serving.load_again(&a, "web").await.unwrap();
    assert_eq!((again.number(), answer(&again, 3.0).await), (1, 6.0));
    assert_eq!(serving.load_state(&a, "web"), Some(LoadState::Ready));

    // One that serves is prepared anew, and replaced.
    let anew = serving.load_again(&a, "web").await.unwrap();
    assert!(!std::sync::Arc::ptr_eq(&again, &anew));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let system = System::new();
    let (a, b) = (tenant("a"), tenant("b"));
    system.push(&a, "affine", "1.2.3").await;
    system.apply(&a, &affine("affine", 2.0)).await.unwrap();
    let serving = &system.serving;
    for (owner, name) in [(&b, "web"), (&a, "nope"), (&a, "../web")] {
        let unload = serving.unload(owner, name).await.unwrap_err();
        let load = serving.load_again(owner, name).await.unwrap_err();
        assert_eq!(
            (unload.kind, load.kind),
            (Kind::NotFound, Kind::NotFound),
            "{name}"
        );
    }
    serving.delete(&a, "web").await.unwrap();
    assert_eq!(
        serving.load_again(&a, "web").await.unwrap_err().kind,
        Kind::NotFound
    );
    assert!(serving.repository_index(&a).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unload_before_the_load_of_a_start_stays() {
    let system = System::new();
    let a = tenant("a");
    system.push(&a, "affine", "1.2.3").await;
    system.apply(&a, &affine("affine", 2.0)).await.unwrap();
    let serving = caisson_serving::Serving::new(system.parts.clone());
    let records = serving.announce(&a).await.unwrap();
    assert_eq!(serving.repository_index(&a)[0].state, RepositoryState::Loading);
    serving.unload(&a, "web").await.unwrap();
    for record in records {
        serving.load(&a, record).await;
    }
    assert!(serving.live(&a, "web").is_none());
}
