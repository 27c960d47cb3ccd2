//! Tenants: made, suspended, deleted, and the same after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use caisson_access::{
    Access, AccessError, Action, AuthError, NewKey, NewTenant, Quota, Quotas, Resource, Role, Settings,
    Status,
};
use caisson_store::{Commit, Expect, Op, Store};

use super::{fixture, id, new_key, restarted};

/// A point of the curve, in base64: the key of RFC 8032's first test vector.
const SIGNING_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn nothing() -> Result<Option<String>, AccessError> {
    Ok(None)
}

#[test]
fn a_suspended_tenant_is_out_until_it_is_resumed() {
    let f = fixture();
    let acme = f.tenant("acme");
    let (_, text) = f.key(&acme, new_key("ci", Role::Admin));
    let held = f.access.authenticate(text.expose()).unwrap();
    assert!(f.allowed(&held, Action::DeploymentPredict, &acme, "churn"));
    f.access.suspend_tenant(&acme).unwrap();
    assert_eq!(
        f.access.authenticate(text.expose()).unwrap_err(),
        AuthError::Suspended
    );
    assert!(
        f.refused(&held, Action::DeploymentPredict, &acme, "churn")
            .contains("suspended")
    );
    let f = restarted(f);
    assert_eq!(
        f.access.authenticate(text.expose()).unwrap_err(),
        AuthError::Suspended
    );
    assert_eq!(f.access.resume_tenant(&acme).unwrap().status, Status::Active);
    f.access.authenticate(text.expose()).unwrap();
}

#[test]
fn a_restart_keeps_everything() {
    let f = fixture();
    let record = f
        .access
        .create_tenant(NewTenant {
            id: id("acme"),
            display_name: "Acme, Inc.".to_owned(),
            quotas: Quotas {
                requests_per_second: Some(50.0),
                plugins: Some(3),
                ..Quotas::default()
            },
            settings: Settings {
                require_key_owners: true,
                require_signed_plugins: true,
                signing_keys: BTreeMap::from([("ci".to_owned(), SIGNING_KEY.to_owned())]),
                log_predictions: true,
                protected_aliases: BTreeSet::from(["champion".to_owned()]),
            },
        })
        .unwrap();
    let new = NewKey {
        owner: Some("ann@example.org".to_owned()),
        ..new_key("ci", Role::Developer)
    };
    let (key, text) = f.key(&record.id, new);
    let policy = "forbid (principal, action == Action::\"deployment:delete\", resource);";
    let policy = f.access.put_policy(&record.id, "keep", policy, &f.admin).unwrap();
    let f = restarted(f);
    assert_eq!(f.access.tenant(&record.id).unwrap(), record);
    assert_eq!(f.access.keys(&record.id).unwrap(), [key]);
    assert_eq!(f.access.policies(&record.id).unwrap(), [policy]);
    let principal = f.access.authenticate(text.expose()).unwrap();
    assert_eq!(principal.owner(), Some("ann@example.org"));
    assert_eq!(*principal.tenant().settings(), record.settings);
    assert_eq!(principal.tenant().quotas(), record.quotas);
    assert!(
        f.refused(&principal, Action::DeploymentDelete, &record.id, "churn")
            .contains("`keep`")
    );
    let names: Vec<String> = f
        .access
        .tenants()
        .unwrap()
        .into_iter()
        .map(|t| t.id.into())
        .collect();
    assert_eq!(names, ["acme", "system"]);
}

#[test]
fn a_deleted_tenants_name_is_never_given_out_again() {
    let f = fixture();
    let (acme, acme_2) = (f.tenant("acme"), f.tenant("acme-2"));
    let (_, text) = f.key(&acme, new_key("ci", Role::Admin));
    let (_, text_2) = f.key(&acme_2, new_key("ci", Role::Admin));
    for name in ["a", "b"] {
        let policy = "forbid (principal, action, resource);";
        f.access.put_policy(&acme, name, policy, &f.admin).unwrap();
    }
    let owns = || Ok(Some("2 deployments".to_owned()));
    let error = f.access.delete_tenant(&acme, owns).unwrap_err();
    assert!(error.to_string().contains("2 deployments"), "{error}");
    let held = f.access.authenticate(text.expose()).unwrap();

    f.access
        .delete_tenant(&acme, || {
            assert_eq!(
                f.access.authenticate(text.expose()).unwrap_err(),
                AuthError::Suspended
            );
            nothing()
        })
        .unwrap();
    assert_eq!(
        f.access.authenticate(text.expose()).unwrap_err(),
        AuthError::Unknown
    );
    assert!(!f.allowed(&held, Action::PolicyRead, &acme, "*"));
    f.access.authenticate(text_2.expose()).unwrap();
    let f = restarted(f);
    assert_eq!(
        f.access.authenticate(text.expose()).unwrap_err(),
        AuthError::Unknown
    );
    assert_eq!(f.access.tenant(&acme).unwrap_err().code(), "not-found");
    let error = f
        .access
        .create_tenant(NewTenant::named(acme.clone()))
        .unwrap_err();
    assert_eq!(error.code(), "tenant-deleted");
    for refused in [
        f.access
            .create_key(&acme, new_key("x", Role::Viewer), &f.admin)
            .map(drop),
        f.access.keys(&acme).map(drop),
        f.access.policies(&acme).map(drop),
        f.access.resume_tenant(&acme).map(drop),
        f.access.delete_tenant(&acme, nothing),
    ] {
        assert_eq!(refused.unwrap_err().code(), "not-found");
    }
}

/// The process ended after the tombstone was written, with keys and policies still there.
#[test]
fn what_a_deletion_left_goes_at_the_next_start() {
    let f = fixture();
    let acme = f.tenant("acme");
    f.access.delete_tenant(&acme, nothing).unwrap();
    let dir = f.dir;
    drop((f.access, f.admin));
    let left = |store: &Store| {
        ["access-key/acme/", "access-policy/acme/"].map(|prefix| {
            store
                .metadata()
                .scan(prefix.as_bytes(), None, 1000)
                .unwrap()
                .entries
                .len()
        })
    };
    let store = Store::open(dir.path().join("data")).unwrap();
    for n in 0..100 {
        for kind in ["key", "policy"] {
            let op = Op::put(format!("access-{kind}/acme/{n}"), Expect::Absent, "{}");
            assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
        }
    }
    assert_eq!(left(&store), [100, 100]);
    Access::open(store.clone(), Quotas::default()).unwrap();
    assert_eq!(left(&store), [0, 0]);
}

/// Memory and store say the same, whatever happens at once.
#[test]
fn changes_at_once_end_alike_in_memory_and_on_disk() {
    let f = fixture();
    let acme = f.tenant("acme");
    let texts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (f, acme, texts) = (&f, &acme, &texts);
            scope.spawn(move || {
                for n in 0..10 {
                    let (record, text) = f.key(acme, new_key("k", Role::Admin));
                    texts.lock().unwrap().push(text);
                    let quotas = Quotas {
                        plugins: Some(thread * 10 + n),
                        ..Quotas::default()
                    };
                    f.access.set_quotas(acme, quotas).unwrap();
                    let effect = if n % 2 == 0 { "forbid" } else { "permit" };
                    let policy = format!("{effect} (principal, action == Action::\"key:list\", resource);");
                    f.access.put_policy(acme, "p", &policy, &f.admin).unwrap();
                    if n % 3 == 0 {
                        f.access.revoke_key(acme, &record.id, &f.admin).unwrap();
                    }
                }
            });
        }
    });
    let state = |access: &Access| {
        let keys = texts.lock().unwrap();
        let who: Vec<_> = keys.iter().map(|key| access.authenticate(key.expose())).collect();
        let may: Vec<_> = who
            .iter()
            .flatten()
            .map(|who| {
                access
                    .authorize(who, Action::KeyList, &Resource::all(&acme))
                    .is_allowed()
            })
            .collect();
        let errors: Vec<_> = who.iter().map(|who| who.as_ref().err().copied()).collect();
        (errors, may, access.tenant_state(&acme).unwrap().quotas())
    };
    let before = state(&f.access);
    assert_eq!(before.0.iter().flatten().count(), 16);
    let f = restarted(f);
    assert_eq!(state(&f.access), before);
}

#[test]
fn caissons_own_names_are_its_own() {
    let f = fixture();
    for name in ["system", "std"] {
        let own = id(name);
        assert_eq!(
            f.access
                .create_tenant(NewTenant::named(own.clone()))
                .unwrap_err()
                .code(),
            "tenant-reserved"
        );
        assert_eq!(
            f.access.suspend_tenant(&own).unwrap_err().code(),
            "tenant-reserved"
        );
        assert_eq!(
            f.access.delete_tenant(&own, nothing).unwrap_err().code(),
            "tenant-reserved"
        );
    }
    let dev = f.access.ensure_dev().unwrap();
    assert!(f.allowed(&dev, Action::DeploymentDeploy, &id("default"), "churn"));
    assert!(!f.allowed(&dev, Action::TenantCreate, &id("system"), "*"));
    assert!(f.access.ensure_dev().is_ok());
    let error = f
        .access
        .create_tenant(NewTenant::named(id("default")))
        .unwrap_err();
    assert_eq!(error.code(), "tenant-exists");
}

#[test]
fn values_that_cannot_be_are_refused() {
    let f = fixture();
    let acme = f.tenant("acme");
    for (settings, hint) in [
        (r#"{"signing_keys": {"ci": "AAAA"}}"#, "32 bytes"),
        (r#"{"signing_keys": {"../ci": ""}}"#, "signing key name"),
        (
            // All zeros: a point that verifies what nobody signed.
            r#"{"signing_keys": {"ci": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}"#,
            "weak",
        ),
        (r#"{"require_signed_plugins": true}"#, "no key is given"),
    ] {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let error = f.access.set_settings(&acme, settings).unwrap_err();
        assert!(error.to_string().contains(hint), "{error}");
    }
    for (quotas, hint) in [
        (r#"{"requests_per_second": 0}"#, "requests_per_second"),
        (r#"{"requests_per_second": 1e300}"#, "requests_per_second"),
        (r#"{"requests_burst": 5}"#, "limits nothing without"),
        (r#"{"concurrent_requests": 0}"#, "concurrent_requests"),
        (r#"{"cpu_seconds_per_second": -1}"#, "cpu_seconds_per_second"),
        (r#"{"stored_bytes": 18446744073709551615}"#, "stored_bytes"),
    ] {
        let quotas: Quotas = serde_json::from_str(quotas).unwrap();
        let error = f.access.set_quotas(&acme, quotas).unwrap_err();
        assert!(error.to_string().contains(hint), "{error}");
    }
    assert!(serde_json::from_str::<Quotas>(r#"{"request_per_second": 5}"#).is_err());
    let long = "x".repeat(129);
    for name in ["two\nlines", &long] {
        let mut new = NewTenant::named(id("other"));
        new.display_name = name.to_owned();
        assert_eq!(f.access.create_tenant(new).unwrap_err().code(), "invalid");
    }
}

#[test]
fn new_quotas_apply_to_what_runs() {
    let f = fixture();
    let acme = f.tenant("acme");
    let state = f.access.tenant_state(&acme).unwrap();
    let running: Vec<_> = (0..3).map(|_| state.admit(Instant::now()).unwrap()).collect();
    let quotas = Quotas {
        concurrent_requests: Some(3),
        plugins: Some(2),
        ..Quotas::default()
    };
    f.access.set_quotas(&acme, quotas).unwrap();
    let over = state.admit(Instant::now()).unwrap_err();
    assert_eq!(over.quota, Quota::ConcurrentRequests);
    assert_eq!(state.requests_in_progress(), 3);
    drop(running);
    let _admitted = state.admit(Instant::now()).unwrap();
    assert!(state.check_amount(Quota::Plugins, 2).is_ok());
    let over = state.check_amount(Quota::Plugins, 3).unwrap_err();
    assert_eq!(
        over.to_string(),
        "over the tenant's quota `plugins` of 2; delete what is no longer needed, or ask who runs this server \
         for more"
    );
    f.access.set_quotas(&acme, Quotas::default()).unwrap();
    assert!(state.check_amount(Quota::Plugins, 3).is_ok());
}
