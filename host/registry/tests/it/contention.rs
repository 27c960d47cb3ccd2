//! Several callers change the same thing at once.

use std::collections::BTreeSet;
use std::time::Duration;

use caisson_registry::{
    DeploymentStore, ModelPin, Models, NewRevision, Outcome, Pins, Plugins, RegistryError, VersionRef, usage,
};
use serde_json::json;

use crate::{churn, fixture, put, revision, tenant, upload};

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
            put(&plugins, &a, upload("clip", &format!("1.0.{round}")), &[i / 2])
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
    models
        .set_alias(&a, "churn", "champion", Some(1), None, "ann")
        .unwrap();
    let moves = at_once(8, |i| {
        models.set_alias(&a, "churn", "champion", Some(u64::from(i) + 2), Some(1), "ann")
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
                    .append(&a, "churn", revision(spec.clone()))
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

#[test]
fn many_threads_register_models_without_gaps_and_none_is_turned_away() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let numbers = at_once(128, |i| {
        (0..2u8)
            .map(|k| {
                let upload = f.model(&[i, k]);
                models
                    .register(&a, "churn", upload)
                    .unwrap()
                    .into_record()
                    .version
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(
        numbers.concat().into_iter().collect::<BTreeSet<_>>(),
        (1..=256).collect()
    );
    assert_eq!(usage(&f.store, &a).unwrap().model_versions, 256);
}

#[test]
fn no_number_is_given_out_twice_while_versions_are_deleted() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let numbers = at_once(8, |i| {
        (0..6u8)
            .map(|k| {
                let version = churn(&f, &a, &[i, k]);
                if k % 2 == 0 {
                    models.delete(&a, "churn", version, "ann", "").unwrap();
                }
                version
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(
        numbers.concat().into_iter().collect::<BTreeSet<_>>(),
        (1..=48).collect()
    );
    let left = models.versions(&a, "churn").unwrap();
    assert_eq!(left.len(), 24);
    let latest = models.resolve(&a, "churn", &VersionRef::Latest).unwrap();
    assert_eq!(latest.version, left.last().unwrap().version);
    assert_eq!(usage(&f.store, &a).unwrap().model_versions, 24);
}

/// Whoever is first, a live deployment's model is there. The deletion is tried ever later, and the
/// deployment has much to look at after the model in question, so that some deletions fall between its
/// look and its commit.
#[test]
fn a_model_that_is_deleted_while_it_is_deployed_stays_or_is_not_deployed() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let deployments = DeploymentStore::new(f.store.clone());
    let zoo: BTreeSet<ModelPin> = (0..120u8)
        .map(|i| {
            let record = models.register(&a, "zoo", f.model(&[i])).unwrap().into_record();
            pin("zoo", record.version)
        })
        .collect();
    for round in 0..40u8 {
        let version = churn(&f, &a, &[round]);
        let mut pinned = zoo.clone();
        pinned.insert(pin("churn", version));
        let on = NewRevision {
            pins: Pins {
                models: pinned,
                ..Pins::default()
            },
            ..revision(json!({"round": round}))
        };
        let name = format!("web-{round}");
        let done = at_once(2, |i| match i {
            0 => deployments.append(&a, &name, on.clone()).map(|_| ()),
            _ => {
                std::thread::sleep(Duration::from_micros(200) * u32::from(round));
                models.delete(&a, "churn", version, "ann", "").map(|_| ())
            }
        });
        let codes: Vec<_> = done
            .iter()
            .map(|result| result.as_ref().map_err(RegistryError::code).copied())
            .collect();
        let there = models.resolve(&a, "churn", &VersionRef::Number(version)).is_ok();
        let live = deployments.live(&a, &name).unwrap().is_some();
        match codes[..] {
            [Ok(()), Err("in-use")] => assert!(there && live),
            [Err("model-not-found"), Ok(())] => assert!(!there && !live),
            _ => panic!("round {round}: {codes:?}"),
        }
    }
}

fn pin(name: &str, version: u64) -> ModelPin {
    ModelPin {
        name: name.to_owned(),
        version,
    }
}

#[test]
fn an_alias_never_points_at_a_deleted_version() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    for round in 0..40u8 {
        let version = churn(&f, &a, &[round]);
        let alias = format!("role-{round}");
        let done = at_once(2, |i| match i {
            0 => models
                .set_alias(&a, "churn", &alias, Some(version), None, "ann")
                .map(|_| ()),
            _ => models.delete(&a, "churn", version, "ann", "").map(|_| ()),
        });
        assert_eq!(done.iter().filter(|result| result.is_ok()).count(), 1, "{done:?}");
        for version in models.aliases(&a, "churn").unwrap().into_values() {
            models.resolve(&a, "churn", &VersionRef::Number(version)).unwrap();
        }
    }
}
