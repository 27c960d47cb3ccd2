//! Revisions: pinned, told apart, and gone back to.

use caisson_registry::{DeploymentStore, NewRevision, Origin, Pins, Plugins, TenantId};
use caisson_store::Digest;
use serde_json::json;

use crate::{fixture, put, revision, tenant, upload};

#[test]
fn a_rollback_is_a_new_revision_that_says_so() {
    let f = fixture();
    let (deployments, a) = (DeploymentStore::new(f.store.clone()), tenant("a"));
    for v in 1..=2 {
        deployments
            .append(
                &a,
                "churn",
                NewRevision {
                    message: Some(format!("version {v}")),
                    ..revision(json!({"v": v}))
                },
            )
            .unwrap();
    }
    let back = |of| NewRevision {
        origin: Origin::Rollback { of },
        author: "bob".to_owned(),
        ..revision(json!({"v": 1}))
    };
    assert_eq!(
        deployments.append(&a, "churn", back(9)).unwrap_err().code(),
        "not-found"
    );
    assert_eq!(deployments.append(&a, "churn", back(1)).unwrap().number, 3);
    let history = deployments.history(&a, "churn", None, 10).unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|r| {
            (
                r.number,
                r.live,
                r.author.as_str(),
                r.message.as_deref(),
                r.origin,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (3, true, "bob", None, Origin::Rollback { of: 1 }),
            (2, false, "ann", Some("version 2"), Origin::Apply),
            (1, false, "ann", Some("version 1"), Origin::Apply),
        ]
    );
    assert_eq!(
        serde_json::to_value(history[0].origin).unwrap(),
        json!({"kind": "rollback", "of": 1})
    );
    assert_eq!(
        deployments.history(&a, "churn", Some(3), 1).unwrap(),
        history[1..2]
    );
    assert!(deployments.history(&a, "churn", Some(1), 1).unwrap().is_empty());
    assert!(deployments.history(&a, "../x", None, 1).unwrap().is_empty());

    let diff = deployments.diff(&a, "churn", 1, 2).unwrap();
    assert_eq!(diff.changes.len(), 1);
    assert_eq!(diff.changes[0].path, "/v");
    assert!(deployments.diff(&a, "churn", 1, 3).unwrap().changes.is_empty());
    assert_eq!(
        deployments.diff(&a, "churn", 1, 4).unwrap_err().code(),
        "not-found"
    );
}

#[test]
fn a_revision_is_built_on_what_is_there() {
    let f = fixture();
    let (deployments, plugins, a) = (
        DeploymentStore::new(f.store.clone()),
        Plugins::new(f.store.clone()),
        tenant("a"),
    );
    put(&plugins, &a, upload("clip", "1.0.0"), b"clip").unwrap();
    put(&plugins, &TenantId::std(), upload("impute", "0.1.0"), b"impute").unwrap();
    let on = |pins: &[(&str, &[u8])]| NewRevision {
        pins: Pins {
            plugins: pins
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), Digest::of(bytes)))
                .collect(),
            ..Pins::default()
        },
        ..revision(json!({}))
    };
    let append = |pins: &[(&str, &[u8])]| deployments.append(&a, "web", on(pins)).map_err(|e| e.code());
    assert_eq!(append(&[("clip@1.0.0", b"other")]), Err("pin-mismatch"));
    assert_eq!(append(&[("clip@1.0.1", b"clip")]), Err("plugin-not-found"));
    assert_eq!(append(&[("impute@0.1.0", b"impute")]), Err("plugin-not-found"));
    let wanted = on(&[("clip@1.0.0", b"clip"), ("std/impute@0.1.0", b"impute")]);
    let stored = deployments.append(&a, "web", wanted.clone()).unwrap();
    assert_eq!(stored.pins, Some(wanted.pins));
    assert_eq!(deployments.live(&a, "web").unwrap(), Some(stored));
    let many = NewRevision {
        pins: Pins {
            plugins: (0..257)
                .map(|i| (format!("clip@1.0.{i}"), Digest::of(b"clip")))
                .collect(),
            ..Pins::default()
        },
        ..revision(json!({}))
    };
    assert_eq!(
        deployments.append(&a, "web", many).unwrap_err().code(),
        "too-many"
    );
    let wordy = NewRevision {
        message: Some("x".repeat(3000)),
        ..revision(json!({}))
    };
    assert_eq!(
        deployments.append(&a, "web", wordy).unwrap_err().code(),
        "too-many"
    );
}
