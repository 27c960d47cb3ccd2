//! Access on a real store, through its public calls.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test these are how it fails"
)]

mod keys;

mod matrix;
mod policies;
mod tenants;

use std::sync::Arc;

use caisson_access::{
    Access, Action, Decision, FirstAdmin, KeyRecord, KeyText, NewKey, NewTenant, Principal, Quotas, Resource,
    Role,
};
use caisson_registry::TenantId;
use caisson_store::Store;

/// A server's access with an operator, and the folder that it is in.
struct Fixture {
    dir: tempfile::TempDir,
    access: Access,
    /// The operator's key.
    admin_key: KeyText,
    admin: Arc<Principal>,
}

fn open(dir: &tempfile::TempDir) -> Access {
    let store = Store::open(dir.path().join("data")).unwrap();
    Access::open(store, Quotas::default()).unwrap()
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let access = open(&dir);
    let FirstAdmin::Created(admin_key) = access.ensure_admin(None).unwrap() else {
        panic!("a new folder has no operator");
    };
    let admin = access.authenticate(admin_key.expose()).unwrap();
    Fixture {
        dir,
        access,
        admin_key,
        admin,
    }
}

fn id(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn new_key(name: &str, role: Role) -> NewKey {
    NewKey {
        name: name.to_owned(),
        owner: None,
        role,
        expires_at: None,
        deployments: None,
    }
}

impl Fixture {
    fn tenant(&self, name: &str) -> TenantId {
        self.access.create_tenant(NewTenant::named(id(name))).unwrap().id
    }

    fn key(&self, tenant: &TenantId, new: NewKey) -> (KeyRecord, KeyText) {
        self.access.create_key(tenant, new, &self.admin).unwrap()
    }

    fn principal(&self, tenant: &TenantId, new: NewKey) -> Arc<Principal> {
        let (_, text) = self.key(tenant, new);
        self.access.authenticate(text.expose()).unwrap()
    }

    /// Someone of this role, whose key is named after it.
    fn role(&self, tenant: &TenantId, role: Role) -> Arc<Principal> {
        self.principal(tenant, new_key(role.as_str(), role))
    }

    fn decide(&self, who: &Principal, action: Action, tenant: &TenantId, name: &str) -> Decision {
        self.access.authorize(who, action, &Resource::new(tenant, name))
    }

    fn allowed(&self, who: &Principal, action: Action, tenant: &TenantId, name: &str) -> bool {
        self.decide(who, action, tenant, name).is_allowed()
    }

    /// The message of a refusal.
    fn refused(&self, who: &Principal, action: Action, tenant: &TenantId, name: &str) -> String {
        match self.decide(who, action, tenant, name) {
            Decision::Allow => panic!("{who} may {action} on {name} of {tenant}"),
            Decision::Deny(refusal) => refusal.to_string(),
        }
    }
}

/// The process ends and starts again.
fn restarted(f: Fixture) -> Fixture {
    let Fixture {
        dir,
        access,
        admin_key,
        admin,
    } = f;
    drop((access, admin));
    let access = open(&dir);
    let admin = access.authenticate(admin_key.expose()).unwrap();
    Fixture {
        dir,
        access,
        admin_key,
        admin,
    }
}
