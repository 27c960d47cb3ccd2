//! What a monitor computed from its baseline is kept, and used only for what it was computed from.

use std::fs;
use std::sync::Arc;

use caisson_registry::{FittedState, TenantId};
use caisson_sandbox::DriftStatus;
use caisson_serving::{Revision, Serving};
use serde_json::{Value, json};

use crate::support::{System, affine, tenant, xs};

const BASELINE: &str = "x\n1\n2\n3\n";

/// `affine`, then a model, and a monitor of each target.
fn monitored(scale: f64) -> Value {
    let mut spec = affine("affine", scale);
    spec["model"] = json!({"name": "sums", "version": 1, "columns": {"x": ["x"]}, "outputs": ["sums"]});
    let monitor = |on: &str| json!({"name": on, "plugin": "means", "on": on});
    spec["monitors"] = json!([monitor("input"), monitor("features"), monitor("predictions")]);
    spec
}

async fn deployed(system: &System, a: &TenantId) -> Arc<Revision> {
    system.push(a, "affine", "1.2.3").await;
    system.push(a, "drift", "0.1.0").await;
    system.model(a, "sums", "dynamic", Some(BASELINE));
    system.apply(a, &monitored(2.0)).await.unwrap().revision
}

/// What the monitors say of the baseline's own rows, by their names.
async fn statuses(revision: &Arc<Revision>) -> Vec<(String, DriftStatus)> {
    let reports = revision.drift(xs(revision, &[1.0, 2.0, 3.0])).await.unwrap();
    reports.into_iter().map(|r| (r.name, r.report.status)).collect()
}

async fn all_stable(revision: &Arc<Revision>) -> bool {
    let statuses = statuses(revision).await;
    statuses.len() == 3 && statuses.iter().all(|(_, status)| *status == DriftStatus::Stable)
}

fn kept(system: &System, a: &TenantId, number: u64, monitor: &str) -> Option<FittedState> {
    system
        .parts
        .deployments
        .monitor_state(a, "web", number, monitor)
        .unwrap()
}

/// As if the monitor had seen a baseline far away.
fn replace(system: &System, a: &TenantId, monitor: &str, edit: impl Fn(&mut FittedState)) {
    let mut state = kept(system, a, 1, monitor).unwrap();
    state.bytes = 1000.0_f64.to_le_bytes().to_vec();
    edit(&mut state);
    system
        .parts
        .deployments
        .put_monitor_state(a, "web", 1, monitor, &state)
        .unwrap();
}

async fn live(serving: &Serving, a: &TenantId) -> Arc<Revision> {
    serving.live(a, "web").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_the_kept_states_over() {
    let system = System::new();
    let a = tenant("a");
    let revision = deployed(&system, &a).await;
    assert!(all_stable(&revision).await);
    let state = kept(&system, &a, 1, "features").unwrap();
    assert_eq!(
        (state.reference_rows, state.bytes),
        (3, 4.0_f64.to_le_bytes().to_vec())
    );
    // Were it computed anew, nobody would see this.
    replace(&system, &a, "features", |_| {});
    let loaded = live(&system.restarted(&a).await, &a).await;
    let statuses = statuses(&loaded).await;
    assert_eq!(statuses[0].1, DriftStatus::Stable);
    assert_eq!(statuses[1], ("features".to_owned(), DriftStatus::Drifted));
    assert_eq!(statuses[2].1, DriftStatus::Stable);
    assert_eq!(loaded.plan().monitors[1].reference_rows, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_something_else_is_computed_again() {
    let system = System::new();
    let a = tenant("a");
    deployed(&system, &a).await;
    replace(&system, &a, "features", |state| {
        state.key = caisson_registry::Digest::of(b"another baseline");
    });
    let loaded = live(&system.restarted(&a).await, &a).await;
    assert!(all_stable(&loaded).await);
    // And kept for the next start.
    assert_eq!(
        kept(&system, &a, 1, "features").unwrap().bytes,
        4.0_f64.to_le_bytes().to_vec()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_state_is_computed_again() {
    let system = System::new();
    let a = tenant("a");
    deployed(&system, &a).await;
    let damaged = kept(&system, &a, 1, "features").unwrap().bytes;
    let digest = caisson_registry::Digest::of(&damaged);
    let path = system.store.blobs().path(&digest).unwrap();
    assert!(path.starts_with(system.dir.path()));
    fs::write(&path, b"damaged!").unwrap();
    let loaded = live(&system.restarted(&a).await, &a).await;
    assert!(all_stable(&loaded).await);

    system
        .parts
        .deployments
        .drop_monitor_states(&a, "web", 1)
        .unwrap();
    let loaded = live(&system.restarted(&a).await, &a).await;
    assert!(all_stable(&loaded).await);
    assert!(kept(&system, &a, 1, "input").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_revision_computes_only_what_changed() {
    let system = System::new();
    let a = tenant("a");
    let first = deployed(&system, &a).await;
    let before: Vec<_> = ["input", "features", "predictions"]
        .map(|monitor| kept(&system, &a, 1, monitor).unwrap().key)
        .into();
    let mut described = monitored(2.0);
    described["description"] = json!("the same");
    system.apply(&a, &described).await.unwrap();
    let keys =
        |number| ["input", "features", "predictions"].map(|m| kept(&system, &a, number, m).map(|s| s.key));
    assert_eq!(keys(2).map(Option::unwrap).to_vec(), before);
    // Of the one that was live nothing is kept any more.
    assert_eq!(keys(1), [None, None, None]);
    // What comes after the transforms sees another scale.
    let second = system.apply(&a, &monitored(10.0)).await.unwrap().revision;
    let after = keys(3).map(Option::unwrap);
    assert_eq!(after[0], before[0]);
    assert!(after[1] != before[1] && after[2] != before[2]);
    assert!(all_stable(&first).await && all_stable(&second).await);
    system.serving.delete(&a, "web").await.unwrap();
    assert_eq!(keys(3), [None, None, None]);
}
