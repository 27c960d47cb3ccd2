//! Keys: which are let in, and for how long.

use std::collections::BTreeSet;

use caisson_access::{AccessError, Action, AuthError, FirstAdmin, KeyText, NewKey, Role, Settings};
use proptest::prelude::*;

use super::{Fixture, fixture, id, new_key, restarted};

fn denied(f: &Fixture, key: &str) -> AuthError {
    f.access.authenticate(key).unwrap_err()
}

#[test]
fn a_key_says_who_asks() {
    let f = fixture();
    let acme = f.tenant("acme");
    let (record, text) = f.key(&acme, new_key("ci", Role::Developer));
    let principal = f.access.authenticate(text.expose()).unwrap();
    assert_eq!(principal.tenant().id(), &acme);
    assert_eq!(principal.key_id(), record.id);
    assert_eq!(principal.role(), Role::Developer);
    assert_eq!(principal.to_string(), format!("acme/ci ({})", record.id));
    assert!(text.expose().starts_with(&format!("csn_{}_", record.id)));
}

#[test]
fn wrong_secrets_and_unknown_ids_get_one_answer() {
    let f = fixture();
    let acme = f.tenant("acme");
    let (_, text) = f.key(&acme, new_key("ci", Role::Viewer));
    let (_, other) = f.key(&acme, new_key("ci", Role::Admin));
    let secret = other.expose().rsplit('_').next().unwrap();
    let crossed = format!("{}_{secret}", text.expose().rsplit_once('_').unwrap().0);
    assert_eq!(denied(&f, &crossed), AuthError::Unknown);
    assert_eq!(
        denied(&f, KeyText::generate().unwrap().expose()),
        AuthError::Unknown
    );
    for text in ["", "csn_", "Bearer x", "csn_aaaaaaaaaaaa_bbb"] {
        assert_eq!(denied(&f, text), AuthError::Malformed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// One fixture for all cases: the key must be the only text that is let in.
    #[test]
    fn no_other_text_is_let_in(position in 0_usize..60, letter in "[0-9A-Za-z_é]", any in ".{0,80}") {
        thread_local! {
            static FIXTURE: (Fixture, KeyText) = {
                let f = fixture();
                let (_, text) = f.key(&f.tenant("acme"), new_key("ci", Role::Admin));
                (f, text)
            };
        }
        FIXTURE.with(|(f, text)| {
            let good = text.expose();
            let mut forged = good.to_owned();
            forged.replace_range(position..=position, &letter);
            prop_assert_eq!(f.access.authenticate(&forged).is_ok(), forged == good);
            prop_assert!(f.access.authenticate(&any).is_err());
            Ok(())
        })?;
    }
}

#[test]
fn a_revoked_key_is_out_at_once() {
    let f = fixture();
    let acme = f.tenant("acme");
    let (record, text) = f.key(&acme, new_key("ci", Role::Admin));
    let held = f.access.authenticate(text.expose()).unwrap();
    assert!(f.allowed(&held, Action::KeyList, &acme, "*"));
    let revoked = f.access.revoke_key(&acme, &record.id, &f.admin).unwrap();
    assert_eq!(denied(&f, text.expose()), AuthError::Revoked);
    // What is still in progress with it too.
    assert!(held.is_revoked());
    assert!(
        f.refused(&held, Action::KeyList, &acme, "*")
            .contains("was revoked")
    );
    // Twice is as once, and a restart changes nothing.
    assert_eq!(f.access.revoke_key(&acme, &record.id, &f.admin).unwrap(), revoked);
    let f = restarted(f);
    assert_eq!(denied(&f, text.expose()), AuthError::Revoked);
    assert_eq!(f.access.keys(&acme).unwrap(), [revoked]);
}

#[test]
fn another_tenants_key_cannot_be_revoked() {
    let f = fixture();
    let (acme, other) = (f.tenant("acme"), f.tenant("other"));
    let (record, text) = f.key(&acme, new_key("ci", Role::Admin));
    for wrong in [record.id.as_str(), "", "../acme/x", "nonsense"] {
        let error = f.access.revoke_key(&other, wrong, &f.admin).unwrap_err();
        assert_eq!(error.code(), "not-found", "{error}");
    }
    f.access.authenticate(text.expose()).unwrap();
}

#[test]
fn an_expired_key_is_out() {
    let f = fixture();
    let acme = f.tenant("acme");
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let mut new = new_key("ci", Role::Viewer);
    new.expires_at = Some(end.to_string());
    let (_, text) = f.key(&acme, new);
    let at = |ns| {
        let now = end + jiff::SignedDuration::from_nanos(ns);
        f.access.authenticate_at(text.expose(), now).map(drop)
    };
    assert_eq!(at(-1), Ok(()));
    assert_eq!(at(0), Err(AuthError::Expired));
    for (text, hint) in [
        ("2020-01-01T00:00:00Z", "yet to come"),
        ("tomorrow", "2027-01-31"),
    ] {
        let mut new = new_key("ci", Role::Viewer);
        new.expires_at = Some(text.to_owned());
        let error = f.access.create_key(&acme, new, &f.admin).unwrap_err();
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[test]
fn a_key_gives_no_more_than_its_maker_has() {
    let f = fixture();
    let acme = f.tenant("acme");
    let approver = f.role(&acme, Role::Approver);
    let make = |role| f.access.create_key(&acme, new_key("x", role), &approver);
    make(Role::Viewer).unwrap();
    make(Role::Approver).unwrap();
    for role in [Role::Predictor, Role::Developer, Role::Admin] {
        assert!(
            matches!(make(role), Err(AccessError::Escalation { .. })),
            "{role}"
        );
    }
}

#[test]
fn a_key_for_some_deployments_does_nothing_else() {
    let f = fixture();
    let acme = f.tenant("acme");
    let mut new = new_key("shop", Role::Admin);
    new.deployments = Some(BTreeSet::from(["churn".to_owned(), "fraud".to_owned()]));
    let shop = f.principal(&acme, new.clone());
    assert!(f.allowed(&shop, Action::DeploymentPredict, &acme, "churn"));
    assert!(f.allowed(&shop, Action::DeploymentDelete, &acme, "fraud"));
    let refused = f.refused(&shop, Action::DeploymentPredict, &acme, "prices");
    assert_eq!(
        refused,
        "`deployment:prices:predict` is not permitted: this key is only for the deployments churn, fraud"
    );
    for &action in Action::ALL {
        assert!(!f.allowed(&shop, action, &acme, "*"), "{action}");
        let named_alike = f.allowed(&shop, action, &acme, "churn");
        assert_eq!(
            named_alike,
            action.as_str().starts_with("deployment:"),
            "{action}"
        );
    }
    for bad in [BTreeSet::new(), BTreeSet::from(["../x".to_owned()])] {
        new.deployments = Some(bad);
        f.access.create_key(&acme, new.clone(), &f.admin).unwrap_err();
    }
}

#[test]
fn the_first_admin_is_made_once() {
    let f = fixture();
    assert!(matches!(f.access.ensure_admin(None).unwrap(), FirstAdmin::Exists));
    let f = restarted(f);
    assert!(matches!(f.access.ensure_admin(None).unwrap(), FirstAdmin::Exists));
    // A server whose last operator's key is gone comes back under control.
    let system = id("system");
    f.access.revoke_key(&system, f.admin.key_id(), &f.admin).unwrap();
    let FirstAdmin::Created(text) = f.access.ensure_admin(None).unwrap() else {
        panic!("no operator's key is in use");
    };
    f.access.authenticate(text.expose()).unwrap();
}

#[test]
fn the_first_admins_key_can_be_given() {
    let f = fixture();
    let given = KeyText::generate().unwrap();
    let ensure = |text: &str| f.access.ensure_admin(Some(text));
    assert!(matches!(ensure(given.expose()).unwrap(), FirstAdmin::Stored));
    assert!(matches!(ensure(given.expose()).unwrap(), FirstAdmin::Exists));
    let admin = f.access.authenticate(given.expose()).unwrap();
    assert!(f.allowed(&admin, Action::TenantCreate, &id("system"), "*"));

    let weak = format!("csn_abcdefabcdef_{}", "abcdefghij".repeat(5).get(..43).unwrap());
    let same_id = format!(
        "csn_{}_{}",
        admin.key_id(),
        KeyText::generate().unwrap().expose().rsplit('_').next().unwrap()
    );
    let (_, tenants) = f.key(&f.tenant("acme"), new_key("ci", Role::Admin));
    for (bad, hint) in [
        ("hunter2", "has to be"),
        (&*weak, "isn't random"),
        (&*same_id, "has its id"),
        (tenants.expose(), "no operator's"),
    ] {
        let error = ensure(bad).unwrap_err();
        assert_eq!(error.code(), "bad-operator-key");
        assert!(error.to_string().contains(hint), "{error}");
        assert!(!error.to_string().contains(bad), "{error}");
    }
    f.access
        .revoke_key(&id("system"), admin.key_id(), &f.admin)
        .unwrap();
    let error = ensure(given.expose()).unwrap_err();
    assert!(error.to_string().contains("revoked"), "{error}");
}

#[test]
fn the_key_dead_the_longest_makes_room() {
    let f = fixture();
    let acme = f.tenant("acme");
    let mut keys = Vec::new();
    for _ in 0..1000 {
        keys.push(f.key(&acme, new_key("ci", Role::Viewer)));
    }
    let create = || f.access.create_key(&acme, new_key("new", Role::Viewer), &f.admin);
    assert_eq!(create().unwrap_err().code(), "too-many");
    for n in [500, 200] {
        f.access.revoke_key(&acme, &keys[n].0.id, &f.admin).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    create().unwrap();
    assert_eq!(denied(&f, keys[500].1.expose()), AuthError::Unknown);
    assert_eq!(denied(&f, keys[200].1.expose()), AuthError::Revoked);
    create().unwrap();
    assert_eq!(create().unwrap_err().code(), "too-many");
    assert_eq!(f.access.keys(&acme).unwrap().len(), 1000);
}

#[test]
fn secrets_stay_in_the_answer() {
    let f = fixture();
    let acme = f.tenant("acme");
    let (record, text) = f.key(&acme, new_key("ci", Role::Admin));
    let secret = text.expose().rsplit('_').next().unwrap();
    let principal = f.access.authenticate(text.expose()).unwrap();
    let shown = format!(
        "{text:?} {record:?} {principal:?} {:?} {:?}",
        f.access,
        f.access.keys(&acme)
    );
    assert!(!shown.contains(secret), "{shown}");
    // Nor in anything on the disk.
    let mut files = vec![f.dir.path().to_path_buf()];
    let mut bytes_read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            bytes_read += bytes.len();
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes())
            );
        }
    }
    assert!(bytes_read > 1000);
}

#[test]
fn a_key_says_whose_it_is_where_that_is_wanted() {
    let f = fixture();
    let acme = f.tenant("acme");
    let make = |owner: Option<&str>| {
        let new = NewKey {
            owner: owner.map(str::to_owned),
            ..new_key("ci", Role::Developer)
        };
        f.access.create_key(&acme, new, &f.admin)
    };
    let (record, text) = make(Some("ann@example.org")).unwrap();
    assert_eq!(record.owner.as_deref(), Some("ann@example.org"));
    let principal = f.access.authenticate(text.expose()).unwrap();
    assert_eq!(principal.owner(), Some("ann@example.org"));
    for bad in ["", " ", " ann", "ann\n", &"x".repeat(300)] {
        let error = make(Some(bad)).unwrap_err().to_string();
        assert!(error.starts_with("owner: "), "{error}");
    }
    assert_eq!(make(None).unwrap().0.owner, None);
    let settings = Settings {
        require_key_owners: true,
        ..Settings::default()
    };
    f.access.set_settings(&acme, settings).unwrap();
    let error = make(None).unwrap_err().to_string();
    assert!(error.contains("--owner"), "{error}");
    make(Some("bob@example.org")).unwrap();
}
