//! Deployments: revisions and the live pointer.

use std::collections::BTreeSet;

use caisson_registry::{Class, LiveExpect, MONITOR_STATES_MAX, PINNED_BYTES_MAX, SPEC_BYTES_MAX, TenantId};
use caisson_store::Digest;
use serde_json::{Value, json};

use crate::{open, tenant};

fn spec(n: u64) -> Value {
    json!({"model": "churn@champion", "stages": [{"plugin": "impute@^1", "config": {"n": n}}]})
}

#[test]
fn a_revision_is_kept_and_live_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (deployments, t) = (registry.deployments(), TenantId::default());
    assert_eq!(deployments.live(&t, "churn").unwrap(), None);
    let pinned = json!({"model": {"version": 3}});
    let append = |n| deployments.append(&t, "churn", &spec(n), &pinned, "ada", LiveExpect::Any);
    let first = append(1).unwrap();
    assert_eq!((first.record.number, first.record.author.as_str()), (1, "ada"));
    assert_eq!(deployments.live(&t, "churn").unwrap().unwrap(), first);
    let second = append(2).unwrap();
    assert_eq!(second.record.number, 2);
    assert_eq!(deployments.live(&t, "churn").unwrap().unwrap(), second);
    assert_eq!(deployments.revision(&t, "churn", 1).unwrap(), first);
    // The same spec again is a revision of its own: it may be pinned to something else.
    assert_eq!(append(2).unwrap().record.number, 3);

    let page = deployments.revisions(&t, "churn", Some(1), 1).unwrap();
    assert_eq!(
        (page.items.len(), page.items[0].number, page.next.as_deref()),
        (1, 2, Some("2"))
    );
    let error = deployments.revision(&t, "churn", 4).unwrap_err();
    assert_eq!(error.code(), "version-not-found");
    assert!(
        error.to_string().contains("there are revisions 1 to 3"),
        "{error}"
    );
    assert_eq!(
        deployments.revisions(&t, "none", None, 1).unwrap_err().code(),
        "deployment-not-found"
    );
}

#[test]
fn the_live_pointer_moves_only_from_where_it_is_expected() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (deployments, t) = (registry.deployments(), TenantId::default());
    let append = |n, expect| deployments.append(&t, "churn", &spec(n), &Value::Null, "ada", expect);
    append(1, LiveExpect::Nothing).unwrap();
    let error = append(2, LiveExpect::Nothing).unwrap_err();
    assert_eq!(
        (error.code(), error.class()),
        ("changed-meanwhile", Class::Conflict)
    );
    append(2, LiveExpect::Revision(1)).unwrap();
    // Nothing of the refused one was kept.
    assert_eq!(deployments.get(&t, "churn").unwrap().latest, 2);

    let set_live = |n, expect| deployments.set_live(&t, "churn", n, expect);
    set_live(1, LiveExpect::Revision(2)).unwrap();
    assert_eq!(deployments.live(&t, "churn").unwrap().unwrap().spec, spec(1));
    assert_eq!(
        set_live(2, LiveExpect::Revision(2)).unwrap_err().code(),
        "changed-meanwhile"
    );
    assert_eq!(
        set_live(3, LiveExpect::Any).unwrap_err().code(),
        "version-not-found"
    );
    // After a roll-back, numbers go on.
    assert_eq!(append(3, LiveExpect::Revision(1)).unwrap().record.number, 3);
}

#[test]
fn a_deleted_deployment_keeps_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (deployments, t) = (registry.deployments(), TenantId::default());
    let append = |name: &str| {
        deployments
            .append(&t, name, &spec(1), &Value::Null, "ada", LiveExpect::Any)
            .unwrap()
    };
    append("a");
    append("b");
    append("c");
    deployments.delete(&t, "b").unwrap();
    assert_eq!(deployments.live(&t, "b").unwrap(), None);
    assert_eq!(
        deployments.delete(&t, "b").unwrap_err().code(),
        "deployment-not-found"
    );
    assert_eq!(
        deployments
            .set_live(&t, "b", 1, LiveExpect::Any)
            .unwrap_err()
            .code(),
        "deployment-not-found"
    );
    let listed = deployments.list(&t, None, 10).unwrap();
    let names: Vec<_> = listed.items.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert!(deployments.get(&t, "b").unwrap().deleted_at.is_some());
    assert_eq!(deployments.revisions(&t, "b", None, 10).unwrap().items.len(), 1);
    // A page of nothing but deleted ones still leads on.
    let page = deployments.list(&t, Some("a"), 1).unwrap();
    assert_eq!((page.items.len(), page.next.as_deref()), (0, Some("b")));

    assert_eq!(append("b").record.number, 2);
    assert_eq!(deployments.get(&t, "b").unwrap().deleted_at, None);
    assert_eq!(
        deployments.list(&tenant("other"), None, 10).unwrap().items.len(),
        0
    );
}

#[test]
fn concurrent_revisions_are_all_kept_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let t = TenantId::default();
    let numbers: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6_u64)
            .map(|thread| {
                let (registry, t) = (&registry, &t);
                scope.spawn(move || {
                    (0..8)
                        .map(|n| {
                            let spec = spec(thread * 100 + n);
                            let deployments = registry.deployments();
                            let number = deployments
                                .append(t, "churn", &spec, &Value::Null, "ada", LiveExpect::Any)
                                .unwrap()
                                .record
                                .number;
                            assert_eq!(deployments.revision(t, "churn", number).unwrap().spec, spec);
                            number
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (1..=48).collect());
    assert_eq!(
        registry
            .deployments()
            .live(&t, "churn")
            .unwrap()
            .unwrap()
            .record
            .number,
        48
    );
}

#[test]
fn monitor_states_belong_to_a_revision() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (deployments, t) = (registry.deployments(), TenantId::default());
    deployments
        .append(&t, "churn", &spec(1), &Value::Null, "ada", LiveExpect::Any)
        .unwrap();
    let put = |number, monitor: &str, state: &[u8]| {
        deployments.put_monitor_state(&t, "churn", number, monitor, state)
    };
    let state = put(1, "ks", b"sketch").unwrap();
    assert_eq!((state.digest, state.size), (Digest::of(b"sketch"), 6));
    put(1, "psi", b"bins").unwrap();
    let get = |number, monitor| deployments.monitor_state(&t, "churn", number, monitor).unwrap();
    assert_eq!(get(1, "ks"), Some(b"sketch".to_vec()));
    assert_eq!((get(1, "k"), get(2, "ks")), (None, None));
    put(1, "ks", b"sketch 2").unwrap();
    assert_eq!(get(1, "ks"), Some(b"sketch 2".to_vec()));
    let states = deployments.monitor_states(&t, "churn", 1).unwrap();
    let monitors: Vec<_> = states.iter().map(|s| s.monitor.as_str()).collect();
    assert_eq!(monitors, ["ks", "psi"]);

    assert_eq!(put(2, "ks", b"x").unwrap_err().code(), "version-not-found");
    assert_eq!(put(1, "../x", b"x").unwrap_err().code(), "invalid-name");
    for n in 2..MONITOR_STATES_MAX {
        put(1, &format!("m{n}"), b"x").unwrap();
    }
    assert_eq!(put(1, "one-more", b"x").unwrap_err().code(), "too-many");
    put(1, "ks", b"sketch 3").unwrap();
}

#[test]
fn every_part_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (deployments, t) = (registry.deployments(), TenantId::default());
    let text = |bytes: u64| Value::String("x".repeat(usize::try_from(bytes).unwrap() - 2));
    let append = |name: &str, spec: &Value, pinned: &Value, author: &str| {
        deployments.append(&t, name, spec, pinned, author, LiveExpect::Any)
    };
    let (spec, pinned) = (text(SPEC_BYTES_MAX), text(PINNED_BYTES_MAX));
    append("largest", &spec, &pinned, &"x".repeat(256)).unwrap();
    assert_eq!(deployments.live(&t, "largest").unwrap().unwrap().spec, spec);
    for (spec, pinned, author) in [
        (text(SPEC_BYTES_MAX + 1), Value::Null, String::new()),
        (Value::Null, text(PINNED_BYTES_MAX + 1), String::new()),
        (Value::Null, Value::Null, "x".repeat(257)),
    ] {
        assert_eq!(
            append("a", &spec, &pinned, &author).unwrap_err().code(),
            "too-large"
        );
    }
    assert_eq!(
        append("a/../b", &Value::Null, &Value::Null, "")
            .unwrap_err()
            .code(),
        "invalid-name"
    );
    assert_eq!(deployments.live(&t, "../x").unwrap_err().code(), "invalid-name");
    assert_eq!(
        deployments.get(&t, "a").unwrap_err().code(),
        "deployment-not-found"
    );
}
