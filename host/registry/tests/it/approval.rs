//! Stages of a version, who may take it to the next, and what is kept of that.

use caisson_registry::{FourEyes, Models, Stage, Transition, VersionRef};

use crate::{churn, fixture, tenant};

const ALL: [Stage; 4] = [Stage::Draft, Stage::Pending, Stage::Approved, Stage::Archived];

fn step(to: Stage, by: &str) -> Transition<'_> {
    Transition {
        to,
        by,
        owner: None,
        why: "because",
        expected_from: None,
        four_eyes: FourEyes::No,
    }
}

/// The steps from a new version to this stage.
fn way_to(stage: Stage) -> &'static [Stage] {
    match stage {
        Stage::Draft => &[],
        Stage::Pending => &[Stage::Pending],
        Stage::Approved => &[Stage::Pending, Stage::Approved],
        Stage::Archived => &[Stage::Archived],
    }
}

#[test]
fn only_legal_steps_are_taken_and_the_others_name_them() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    let mut bytes = 0u8;
    for from in ALL {
        for to in ALL {
            bytes += 1;
            let version = churn(&f, &a, &[bytes]);
            for stage in way_to(from) {
                models
                    .transition(&a, "churn", version, step(*stage, "ann"))
                    .unwrap();
            }
            let taken = models.transition(&a, "churn", version, step(to, "ann"));
            let now = models
                .resolve(&a, "churn", &VersionRef::Number(version))
                .unwrap()
                .stage;
            if from.next().contains(&to) {
                assert_eq!((taken.unwrap().from, now), (from, to));
            } else {
                let error = taken.unwrap_err();
                assert_eq!((error.code(), now), ("illegal-transition", from));
                for legal in from.next() {
                    assert!(error.to_string().contains(legal.name()), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_life_of_a_version_is_kept() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"1");
    for (to, by) in [
        (Stage::Pending, "ann"),
        (Stage::Draft, "bob"),
        (Stage::Pending, "ann"),
        (Stage::Approved, "bob"),
        (Stage::Archived, "eve"),
        (Stage::Pending, "ann"),
    ] {
        models.transition(&a, "churn", 1, step(to, by)).unwrap();
    }
    let history = models.transitions(&a, "churn", 1, 0, 100).unwrap();
    let told: Vec<_> = history.iter().map(|t| (t.number, t.to, t.by.as_str())).collect();
    assert_eq!(told[3], (4, Stage::Approved, "bob"));
    assert_eq!(told.len(), 6);
    assert!(history.windows(2).all(|pair| pair[0].to == pair[1].from));
    assert_eq!(models.transitions(&a, "churn", 1, 4, 1).unwrap(), history[4..5]);
    assert_eq!(
        serde_json::to_value(&history[0]).unwrap()["to"],
        serde_json::json!("pending")
    );
}

#[test]
fn who_asked_does_not_approve_where_four_eyes_are_wanted() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"1");
    models
        .transition(&a, "churn", 1, step(Stage::Pending, "ann"))
        .unwrap();
    let approve = |by, four_eyes| {
        let step = Transition {
            four_eyes,
            ..step(Stage::Approved, by)
        };
        models.transition(&a, "churn", 1, step)
    };
    assert_eq!(approve("ann", FourEyes::Keys).unwrap_err().code(), "four-eyes");
    approve("bob", FourEyes::Keys).unwrap();
    // Asked for again by another: now it is that one who can't.
    models
        .transition(&a, "churn", 1, step(Stage::Archived, "ann"))
        .unwrap();
    models
        .transition(&a, "churn", 1, step(Stage::Pending, "bob"))
        .unwrap();
    assert_eq!(approve("bob", FourEyes::Keys).unwrap_err().code(), "four-eyes");
    approve("bob", FourEyes::No).unwrap();
}

#[test]
fn two_keys_of_one_person_are_two_eyes() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"1");
    let take = |to, by: &str, owner: Option<&str>, four_eyes| {
        let step = Transition {
            owner,
            four_eyes,
            ..step(to, by)
        };
        models.transition(&a, "churn", 1, step)
    };
    let (keys, owners) = (FourEyes::Keys, FourEyes::Owners);
    let (ann, bob) = (Some("ann@example.org"), Some("bob@example.org"));
    let ask = |by, owner| take(Stage::Pending, by, owner, keys).unwrap();
    let code = |by, owner, eyes| take(Stage::Approved, by, owner, eyes).unwrap_err().code();
    assert_eq!(ask("laptop", ann).owner.as_deref(), ann);
    for eyes in [keys, owners] {
        assert_eq!(code("phone", ann, eyes), "four-eyes");
    }
    // Who has no owner is compared by key, unless owners are wanted.
    assert_eq!(code("laptop", None, keys), "four-eyes");
    assert_eq!(code("phone", None, owners), "no-owner");
    take(Stage::Approved, "phone", bob, owners).unwrap();
    take(Stage::Archived, "phone", bob, owners).unwrap();
    ask("ci", None);
    assert_eq!(code("phone", bob, owners), "no-owner");
    take(Stage::Approved, "phone", bob, keys).unwrap();
}

#[test]
fn a_step_from_another_stage_than_expected_is_refused() {
    let f = fixture();
    let (models, a) = (Models::new(f.store.clone()), tenant("a"));
    churn(&f, &a, b"1");
    let archive = Transition {
        expected_from: Some(Stage::Approved),
        ..step(Stage::Archived, "ann")
    };
    assert_eq!(
        models.transition(&a, "churn", 1, archive).unwrap_err().code(),
        "stage-moved"
    );
    assert_eq!(
        models
            .transition(&a, "churn", 2, step(Stage::Pending, "ann"))
            .unwrap_err()
            .code(),
        "model-not-found"
    );
    let long = "x".repeat(3000);
    let wordy = Transition {
        why: &long,
        ..step(Stage::Pending, "ann")
    };
    assert_eq!(
        models.transition(&a, "churn", 1, wordy).unwrap_err().code(),
        "too-many"
    );
    assert!(models.transitions(&a, "churn", 1, 0, 10).unwrap().is_empty());
}
