//! Several callers change the same thing at once.

use std::collections::BTreeSet;

use caisson_registry::{DeploymentStore, Models, Outcome, Plugins, RegistryError};
use serde_json::json;

use crate::{fixture, tenant, upload};

/// Run `work(0)` to `work(n - 1)` on threads of their own.
fn at_once<T: Send>(n: u8, work: impl Fn(u8) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..n).map(|i| scope.spawn(move || work(i))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn of_concurrent_uploads_of_a_plugin_version_one_wins() {
    let f = fixture();
    let (plugins, a) = (Plugins::new(f.store.clone()), tenant("a"));
    for round in 0..10 {
        // Each component is brought by two callers.
        let results = at_once(6, |i| {
            plugins.put(&a, upload("clip", &format!("1.0.{round}")), &[i / 2])
        });
        let count = |wanted: fn(&Result<Outcome<_>, RegistryError>) -> bool| {
            results.iter().filter(|r| wanted(r)).count()
        };
        assert_eq!(count(|r| matches!(r, Ok(Outcome::Created(_)))), 1, "{results:?}");
        assert_eq!(
            count(|r| matches!(r, Ok(Outcome::Unchanged(_)))),
            1,
            "{results:?}"
        );
        assert_eq!(
            count(|r| matches!(r, Err(RegistryError::PluginConflict { .. }))),
            4,
            "{results:?}"
        );
    }
}

#[test]
fn concurrent_registrations_of_the_same_model_make_one_version() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let outcomes = at_once(8, |_| models.register(&a, "churn", f.model(b"same")).unwrap());
    assert_eq!(
        outcomes
            .iter()
            .filter(|o| matches!(o, Outcome::Created(_)))
            .count(),
        1
    );
    assert!(outcomes.into_iter().all(|o| o.into_record().version == 1));
    assert_eq!(models.versions(&a, "churn").unwrap().len(), 1);
}

#[test]
fn of_concurrent_alias_moves_one_wins() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    for i in 0..9 {
        models.register(&a, "churn", f.model(&[i])).unwrap();
    }
    models.set_alias(&a, "churn", "champion", 1, None).unwrap();
    let moves = at_once(8, |i| {
        models.set_alias(&a, "churn", "champion", u64::from(i) + 2, Some(1))
    });
    let winners: Vec<u64> = (2..)
        .zip(&moves)
        .filter(|(_, moved)| moved.is_ok())
        .map(|(v, _)| v)
        .collect();
    assert_eq!(winners.len(), 1, "{moves:?}");
    assert_eq!(models.aliases(&a, "churn").unwrap()["champion"], winners[0]);
}

#[test]
fn concurrent_revisions_are_all_kept_without_gaps() {
    let f = fixture();
    let (deployments, a) = (DeploymentStore::new(f.store.clone()), tenant("a"));
    let numbers = at_once(6, |i| {
        (0..5)
            .map(|k| {
                let spec = json!({"thread": i, "k": k});
                let number = deployments
                    .append(&a, "churn", spec.clone(), "ann")
                    .unwrap()
                    .number;
                assert_eq!(deployments.revision(&a, "churn", number).unwrap().spec, spec);
                number
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(
        numbers.concat().into_iter().collect::<BTreeSet<_>>(),
        (1..=30).collect()
    );
    assert_eq!(deployments.live(&a, "churn").unwrap().unwrap().number, 30);
}
