//! Aliases: moved by compare-and-set, and every move is known.

use caisson_registry::{AliasChange, Models, RegistryError, VersionRef};

use crate::{churn, fixture, tenant};

#[test]
fn aliases_move_by_compare_and_set() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"1");
    churn(&f, &a, b"2");
    let set = |to, expect| models.set_alias(&a, "churn", "champion", to, expect, "ann");
    set(Some(1), None).unwrap();
    assert!(matches!(
        set(Some(2), None),
        Err(RegistryError::AliasMoved { .. })
    ));
    set(Some(2), Some(1)).unwrap();
    let version = |text: &str| {
        models
            .resolve(&a, "churn", &text.parse().unwrap())
            .map(|r| r.version)
    };
    assert_eq!(version("champion").unwrap(), 2);
    assert_eq!(version("1").unwrap(), 1);
    assert_eq!(version("latest").unwrap(), 2);
    assert!(version("3").is_err() && version("challenger").is_err());
    assert!(set(Some(9), Some(2)).is_err(), "no such version");
    assert!("0".parse::<VersionRef>().is_err() && "1x".parse::<VersionRef>().is_err());
}

#[test]
fn every_move_is_in_the_history() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"1");
    churn(&f, &a, b"2");
    let set = |alias, to, expect, by| models.set_alias(&a, "churn", alias, to, expect, by);
    set("champion", Some(1), None, "ann").unwrap();
    set("challenger", Some(2), None, "bob").unwrap();
    set("champion", Some(2), Some(1), "eve").unwrap();
    set("challenger", None, Some(2), "bob").unwrap();
    assert_eq!(
        set("challenger", None, None, "bob").unwrap_err().code(),
        "not-found",
        "it is gone already"
    );
    let history = models.alias_history(&a, "churn", 0, 10).unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|c| (c.number, c.alias.as_str(), c.from, c.to, c.by.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (1, "champion", None, Some(1), "ann"),
            (2, "challenger", None, Some(2), "bob"),
            (3, "champion", Some(1), Some(2), "eve"),
            (4, "challenger", Some(2), None, "bob"),
        ]
    );
    assert_eq!(models.alias_history(&a, "churn", 2, 1).unwrap(), history[2..3]);
    assert!(models.alias_history(&a, "../x", 0, 10).unwrap().is_empty());
    let json = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<Vec<AliasChange>>(&json).unwrap(), history);
}

#[test]
fn latest_is_no_alias() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"1");
    let error = models
        .set_alias(&a, "churn", "latest", Some(1), None, "ann")
        .unwrap_err();
    assert_eq!(error.code(), "bad-text");
    for by in ["", " ", "a\nb"] {
        assert!(
            models
                .set_alias(&a, "churn", "champion", Some(1), None, by)
                .is_err()
        );
    }
    assert_eq!(
        models
            .set_alias(&a, "none", "champion", Some(1), None, "ann")
            .unwrap_err()
            .code(),
        "model-not-found"
    );
}
